"""Bundles as the programs that train on them read them, by those programs' rules.

Nothing is trained here. Darknet: `read_data_cfg`, `get_paths`, `replace_image_to_label`
and `parse_network_cfg` of AlexeyAB's Darknet. Ultralytics: `check_det_dataset`,
`img2label_paths` and `verify_image_label`.
"""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from imagebase.formats.base import ExportSet
from tests.formats.builders import HARD_LABELS, box, export_set, record, written

PARTS = ("train", "val", "test", "train")


@pytest.fixture
def split() -> ExportSet:
    whole = export_set(
        record(box(0, 0, 64, 48, label="🐱"), box(1, 1, 9, 9, label="yes")),
        record(box(2, 2, 30, 40, label="x, y"), name="sub/b c.png"),
        record(box(0, 0, 1, 1, label="a/b"), name="c.JPEG"),
        record(name="empty.bmp"),
        labels=HARD_LABELS,
    )
    parts = zip(whole.images, PARTS, strict=True)
    return replace(whole, images=tuple(replace(i, part=p) for i, p in parts))


def unpacked(export: ExportSet, format_name: str, folder: Path) -> Path:
    for path, data in written(export, format_name).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return folder


def darknet_options(path: Path) -> dict[str, str]:
    """Parse `key = value` as `read_data_cfg` does: blanks go, # is a comment."""
    lines = [re.sub(r"[ \t\r]", "", line) for line in path.read_text().split("\n")]
    pairs = [line.partition("=") for line in lines if line and line[0] not in "#;"]
    return {key: value for key, _, value in pairs}


def darknet_sections(path: Path) -> list[tuple[str, dict[str, str]]]:
    sections: list[tuple[str, dict[str, str]]] = []
    for line in re.sub(r"[ \t\r]", "", path.read_text()).split("\n"):
        if line.startswith("["):
            sections.append((line, {}))
        elif line and line[0] not in "#;":
            key, _, value = line.partition("=")
            sections[-1][1][key] = value
    return sections


def darknet_label_path(image: str) -> str:
    """Return where Darknet looks: suffixes are replaced as they are spelt here."""
    path = image.replace("/images/", "/labels/").replace("/JPEGImages/", "/labels/")
    for suffix in ("jpg", "JPG", "jpeg", "JPEG", "png", "PNG", "bmp", "BMP"):
        path = re.sub(rf"\.{suffix}$", ".txt", path)
    assert path.endswith(".txt"), "Failed to infer label file name"
    return path


def test_darknet_finds_all_that_its_command_names(
    split: ExportSet, tmp_path: Path
) -> None:
    root = unpacked(split, "darknet", tmp_path)
    options = darknet_options(root / "obj.data")
    classes = int(options["classes"])
    # option_find_str(options, "valid", train_images): any other key is not looked at.
    assert set(options) == {"classes", "train", "valid", "names", "backup"}
    assert (root / options["backup"]).is_dir()
    names = (root / options["names"]).read_text(encoding="utf-8").split("\n")
    assert tuple(names[:classes]) == HARD_LABELS
    seen = []
    for key, count in (("train", 2), ("valid", 1)):
        images = (root / options[key]).read_text(encoding="utf-8").splitlines()
        assert len(images) == count
        seen += images
        for image in images:
            assert (root / image).is_file()
            for line in (root / darknet_label_path(image)).read_text().splitlines():
                class_id, *numbers = line.split()
                assert 0 <= int(class_id) < classes
                assert len(numbers) == 4
                assert all(0 < float(number) <= 1 for number in numbers)
    assert len(set(seen)) == 3
    command = re.search(r"^    darknet (.*)$", (root / "README.md").read_text(), re.M)
    assert command is not None
    assert command[1].split()[:4] == ["detector", "train", "obj.data", "obj.cfg"]


def test_darknet_cfg_is_a_net_for_the_labels(split: ExportSet, tmp_path: Path) -> None:
    sections = darknet_sections(unpacked(split, "darknet", tmp_path) / "obj.cfg")
    assert sections[0][0] == "[net]"
    net = sections[0][1]
    steps = [int(step) for step in net["steps"].split(",")]
    assert steps == sorted(steps)
    assert steps[-1] < int(net["max_batches"])
    assert int(net["batch"]) % int(net["subdivisions"]) == 0
    yolo = [at for at, (kind, _) in enumerate(sections) if kind == "[yolo]"]
    assert yolo
    for at in yolo:
        head, before = sections[at][1], sections[at - 1]
        assert before[0] == "[convolutional]"
        anchors = len(head["mask"].split(","))
        assert int(head["classes"]) == len(HARD_LABELS)
        assert int(before[1]["filters"]) == anchors * (int(head["classes"]) + 5)


def test_ultralytics_finds_all_that_its_command_names(
    split: ExportSet, tmp_path: Path
) -> None:
    root = unpacked(split, "yolo", tmp_path)
    data = yaml.safe_load((root / "data.yaml").read_text(encoding="utf-8"))
    assert {"train", "val", "names"} <= set(data)
    assert list(data["names"]) == list(range(len(HARD_LABELS)))
    base = Path(data.get("path") or root)
    found = {part: sorted((base / data[part]).iterdir()) for part in set(PARTS)}
    assert {part: len(images) for part, images in found.items()} == {
        "train": 2,
        "val": 1,
        "test": 1,
    }
    for images in found.values():
        for image in images:
            before, _, after = str(image).rpartition("/images/")
            label = Path(before, "labels", after).with_suffix(".txt")
            rows = [line.split() for line in label.read_text().splitlines()]
            lines = np.array(rows, dtype=np.float32).reshape(-1, 5)
            assert lines.shape[1] == 5
            assert (lines >= 0).all()
            assert (lines[:, 1:] <= 1.01).all()
            assert (lines[:, 0] < len(HARD_LABELS)).all()
    command = re.search(r"^    yolo (.*)$", (root / "README.md").read_text(), re.M)
    assert command is not None
    assert command[1].split()[:3] == ["detect", "train", "data=data.yaml"]


@pytest.mark.parametrize("format_name", ["darknet", "yolo"])
def test_readme_says_whether_there_is_something_to_judge_by(
    split: ExportSet, format_name: str
) -> None:
    text = written(split, format_name)["README.md"].decode()
    assert "images that it does not train on" in text
    assert "last test" in text
    whole = export_set(record(box(0, 0, 9, 9)), labels=["cat"])
    text = written(whole, format_name)["README.md"].decode()
    assert "There is no split" in text
    assert "1 class" in text
    assert "last test" not in text
