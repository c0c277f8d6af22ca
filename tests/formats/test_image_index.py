"""Which image file a label file means."""

import pytest

from imagebase.formats.image_index import NameIndex, stated_path

CAMS = ("images/cam1/1.jpg", "images/cam2/1.jpg")
PARTS = ("images/train/1.jpg", "images/val/1.jpg")


@pytest.mark.parametrize(
    ("names", "stated", "near", "part", "found"),
    [
        (CAMS, "cam2/1.jpg", "a.json", "", "images/cam2/1.jpg"),
        (CAMS, "CAM2\\1.JPG", "a.json", "", "images/cam2/1.jpg"),
        (CAMS, "/data/cam1/1.jpg", "a.json", "", "images/cam1/1.jpg"),
        (CAMS, "D:\\set\\cam1\\1.jpg", "a.json", "", "images/cam1/1.jpg"),
        (CAMS, "s3://x/cam1/1.jpg?sig=a/b", "a.json", "", "images/cam1/1.jpg"),
        (CAMS, "cam1/1", "a.json", "", "images/cam1/1.jpg"),
        (CAMS, "1.jpg", "a.json", "", None),
        (CAMS, "cam3/1.jpg", "a.json", "", None),
        (("train/1.jpg", "valid/1.jpg"), "1.jpg", "valid/a.json", "", "valid/1.jpg"),
        (("A/i/1.jpg", "B/i/1.jpg"), "1.jpg", "B/Annotations/1.xml", "", "B/i/1.jpg"),
        (PARTS, "1.jpg", "annotations/val.json", "val", "images/val/1.jpg"),
        (("W_train/1.jpg", "W_val/1.jpg"), "1.jpg", "x_val.txt", "val", "W_val/1.jpg"),
        (PARTS, "1.jpg", "annotations/all.json", "", None),
        (CAMS, "1.jpg", "xml/cam2/1.xml", "", "images/cam2/1.jpg"),
        (CAMS, "1.jpg", "csv/cam2.csv", "", "images/cam2/1.jpg"),
        (("cam1/in/1.jpg", "cam2/in/1.jpg"), "in/1", "cam2.xml", "", "cam2/in/1.jpg"),
        (("i/1.jpg", "i/small/1.jpg"), "1.jpg", "a.json", "", "i/1.jpg"),
        (("i/1.jpg", "i/1.png"), "1.png", "a.json", "", "i/1.png"),
        (("i/1.jpg", "i/1.png"), "1", "a.json", "", None),
        (("a b.jpg",), "a%20b.jpg", "a.json", "", "a b.jpg"),
        (("a b.jpg",), " a b.jpg ", "a.json", "", "a b.jpg"),
        (("a.jpg",), "1a2b3c4d-a.jpg", "a.json", "", "a.jpg"),
        (("e\u0301.jpg",), "\u00e9.jpg", "a.json", "", "e\u0301.jpg"),
        (("├¿/1.jpg", "╣╖/1.jpg"), "狗/1.jpg", "a.csv", "", "╣╖/1.jpg"),
        (("╒╒╞¼.jpg",), "照片.jpg", "a.json", "", "╒╒╞¼.jpg"),
    ],
)
def test_an_image_is_found_near_its_label_file_then_by_the_longest_path(
    names: tuple[str, ...], stated: str, near: str, part: str, found: str | None
) -> None:
    assert NameIndex(names).find(stated, near=near, part=part) == found


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["a.jpg", "a.bmp.png"], "a.bmp.png"),
        (["a.jpg", "b/a.bmp", "b/a.bmp.png"], "b/a.bmp"),
        (["a.jpg", "b.bmp.png"], "a.jpg"),
    ],
)
def test_a_stem_may_end_as_an_image_does(names: list[str], found: str) -> None:
    assert NameIndex(names).find("a.bmp", near="Annotations/a.bmp.xml") == found


def test_of_several_that_fit_all_are_named_unless_they_are_copies() -> None:
    assert NameIndex(CAMS).search("1.jpg").paths == CAMS
    index = NameIndex(CAMS, is_same=lambda names: True)
    assert index.find("1.jpg") == "images/cam1/1.jpg"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("https://example.org/data/a%20b.jpg?sig=abc#x", "data/a b.jpg"),
        ("file:///C:/x/a.jpg", "x/a.jpg"),
        ("..\\.\\x\\a.jpg", "x/a.jpg"),
        ("\\\\server\\share\\a.jpg", "server/share/a.jpg"),
        ("what?.jpg", "what?.jpg"),
    ],
)
def test_what_is_stated_is_seen_as_a_path(text: str, path: str) -> None:
    assert stated_path(text) == path
