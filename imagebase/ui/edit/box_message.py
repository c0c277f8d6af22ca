"""What the editor in the browser is told and what it says, as plain JSON.

It is filled with boxes under a tag, in pixels of the image. It answers with what the
boxes of a tag are now, whole, and with the keys pressed so far, numbered. Edges travel
exactly: one that nobody moved comes back as the very float it was.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from imagebase.annotation import Box, ImageRecord
from imagebase.editing import ShownBox

_ID: Final = re.compile(r"[\w.-]{1,64}", re.ASCII)


class Drawing(NamedTuple):
    """What the boxes of a tag are now; `seq` grows with everything that is said."""

    tag: str
    seq: int
    boxes: tuple[ShownBox, ...]


class Action(NamedTuple):
    """A key that asks something of the page, and how many were pressed by then."""

    number: int
    name: str


class Message(NamedTuple):
    """Everything an editor has said lately, the oldest first."""

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

    A drawing with one senseless box is left out as a whole: the box would else count
    as deleted.
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
    boxes = [_box(one) for one in _list(said.get("boxes"))]
    known = [one for one in boxes if one is not None]
    is_whole = len(known) == len(boxes) and isinstance(said.get("boxes"), list)
    if not is_whole or not isinstance(tag, str) or not isinstance(seq, int):
        return None
    return Drawing(tag, seq, tuple(known))


def _box(said: object) -> ShownBox | None:
    if not isinstance(said, Mapping):
        return None
    annotation_id, label = said.get("id"), said.get("label")
    edges = [one for one in _list(said.get("box")) if isinstance(one, int | float)]
    if not isinstance(annotation_id, str) or not _ID.fullmatch(annotation_id):
        return None
    if len(edges) != 4 or not all(map(math.isfinite, edges)):
        return None
    if not isinstance(label, str):
        return None
    return ShownBox(annotation_id, Box(*map(float, edges)), label)


def _action(said: object) -> Action | None:
    match said:
        case [int(number), str(name)]:
            return Action(number, name)
    return None
