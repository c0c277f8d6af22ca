"""Which image each image of a label set is."""

import hashlib

import numpy as np
import pytest

from imagebase.annotation import Annotation, Box, ReviewStatus, Size
from imagebase.formats.base import ReadImage
from imagebase.formats.placement import is_same_shape
from imagebase.formats.trees import MemoryTree
from imagebase.images.decode import encode_png
from imagebase.ingest.image_matching import (
    DroppedImage,
    How,
    Match,
    look_at_images,
    match_images,
)
from imagebase.store import ImageRow

SIZE = Size(64, 48)
BOX = Annotation(Box(1, 1, 9, 9), "cat")


def here(name: str, *, of: str = "", size: Size = SIZE) -> ImageRow:
    """Return an image of the dataset; `of` is its id."""
    return ImageRow(of or f"id {name}", name, size, ReviewStatus.NEW)


def read(
    name: str, size: Size | None = SIZE, *, is_relative: bool = False, path: str = ""
) -> ReadImage:
    return ReadImage(name, size, (BOX,), is_relative, path=path)


def match(
    image: ReadImage,
    *known: ImageRow,
    dropped: dict[str, DroppedImage] | None = None,
    takes_new: bool = True,
) -> Match:
    (found,) = match_images([image], dropped or {}, known, takes_new=takes_new)
    return found


@pytest.mark.parametrize(
    ("name", "file_name", "note"),
    [
        ("a.jpg", "a.jpg", ""),
        ("A.JPG", "a.jpg", ""),
        ("a", "day/a.jpg", ""),
        ("train/a.jpg", "a.jpg", ""),
        ("a.jpg", "a.png", "It is called a.png here."),
    ],
)
def test_image_is_found_by_its_name(name: str, file_name: str, note: str) -> None:
    found = match(read(name), here(file_name), here("b.jpg"))
    assert (found.how, found.file_name, found.note) == (How.NAME, file_name, note)


def test_content_goes_before_the_name() -> None:
    dropped = {"images/a.jpg": DroppedImage("id b", 9, SIZE)}
    found = match(
        read("a.jpg", path="images/a.jpg"),
        here("a.jpg"),
        here("b.jpg", of="id b"),
        dropped=dropped,
    )
    assert (found.how, found.image_id) == (How.CONTENT, "id b")
    assert found.note == "It is called b.jpg here."


def test_image_that_comes_with_the_labels_is_new_or_looks_for_its_name() -> None:
    dropped = {"a.jpg": DroppedImage("id new", 9, SIZE)}
    coming = read("a.jpg", path="a.jpg")
    found = match(coming, here("a.jpg"), dropped=dropped)
    assert (found.how, found.image_id) == (How.NEW, "id new")
    assert found.note == "Another image here has this name; it comes in as a new one."
    found = match(coming, here("a.jpg"), dropped=dropped, takes_new=False)
    assert (found.how, found.image_id) == (How.NAME, "id a.jpg")


def test_image_that_is_nowhere_is_said() -> None:
    found = match(read("a.jpg"), here("b.jpg"))
    assert found.how is How.NOWHERE
    assert found.problem == "No image here has this name, and none like it was dropped."


def test_several_candidates_are_listed() -> None:
    found = match(
        read("a.jpg", None), here("x/a.jpg"), here("y/a.jpg", size=Size(9, 9))
    )
    assert found.problem == (
        "Several images here may be meant: x/a.jpg (64 × 48), y/a.jpg (9 × 9)."
    )


def test_of_several_candidates_the_one_that_fits_is_meant() -> None:
    found = match(read("a.jpg"), here("x/a.jpg"), here("y/a.jpg", size=Size(9, 9)))
    assert (found.file_name, found.problem) == ("x/a.jpg", "")
    assert found.note == "Of 2 images of this name it is the only one that fits."


@pytest.mark.parametrize(
    ("size", "note", "problem"),
    [
        (Size(32, 24), "boxes are scaled.", ""),
        (Size(48, 64), "", "one of them is turned."),
        (Size(64, 64), "", "another image, or a part of it."),
        (None, "", ""),
    ],
)
def test_differing_size_is_shown(size: Size | None, note: str, problem: str) -> None:
    found = match(read("a.jpg", size), here("a.jpg"))
    assert found.note.endswith(note)
    assert found.problem.endswith(problem)
    assert bool(found.note) == bool(note)
    assert bool(found.problem) == bool(problem)


def test_fractions_fit_every_size() -> None:
    found = match(read("a.jpg", Size(64, 64), is_relative=True), here("a.jpg"))
    assert (found.note, found.problem) == ("", "")


def test_rounded_sides_of_a_copy_are_the_same_shape() -> None:
    assert is_same_shape(Size(500, 333), Size(6000, 4000))
    assert not is_same_shape(Size(500, 300), Size(6000, 4000))


def test_image_takes_the_labels_of_one_name_only() -> None:
    images = [read("a.jpg"), read("a.png")]
    first, second = match_images(images, {}, [here("a.jpg")], takes_new=True)
    assert first.problem == ""
    assert second.problem == "It is the same image as a.jpg, whose labels it has."


def test_image_files_beside_the_labels_are_measured() -> None:
    data = encode_png(np.zeros((48, 64, 3), np.uint8))
    tree = MemoryTree({"x/a.png": data, "b.jpg": b"nope", "labels.csv": b""})
    seen: list[str] = []
    found = look_at_images(tree, max_pixels=10_000, on_item=seen.append)
    assert seen == list(found) == ["x/a.png", "b.jpg"]
    image_id = hashlib.sha256(data).hexdigest()
    assert found["x/a.png"] == DroppedImage(image_id, len(data), SIZE)
    assert found["b.jpg"].problem.startswith("b.jpg is not an image")
