"""What other tools write and we do not: read, through the app's import too."""

import io
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

import globox
import numpy as np
import pycocotools.mask
import pytest
from labelformat.formats import KittiObjectDetectionInput
from labelformat.model.bounding_box import BoundingBoxFormat

from imagebase.errors import AnnotationFileError
from imagebase.formats.registry import read, recognise
from imagebase.formats.shapes import box_of_run_lengths
from imagebase.formats.trees import FolderTree, MemoryTree
from imagebase.ingest.box_merging import ImportChoice
from imagebase.ingest.image_matching import look_at_images
from imagebase.ingest.import_plan import dry_run
from imagebase.ingest.label_files import DroppedFiles, keep_files
from imagebase.settings import Limits, Settings
from imagebase.store import Scope, Store
from tests.formats.builders import reasons
from tests.formats.csv_cases import CSV
from tests.formats.read_cases import (
    CAT,
    DOG,
    DRAWN,
    VARIANTS,
    Case,
    boxes_of,
    contents,
    result,
    task,
)
from tests.store.fixtures import sqlite_settings


def via_region(*numbers: float, **attributes: object) -> dict[str, object]:
    shape = dict(zip(("x", "y", "width", "height"), numbers, strict=True))
    return {
        "shape_attributes": {"name": "rect", **shape},
        "region_attributes": attributes,
    }


def via_image(name: str, regions: object) -> dict[str, object]:
    return {"filename": name, "size": 9, "regions": regions, "file_attributes": {}}


VIA_PROJECT: Final = {
    "_via_settings": {"ui": {}},
    "_via_img_metadata": {
        "a.png9": via_image("a.png", [via_region(10, 20, 30, 40, kind="dog")]),
        "b.png9": via_image("b.png", [via_region(110, 60, -20, -20, kind="cat")]),
    },
    "_via_attributes": {"region": {"kind": {"type": "text"}}, "file": {}},
}
VIA_CSV: Final = (
    "#filename,file_size,file_attributes,region_count,region_id,"
    "region_shape_attributes,region_attributes\n"
    'a.png,9,"{}",1,0,"{""name"":""rect"",""x"":10,""y"":20,""width"":30,'
    '""height"":40}","{""name"":""dog""}"\n'
    'b.png,9,"{}",0,0,"{}","{}"\n'
)
VIA_THIRD: Final = {
    "project": {"pid": "x"},
    "config": {},
    "attribute": {
        "1": {"aname": "thing", "type": 4, "options": {"0": "cat", "1": "dog"}}
    },
    "file": {"1": {"fid": "1", "fname": "a.png", "type": 2, "loc": 1, "src": ""}},
    "metadata": {
        "1_x": {"vid": "1", "z": [], "xy": [2, 10, 20, 30, 40], "av": {"1": "1"}},
        "1_y": {"vid": "1", "z": [1.5], "xy": [], "av": {"1": "0"}},
    },
    "view": {"1": {"fid_list": ["1"]}},
}


def vott_asset(name: str, *regions: object) -> dict[str, object]:
    size = {"width": 200, "height": 100}
    asset = {"id": name, "name": name, "path": f"file:/x/{name}", "size": size}
    return {"asset": asset, "regions": list(regions), "version": "2.2.0"}


def vott_region(*tags: str, left: float = 10, top: float = 20) -> dict[str, object]:
    box = {"left": left, "top": top, "width": 30, "height": 40}
    return {"id": "r", "type": "RECTANGLE", "tags": tags, "boundingBox": box}


VOTT_FIRST: Final = {
    "frames": {
        "a.png": [
            {
                **{"x1": 20, "y1": 40, "x2": 80, "y2": 120},
                **{"width": 400, "height": 200, "type": "Rectangle", "tags": ["dog"]},
            }
        ]
    },
    "inputTags": "cat,dog",
}


def datumaro(*annotations: dict[str, object]) -> dict[str, Any]:
    labels = [{"name": name, "parent": "", "attributes": ["x"]} for name in CATS]
    item = {
        "id": "a",
        "annotations": list(annotations),
        "image": {"path": "a.png", "size": [100, 200]},
    }
    return {
        "info": {},
        "categories": {"label": {"labels": labels, "attributes": ["occluded"]}},
        "items": [item, {"id": "b", "annotations": []}],
    }


CATS: Final = ("cat", "dog")
XML_BOX: Final = "<polygon>{}</polygon>".format(
    "".join(
        f"<pt><x>{x}</x><y>{y}</y></pt>"
        for x, y in ((10, 20), (40, 20), (40, 60), (10, 60))
    )
)
LABELME_XML: Final = (
    "<annotation><filename>\na.png\n</filename><folder>x</folder>"
    "<imagesize><nrows>\n100\n</nrows><ncols>\n200\n</ncols></imagesize>"
    f"<object><name>\ndog\n</name><deleted>0</deleted>{XML_BOX}</object>"
    f"<object><name>old</name><deleted>1</deleted>{XML_BOX}</object></annotation>"
)
KITTI: Final = "dog 0.0 0 0.0 10 20 40 60 -1 -1 -1 -1000 -1000 -1000 -10"
SEQUENCE: Final = (
    "[Sequence]\nname=s\nimDir=img1\nimWidth=200\nimHeight=100\nimExt=.png\n"
)

CASES: Final = {
    **VARIANTS,
    **CSV,
    "via 1": Case(
        "via",
        {
            "v.json": {
                "a.png9": via_image("a.png", {"0": via_region(10, 20, 30, 40, t="dog")})
            }
        },
        {"a.png": [DOG]},
    ),
    "via 2 project": Case(
        "via",
        {"p.json": VIA_PROJECT},
        {"a.png": [DOG], "b.png": [CAT]},
        ["its corners were swapped"],
    ),
    "via csv": Case("via", {"via.csv": VIA_CSV}, {"a.png": [DOG], "b.png": []}),
    "via 3": Case("via", {"p.json": VIA_THIRD}, {"a.png": [DOG]}),
    "via, a tick and another attribute": Case(
        "via",
        {
            "v.json": {
                "a.png9": via_image(
                    "a.png",
                    [
                        via_region(
                            10, 20, 30, 40, type={"dog": True, "cat": False}, n="1"
                        ),
                        via_region(0, 0, 5, 5, n="2"),
                    ],
                )
            }
        },
        {"a.png": [DOG]},
        ["it has no 'type'"],
    ),
    "via without labels": Case(
        "via",
        {"v.json": {"a.png9": via_image("a.png", [via_region(10, 20, 30, 40)])}},
        {"a.png": [("object", *DOG[1:])]},
        ["no label and are called 'object'"],
    ),
    "vott export": Case(
        "vott",
        {
            "x-export.json": {
                "name": "x",
                "tags": [{"name": "cat"}, {"name": "dog"}],
                "assets": {
                    "1": vott_asset("a.png", vott_region("dog")),
                    "2": vott_asset("b.png", vott_region()),
                },
            }
        },
        {"a.png": [DOG], "b.png": []},
        ["it has no tag"],
    ),
    "vott asset": Case(
        "vott",
        {
            "p.vott": {"name": "p", "tags": [{"name": "cat"}], "assets": {}},
            "abc-asset.json": vott_asset("a%20b.png", vott_region("dog")),
        },
        {"a b.png": [DOG]},
    ),
    "vott 1": Case("vott", {"v.json": VOTT_FIRST}, {"a.png": [DOG]}),
    "datumaro": Case(
        "datumaro",
        {
            "annotations/train.json": datumaro(
                {"type": "bbox", "label_id": 1, "bbox": [10, 20, 30, 40]},
                {"type": "polygon", "label_id": 0, "points": [90, 40, 110, 60, 90, 60]},
                {"type": "label", "label_id": 0},
                {"type": "points", "label_id": 0, "points": [1, 2]},
                {"type": "bbox", "label_id": 7, "bbox": [10, 20, 30, 40]},
            )
        },
        {"a.png": [DOG, CAT], "b": []},
        ["the type 'points' is not a box", "there is no label 7", "of an outline"],
        "train",
    ),
    "labelme xml": Case(
        "labelme-xml", {"Annotations/a.xml": LABELME_XML}, {"a.png": [DOG]}
    ),
    "kitti": Case(
        "kitti",
        {
            "training/image_2/a.png": None,
            "training/image_2/b.png": None,
            "training/label_2/a.txt": f"{KITTI} 0.5\n\nDontCare{KITTI[3:]}\n",
            "training/label_2/b.txt": "",
        },
        {"a.png": [DOG], "b.png": []},
        part="train",
    ),
    "mot": Case(
        "mot",
        {
            "train/s/seqinfo.ini": SEQUENCE,
            "train/s/gt/gt.txt": "1,1,10,20,30,40,1,3,1\n2,1,90,40,20,20,0,1,1\n",
        },
        {
            "train/s/img1/000001.png": [("car", *DOG[1:])],
            "train/s/img1/000002.png": [],
        },
        ["a crowd region"],
        "train",
    ),
    "mot without seqinfo": Case(
        "mot",
        {
            "gt/gt.txt": "7,1,10,20,30,40,1,2,1\n",
            "gt/labels.txt": "cat\ndog\n",
            "img1/000007.png": None,
            "img1/000008.png": None,
        },
        {"img1/000007.png": [DOG], "img1/000008.png": []},
    ),
    "mot detections": Case(
        "mot",
        {"det/det.txt": "1,-1,10,20,30,40,0.9,-1,-1,-1\n"},
        {"img1/000001.jpg": [("pedestrian", *DOG[1:])]},
    ),
    "wider face": Case(
        "widerface",
        {
            "wider_face_train_bbx_gt.txt": "0--P/a.png\n1\n10 20 30 40 0 0 0 0 0 0 \n"
            "0--P/b.png\n0\n0 0 0 0 0 0 0 0 0 0 \n0--P/c.png\n2\n90 40 20 20\n"
            "1 1 5 5 0 0 0 1 0 0\n",
            "images/0--P/a.png": None,
            "images/1--Q/d.png": None,
        },
        {
            "0--P/a.png": [("face", *DOG[1:])],
            "0--P/b.png": [],
            "0--P/c.png": [("face", *CAT[1:])],
        },
        ["a crowd region"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_another_tool_writes_is_read(name: str) -> None:
    case = CASES[name]
    tree = MemoryTree(contents(case.files))
    assert recognise(tree) == case.format_name
    found = read(tree)
    assert boxes_of(found) == case.boxes
    assert {image.name: image.part for image in found.images} == {
        image.name: case.part for image in found.images
    }
    remarks = [*found.report.skipped, *found.report.changed]
    for part in case.said:
        assert any(part in str(remark) for remark in remarks), part
    unsaid = [
        reason for reason in reasons(found) if not any(p in reason for p in case.said)
    ]
    assert not unsaid


@pytest.fixture
def store_settings(tmp_path: Path, migrated_sqlite: Path) -> Settings:
    shutil.copy(migrated_sqlite, tmp_path / "imagebase.db")
    return sqlite_settings(tmp_path)


@pytest.mark.parametrize("name", CASES)
def test_the_import_of_the_app_takes_it_in(
    name: str, tmp_path: Path, store: Store, scope: Scope
) -> None:
    case = CASES[name]
    here = {PurePosixPath(file).name for file in case.files}
    pictures = {
        file if "/" in file else f"images/{file}": None
        for file in case.boxes
        if "." in file and PurePosixPath(file).name not in here
    }
    files = contents({**case.files, **pictures})
    dropped = [(file, io.BytesIO(data)) for file, data in files.items()]
    keep_files(dropped, tmp_path / "dropped", Limits())
    tree = DroppedFiles(tmp_path / "dropped", Limits())
    found = read(tree, recognise(tree))
    beside = look_at_images(tree, max_pixels=Limits().max_image_pixels)
    choice = ImportChoice(takes_new=True)
    told = dry_run(store, scope, found, beside, choice, limits=Limits())
    assert told.effect.boxes == sum(map(len, case.boxes.values()))
    assert {label[0] for boxes in case.boxes.values() for label in boxes} <= set(
        told.new_labels
    )


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"d.json": [{"image_id": 1, "category_id": 2, "score": 0.9}]}, "COCO results"),
        ({"d.json": '{"images": [{"id": 1'}, "d.json cannot be read: it ends in the"),
        (
            {"d.json": b'{"images": ["\xe4"]}'},
            "it is not UTF-8 text (byte 13); save it",
        ),
        ({"set.tar.gz": b"\x1f\x8b"}, "set.tar.gz is packed: unpack it first"),
        ({"x/labels.zip": b"PK"}, "x/labels.zip is packed: unpack it first"),
        ({"t.csv": "image_id,bbox\na,1\n"}, "t.csv: which column is the label? Of"),
        ({"t.csv": "filename,class\na.jpg,cat\n"}, "no column is named xmin"),
        (
            {"_annotations.txt": "a.jpg 24,16,72,48,0 1,2,3,4,1\n"},
            "_annotations.txt looks like labels for Keras",
        ),
        ({"a.tfrecord": b"x"}, "it looks like TensorFlow records"),
        ({"a.xml": "<set><a/></set>"}, "a.xml has the root <set>"),
        ({"a.xml": "set"}, "a.xml cannot be read: it is not XML"),
        ({"a.txt": "1 2 3 4 5 6 7 8 plane 0\n"}, "a.txt looks like DOTA's labels"),
        ({"m.json": {"tags": [], "objects": [], "size": {}}}, "Supervisely's export"),
        ({"a.png": None}, "only images in one place"),
        ({}, "There are no files here"),
        ({"readme.md": "hello"}, "No readable labels were found in readme.md"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_what_no_reader_takes_is_named_in_one_sentence(
    files: Mapping[str, object], sentence: str
) -> None:
    with pytest.raises(AnnotationFileError) as refused:
        recognise(MemoryTree(contents(files)))
    text = str(refused.value)
    assert sentence in text
    assert text.endswith(".")
    assert len(text) < 300


@pytest.mark.parametrize("seed", range(20))
def test_a_box_from_run_lengths_is_that_of_pycocotools(seed: int) -> None:
    random = np.random.default_rng(seed)
    height, width = random.integers(1, 30, 2)
    mask = (random.random((height, width)) < random.choice([0.02, 0.5])).astype(
        np.uint8
    )
    packed = pycocotools.mask.encode(np.asfortranarray(mask))
    text = {"size": [int(height), int(width)], "counts": packed["counts"].decode()}
    flat = mask.flatten(order="F")
    changes = np.flatnonzero(np.diff(np.concatenate([[0], flat, [2]]).astype(int)))
    plain = {**text, "counts": np.diff([0, *changes]).tolist()}
    x, y, w, h = pycocotools.mask.toBbox(packed)
    wanted = (x, y, x + w, y + h) if mask.any() else None
    for counts in (text, plain):
        box = box_of_run_lengths(counts)
        assert (None if box is None else tuple(box)) == wanted


@pytest.mark.parametrize(
    "mask",
    [
        {"size": [10, 10], "counts": "~" * 100},
        {"size": [10, 10], "counts": [-5, 5]},
        {"size": [0, 10], "counts": [0, 5]},
        {"size": [10**30, 10**30], "counts": [10**70, 1]},
        {"size": "10", "counts": [1]},
        {"counts": "P"},
        None,
    ],
)
def test_run_lengths_that_are_none_bring_no_box(mask: object) -> None:
    assert box_of_run_lengths(mask) is None


def test_what_is_chosen_besides_the_label_is_an_attribute() -> None:
    results = [DRAWN, result("choices", choices=["wet", "old"])]
    tree = MemoryTree(contents({"p.json": [task(*results)]}))
    (image,) = read(tree).images
    assert image.annotations[0].attributes == {"choices": "wet, old"}


def test_what_is_chosen_for_the_whole_image_is_a_tag() -> None:
    chosen = {"id": "c", "type": "choices", "value": {"choices": ["street"]}}
    tree = MemoryTree(contents({"p.json": [task(DRAWN, chosen)]}))
    (image,) = read(tree).images
    assert image.tags == ("street",)


def test_a_track_is_an_attribute() -> None:
    line = b"1 0.125 0.4 0.15 0.4 0.87 12"
    tree = MemoryTree({"labels/a.txt": line, "data.yaml": b"names: [cat, dog]"})
    (image,) = read(tree).images
    assert image.annotations[0].attributes == {"track_id": 12}
    assert image.annotations[0].confidence == 0.87


def test_of_a_list_beyond_the_limit_the_labels_in_use_come_in() -> None:
    names = "".join(f"name {index}\n" for index in range(50))
    files = {"labels/a.txt": b"40 0.5 0.5 0.1 0.1", "obj.names": names.encode()}
    found = read(MemoryTree(files, Limits(max_labels=10)))
    assert found.labels.names == ("name 40",)
    assert "it lists 50 labels" in str(found.report.changed)


def test_what_kitti_does_not_care_about_is_an_ignore_area() -> None:
    line = f"DontCare{KITTI[3:]}\n{KITTI}\n"
    (image,) = read(MemoryTree({"label_2/a.txt": line.encode()})).images
    assert [tuple(region.bounds) for region in image.regions] == [(10, 20, 40, 60)]
    assert [annotation.label for annotation in image.annotations] == ["dog"]


def test_kitti_is_read_as_labelformat_reads_it(tmp_path: Path) -> None:
    lines = f"{KITTI}\nPerson sitting{KITTI[3:]}\n"
    files = contents({"images/a.png": None, "labels/a.txt": lines})
    for name, data in files.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(data)
    names = "dog,Person sitting"
    other = KittiObjectDetectionInput(tmp_path / "labels", names)
    (labels,) = other.get_labels()
    theirs = [
        (label.category.name, *label.box.to_format(BoundingBoxFormat.XYWH))
        for label in labels.objects
    ]
    assert boxes_of(read(FolderTree(tmp_path))) == {"a.png": theirs}


def test_shapes_of_via_are_read_as_globox_reads_them(tmp_path: Path) -> None:
    regions = [via_region(10, 20, 30, 40, label="dog")]
    data = {"a.png9": via_image("a.png", regions), "b.png9": via_image("b.png", [])}
    files = contents({"v.json": data, "a.png": None, "b.png": None})
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    other = globox.AnnotationSet.from_via_json(tmp_path / "v.json", label_key="label")
    theirs = {
        image.image_id: [
            (b.label, b.xmin, b.ymin, b.width, b.height) for b in image.boxes
        ]
        for image in other
    }
    assert boxes_of(read(FolderTree(tmp_path))) == theirs


@pytest.mark.parametrize(
    ("format_name", "files"),
    [
        ("mot", {"gt/gt.txt": "1,inf,1,2,3,4,1,inf,1\ninf,1,1,2,3,4,1,1,1\n"}),
        ("widerface", {"w.txt": "a.png\n1\n1 2 3 4 inf 0 0 0 1e999 0\n"}),
    ],
)
def test_numbers_without_end_are_no_numbers_of_anything(
    format_name: str, files: Mapping[str, object]
) -> None:
    found = read(MemoryTree(contents(files)), format_name)
    assert found.report.boxes_read == 1
