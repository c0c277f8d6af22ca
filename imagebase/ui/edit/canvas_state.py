"""What the editor shows, what a person did on it since, and where that belongs.

The record in the store is the only truth. The editor in the browser is a view of it,
filled from a frozen list of boxes that bears a tag. A message is compared with what
that tag showed last, and only the difference is booked, on the image it was drawn on.
The editor is filled anew only when the record says something else than it shows.

The browser keeps what is not booked, and says it again; each drawing bears a number, so
that it counts once. One under a tag that this session does not know, drawn before the
server was started anew say, tells itself what it was made from.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

from imagebase.annotation import Annotation, Box, ImageRecord, new_id
from imagebase.editing.conflicts import Conflict, as_shown, is_separate, merged
from imagebase.editing.records import ShownBox, is_faithful, merge_drawing
from imagebase.errors import ImageBaseError, NotFoundError, RevisionConflictError
from imagebase.ui.edit.canvas_messages import Action, Drawing, Message, Where, filling
from imagebase.ui.state import undisturbed

# Messages can be this many fillings late, or about as many images.
_KEPT_TAGS: Final = 16
_KEPT_ANSWERS: Final = 64

_UNREADABLE: Final = "The server cannot read this change; discard it."
_ELSEWHERE: Final = "It belongs to another dataset; open that one."
_DISPUTED: Final = "Someone else also changed this image; choose the version to keep."


@dataclass(frozen=True, slots=True)
class RecordAccess:
    """How the editor reads and writes records, and whose name its changes bear.

    load: an image's record as this session saw it last.
    save: stores a record and returns it with its new revision; may raise.
    dataset_id: where; the same image may be in another dataset too.
    place: the dataset and whose changes these are, as the browser knows it.
    on_conflict: hears of a change that was not saved because somebody else saved a
        newer revision; without it the error's sentence is the problem that is told.
    is_disputed: says whether a person has still to choose between versions of an image.
    """

    load: Callable[[str], ImageRecord]
    save: Callable[[ImageRecord], ImageRecord]
    who: str
    dataset_id: str = ""
    on_conflict: Callable[[RevisionConflictError], None] | None = None
    place: str = ""
    is_disputed: Callable[[str], bool] = lambda _: False


@dataclass(slots=True)
class Showing:
    """What the editor showed last under one tag.

    is_late: this session did not fill it, and knows of it from the browser alone.
    suggested: those of the boxes that the record has not, by id; touched, it gets them.
    """

    image_id: str
    boxes: tuple[ShownBox, ...]
    access: RecordAccess | None = None
    removed: dict[str, Annotation] = field(default_factory=dict)
    is_late: bool = False
    suggested: Mapping[str, Annotation] = field(default_factory=dict)

    def view_of(self, record: ImageRecord) -> ImageRecord:
        """Return the record with the suggestions that it has not."""
        known = {one.annotation_id for one in (*record.annotations, *record.deleted)}
        rest = [
            one for one in self.suggested.values() if one.annotation_id not in known
        ]
        return record.with_annotations([*record.annotations, *rest]) if rest else record


class Seen(NamedTuple):
    """What of a box can be seen: two equal ones need no new filling."""

    annotation_id: str
    box: Box
    label: str
    is_untouched: bool


@dataclass(slots=True)
class Editor:
    """One session's editor.

    synced: what the editor is known to show of the record; None asks for a filling.
    booked: by image, the number of the last drawing that is booked.
    refused: by image, the last one that is not, and why, in a sentence.
    problem: what else went wrong, in a sentence.
    actions_done: keys that the page has answered.
    """

    access: RecordAccess | None = None
    tag: str = ""
    filling: dict[str, Any] = field(default_factory=dict)
    showings: dict[str, Showing] = field(default_factory=dict)
    synced: tuple[Seen, ...] | None = None
    booked: dict[Where, int] = field(default_factory=dict)
    refused: dict[Where, tuple[int, str]] = field(default_factory=dict)
    problem: str = ""
    actions_done: int = 0

    def shows(self, record: ImageRecord) -> bool:
        """Say whether the editor shows the record as it is now."""
        showing = self.showings.get(self.tag)
        if showing is None or showing.image_id != record.image_id:
            return False
        is_here = _dataset(showing.access) == _dataset(self.access)
        return is_here and self.synced == _seen(record)

    def fill(
        self, record: ImageRecord, suggested: Mapping[str, Annotation] | None = None
    ) -> None:
        """Fill the editor with the record's boxes, under a tag of its own.

        suggested: those of the boxes that are not stored, by id.
        """
        self.tag = f"{record.image_id[:12]}/{record.revision}/{new_id()[:8]}"
        place = "" if self.access is None else self.access.place
        seq = self.booked.get(Where(place, record.image_id), 0)
        self.filling = filling(record, tag=self.tag, seq=seq)
        self.showings[self.tag] = Showing(
            image_id=record.image_id,
            boxes=tuple(
                ShownBox(one.annotation_id, one.box, one.label)
                for one in record.annotations
            ),
            access=self.access,
            suggested=suggested or {},
        )
        while len(self.showings) > _KEPT_TAGS:
            del self.showings[next(iter(self.showings))]
        self.synced = _seen(record)

    def refill(self) -> None:
        """Ask for a filling at the next run."""
        self.synced = None

    def book(self, message: Message, interruptions: list[BaseException]) -> None:
        """Save what a message changes; doing so twice does no harm."""
        for drawing in message.drawings:
            where, seq = drawing.where, drawing.seq
            if seq <= self.booked.get(where, 0):
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
        """Take as booked what a person chose from since it was refused."""
        if self.access is None:
            return
        for where, (seq, why) in list(self.refused.items()):
            if why == _DISPUTED and not self.access.is_disputed(where.image_id):
                del self.refused[where]
                self.booked[where] = seq

    def _book(self, drawing: Drawing, interruptions: list[BaseException]) -> str:
        """Save what a drawing changes; return why that cannot be, empty where it is."""
        if drawing.boxes is None:
            return _UNREADABLE
        showing = self.showings.get(drawing.tag) or self._late(drawing)
        if showing is None or showing.access is None:
            return _ELSEWHERE
        is_here = _dataset(showing.access) == _dataset(self.access)
        access = self.access if is_here and self.access else showing.access
        if drawing.boxes == showing.boxes:
            return _DISPUTED if access.is_disputed(showing.image_id) else ""
        save = partial(_merge_and_save, showing, drawing.boxes, access, drawing.copies)
        try:
            saved = undisturbed(save, interruptions)
        except (RevisionConflictError, NotFoundError) as error:
            # It is told once: a second try would write over what somebody else did.
            showing.boxes, self.synced = drawing.boxes, None
            undisturbed(partial(self._tell, error, access), interruptions)
            return _DISPUTED if access.is_disputed(showing.image_id) else ""
        except ImageBaseError as error:
            return _reason(error)
        showing.boxes, showing.is_late = drawing.boxes, False
        if drawing.tag == self.tag:
            view = showing.view_of(saved)
            is_true = _is_true_view(drawing.boxes, view)
            self.synced = _seen(view) if is_true else None
        return ""

    def _late(self, drawing: Drawing) -> Showing | None:
        """Return what the browser says that it showed; None where it is not of here."""
        place, image_id = drawing.where
        if self.access is None or not image_id or place != self.access.place:
            return None
        late = Showing(image_id, drawing.base, self.access, is_late=True)
        self.showings = {drawing.tag: late, **self.showings}
        return late

    def _tell(self, error: ImageBaseError, access: RecordAccess) -> None:
        if isinstance(error, RevisionConflictError) and access.on_conflict is not None:
            access.on_conflict(error)
        else:
            self.problem = str(error)

    def take_actions(self, message: Message) -> tuple[Action, ...]:
        """Return the keys that were pressed since this was asked last.

        Those wait that are about an image of which a change is not saved.
        """
        unsaved = {where.image_id for where in self.refused}
        taken: list[Action] = []
        for one in message.actions:
            if one.number > self.actions_done:
                if one.image_id in unsaved:
                    break
                taken.append(one)
                self.actions_done = one.number
        return tuple(taken)

    def answer(self) -> dict[str, Any]:
        """Return what the browser is told of what it said."""
        return {
            "booked": [[*where, seq] for where, seq in self.booked.items()],
            "refused": [[*where, *why] for where, why in self.refused.items()],
            "done": self.actions_done,
        }


def _dataset(access: RecordAccess | None) -> str:
    return "" if access is None else access.dataset_id


def _seen(record: ImageRecord) -> tuple[Seen, ...]:
    return tuple(
        sorted(
            Seen(one.annotation_id, one.box, one.label, one.is_untouched)
            for one in record.annotations
        )
    )


def _merge_and_save(
    showing: Showing,
    drawn: tuple[ShownBox, ...],
    access: RecordAccess,
    copies: Mapping[str, str],
) -> ImageRecord:
    """Save the difference over the record as this session saw it last."""
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
    kept = {one.annotation_id for one in edited.annotations}
    showing.removed |= {
        one.annotation_id: one
        for one in view.annotations
        if one.annotation_id not in kept
    }
    if edited is base:
        return record
    if showing.is_late:
        edited = _brought_up(base, edited, record)
    edited = _without_untouched(edited, showing.suggested, record)
    return record if edited == record else access.save(edited)


def _without_untouched(
    edited: ImageRecord, suggested: Mapping[str, Annotation], record: ImageRecord
) -> ImageRecord:
    """Return what was edited without the suggestions that nobody touched."""
    stored = {one.annotation_id for one in record.annotations}
    kept = [
        one
        for one in edited.annotations
        if one.annotation_id in stored or suggested.get(one.annotation_id) is not one
    ]
    return edited.with_annotations(kept)


def _brought_up(
    base: ImageRecord, edited: ImageRecord, record: ImageRecord
) -> ImageRecord:
    """Return the record with what was edited on it as the browser knew it.

    Raises:
        RevisionConflictError: a person has to choose.
    """
    both = Conflict(base, edited, record)
    if is_separate(both):
        joined = merged(both)
        # What was stored before its answer was lost leaves what was decided since.
        return record if _seen(joined) == _seen(record) else joined
    raise RevisionConflictError(_DISPUTED, ours=edited, theirs=record, base=base)


def _reason(error: ImageBaseError) -> str:
    """Return why, without the advice to try again: that is done already."""
    return re.split(r"[:;] nothing was saved", str(error))[0].rstrip(".") + "."


def _is_true_view(drawn: tuple[ShownBox, ...], saved: ImageRecord) -> bool:
    """Say whether an editor that holds these boxes shows the record as it was saved."""
    return len(drawn) == len(saved.annotations) and is_faithful(saved, drawn)
