"""Changes of the image on the Edit page: saved at once, or refused in words."""

import hashlib
from collections.abc import Callable

from imagebase.annotation import ImageRecord
from imagebase.editing.conflicts import Conflict, is_separate, merged
from imagebase.editing.records import copy_boxes
from imagebase.errors import ImageBaseError, NotFoundError, RevisionConflictError
from imagebase.ui import services, state
from imagebase.ui.edit import canvas, versions, walking
from imagebase.ui.edit.editor import RecordAccess

# From the record and who changes it to the record as it shall be.
Change = Callable[[ImageRecord, str], ImageRecord]


def record() -> ImageRecord:
    """Return the image to edit as it is stored.

    Raises:
        NotFoundError: there is none.
    """
    image_id = state.image_id()
    if image_id is None:
        raise NotFoundError("This image is not there any more; choose another dataset.")
    return services.store().record(state.scope(), image_id)


def access() -> RecordAccess:
    """Return how the canvas and the table read and write records."""
    scope, store = state.scope(), services.store()

    def save(record: ImageRecord) -> ImageRecord:
        try:
            saved = store.save(scope, record)
        except RevisionConflictError as error:
            base = state.shown(record.image_id)
            if base is None or base.revision != record.revision:
                raise
            both = Conflict(base, record, error.theirs)
            if not is_separate(both):
                raise
            saved = store.save(scope, merged(both))
        state.note_revision(saved)
        state.note_shown(saved)
        state.note_saved()
        return saved

    def load(image_id: str) -> ImageRecord:
        return state.shown(image_id) or store.record(scope, image_id)

    return RecordAccess(
        load,
        save,
        scope.who,
        scope.dataset_id,
        on_conflict=versions.on_conflict,
        place=f"{scope.dataset_id}.{_digest(f'{scope.owner_id} {scope.who}')}",
        is_disputed=lambda image_id: state.conflict(image_id) is not None,
    )


def _digest(text: str) -> str:
    """Return a few letters that tell one text from another, and not what it is."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@state.told
def on_screen(image_id: str, work: Callable[[], object]) -> None:
    """Do what was asked for of an image, unless another one is on screen by now."""
    canvas.settle()
    if state.image_id() in (image_id, None):  # of none it is said that there is none
        work()


def change(make: Change) -> None:
    """Save a change of the image on screen, or say why it is not made."""
    is_saved(make)


def is_saved(make: Change) -> bool:
    """Save a change of the image on screen; return whether that went well."""
    canvas.settle()
    try:
        return _save(make)
    except RevisionConflictError:
        canvas.report(
            "Somebody saved this image a moment ago; look at it and try again."
        )
    except ImageBaseError as error:
        canvas.report(str(error))
    return False


def _save(make: Change) -> bool:
    known, how = record(), access()
    if state.conflict(known.image_id):
        return False  # the versions are chosen from first
    if state.is_news(known):
        # What nobody has looked at is neither approved nor deleted by a press.
        canvas.report("Somebody else changed this image; look at it, then press again.")
        return False
    changed = make(known, how.who)
    if changed is not known:
        how.save(changed)
    return True


@state.told
def change_and_go_on(make: Change) -> None:
    """Save a change, then show the next image that needs a person."""
    to_come = walking.following()
    if is_saved(make):
        walking.go_on(to_come)


@state.told
def copy_previous() -> None:
    """Add the boxes of the image before the one on screen."""
    current = record().image_id
    known = services.store().image_ids(state.scope())
    place = known.index(current) if current in known else 0
    if place == 0:
        canvas.report("This is the first image: there is none before it.")
        return
    previous = services.store().record(state.scope(), known[place - 1])
    change(lambda one, who: copy_boxes(previous, one, who=who))
