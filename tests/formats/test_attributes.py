"""Attributes of boxes in every format: written, read, compared, or counted as lost."""

import json
from pathlib import Path

import pytest

from imagebase.annotation import Annotation, Attributes, Box
from imagebase.annotation.attributes import MAX_ATTRIBUTES, MAX_VALUE_LENGTH, as_texts
from imagebase.formats.base import ExportSet
from imagebase.formats.manifest import warnings_about
from imagebase.formats.registry import FORMATS, read
from imagebase.formats.trees import FolderTree, MemoryTree
from imagebase.formats.verified_export import export_folder
from imagebase.formats.verify import verify
from tests.formats.builders import (
    as_export_set,
    box,
    export_set,
    image_bytes,
    record,
    tree_of,
    written,
)

WILD = Path(__file__).parents[3] / "shared" / "data"
HOLD_ALL = ("coco", "voc", "cvat", "labelme", "labelstudio")
HOLD_NONE = ("csv", "darknet", "folders", "yolo", "createml")
FLAGS = {"occluded": True, "truncated": True}
EVERY_KIND: Attributes = {
    **FLAGS,
    "difficult": True,
    "pose": "Left",
    "group": 7,
    "z_order": -2,
    "description": 'a "red" <one> & more\nin two lines',
    "color ü": "red",
    "count": 3,
    "length": 2.5,
    "checked": False,
    "seen": True,
    "plate": "007",
}
AWKWARD: Attributes = {
    "occluded": "heavily",
    "pose": "Unspecified",
    "group": "b",
    "z_order": 0,
    "description": 5,
    "yes": "true",
    "number": "7",
    "difficult": 0.5,
}


def described(attributes: Attributes, label: str = "cat") -> Annotation:
    return Annotation(Box(1, 2, 30, 40), label, attributes=attributes)


def only_box(format_name: str, files: dict[str, str]) -> Annotation:
    (image,) = read(tree_of(files), format_name).images
    (found,) = image.annotations
    return found


@pytest.mark.parametrize("attributes", [EVERY_KIND, AWKWARD], ids=["every", "awkward"])
@pytest.mark.parametrize("format_name", HOLD_ALL)
def test_attributes_come_back(format_name: str, attributes: Attributes) -> None:
    dataset = export_set(record(described(attributes), box(0, 0, 9, 9)))
    tree = MemoryTree(written(dataset, format_name))
    first, second = read(tree, format_name).images[0].annotations
    assert as_texts(first.attributes) == as_texts(attributes)
    assert second.attributes == {}
    assert verify(dataset, tree, format_name).holds


@pytest.mark.parametrize("format_name", HOLD_ALL)
def test_values_keep_their_kind(format_name: str) -> None:
    dataset = export_set(record(described(EVERY_KIND)))
    tree = MemoryTree(written(dataset, format_name))
    (found,) = read(tree, format_name).images[0].annotations
    assert found.attributes == EVERY_KIND


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_second_export_has_the_same_bytes(format_name: str) -> None:
    dataset = export_set(record(described(EVERY_KIND), described(AWKWARD, "dog")))
    first = written(dataset, format_name)
    again = as_export_set(read(MemoryTree(first), format_name), dataset)
    assert written(again, format_name) == first


@pytest.mark.parametrize("format_name", HOLD_ALL)
def test_the_proof_finds_a_lost_attribute(format_name: str) -> None:
    dataset = export_set(record(described({"color": "red"})))
    other = export_set(record(described({"color": "blue"})))
    proof = verify(dataset, MemoryTree(written(other, format_name)), format_name)
    assert not proof.holds
    assert "color" in proof.differences[0]


@pytest.mark.parametrize("format_name", HOLD_NONE)
def test_what_a_format_cannot_hold_is_counted(format_name: str, tmp_path: Path) -> None:
    boxes = (described(FLAGS), described({"occluded": True}), box(0, 0, 9, 9))
    dataset = export_set(record(*boxes))
    summary = export_folder(
        dataset, format_name, images=image_bytes, folder=tmp_path / "out"
    )
    title = FORMATS[format_name].title
    told = f"2 boxes have attributes (occluded, truncated) that {title} cannot hold."
    assert told in summary.warnings
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert told in manifest["warnings"]
    assert (
        "2 boxes have attributes" in (tmp_path / "out" / "EXPORT_REPORT.md").read_text()
    )


def test_a_flag_that_is_false_is_nothing_to_lose() -> None:
    dataset = export_set(record(described({"occluded": False})))
    assert not any(
        "attributes" in w for w in warnings_about(dataset, FORMATS["darknet"])
    )


def test_open_images_holds_its_flags_alone() -> None:
    flags = {"occluded": True, "truncated": False, "depiction": True, "inside": False}
    dataset = export_set(record(described({**flags, "color": "red"})))
    files = written(dataset, "openimages")
    assert files["train-annotations-bbox.csv"].endswith(b",1,0,-1,1,0\n")
    tree = MemoryTree(files)
    (found,) = read(tree, "openimages").images[0].annotations
    assert found.attributes == flags
    assert verify(dataset, tree, "openimages").holds
    (told,) = warnings_about(dataset, FORMATS["openimages"])
    assert told == "1 box has attributes (color) that Open Images CSV cannot hold."


def test_a_large_set_keeps_its_attributes() -> None:
    boxes = (described({"number": n}) for n in range(1_999))
    dataset: ExportSet = export_set(record(*boxes))
    found = read(MemoryTree(written(dataset, "coco")), "coco").images[0].annotations
    assert [dict(b.attributes) for b in found] == [{"number": n} for n in range(1_999)]


VOC_OBJECT = (
    "<annotation><filename>a.jpg</filename>"
    "<size><width>64</width><height>48</height></size><object><name>cat</name>"
    "{0}<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"
    "</object></annotation>"
)


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("<pose>Unspecified</pose><truncated>0</truncated>", {}),
        (
            "<pose>Left</pose><difficult> 1 </difficult>",
            {"pose": "Left", "difficult": 1},
        ),
        (
            "<occluded>yes</occluded><truncated>0.5</truncated>",
            {"occluded": 1, "truncated": 0.5},
        ),
        ("<track>12</track><note/>", {"track": 12}),
        (
            "<attributes><attribute><name>color</name><value>red</value></attribute>"
            "</attributes>",
            {"color": "red"},
        ),
    ],
)
def test_voc_objects_say_more_than_a_box(
    inside: str, expected: dict[str, object]
) -> None:
    files = {"a.xml": VOC_OBJECT.format(inside)}
    assert only_box("voc", files).attributes == expected


def coco_file(**fields: object) -> dict[str, str]:
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 29, 38]}
    document = {
        "images": [{"id": 1, "width": 64, "height": 48, "file_name": "a.jpg"}],
        "annotations": [annotation | {"area": 1, "iscrowd": 0, **fields}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    return {"a.json": json.dumps(document)}


def test_coco_fields_that_others_add_are_kept() -> None:
    cvat = {"occluded": True, "rotation": 0.0, "color": "red"}
    files = coco_file(attributes=cvat, ignore=0, isfake=1, note=None, truncated=1)
    assert only_box("coco", files).attributes == {
        "occluded": True,
        "color": "red",
        "isfake": 1,
        "truncated": True,
    }


def test_what_cannot_be_kept_is_named_and_the_box_stays() -> None:
    many = {f"n{number}": number for number in range(MAX_ATTRIBUTES)}
    bad = {
        "": "nameless",
        "x" * 101: 1,
        "keypoints": [1, 2, 2],
        "long": "y" * (MAX_VALUE_LENGTH + 1),
        "huge": 10**30,
        "text": "a\0b\x01c",
    }
    tree = tree_of(coco_file(attributes={**bad, **many, "one more": 1}))
    result = read(tree, "coco")
    (found,) = result.images[0].annotations
    assert found.attributes == {"text": "abc", **dict(list(many.items())[:-1])}
    said = [str(change) for change in result.report.changed]
    assert len(said) == 7
    assert said[2] == (
        "a.json, annotations[0]: its attribute 'keypoints' holds more than one value, "
        "and is not kept"
    )


def test_what_is_true_of_many_boxes_is_said_once() -> None:
    document = json.loads(coco_file(segments=[1])["a.json"])
    document["annotations"] *= 5
    result = read(tree_of({"a.json": json.dumps(document)}), "coco")
    (said,) = result.report.changed
    assert said.reason.endswith("is not kept (and 4 times more)")


def test_labelme_shapes_say_more_than_a_box() -> None:
    shape = {
        "label": "cat",
        "points": [[1, 2], [30, 40]],
        "shape_type": "rectangle",
        "group_id": 0,
        "flags": {"occluded": True, "night": False},
        "description": "by the door",
        "difficult": True,
        "attributes": {"color": "red"},
        "kie_linking": [],
    }
    document = {"imagePath": "a.jpg", "imageWidth": 64, "imageHeight": 48}
    files = {"a.json": json.dumps(document | {"shapes": [shape]})}
    assert only_box("labelme", files).attributes == {
        "group": 0,
        "occluded": True,
        "night": False,
        "description": "by the door",
        "difficult": True,
        "color": "red",
    }


CVAT_TASK = "annotations_wild/datumaro/tests/assets/cvat_dataset/for_images/export_task"


@pytest.mark.skipif(not WILD.exists(), reason="the wild label sets are not here")
def test_a_task_of_cvat_keeps_its_attributes() -> None:
    result = read(FolderTree(WILD / CVAT_TASK), "cvat")
    found = [a for image in result.images for a in image.annotations]
    assert found[0].attributes == {
        "occluded": True,
        "z_order": 1,
        "a1": True,
        "a2": "v3",
        "a3": "0003",
        "a4": 2.4,
    }


@pytest.mark.skipif(not WILD.exists(), reason="the wild label sets are not here")
def test_photographs_of_pascal_voc_keep_what_is_truncated() -> None:
    tree = FolderTree(WILD / "ap_golden" / "toyexample" / "gts_vocpascal_format")
    images = {image.name: image for image in read(tree, "voc").images}
    (cat,) = images["2007_000549.jpg"].annotations
    assert cat.attributes == {"truncated": True}
    dataset = export_set(record(cat, size=(375, 500)), labels=("cat",))
    for format_name in HOLD_ALL:
        assert verify(
            dataset, MemoryTree(written(dataset, format_name)), format_name
        ).holds


def input_file(format_name: str) -> dict[str, str]:
    """Return a label file of a format that is read and not written, with one box."""
    datumaro = {
        "categories": {"label": {"labels": [{"name": "cat"}]}},
        "items": [
            {
                "id": "a",
                "annotations": [
                    {
                        "type": "bbox",
                        "label_id": 0,
                        "bbox": [1, 2, 29, 38],
                        "group": 4,
                        "z_order": 0,
                        "attributes": {"occluded": True, "color": "red"},
                    }
                ],
            }
        ],
    }
    shape = {"name": "rect", "x": 1, "y": 2, "width": 29, "height": 38}
    said = {"class": "cat", "n": "2", "seen": {"front": True, "back": True}}
    region = {"shape_attributes": shape, "region_attributes": said}
    via = {"a.png9": {"filename": "a.png", "size": 9, "regions": [region]}}
    xml = (
        "<annotation><filename>a.png</filename><object><name>cat</name>"
        "<occluded>yes</occluded><attributes>color=red, wet</attributes>"
        "<segm><box><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></box>"
        "</segm></object></annotation>"
    )
    return {
        "datumaro": {"annotations/default.json": json.dumps(datumaro)},
        "via": {"v.json": json.dumps(via)},
        "labelme-xml": {"Annotations/a.xml": xml},
        "kitti": {"label_2/a.txt": "cat 0.25 2 0 1 2 30 40 0 0 0 0 0 0 0\n"},
        "mot": {"gt/gt.txt": "1,7,1,2,29,38,1,1,0.5\n"},
        "widerface": {"w.txt": "a.jpg\n1\n1 2 29 38 2 0 0 0 1 0\n"},
    }[format_name]


@pytest.mark.parametrize(
    ("format_name", "expected"),
    [
        ("datumaro", {"occluded": True, "color": "red", "group": 4}),
        ("via", {"n": 2, "seen": "front, back"}),
        ("labelme-xml", {"occluded": True, "color": "red", "wet": True}),
        (
            "kitti",
            {"truncated": True, "truncation": 0.25, "occluded": True, "occlusion": 2},
        ),
        ("mot", {"track_id": 7, "visibility": 0.5}),
        ("widerface", {"blur": 2, "occlusion": 1, "occluded": True}),
    ],
)
def test_formats_that_are_only_read_bring_attributes(
    format_name: str, expected: Attributes
) -> None:
    assert only_box(format_name, input_file(format_name)).attributes == expected


def test_columns_of_a_table_say_more_than_a_box() -> None:
    text = (
        "filename,class,xmin,ymin,xmax,ymax,is_occluded,Truncated,difficult,pose\n"
        "a.jpg,cat,1,2,30,40,1,0,-1,Left\n"
    )
    expected = {"occluded": True, "pose": "Left"}
    assert only_box("csv", {"a.csv": text}).attributes == expected


def test_createml_entries_that_others_add_are_kept() -> None:
    place = {"x": 10, "y": 10, "width": 8, "height": 8}
    entry = {"label": "cat", "coordinates": place, "occluded": 1, "colour": "red"}
    files = {"a.json": json.dumps([{"image": "a.jpg", "annotations": [entry]}])}
    expected = {"occluded": True, "colour": "red"}
    assert only_box("createml", files).attributes == expected


def test_what_label_studio_says_of_a_region_is_of_its_box() -> None:
    place = {"x": 10, "y": 10, "width": 20, "height": 20}
    size = {"original_width": 64, "original_height": 48}

    def result(kind: str, name: str, **value: object) -> dict[str, object]:
        said = {"id": "r1", "type": kind, "from_name": name, **size}
        return {**said, "value": {**place, **value}}

    found = [
        result("choices", "weather", choices=["rain", "wind"]),
        result("rectanglelabels", "label", rectanglelabels=["cat"])
        | {"meta": {"text": ["look again"]}},
        result("textarea", "plate", text=["AB 007"]),
        result("rating", "quality", rating=4),
        result("taxonomy", "kind", taxonomy=[["a", "b"]]),
    ]
    task = {"data": {"image": "a.jpg"}, "annotations": [{"result": found}]}
    tree = tree_of({"p.json": json.dumps([task])})
    loaded = read(tree, "labelstudio")
    (annotation,) = loaded.images[0].annotations
    assert annotation.attributes == {
        "weather": "rain, wind",
        "plate": "AB 007",
        "quality": 4,
        "description": "look again",
    }
    assert loaded.report.skipped == ()
    assert "'kind' holds more than one value" in str(loaded.report.changed[0])


def test_broken_ids_in_label_studio_lose_no_box() -> None:
    place = {"x": 10, "y": 10, "width": 20, "height": 20, "rectanglelabels": ["cat"]}
    size = {"original_width": 64, "original_height": 48}
    kinds = [["rectanglelabels"], {"a": 1}, None]
    found = [
        {"id": bad, "type": "rectanglelabels", "value": place, "meta": [1], **size}
        for bad in kinds
    ] + [{"id": [1], "type": ["choices"], "value": 5}]
    task = {"data": {"image": "a.jpg"}, "annotations": [{"result": found}]}
    loaded = read(tree_of({"p.json": json.dumps([task])}), "labelstudio")
    assert len(loaded.images[0].annotations) == 3


def test_label_studio_has_a_control_for_every_attribute() -> None:
    dataset = export_set(
        record(described({"seen": True, "color": "red", "label": "x"}))
    )
    config = written(dataset, "labelstudio")["labeling_config.xml"].decode()
    assert '<Choices name="seen" toName="image" perRegion="true"' in config
    assert '<TextArea name="color" toName="image" perRegion="true"' in config
    assert 'name="label" toName="image" perRegion' not in config
    (told,) = warnings_about(dataset, FORMATS["labelstudio"])
    assert told == "1 box has attributes (label) that Label Studio JSON cannot hold."


def test_cvat_can_take_the_attributes_in() -> None:
    numbers = [described({"count": n, "color": "red"}) for n in (3, -1)]
    dataset = export_set(record(*numbers, described({"seen": True}, "dog")))
    text = written(dataset, "cvat")["annotations.xml"].decode()
    declared = text.partition("</meta>")[0]
    assert declared.count("<attribute>") == 3
    assert "<name>count</name>" in declared
    assert "<values>-1\n3\n1</values>" in declared
    assert "<input_type>checkbox</input_type>" in declared
    assert '<attribute name="count">-1</attribute>' in text
