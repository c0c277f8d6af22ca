"""Messages between server and the editor in the browser, as plain JSON.

The server fills the editor with boxes under a tag, in pixels of the image. The editor
sends all current boxes of a tag, and the keys typed since the last answer;
each has a number and the image it was meant for, and is sent again until confirmed.
Edges travel exactly: an edge that was not moved comes back as the same float.
"""

import json
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from imagebase.annotation import Box, ImageRecord
from imagebase.editing.records import ShownBox

_MAX_EDGE: Final = sys.float_info.max
# Of an action, beside its number and name.
_ACTION_TEXTS: Final = 4
_ID: Final = re.compile(r"[\w.-]{1,64}", re.ASCII)


class Where(NamedTuple):
    """An image in a dataset, as key of the unsaved changes in the browser.

    place: visitor and dataset, see `RecordAccess.place`.
    """

    place: str = ""
    image_id: str = ""


class Drawing(NamedTuple):
    """The current boxes of a tag; `seq` grows with every message.

    boxes: all of them; None where the message is invalid.
    before: the server's version of the boxes that were changed or deleted.
    added: ids of the boxes that the server does not have.
    copies: by id of a copied box, the id of its original.
    amends: number of the first of the drawings that are one step to undo with this one;
        or 0.
    after: number of the last action before its changes, or 0.
    """

    tag: str
    seq: int
    boxes: tuple[ShownBox, ...] | None
    where: Where = Where()
    before: tuple[ShownBox, ...] = ()
    added: frozenset[str] = frozenset()
    copies: Mapping[str, str] = MappingProxyType({})
    amends: int = 0
    after: int = 0

    @property
    def base(self) -> tuple[ShownBox, ...]:
        """The boxes before all changes that are not saved yet."""
        before = {annotation.annotation_id: annotation for annotation in self.before}
        unchanged = [
            before.pop(box.annotation_id, box)
            for box in self.boxes or ()
            if box.annotation_id not in self.added
        ]
        return (*unchanged, *before.values())


class Action(NamedTuple):
    """An action of a key or button, numbered, and the image it was meant for.

    tag: of the filling that was on screen.
    then, then_tag: the image that the editor shows since, before the answer, and the
        tag of its filling; or empty.
    """

    number: int
    name: str
    image_id: str = ""
    tag: str = ""
    then: str = ""
    then_tag: str = ""


class FreshBox(NamedTuple):
    """A box that was just finished.

    previous: the label of the box before, or empty. attempt: how often it was asked.
    is_fresh: a person has just finished it; else it is a model's that was selected.
    """

    image_id: str
    annotation_id: str
    box: Box
    previous: str = ""
    attempt: int = 1
    is_fresh: bool = True


class LabelOffer(NamedTuple):
    """The answer to a fresh box.

    labels: the likeliest ones, best first.
    first: the one that the box gets unless a person says otherwise; None leaves it.
    keys: labels of the keys 1 to 9 from now on; none leaves them.
    """

    labels: tuple[str, ...] = ()
    first: str | None = None
    keys: tuple[str, ...] = ()


class Message(NamedTuple):
    """Everything from an editor that is not confirmed yet, oldest first."""

    drawings: tuple[Drawing, ...] = ()
    actions: tuple[Action, ...] = ()


def filling(
    record: ImageRecord, *, tag: str, seq: int, learned: str = ""
) -> dict[str, Any]:
    """Return the record's boxes as a filling for the editor.

    Args:
        seq: of the last message that is saved in the record.
        learned: name of what was learned, by which boxes are suggested; or empty.
    """
    return {
        "tag": tag,
        "learned": learned,
        "image": record.image_id,
        "size": list(record.size),
        "seq": seq,
        "boxes": [
            {
                "id": annotation.annotation_id,
                "box": list(annotation.box),
                "label": annotation.label,
                "confidence": annotation.confidence,
                "untouched": annotation.is_untouched,
            }
            for annotation in record.annotations
        ],
    }


def parcel(head: Mapping[str, object], content: bytes = b"") -> bytes:
    """Return bytes for the browser, after a line of JSON."""
    return json.dumps(dict(head)).encode("ascii") + b"\n" + content


def parse_message(value: object) -> Message:
    """Return the message of an editor, as JSON or its text; invalid parts are left out.

    A drawing with an invalid box has no boxes, since that box would count as deleted.
    """
    if isinstance(value, str):
        return _parse_text(value)
    if not isinstance(value, Mapping):
        return Message()
    drawings = (_drawing(entry) for entry in _list(value.get("drawings")))
    actions = (_action(entry) for entry in _list(value.get("actions")))
    return Message(
        tuple(drawing for drawing in drawings if drawing is not None),
        tuple(action for action in actions if action is not None),
    )


@lru_cache(maxsize=8)  # read in each run until the next one comes
def _parse_text(text: str) -> Message:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return Message()
    return parse_message(value) if isinstance(value, Mapping) else Message()


def parse_fresh_box(value: object) -> FreshBox | None:
    """Return the box whose label the editor asks for; None if it is invalid."""
    if not isinstance(value, Mapping) or not isinstance(value.get("image"), str):
        return None
    shown = _box(value)
    if shown is None or not shown.box.is_finite or shown.box.area <= 0:
        return None
    attempt = value.get("attempt")
    return FreshBox(
        value["image"],
        shown.annotation_id,
        shown.box,
        _text(value.get("previous")),
        attempt if isinstance(attempt, int) else 1,
        value.get("isFresh") is not False,
    )


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _drawing(value: object) -> Drawing | None:
    if not isinstance(value, Mapping):
        return None
    tag, seq = value.get("tag"), value.get("seq")
    if not isinstance(tag, str) or not isinstance(seq, int):
        return None
    where = Where(_text(value.get("place")), _text(value.get("image")))
    before = _boxes(value.get("before", []))
    added = frozenset(map(_text, _list(value.get("added"))))
    boxes = None if before is None else _boxes(value.get("boxes"))
    copies = dict(filter(None, map(_copy, _list(value.get("copies")))))
    amends, after = value.get("amends"), value.get("after")
    return Drawing(
        tag,
        seq,
        boxes,
        where,
        before or (),
        added,
        copies,
        amends if isinstance(amends, int) else 0,
        after if isinstance(after, int) else 0,
    )


def _copy(value: object) -> tuple[str, str] | None:
    match value:
        case [str(copy), str(source)]:
            return copy, source
    return None


def _boxes(value: object) -> tuple[ShownBox, ...] | None:
    """Return boxes; None if one is invalid or occurs twice."""
    if not isinstance(value, list):
        return None
    boxes = {
        annotation.annotation_id: annotation
        for annotation in map(_box, value)
        if annotation is not None
    }
    return tuple(boxes.values()) if len(boxes) == len(value) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _box(value: object) -> ShownBox | None:
    if not isinstance(value, Mapping):
        return None
    annotation_id, label = value.get("id"), value.get("label")
    edges = [
        number for number in _list(value.get("box")) if isinstance(number, int | float)
    ]
    if not isinstance(annotation_id, str) or not _ID.fullmatch(annotation_id):
        return None
    if len(edges) != 4 or not all(abs(edge) <= _MAX_EDGE for edge in edges):
        return None
    if not isinstance(label, str):
        return None
    return ShownBox(annotation_id, Box(*map(float, edges)), label)


def _action(value: object) -> Action | None:
    match value:
        case [int(number), str(name), *rest] if len(rest) <= _ACTION_TEXTS:
            texts = [text for text in rest if isinstance(text, str)]
            return Action(number, name, *texts) if texts == rest else None
    return None
