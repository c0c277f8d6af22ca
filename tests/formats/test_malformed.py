"""Broken label files: what is said of them, and how much is kept.

Each table is a format's: a text in a file that we wrote, what stands in its place, and
what the reader then says, after the file's name. Two images and two of the three boxes
are kept, or else as many as the row has.
"""

from contextlib import suppress
from typing import NamedTuple

import pytest

from imagebase.errors import AnnotationFileError
from imagebase.formats.registry import FORMATS, read
from imagebase.formats.trees import MemoryTree
from tests.formats.builders import box, export_set, record, written

CUT = "it reached over the edge of the image and was cut"
NOT_A_NUMBER = "a corner is not a number"
NO_AREA = "the box has no area"
SWAPPED = "its corners were swapped"
NO_NAME = "a label needs a name"
NO_LABEL = "it has no label"
OUTSIDE = "the box lies outside the image"
NO_OBJECT = "it is not an object"
NO_IMAGE = "it names no image"
CROWD = "a crowd region, not the box of one object"
DIFFERS = "it differs from cat/a.txt, which was read"
NO_FRACTION = "the corners are not fractions of the image's size"

PETS = export_set(
    record(box(1, 2, 31, 42), box(5, 6, 9, 12, label="dog")),
    record(box(0, 0, 64, 48), name="b.jpg"),
)


class Bad:
    """One mutation. kept: how many images and boxes, or labels of images."""

    def __init__(
        self, old: str, new: str, *said: str, kept: tuple[int, int] = (2, 2)
    ) -> None:
        self.old = old
        self.new = new
        self.said = list(said)
        self.kept = kept


def at(place: str, reason: str) -> str:
    return f"{place}: {reason}"


class Table(NamedTuple):
    """A format, the file that is broken, and how."""

    format_name: str
    path: str
    rows: tuple[Bad, ...]


CSV = Table(
    "csv",
    "annotations.csv",
    (
        Bad("1,2,31,42", "one,2,31,42", at("line 2", NOT_A_NUMBER)),
        Bad("1,2,31,42", "nan,2,31,42", at("line 2", NOT_A_NUMBER)),
        Bad("1,2,31,42", "1,2,inf,42", at("line 2", NOT_A_NUMBER)),
        Bad("1,2,31,42", "1,2", at("line 2", NOT_A_NUMBER)),
        Bad("1,2,31,42", "1,2,1,42", at("line 2", NO_AREA)),
        Bad("1,2,31,42", "-9,-9,-1,-1", at("line 2", OUTSIDE)),
        Bad("a.jpg,64,48,cat", ",64,48,cat", at("line 2", NO_IMAGE)),
        Bad("cat,1", ",1", at("line 2", NO_NAME)),
        Bad("1,2,31,42,", "31,42,1,2,", at("line 2", SWAPPED), kept=(2, 3)),
        Bad("1,2,31,42,", "1,2,31,99,", at("line 2", CUT), kept=(2, 3)),
        Bad(
            "1,2,31,42,",
            "1,2,31,42,7",
            "line 2: its confidence 7 is not in 0 to 1",
            kept=(2, 3),
        ),
        Bad(
            "a.jpg,64,48,cat",
            "a.jpg,65,48,cat",
            "line 2: its size differs from 64×48, kept",
            kept=(2, 3),
        ),
        Bad("xmin", "where", "line 1: no column is named xmin", kept=(2, 0)),
    ),
)
DARKNET = Table(
    "darknet",
    "obj/a.txt",
    (
        Bad("0 0.25", "2 0.25", "line 1: class id 2 is not among the 2 labels listed"),
        Bad("0 0.25", "-1 0.25", "line 1: the class id is not a whole number from 0"),
        Bad("0 0.25", "0.5 0.25", "line 1: the class id is not a whole number from 0"),
        Bad("0.250000", "x", "line 1: 'x' is not a number"),
        Bad("0.250000 ", "", "line 1: 4 numbers are not a class id and a box"),
        Bad("0.250000", "nan", at("line 1", NOT_A_NUMBER)),
        Bad("0.468750", "-0.468750", "line 1: width or height is negative"),
        Bad("0.468750", "0", at("line 1", NO_AREA)),
        Bad("0.250000", "30", at("line 1", NO_FRACTION)),
        Bad("0.250000", "1.900000", at("line 1", NO_FRACTION)),
        Bad(
            "0.833333",
            "0.833333 7.5",
            "line 1: its confidence 7.5 is not in 0 to 1",
            kept=(2, 3),
        ),
    ),
)
FOLDERS = Table(
    "folders",
    "cat/a.txt",
    (
        Bad(
            "0 0.25",
            "2 0.25",
            "line 1: class id 2 is not among the 2 labels listed",
            at("dog/a.txt", DIFFERS),
        ),
        Bad("0.250000", "x", "line 1: 'x' is not a number", at("dog/a.txt", DIFFERS)),
        Bad("0.250000", "nan", at("line 1", NOT_A_NUMBER), at("dog/a.txt", DIFFERS)),
        Bad("0.468750", "0", at("line 1", NO_AREA), at("dog/a.txt", DIFFERS)),
    ),
)
YOLO = Table(
    "yolo",
    "labels/train/a.txt",
    (
        Bad("0 0.25", "2 0.25", "line 1: class id 2 is not among the 2 labels listed"),
        Bad("0.250000", "x", "line 1: 'x' is not a number"),
        Bad("0.250000 ", "", "line 1: 4 numbers are not a class id and a box"),
        Bad("0.250000", "inf", at("line 1", NOT_A_NUMBER)),
        Bad("0.468750", "0", at("line 1", NO_AREA)),
        Bad("0.468750", "1.468750", at("line 1", CUT), kept=(2, 3)),
        Bad(
            "0.250000",
            "0.25 0.1 0.3",
            "line 1: of an outline, the box around it is kept",
            kept=(2, 3),
        ),
    ),
)
COCO = Table(
    "coco",
    "annotations.json",
    (
        Bad(
            '"bbox": [1.0, 2.0, 30.0, 40.0], "area": 1200.0, "iscrowd": 0, '
            '"segmentation"',
            '"bbox": [1.0, 2.0, 30.0], "outline"',
            "annotations[0]: it has no bbox of four numbers",
        ),
        Bad('"bbox": [1.0', '"bbox": [NaN', at("annotations[0]", NOT_A_NUMBER)),
        Bad("30.0, 40.0]", "0.0, 40.0]", at("annotations[0]", NO_AREA)),
        Bad(
            "30.0, 40.0]",
            "-30.0, 40.0]",
            at("annotations[0]", SWAPPED),
            at("annotations[0]", CUT),
            kept=(2, 3),
        ),
        Bad(
            '"image_id": 1, "category_id": 1',
            '"image_id": 9, "category_id": 1',
            "annotations[0]: there is no image 9",
        ),
        Bad(
            '"category_id": 1',
            '"category_id": 9',
            "annotations[0]: there is no category 9",
        ),
        Bad(
            '{"id": 1, "image_id": 1',
            '7, {"id": 1, "image_id": 1',
            at("annotations[0]", NO_OBJECT),
            kept=(2, 3),
        ),
        Bad(
            '"id": 2, "width": 64',
            '"id": 1, "width": 64',
            "annotations[0]: several images have the id 1",
            "annotations[1]: several images have the id 1",
            "annotations[2]: there is no image 2",
            "images[1]: another image has the id 1, so it has no boxes",
            kept=(2, 0),
        ),
        Bad(
            '"file_name": "b.jpg"',
            '"title": "b.jpg"',
            "images[1]: it has no id or no file_name",
            "annotations[2]: there is no image 2",
            kept=(1, 2),
        ),
        Bad(
            '"name": "dog"',
            '"name": [7]',
            "categories[1]: it has no id or no name",
            "annotations[1]: there is no category 2",
        ),
        Bad('"iscrowd": 0', '"iscrowd": 1', at("annotations[0]", CROWD)),
        Bad(
            '"annotations": [',
            '"annotations": [ , ',
            "it is not JSON (line 7: Expecting value).",
            kept=(0, 0),
        ),
        Bad(
            '"iscrowd": 0',
            '"score": "high", "iscrowd": 0',
            "annotations[0]: its confidence nan is not in 0 to 1",
            kept=(2, 3),
        ),
    ),
)
VOC = Table(
    "voc",
    "Annotations/a.xml",
    (
        Bad("<xmin>2</xmin>", "<xmin>two</xmin>", at("object 1", NOT_A_NUMBER)),
        Bad("<xmin>2</xmin>", "", at("object 1", NOT_A_NUMBER)),
        Bad("<xmin>2</xmin>", "<xmin>40</xmin>", at("object 1", SWAPPED), kept=(2, 3)),
        Bad(
            "<xmin>2</xmin>",
            "<xmin>99</xmin>",
            at("object 1", SWAPPED),
            at("object 1", CUT),
            kept=(2, 3),
        ),
        Bad("<name>cat</name>", "", "object 1: it has no name"),
        Bad("<name>cat</name>", "<name> </name>", at("object 1", NO_NAME)),
        Bad(
            "<bndbox>",
            "<box>",
            "it is not XML (mismatched tag: line 24, column 4)",
            kept=(1, 1),
        ),
        Bad(
            "</annotation>\n",
            "",
            "it is not XML (mismatched tag: line 6, column 30)",
            kept=(1, 1),
        ),
        Bad(
            "<annotation>",
            "<!DOCTYPE a [<!ENTITY b 'c'>]><annotation>",
            "it declares entities, which is not safe",
            kept=(1, 1),
        ),
        Bad(
            "<width>64</width>",
            "<width>0</width>",
            "size: its width and height are no size in pixels",
            kept=(2, 3),
        ),
        Bad("<ymax>42</ymax>", "<ymax>99</ymax>", at("object 1", CUT), kept=(2, 3)),
    ),
)
CREATEML = Table(
    "createml",
    "train/annotations.json",
    (
        Bad('"label": "cat", ', "", at("[0].annotations[0]", NO_LABEL)),
        Bad(
            '"coordinates": {"x": 16.0',
            '"coordinate": {"x": 16.0',
            "[0].annotations[0]: it has no coordinates",
        ),
        Bad('"x": 16.0', '"x": "left"', at("[0].annotations[0]", NOT_A_NUMBER)),
        Bad('"x": 16.0, ', "", at("[0].annotations[0]", NOT_A_NUMBER)),
        Bad(
            '"width": 30.0',
            '"width": -30.0',
            "[0].annotations[0]: width or height is negative",
        ),
        Bad('"width": 30.0', '"width": 0', at("[0].annotations[0]", NO_AREA)),
        Bad('"x": 16.0', '"x": -99.0', at("[0].annotations[0]", OUTSIDE)),
        Bad(
            '{"image": "a.jpg"',
            '7, {"image": "a.jpg"',
            at("[0]", NO_OBJECT),
            kept=(2, 3),
        ),
        Bad(
            '{"image": "b.jpg"', '{"picture": "b.jpg"', at("[1]", NO_IMAGE), kept=(1, 2)
        ),
        Bad(
            '"annotations": [{"label": "cat", "coordinates": {"x": 32',
            '"annotation": 7, "more": [{"label": "cat", "coordinates": {"x": 32',
            "[1]: it has no list of annotations",
        ),
        Bad(
            '{"image": "b.jpg"',
            '{"image": b.jpg',
            "it is not JSON (line 3: Expecting value)",
            kept=(1, 2),
        ),
    ),
)
LABELME = Table(
    "labelme",
    "images/a.json",
    (
        Bad('"label": "cat"', '"label": 7', at("shapes[0]", NO_LABEL)),
        Bad(
            '"shape_type": "rectangle"',
            '"shape_type": "line"',
            "shapes[0]: a shape of the type 'line' is not a box",
        ),
        Bad(
            "1.0,\n          2.0",
            "1.0",
            "shapes[0]: its points are not pairs of numbers",
        ),
        Bad("1.0,\n", '"one",\n', at("shapes[0]", NOT_A_NUMBER)),
        Bad("31.0,", "1.0,", at("shapes[0]", NO_AREA)),
        Bad(
            '"shape_type": "rectangle"',
            '"shape_type": "polygon"',
            "shapes[0]: a polygon of 2 points is not a box",
        ),
        Bad('"shapes": [', '"shapes": [ 7, ', at("shapes[0]", NO_OBJECT), kept=(2, 3)),
        Bad(
            '"imageWidth": 64\n}',
            '"imageWidth": 64\n',
            "it ends in the middle (line 45)",
            kept=(1, 1),
        ),
        Bad(
            '"imageWidth": 64',
            '"imageWidth": "wide"',
            "imageWidth: its width and height are no size in pixels",
            kept=(2, 3),
        ),
        Bad("31.0,", "99.0,", at("shapes[0]", CUT), kept=(2, 3)),
    ),
)
CVAT = Table(
    "cvat",
    "annotations.xml",
    (
        Bad('xtl="1.0000"', 'xtl="one"', at("image 1, shape 1", NOT_A_NUMBER)),
        Bad('xtl="1.0000" ', "", at("image 1, shape 1", NOT_A_NUMBER)),
        Bad('xtl="1.0000"', 'xtl="31.0000"', at("image 1, shape 1", NO_AREA)),
        Bad(
            'xtl="1.0000"',
            'xtl="40.0000"',
            at("image 1, shape 1", SWAPPED),
            kept=(2, 3),
        ),
        Bad('xtl="1.0000"', 'xtl="-9.0000"', at("image 1, shape 1", CUT), kept=(2, 3)),
        Bad('<box label="cat"', "<box", at("image 1, shape 1", NO_LABEL)),
        Bad('<box label="cat"', '<box label=" "', at("image 1, shape 1", NO_NAME)),
        Bad(' name="b.jpg"', "", "image 2: it has no name", kept=(1, 2)),
        Bad(
            "</annotations>",
            "",
            "it is not XML (no element found: line 38, column 0)",
            kept=(2, 3),
        ),
        Bad(
            '<image id="1"',
            '<track id="1"/><image id="1"',
            "it is CVAT for video; export the task as 'CVAT for images 1.1'",
            kept=(1, 2),
        ),
    ),
)
LABELSTUDIO = Table(
    "labelstudio",
    "tasks.json",
    (
        Bad(
            '"rectanglelabels": ["cat"]',
            '"rectanglelabels": []',
            at("[0].annotations[0].result[0]", NO_LABEL),
        ),
        Bad(
            '"type": "rectanglelabels"',
            '"type": "keypointlabels"',
            "[0].annotations[0].result[0]: a result of the type 'keypointlabels'",
        ),
        Bad(
            '"x": 1.5625',
            '"x": "left"',
            at("[0].annotations[0].result[0]", NOT_A_NUMBER),
        ),
        Bad(
            '"width": 46.875', '"width": 0', at("[0].annotations[0].result[0]", NO_AREA)
        ),
        Bad('"x": 1.5625', '"x": 101', at("[0].annotations[0].result[0]", OUTSIDE)),
        Bad(
            '{"id": "box1"',
            '7, {"id": "box1"',
            at("[0].annotations[0].result[0]", NO_OBJECT),
            kept=(2, 3),
        ),
        Bad(
            '"image": "/data/local-files/?d=images/b.jpg"',
            '"text": 7',
            at("[1]", NO_IMAGE),
            kept=(1, 2),
        ),
        Bad(
            '[{"result"',
            '[{"was_cancelled": 1, "result": []}, {"results": 7}, {"result"',
            "[0].annotations[0]: it was cancelled",
            "[0].annotations[1]: it has no list of results",
            kept=(2, 3),
        ),
        Bad(
            '{"data": {"image": "/data/local-files/?d=images/b',
            '7, {"data": {"image": "/data/local-files/?d=images/b',
            at("[1]", NO_OBJECT),
            kept=(2, 3),
        ),
        Bad(
            '"predictions": []}\n]',
            '"predictions": []}\n',
            "it ends in the middle (line 4)",
            kept=(2, 3),
        ),
        Bad(
            '"rotation": 0',
            '"rotation": 30',
            at("[0].annotations[0].result[0]", CUT),
            "[0].annotations[0].result[0]: of a rotated box, the upright one",
            kept=(2, 3),
        ),
    ),
)
OPENIMAGES = Table(
    "openimages",
    "train-annotations-bbox.csv",
    (
        Bad("0.015625000", "left", at("line 2", NOT_A_NUMBER)),
        Bad("0.015625000", "NaN", at("line 2", NOT_A_NUMBER)),
        Bad("0.015625000", "0.484375000", at("line 2", NO_AREA)),
        Bad("0.015625000", "-0.500000000", at("line 2", CUT), kept=(2, 3)),
        Bad("0.015625000", "7.5", at("line 2", NO_FRACTION)),
        Bad("a,human", '"",human', at("line 2", NO_IMAGE)),
        Bad(",-1,-1,-1,-1,-1\n", "\n", "line 2: it has 8 columns, not 13"),
        Bad(",-1,-1,-1,-1,-1\n", ",-1,-1,1,-1,-1\n", at("line 2", CROWD)),
        Bad("human,cat", "human,", at("line 2", NO_NAME)),
        Bad(
            "XMin",
            "Left",
            "There is no Open Images file with boxes here: it is a .csv w",
            kept=(0, 0),
        ),
        Bad(
            "human,cat,1",
            "machine,cat,7",
            "line 2: its confidence 7 is not in 0 to 1",
            kept=(2, 3),
        ),
    ),
)
CLASSIFICATION = Table(
    "classification",
    "classification.csv",
    (
        Bad("a.jpg,cat", ",cat", at("line 2", NO_IMAGE)),
        Bad("a.jpg,cat", "a.jpg,   ", at("line 2", NO_NAME)),
        Bad(
            "filename,label",
            "name,class",
            "line 1: its columns are not filename and",
            kept=(0, 0),
        ),
    ),
)

TABLES = (
    *(CSV, DARKNET, FOLDERS, YOLO, COCO, VOC),
    *(CREATEML, LABELME, CVAT, LABELSTUDIO, OPENIMAGES, CLASSIFICATION),
)
ROWS = [
    pytest.param(table, bad, id=f"{table.format_name}: {bad.new[:40]!r}")
    for table in TABLES
    for bad in table.rows
]


def test_every_format_has_a_table() -> None:
    assert {table.format_name for table in TABLES} == FORMATS.keys()


class Found(NamedTuple):
    """What a reader said, without the file's name, and what it kept."""

    said: list[str]
    kept: tuple[int, int]


def found_in(files: dict[str, bytes], table: Table) -> Found:
    try:
        result = read(MemoryTree(files), table.format_name)
    except AnnotationFileError as error:
        return Found([_after(table.path, str(error))], (0, 0))
    remarks = (*result.report.skipped, *result.report.changed)
    tags = sum(len(image.tags) for image in result.images)
    boxes = sum(len(image.annotations) for image in result.images)
    said = [_after(table.path, str(remark)) for remark in remarks]
    return Found(said, (len(result.images), boxes or tags))


def _after(path: str, sentence: str) -> str:
    return sentence.removeprefix(path).removeprefix(", ").removeprefix(": ")


@pytest.mark.parametrize(("table", "bad"), ROWS)
def test_what_is_broken_is_named_and_the_rest_kept(table: Table, bad: Bad) -> None:
    files = written(PETS, table.format_name)
    text = files[table.path].decode()
    assert bad.old in text
    files[table.path] = text.replace(bad.old, bad.new, 1).encode()
    found = found_in(files, table)
    assert found.kept == bad.kept
    assert len(found.said) == len(bad.said)
    for said, expected in zip(found.said, bad.said, strict=True):
        # What follows is the line itself, or what the file should have been.
        assert said.startswith(expected)


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_files_that_end_too_early_bring_nothing_new(
    format_name: str, keep: float
) -> None:
    files = {
        name: data[: int(len(data) * keep)]
        for name, data in written(PETS, format_name).items()
    }
    images, labels = 0, set[str]()
    with suppress(AnnotationFileError):
        result = read(MemoryTree(files), format_name)
        images = len(result.images)
        labels = {
            annotation.label
            for image in result.images
            for annotation in image.annotations
        }
    assert images <= 4
    assert labels <= {"cat", "dog", "class_0", "class_1", "c", "ca", "d", "do"}


_HUGE = b"9" * 4_000


@pytest.mark.parametrize(
    ("name", "files"),
    [
        (
            "labelstudio",
            {
                "labeling_config.xml": b'<View><RectangleLabels name="l" toName="i">'
                b'<Label value="cat" category="' + _HUGE * 2 + b'"/></RectangleLabels>'
                b"</View>"
            },
        ),
        (
            "labelstudio",
            {
                "tasks.json": b'[{"data": {"image": "a.jpg"}, "annotations": [{'
                b'"result": [{"id": "box' + _HUGE * 2 + b'", "type": "rectanglelabels",'
                b' "original_width": 64, "original_height": 48, "value": {"x": 1,'
                b' "y": 1, "width": 9, "height": 9, "rotation": 1e999,'
                b' "rectanglelabels": ["cat"]}}]}]}]'
            },
        ),
        (
            "cvat",
            {
                "annotations.xml": b'<annotations><image id="0" name="a.jpg" width="64"'
                b' height="48"><box label="cat" xtl="1" ytl="1" xbr="9" ybr="9"'
                b' occluded="0"><attribute name="n">'
                + _HUGE
                + b"</attribute></box></image></annotations>"
            },
        ),
        (
            "mot",
            {
                "seq/gt/gt.txt": b"1,1,1,1,9,9,1,1,1\n",
                f"seq/img1/{_HUGE.decode() * 2}.jpg": b"",
                "seq/seqinfo.ini": b"[Sequence]\nimDir=img1\nimWidth=64\nimHeight=48\n",
            },
        ),
    ],
)
def test_a_number_of_thousands_of_digits_ends_no_reading(
    name: str, files: dict[str, bytes]
) -> None:
    with suppress(AnnotationFileError):
        assert len(read(MemoryTree(files), name).images) <= len(files)
