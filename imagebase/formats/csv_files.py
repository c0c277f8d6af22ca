"""CSV row by row, so that of a big file only one row is in memory."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from imagebase.errors import AnnotationFileError
from imagebase.formats.label_set_files import FileTree, Streamed

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
