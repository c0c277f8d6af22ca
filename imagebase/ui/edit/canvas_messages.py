"""What the editor in the browser is told and what it says, as plain JSON.

It is filled with boxes under a tag, in pixels of the image. It answers with what the
boxes of a tag are now, whole, and with the keys pressed since the last answer; each
bears a number and the image it was meant for, and is said again until it is answered.
Edges travel exactly: one that nobody moved comes back as the very float it was.
"""

import json
import re
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from imagebase.annotation import Box, ImageRecord
from imagebase.editing.records import ShownBox

_MAX_EDGE: Final = sys.float_info.max
_ID: Final = re.compile(r"[\w.-]{1,64}", re.ASCII)


class Where(NamedTuple):
    """An image in a dataset, as the browser keeps what is not saved of it.

    place: whose changes these are and in which dataset, see `RecordAccess.place`.
    """

    place: str = ""
    image_id: str = ""


class Drawing(NamedTuple):
    """What the boxes of a tag are now; `seq` grows with everything that is said.

    boxes: all of them; None where what was said of them makes no sense.
    before: as the boxes were that were changed or deleted since the server knew them.
    added: ids of the boxes that it did not know.
    copies: of which box each of them is a copy, where it is one.
    """

    tag: str
    seq: int
    boxes: tuple[ShownBox, ...] | None
    where: Where = Where()
    before: tuple[ShownBox, ...] = ()
    added: frozenset[str] = frozenset()
    copies: Mapping[str, str] = MappingProxyType({})

    @property
    def base(self) -> tuple[ShownBox, ...]:
        """The boxes as they were before anything was done that is not booked yet."""
        before = {one.annotation_id: one for one in self.before}
        kept = [
            before.pop(one.annotation_id, one)
            for one in self.boxes or ()
            if one.annotation_id not in self.added
        ]
        return (*kept, *before.values())


class Action(NamedTuple):
    """A key or button that asks something of the page, counted, and on which image."""

    number: int
    name: str
    image_id: str = ""


class Message(NamedTuple):
    """Everything an editor has said that is not answered, the oldest first."""

    drawings: tuple[Drawing, ...] = ()
    actions: tuple[Action, ...] = ()


def filling(record: ImageRecord, *, tag: str, seq: int) -> dict[str, Any]:
    """Return the record's boxes as the editor is filled with them.

    Args:
        seq: of the last message that the record knows of.
    """
    return {
        "tag": tag,
        "image": record.image_id,
        "size": list(record.size),
        "seq": seq,
        "boxes": [
            {
                "id": one.annotation_id,
                "box": list(one.box),
                "label": one.label,
                "confidence": one.confidence,
                "untouched": one.is_untouched,
            }
            for one in record.annotations
        ],
    }


def parcel(head: Mapping[str, object], content: bytes = b"") -> bytes:
    """Return bytes for the browser with a line of JSON before them."""
    return json.dumps(dict(head)).encode("ascii") + b"\n" + content


def parse_message(said: object) -> Message:
    """Return what an editor said; what makes no sense is left out.

    A drawing with one senseless box has none: the box would else count as deleted.
    """
    if not isinstance(said, Mapping):
        return Message()
    drawings = (_drawing(one) for one in _list(said.get("drawings")))
    actions = (_action(one) for one in _list(said.get("actions")))
    return Message(
        tuple(one for one in drawings if one is not None),
        tuple(one for one in actions if one is not None),
    )


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _drawing(said: object) -> Drawing | None:
    if not isinstance(said, Mapping):
        return None
    tag, seq = said.get("tag"), said.get("seq")
    if not isinstance(tag, str) or not isinstance(seq, int):
        return None
    where = Where(_text(said.get("place")), _text(said.get("image")))
    before = _boxes(said.get("before", []))
    added = frozenset(map(_text, _list(said.get("added"))))
    boxes = None if before is None else _boxes(said.get("boxes"))
    copies = dict(filter(None, map(_copy, _list(said.get("copies")))))
    return Drawing(tag, seq, boxes, where, before or (), added, copies)


def _copy(said: object) -> tuple[str, str] | None:
    match said:
        case [str(copy), str(source)]:
            return copy, source
    return None


def _boxes(said: object) -> tuple[ShownBox, ...] | None:
    """Return boxes; None where one of them makes no sense, or is there twice."""
    if not isinstance(said, list):
        return None
    known = {one.annotation_id: one for one in map(_box, said) if one is not None}
    return tuple(known.values()) if len(known) == len(said) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _box(said: object) -> ShownBox | None:
    if not isinstance(said, Mapping):
        return None
    annotation_id, label = said.get("id"), said.get("label")
    edges = [one for one in _list(said.get("box")) if isinstance(one, int | float)]
    if not isinstance(annotation_id, str) or not _ID.fullmatch(annotation_id):
        return None
    if len(edges) != 4 or not all(abs(one) <= _MAX_EDGE for one in edges):
        return None
    if not isinstance(label, str):
        return None
    return ShownBox(annotation_id, Box(*map(float, edges)), label)


def _action(said: object) -> Action | None:
    match said:
        case [int(number), str(name)]:
            return Action(number, name)
        case [int(number), str(name), str(image_id)]:
            return Action(number, name, image_id)
    return None
