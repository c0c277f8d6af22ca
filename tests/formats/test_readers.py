"""Each reader against hand-made files: what is kept, what is left out, and why."""

from contextlib import suppress

import pytest

from imagebase.annotation import Size, Source
from imagebase.errors import AnnotationFileError
from imagebase.formats.base import ReadResult
from imagebase.formats.registry import READERS, read, recognise
from imagebase.formats.trees import MemoryTree
from imagebase.settings import Limits
from tests.formats.builders import FORMAT_NAMES, boxes, reasons, tree_of

CSV_HEADER = "filename,width,height,class,xmin,ymin,xmax,ymax\n"


def read_csv(text: str) -> ReadResult:
    return read(tree_of({"a.csv": text}), "csv")


def read_voc(*objects: str, head: str = "") -> ReadResult:
    size = "<size><width>64</width><height>48</height><depth>3</depth></size>"
    body = (
        f"<annotation><filename>a.jpg</filename>{size}{''.join(objects)}</annotation>"
    )
    return read(tree_of({"Annotations/a.xml": head + body}), "voc")


def voc_object(*edges: object, name: str = "cat") -> str:
    keys = ("xmin", "ymin", "xmax", "ymax")
    inside = "".join(f"<{k}>{e}</{k}>" for k, e in zip(keys, edges, strict=True))
    return f"<object><name>{name}</name><bndbox>{inside}</bndbox></object>"


def read_yolo(lines: str, names: str = "names: [cat, dog]") -> ReadResult:
    files = {"data.yaml": names, "labels/train/a.txt": lines, "images/train/a.jpg": ""}
    return read(tree_of(files), "yolo")


def test_csv_columns_are_found_by_their_names() -> None:
    result = read_csv("ymax,xmin,class,filename,xmax,ymin\n9,1,cat,a.jpg,8,2\n")
    assert boxes(result) == [(1, 2, 8, 9)]
    assert result.images[0].size is None


def test_csv_with_semicolons_and_windows_line_ends_is_read() -> None:
    result = read_csv((CSV_HEADER + "a.jpg,64,48,cat,1,2,8,9\n").replace(",", ";"))
    assert boxes(result) == [(1, 2, 8, 9)]
    windows = (CSV_HEADER + '"a.jpg",64,48,"x, ""y""",1,2,8,9\n').replace("\n", "\r\n")
    assert read_csv("\ufeff" + windows).labels.names == ('x, "y"',)


def test_csv_with_blanks_after_commas_is_read() -> None:
    result = read_csv(
        "filename, class, xmin, ymin, xmax, ymax\na.jpg, cat, 1, 2, 8, 9\n"
    )
    assert boxes(result) == [(1, 2, 8, 9)]
    assert result.labels.names == ("cat",)


def test_csv_with_box_sizes_is_read() -> None:
    result = read_csv("image_name,label_name,x1,y1,w,h\na.jpg,cat,1,2,7,7\n")
    assert boxes(result) == [(1, 2, 8, 9)]


def test_csv_row_without_a_box_is_an_image() -> None:
    result = read_csv(CSV_HEADER + "a.jpg,64,48,,,,,\n")
    assert result.images[0].size == Size(64, 48)
    assert not reasons(result)


def test_csv_absolute_paths_keep_the_file_name() -> None:
    result = read_csv(CSV_HEADER + "C:\\data\\a.jpg,64,48,cat,1,2,8,9\n")
    assert result.images[0].name == "a.jpg"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a.jpg,64,48,cat,nan,2,8,9", "a.csv, line 2: a corner is not a number"),
        ("a.jpg,64,48,cat,one,2,8,9", "a.csv, line 2: a corner is not a number"),
        ("a.jpg,64,48,cat,1,2", "a.csv, line 2: a corner is not a number"),
        ("a.jpg,64,48,cat,5,2,5,9", "a.csv, line 2: the box has no area"),
        (
            "a.jpg,64,48,cat,-9,-9,-1,-1",
            "a.csv, line 2: the box lies outside the image",
        ),
        ("a.jpg,64,48,,1,2,8,9", "a.csv, line 2: a label needs a name"),
        (",64,48,cat,1,2,8,9", "a.csv, line 2: it names no image"),
    ],
)
def test_bad_csv_row_is_named_and_the_rest_is_kept(row: str, reason: str) -> None:
    result = read_csv(CSV_HEADER + row + "\nb.jpg,64,48,dog,1,2,8,9\n")
    assert reasons(result) == [reason]
    assert result.images[-1].name == "b.jpg"
    assert boxes(result, -1) == [(1, 2, 8, 9)]


def test_swapped_corners_are_put_in_order_and_reported() -> None:
    result = read_csv(CSV_HEADER + "a.jpg,64,48,cat,8,9,1,2\n")
    assert boxes(result) == [(1, 2, 8, 9)]
    assert [str(change) for change in result.report.changed] == [
        "a.csv, line 2: its corners were swapped"
    ]


def test_a_box_over_the_edge_is_cut_and_reported() -> None:
    result = read_csv(CSV_HEADER + "a.jpg,64,48,cat,-5,2,80,9\n")
    assert boxes(result) == [(0, 2, 64, 9)]
    assert "was cut" in result.report.changed[0].reason


def test_what_a_second_file_repeats_is_left_out() -> None:
    text = CSV_HEADER + "a.jpg,64,48,cat,1,2,8,9\na.jpg,64,48,cat,1,2,8,9\n"
    result = read(tree_of({"all.csv": text, "train.csv": text}), "csv")
    assert boxes(result) == [(1, 2, 8, 9)] * 2
    assert result.report.boxes_found == 4


def test_a_confidence_makes_it_a_model_box() -> None:
    result = read_csv(CSV_HEADER[:-1] + ",confidence\na.jpg,9,9,cat,1,2,8,9,0.5\n")
    found = result.images[0].annotations[0]
    assert (found.source, found.confidence) == (Source.MODEL, 0.5)
    assert found.is_untouched


def test_voc_counts_from_one() -> None:
    assert boxes(read_voc(voc_object(1, 1, 64, 48))) == [(0, 0, 64, 48)]


@pytest.mark.parametrize("edges", [(0, 5, 9, 9), (2.5, 2, 9, 9)])
def test_voc_that_shows_it_counts_from_zero(
    edges: tuple[float, ...],
) -> None:
    result = read_voc(voc_object(*edges), voc_object(1, 1, 8, 8))
    assert boxes(result) == [edges, (1, 1, 8, 8)]
    assert "count from 0" in result.report.changed[0].reason


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("<object><name>cat</name></object>", "'cat' has no bndbox"),
        ("<object><bndbox/></object>", "it has no name"),
        (voc_object(5, 5, 5, 9), "the box is a line or a point"),
        (voc_object("nan", 5, 5, 9), "a corner is not a number"),
        ("<object><name>cat</name><bndbox/></object>", "a corner is not a number"),
    ],
)
def test_bad_voc_object_is_named_and_the_rest_is_kept(bad: str, reason: str) -> None:
    result = read_voc(bad, voc_object(1, 1, 9, 9))
    assert reasons(result) == [f"Annotations/a.xml, object 1: {reason}"]
    assert boxes(result) == [(0, 0, 9, 9)]
    assert result.report.boxes_found == 2


def test_voc_entities_are_refused() -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "c">]>'
    with pytest.raises(AnnotationFileError, match=r"a\.xml: it declares entities"):
        read_voc(voc_object(1, 1, 9, 9, name="&b;"), head=bomb)


def test_a_broken_voc_file_does_not_stop_the_others() -> None:
    good = b"<annotation><filename>a.jpg</filename></annotation>"
    result = read(MemoryTree({"a.xml": good, "b.xml": b"<annotation>"}), "voc")
    assert len(result.images) == 1
    assert reasons(result)[0].startswith("b.xml: it is not XML")


def test_voc_names_are_found_whatever_their_case_and_suffix() -> None:
    files = {
        "0AF.jpg": b"",
        "0af.xml": b"<annotation><filename>0af</filename></annotation>",
    }
    assert read(MemoryTree(files), "voc").images[0].name == "0AF.jpg"


@pytest.mark.parametrize(
    "names",
    ["names: [cat, dog]", "names:\n  0: cat\n  1: dog", "names:\r\n- cat\r\n- dog\r\n"],
    ids=["list", "mapping", "windows line ends"],
)
def test_yolo_names_are_read(names: str) -> None:
    result = read_yolo("1 0.5 0.5 0.5 0.5\r\n", names)
    assert result.labels.names == ("cat", "dog")
    assert result.images[0].annotations[0].label == "dog"
    assert result.images[0].is_relative
    assert boxes(result) == [(0.25, 0.25, 0.75, 0.75)]


def test_yolo_boxes_become_pixels_of_a_given_size() -> None:
    image = read_yolo("0 0.5 0.5 0.5 0.5\n").images[0].in_pixels(Size(64, 48))
    assert tuple(image.annotations[0].box) == (16, 12, 48, 36)
    assert image.size == (64, 48)


def test_yolo_foreign_absolute_paths_do_no_harm() -> None:
    names = "train: /Users/someone/train/images\nnames: [cat]"
    assert boxes(read_yolo("0 0.5 0.5 0.5 0.5", names)) == [(0.25, 0.25, 0.75, 0.75)]


def test_yolo_labels_without_images_are_read() -> None:
    result = read(tree_of({"1.txt": "2 0.5 0.5 0.5 0.5\n"}), "yolo")
    assert result.images[0].name == "1"
    assert result.labels.names == ("class_0", "class_1", "class_2")


def test_yolo_outline_becomes_the_box_around_it() -> None:
    result = read_yolo("0 0.1 0.1 0.5 0.2 0.3 0.9\n")
    assert boxes(result) == [(0.1, 0.1, 0.5, 0.9)]
    assert result.report.changed[0].at == "line 1"


def test_yolo_image_without_a_label_file_has_no_boxes() -> None:
    result = read(tree_of({"data.yaml": "names: [a]", "images/b.jpg": ""}), "yolo")
    assert result.images[0].name == "b.jpg"
    assert boxes(result) == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("7 0.5 0.5 0.5 0.5", "class id 7 is not among the 2 labels listed"),
        ("-1 0.5 0.5 0.5 0.5", "the class id is not a whole number from 0"),
        ("0 0.5 0.5", "3 numbers are not a class id and a box"),
        ("0 a 0.5 0.5 0.5", "'a' is not a number"),
        ("0 nan 0.5 0.5 0.5", "a corner is not a number"),
        ("0 0.5 0.5 -0.5 0.5", "width or height is negative"),
        ("0 0.5 0.5 0 0.5", "the box has no area"),
        ("0 30 20 5 5", "the corners are not fractions of the image's size"),
    ],
)
def test_bad_yolo_line_is_named_and_the_rest_is_kept(line: str, reason: str) -> None:
    result = read_yolo(f"{line}\n1 0.5 0.5 0.5 0.5\n")
    assert reasons(result)[0].startswith(f"labels/train/a.txt, line 1: {reason}")
    assert boxes(result) == [(0.25, 0.25, 0.75, 0.75)]
    assert result.report.boxes_found == 2


def test_repeated_names_do_not_shift_class_ids() -> None:
    result = read_yolo("2 0.5 0.5 0.5 0.5\n", "names: [cat, cat, dog]")
    assert result.images[0].annotations[0].label == "dog"


def test_darknet_labels_are_found_beside_their_images() -> None:
    files = {
        "obj.data": "names = obj.names\n",
        "obj.names": "cat\r\n dog\r\n",
        "train.txt": "/home/someone/data/obj/a.jpg\n",
        "obj_train_data/a.txt": "1 0.5 0.5 0.5 0.5\n",
        "backup/README.txt": "weights",
    }
    result = read(tree_of(files), "darknet")
    assert [image.name for image in result.images] == ["a.jpg"]
    assert result.images[0].annotations[0].label == " dog"


def test_folders_that_disagree_are_reported() -> None:
    files = {
        "obj.names": "cat\ndog\n",
        "cat/a.txt": "0 0.5 0.5 0.5 0.5\n",
        "dog/a.txt": "1 0.5 0.5 0.5 0.5\n",
    }
    result = read(tree_of(files), "folders")
    assert reasons(result) == ["dog/a.txt: it differs from cat/a.txt, which was read"]
    assert result.report.boxes_read == 1


@pytest.mark.parametrize(
    ("format_name", "files"),
    [
        ("csv", {"a.csv": b"\xff\x00\xfe"}),
        ("csv", {"a.csv": b"name,colour\ncat,red\n"}),
        ("csv", {}),
        ("darknet", {}),
        ("folders", {"cat/a.txt": b""}),
        ("yolo", {"data.yaml": b"names: [a, b"}),
        ("yolo", {"data.yaml": b"names: {a: b}", "a.txt": b""}),
        ("yolo", {"data.yaml": b"names: {999999999: b}", "a.txt": b""}),
        ("yolo", {}),
        ("coco", {"a.json": b"{"}),
        ("coco", {"a.json": b"[" * 100_000}),
        ("coco", {"a.json": b"[]"}),
        ("voc", {"a.xml": b"<annotation>"}),
        ("voc", {"a.xml": b"<html/>"}),
        ("voc", {"a.xml": b"<?xml version='1.0' encoding='klingon'?><annotation/>"}),
        ("voc", {}),
    ],
)
def test_what_cannot_be_read_at_all_is_one_error(
    format_name: str, files: dict[str, bytes]
) -> None:
    with pytest.raises(AnnotationFileError):
        READERS[format_name](MemoryTree(files))


def test_boxes_beyond_the_limit_are_named() -> None:
    text = CSV_HEADER + "a.jpg,64,48,cat,1,2,8,9\n" * 3
    tree = MemoryTree({"a.csv": text.encode()}, Limits(max_boxes_per_image=2))
    result = read(tree, "csv")
    assert result.report.boxes_read == 2
    assert "line 4: the image has 2 boxes already" in reasons(result)[0]


def test_a_file_beyond_the_limit_is_refused() -> None:
    tree = MemoryTree({"a.csv": b"x" * 11}, Limits(max_file_bytes=10))
    with pytest.raises(AnnotationFileError, match="label files may have"):
        read(tree, "csv")


def test_files_of_no_format_are_refused() -> None:
    with pytest.raises(
        AnnotationFileError, match="the root <a>, which is no supported format"
    ):
        recognise(tree_of({"a.txt": "hello", "b.json": "[]", "c.xml": "<a/>"}))


@pytest.mark.parametrize("format_name", FORMAT_NAMES)
def test_random_bytes_never_escape_as_another_error(format_name: str) -> None:
    names = ("a.csv", "a.json", "a.xml", "data.yaml", "obj.names", "a.txt", "train.txt")
    for data in (b"\0" * 50, b"\xff\xfe\xff", b'a,b\n"', b"- - - {", b"0 1 2 3 4 5 6"):
        boxes = 0
        with suppress(AnnotationFileError):
            result = READERS[format_name](MemoryTree(dict.fromkeys(names, data)))
            boxes = result.report.boxes_read
        assert boxes == 0
