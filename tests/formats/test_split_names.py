"""Which part of a split an image is in, as the files of others say it."""

import json

import pytest

from imagebase.formats.registry import read
from imagebase.formats.split import part_in, part_named, parts_of_files
from tests.formats.builders import tree_of

XML = (
    "<annotation><filename>{name}</filename><size><width>9</width>"
    "<height>9</height></size></annotation>"
)


def coco(*names: str) -> str:
    images = [
        {"id": at, "file_name": name, "width": 9, "height": 9}
        for at, name in enumerate(names, start=1)
    ]
    return json.dumps({"images": images, "annotations": [], "categories": []})


def test_words_are_understood_as_people_spell_them() -> None:
    assert part_named(" Validation ") == "val"
    assert part_named("trains") is None


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("train/a.jpg", "train"),
        ("test/images/valid/a.jpg", "val"),
        ("images/val2017/a.jpg", "val"),
        ("test.jpg", ""),
        ("contest/a.jpg", ""),
    ],
)
def test_the_innermost_folder_counts(path: str, part: str) -> None:
    assert part_in(path) == part


def test_names_of_label_files_count_where_they_tell_parts_apart() -> None:
    both = [
        "annotations/instances_train2017.json",
        "annotations/instances_val2017.json",
    ]
    assert list(parts_of_files(both).values()) == ["train", "val"]
    assert list(parts_of_files(both[:1]).values()) == [""]
    assert parts_of_files(["test/train.csv", "val.csv"]) == {
        "test/train.csv": "test",
        "val.csv": "val",
    }


@pytest.mark.parametrize(
    ("format_name", "files", "parts"),
    [
        (
            "yolo",
            {"train/images/a.jpg": "", "valid/images/b.jpg": "", "c.jpg": ""},
            {"a.jpg": "train", "b.jpg": "val", "c.jpg": ""},
        ),
        (
            "yolo",
            {"images/train2017/a.jpg": "", "labels/val2017/b.txt": ""},
            {"train2017/a.jpg": "train", "val2017/b": "val"},
        ),
        (
            "darknet",
            {"train.txt": "/on/a.jpg\nb.jpg\n", "val.txt": "b.jpg\nc.jpg\n"},
            {"a.jpg": "train", "b.jpg": "", "c.jpg": "val"},
        ),
        (
            "voc",
            {
                "VOC2012/ImageSets/Main/train.txt": "a \r\n",
                "VOC2012/ImageSets/Main/val.txt": "b\n",
                "VOC2012/ImageSets/Main/cat_val.txt": "a  1\nb -1\n",
                "VOC2012/ImageSets/Layout/val.txt": "a\n",
                "VOC2012/Annotations/a.xml": XML.format(name="a.jpg"),
                "VOC2012/Annotations/b.xml": XML.format(name="b.jpg"),
                "VOC2012/Annotations/c.xml": XML.format(name="c.jpg"),
            },
            {"a.jpg": "train", "b.jpg": "val", "c.jpg": ""},
        ),
        (
            "cvat",
            {
                "a.xml": "<annotations>"
                '<image name="a.jpg" subset="Train" width="9" height="9"/>'
                '<image name="b.jpg" subset="Validation" width="9" height="9"/>'
                '<image name="c.jpg" subset="default" width="9" height="9"/>'
                "</annotations>"
            },
            {"a.jpg": "train", "b.jpg": "val", "c.jpg": ""},
        ),
        (
            "openimages",
            {
                "ids.csv": "ImageID,Subset\na,validation\nc,\n",
                "oidv6-train-annotations-bbox.csv": "ImageID,LabelName,XMin,XMax,"
                "YMin,YMax\nb,cat,0,1,0,1\n",
                "test-annotations-bbox.csv": "ImageID,LabelName,XMin,XMax,YMin,YMax\n",
            },
            {"a": "val", "b": "train", "c": ""},
        ),
        (
            "coco",
            {
                "train/_annotations.coco.json": coco("a.jpg"),
                "test/_annotations.coco.json": coco("b.jpg"),
            },
            {"a.jpg": "train", "b.jpg": "test"},
        ),
        (
            "classification",
            {"train/cat/a.jpg": "", "val/cat/b.jpg": "", "val/dog/c.jpg": ""},
            {
                "train/cat/a.jpg": "train",
                "val/cat/b.jpg": "val",
                "val/dog/c.jpg": "val",
            },
        ),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_the_part_is_read(
    format_name: str, files: dict[str, str], parts: dict[str, str]
) -> None:
    found = read(tree_of(files), format_name).images
    assert {image.name: image.part for image in found} == parts


def test_a_list_that_cannot_be_read_is_named_and_the_rest_read() -> None:
    files = {
        "ImageSets/Main/train.txt": b"\xff\xff\xff",
        "Annotations/a.xml": XML.format(name="a.jpg").encode(),
    }
    result = read(tree_of(files), "voc")
    assert [image.part for image in result.images] == [""]
    assert [skipped.file for skipped in result.report.skipped] == [
        "ImageSets/Main/train.txt"
    ]
