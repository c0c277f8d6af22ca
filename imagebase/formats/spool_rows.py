"""Images that are being taken in, and their rows in the scratch file."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from imagebase.annotation import Size
from imagebase.formats.scratch import from_bytes, to_bytes


@dataclass(slots=True)
class Entry:
    """An image that is being taken in.

    key: that it is known by: the path of its file, or what stands for one that is not
        there. name: what its label file calls it, short.
    path, others: its file, empty where none is known; those that may be meant.
    stated, stated_in: how the first label file has it, and which that is.
    fit: how well its file fits that, as bytes that compare.
    file, earlier: the file whose boxes come in now, and how many boxes those before
        it had. boxes: how many there are, crowds too.
    part: None where nothing has named one yet, empty where two were named.
    """

    image_id: int
    key: str
    name: str
    size: Size | None
    is_relative: bool
    path: str = ""
    others: tuple[str, ...] = ()
    stated: str = ""
    stated_in: str = ""
    fit: bytes = b""
    file: str = ""
    earlier: int = 0
    boxes: int = 0
    part: str | None = None


class Stated(NamedTuple):
    """An image as a label file has it, and the file that it means; as in `Entry`."""

    key: str
    name: str
    path: str = ""
    others: tuple[str, ...] = ()
    stated: str = ""
    stated_in: str = ""
    fit: bytes = b""


def state_of(entry: Entry) -> tuple[object, ...]:
    width, height = entry.size or (None, None)
    texts = (entry.path, entry.stated, entry.stated_in)
    path, stated, stated_in = (to_bytes(text) or None for text in texts)
    return (
        *(to_bytes(entry.name), path, joined_texts(entry.others)),
        *(stated, stated_in, entry.fit, width, height, entry.is_relative),
        *(to_bytes(entry.file), entry.earlier, entry.boxes, entry.part),
        entry.image_id,
    )


def entry_of(row: tuple[Any, ...]) -> Entry:
    image_id, key, name, path, others, stated, stated_in, fit, width, height = row[:10]
    is_relative, file, earlier, boxes, part = row[10:]
    return Entry(
        image_id,
        from_bytes(key),
        from_bytes(name),
        None if width is None else Size(width, height),
        bool(is_relative),
        from_bytes(path or b""),
        split_texts(others),
        from_bytes(stated or b""),
        from_bytes(stated_in or b""),
        fit,
        from_bytes(file),
        earlier,
        boxes,
        part,
    )


def joined_texts(texts: Iterable[str]) -> bytes | None:
    return to_bytes("\0".join(texts)) or None


def split_texts(data: bytes | None) -> tuple[str, ...]:
    return tuple(from_bytes(data).split("\0")) if data else ()
