"""Text files as people save them: byte order marks, UTF-16, Windows' own letters."""

import codecs
from typing import Final, NamedTuple

MAX_TEXT_BYTES: Final = 1_000_000
_SNIFFED: Final = 4_096
_CONTROL: Final = frozenset(range(32)) - {9, 10, 12, 13, 26}
_MARKS: Final = {
    codecs.BOM_UTF8: ("utf-8", "begins with a byte order mark"),
    codecs.BOM_UTF16_LE: ("utf-16-le", "is UTF-16 text"),
    codecs.BOM_UTF16_BE: ("utf-16-be", "is UTF-16 text"),
}


class Text(NamedTuple):
    """A file's text, and what is unusual about how it was saved."""

    text: str
    oddities: tuple[str, ...] = ()


def decoded_text(data: bytes) -> Text | None:
    """Return a file as text; None where it is no text."""
    if len(data) > MAX_TEXT_BYTES:
        return None
    found = _decoded(data)
    if found is None:
        return None
    text, oddities = found
    if "\r" in text:
        oddities = (*oddities, "has Windows line ends")
    return Text(text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\x1a"), oddities)


def _decoded(data: bytes) -> Text | None:
    for mark, (encoding, what) in _MARKS.items():
        if data.startswith(mark):
            return _as(data[len(mark) :], encoding, what)
    if _is_utf16_without_mark(data):
        return _as(data, "utf-16-le", "is UTF-16 text")
    if _CONTROL & set(data[:_SNIFFED]):
        return None
    try:
        return Text(data.decode("utf-8"))
    except UnicodeDecodeError:
        what = "is not UTF-8 and was read as Windows text (check ä, é and the like)"
        return _as(data, "cp1252", what) if _is_mostly_ascii(data) else None


def _as(data: bytes, encoding: str, what: str) -> Text | None:
    try:
        return Text(data.decode(encoding), (what,))
    except UnicodeDecodeError:
        return None


def _is_utf16_without_mark(data: bytes) -> bool:
    """Say whether every second byte is 0, as in UTF-16 of plain English."""
    head = data[:_SNIFFED]
    if len(head) < 4 or len(data) % 2:
        return False
    return not any(head[1::2]) and all(byte > 8 for byte in head[::2])


def _is_mostly_ascii(data: bytes) -> bool:
    head = data[:_SNIFFED]
    return sum(byte < 128 for byte in head) > 0.8 * len(head)
