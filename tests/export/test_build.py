"""Whole exports of planted rectangles: what is in the zip is where its labels say."""

import io
import json
import zipfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imagebase.annotation import Annotation, Box, ReviewStatus, Size
from imagebase.augmentation import (
    Cutout,
    FlipHorizontally,
    Hsv,
    Mosaic,
    Noise,
    QuarterTurn,
    Recipe,
    ScaleShift,
)
from imagebase.errors import ExportError, ImageFileError
from imagebase.export.build import BuildResult
from imagebase.export.request import FOLDERS, TAGS, ExportRequest, SplitChoice
from imagebase.formats.base import ReadResult
from imagebase.formats.registry import FORMATS, read
from imagebase.formats.split import Shares
from imagebase.formats.trees import FolderTree
from imagebase.images.decode import RgbArray
from imagebase.images.resize import Letterbox, LongestSide, Resizing, Stretch
from imagebase.settings import Limits
from tests.export.datasets import (
    COLOURS,
    Dataset,
    box,
    built,
    dataset,
    picture,
    planted,
)

YOLO = ExportRequest("yolo")
HALF = SplitChoice(shares=Shares(0.5, 0.5))
TWO_BOXES = (box(10, 10, 50, 40), box(60, 20, 110, 70, label="dog"))


def pets(count: int = 8) -> Dataset:
    return dataset(*[TWO_BOXES] * count)


def files(found: BuildResult) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    for zip_ in found.zips:
        with zipfile.ZipFile(zip_.path) as archive:
            contents |= {name: archive.read(name) for name in archive.namelist()}
    return contents


def manifest(found: BuildResult, number: int = 0) -> dict[str, Any]:
    with zipfile.ZipFile(found.zips[number].path) as archive:
        kept: dict[str, Any] = json.loads(archive.read("manifest.json"))
    return kept


def read_back(found: BuildResult, format_name: str, folder: Path) -> ReadResult:
    """Unpack the zips and read what is there."""
    for zip_ in found.zips:
        with zipfile.ZipFile(zip_.path) as archive:
            archive.extractall(folder)
    return read(FolderTree(folder), format_name)


def assert_planted(
    rgb: RgbArray, annotations: tuple[Annotation, ...], *, off: int
) -> None:
    """Find each box's rectangle by its colour, no edge further off than so many px."""
    for annotation in annotations:
        wanted = np.array(COLOURS[annotation.label])
        mask = np.abs(rgb.astype(int) - wanted).max(axis=2) < 60
        left, top, right, bottom = (round(edge) for edge in annotation.box)
        grown = mask[max(top - 4, 0) : bottom + 4, max(left - 4, 0) : right + 4]
        rows, columns = np.nonzero(grown)
        seen = Box(
            columns.min() + max(left - 4, 0),
            rows.min() + max(top - 4, 0),
            columns.max() + 1 + max(left - 4, 0),
            rows.max() + 1 + max(top - 4, 0),
        )
        assert max(abs(a - b) for a, b in zip(seen, annotation.box, strict=True)) <= off


@pytest.mark.parametrize(
    ("resizing", "size"),
    [
        (Stretch(Size(64, 64)), Size(64, 64)),
        (Letterbox(Size(96, 96)), Size(96, 96)),
        (LongestSide(60), Size(60, 40)),
        (Letterbox(Size(300, 200), enlarges=True), Size(300, 200)),
    ],
)
@pytest.mark.parametrize("format_name", ["yolo", "coco", "voc"])
def test_resized_pictures_have_their_boxes_on_their_objects(
    resizing: Resizing, size: tuple[int, int], format_name: str, tmp_path: Path
) -> None:
    request = ExportRequest(format_name, resizing=resizing)
    found = built(pets(2), request, tmp_path)
    contents = files(found)
    pictures = {n: d for n, d in contents.items() if n.endswith(".png")}
    assert len(pictures) == 2
    result = read_back(found, format_name, tmp_path / "read")
    for image in result.images:
        (data,) = (d for n, d in pictures.items() if n.endswith(image.name))
        rgb = picture(data)
        assert (rgb.shape[1], rgb.shape[0]) == size
        in_pixels = image.in_pixels(Size(*size))
        assert len(in_pixels.annotations) == 2
        assert_planted(rgb, in_pixels.annotations, off=2)


def test_pictures_that_fit_already_are_copied_as_they_came(tmp_path: Path) -> None:
    found = pets(1)
    contents = files(built(found, replace(YOLO, resizing=LongestSide(500)), tmp_path))
    assert contents["images/train/0.png"] == found.bytes_of(found.image_ids()[0])


@pytest.mark.parametrize("format_name", FORMATS)
def test_variants_are_of_training_images_only_in_every_format(
    format_name: str, tmp_path: Path
) -> None:
    recipe = Recipe((FlipHorizontally(1), Hsv()), variants=2)
    request = ExportRequest(format_name, split=HALF, recipe=recipe)
    found = built(pets(), request, tmp_path)
    assert found.parts == {"train": 12, "val": 4}
    assert found.made == 8
    said = manifest(found)
    assert said["proof"]["holds"]
    assert said["counts"]["parts"] == {"train": 12, "val": 4}
    made = [entry for entry in said["images"] if "made" in entry]
    assert {entry["part"] for entry in made} == {"train"}
    assert Counter(entry["made"].split(" of ")[1] for entry in made) == Counter(
        {
            entry["original_name"]: 2
            for entry in said["images"]
            if entry["part"] == "train" and "made" not in entry
        }
    )


def test_variants_have_their_boxes_on_their_objects(tmp_path: Path) -> None:
    recipe = Recipe(
        (FlipHorizontally(), QuarterTurn(), ScaleShift(0.8, 1.2)), variants=4, seed=3
    )
    request = ExportRequest("coco", split=HALF, recipe=recipe)
    found = built(pets(), request, tmp_path)
    contents = files(found)
    result = read_back(found, "coco", tmp_path / "read")
    train = [image for image in result.images if image.part == "train"]
    assert len(train) == 20
    for image in train:
        rgb = picture(contents[f"images/train/{image.name}"])
        assert image.size == (rgb.shape[1], rgb.shape[0])
        inside = tuple(
            annotation
            for annotation in image.annotations
            if annotation.box.x_min > 0
            and annotation.box.y_min > 0
            and annotation.box.x_max < rgb.shape[1]
            and annotation.box.y_max < rgb.shape[0]
        )
        assert_planted(rgb, inside, off=1)


def test_variants_are_resized_like_the_rest(tmp_path: Path) -> None:
    recipe = Recipe((QuarterTurn(1),), variants=2)
    request = replace(YOLO, split=HALF, recipe=recipe, resizing=Stretch(Size(64, 64)))
    contents = files(built(pets(), request, tmp_path))
    pictures = {n: picture(d) for n, d in contents.items() if n.endswith(".png")}
    assert len(pictures) == 16
    assert {picture.shape for picture in pictures.values()} == {(64, 64, 3)}


@pytest.mark.parametrize("format_name", ["yolo", "coco", "darknet"])
def test_same_data_same_bytes_and_another_seed_others(
    format_name: str, tmp_path: Path
) -> None:
    recipe = Recipe((ScaleShift(1), Noise(probability=1), Cutout()), Mosaic())
    request = ExportRequest(format_name, split=HALF, recipe=recipe)
    found = pets()
    first, second = (
        built(found, request, tmp_path / name).zips[0].path.read_bytes()
        for name in ("1", "2")
    )
    assert first == second
    other = replace(request, recipe=replace(recipe, seed=1))
    assert built(found, other, tmp_path / "3").zips[0].path.read_bytes() != first


def test_boxes_lost_in_variants_are_counted(tmp_path: Path) -> None:
    recipe = Recipe((Cutout(60, 0.9, 1),), variants=1, least_visible=0.9)
    found = built(pets(), replace(YOLO, split=HALF, recipe=recipe), tmp_path)
    lost = 8 - sum(
        len(image.annotations)
        for image in read_back(found, "yolo", tmp_path / "read").images
        if "_v" in image.name
    )
    assert lost > 0
    assert found.left_out == (
        f"{lost} boxes are not in the variants: too little of them was left.",
    )
    assert manifest(found)["not_in_it"] == list(found.left_out)


def test_crops_of_boxes_are_classified_pictures(tmp_path: Path) -> None:
    request = ExportRequest("classification", crops=True, split=HALF)
    found = built(pets(4), request, tmp_path)
    pictures = {
        name: picture(data)
        for name, data in files(found).items()
        if name.endswith(".png")
    }
    assert len(pictures) == 8
    for name, rgb in pictures.items():
        part, label, _ = name.split("/")
        assert part in ("train", "val")
        assert (rgb == COLOURS[label]).all()
    assert {picture.shape for picture in pictures.values()} == {
        (30, 40, 3),
        (50, 50, 3),
    }
    assert found.zips[0].proof.holds
    assert {overlay.line for overlay in found.overlays} == {"cat", "dog"}


def test_crops_of_an_image_are_on_one_side(tmp_path: Path) -> None:
    request = ExportRequest("classification", crops=True, split=HALF)
    images = manifest(built(pets(6), request, tmp_path))["images"]
    sides: dict[str, set[str]] = {}
    for image in images:
        sides.setdefault(image["image_id"].partition("-")[0], set()).add(image["part"])
    assert len(sides) == 6
    assert all(len(parts) == 1 for parts in sides.values())


def test_labels_chosen_leave_others_out_and_keep_class_ids(tmp_path: Path) -> None:
    found = dataset(
        TWO_BOXES,
        [box(1, 1, 9, 9)],
        [box(1, 1, 9, 9)],
        statuses=[ReviewStatus.APPROVED, ReviewStatus.EDITED, ReviewStatus.APPROVED],
    )
    request = ExportRequest("yolo", images="all", labels=("dog",))
    result = built(found, request, tmp_path)
    contents = files(result)
    # The edited image is not confirmed to hold no dog; the approved one is.
    labels = {n: d for n, d in contents.items() if n.startswith("labels/")}
    assert {n: d[:2] for n, d in labels.items()} == {
        "labels/train/0.txt": b"1 ",
        "labels/train/2.txt": b"",
    }
    assert result.left_out == (
        "2 boxes of other labels are not in it.",
        "1 images, not approved, without a box of these labels are not in it.",
    )
    assert "names:\n  0: cat\n  1: dog" in contents["data.yaml"].decode()


def test_labels_can_be_counted_anew(tmp_path: Path) -> None:
    request = replace(YOLO, labels=("dog",), renumbers=True)
    contents = files(built(pets(1), request, tmp_path))
    assert contents["labels/train/0.txt"].startswith(b"0 ")
    assert "names:\n  0: dog" in contents["data.yaml"].decode()


def test_split_by_tags_and_folders(tmp_path: Path) -> None:
    found = dataset(
        *[TWO_BOXES] * 4,
        names=["train/a.png", "x/valid/b.png", "c.png", "testing/d.png"],
        tags=[["val"], ["night"], [], ["Test"]],
    )
    expected = {
        TAGS: {"val": 1, "train": 2, "test": 1},
        FOLDERS: {"train": 2, "val": 1, "test": 1},
    }
    for by, parts in expected.items():
        request = replace(YOLO, split=SplitChoice(by))
        assert built(found, request, tmp_path / by).parts == parts


def test_image_tagged_for_two_parts_is_named(tmp_path: Path) -> None:
    found = dataset(TWO_BOXES, tags=[["val", "train"]])
    with pytest.raises(ExportError, match=r"0\.png has the tags train and val"):
        built(found, replace(YOLO, split=SplitChoice(TAGS)), tmp_path)


def test_large_set_is_in_zips_that_are_each_a_whole(tmp_path: Path) -> None:
    found = dataset(
        *[TWO_BOXES] * 20,
        names=[f"{n % 3}/{n % 2}.png" for n in range(20)],
        statuses=[ReviewStatus.EDITED] * 20,
    )
    request = ExportRequest("darknet", "all", split=HALF, zip_bytes=4000)
    result = built(found, request, tmp_path)
    count = len(result.zips)
    assert count > 2
    assert result.warnings == ("20 of 20 images have not been reviewed.",)
    names: list[str] = []
    for number, zip_ in enumerate(result.zips, start=1):
        assert zip_.path.name == f"pets-{number}-of-{count}.zip"
        said = manifest(result, number - 1)
        assert said["zip"] == {"number": number, "of": count}
        assert said["proof"]["holds"]
        assert set(said["counts"]["parts"]) == {"train", "val"}
        names += [image["name"] for image in said["images"]]
        with zipfile.ZipFile(zip_.path) as archive:
            held = archive.namelist()
        assert {"obj.data", "obj.cfg", "obj.names", "EXPORT_REPORT.md"} <= set(held)
    assert len(names) == len({name.casefold() for name in names}) == 20


def test_zips_without_a_part_are_said(tmp_path: Path) -> None:
    few = SplitChoice(shares=Shares(0.9, 0.1))
    result = built(pets(10), replace(YOLO, split=few, zip_bytes=3000), tmp_path)
    count = len(result.zips)
    assert result.warnings == (
        f"{count - 1} of {count} zips have no image for val: give it a larger share.",
    )


def test_overlays_are_drawn_from_the_zip(tmp_path: Path) -> None:
    recipe = Recipe((FlipHorizontally(1),), variants=1)
    request = replace(YOLO, split=HALF, recipe=recipe, zip_bytes=4000)
    result = built(pets(20), request, tmp_path)
    assert len(result.zips) > 1
    assert len(result.overlays) == 6
    assert any("_v1" in overlay.name for overlay in result.overlays)
    assert {overlay.line for overlay in result.overlays} == {""}
    assert all(
        overlay.url.startswith("data:image/webp;base64,") for overlay in result.overlays
    )


def test_own_zip_is_drawn_from_however_many_files_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = Limits(max_archive_files=2)
    monkeypatch.setattr("imagebase.formats.trees.Limits", lambda: few)
    result = built(pets(4), YOLO, tmp_path)
    assert len(result.overlays) == 4


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"with_images": False, "crops": True}, "export with the images"),
        ({"crops": True}, "image classification only"),
        ({"recipe": Recipe()}, "split the images first"),
    ],
)
def test_what_cannot_be_done_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        replace(YOLO, **changed).check()


def test_variants_that_fill_the_disk_are_stopped(tmp_path: Path) -> None:
    request = replace(YOLO, split=HALF, recipe=Recipe(variants=3), made_bytes=1000)
    with pytest.raises(ExportError, match="more than 0 MB; ask for fewer"):
        built(pets(), request, tmp_path)


@pytest.mark.parametrize(
    ("name", "kind", "written", "is_changed"),
    [
        ("a.webp", "WEBP", "a.jpg", True),
        ("a.tif", "TIFF", "a.png", True),
        ("a.Png", "PNG", "a.png", False),
        ("a.JPG", "JPEG", "a.jpg", False),
        ("a.bmp", "BMP", "a.bmp", False),
    ],
)
def test_darknet_is_given_files_that_it_reads(
    name: str, kind: str, written: str, is_changed: bool, tmp_path: Path
) -> None:
    file = io.BytesIO()
    Image.fromarray(picture(planted(0, *TWO_BOXES))).save(file, kind)
    found = dataset(TWO_BOXES, names=[name])
    found.files[found.image_ids()[0]] = file.getvalue()
    result = built(found, ExportRequest("darknet"), tmp_path)
    contents = files(result)
    assert contents["train.txt"] == f"obj/{written}\n".encode()
    assert (contents[f"obj/{written}"] != file.getvalue()) == is_changed
    assert result.zips[0].proof.holds


@pytest.mark.parametrize(
    "asked",
    [
        YOLO,
        ExportRequest("folders", crops=True),
        replace(YOLO, recipe=Recipe(mosaic=Mosaic(probability=1), variants=3)),
    ],
    ids=["plain", "crops", "mosaics"],
)
def test_damaged_image_is_left_out_and_named(
    asked: ExportRequest, tmp_path: Path
) -> None:
    found = pets(4)
    found.files[found.image_ids()[1]] = b"no picture"
    result = built(found, asked, tmp_path)
    said = "1.png is not in it: its file is missing or damaged; add it again."
    assert said in result.left_out
    assert said in result.warnings
    assert said in manifest(result)["not_in_it"]
    originals = {entry["original_name"] for entry in manifest(result)["images"]}
    assert not [name for name in originals if name.startswith("1")]
    assert len(originals) >= 3


@dataclass(frozen=True)
class Losing(Dataset):
    """A dataset that loses the file of its second image once it was read so often."""

    reads: int = 1

    def bytes_of(self, image_id: str) -> bytes:
        if image_id == self.image_ids()[1]:
            times.append(image_id)
            if len(times) > self.reads:
                raise ImageFileError("gone")
        return super().bytes_of(image_id)


times: list[str] = []


@pytest.mark.parametrize("reads", [0, 1, 2])
@pytest.mark.parametrize(
    "asked",
    [
        YOLO,
        ExportRequest("coco", zip_bytes=4_000),
        ExportRequest("folders", crops=True),
        replace(YOLO, recipe=Recipe(mosaic=Mosaic(probability=1), variants=2)),
        replace(YOLO, resizing=LongestSide(40)),
    ],
    ids=["plain", "zips", "crops", "mosaics", "resized"],
)
def test_image_whose_file_goes_missing_on_the_way_is_left_out_and_named(
    asked: ExportRequest, reads: int, tmp_path: Path
) -> None:
    times.clear()
    whole = pets(6)
    found = Losing(whole.found, whole.label_set, whole.files, reads)
    result = built(found, asked, tmp_path)
    originals = {
        entry["original_name"].partition(".")[0].partition("_")[0]
        for number in range(len(result.zips))
        for entry in manifest(result, number)["images"]
    }
    if len(times) <= reads:
        assert originals == set("012345")  # nothing had to read it again
        return
    assert originals == set("02345")
    said = "1.png is not in it: its file is missing or damaged; add it again."
    assert said in result.left_out
    assert sorted(zip_.path for zip_ in result.zips) == sorted(
        (tmp_path / "zips").iterdir()
    )


def test_export_of_damaged_images_alone_says_so(tmp_path: Path) -> None:
    found = pets(12)
    found.files.update(dict.fromkeys(found.image_ids(), b"no picture"))
    with pytest.raises(ExportError, match=r"8\.png, 9\.png and 2 more are not in it"):
        built(found, YOLO, tmp_path)
