"""Names: unique ignoring case and suffix, safe, kept where nothing clashes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebase.formats.file_names import (
    export_names,
    flat_names,
    image_stem,
    safe_path,
    with_suffix,
)
from tests.formats.builders import box, export_set, record


def test_names_that_clash_only_in_case_or_suffix_are_numbered() -> None:
    names = ["a.jpg", "A.JPG", "a.png", "sub/a.jpg", "b.jpg"]
    assert export_names(names) == ["a.jpg", "A_2.JPG", "a_3.png", "sub/a.jpg", "b.jpg"]


def test_flat_names_keep_their_folders_as_text() -> None:
    assert flat_names(["sub/a.jpg", "sub_a.jpg"]) == ["sub_a.jpg", "sub_a_2.jpg"]


def test_dots_of_a_name_without_a_suffix_belong_to_it() -> None:
    names = ["a_jpg.rf.01", "a_jpg.rf.02", "a_jpg.rf.01.jpg"]
    assert export_names(names) == [*names[:2], "a_jpg.rf.01_2.jpg"]


def test_a_number_does_not_take_the_name_of_another_file() -> None:
    assert export_names(["a.jpg", "a.png", "a_2.jpg"]) == [
        "a.jpg",
        "a_3.png",
        "a_2.jpg",
    ]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "etc/passwd"),
        ("/root/a.jpg", "root/a.jpg"),
        ("C:\\photos\\a.jpg", "C_/photos/a.jpg"),
        ("con.jpg", "_con.jpg"),
        ("what?.jpg", "what_.jpg"),
        ("a\nb.jpg", "a_b.jpg"),
        (".hidden.jpg", "_hidden.jpg"),
        ("ends. .jpg", "ends.jpg"),
        ("", "image"),
        ("ä 🐱.jpg", "ä 🐱.jpg"),
    ],
)
def test_names_are_made_safe(name: str, safe: str) -> None:
    assert safe_path(name) == safe


def test_a_file_is_never_below_another() -> None:
    names = export_names(["a.jpg", "a.jpg/b.jpg"])
    assert names[0] == "a.jpg"
    assert "/" not in names[1]


@given(st.lists(st.text(max_size=12) | st.sampled_from(["a.jpg", "A.png", "a/b.jpg"])))
def test_names_are_unique_and_come_back_as_they_are(names: list[str]) -> None:
    unique = export_names(names)
    stems = [image_stem(name).casefold() for name in unique]
    assert len(set(stems)) == len(names)
    assert export_names(unique) == unique


@pytest.mark.parametrize(
    ("name", "suffix", "expected"),
    [
        ("a.jpeg", ".jpg", "a.jpeg"),
        ("A.JPG", ".jpg", "A.JPG"),
        ("a.heic", ".jpg", "a.jpg"),
        ("photo.2023", ".png", "photo.2023.png"),
    ],
)
def test_suffix_follows_what_is_written(name: str, suffix: str, expected: str) -> None:
    assert with_suffix(name, suffix) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.jpeg", "a.jpeg"), ("A.JPG", "A.jpg"), ("a.webp", "a.jpg")],
)
def test_suffix_is_spelled_as_the_program_reads_it(name: str, expected: str) -> None:
    assert with_suffix(name, ".jpg", {".jpg", ".jpeg"}) == expected


def test_a_label_that_is_only_on_a_box_joins_at_the_end() -> None:
    dataset = export_set(record(box(0, 0, 9, 9, label="new")), labels=("b", "a"))
    assert dataset.labels.names == ("b", "a", "new")
