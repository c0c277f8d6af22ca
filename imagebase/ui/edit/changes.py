"""Changes on the Edit page: saving, conflicts, tags, comments, deleting an image."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import streamlit as st

from imagebase.annotation import ImageRecord, new_id
from imagebase.editing.conflicts import (
    Conflict,
    differences,
    in_words,
    is_separate,
    merged,
    ours_over,
)
from imagebase.editing.records import copy_boxes, tagged
from imagebase.errors import ImageBaseError, NotFoundError, RevisionConflictError
from imagebase.review.bulk_edits import remove_images
from imagebase.store import Comment
from imagebase.ui import cache, learned_boxes, services, state, widgets
from imagebase.ui.edit import canvas, navigation
from imagebase.ui.edit.canvas_state import RecordAccess

_PICTURE_PX: Final = 460
_CHANGED: Final = "This image has changed meanwhile. Check it, then click again."
_KEY: Final = "edit"
_FIELD: Final = "edit.comment"


def on_conflict(error: RevisionConflictError) -> None:
    """Keep both versions of an image that could not be saved, to choose from."""
    pending = state.conflict(error.ours.image_id)
    base = error.base or (pending.base if pending else state.shown(error.ours.image_id))
    state.keep_conflict(Conflict(base or error.theirs, error.ours, error.theirs))


def newest(conflict: Conflict) -> Conflict | None:
    """Return the conflict with the stored version; None once both are equal."""
    theirs = services.store().record(state.scope(), conflict.image_id)
    current = replace(conflict, theirs=theirs)
    if not differences(theirs, current.ours):
        state.drop_conflict(conflict.image_id)
        return None
    return current


def choose(conflict: Conflict) -> None:
    """Draw both versions with their changes, and the choice between them."""
    st.warning(
        f"**{_who(conflict)} saved this image while you changed it.** Your "
        "changes are not saved yet. Choose a version; Undo restores the other one.",
        icon=":material/call_split:",
    )
    left, right = st.columns(2, gap="medium")
    with left:
        _version("Your version, not saved", conflict, conflict.ours)
        _button("Keep mine", "mine", conflict, ours_over)
    with right:
        _version(f"Saved by {_who(conflict)}", conflict, conflict.theirs)
        _button("Keep theirs", "theirs", conflict, lambda conflict: conflict.theirs)
    _button("Keep both: add mine to theirs", "both", conflict, merged, is_primary=True)


def _who(conflict: Conflict) -> str:
    events = services.store().history(state.scope(), conflict.image_id)
    return widgets.escape(events[-1].who) if events else "Someone else"


def _version(title: str, conflict: Conflict, record: ImageRecord) -> None:
    changes = differences(conflict.base, record)
    st.markdown(f"**{title}** · {in_words(changes)}")
    scope = state.scope()
    picture = cache.labelled_picture(
        scope,
        record,
        services.store().labels(scope),
        highlighted=changes.added | changes.changed,
    )
    st.image(picture, width=_picture_width(record), alt=title)


def _picture_width(record: ImageRecord) -> int:
    """Return the display width of an image that keeps the buttons below in view."""
    width, height = record.size
    return max(round(min(_PICTURE_PX, 0.75 * _PICTURE_PX * width / height)), 1)


def _button(
    words: str,
    name: str,
    conflict: Conflict,
    version: Callable[[Conflict], ImageRecord],
    *,
    is_primary: bool = False,
) -> None:
    st.button(
        words,
        key=f"versions.{name}",
        type="primary" if is_primary else "secondary",
        on_click=_save_version,
        args=(conflict, version),
    )


@state.reports_errors
def _save_version(
    conflict: Conflict, version: Callable[[Conflict], ImageRecord]
) -> None:
    """Save the chosen version; ask again if a third one was saved meanwhile."""
    chosen = version(conflict)
    try:
        if chosen is not conflict.theirs:
            state.note_shown(services.store().save(state.scope(), chosen))
            state.note_saved()
    except RevisionConflictError as error:
        state.keep_conflict(replace(conflict, theirs=error.theirs))
        return
    except ImageBaseError as error:
        state.say(str(error))
        return
    state.forget_shown([conflict.image_id])
    state.drop_conflict(conflict.image_id)


# Takes a record and who changes it; returns the changed record.
Change = Callable[[ImageRecord, str], ImageRecord]


def record() -> ImageRecord:
    """Return the stored record of the image in the editor.

    Raises:
        NotFoundError: there is no image.
    """
    image_id = state.image_id()
    if image_id is None:
        raise NotFoundError("This image no longer exists; choose another dataset.")
    return services.store().record(state.scope(), image_id)


def access() -> RecordAccess:
    """Return the access of canvas and table to records."""
    scope, store = state.scope(), services.store()

    def save(record: ImageRecord, change_id: str | None = None) -> ImageRecord:
        change_id = change_id or new_id()
        is_own = True
        try:
            saved = store.save(scope, record, change_id=change_id)
        except RevisionConflictError as error:
            base = state.shown(record.image_id)
            if base is None or base.revision != record.revision:
                raise
            both = Conflict(base, record, error.theirs)
            if not is_separate(both):
                raise
            saved = store.save(scope, merged(both), change_id=change_id)
            is_own = False
        state.note_change(saved, change_id)
        state.note_revision(saved, is_own=is_own)
        state.note_shown(saved)
        state.note_saved()
        return saved

    def amend(record: ImageRecord) -> ImageRecord:
        return save(record, state.change_of(record))

    def load(image_id: str) -> ImageRecord:
        return state.shown(image_id) or store.record(scope, image_id)

    return RecordAccess(
        load,
        save,
        scope.who,
        scope.dataset_id,
        on_conflict=on_conflict,
        place=f"{scope.dataset_id}.{_digest(f'{scope.owner_id} {scope.who}')}",
        is_disputed=lambda image_id: state.conflict(image_id) is not None,
        amend=amend,
        on_shown=_note_ahead,
    )


def _note_ahead(record: ImageRecord) -> None:
    """Remember an image as on screen, although this session has not drawn it yet."""
    state.note_revision(record)
    state.note_shown(record)
    learned_boxes.note_on_screen(record)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@state.reports_errors
def on_screen(image_id: str, work: Callable[[], object], *, then: str = "") -> None:
    """Run work on an image, unless another one is on screen by now.

    then: the image that the editor shows already; where the one before was deleted
        meanwhile, what is done next is meant for that one.
    """
    canvas.settle()
    if state.image_id() in (image_id, None):  # None: work reports that
        work()
    elif then and image_id not in services.store().image_ids(state.scope()):
        state.choose_image(then)
        canvas.report("The image before was deleted by someone else.")


def change(make: Change) -> None:
    """Save a change to the image on screen, or report why not."""
    save_change(make)


def refuse() -> None:
    """Report that the version on screen is not the one that is stored."""
    canvas.report(_CHANGED)


def save_change(make: Change) -> bool:
    """Save a change to the image on screen; return whether it was saved."""
    canvas.settle()
    try:
        return _save(make)
    except RevisionConflictError:
        canvas.report("Someone else just saved this image. Check it and try again.")
    except ImageBaseError as error:
        canvas.report(str(error))
    return False


def _save(make: Change) -> bool:
    known, how = record(), access()
    if state.conflict(known.image_id):
        return False  # a version has to be chosen first
    if state.is_news(known):
        # A version that was not on screen must not be approved or deleted.
        refuse()
        return False
    changed = make(known, how.who)
    if changed is not known:
        how.save(changed)
    return True


@state.reports_errors
def change_and_go_next(make: Change, *, then: str = "") -> None:
    """Save a change, then go to the next image that needs review.

    then: the image that the editor shows already.
    """
    to_come = navigation.following()
    if save_change(make):
        navigation.go_next(to_come, then=then)


@state.reports_errors
def copy_previous() -> None:
    """Copy the boxes of the previous image to the one on screen."""
    current = record().image_id
    known = services.store().image_ids(state.scope())
    place = known.index(current) if current in known else 0
    if place == 0:
        canvas.report("This is the first image; there is no previous one.")
        return
    previous = services.store().record(state.scope(), known[place - 1])
    change(lambda record, who: copy_boxes(previous, record, who=who))


def draw_deletion(record: ImageRecord) -> None:
    """Draw the deletion of this image, after a confirmation."""
    comments = services.store().comments(state.scope(), record.image_id)
    what = widgets.ImagesToDelete(
        1, len(record.annotations), sum(comment.is_open for comment in comments)
    )
    with st.popover(
        "Delete image",
        icon=":material/delete:",
        type="tertiary",
        key=f"edit.delete.{record.image_id}",
    ):
        widgets.confirm_deletion(
            what,
            # A box drawn a moment ago must not clear the checkbox; others' edits do.
            version=f"{record.image_id}.{state.their_revision(record.image_id)}",
            key=_KEY,
            on_confirm=partial(_remove, record.image_id),
        )


@state.reports_errors
def _remove(image_id: str) -> None:
    """Delete the image unless it has changed, and go to the next one."""
    canvas.settle()
    known, to_come = record(), navigation.following()
    is_other = known.image_id != image_id or state.is_news(known)
    if is_other or state.conflict(image_id) or not _is_removed(known):
        canvas.report(_CHANGED)
        return
    state.choose_image(next((other for other in to_come if other != image_id), None))


def _is_removed(known: ImageRecord) -> bool:
    seen = {known.image_id: known.revision}
    report = remove_images(services.store(), state.scope(), seen)
    if report.changed:
        name = widgets.short_name(known.file_name)
        state.say(f"Deleted {name} with {widgets.plural(report.boxes, 'box')}.")
        state.forget_shown(seen)
    return bool(report.changed)


def draw_tags(record: ImageRecord) -> None:
    """Draw the image's tags; changes are saved at once."""
    known = services.store().tag_counts(state.scope())
    key = f"edit.tags.{record.image_id[:12]}.{hash(record.tags)}"
    st.multiselect(
        "Image tags",
        list(dict.fromkeys([*record.tags, *known])),
        default=list(record.tags),
        accept_new_options=True,
        key=key,
        placeholder="Add image tags",
        label_visibility="collapsed",
        on_change=_apply,
        args=(key, record.image_id, record.tags),
    )


def _apply(key: str, image_id: str, before: Sequence[str]) -> None:
    """Save which tags were added and removed.

    before: those that the field was drawn with. A browser that has not heard of newer
        ones may send the field as it was, which changes nothing.
    """
    chosen: Sequence[str] = st.session_state[key]
    added = [tag for tag in chosen if tag not in before]
    removed = {*before} - {*chosen}
    if not added and not removed:
        return

    def make(record: ImageRecord, who: str) -> ImageRecord:
        kept = [tag for tag in record.tags if tag not in removed]
        return tagged(record, list(dict.fromkeys([*kept, *added])))

    on_screen(image_id, partial(change, make))


def draw_comments(image_id: str, *, actions: Callable[[], None] | None = None) -> None:
    """Draw the comments on an image, the open ones in full, and a comment field.

    actions: draws further buttons in the row of the field.
    """
    comments = services.store().comments(state.scope(), image_id)
    done = [comment for comment in comments if not comment.is_open]
    with st.container():
        for comment in comments:
            if comment.is_open:
                _draw_open(comment)
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.popover(
            "Comment",
            icon=":material/add_comment:",
            type="tertiary",
            key=f"edit.commenting.{image_id}",
        ):
            _draw_field(image_id)
        if done:
            label = widgets.plural(len(done), "comment")
            with st.popover(
                f"{label} resolved",
                icon=":material/check:",
                type="tertiary",
                key=f"edit.resolved.{image_id}",
            ):
                for comment in done:
                    _draw_resolved(comment)
        if actions:
            actions()


def _draw_open(comment: Comment) -> None:
    with st.container(border=True, gap="xsmall"):
        st.markdown(f":material/comment: {widgets.escape(comment.text)}")
        with st.container(
            horizontal=True,
            vertical_alignment="center",
            horizontal_alignment="distribute",
        ):
            st.caption(_by(comment), width="content")
            st.button(
                "Resolve",
                key=f"edit.resolve.{comment.comment_id}",
                icon=":material/check:",
                help="Marks the comment as done. You can reopen it.",
                on_click=_resolve,
                args=(comment.comment_id,),
            )


def _draw_resolved(comment: Comment) -> None:
    st.markdown(widgets.escape(comment.text))
    st.caption(
        f"{_by(comment)}; resolved by {widgets.escape(comment.resolved_by or '')}"
    )
    st.button(
        "Reopen",
        key=f"edit.reopen.{comment.comment_id}",
        on_click=_reopen,
        args=(comment.comment_id,),
    )


def _by(comment: Comment) -> str:
    return widgets.escape(
        f"{comment.who}, {state.local(comment.created_at):%d %b, %H:%M}"
    )


def _draw_field(image_id: str) -> None:
    key = f"{_FIELD}.{image_id}"
    with st.form(f"{key}.form", clear_on_submit=True, border=False):
        st.text_area("Comment on this image", key=key)
        st.form_submit_button(
            "Add", key=f"{_FIELD}.add", on_click=_add, args=(image_id, key)
        )


@state.reports_errors
def _add(image_id: str, key: str) -> None:
    canvas.settle()
    services.store().add_comment(state.scope(), image_id, st.session_state[key])
    state.note_saved()


@state.reports_errors
def _resolve(comment_id: str) -> None:
    canvas.settle()
    services.store().resolve_comment(state.scope(), comment_id)
    state.note_saved()


@state.reports_errors
def _reopen(comment_id: str) -> None:
    canvas.settle()
    services.store().reopen_comment(state.scope(), comment_id)
    state.note_saved()
