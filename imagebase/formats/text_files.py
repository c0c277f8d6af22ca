"""Read and write text, CSV, XML, JSON and YAML files of any program, safely."""

import codecs
import csv
import io
import json
import re
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import IO, Final, NamedTuple
from xml.etree.ElementTree import Element, ParseError, TreeBuilder
from xml.sax.saxutils import escape, quoteattr

import yaml
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser, iterparse

from imagebase.annotation import LabelSet
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


def names_file(labels: LabelSet) -> bytes:
    """Return a list of class names: one label a line, blanks around it kept."""
    return "".join(f"{name}\n" for name in labels.names).encode()


def read_names_file(tree: FileTree, file: str) -> list[str]:
    """Return the labels of a file with one a line."""
    lines = lines_of(text_of(tree.read(file), file))
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


# The lists of names that tools write have a few levels, and 20,000 names 0.5 MB.
_MAX_YAML_BYTES: Final = 2_000_000
_MAX_YAML_DEPTH: Final = 20
# libyaml parses twenty times as fast, but is not in every build of PyYAML.
_YAML_LOADER: Final = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def yaml_value(tree: FileTree, file: str) -> object:
    """Return what a YAML file holds: dicts, lists and text; `no` and `1e3` are text.

    Aliases are refused: with them, a few lines stand for a billion.

    Raises:
        AnnotationFileError: it is not YAML of one document, has aliases or a key that
            is no text, is nested too deeply, or is too large for a list of names.
    """
    data = tree.read(file)
    if len(data) > _MAX_YAML_BYTES:
        raise AnnotationFileError(
            f"{file} is larger than {_MAX_YAML_BYTES // 1_000_000} MB, which is too "
            "large for a YAML file of class names."
        )
    try:
        return _yaml_document(yaml.parse(text_of(data, file), Loader=_YAML_LOADER))
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise AnnotationFileError(f"{file} is not YAML: {reason}.") from error


def _yaml_document(events: Iterable[yaml.Event]) -> object:
    """Return the value that parser events describe, None of an empty document."""
    levels: list[list[object]] = [[]]
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"the alias *{event.anchor} is not allowed; write it out")
        if isinstance(event, yaml.ScalarEvent):
            levels[-1].append(event.value)
        elif isinstance(event, yaml.CollectionStartEvent):
            if len(levels) > _MAX_YAML_DEPTH:
                raise ValueError(f"it is nested more than {_MAX_YAML_DEPTH} deep")
            levels.append([])
        elif isinstance(event, yaml.SequenceEndEvent):
            members = levels.pop()
            levels[-1].append(members)
        elif isinstance(event, yaml.MappingEndEvent):
            members = levels.pop()
            levels[-1].append(_yaml_mapping(members))
        elif isinstance(event, yaml.DocumentStartEvent) and levels[0]:
            raise ValueError("it holds more than one document")
    return levels[0][0] if levels[0] else None


def _yaml_mapping(members: Sequence[object]) -> dict[str, object]:
    """Return a mapping whose keys and values take turns."""
    keys = members[::2]
    if not all(isinstance(key, str) for key in keys):
        raise ValueError("it has a key that is neither text nor a number")
    return dict(zip(map(str, keys), members[1::2], strict=True))


_PART_CHARACTERS: Final = 1 << 16
# A cell may hold all labels of an image, as JSON.
csv.field_size_limit(1 << 24)
# Each comma costs as much memory as 8 to 60 characters.
_MAX_ROW_CHARACTERS: Final = 20_000_000


# What a spreadsheet takes for a formula, behind as many apostrophes as are there.
_FORMULA: Final = re.compile("'*[=+\\-@\t\r\uff1d\uff0b\uff0d\uff20]")
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def csv_cell(value: object) -> object:
    """Return a cell that no spreadsheet runs: `=1+1` gets an apostrophe before it.

    So does text that begins with `+`, `-`, `@`, a tab or a carriage return and is no
    number. `csv_rows` takes the apostrophe away again.
    """
    if not isinstance(value, str) or not _FORMULA.match(value):
        return value
    return value if _NUMBER.fullmatch(value) else f"'{value}"


def csv_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Streamed:
    """Return a file with this first line and these rows; cells as in `csv_cell`."""
    return Streamed(_parts(header, rows))


def _parts(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow(map(csv_cell, row))
        if text.tell() >= _PART_CHARACTERS:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def csv_rows(
    tree: FileTree, file: str, *, own: Container[tuple[str, ...]] = ()
) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of each row that is not blank, the header too.

    Commas, semicolons, tabs or bars, whichever the first line has most of.

    Args:
        own: headers of files that we write, whose cells are as in `csv_cell`. Those of
            other programs stay as they are.

    Raises:
        AnnotationFileError: neither UTF-8 nor UTF-16, or from some line on not CSV.
            Items yielded before are sound.
    """
    rows = _csv_rows(tree, file)
    first = next(rows, None)
    if first is None:
        return
    yield first
    is_own = tuple(first[1]) in own
    for line, row in rows:
        yield line, list(map(_without_guard, row)) if is_own else row


def _without_guard(cell: str) -> str:
    is_guarded = cell.startswith("'") and _FORMULA.match(cell)
    return cell[1:] if is_guarded else cell


def _csv_rows(tree: FileTree, file: str) -> Iterator[tuple[int, list[str]]]:
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
            lines = _ShortRows(text)
            reader = csv.reader(lines, delimiter=max(",;\t|", key=first.count))
            for row in reader:
                lines.row_ended()
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


class _ShortRows:
    """Lines of a CSV file, as long as no row of them is too long."""

    def __init__(self, text: IO[str]) -> None:
        self._text = text
        self._length = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._text:
            self._length += len(line)
            if self._length > _MAX_ROW_CHARACTERS:
                raise csv.Error(
                    f"a row of more than {_MAX_ROW_CHARACTERS:,} characters"
                )
            yield line

    def row_ended(self) -> None:
        self._length = 0


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


# An element of 4 bytes takes 150 in memory. The largest files of one image that tools
# write have 20,000.
_MAX_ELEMENTS: Final = 1_000_000
_MAX_XML_DEPTH: Final = 100
# Bytes that are one tag or one text.
_MAX_XML_PART: Final = 4_000_000


def root_of(tree: FileTree, file: str) -> Element:
    """Return the outermost element with all that is in it.

    Raises:
        AnnotationFileError: it is not XML, declares entities or values of attributes,
            or has too many elements.
    """
    *_, root = _elements(tree, file, depth=0)
    return root


def root_tag_of(tree: FileTree, file: str) -> str:
    """Return the name of the outermost element, without reading on; errors as above."""
    with tree.open(file) as opened:
        for _, element in _events(opened):
            return element.tag
    raise AnnotationFileError("it is not XML (it is empty)")


def children_of(tree: FileTree, file: str) -> Iterator[Element]:
    """Yield the elements right below the outermost one, one by one, each whole.

    Raises:
        AnnotationFileError: as above. What was yielded before is sound.
    """
    yield from _elements(tree, file, depth=1)


def _elements(tree: FileTree, file: str, *, depth: int) -> Iterator[Element]:
    """Yield the elements at a depth, and forget each when the next is asked for."""
    parents: list[Element] = []
    count = 0
    with tree.open(file) as opened:
        for event, element in _events(opened):
            if event == "start":
                parents.append(element)
                count += 1
                if count > _MAX_ELEMENTS or len(parents) > _MAX_XML_DEPTH:
                    raise AnnotationFileError(
                        f"it has more than {_MAX_ELEMENTS:,} elements, or "
                        f"{_MAX_XML_DEPTH} inside each other"
                    )
                continue
            parents.pop()
            if len(parents) == depth:
                yield element
                count = 0
                for parent in parents:
                    parent.clear()


def _events(file: IO[bytes]) -> Iterator[tuple[str, Element]]:
    parser = DefusedXMLParser(target=TreeBuilder())
    parser.parser.AttlistDeclHandler = _refuse_values
    parts = _ShortParts(file)
    try:
        for event in iterparse(parts, events=("start", "end"), parser=parser):
            parts.part_ended()
            yield event
    except DefusedXmlException as error:
        raise AnnotationFileError("it declares entities, which is not safe") from error
    # An encoding that Python does not know is a LookupError.
    except (ParseError, ValueError, LookupError) as error:
        raise AnnotationFileError(f"it is not XML ({error})") from error


def _refuse_values(*_: object) -> None:
    """Refuse values that each element of a name is to have without stating them."""
    raise AnnotationFileError("it declares values of attributes, which is not safe")


class _ShortParts:
    """An XML file's bytes, as long as no tag or text of them is too long."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._length = 0

    def read(self, size: int = -1) -> bytes:
        self._length += size
        if self._length > _MAX_XML_PART:
            raise AnnotationFileError(
                f"it has a tag or a text of more than {_MAX_XML_PART:,} bytes"
            )
        return self._file.read(size)

    def part_ended(self) -> None:
        self._length = 0


_PART_BYTES: Final = 1 << 16
# An empty list of 3 characters takes 64 bytes. A mask of 50 megapixels has fewer.
_MAX_ITEM_PARTS: Final = 1_000_000
_decode = json.JSONDecoder().raw_decode


class Item(NamedTuple):
    """One item of a list that is the document, or the value of one of its keys.

    section: the key, empty where the document is a list.
    position: in the list, from 0; a key of its own in an object that was gone into;
        None where the value is neither, and for the list or object itself, which comes
        first and empty.
    """

    section: str
    position: int | str | None
    value: object

    @property
    def place(self) -> str:
        return f"{self.section}[{self.position}]"


def json_items(
    tree: FileTree, file: str, *, gone_into: Container[str] = ()
) -> Iterator[Item]:
    """Yield what the outermost list or object of a file holds.

    Args:
        gone_into: keys whose objects are taken member by member, as lists are.

    Raises:
        AnnotationFileError: with the line from which on it is not JSON. What was
            yielded before is sound.
    """
    with tree.open(file) as opened:
        text = _Text(opened, file)
        try:
            yield from _document(text, gone_into)
        except (ValueError, RecursionError) as error:
            raise AnnotationFileError(text.fault_of(error)) from error


def json_list(lines: Iterable[str]) -> Iterator[bytes]:
    """Yield a list with one item a line, so that people can compare two of them."""
    before = "[\n"
    for line in lines:
        yield f"{before}{line}".encode()
        before = ",\n"
    yield b"[\n\n]" if before == "[\n" else b"\n]"


def json_line(entry: object) -> str:
    """Return one item as text; characters of all languages stay readable."""
    return json.dumps(entry, ensure_ascii=False, allow_nan=False)


def _document(text: "_Text", gone_into: Container[str]) -> Iterator[Item]:
    first = text.peek()
    if first == "[":
        yield from _list(text, "")
    elif first == "{":
        yield from _object(text, gone_into)
    else:
        yield Item("", None, text.value())
    if text.peek():
        raise ValueError("text follows after its end")


def _object(text: "_Text", gone_into: Container[str]) -> Iterator[Item]:
    for key in _keys(text):
        if text.peek() == "[":
            yield from _list(text, key)
        elif text.peek() == "{" and key in gone_into:
            yield Item(key, None, {})
            for member in _keys(text):
                yield Item(key, member, text.value())
        else:
            yield Item(key, None, text.value())


def _keys(text: "_Text") -> Iterator[str]:
    """Yield each key of an object, as the text stands before its value."""
    for _ in text.members("{", "}"):
        if text.peek() != '"':
            raise ValueError("a key is missing")
        key = str(text.value())
        text.take(":")
        yield key


def _list(text: "_Text", section: str) -> Iterator[Item]:
    yield Item(section, None, [])
    for index in text.members("[", "]"):
        yield Item(section, index, text.value())


class _Text:
    """A window on a file's text that moves along as values are taken."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self._name = name
        self._window = ""
        self._at = 0
        self._line = 1
        self._byte_count = 0
        first = file.read(_PART_BYTES)
        is_utf16 = first[:2] in (b"\xff\xfe", b"\xfe\xff")
        encoding = "utf-16" if is_utf16 else "utf-8-sig"
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ended = False
        self._add(first)

    def members(self, opening: str, closing: str) -> Iterator[int]:
        """Yield the place of each member between brackets, as the window reaches it."""
        self.take(opening)
        index = 0
        while self.peek() != closing:
            if index:
                self.take(",")
            yield index
            index += 1
        self.take(closing)

    def peek(self) -> str:
        """Return the next character that is not blank; empty at the end."""
        while True:
            while self._at < len(self._window):
                character = self._window[self._at]
                if character not in " \t\n\r":
                    return character
                self._at += 1
            if not self._more():
                return ""

    def take(self, character: str) -> None:
        if self.peek() != character:
            raise ValueError(f"{character!r} is missing")
        self._at += 1

    def value(self) -> object:
        self.peek()
        while True:
            try:
                item, end = _decode(self._window, self._at)
            except json.JSONDecodeError:
                if not self._more():
                    raise
                continue
            # A number may continue in the next part.
            if end == len(self._window) and self._more():
                continue
            self._at = end
            return item

    def fault_of(self, error: Exception) -> str:
        """Return what an error means, with its line."""
        at = error.pos if isinstance(error, json.JSONDecodeError) else self._at
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        line = self._line + self._window.count("\n", 0, at)
        if not self._byte_count:
            return "it is empty"
        is_open = reason.startswith("Unterminated string")
        if self._ended and (is_open or not self._window[at:].strip()):
            return f"it ends in the middle (line {line})"
        return f"it is not JSON (line {line}: {reason})"

    def _more(self) -> bool:
        """Read on, at least as much again as is left: items may be of any size."""
        if self._ended:
            return False
        # All that is left belongs to one item, which ends further on.
        rest = self._window[self._at :]
        if sum(map(rest.count, "[{,")) > _MAX_ITEM_PARTS:
            raise ValueError(f"an item has more than {_MAX_ITEM_PARTS:,} parts")
        self._line += self._window.count("\n", 0, self._at)
        self._window = rest
        self._at = 0
        self._add(self._file.read(max(_PART_BYTES, len(self._window))))
        return True

    def _add(self, data: bytes) -> None:
        self._ended = not data
        self._byte_count += len(data)
        try:
            self._window += self._decoder.decode(data, final=self._ended)
        except UnicodeDecodeError as error:
            at = self._byte_count - len(error.object) + error.start
            raise AnnotationFileError(
                f"{self._name} is not UTF-8 text (byte {at}); save it as UTF-8."
            ) from error
