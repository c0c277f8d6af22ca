"""State of the canvas: the boxes it shows, and the changes to save.

The record in the store is the only truth. The editor in the browser is a view of it,
filled from a frozen list of boxes under a tag. A message is compared with the boxes
that its tag showed last; only the difference is saved, on the image it was drawn on.
The editor is filled again only when the record differs from what it shows.

The browser keeps unsaved drawings and sends them again; each has a number, so that it
counts once. A drawing under an unknown tag, for example from before a restart of the
server, brings the boxes that it started from.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

from imagebase.annotation import Annotation, Box, ImageRecord, new_id
from imagebase.editing.conflicts import Conflict, as_shown, is_separate, merged
from imagebase.editing.records import ShownBox, is_faithful, merge_drawing
from imagebase.errors import ImageBaseError, NotFoundError, RevisionConflictError
from imagebase.ui.edit.canvas_messages import Action, Drawing, Message, Where, filling
from imagebase.ui.state import undisturbed

# Messages may be late by this many fillings, those sent ahead among them.
_KEPT_TAGS: Final = 48
_KEPT_ANSWERS: Final = 64

_UNREADABLE: Final = "The server cannot read this change; discard it."
_ELSEWHERE: Final = "It belongs to another dataset; open that one."
_DISPUTED: Final = "Someone else also changed this image; choose a version."


@dataclass(frozen=True, slots=True)
class RecordAccess:
    """How the editor reads and saves records, and the name for its changes.

    load: returns an image's record as this session showed it last.
    save: stores a record and returns it with its new revision; may raise.
    dataset_id: of the records; the same image may be in other datasets too.
    place: dataset and visitor, as the browser knows them.
    on_conflict: is called when someone else has saved a newer revision; without it,
        the error is shown.
    is_disputed: says whether a version of an image still has to be chosen.
    amend: like `save`, as one step to undo with the last save; None saves.
    on_shown: is called with the record of an image that the editor shows by now, before
        this session was asked for it.
    """

    load: Callable[[str], ImageRecord]
    save: Callable[[ImageRecord], ImageRecord]
    who: str
    dataset_id: str = ""
    on_conflict: Callable[[RevisionConflictError], None] | None = None
    place: str = ""
    is_disputed: Callable[[str], bool] = lambda _: False
    amend: Callable[[ImageRecord], ImageRecord] | None = None
    on_shown: Callable[[ImageRecord], None] | None = None


class VisibleBox(NamedTuple):
    """The visible properties of a box: if they are equal, no new filling is needed."""

    annotation_id: str
    box: Box
    label: str
    is_untouched: bool


@dataclass(slots=True)
class Showing:
    """The last content of the editor under one tag.

    is_late: this session did not fill it, and knows of it from the browser alone.
    suggested: those of the boxes that the record has not, by id; touched, it gets them.
    is_own: this session filled it.
    synced: the boxes that the browser shows; None: fill again.
    filling: what was sent.
    ahead: the record, where it was sent before the image is on screen.
    is_outdated: somebody else has saved another version since.
    """

    image_id: str
    boxes: tuple[ShownBox, ...]
    access: RecordAccess | None = None
    removed: dict[str, Annotation] = field(default_factory=dict)
    is_late: bool = False
    suggested: Mapping[str, Annotation] = field(default_factory=dict)
    is_own: bool = True
    synced: tuple[VisibleBox, ...] | None = None
    filling: dict[str, Any] = field(default_factory=dict)
    ahead: ImageRecord | None = None
    is_outdated: bool = False

    def view_of(self, record: ImageRecord) -> ImageRecord:
        """Return the record together with its unsaved suggestions."""
        known = {
            annotation.annotation_id
            for annotation in (*record.annotations, *record.deleted)
        }
        rest = [
            box for box in self.suggested.values() if box.annotation_id not in known
        ]
        return record.with_annotations([*record.annotations, *rest]) if rest else record


@dataclass(slots=True)
class Editor:
    """One session's editor.

    ahead: by image, the tag of what was sent before it is on screen.
    booked: by image, the number of the last saved drawing.
    refused: by image, the number of the last refused drawing, and the reason.
    problem: another error message.
    actions_done: number of the last action that was run.
    running: number of the action whose turn it is: drawings made after it wait; or 0.
    """

    access: RecordAccess | None = None
    tag: str = ""
    showings: dict[str, Showing] = field(default_factory=dict)
    ahead: dict[str, str] = field(default_factory=dict)
    booked: dict[Where, int] = field(default_factory=dict)
    refused: dict[Where, tuple[int, str]] = field(default_factory=dict)
    problem: str = ""
    actions_done: int = 0
    running: int = 0

    @property
    def filling(self) -> dict[str, Any]:
        """What the editor was filled with last."""
        return self.showings[self.tag].filling

    def shows(self, record: ImageRecord) -> bool:
        """Say whether the editor shows the current record."""
        return self._is_view(self.showings.get(self.tag), record)

    def _is_view(self, showing: Showing | None, record: ImageRecord) -> bool:
        if showing is None or showing.image_id != record.image_id:
            return False
        is_here = _dataset(showing.access) == _dataset(self.access)
        return is_here and showing.synced == _seen(record)

    def fill(
        self,
        record: ImageRecord,
        suggested: Mapping[str, Annotation] | None = None,
        *,
        is_new: bool = False,
        learned: str = "",
    ) -> None:
        """Fill the editor with the record's boxes, under a new tag.

        If the same was sent ahead, the editor shows it by now, under that tag.

        Args:
            suggested: the unsaved ones of these boxes, by id.
            is_new: the editor has nothing.
            learned: as in `filling`.
        """
        tag = self.ahead.pop(record.image_id, "")
        if is_new or not self._is_view(self.showings.get(tag), record):
            tag = self._send(record, suggested, learned)
        self.tag = tag
        self.showings[tag].ahead = None

    def fill_ahead(
        self,
        stored: ImageRecord,
        view: ImageRecord,
        suggested: Mapping[str, Annotation] | None = None,
        learned: str = "",
    ) -> dict[str, Any]:
        """Return the filling for an image that may be shown next.

        stored: the record. view: the same with its suggestions.
        """
        tag = self.ahead.get(view.image_id, "")
        if not self._is_view(self.showings.get(tag), view):
            tag = self._send(view, suggested, learned)
            self.showings[tag].ahead = stored
            self.ahead[view.image_id] = tag
        return self.showings[tag].filling

    def forget_ahead(self, image_ids: Collection[str]) -> None:
        """Forget what was sent ahead, but for these images."""
        for image_id in self.ahead.keys() - {*image_ids}:
            del self.ahead[image_id]

    def outdate(self, image_id: str) -> None:
        """Note that only the newest filling shows what somebody else has saved."""
        for tag, showing in self.showings.items():
            if showing.image_id == image_id and tag != self.tag:
                showing.is_outdated = True

    def enter(self, tag: str) -> None:
        """Note that the editor shows what was sent ahead under a tag, if it was."""
        showing = self.showings.get(tag)
        if showing is None or showing.ahead is None:
            return
        record, showing.ahead = showing.ahead, None
        if showing.access is not None and showing.access.on_shown is not None:
            showing.access.on_shown(record)

    def _send(
        self,
        record: ImageRecord,
        suggested: Mapping[str, Annotation] | None,
        learned: str,
    ) -> str:
        tag = f"{record.image_id[:12]}/{record.revision}/{new_id()[:8]}"
        place = "" if self.access is None else self.access.place
        seq = self.booked.get(Where(place, record.image_id), 0)
        self.showings[tag] = Showing(
            image_id=record.image_id,
            boxes=tuple(
                ShownBox(annotation.annotation_id, annotation.box, annotation.label)
                for annotation in record.annotations
            ),
            access=self.access,
            suggested=suggested or {},
            synced=_seen(record),
            filling=filling(record, tag=tag, seq=seq, learned=learned),
        )
        while len(self.showings) > _KEPT_TAGS:
            del self.showings[next(old for old in self.showings if old != self.tag)]
        return tag

    def suggested_under(self, tag: str, image_id: str) -> tuple[Annotation, ...] | None:
        """Return the suggestions that a tag showed; None if this session cannot know.

        Those that were touched or saved since are among them.
        """
        showing = self.showings.get(tag)
        if showing is None or not showing.is_own or showing.image_id != image_id:
            return None
        is_here = _dataset(showing.access) == _dataset(self.access)
        return tuple(showing.suggested.values()) if is_here else None

    def is_of_other(self, tag: str, dataset_id: str) -> bool:
        """Say whether a tag shows an image of another dataset."""
        showing = self.showings.get(tag)
        return showing is not None and _dataset(showing.access) not in ("", dataset_id)

    def refill(self) -> None:
        """Fill again at the next run."""
        if self.tag in self.showings:
            self.showings[self.tag].synced = None

    def book(self, message: Message, interruptions: list[BaseException]) -> None:
        """Save the changes of a message; doing so twice does no harm."""
        for drawing in message.drawings:
            where, seq = drawing.where, drawing.seq
            if seq <= self.booked.get(where, 0) or 0 < self.running <= drawing.after:
                continue
            why = self._book(drawing, interruptions)
            self.refused.pop(where, None)
            if why:
                self.refused[where] = (seq, why)
            else:
                self.booked.pop(where, None)
                self.booked[where] = seq
        for answers in (self.booked, self.refused):
            while len(answers) > _KEPT_ANSWERS:
                del answers[next(iter(answers))]

    def note_choices(self) -> None:
        """Mark refused drawings as saved once a version was chosen."""
        if self.access is None:
            return
        for where, (seq, why) in list(self.refused.items()):
            if why == _DISPUTED and not self.access.is_disputed(where.image_id):
                del self.refused[where]
                self.booked[where] = seq

    def _book(self, drawing: Drawing, interruptions: list[BaseException]) -> str:
        """Save the changes of a drawing; return the reason if refused, else empty."""
        if drawing.boxes is None:
            return _UNREADABLE
        showing = self.showings.get(drawing.tag) or self._late(drawing)
        if showing is None or showing.access is None:
            return _ELSEWHERE
        is_here = _dataset(showing.access) == _dataset(self.access)
        access = self.access if is_here and self.access else showing.access
        if drawing.boxes == showing.boxes:
            return _DISPUTED if access.is_disputed(showing.image_id) else ""
        self.enter(drawing.tag)
        is_amendment = 0 < drawing.amends <= self.booked.get(drawing.where, 0)
        save = partial(
            _merge_and_save,
            showing,
            drawing.boxes,
            access,
            drawing.copies,
            access.amend if is_amendment else None,
        )
        try:
            saved = undisturbed(save, interruptions)
        except (RevisionConflictError, NotFoundError) as error:
            # Reported once: a second try would overwrite the other person's change.
            showing.boxes, showing.synced = drawing.boxes, None
            self.refill()
            undisturbed(partial(self._report, error, access), interruptions)
            return _DISPUTED if access.is_disputed(showing.image_id) else ""
        except ImageBaseError as error:
            return _reason(error)
        showing.boxes, showing.is_late = drawing.boxes, False
        view = showing.view_of(saved)
        is_true = _is_true_view(drawing.boxes, view)
        showing.synced = _seen(view) if is_true else None
        return ""

    def _late(self, drawing: Drawing) -> Showing | None:
        """Return the boxes that the browser started from; None for another dataset."""
        place, image_id = drawing.where
        if self.access is None or not image_id or place != self.access.place:
            return None
        late = Showing(image_id, drawing.base, self.access, is_late=True, is_own=False)
        self.showings = {drawing.tag: late, **self.showings}
        return late

    def _report(self, error: ImageBaseError, access: RecordAccess) -> None:
        if isinstance(error, RevisionConflictError) and access.on_conflict is not None:
            access.on_conflict(error)
        else:
            self.problem = str(error)

    def take_action(
        self, message: Message, interruptions: list[BaseException]
    ) -> Action | None:
        """Save what was drawn before the next new action, and return that action.

        None if there is none; one on an image with unsaved changes waits. So an undo
        takes back what was done last, also where both come in one message.
        """
        new = (one for one in message.actions if one.number > self.actions_done)
        action = next(new, None)
        if action is None:
            return None
        if self.running != action.number:
            self.running = action.number
            self.book(message, interruptions)
        if action.image_id in {where.image_id for where in self.refused}:
            return None
        self.actions_done = action.number
        return action

    def answer(self) -> dict[str, Any]:
        """Return the saved, refused and run changes, for the browser."""
        return {
            "booked": [[*where, seq] for where, seq in self.booked.items()],
            "refused": [[*where, *why] for where, why in self.refused.items()],
            "done": self.actions_done,
        }


def _dataset(access: RecordAccess | None) -> str:
    return "" if access is None else access.dataset_id


def _seen(record: ImageRecord) -> tuple[VisibleBox, ...]:
    return tuple(
        sorted(
            VisibleBox(
                annotation.annotation_id,
                annotation.box,
                annotation.label,
                annotation.is_untouched,
            )
            for annotation in record.annotations
        )
    )


def _merge_and_save(
    showing: Showing,
    drawn: tuple[ShownBox, ...],
    access: RecordAccess,
    copies: Mapping[str, str],
    amend: Callable[[ImageRecord], ImageRecord] | None,
) -> ImageRecord:
    """Save the difference over the record as this session showed it last."""
    record = access.load(showing.image_id)
    view = showing.view_of(record)
    base = as_shown(record, showing.boxes) if showing.is_late else view
    edited = merge_drawing(
        base,
        shown=showing.boxes,
        drawn=drawn,
        who=access.who,
        removed=showing.removed,
        copies=copies,
    )
    ids = {annotation.annotation_id for annotation in edited.annotations}
    showing.removed |= {
        annotation.annotation_id: annotation
        for annotation in view.annotations
        if annotation.annotation_id not in ids
    }
    if edited is base:
        return record
    if showing.is_late:
        edited = _brought_up(base, edited, record)
    edited = _without_untouched(edited, showing.suggested, record)
    return record if edited == record else (amend or access.save)(edited)


def _without_untouched(
    edited: ImageRecord, suggested: Mapping[str, Annotation], record: ImageRecord
) -> ImageRecord:
    """Return the edited record without unedited suggestions."""
    stored = {annotation.annotation_id for annotation in record.annotations}
    annotations = [
        annotation
        for annotation in edited.annotations
        if annotation.annotation_id in stored
        or suggested.get(annotation.annotation_id) is not annotation
    ]
    return edited.with_annotations(annotations)


def _brought_up(
    base: ImageRecord, edited: ImageRecord, record: ImageRecord
) -> ImageRecord:
    """Return the current record with the edits made to an older one.

    Raises:
        RevisionConflictError: a version has to be chosen.
    """
    both = Conflict(base, edited, record)
    if is_separate(both):
        joined = merged(both)
        # If the edits are stored already, keep the current record.
        return record if _seen(joined) == _seen(record) else joined
    raise RevisionConflictError(_DISPUTED, ours=edited, theirs=record, base=base)


def _reason(error: ImageBaseError) -> str:
    """Return the reason, without the advice to try again, which happens anyway."""
    return re.split(r"[:;] nothing was saved", str(error))[0].rstrip(".") + "."


def _is_true_view(drawn: tuple[ShownBox, ...], saved: ImageRecord) -> bool:
    """Say whether these drawn boxes are equal to the saved record."""
    return len(drawn) == len(saved.annotations) and is_faithful(saved, drawn)
