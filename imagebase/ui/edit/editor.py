"""What the editor shows, what a person did on it since, and where that belongs.

The record in the store is the only truth. The editor in the browser is a view of it,
filled from a frozen list of boxes that bears a tag. A message is compared with what
that tag showed last, and only the difference is booked, on the image it was drawn on.
The editor is filled anew only when the record says something else than it shows.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from imagebase.annotation import Annotation, Box, ImageRecord, new_id
from imagebase.editing import ShownBox, is_faithful, merge_drawing
from imagebase.errors import ImageBaseError, NotFoundError, RevisionConflictError
from imagebase.ui.edit.box_message import Action, Drawing, Message, filling

# Messages can be this many fillings late.
_KEPT_TAGS: Final = 16

# Reruns that may come while one edit is booked.
_PATIENCE: Final = 10

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RecordAccess:
    """How the editor reads and writes records, and whose name its changes bear.

    load: an image's record as this session saw it last.
    save: stores a record and returns it with its new revision; may raise.
    dataset_id: where; the same image may be in another dataset too.
    on_conflict: hears of a change that was not saved because somebody else saved a
        newer revision; without it the error's sentence is the problem that is told.
    """

    load: Callable[[str], ImageRecord]
    save: Callable[[ImageRecord], ImageRecord]
    who: str
    dataset_id: str = ""
    on_conflict: Callable[[RevisionConflictError], None] | None = None


@dataclass(slots=True)
class Showing:
    """What the editor showed last under one tag."""

    image_id: str
    boxes: tuple[ShownBox, ...]
    access: RecordAccess | None = None
    removed: dict[str, Annotation] = field(default_factory=dict)


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
    seq: of the last message that was booked.
    problem: why the last change was not saved, in a sentence.
    actions_done: keys that the page has answered.
    """

    access: RecordAccess | None = None
    tag: str = ""
    filling: dict[str, Any] = field(default_factory=dict)
    showings: dict[str, Showing] = field(default_factory=dict)
    synced: tuple[Seen, ...] | None = None
    seq: int = 0
    problem: str = ""
    actions_done: int = 0

    def shows(self, record: ImageRecord) -> bool:
        """Say whether the editor shows the record as it is now."""
        showing = self.showings.get(self.tag)
        if showing is None or showing.image_id != record.image_id:
            return False
        is_here = _dataset(showing.access) == _dataset(self.access)
        return is_here and self.synced == _seen(record)

    def fill(self, record: ImageRecord) -> None:
        """Fill the editor with the record's boxes, under a tag of its own."""
        self.tag = f"{record.image_id[:12]}/{record.revision}/{new_id()[:8]}"
        self.filling = filling(record, tag=self.tag, seq=self.seq)
        self.showings[self.tag] = Showing(
            image_id=record.image_id,
            boxes=tuple(
                ShownBox(one.annotation_id, one.box, one.label)
                for one in record.annotations
            ),
            access=self.access,
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
            self._book(drawing, interruptions)
            self.seq = max(self.seq, drawing.seq)

    def _book(self, drawing: Drawing, interruptions: list[BaseException]) -> None:
        showing = self.showings.get(drawing.tag)
        if showing is None or showing.access is None or drawing.boxes == showing.boxes:
            return
        is_here = _dataset(showing.access) == _dataset(self.access)
        access = self.access if is_here and self.access else showing.access
        save = partial(_merge_and_save, showing, drawing.boxes, access)
        try:
            saved = undisturbed(save, interruptions)
        except (RevisionConflictError, NotFoundError) as error:
            # It is told once: a second try would write over what somebody else did.
            showing.boxes, self.synced = drawing.boxes, None
            undisturbed(partial(self._tell, error, access), interruptions)
            return
        except ImageBaseError as error:
            self.problem, self.synced = str(error), None
            return
        showing.boxes = drawing.boxes
        if drawing.tag == self.tag:
            is_true = _is_true_view(drawing.boxes, saved)
            self.synced = _seen(saved) if is_true else None

    def _tell(self, error: ImageBaseError, access: RecordAccess) -> None:
        if isinstance(error, RevisionConflictError) and access.on_conflict is not None:
            access.on_conflict(error)
        else:
            self.problem = str(error)

    def take_actions(self, message: Message) -> tuple[Action, ...]:
        """Return the keys that were pressed since this was asked last."""
        new = tuple(one for one in message.actions if one.number > self.actions_done)
        if new:
            self.actions_done = new[-1].number
        return new


def undisturbed(work: Callable[[], T], interruptions: list[BaseException]) -> T:
    """Run to its end what a waiting rerun would cut short; the caller raises it later.

    Streamlit raises a rerun wherever the script touches session state, once, and as no
    Exception; a callback that it cuts short is not called again, and an edit would be
    lost. The work is begun again, so it must be harmless to do twice. A session that
    ends raises every time: then it is over.
    """
    for _ in range(_PATIENCE):
        try:
            return work()
        except (Exception, KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as interruption:
            interruptions.append(interruption)
    raise interruptions[-1]


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
    showing: Showing, drawn: tuple[ShownBox, ...], access: RecordAccess
) -> ImageRecord:
    """Save the difference over the record as this session saw it last."""
    record = access.load(showing.image_id)
    merged = merge_drawing(
        record,
        shown=showing.boxes,
        drawn=drawn,
        who=access.who,
        removed=showing.removed,
    )
    kept = {one.annotation_id for one in merged.annotations}
    showing.removed |= {
        one.annotation_id: one
        for one in record.annotations
        if one.annotation_id not in kept
    }
    return record if merged is record else access.save(merged)


def _is_true_view(drawn: tuple[ShownBox, ...], saved: ImageRecord) -> bool:
    """Say whether an editor that holds these boxes shows the record as it was saved."""
    return len(drawn) == len(saved.annotations) and is_faithful(saved, drawn)
