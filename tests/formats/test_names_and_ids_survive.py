"""Any names, any growth of the labels, any damage: what a reader makes of them."""

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebase.errors import AnnotationFileError
from imagebase.formats.base import WriteOptions
from imagebase.formats.registry import READERS, read
from imagebase.formats.trees import MemoryTree
from imagebase.formats.verify import verify
from tests.formats.builders import (
    FORMAT_NAMES,
    as_export_set,
    box,
    export_set,
    record,
    written,
)

# Neither by the alphabet nor all in use; the middle one stands on no box.
LABELS = ("zebra", "never used", "ant")
IN_ORDER = export_set(
    record(box(0, 0, 8, 8, label="ant"), box(8, 8, 16, 16, label="zebra")),
    labels=LABELS,
)
# Class ids as each format writes them, of the ant and then the zebra.
IDS = {
    "yolo": ("labels/train/a.txt", r"(?m)^(\d+) ", ["2", "0"]),
    "darknet": ("obj/a.txt", r"(?m)^(\d+) ", ["2", "0"]),
    "folders": ("ant/a.txt", r"(?m)^(\d+) ", ["2", "0"]),
    "coco": ("annotations.json", r'"category_id": (\d+)', ["3", "1"]),
}
# Where each format lists all labels, one after the other.
LISTS = {
    "yolo": ("data.yaml", r"(?m)^  \d+: (.*)$"),
    "coco": ("annotations.json", r'"name": "([^"]*)"'),
    "cvat": ("annotations.xml", r"<name>(?!pets)([^<]*)</name>\n\s*<color"),
    "labelstudio": ("labeling_config.xml", r'Label value="([^"]*)"'),
    "openimages": ("class-descriptions.csv", r"(?m)^(?!LabelName)([^,]*),"),
    **dict.fromkeys(("darknet", "folders"), ("obj.names", r"(?m)^(.+)$")),
    **dict.fromkeys(
        ("csv", "voc", "createml", "labelme", "classification"),
        ("labels.txt", r"(?m)^(.+)$"),
    ),
}


@pytest.mark.parametrize("format_name", FORMAT_NAMES)
def test_labels_are_listed_in_their_order_with_those_unused(format_name: str) -> None:
    path, pattern = LISTS[format_name]
    text = written(IN_ORDER, format_name)[path].decode()
    assert tuple(re.findall(pattern, text)) == LABELS


@pytest.mark.parametrize("format_name", IDS)
def test_class_ids_are_places_in_that_order(format_name: str) -> None:
    path, pattern, ids = IDS[format_name]
    text = written(IN_ORDER, format_name)[path].decode()
    assert re.findall(pattern, text) == ids


@pytest.mark.parametrize("format_name", IDS)
def test_a_new_label_changes_no_class_id(format_name: str) -> None:
    grown = export_set(
        *(image.record for image in IN_ORDER.images),
        labels=(*LABELS, "aardvark"),
    )
    path, pattern, ids = IDS[format_name]
    text = written(grown, format_name)[path].decode()
    assert re.findall(pattern, text) == ids
    assert read(MemoryTree(written(grown, format_name)), format_name).labels.names == (
        *LABELS,
        "aardvark",
    )


def test_label_studio_has_the_class_id_as_category() -> None:
    config = written(IN_ORDER, "labelstudio")["labeling_config.xml"].decode()
    assert re.findall(r'category="(\d+)"', config) == ["0", "1", "2"]


NAMES = st.one_of(
    st.sampled_from(["a.jpg", "A.JPG", "a.png", "sub/a.jpg", "a.jpeg", "sub_a.jpg"]),
    st.sampled_from(
        ["a.b.jpg", " a.jpg", "a .jpg", "=1+1.png", "ü, & ' b.jpg", "🐱.png"]
    ),
    st.sampled_from(["train.jpg", "classes.png", "obj.jpg", "con.jpg", "labels/a.jpg"]),
    st.text(max_size=8).map(lambda text: f"{text}.jpg"),
)


@pytest.mark.parametrize("format_name", FORMAT_NAMES)
@pytest.mark.parametrize("with_images", [True, False])
@given(names=st.lists(NAMES, min_size=1, max_size=6))
def test_any_names_survive(
    format_name: str, with_images: bool, names: list[str]
) -> None:
    found = (record(box(1, 1, 9, 9 + n), name=name) for n, name in enumerate(names))
    dataset = export_set(*found)
    files = written(dataset, format_name, WriteOptions(with_images=with_images))
    assert verify(dataset, MemoryTree(files), format_name).differences == ()


DAMAGE = st.lists(
    st.tuples(st.floats(0, 1), st.binary(max_size=3), st.integers(0, 12)), max_size=4
)


@pytest.mark.parametrize("format_name", FORMAT_NAMES)
@given(damage=DAMAGE, which=st.floats(0, 0.999))
def test_damage_anywhere_is_reported_or_read_but_never_a_crash(
    format_name: str, damage: list[tuple[float, bytes, int]], which: float
) -> None:
    files = written(IN_ORDER, format_name, WriteOptions(with_images=False))
    name = sorted(files)[int(which * len(files))]
    data = files[name]
    for place, new, gone in damage:
        at = int(place * len(data))
        data = data[:at] + new + data[at + gone :]
    files[name] = data
    boxes = 0
    with suppress(AnnotationFileError):
        report = READERS[format_name](MemoryTree(files)).report
        boxes = report.boxes_read
        assert report.boxes_found - boxes <= len(report.skipped)
    assert boxes <= 20


@pytest.mark.parametrize("format_name", FORMAT_NAMES)
def test_the_traps_together_are_written_again_the_same(format_name: str) -> None:
    names = ("a.jpg", "a.png", "sub/a.jpg", "A.JPG")
    traps = export_set(
        *(
            record(box(0, 0, 64, 48, label=label), name=name)
            for name, label in zip(
                names, ('x: "y"', "a, b", " lead", "=1+1"), strict=True
            )
        ),
        labels=('x: "y"', "unused & 🐱", "a, b", " lead", "=1+1"),
    )
    files = written(traps, format_name)
    again = as_export_set(read(MemoryTree(files), format_name), traps)
    assert written(again, format_name) == files
    assert again.labels.names == traps.labels.names
