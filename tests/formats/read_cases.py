"""Variants of the formats as other tools write them, with what has to come out."""

import io
import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from PIL import Image

from imagebase.annotation import Size
from imagebase.formats.label_set_files import ReadResult

SIZE: Final = Size(200, 100)
# Most sets have these: x, y, width, height.
DOG: Final = ("dog", 10.0, 20.0, 30.0, 40.0)
CAT: Final = ("cat", 90.0, 40.0, 20.0, 20.0)

Boxes = dict[str, list[tuple[str, float, float, float, float]]]


def picture(name: str) -> bytes:
    """Return an image that no other name has."""
    file = io.BytesIO()
    colour = tuple(sha256(name.encode()).digest()[:3])
    Image.new("RGB", SIZE, colour).save(file, "PNG")
    return file.getvalue()


class Case(NamedTuple):
    """A label set, the format it is to be recognised as, and what is in it.

    said: parts of remarks, each of which one remark has.
    """

    format_name: str
    files: Mapping[str, object]
    boxes: Boxes
    said: Sequence[str] = ()
    part: str = ""


def contents(files: Mapping[str, object]) -> dict[str, bytes]:
    """Return files as bytes: text as UTF-8, None as a picture, else JSON."""
    found = {}
    for name, one in files.items():
        if one is None:
            found[name] = picture(name)
        elif isinstance(one, bytes):
            found[name] = one
        else:
            text = one if isinstance(one, str) else json.dumps(one)
            found[name] = text.encode()
    return found


def boxes_of(result: ReadResult) -> Boxes:
    found: Boxes = {}
    for image in result.images:
        placed = image.in_pixels(SIZE)
        found[image.name] = [
            (
                one.label,
                *(round(float(edge), 4) for edge in one.box[:2]),
                *(round(float(s), 4) for s in (one.box.width, one.box.height)),
            )  # type: ignore[misc]
            for one in placed.annotations
        ]
    return found


A: Final = "1 0.125 0.4 0.15 0.4"


POSE: Final = "of a pose, the box is kept"
NAMED: Final = {"images/a.png": None, "labels/a.txt": A}


def lines(
    text: str,
    *said: str,
    data: str = "names: [cat, dog]\n",
    also: Mapping[str, object] = {},
) -> Case:
    """Return a YOLO set of one image, whose label file has the dog."""
    files = {"data.yaml": data, "images/a.png": None, "labels/a.txt": text}
    return Case("yolo", {**files, **also}, {"a.png": [DOG]}, said)


def listed(files: Mapping[str, object], *said: str) -> Case:
    """Return a YOLO set of one image, with names in these files."""
    return Case("yolo", {**NAMED, **files}, {"a.png": [DOG]}, said)


YOLO: Final = {
    "yolo, pose as told": lines(
        f"{A} 0.06 0.25 0.1 0.3", POSE, data="names: [cat, dog]\nkpt_shape: [2, 2]\n"
    ),
    "yolo, pose and confidence": lines(
        f"{A} 0.06 0.25 0.7 0.1 0.3 0.8 0.9 4",
        POSE,
        data="names: [cat, dog]\nkpt_shape: [2, 3]\n",
    ),
    "yolo, pose as it shows": lines(f"{A} 0.06 0.25 2 0.1 0.3 1 0 0 0 0.1 0.1 2", POSE),
    "yolo, box in a set of poses": lines(A, data="names: [a, dog]\nkpt_shape: [2, 3]"),
    "yolo, confidence and track": lines(f"{A} 0.87 12"),
    "yolo, track alone": lines(f"{A} 12"),
    "yolo, first track": lines(
        f"{A} 0.87 1", also={"labels/b.txt": f"{A} 0.9 2", "images/b.png": None}
    )._replace(boxes={"a.png": [DOG], "b.png": [DOG]}),
    "yolo, triangle": lines("1 0.05 0.2 0.2 0.2 0.2 0.6", "of an outline"),
    "yolo, outline and confidence": lines(
        "1 0.05 0.2 0.2 0.2 0.2 0.6 0.05 0.6 0.9", "of an outline"
    ),
    "yolo, outline, confidence and track": lines(
        "1 0.05 0.2 0.2 0.2 0.2 0.6 0.05 0.6 0.9 3", "of an outline"
    ),
    "yolo, a name twice": lines(
        "3 0.125 0.4 0.15 0.4",
        "it lists 'zebra' 2 times",
        data="names: [zebra, cat, zebra, dog]\n",
    ),
    "yolo, names by id": lines(A, data="names:\n  0: no\n  1: dog\n"),
    "yolo, ids by name": lines(A, data="names:\n  cat: 0\n  dog: 1\n"),
    "yolo, names in a text": lines(A, data="nc: 2\nnames: cat, dog\n"),
    "yolo, words in a text": lines(A, data="nc: 2\nnames: cat dog\n"),
    "yolo, names in a file": lines(
        A, data="names: ./cfg/my.txt\n", also={"cfg/my.txt": "cat\ndog\n"}
    ),
    "yolo, names in dataset.yaml": listed({"dataset.yaml": "names: [cat, dog]"}),
    "yolo, another broken yaml": listed(
        {"a.yml": "a: [", "my.yaml": "names: [cat, dog]"}, "a.yml"
    ),
    "yolo, an empty yaml first": listed(
        {"a.yaml": "names: []", "data.yaml": "names: [cat, dog]"}
    ),
    "yolo, names in coco.names": listed({"coco.names": "cat\ndog\n"}),
    "yolo, names in labels.txt": listed({"labels.txt": "cat\ndog\n"}),
    "yolo, names among labels": listed({"labels/classes.txt": "cat\ndog\n"}),
    "yolo, names among images": listed({"images/predefined_classes.txt": "0\ndog\n"}),
    "yolo, roboflow's darknet": Case(
        "yolo",
        {
            "train/a.png": None,
            "train/a.txt": A,
            "train/_darknet.labels": "cat\ndog\n",
            "train/README.roboflow.txt": "hello",
        },
        {"a.png": [DOG]},
        part="train",
    ),
    "yolo, a list for each folder": Case(
        "yolo",
        {
            "x/images/a.png": None,
            "x/labels/a.txt": A,
            "x/labels/classes.txt": "cat\ndog\n",
            "y/images/b.png": None,
            "y/labels/b.txt": A,
            "y/labels/classes.txt": "dog\ncat\n",
        },
        {"a.png": [DOG], "b.png": [("cat", *DOG[1:])]},
    ),
    "yolo, a picture called classes": Case(
        "yolo",
        {
            "data.yaml": "names: [cat, dog]",
            "images/classes.png": None,
            "labels/classes.txt": A,
        },
        {"classes.png": [DOG]},
    ),
    "darknet, coco.data": Case(
        "darknet",
        {
            "cfg/coco.data": "classes=2\ntrain = train.txt\nnames = data/my.txt\n",
            "data/my.txt": "cat\ndog\n",
            "obj/a.png": None,
            "obj/a.txt": A,
        },
        {"a.png": [DOG]},
    ),
}
VARIANTS: Final = {**YOLO}
