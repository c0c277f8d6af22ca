"""Variants of the formats as other tools write them, with what has to come out."""

import io
import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from PIL import Image

from imagebase.annotation import Size
from imagebase.formats.base import ReadResult

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
    for name, file in files.items():
        if file is None:
            found[name] = picture(name)
        elif isinstance(file, bytes):
            found[name] = file
        else:
            text = file if isinstance(file, str) else json.dumps(file)
            found[name] = text.encode()
    return found


def boxes_of(result: ReadResult) -> Boxes:
    found: Boxes = {}
    for image in result.images:
        placed = image.in_pixels(SIZE)
        found[image.name] = [
            (
                annotation.label,
                *(round(float(edge), 4) for edge in annotation.box[:2]),
                *(
                    round(float(s), 4)
                    for s in (annotation.box.width, annotation.box.height)
                ),
            )  # type: ignore[misc]
            for annotation in placed.annotations
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
    "yolo, carriage returns": listed(
        {"classes.txt": "cat\rdog\r", "labels/a.txt": f"{A}\r"}
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


def coco(
    annotation: Mapping[str, object],
    *said: str,
    image: Mapping[str, object] | None = None,
    categories: object = ({"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}),
    label: str = "dog",
) -> Case:
    """Return a COCO set of one image with one box."""
    named = {"id": 1, "file_name": "a.png", "width": 200, "height": 100}
    data = {
        "images": [image or named],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 2, **annotation}],
        "categories": categories,
    }
    return Case("coco", {"c.json": data}, {"a.png": [(label, *DOG[1:])]}, said)


BBOX: Final = {"bbox": [10, 20, 30, 40]}
RUNS: Final = [1020, *[40, 60] * 29, 40, 16040]
COCO: Final = {
    "coco, ids as floats": coco({**BBOX, "image_id": 1.0, "category_id": 2.0}),
    "coco, ids as texts": coco({**BBOX, "image_id": "1.0", "category_id": " 2"}),
    "coco, a long id": coco(
        {**BBOX, "image_id": "1" * 20},
        image={"id": int("1" * 20), "file_name": "a.png"},
    ),
    "coco, names as numbers": coco(
        BBOX, categories=[{"id": 1, "name": 0}, {"id": 2, "name": 1}], label="1"
    ),
    "coco, path": coco(BBOX, image={"id": 1, "path": "/x/a.png"}),
    "coco, no categories": coco(
        BBOX, "it has no categories", categories=[], label="class_2"
    ),
    "coco, runs": coco(
        {"segmentation": {"size": [100, 200], "counts": RUNS}}, "outline"
    ),
    "coco, outlines": coco(
        {"segmentation": [[10, 20, 40, 20, 40, 60], [10, 60, 10, 20, 40, 60]]},
        "outline",
    ),
}


def voc(body: str, *said: str) -> Case:
    xml = (
        "<annotation><filename>a.png</filename><size><width>200</width><height>100"
        f"</height></size><object><name>dog</name>{body}</object></annotation>"
    )
    return Case("voc", {"a.xml": xml}, {"a.png": [DOG]}, said)


def corners(*numbers: object) -> str:
    keys = ("xmin", "ymin", "xmax", "ymax")
    pairs = zip(keys, numbers, strict=True)
    inner = "".join(f"<{key}>{value}</{key}>" for key, value in pairs)
    return f"<bndbox>{inner}</bndbox>"


def turned(width: float, height: float, angle: float) -> str:
    return (
        f"<robndbox><cx>25</cx><cy>40</cy><w>{width}</w><h>{height}</h>"
        f"<angle>{angle}</angle></robndbox>"
    )


def labelme(*shapes: Mapping[str, object]) -> Case:
    data = {
        "shapes": [{"label": "dog", "flags": {}, **shape} for shape in shapes],
        **{"imagePath": "a.png", "imageWidth": 200, "imageHeight": 100},
    }
    return Case("labelme", {"a.json": data}, {"a.png": [DOG]})


def piece(x: float, group: object) -> dict[str, object]:
    points = [[x, 20], [x + 10, 20], [x + 10, 60], [x, 60]]
    return {"group_id": group, "shape_type": "polygon", "points": points}


BESIDE: Final = {
    "voc, decimals count from 0": voc(
        corners("10.0", "20.0", "40.0", "60.0"), "pixels count from 0"
    ),
    "voc, whole numbers count from 1": voc(corners(11, 21, 40, 60)),
    "voc, an outline": voc(
        "<polygon><x1>10</x1><y1>20</y1><x2>40</x2><y2>30</y2><x3>20</x3><y3>60</y3>"
        "</polygon>",
        "of an outline",
    ),
    "voc, turned by nothing": voc(turned(30, 40, 0)),
    "voc, turned by a quarter": voc(turned(40, 30, 1.5707963), "of a rotated box"),
    "voc, another xml first": Case(
        "voc",
        {".idea/a.xml": "<project/>", **voc(corners(11, 21, 40, 60)).files},
        {"a.png": [DOG]},
        ["its root is <project>"],
    ),
    "open images, FiftyOne's list": Case(
        "openimages",
        {
            "data/a.png": None,
            "metadata/classes.csv": "/m/01yrx,cat\n/m/0bt9lr,dog\n",
            "labels/detections.csv": "ImageID,Source,LabelName,Confidence,XMin,XMax,"
            "YMin,YMax\na,xclick,/m/0bt9lr,1,0.05,0.2,0.2,0.6\n",
        },
        {"a.png": [DOG]},
    ),
    "labelme, pieces of one": labelme(piece(10, 1), piece(30, 1))._replace(
        said=["it is a piece of shapes[0]", "of an outline"]
    ),
    "labelme, pieces of two": labelme(piece(10, 1), piece(90, 2))._replace(
        boxes={"a.png": [("dog", 10, 20, 10, 40), ("dog", 90, 20, 10, 40)]}
    ),
    "labelme, a group of two": labelme(
        {"group_id": 1, "shape_type": "rectangle", "points": [[10, 20], [40, 60]]},
        {"group_id": 1, "shape_type": "rectangle", "points": [[90, 40], [110, 60]]},
    )._replace(boxes={"a.png": [DOG, ("dog", *CAT[1:])]}),
}


UPLOAD: Final = "/data/upload/1/1a2b3c4d-a.png"
PLACE: Final = {"x": 5, "y": 20, "width": 15, "height": 40, "rotation": 0}
SIDES: Final = {"original_width": 200, "original_height": 100}
REGION: Final = {**PLACE, **SIDES, "rectanglelabels": ["dog"]}
OTHER: Final = {**REGION, "x": 6}


def result(kind: str, **value: object) -> dict[str, object]:
    return {
        **{"id": "r", "type": kind, "from_name": kind, "to_name": "image", **SIDES},
        "value": {**PLACE, **value},
    }


DRAWN: Final = result("rectanglelabels", rectanglelabels=["dog"])


def task(*results: object, **more: object) -> dict[str, object]:
    annotations = [{"id": 1, "result": list(results)}]
    return {"id": 1, "data": {"image": UPLOAD}, "annotations": annotations, **more}


def studio(data: object, *said: str, name: str = "p.json") -> Case:
    return Case("labelstudio", {name: data}, {"a.png": [DOG]}, said)


LABEL_STUDIO: Final = {
    "label studio, a label chosen for a region": studio(
        [task(result("rectangle"), result("choices", choices=["dog"]))]
    ),
    "label studio, labels beside a rectangle": studio(
        [task(result("rectangle"), result("labels", labels=["dog"]))]
    ),
    "label studio, one task": studio(task(DRAWN)),
    "label studio, min by another name": studio(
        [{"img": UPLOAD, "id": 1, "label": [REGION], "annotation_id": 1}]
    ),
    "label studio, min of two annotators": studio(
        [
            {"image": UPLOAD, "id": 1, "label": [REGION], "annotation_id": 1},
            {"image": UPLOAD, "id": 1, "label": [OTHER], "annotation_id": 2},
        ],
        "another annotation of the same image was taken",
    ),
    "label studio, two annotators": studio(
        [
            task(
                DRAWN,
                annotations=[
                    {"id": 1, "result": [DRAWN]},
                    {
                        "id": 2,
                        "result": [result("rectanglelabels", rectanglelabels=["x"])],
                    },
                ],
            )
        ],
        "another annotation of the same image was taken",
    ),
    "label studio, csv": studio(
        "image,id,label,annotator,annotation_id\n"
        f'{UPLOAD},1,"{json.dumps([REGION]).replace(chr(34), chr(34) * 2)}",1,1\n',
        name="p.csv",
    ),
    "label studio, no size": studio(
        [
            task(
                {
                    "id": "r",
                    "type": "rectanglelabels",
                    "value": {**PLACE, "rectanglelabels": ["dog"]},
                }
            )
        ]
    ),
}


VARIANTS: Final = {**YOLO, **COCO, **BESIDE, **LABEL_STUDIO}
