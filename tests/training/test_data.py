"""Training set: prepared images, what is left out, and the split."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagebase.annotation import Annotation, Box, ImageRecord, Size
from imagebase.annotation.areas import rectangle
from imagebase.errors import TrainingError
from imagebase.formats.placement import Frame
from imagebase.images.decode import encode_png
from imagebase.settings import Limits
from imagebase.training import checks, run_folder
from imagebase.training.data import TRAIN, VAL, LeftOut, SourceImage, load_set, prepare
from imagebase.training.sources import fingerprint, from_label_files, from_records
from tests.training.shapes import LABELS, picture, sources, write_folder

SIZE = Size(96, 96)


def source(name: str, boxes: list[tuple[str, Box]], number: int = 0) -> SourceImage:
    rgb, _ = picture(number)
    return SourceImage(name, name, partial(encode_png, rgb), lambda size: boxes)


def test_prepared_set_is_loaded_unchanged(tmp_path: Path) -> None:
    made = prepare(tmp_path, sources(10), labels=LABELS, input_size=SIZE)
    again = load_set(tmp_path)
    assert again.fingerprint == made.fingerprint
    assert again.pictures.shape == (10, 96, 96, 3)
    assert (len(made.of_part(TRAIN)), len(made.of_part(VAL))) == (8, 2)
    assert made.box_counts() == {"square": 10, "disc": 10}
    _, boxes = picture(3)
    box = boxes[0][1]
    expected = [
        (box.x_min + box.x_max) / 320,
        (box.y_min + box.y_max) / 240,
        box.width / 160,
        box.height / 120,
    ]
    np.testing.assert_allclose(made.images[3].boxes[0], expected, atol=1e-6)


def test_zero_size_boxes_and_unreadable_files_are_counted(tmp_path: Path) -> None:
    good, zero = ("disc", Box(10, 10, 30, 30)), ("disc", Box(10, 10, 10, 30))
    outside = ("disc", Box(500, 10, 540, 30))
    broken = SourceImage("broken.png", "broken.png", lambda: b"none", lambda size: [])
    made = prepare(
        tmp_path,
        [source("a.png", [good, zero, outside])._replace(crowds=3), broken],
        labels=LABELS,
        input_size=SIZE,
    )
    assert (made.left_out.zero_size, made.left_out.crowds) == (2, 3)
    assert len(made.left_out.files) == 1
    assert made.box_counts() == {"square": 0, "disc": 1}
    said = " ".join(checks.warnings_about(made))
    assert "3 crowd regions" in said
    assert "2 boxes of zero size" in said
    assert "1 file could not be read" in said


def test_warnings_use_the_singular_for_one(tmp_path: Path) -> None:
    good, zero = ("disc", Box(10, 10, 30, 30)), ("disc", Box(10, 10, 10, 30))
    made = prepare(
        tmp_path,
        [source("a.png", [good, zero])._replace(crowds=1)],
        labels=LABELS,
        input_size=SIZE,
    )
    said = checks.warnings_about(made)
    assert "1 crowd region is ignored." in said
    assert "1 box of zero size is left out." in said


def test_warning_about_unlabelled_objects_is_always_there(tmp_path: Path) -> None:
    made = prepare(tmp_path, sources(10), labels=LABELS, input_size=SIZE)
    assert checks.UNLABELLED in checks.warnings_about(made)


def test_images_left_out_before_stay_in_the_set(tmp_path: Path) -> None:
    before = LeftOut(crowds=1, missing=("gone.png",), skipped=("line 3: no class",))
    made = prepare(
        tmp_path,
        [source("a.png", [("disc", Box(10, 10, 30, 30))])._replace(crowds=2)],
        labels=LABELS,
        input_size=SIZE,
        left_out=before,
    )
    assert made.left_out == replace(before, crowds=3)
    assert load_set(tmp_path).left_out == made.left_out


def test_set_of_an_older_version_is_loaded(
    tmp_path: Path,
) -> None:
    prepare(tmp_path, sources(4), labels=LABELS, input_size=SIZE)
    path = tmp_path / run_folder.SET
    kept = json.loads(path.read_text())
    kept["left_out"] = {"crowds": 2, "zero_size": 0, "files": ["a.png: broken"]}
    path.write_text(json.dumps(kept))
    assert load_set(tmp_path).left_out == LeftOut(crowds=2, files=("a.png: broken",))


def test_near_duplicates_are_in_one_split(tmp_path: Path) -> None:
    boxes = [("square", Box(5, 5, 40, 40))]
    twins = [source(f"{n}-{m}.png", boxes, n) for n in range(6) for m in range(3)]
    made = prepare(tmp_path, twins, labels=LABELS, input_size=SIZE)
    parts = Counter((image.name[0], image.part) for image in made.images)
    assert set(parts.values()) == {3}
    assert made.torn == 0


def test_near_duplicates_in_both_splits_are_warned_of(tmp_path: Path) -> None:
    boxes = [("square", Box(5, 5, 40, 40))]
    twins = [source("a.png", boxes), source("b.png", boxes)]
    made = prepare(
        tmp_path,
        twins,
        labels=LABELS,
        input_size=SIZE,
        part_of={"a.png": TRAIN, "b.png": VAL},
    )
    assert any(
        "both train and val" in warning for warning in checks.warnings_about(made)
    )


def test_one_image_is_enough(tmp_path: Path) -> None:
    made = prepare(tmp_path, sources(1), labels=LABELS, input_size=SIZE)
    assert len(made.of_part(TRAIN)) == 1
    said = checks.warnings_about(made)
    assert any("no validation images" in warning for warning in said)
    assert any("square (1), disc (1)" in warning for warning in said)


def test_images_without_boxes_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no boxes to train on"):
        prepare(tmp_path, [source("a.png", [])], labels=LABELS, input_size=SIZE)


def test_small_boxes_ask_for_a_larger_input() -> None:
    sides = np.array([5.0, 8.0, 11.0, 30.0])
    assert checks.small_boxes(sides, 96)
    assert not checks.small_boxes(sides * 2, 96)


def test_csv_next_to_its_images_is_read(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", 4)
    found = from_label_files(folder, folder / "_annotations.csv", format_name="csv")
    assert set(found.labels) == set(LABELS)
    assert [source.name for source in found.sources] == [
        f"{n:03}.png" for n in range(4)
    ]
    expected = [(label, box) for label, box in picture(2)[1]]
    assert list(found.sources[2].in_pixels(Frame(Size(160, 120)))) == expected
    # The file may be larger than the one that was labelled.
    doubled = found.sources[2].in_pixels(Frame(Size(320, 240)))
    assert doubled[0][1].x_max == 2 * expected[0][1].x_max


def test_labels_without_their_images_are_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", 3)
    (folder / "001.png").unlink()
    found = from_label_files(folder, folder / "_annotations.csv")
    assert found.missing == ("001.png",)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with pytest.raises(TrainingError, match="None of the 3 images"):
        from_label_files(elsewhere, folder / "_annotations.csv")


def test_long_lists_of_left_out_files_end_with_a_count(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", 5)
    for number in (1, 2, 4):
        (folder / f"00{number}.png").unlink()
    found = from_label_files(folder, folder / "_annotations.csv")
    said = found.left_out(2)
    assert [warning.partition(":")[0] for warning in said] == [
        "001.png",
        "002.png",
        "and 1 more without an image",
    ]
    assert len(found.left_out(3)) == 3


def test_labels_without_boxes_are_not_trained(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", 2)
    (folder / "_annotations.csv").unlink()
    (folder / "obj.names").write_text("car\nsquare\nbus\ndisc\nvan\n")
    (folder / "obj.data").write_text("classes = 5\nnames = obj.names\n")
    for name in ("000.txt", "001.txt"):
        (folder / name).write_text("3 0.5 0.5 0.2 0.2\n1 0.2 0.2 0.1 0.1\n")
    found = from_label_files(folder, folder, format_name="darknet")
    assert found.labels == ("square", "disc")
    assert found.left_out(2) == ["Labels without a box here: car, bus, and 1 more."]
    boxes = found.sources[0].in_pixels(Frame(Size(160, 120)))
    assert [label for label, _ in boxes] == ["disc", "square"]


def test_output_below_the_labels_is_not_read(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", 3)
    output = folder / "models" / "first"
    before = fingerprint(folder, output=output)
    (output / ".training").mkdir(parents=True)
    (output / ".training" / "log.jsonl").write_text("{}\n")
    (output / "_annotations.csv").write_text("none of the labels\n")
    assert fingerprint(folder, output=output) == before
    assert fingerprint(folder) != before
    found = from_label_files(folder, folder, format_name="csv", output=output)
    assert len(found.sources) == 3
    assert found.skipped == ()


def test_a_large_file_next_to_the_labels_is_accepted(
    tmp_path: Path,
) -> None:
    folder = write_folder(tmp_path / "set", 1)
    with (folder / "everything.zip").open("wb") as file:
        file.truncate(Limits().max_file_bytes + 1)
    before = fingerprint(folder)
    assert from_label_files(folder, folder, format_name="csv").sources
    with (folder / "everything.zip").open("r+b") as file:
        file.write(b"PK")
    assert fingerprint(folder) != before


def test_labels_and_images_in_one_zip(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", 3)
    packed = shutil.make_archive(str(tmp_path / "set"), "zip", folder)
    found = from_label_files(Path(packed), Path(packed))
    assert found.sources[1].read() == (folder / "001.png").read_bytes()


def test_a_changed_label_file_has_another_fingerprint(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", 3)
    path = folder / "_annotations.csv"
    before = fingerprint(path)
    assert before == fingerprint(path)
    path.write_text(path.read_text().replace("disc", "disk"))
    assert fingerprint(path) != before


def test_labels_of_a_dataset_without_boxes_are_left_out() -> None:
    box = Annotation(Box(1, 1, 5, 5), "b")
    record = ImageRecord("0" * 64, "a.png", Size(9, 9), (box, replace(box, label="d")))
    found = from_records([record], ["a", "b", "c", "d"], lambda image_id: b"")
    assert found.labels == ("b", "d")
    assert list(found.sources[0].in_pixels(Frame(Size(9, 9)))) == [
        ("b", box.box),
        ("d", box.box),
    ]


def test_boxes_in_ignore_areas_are_left_out() -> None:
    record = ImageRecord(
        "0" * 64,
        "a.png",
        Size(160, 120),
        (
            Annotation(Box(10, 10, 50, 50), "disc"),
            Annotation(Box(90, 9, 99, 50), "disc"),
        ),
        ignored=(rectangle(Box(80, 0, 160, 120)),),
    )
    gathered = from_records([record], LABELS, lambda _: b"")
    (source,) = gathered.sources
    assert list(source.in_pixels(Frame(record.size))) == [("disc", Box(10, 10, 50, 50))]
    assert source.ignored(Frame(record.size)) == record.ignored
    assert gathered.left_out(5) == ["Boxes in ignore areas: 1."]


def test_crowd_regions_become_ignore_areas(
    tmp_path: Path,
) -> None:
    rgb, _ = picture(0)
    (tmp_path / "a.png").write_bytes(encode_png(rgb))
    annotation = {"image_id": 1, "category_id": 1, "area": 400, "segmentation": []}
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": 320, "height": 240}],
        "categories": [{"id": 1, "name": "disc"}],
        "annotations": [
            {**annotation, "id": 1, "bbox": [20, 20, 40, 40], "iscrowd": 0},
            {**annotation, "id": 2, "bbox": [100, 100, 60, 20], "iscrowd": 1},
        ],
    }
    (tmp_path / "labels.json").write_text(json.dumps(document))
    (source,) = from_label_files(tmp_path, tmp_path / "labels.json").sources
    # The file is half as large as the label file says, and so is the region.
    assert source.ignored(Frame(Size(160, 120))) == [rectangle(Box(50, 50, 80, 60))]
    assert source.crowds == 1


def coco_of(folder: Path, **boxes: list[int]) -> Path:
    """Write labels for images of 160 × 120 pixels, each with one disc."""
    names = [name.replace("__", "/") + ".jpg" for name in boxes]
    document = {
        "images": [
            {"id": at, "file_name": name, "width": 160, "height": 120}
            for at, name in enumerate(names)
        ],
        "categories": [{"id": 1, "name": "disc"}],
        "annotations": [
            {"id": at, "image_id": at, "category_id": 1, "bbox": box}
            for at, box in enumerate(boxes.values())
        ],
    }
    path = folder / "labels.json"
    path.write_text(json.dumps(document))
    return path


def test_boxes_scaled_to_the_image_file_are_reported(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (160, 120)).save(tmp_path / "turned.jpg", exif=exif)
    Image.new("RGB", (80, 60)).save(tmp_path / "small.jpg")
    Image.new("RGB", (99, 99)).save(tmp_path / "other.jpg")
    labels = coco_of(
        tmp_path, turned=[10, 20, 30, 40], small=[10, 20, 30, 40], other=[1, 2, 30, 40]
    )
    found = from_label_files(tmp_path, labels)
    made = prepare(
        tmp_path / "ready", found.sources, labels=["disc"], input_size=Size(160, 160)
    )
    assert [image.name for image in made.images] == ["turned.jpg", "small.jpg"]
    # Centre and size as shares: 60, 10 to 100, 40 of 120 × 160, and as it was.
    turned, small = (image.boxes[0].tolist() for image in made.images)
    assert turned == pytest.approx([80 / 120, 25 / 160, 40 / 120, 30 / 160])
    assert small == pytest.approx([25 / 160, 40 / 120, 30 / 160, 40 / 120])
    assert [change.partition(":")[0] for change in made.left_out.changed] == [
        "turned.jpg",
        "small.jpg",
    ]
    assert made.left_out.files[0].startswith("other.jpg: the labels are for 160 × 120")
    assert any(
        "2 images have another size" in warning
        for warning in checks.warnings_about(made)
    )


def test_equal_names_in_several_folders_are_kept_apart(tmp_path: Path) -> None:
    for folder in ("cam1", "cam2"):
        (tmp_path / "images" / folder).mkdir(parents=True)
        Image.new("RGB", (160, 120)).save(tmp_path / "images" / folder / "1.jpg")
    labels = coco_of(tmp_path, cam1__1=[1, 2, 30, 40], cam2__1=[5, 6, 70, 80])
    found = from_label_files(tmp_path / "images", labels)
    frame = Frame(Size(160, 120))
    assert {
        source.name: source.in_pixels(frame)[0][1].x_min for source in found.sources
    } == {
        "cam1/1.jpg": 1,
        "cam2/1.jpg": 5,
    }
