"""Which label file is that of which image, where only their names tell."""

from pathlib import PurePosixPath

import pytest

from imagebase.formats.image_index import paired, short_names
from imagebase.formats.registry import read
from tests.formats.builders import reasons, tree_of

LINE = "0 0.5 0.5 0.5 0.5\n"


def stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def test_folders_tell_apart_what_has_the_same_name() -> None:
    pairs = paired(["a/1.jpg", "b/1.jpg"], ["b/1.txt", "a/1.txt"], stem)
    assert pairs.by_image == {"a/1.jpg": "a/1.txt", "b/1.jpg": "b/1.txt"}
    assert pairs.alone == pairs.repeated == []


def test_a_name_that_is_there_once_is_enough() -> None:
    pairs = paired(["photographs/1.jpg"], ["labels/1.txt", "labels/2.txt"], stem)
    assert pairs.by_image == {"photographs/1.jpg": "labels/1.txt"}
    assert pairs.alone == ["labels/2.txt"]


def test_a_name_that_is_there_twice_is_not() -> None:
    pairs = paired(["a/1.jpg", "b/1.jpg"], ["c/1.txt"], stem)
    assert pairs.by_image == {}
    assert pairs.alone == ["c/1.txt"]


def test_names_are_short_where_that_is_enough() -> None:
    short = short_names(["a/1.jpg", "b/1.jpg", "b/2.jpg"], lambda n: n.split("/")[1])
    assert short == {"a/1.jpg": "a/1.jpg", "b/1.jpg": "b/1.jpg", "b/2.jpg": "2.jpg"}


@pytest.mark.parametrize("format_name", ["yolo", "darknet"])
def test_images_of_one_name_in_two_folders_are_two(format_name: str) -> None:
    files = {
        "obj.data": "",
        "obj.names": "cat\ndog\n",
        "day/1.jpg": "",
        "day/1.txt": LINE,
        "night/1.jpg": "",
        "night/1.txt": LINE.replace("0 ", "1 ", 1),
    }
    found = read(tree_of(files), format_name)
    assert {image.name: image.annotations[0].label for image in found.images} == {
        "day/1.jpg": "cat",
        "night/1.jpg": "dog",
    }


def test_a_second_label_file_of_an_image_is_reported() -> None:
    files = {
        "data.yaml": "names: [cat]",
        "images/a.jpg": "",
        "a.txt": LINE,
        "labels/a.txt": LINE,
    }
    found = read(tree_of(files), "yolo")
    assert reasons(found) == [
        "labels/a.txt: another label file is that of the same image"
    ]
    assert found.report.boxes_read == 1


def test_darknet_lists_of_another_machine_give_the_order() -> None:
    files = {
        "obj.data": "",
        "obj.names": "cat\n",
        "train.txt": "/home/someone/x/b.jpg\n/home/someone/x/a.jpg\nelsewhere/c.jpg\n",
        "data/a.jpg": "",
        "data/b.jpg": "",
        "data/a.txt": LINE,
    }
    found = read(tree_of(files), "darknet")
    assert [image.name for image in found.images] == ["b.jpg", "a.jpg", "c.jpg"]
    assert [len(image.annotations) for image in found.images] == [0, 1, 0]
