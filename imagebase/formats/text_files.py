"""Read and write text, CSV and XML files of any program, safely and row by row."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Final
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape, quoteattr

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from imagebase.errors import AnnotationFileError, ExportError
from imagebase.formats.base import FileTree, Streamed


def text_of(data: bytes, file: str) -> str:
    """Return a text file's text: UTF-8 with or without a mark, or UTF-16 with one.

    Raises:
        AnnotationFileError: in another encoding.
    """
    is_utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        return data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationFileError(
            f"{file} is not UTF-8 text (byte {error.start}); save it as UTF-8."
        ) from error


def lines_of(text: str) -> list[str]:
    """Return lines without their ends; blanks inside and around stay.

    Not `splitlines`: it also splits at characters that a name may hold. A text of the
    first Macs has carriage returns alone.
    """
    ends = "\n" if "\n" in text else "\r"
    return [line.removesuffix("\r") for line in text.split(ends)]


_PART_CHARACTERS: Final = 1 << 16
# A cell may hold all that is said of an image, as JSON.
csv.field_size_limit(1 << 24)


def csv_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Streamed:
    """Return a file with this first line and these rows, quoted where they need it."""
    return Streamed(_parts(header, rows))


def _parts(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow(row)
        if text.tell() >= _PART_CHARACTERS:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def csv_rows(tree: FileTree, file: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of each row that is not blank, the header too.

    Commas, semicolons, tabs or bars, whichever the first line has most of.

    Raises:
        AnnotationFileError: neither UTF-8 nor UTF-16, or from some line on not CSV.
            What was yielded before is sound.
    """
    with tree.open(file) as opened:
        is_utf16 = opened.read(2) in (b"\xff\xfe", b"\xfe\xff")
        opened.seek(0)
        encoding = "utf-16" if is_utf16 else "utf-8-sig"
        text = io.TextIOWrapper(opened, encoding=encoding, newline="")
        line = 1
        try:
            first = text.readline()
            # A spreadsheet may say in a line of its own what it puts between cells.
            if re.fullmatch(r"sep=.\s*", first):
                first = text.readline()
            else:
                text.seek(0)
            reader = csv.reader(text, delimiter=max(",;\t|", key=first.count))
            for row in reader:
                line = reader.line_num
                if any(cell.strip() for cell in row):
                    yield line, row
        except UnicodeDecodeError as error:
            raise AnnotationFileError(
                f"{file} is not UTF-8 text after line {line} "
                f"(byte {error.object[error.start]:#04x}); save it as UTF-8."
            ) from error
        except csv.Error as error:
            raise AnnotationFileError(
                f"after line {line} it is not CSV ({error})"
            ) from error


# https://www.w3.org/TR/xml/#charsets
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escaped(text: str, *, title: str) -> str:
    """Return text as it stands between tags.

    Args:
        title: the format that is written, for the error.

    Raises:
        ExportError: it holds a character that XML does not allow.
    """
    return escape(_allowed(text, title))


def quoted(text: str, *, title: str) -> str:
    """Return text as an attribute's value, in its quotes; errors as in `escaped`."""
    return quoteattr(_allowed(text, title))


def _allowed(text: str, title: str) -> str:
    if _NOT_XML.search(text):
        raise ExportError(
            f"{text!r} holds a character that XML does not allow; rename it, or choose "
            f"another format than {title}."
        )
    return text


def root_of(tree: FileTree, file: str) -> Element:
    """Return the outermost element with all that is in it.

    Raises:
        AnnotationFileError: it is not XML, or declares entities.
    """
    *_, (_, root) = _events(tree, file, ("end",))
    return root


def root_tag_of(tree: FileTree, file: str) -> str:
    """Return the name of the outermost element, without reading on; errors as above."""
    for _, element in _events(tree, file, ("start",)):
        return element.tag
    raise AnnotationFileError("it is not XML (it is empty)")


def children_of(tree: FileTree, file: str) -> Iterator[Element]:
    """Yield the elements right below the outermost one, one by one, each whole.

    Raises:
        AnnotationFileError: as above. What was yielded before is sound.
    """
    root: Element | None = None
    depth = 0
    for event, element in _events(tree, file, ("start", "end")):
        root = element if root is None else root
        depth += 1 if event == "start" else -1
        if event == "end" and depth == 1:
            yield element
            root.clear()


def _events(
    tree: FileTree, file: str, events: tuple[str, ...]
) -> Iterator[tuple[str, Element]]:
    with tree.open(file) as opened:
        try:
            yield from _parsed(opened, events)
        except DefusedXmlException as error:
            raise AnnotationFileError(
                "it declares entities, which is not safe"
            ) from error
        # An encoding that Python does not know is a LookupError.
        except (ParseError, ValueError, LookupError) as error:
            raise AnnotationFileError(f"it is not XML ({error})") from error


def _parsed(file: IO[bytes], events: tuple[str, ...]) -> Iterator[tuple[str, Element]]:
    yield from iterparse(file, events=events, forbid_dtd=False)
