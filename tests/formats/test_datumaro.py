"""Datumaro, which CVAT's importers are made from, reads the zips that the app offers.

It asks for other versions than the app, so `make test` gives it an environment of its
own in `.venv/datumaro`.
"""

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from imagebase.annotation import Attributes
from imagebase.formats.base import ExportSet
from imagebase.formats.verified_export import export_zip
from imagebase.images.decode import encode_jpeg
from tests.formats.builders import box, export_set, record

PYTHON: Final = Path(sys.prefix) / "datumaro" / "bin" / "python"
PIXELS: Final = encode_jpeg(np.zeros((48, 64, 3), np.uint8))
SPLIT: Final = ("train", "train", "val", "test")

# Prints {"subset/item": [[label, x, y, width, height], ...]} for each folder given.
_READ: Final = """
import json, sys
import datumaro
found = {}
for argument in sys.argv[1:]:
    name, folder = argument.split("=")
    dataset = datumaro.Dataset.import_from(folder, name)
    labels = dataset.categories()[datumaro.AnnotationType.label]
    found[folder] = {
        f"{item.subset}/{item.id}": [
            [labels[one.label].name, *one.get_bbox()]
            for one in item.annotations
            if one.type == datumaro.AnnotationType.bbox
        ]
        for item in dataset
    }
print(json.dumps(found))
"""
# Prints the attributes of the only box of each folder, as texts.
_READ_ATTRIBUTES: Final = """
import json, sys
import datumaro
found = {}
for argument in sys.argv[1:]:
    name, folder = argument.split("=")
    (item,) = datumaro.Dataset.import_from(folder, name)
    (box,) = [one for one in item.annotations if one.type.name == "bbox"]
    texts = {key: str(value) for key, value in box.attributes.items()}
    found[name] = texts | ({"group": str(box.group)} if name == "cvat" else {})
print(json.dumps(found))
"""
# What Datumaro calls the formats.
_NAMES: Final = {
    "coco": "coco",
    "voc": "voc",
    "darknet": "yolo",
    "yolo": "yolo",
    "cvat": "cvat",
    "openimages": "open_images",
}
# Where it has other names for the splits, or a name for a set without one.
_SUBSETS: Final = {
    ("coco", ""): "default",
    ("cvat", ""): "annotations",
    ("darknet", "val"): "valid",
    ("openimages", "val"): "validation",
}
Boxes = dict[str, list[list[Any]]]


def pets(*, is_split: bool) -> ExportSet:
    """Return four images, one of them empty, with labels in no alphabetical order."""
    found = export_set(
        record(box(10, 20, 40, 46, label="dog"), box(1, 2, 31, 42), name="a.jpg"),
        record(name="b.jpg"),
        record(box(0, 0, 64, 48, label="dog"), name="c.jpg"),
        record(box(5, 5, 9, 9, label="big cat"), name="d.jpg"),
        labels=("dog", "unused", "cat", "big cat"),
    )
    if not is_split:
        return found
    pairs = zip(found.images, SPLIT, strict=True)
    return replace(
        found, images=tuple(replace(pair, part=part) for pair, part in pairs)
    )


@pytest.fixture(scope="module")
def read_by_datumaro(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Boxes]:
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is absent; `make test` makes it")
    root = tmp_path_factory.mktemp("zips")
    arguments = []
    for format_name, theirs in _NAMES.items():
        for kind in ("whole", "split"):
            path = root / f"{format_name}-{kind}.zip"
            export_zip(
                pets(is_split=kind == "split"),
                format_name,
                images=lambda image_id: PIXELS,
                path=path,
            )
            with zipfile.ZipFile(path) as archive:
                archive.extractall(path.with_suffix(""))
            arguments.append(f"{theirs}={path.with_suffix('')}")
    done = subprocess.run(
        [PYTHON, "-c", _READ, *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Boxes] = json.loads(done.stdout.splitlines()[-1])
    return {Path(folder).name: boxes for folder, boxes in found.items()}


@pytest.mark.parametrize("is_split", [False, True], ids=["whole", "split"])
@pytest.mark.parametrize("format_name", _NAMES)
def test_datumaro_finds_every_box_once(
    read_by_datumaro: dict[str, Boxes], format_name: str, *, is_split: bool
) -> None:
    wanted = {
        f"{subset}/{Path(image.name).stem}": sorted(
            [
                annotation.label,
                annotation.box.x_min,
                annotation.box.y_min,
                annotation.box.width,
                annotation.box.height,
            ]
            for annotation in image.record.annotations
        )
        for image in pets(is_split=is_split).images
        for subset in _subsets(format_name, image.part, is_split=is_split)
    }
    if format_name == "openimages":  # it knows images by their rows alone
        wanted = {name: boxes for name, boxes in wanted.items() if boxes}
    found = read_by_datumaro[f"{format_name}-{'split' if is_split else 'whole'}"]
    if format_name == "voc":  # it takes the near corner, counted from 1, as it stands
        found = {
            name: [_from_zero(*number) for number in ones]
            for name, ones in found.items()
        }
    assert {name: sorted(boxes) for name, boxes in found.items()} == {
        name: [[label, *map(pytest.approx, edges)] for label, *edges in boxes]
        for name, boxes in wanted.items()
    }


def _from_zero(
    label: str, x: float, y: float, width: float, height: float
) -> list[Any]:
    return [label, x - 1, y - 1, width + 1, height + 1]


def _subsets(format_name: str, part: str, *, is_split: bool) -> list[str]:
    if not is_split:
        # Without a split Darknet's lists name all images twice, and the report says so.
        return (
            ["train", "valid"]
            if format_name == "darknet"
            else [_SUBSETS.get((format_name, ""), "train")]
        )
    if (format_name, part) == ("darknet", "test"):
        return []  # obj.data has no key for it
    return [_SUBSETS.get((format_name, part), part)]


def test_datumaro_finds_the_attributes_of_a_box(tmp_path: Path) -> None:
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is absent; `make test` makes it")
    known: Attributes = {"occluded": True, "truncated": True, "group": 7}
    described = replace(
        box(1, 2, 30, 40), attributes={**known, "pose": "Left", "color": "red"}
    )
    names = ("coco", "cvat", "voc")
    for name in names:
        path = tmp_path / f"{name}.zip"
        images = export_set(record(described))
        export_zip(images, name, images=lambda image_id: PIXELS, path=path)
        with zipfile.ZipFile(path) as archive:
            archive.extractall(tmp_path / name)
    done = subprocess.run(
        [
            PYTHON,
            "-c",
            _READ_ATTRIBUTES,
            *(f"{name}={tmp_path / name}" for name in names),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    wanted = {"occluded": "True", "truncated": "True", "group": "7"}
    wanted |= {"pose": "Left", "color": "red"}
    for found in json.loads(done.stdout.splitlines()[-1]).values():
        assert {key: found.get(key) for key in wanted} == wanted
