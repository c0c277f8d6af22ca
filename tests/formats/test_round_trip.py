"""Every format is written, read back, compared, and written again the same."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebase.annotation import Annotation, ImageRecord, clean_label
from imagebase.formats.base import PARTS, ExportSet, WriteOptions
from imagebase.formats.registry import FORMATS, read
from imagebase.formats.shapes import writable
from imagebase.formats.trees import MemoryTree
from imagebase.formats.verify import Verification, verify
from imagebase.formats.writer import write_subsets
from tests.formats.builders import (
    BOX_FORMATS,
    FORMAT_NAMES,
    HARD_LABELS,
    as_export_set,
    box,
    bytes_of,
    export_set,
    model_box,
    record,
    written,
)

EVERYTHING = export_set(
    record(*(box(1, 2, 30, 40, label=label) for label in HARD_LABELS[:-3])),
    record(model_box(0.4, 0.6, 63.7, 47.1), name="A.JPG"),
    record(box(0, 0, 64, 48), box(0, 0, 64, 48), name="a.png"),
    record(name="sub/a.jpg"),
    record(box(0.2, 0.2, 0.3, 47.9), box(63.9, 0, 64, 1), name="ü & b.jpg"),
    record(box(0, 0, 1, 1), name="one.png", size=(1, 1)),
    record(box(10.123, 20.9, 7999.5, 5999.9), name="big.jpg", size=(8000, 6000)),
    labels=HARD_LABELS,
)
NAN, INFINITE = float("nan"), float("inf")


def proof_of(
    dataset: ExportSet, format_name: str, options: WriteOptions | None = None
) -> Verification:
    return verify(
        dataset, MemoryTree(written(dataset, format_name, options)), format_name
    )


@pytest.mark.parametrize("format_name", BOX_FORMATS)
def test_what_is_written_is_read_back(format_name: str) -> None:
    proof = proof_of(EVERYTHING, format_name)
    assert proof.differences == ()
    assert proof.boxes_equal == proof.boxes_written == 14
    assert proof.holds


@pytest.mark.parametrize("format_name", FORMAT_NAMES)
def test_label_files_alone_are_read_back(format_name: str) -> None:
    assert proof_of(EVERYTHING, format_name, WriteOptions(with_images=False)).holds


def test_voc_from_zero_is_read_back() -> None:
    assert proof_of(EVERYTHING, "voc", WriteOptions(voc_is_zero_based=True)).holds


@pytest.mark.parametrize("format_name", FORMAT_NAMES)
def test_a_second_export_has_the_same_bytes(format_name: str) -> None:
    first = written(EVERYTHING, format_name)
    read_back = as_export_set(read(MemoryTree(first), format_name), EVERYTHING)
    second = written(read_back, format_name)
    assert second.keys() == first.keys()
    assert second == first


def test_formats_follow_one_another_without_loss_of_labels_or_boxes() -> None:
    current = EVERYTHING
    for format_name in (*BOX_FORMATS, *reversed(BOX_FORMATS)):
        tree = MemoryTree(written(current, format_name))
        current = as_export_set(read(tree, format_name), current)
        assert current.labels.names == EVERYTHING.labels.names
    for image, first in zip(current.images, EVERYTHING.images, strict=True):
        pairs = zip(image.record.annotations, first.record.annotations, strict=True)
        for last, pair in pairs:
            assert last.label == pair.label
            moved = max(abs(a - b) for a, b in zip(last.box, pair.box, strict=True))
            # Whole pixels move thin boxes by up to one; six decimals of 8000 px a bit.
            assert moved <= 1.02


@pytest.mark.parametrize("format_name", BOX_FORMATS)
def test_boxes_left_out_are_named(format_name: str) -> None:
    bad = (
        box(5, 5, 5, 9, label="dog"),
        box(70, 0, 90, 9),
        box(NAN, 0, 9, 9),
        box(0, 0, INFINITE, 9),
    )
    proof = proof_of(export_set(record(*bad, box(9, 9, 1, 1))), format_name)
    assert [
        (skipped.image, skipped.label, skipped.reason) for skipped in proof.left_out
    ] == [
        ("a.jpg", "dog", "the box has no area"),
        ("a.jpg", "cat", "the box lies outside the image"),
        ("a.jpg", "cat", "a corner is not a number"),
        ("a.jpg", "cat", "a corner is not a number"),
    ]
    assert proof.boxes_written == 1
    assert proof.holds


@pytest.mark.parametrize("with_images", [True, False])
@pytest.mark.parametrize("format_name", FORMAT_NAMES)
def test_images_named_like_files_of_a_format_survive(
    format_name: str, with_images: bool
) -> None:
    stems = ("train", "valid", "test", "classes", "readme", "images", "labels", "obj")
    found = (
        record(*[box(0, 0, 9, 9)] * (n % 2), name=f"{stem}.jpg")
        for n, stem in enumerate(stems)
    )
    options = WriteOptions(with_images=with_images)
    proof = proof_of(export_set(*found), format_name, options)
    assert proof.differences == ()


@pytest.mark.parametrize("format_name", ["yolo", "darknet", "voc"])
def test_a_split_is_written(format_name: str) -> None:
    both = export_set(record(box(0, 0, 9, 9)), record(name="b.jpg"))
    first, second = both.images
    split = replace(both, images=(first, replace(second, part="val")))
    files = written(split, format_name)
    expected = {
        "yolo": ("labels/val/b.txt", b""),
        "darknet": ("valid.txt", b"obj/b.jpg\n"),
        "voc": ("ImageSets/Main/val.txt", b"b\n"),
    }
    path, content = expected[format_name]
    assert files[path] == content
    assert verify(split, MemoryTree(files), format_name).differences == ()


def files_of(
    dataset: ExportSet, format_name: str, options: WriteOptions
) -> dict[str, bytes]:
    """Return the files of an export, part by part where the format has none."""
    files = write_subsets(dataset, FORMATS[format_name], options)
    return {file.path: bytes_of(file.content) for file in files}


@pytest.mark.parametrize("with_images", [True, False])
@pytest.mark.parametrize("format_name", FORMAT_NAMES)
def test_who_is_in_which_part_is_proven(format_name: str, with_images: bool) -> None:
    parts = ("train", "val", "test", "val", "train", "test", "val")
    images = zip(EVERYTHING.images, parts, strict=True)
    split = replace(
        EVERYTHING, images=tuple(replace(image, part=part) for image, part in images)
    )
    files = files_of(split, format_name, WriteOptions(with_images=with_images))
    assert verify(split, MemoryTree(files), format_name).differences == ()
    first, *others = split.images
    moved = replace(split, images=(replace(first, part="val"), *others))
    assert not verify(moved, MemoryTree(files), format_name).holds


NAMED_LIKE_PARTS = (
    *("train.jpg", "train/train.jpg", "test/val/a.jpg", "images/val/y.png", "a .jpg"),
    *(
        "x\u00a0.png",
        " x.png",
        "ImageSets/Main/val.jpg",
        "test2017/k.jpg",
        "val.txt.jpg",
    ),
)


@pytest.mark.parametrize("with_images", [True, False])
@pytest.mark.parametrize("format_name", FORMAT_NAMES)
def test_images_named_like_parts_are_in_the_one_they_were_given(
    format_name: str, with_images: bool
) -> None:
    whole = export_set(*(record(name=name) for name in NAMED_LIKE_PARTS))
    options = WriteOptions(with_images=with_images)
    for shift in range(len(PARTS)):
        images = tuple(
            replace(image, part=PARTS[(at + shift) % len(PARTS)])
            for at, image in enumerate(whole.images)
        )
        split = replace(whole, images=images)
        files = files_of(split, format_name, options)
        assert verify(split, MemoryTree(files), format_name).differences == ()


@pytest.mark.parametrize("format_name", FORMAT_NAMES)
def test_no_images_can_be_written_and_read(format_name: str) -> None:
    proof = proof_of(export_set(), format_name)
    assert proof.differences == ()
    assert proof.images == 0


@pytest.mark.parametrize("format_name", BOX_FORMATS)
def test_a_thousand_images_can_be_written_and_read(format_name: str) -> None:
    found = (record(box(0, 0, 9, n % 40 + 1), name=f"{n}.jpg") for n in range(1000))
    proof = proof_of(export_set(*found), format_name)
    assert proof.images == proof.boxes_equal == 1000
    assert proof.holds


LABELS = st.text(min_size=1, max_size=12).filter(lambda text: bool(text.strip()))


@st.composite
def boxes_of(draw: st.DrawFn, width: int, height: int) -> Annotation:
    def edge(side: int) -> float:
        return draw(
            st.floats(-5, side + 5)
            | st.integers(-1, side + 1).map(float)
            | st.sampled_from([0.0, 0.5, float(side), side - 1e-4, NAN, INFINITE])
        )

    corners = (edge(width), edge(height), edge(width), edge(height))
    label = draw(st.sampled_from(HARD_LABELS))
    if draw(st.booleans()):
        confidence = draw(st.floats(0, 1))
        return model_box(*corners, label=label, confidence=confidence)
    return box(*corners, label=label)


@st.composite
def records(draw: st.DrawFn) -> ImageRecord:
    width, height = draw(st.integers(1, 9000)), draw(st.integers(1, 9000))
    found = draw(st.lists(boxes_of(width, height), max_size=4))
    name = draw(st.sampled_from(["a.jpg", "A.JPG", "a.png", "sub/a.jpg", "é .jpg"]))
    return record(*found, name=name, size=(width, height))


@pytest.mark.parametrize("format_name", FORMAT_NAMES)
@given(st.lists(records(), min_size=1, max_size=4))
def test_any_boxes_survive(format_name: str, found: list[ImageRecord]) -> None:
    dataset = export_set(*found, labels=HARD_LABELS)
    files = written(dataset, format_name)
    assert verify(dataset, MemoryTree(files), format_name).differences == ()
    # Rounding may take thinner boxes over the limit below which none is written.
    if thinnest_px(dataset) > 0.05:
        again = as_export_set(read(MemoryTree(files), format_name), dataset)
        assert written(again, format_name) == files


def thinnest_px(dataset: ExportSet) -> float:
    found = (two.box for image in dataset.images for two in writable(image))
    return min((side for box in found for side in (box.width, box.height)), default=1)


@pytest.mark.parametrize("format_name", FORMAT_NAMES)
@given(st.lists(LABELS, min_size=1, max_size=4, unique=True))
def test_any_labels_survive(format_name: str, labels: list[str]) -> None:
    names = dict.fromkeys(_kept(label, format_name) for label in labels)
    found = record(*(box(1, 1, 9, 9, label=name) for name in names))
    dataset = export_set(found, labels=[*names])
    assert proof_of(dataset, format_name).differences == ()


def _kept(label: str, format_name: str) -> str:
    """Return a label as a dataset keeps it, and for XML what XML can hold."""
    try:
        label = clean_label(label)
    except ValueError:
        return "blank"
    if format_name in ("voc", "cvat", "labelstudio"):
        printable = "".join(c for c in label if c.isprintable())
        return printable if printable.strip() else "unprintable"
    return label


def test_a_moved_edge_is_a_difference() -> None:
    dataset = export_set(record(box(1, 1, 9, 9), name="a.jpg"))
    files = written(dataset, "coco")
    document = files["annotations.json"]
    files["annotations.json"] = document.replace(b"8.0, 8.0", b"8.0, 9.0")
    proof = verify(dataset, MemoryTree(files), "coco")
    assert not proof.holds
    assert proof.boxes_equal == 0
    assert proof.differences[0].startswith("a.jpg, box 1: it is (1.0, 1.0, 9.0, 10.0)")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ((b'"cat"', b'"cow"'), "The labels are"),
        ((b'"score": 0.5', b'"score": 0.4'), "its confidence is 0.4, not 0.5"),
        ((b'"width": 64', b'"width": 65'), "has the size"),
        ((b'"a.jpg"', b'"b.jpg"'), "a.jpg is missing"),
        ((b'"category_id": 1', b'"category_id": 7'), "there is no category 7"),
        ((b'"annotations"', b'"forgotten"'), "has 0 boxes, not 1"),
        ((b'"images"', b'"pictures"'), "cannot be read back"),
    ],
)
def test_every_kind_of_difference_is_found(
    change: tuple[bytes, bytes], sentence: str
) -> None:
    dataset = export_set(record(model_box(1, 1, 9, 9)))
    files = written(dataset, "coco")
    files["annotations.json"] = files["annotations.json"].replace(*change)
    proof = verify(dataset, MemoryTree(files), "coco")
    assert not proof.holds
    assert any(sentence in difference for difference in proof.differences)
