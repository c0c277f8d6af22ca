"""What the canvas shows, what a person did on it since, and where that belongs.

The record in the store is the only truth. The canvas is a view of it, filled from a
frozen drawing that bears a tag; a message is compared with what the canvas of its own
tag showed last, and only the difference is booked, on the image it was drawn on. The
canvas is filled anew only when the record says something else than it shows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from imagebase.annotation import Annotation, Box, ImageRecord, LabelSet, new_id
from imagebase.editing import ShownBox, identified, is_faithful, merge_drawing
from imagebase.errors import ImageBaseError, RevisionConflictError
from imagebase.ui import fabric
from imagebase.ui.fabric import Viewport

# Messages can be this many fillings late.
_KEPT_TAGS: Final = 16

# Less than this on the canvas is rounding, not a movement.
_TOLERANCE_PX: Final = 0.1

# Reruns that may come while one edit is booked.
_PATIENCE: Final = 10

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RecordAccess:
    """How the editor reads and writes records, and whose name its changes bear.

    load: the newest record of an image.
    save: stores a record and returns it with its new revision; may raise.
    dataset_id: where; the same image may be in another dataset too.
    """

    load: Callable[[str], ImageRecord]
    save: Callable[[ImageRecord], ImageRecord]
    who: str
    dataset_id: str = ""


@dataclass(slots=True)
class Showing:
    """What the canvas of one tag was filled with, and what it showed last."""

    image_id: str
    viewport: Viewport
    pushed: dict[str, Annotation]
    boxes: tuple[ShownBox, ...]
    access: RecordAccess | None = None
    removed: dict[str, Annotation] = field(default_factory=dict)
    has_changed: bool = False

    @property
    def tolerance_px(self) -> float:
        return _TOLERANCE_PX * self.viewport.pixel_size


class Seen(NamedTuple):
    """What of a box can be seen: two equal ones need no new drawing."""

    annotation_id: str
    box: Box
    label: str
    is_untouched: bool


@dataclass(slots=True)
class Editor:
    """One session's canvas.

    synced: what the canvas is known to show of the record; None asks for a filling.
    problem: why the last change was not saved, in a sentence.
    actions_done: keys that the page has answered.
    """

    access: RecordAccess | None = None
    tag: str = ""
    drawing: dict[str, Any] = field(default_factory=dict)
    showings: dict[str, Showing] = field(default_factory=dict)
    synced: tuple[Seen, ...] | None = None
    problem: str = ""
    actions_done: int = 0

    def shows(self, record: ImageRecord, viewport: Viewport) -> bool:
        """Say whether the canvas shows this part of the record as it is now."""
        showing = self.showings.get(self.tag)
        if showing is None or showing.viewport != viewport:
            return False
        is_same_image = showing.image_id == record.image_id
        is_same_image &= _dataset(showing.access) == _dataset(self.access)
        return is_same_image and self.synced == _seen(record, viewport)

    def fill(
        self, record: ImageRecord, viewport: Viewport, *, labels: LabelSet
    ) -> None:
        """Make a drawing of the record's boxes, under a tag of its own."""
        annotations = fabric.visible(record, viewport)
        self.tag = f"{record.image_id[:12]}/{record.revision}/{new_id()[:8]}"
        self.drawing = fabric.to_drawing(
            annotations, viewport, labels=labels, tag=self.tag
        )
        self.showings[self.tag] = Showing(
            image_id=record.image_id,
            viewport=viewport,
            pushed={one.annotation_id: one for one in annotations},
            boxes=tuple(
                ShownBox(one.annotation_id, one.box, one.label) for one in annotations
            ),
            access=self.access,
        )
        while len(self.showings) > _KEPT_TAGS:
            del self.showings[next(iter(self.showings))]
        self.synced = _seen(record, viewport)

    def refill(self) -> None:
        """Ask for a filling where the canvas was filled with something older."""
        showing = self.showings.get(self.tag)
        if showing is not None and showing.has_changed:
            self.synced = None

    def book(
        self, message: Mapping[str, Any], interruptions: list[BaseException]
    ) -> None:
        """Save what a message changes; doing so twice does no harm."""
        showing = self.showings.get(fabric.tag_of(message))
        if showing is None or showing.access is None:
            return
        is_here = _dataset(showing.access) == _dataset(self.access)
        access = self.access if is_here and self.access else showing.access
        found = fabric.from_message(message, showing.viewport, pushed=showing.pushed)
        drawn = identified(showing.boxes, found)
        has_strays = len(drawn) < len(message.get("objects", []))
        if drawn == showing.boxes and not has_strays:
            return
        save = partial(_merge_and_save, showing, drawn, access)
        try:
            saved = undisturbed(save, interruptions)
        except ImageBaseError as error:
            self.problem, self.synced = str(error), None
            return
        showing.has_changed, showing.boxes = True, drawn
        if fabric.tag_of(message) == self.tag:
            is_true = not has_strays and _is_true_view(showing, saved)
            self.synced = _seen(saved, showing.viewport) if is_true else None


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


def _seen(record: ImageRecord, viewport: Viewport) -> tuple[Seen, ...]:
    return tuple(
        Seen(one.annotation_id, one.box, one.label, one.is_untouched)
        for one in fabric.visible(record, viewport)
    )


def _merge_and_save(
    showing: Showing, drawn: tuple[ShownBox, ...], access: RecordAccess
) -> ImageRecord:
    """Save the difference over the newest record, once more if that moved on."""
    try:
        return _merge_once(showing, drawn, access)
    except RevisionConflictError:
        return _merge_once(showing, drawn, access)


def _merge_once(
    showing: Showing, drawn: tuple[ShownBox, ...], access: RecordAccess
) -> ImageRecord:
    record = access.load(showing.image_id)
    merged = merge_drawing(
        record,
        shown=showing.boxes,
        drawn=drawn,
        who=access.who,
        removed=showing.removed,
        tolerance_px=showing.tolerance_px,
    )
    kept = {one.annotation_id for one in merged.annotations}
    showing.removed |= {
        one.annotation_id: one
        for one in record.annotations
        if one.annotation_id not in kept
    }
    return record if merged is record else access.save(merged)


def _is_true_view(showing: Showing, saved: ImageRecord) -> bool:
    """Say whether the canvas shows the record, in its colours, as it was saved.

    It does not after a label was typed on it (the colour is another then), or after a
    box was pulled over the edge.
    """
    has_new_label = any(
        showing.pushed[box.annotation_id].label != box.label
        for box in showing.boxes
        if box.annotation_id in showing.pushed
    )
    is_complete = len(showing.boxes) == len(fabric.visible(saved, showing.viewport))
    return (
        is_complete
        and not has_new_label
        and is_faithful(saved, showing.boxes, tolerance_px=showing.tolerance_px)
    )
