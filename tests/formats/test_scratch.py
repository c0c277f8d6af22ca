"""Images and boxes on disk: what goes in comes out, however little is at hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebase.annotation import (
    Annotation,
    Box,
    ImageRecord,
    ReviewStatus,
    Size,
    Source,
)
from imagebase.annotation.areas import rectangle
from imagebase.formats import reader_store
from imagebase.formats.base import ExportImage, Remark
from imagebase.formats.file_names import export_names, flat_names
from imagebase.formats.reader import LabelReader
from imagebase.formats.reader_store import BoxRow, ReaderStore, StatedImage
from imagebase.formats.scratch import DiskSet, ScratchImages
from imagebase.settings import Limits

LABELS = ("cat", "dog")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Next to nothing is at hand."""
    monkeypatch.setattr(reader_store, "_ENTRIES_AT_HAND", 2)
    monkeypatch.setattr(reader_store, "_BUFFERED_BOXES", 3)


def row(label: int, *, is_crowd: bool = False) -> BoxRow:
    return BoxRow(Box(0.1, 0.2, 3, 4), label, Source.MODEL, 1 / 3, is_crowd)


@pytest.mark.usefixtures("small")
def test_boxes_come_back_with_their_image_in_whichever_order_they_came() -> None:
    store = ReaderStore()
    names = [f"{number}.jpg" for number in range(7)]
    for name in names:
        store.add_image(StatedImage(name, name), Size(64, 48), is_relative=False)
    for turn in range(3):
        for number in reversed(range(7)):
            entry = store.find(names[number])
            assert entry is not None
            store.add_box(entry, row(turn % 2))
    found = list(store.read_images(LABELS))
    assert [image.name for image in found] == names
    for image in found:
        assert [annotation.label for annotation in image.annotations] == [
            "cat",
            "dog",
            "cat",
        ]
        assert image.annotations[0].box == Box(0.1, 0.2, 3, 4)
        assert image.annotations[0].confidence == 1 / 3
        assert image.annotations[0].is_untouched
    assert store.read_image("3.jpg", LABELS) is not None
    assert store.read_image("8.jpg", LABELS) is None
    assert (store.images, store.boxes_read) == (7, 21)
    store.close()


@pytest.mark.usefixtures("small")
def test_an_image_gains_a_size_and_never_loses_it() -> None:
    store = ReaderStore()
    for size in (None, Size(3, 4), Size(5, 6)):
        store.add_image(StatedImage("a.jpg", "a.jpg"), size, is_relative=True)
        for number in range(3):
            name = f"{number}.jpg"
            store.add_image(StatedImage(name, name), None, is_relative=False)
    image = store.read_image("a.jpg", LABELS)
    assert image is not None
    assert (image.size, image.is_relative) == (Size(3, 4), True)
    store.close()


def test_crowds_and_tags_are_kept_apart_from_boxes() -> None:
    store = ReaderStore()
    store.add_image(StatedImage("a.jpg", "a.jpg"), None, is_relative=False)
    entry = store.find("a.jpg")
    assert entry is not None
    store.add_box(entry, row(0, is_crowd=True))
    for label in (1, 0, 1):
        store.add_tag(entry, label)
    (image,) = store.read_images(LABELS)
    assert image.annotations == ()
    assert [crowd.label for crowd in image.crowds] == ["cat"]
    assert image.tags == ("dog", "cat")
    assert (store.boxes_read, store.tags) == (0, 2)
    store.close()


def test_names_that_are_not_utf8_come_back_as_they_are() -> None:
    store = ReaderStore()
    store.add_image(
        StatedImage("\udcff\1.jpg", "\udcff\1.jpg"), None, is_relative=False
    )
    store.add_remark(Remark("\udcff", "line 1", "é"), is_skipped=True)
    assert [image.name for image in store.read_images(LABELS)] == ["\udcff\1.jpg"]
    assert list(store.remarks(skipped=True)) == [("\udcff", "line 1", "é")]
    assert list(store.remarks(skipped=False)) == []
    store.close()


def test_ids_of_two_files_do_not_meet() -> None:
    with LabelReader(Limits()) as collector:
        for name in ("a.jpg", "b.jpg"):
            collector.add_image(name)
        assert collector.link("1.json", 7, "a.jpg")
        assert collector.link("2.json", 7, "b.jpg")
        assert not collector.link("1.json", 7, "b.jpg")
        assert collector.linked("1.json", 7) == "a.jpg"
        assert collector.linked("2.json", 7) == "b.jpg"
        assert collector.linked("2.json", "7") is None


def test_what_was_cleared_is_gone() -> None:
    with LabelReader(Limits()) as collector:
        collector.add_image("a.jpg", Size(9, 9))
        collector.add_box("a.jpg", "cat", Box(1, 1, 5, 5), file="f", at="1")
        collector.skip("f", "2", "for a reason")
        collector.clear()
        result = collector.result()
    assert (result.images, len(result.labels)) == ((), 0)
    assert result.report.skipped == ()
    assert result.report.boxes_found == 0


@given(st.lists(st.text()))
def test_a_set_on_disk_is_a_set(texts: list[str]) -> None:
    found = DiskSet()
    known: set[str] = set()
    for text in texts:
        assert (text in found) == (text in known)
        assert found.add(text) == (text not in known)
        known.add(text)
    found.close()


def test_an_image_of_two_parts_is_in_neither_whoever_names_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What is at hand and what was written already are joined alike.
    monkeypatch.setattr(reader_store, "_ENTRIES_AT_HAND", 1)
    with LabelReader(Limits()) as collector:
        for part in ("", "train", "", "val", "train"):
            for name in ("both.jpg", "one.jpg"):
                named = part if name == "both.jpg" or part == "train" else ""
                collector.add_image(name, part=named)
        collector.add_image("none.jpg")
        found = {image.name: image.part for image in collector.images()}
    assert found == {"both.jpg": "", "one.jpg": "train", "none.jpg": ""}


def to_be_written(name: str, part: str = "train") -> ExportImage:
    dog = Annotation(
        Box(0.1, 2, 30, 40.5),
        "dog",
        source=Source.MODEL,
        confidence=1 / 3,
        model_id="tiny",
        attributes={"occluded": True, "colour": "brown"},
    )
    record = ImageRecord(
        f"id of {name}",
        name,
        Size(64, 48),
        (dog,),
        status=ReviewStatus.APPROVED,
        tags=("night",),
        ignored=(rectangle(Box(1, 2, 3, 4)),),
    )
    return ExportImage(record, name, part=part, made="variant 1", byte_count=7)


def test_images_to_be_written_come_back_in_their_order() -> None:
    images = ScratchImages()
    for name, part in (("\udcffb.jpg", "val"), ("a.jpg", "train"), ("c.jpg", "test")):
        images.add(to_be_written(name, part))
    first, second, third = images
    assert first.record.annotations[0].attributes == {
        "occluded": True,
        "colour": "brown",
    }
    assert first.record.annotations[0].is_untouched
    assert first.record.annotations[0].confidence == 1 / 3
    assert first.record.ignored == to_be_written("b.jpg").record.ignored
    assert (first.name, second.name) == ("\udcffb.jpg", "a.jpg")
    assert (third.part, third.made, third.byte_count) == ("test", "variant 1", 7)
    assert [image.name for image in images.at([0, 2])] == [first.name, third.name]
    assert list(images.part_of_each()) == ["val", "train", "test"]
    assert images.byte_counts() == [7, 7, 7]
    assert len(images) == 3
    images.close()


@pytest.mark.parametrize("is_flat", [False, True])
def test_names_are_those_of_export_names(is_flat: bool) -> None:
    names = ["a/1.jpg", "b/1.jpg", "A/1.png", "a/1.jpg", "con.jpg", "a"]
    images = ScratchImages(has_flat_names=is_flat)
    for name in names:
        images.add(to_be_written(name))
    images.make_names_unique()
    assert list(images.names()) == (flat_names if is_flat else export_names)(names)
    images.close()
