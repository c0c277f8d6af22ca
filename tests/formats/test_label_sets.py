"""Sets whose files lie as people leave them: which image, which part, what is said."""

import json
from collections.abc import Mapping

import pytest

from imagebase.formats.base import ReadImage, ReadResult
from imagebase.formats.registry import read, recognise
from tests.formats.builders import tree_of

LINE = "0 0.5 0.5 0.5 0.5\n"
NAMES = "names: [cat]\n"
XML = (
    "<annotation><filename>{name}</filename><size><width>9</width><height>9</height>"
    "</size><object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax>"
    "<ymax>5</ymax></bndbox></object></annotation>"
)


def coco(*names: str) -> str:
    return json.dumps(
        {
            "images": [
                {"id": at, "file_name": name, "width": 9, "height": 9}
                for at, name in enumerate(names)
            ],
            "annotations": [
                {"id": at, "image_id": at, "category_id": 1, "bbox": [at, 1, 3, 3]}
                for at, _ in enumerate(names)
            ],
            "categories": [{"id": 1, "name": "cat"}],
        }
    )


def labels_in(files: Mapping[str, str | bytes]) -> ReadResult:
    as_bytes = {
        name: data if isinstance(data, bytes) else data.encode()
        for name, data in files.items()
    }
    tree = tree_of(as_bytes)
    return read(tree, recognise(tree))


def by_path(files: Mapping[str, str | bytes]) -> dict[str, ReadImage]:
    """Return the images by their files; by their names where they have none."""
    return {image.path or image.name: image for image in labels_in(files).images}


@pytest.mark.parametrize(
    ("yaml", "more"),
    [
        ("train: train.txt\nval: lists/v.txt\n", {"lists/v.txt": "../images/b.jpg\n"}),
        ("train: /data/images/a\nval: [images/b, images/c]\n", {}),
        ("train: /x/images/a*/*.jpg\nval: images/b\n", {}),
        ("path: ../x\ntrain: ./images/a/*.jpg\nval: ../images/b\n", {}),
        ("", {"my_val.txt": "/root/x/images/b.jpg\n"}),
    ],
    ids=["lists", "folders", "pattern", "foreign", "no data file names them"],
)
def test_a_split_is_read_from_lists_and_folders(
    yaml: str, more: dict[str, str]
) -> None:
    a, b = "images/a.jpg", "images/b.jpg"
    if "images/a" in yaml:
        a, b = "images/a/1.jpg", "images/b/1.jpg"
    files = {
        "data.yaml": NAMES + yaml,
        "train.txt": "./images/a.jpg\n",
        **more,
        **dict.fromkeys((a, b), ""),
        **{path.replace("images", "labels")[:-3] + "txt": LINE for path in (a, b)},
    }
    found = by_path(files)
    assert {path: image.part for path, image in found.items()} == {a: "train", b: "val"}
    assert all(len(image.annotations) == 1 for image in found.values())


def test_text_files_that_are_no_label_files_bring_neither_image_nor_remark() -> None:
    result = labels_in(
        {
            "data.yaml": NAMES,
            "images/a.jpg": "",
            "labels/a.txt": LINE,
            "labels/classes.txt": "cat\n",
            "labels/LICENSE.txt": "Do as you like with 3 of them.\n",
            "labels/all.txt": "images/a.jpg\n",
            "notes/todo.txt": "2 things to do\n",
        }
    )
    assert [image.path for image in result.images] == ["images/a.jpg"]
    assert result.report.skipped == result.report.changed == ()


def test_a_label_file_of_an_image_elsewhere_is_one() -> None:
    result = labels_in(
        {"data.yaml": NAMES, "labels/a.txt": "0 0.5\n", "labels/b.txt": LINE}
    )
    assert [image.name for image in result.images] == ["a", "b"]
    assert [skipped.file for skipped in result.report.skipped] == ["labels/a.txt"]


def test_label_files_pair_by_the_longest_path_they_share() -> None:
    found = by_path(
        {
            "data.yaml": NAMES,
            "photos/cam1/1.jpg": "",
            "photos/cam2/1.jpg": "",
            "ann/cam2/1.txt": LINE,
            "photos/b.jpg": "",
            "ann/0a1b2c3d-b.txt": LINE,
        }
    )
    assert {path: len(image.annotations) for path, image in found.items()} == {
        "photos/cam1/1.jpg": 0,
        "photos/cam2/1.jpg": 1,
        "photos/b.jpg": 1,
    }


def test_a_better_name_has_the_image_whichever_comes_first() -> None:
    found = by_path(
        {"a.json": coco("cam3/1.jpg", "cam1/1.jpg"), "images/cam1/1.jpg": ""}
    )
    assert found["images/cam1/1.jpg"].annotations[0].box.x_min == 1
    assert found["cam3/1.jpg"].others == ("images/cam1/1.jpg",)


def test_two_names_that_say_as_much_for_an_image_have_none() -> None:
    result = labels_in(
        {"a.json": coco("cam2/1.jpg", "cam3/1.jpg"), "images/cam1/1.jpg": ""}
    )
    assert [image.path for image in result.images] == ["", ""]
    assert {image.others for image in result.images} == {("images/cam1/1.jpg",)}


def test_label_files_that_spell_an_image_differently_mean_one() -> None:
    found = by_path(
        {
            "a.json": coco("C:\\x\\images\\1.jpg"),
            "b/b.json": coco("images/1.jpg"),
            "images/1.jpg": "",
        }
    )
    assert list(found) == ["images/1.jpg"]
    assert len(found["images/1.jpg"].annotations) == 1


def test_copies_of_one_image_are_no_reason_for_doubt() -> None:
    files: dict[str, str | bytes] = {"a.json": coco("1.jpg")}
    files |= {"x/1.jpg": b"one", "y/1.jpg": b"one"}
    assert list(by_path(files)) == ["x/1.jpg"]
    (doubtful,) = labels_in({**files, "y/1.jpg": b"another"}).images
    assert doubtful.others == ("x/1.jpg", "y/1.jpg")


def test_a_name_that_a_zip_has_in_another_code_page_is_not_out_of_date() -> None:
    result = labels_in({"╒╒╞¼.jpg": "", "╒╒╞¼.xml": XML.format(name="照片.jpg")})
    assert [image.path for image in result.images] == ["╒╒╞¼.jpg"]
    assert not result.report.changed


@pytest.mark.parametrize(
    ("file", "more"),
    [
        ("xml/{cam}/1.xml", ""),
        ("xml/{cam}.xml", ""),
        ("xml/{cam}-1.xml", "<folder>{cam}</folder>"),
        ("xml/{cam}-1.xml", "<folder>x</folder><path>D:\\{cam}\\1.jpg</path>"),
    ],
)
def test_images_of_one_name_are_told_apart_by_all_that_a_voc_file_says(
    file: str, more: str
) -> None:
    files = {}
    for cam in ("cam1", "cam2"):
        files[f"images/{cam}/1.jpg"] = cam
        xml = XML.format(name="1.jpg").replace("<size>", f"{more}<size>")
        files[file.format(cam=cam)] = xml.replace("{cam}", cam)
    found = by_path(files)
    assert {path: len(image.annotations) for path, image in found.items()} == {
        "images/cam1/1.jpg": 1,
        "images/cam2/1.jpg": 1,
    }


@pytest.mark.parametrize("key", ["split", "subset"])
def test_a_coco_image_may_say_its_part_itself(key: str) -> None:
    data = json.loads(coco("a.jpg", "b.jpg", "c.jpg"))
    for image, part in zip(data["images"], ("train", "validation", 3), strict=True):
        image[key] = part
    result = labels_in({"c.json": json.dumps(data)})
    assert [image.part for image in result.images] == ["train", "val", ""]


@pytest.mark.parametrize(("second", "boxes"), [("b.jpg", [0, 0]), ("a.jpg", [1])])
def test_boxes_of_an_id_that_two_images_have_are_nobody_s(
    second: str, boxes: list[int]
) -> None:
    data = json.loads(coco("a.jpg"))
    data["images"].append({"id": "0", "file_name": second, "width": 9, "height": 9})
    result = labels_in({"c.json": json.dumps(data)})
    assert [len(image.annotations) for image in result.images] == boxes
    reasons = [skipped.reason for skipped in result.report.skipped]
    assert ("several images have the id 0" in reasons) is (sum(boxes) == 0)


def test_images_of_one_name_are_told_apart_by_vott_s_path() -> None:
    assets = {}
    for cam in ("cam1", "cam2"):
        asset = {"name": "a b.jpg", "path": f"file:D:/x/{cam}/a%20b.jpg"}
        box = {"left": 1, "top": 1, "width": 3, "height": 3}
        regions = [{"type": "RECTANGLE", "tags": [cam], "boundingBox": box}]
        asset["size"] = {"width": 9, "height": 9}  # type: ignore[assignment]
        assets[cam] = {"asset": asset, "regions": regions}
    files = {"x-export.json": json.dumps({"name": "x", "assets": assets, "tags": []})}
    files |= {f"{cam}/a b.jpg": cam for cam in assets}
    assert {
        path: image.annotations[0].label for path, image in by_path(files).items()
    } == {
        "cam1/a b.jpg": "cam1",
        "cam2/a b.jpg": "cam2",
    }


def test_without_images_label_files_of_two_folders_are_about_two() -> None:
    names = [
        image.name
        for image in labels_in(
            {"train/a.json": coco("1.jpg", "2.jpg"), "valid/a.json": coco("1.jpg")}
        ).images
    ]
    assert names == ["train/1.jpg", "2.jpg", "valid/1.jpg"]


@pytest.mark.parametrize("folder", ["", "Annotations/"])
def test_an_old_name_inside_a_label_file_is_said(folder: str) -> None:
    result = labels_in(
        {
            "a.jpg": "",
            "b.jpg": "",
            f"{folder}a.xml": XML.format(name="b.jpg"),
            f"{folder}b.xml": XML.format(name="a.jpg"),
            f"{folder}c.xml": XML.format(name="a.jpg"),
        }
    )
    assert [(image.path, len(image.annotations)) for image in result.images] == [
        ("a.jpg", 1),
        ("b.jpg", 1),
    ]
    assert str(result.report.changed[0]) == (
        f"{folder}a.xml: its <filename> says b.jpg, and it was taken for that of a.jpg"
    )


def test_of_two_sets_the_one_with_boxes_is_read() -> None:
    empty = json.dumps({"images": [], "annotations": [], "categories": []})
    files = {"coco.json": empty, "data.yaml": NAMES, "a.jpg": "", "a.txt": LINE}
    assert recognise(tree_of(files)) == "yolo"
    assert recognise(tree_of({**files, "coco.json": coco("a.jpg")})) == "coco"


def test_a_file_of_another_program_hides_no_set() -> None:
    files = {"0.xml": "<office/>", "a.jpg": "", "a.xml": XML.format(name="a.jpg")}
    assert recognise(tree_of(files)) == "voc"


def test_an_image_that_others_may_mean_as_well_stays_nobodys() -> None:
    header = "filename,width,height,class,xmin,ymin,xmax,ymax\n"
    rows = [f"{name}/1.jpg,9,9,cat,1,1,5,5\n" for name in ("cam2", "cam3", "cam2")]
    result = labels_in({"a.csv": header + "".join(rows), "images/cam1/1.jpg": ""})
    assert [(image.name, len(image.annotations)) for image in result.images] == [
        ("cam2/1.jpg", 2),
        ("cam3/1.jpg", 1),
    ]
    assert [image.path for image in result.images] == ["", ""]


def test_lists_of_another_machine_tell_images_of_one_name_apart() -> None:
    found = by_path(
        {
            "obj.data": "names=obj.names\ntrain=train.txt\nvalid=valid.txt\n",
            "obj.names": "cat\n",
            "train.txt": "/x/data/a/1.jpg\n",
            "valid.txt": "D:\\x\\data\\b\\1.jpg\n",
            **{f"data/{letter}/1.jpg": letter for letter in "ab"},
            **{f"data/{letter}/1.txt": LINE for letter in "ab"},
        }
    )
    assert {path: image.part for path, image in found.items()} == {
        "data/a/1.jpg": "train",
        "data/b/1.jpg": "val",
    }
