"""Each writer against the text it should write."""

import json

import pytest
import yaml
from defusedxml.ElementTree import fromstring

from imagebase.annotation import Box
from imagebase.errors import ExportError, UnknownFormatError
from imagebase.formats.base import WriteOptions
from imagebase.formats.darknet import STOCK_CFG, training_cfg
from imagebase.formats.registry import WRITERS, write
from imagebase.formats.voc import to_voc
from tests.formats.builders import (
    FORMAT_NAMES,
    HARD_LABELS,
    box,
    export_set,
    model_box,
    record,
    written,
)

PETS = export_set(
    record(box(0, 0, 64, 48), model_box(10.4, 20.6, 30.5, 40, label="dog")),
    record(name="empty.png"),
)


def text(format_name: str, path: str) -> str:
    return written(PETS, format_name)[path].decode()


def test_every_name_of_the_command_line_has_a_writer() -> None:
    assert set(WRITERS) >= set(FORMAT_NAMES)


def test_unknown_format_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UnknownFormatError, match=r"'pdf'.*coco, createml, csv"):
        write("pdf", PETS)


def test_csv_has_one_row_a_box() -> None:
    assert text("csv", "annotations.csv") == (
        "filename,width,height,class,xmin,ymin,xmax,ymax,confidence\n"
        "a.jpg,64,48,cat,0,0,64,48,\n"
        "a.jpg,64,48,dog,10,21,30,40,0.500000\n"
    )


def test_csv_lists_images_without_a_box_and_labels_without_one() -> None:
    assert text("csv", "images.csv") == (
        "filename,width,height\na.jpg,64,48\nempty.png,64,48\n"
    )
    assert text("csv", "labels.txt") == "cat\ndog\n"


def test_yolo_has_a_line_a_box_and_an_empty_file_for_none() -> None:
    files = written(PETS, "yolo")
    assert files["labels/train/a.txt"] == (
        b"0 0.500000 0.500000 1.000000 1.000000\n"
        b"1 0.319531 0.631250 0.314062 0.404167\n"
    )
    assert files["labels/train/empty.txt"] == b""
    assert {"images/train/a.jpg", "images/train/empty.png"} <= set(files)


def test_yolo_data_file_names_train_as_val_without_a_split() -> None:
    assert text("yolo", "data.yaml") == (
        "path: ''\ntrain: images/train\nval: images/train\nnames:\n  0: cat\n  1: dog\n"
    )


def test_yolo_data_file_quotes_every_label() -> None:
    data = written(export_set(record(), labels=HARD_LABELS), "yolo")["data.yaml"]
    assert tuple(yaml.safe_load(data)["names"].values()) == HARD_LABELS


@pytest.mark.parametrize("edges", [(0, 0, 63.99997, 48), (0.00003, 0, 64, 48)])
def test_yolo_edges_never_leave_the_image(edges: tuple[float, ...]) -> None:
    dataset = export_set(record(box(*edges), size=(64, 48)))
    line = written(dataset, "yolo")["labels/train/a.txt"].decode()
    cx, _, width, _ = map(float, line.split()[1:])
    assert round(cx - width / 2, 9) >= 0
    assert round(cx + width / 2, 9) <= 1


def test_darknet_data_file_says_valid() -> None:
    assert text("darknet", "obj.data") == (
        "classes = 2\ntrain = train.txt\nvalid = valid.txt\nnames = obj.names\n"
        "backup = backup/\n"
    )


def test_darknet_lists_name_every_image() -> None:
    listed = "obj/a.jpg\nobj/empty.png\n"
    assert text("darknet", "train.txt") == listed
    assert text("darknet", "valid.txt") == listed
    assert text("darknet", "obj.names") == "cat\ndog\n"
    assert text("darknet", "obj/empty.txt") == ""


def test_darknet_cfg_fits_the_classes() -> None:
    lines = text("darknet", "obj.cfg").splitlines()
    assert lines.count("classes=2") == 2
    assert lines.count("filters=21") == 2
    assert "max_batches=6000" in lines
    assert "steps=4800,5400" in lines
    assert "filters=255" not in lines


@pytest.mark.parametrize(
    ("classes", "images", "batches"), [(4, 10, 8000), (1, 9000, 9000), (3, 10, 6000)]
)
def test_darknet_batches_grow_with_classes_and_images(
    classes: int, images: int, batches: int
) -> None:
    stock = STOCK_CFG.read_text(encoding="utf-8")
    cfg = training_cfg(stock, classes=classes, images=images)
    assert f"max_batches={batches}\n" in cfg
    assert len(cfg.splitlines()) == len(stock.splitlines())


def test_folders_hold_an_image_once_for_each_label() -> None:
    assert sorted(written(PETS, "folders")) == [
        *("_background/empty.png", "_background/empty.txt"),
        *("cat/a.jpg", "cat/a.txt", "dog/a.jpg", "dog/a.txt"),
        *("images.txt", "obj.names"),
    ]


def test_folders_have_safe_names_and_real_ones_in_the_list() -> None:
    labels = ("a/b", "A_B", "CON", "x:y")
    dataset = export_set(
        record(*(box(0, 0, 9, 9, label=n) for n in labels)), labels=labels
    )
    files = written(dataset, "folders")
    folders = [path.split("/")[0] for path in files if path.endswith("a.jpg")]
    assert folders == ["a_b", "A_B_2", "_CON", "x_y"]
    assert files["obj.names"].decode().split("\n")[:4] == list(labels)


def test_coco_counts_every_id_from_one() -> None:
    assert text("coco", "annotations.json") == (
        '{"info": {"description": "pets", "version": "1.0"},\n'
        '"licenses": [],\n'
        '"images": [\n'
        '{"id": 1, "width": 64, "height": 48, "file_name": "a.jpg"},\n'
        '{"id": 2, "width": 64, "height": 48, "file_name": "empty.png"}\n],\n'
        '"annotations": [\n'
        '{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0.0, 0.0, 64.0, 48.0], '
        '"area": 3072.0, "iscrowd": 0, "segmentation": '
        "[[0.0, 0.0, 64.0, 0.0, 64.0, 48.0, 0.0, 48.0]]},\n"
        '{"id": 2, "image_id": 1, "category_id": 2, "bbox": [10.4, 20.6, 20.1, 19.4], '
        '"area": 389.94, "iscrowd": 0, "segmentation": '
        '[[10.4, 20.6, 30.5, 20.6, 30.5, 40.0, 10.4, 40.0]], "score": 0.5}\n],\n'
        '"categories": [\n'
        '{"id": 1, "name": "cat", "supercategory": ""},\n'
        '{"id": 2, "name": "dog", "supercategory": ""}\n]}\n'
    )


def test_only_untouched_model_boxes_have_a_score() -> None:
    accepted = model_box(0, 0, 9, 9).with_acceptance(who="Ada")
    moved = model_box(0, 0, 9, 9).touched(who="Ada", box=Box(1, 1, 9, 9))
    dataset = export_set(record(model_box(0, 0, 9, 9), accepted, moved))
    document = json.loads(written(dataset, "coco")["annotations.json"])
    assert ["score" in entry for entry in document["annotations"]] == [
        True,
        False,
        False,
    ]


def test_voc_counts_pixels_from_one() -> None:
    assert text("voc", "Annotations/a.xml").startswith(
        "<annotation>\n\t<folder>JPEGImages</folder>\n\t<filename>a.jpg</filename>\n"
        "\t<source>\n\t\t<database>ImageBase</database>\n"
        "\t\t<annotation>pixels from 1</annotation>\n\t</source>\n"
        "\t<size>\n\t\t<width>64</width>\n\t\t<height>48</height>\n"
        "\t\t<depth>3</depth>\n\t</size>\n\t<segmented>0</segmented>\n"
        "\t<object>\n\t\t<name>cat</name>\n\t\t<pose>Unspecified</pose>\n"
        "\t\t<truncated>0</truncated>\n\t\t<difficult>0</difficult>\n"
        "\t\t<bndbox>\n\t\t\t<xmin>1</xmin>\n\t\t\t<ymin>1</ymin>\n"
        "\t\t\t<xmax>64</xmax>\n\t\t\t<ymax>48</ymax>\n\t\t</bndbox>\n\t</object>\n"
    )


def test_voc_lists_name_stems() -> None:
    files = written(PETS, "voc")
    lists = [path for path in files if path.startswith("ImageSets/Main/")]
    assert lists == ["ImageSets/Main/train.txt"]
    assert files[lists[0]].decode() == "a\nempty\n"


def test_voc_label_map_is_what_cvat_reads() -> None:
    assert text("voc", "labelmap.txt") == (
        "# label:color_rgb:parts:actions\ncat:::\ndog:::\n"
    )


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ((0, 0, 64, 48), (1, 1, 64, 48)),
        ((63.6, 0, 63.9, 48), (64, 1, 64, 48)),
        ((0.1, 0.1, 0.2, 0.2), (1, 1, 1, 1)),
    ],
    ids=["whole image", "thin, at the far edge", "less than a pixel"],
)
def test_voc_boxes_stay_in_the_image(
    edges: tuple[float, ...], expected: tuple[int, ...]
) -> None:
    assert to_voc(Box(*edges)) == expected


def test_voc_can_count_from_zero() -> None:
    options = WriteOptions(voc_is_zero_based=True)
    root = fromstring(written(PETS, "voc", options)["Annotations/a.xml"])
    assert [edge.text for edge in root.iter("bndbox").__next__()] == [
        "0",
        "0",
        "64",
        "48",
    ]


def test_voc_refuses_a_label_that_xml_cannot_hold() -> None:
    dataset = export_set(record(box(0, 0, 9, 9, label="a\x01b")))
    with pytest.raises(ExportError, match="XML does not allow"):
        written(dataset, "voc")


@pytest.mark.parametrize("format_name", FORMAT_NAMES)
def test_images_can_be_left_away(format_name: str) -> None:
    files = written(PETS, format_name, WriteOptions(with_images=False))
    assert not [path for path in files if path.endswith((".jpg", ".png"))]
    assert files


@pytest.mark.parametrize("format_name", FORMAT_NAMES)
def test_a_box_without_area_is_not_written(format_name: str) -> None:
    nan = float("nan")
    bad = (box(5, 5, 5, 9), box(70, 0, 90, 9), box(nan, 0, 9, 9), box(-9, -9, 0, 0))
    with_bad = written(export_set(record(*bad, box(1, 1, 9, 9))), format_name)
    assert with_bad == written(export_set(record(box(1, 1, 9, 9))), format_name)
