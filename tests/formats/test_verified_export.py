"""Whole exports: the archive, its manifest, its place on disk."""

import hashlib
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagebase.errors import AnnotationFileError, ExportError, UnknownFormatError
from imagebase.formats import coco
from imagebase.formats.base import ExportFile, ExportSet, ImageReference
from imagebase.formats.manifest import ExportNotes
from imagebase.formats.registry import FORMATS, read
from imagebase.formats.trees import FolderTree, ZipTree, open_tree
from imagebase.formats.verified_export import export_folder, export_zip
from imagebase.formats.writer import write_folder, write_zip
from imagebase.images.decode import encode_png
from imagebase.settings import Limits
from tests.formats.builders import (
    FORMAT_NAMES,
    box,
    export_set,
    image_bytes,
    record,
)

PETS = export_set(
    record(box(0, 0, 64, 48), box(5, 5, 5, 5)),
    record(name="A.JPG"),
    record(box(1, 1, 9, 9, label="dog"), name="sub/ä.bmp"),
)


@pytest.mark.parametrize("format_name", FORMAT_NAMES)
def test_zip_is_written_and_proven(format_name: str, tmp_path: Path) -> None:
    path = tmp_path / "pets.zip"
    summary = export_zip(PETS, format_name, images=image_bytes, path=path)
    boxes = 2 if FORMATS[format_name].has_boxes else 0
    assert (summary.images, summary.boxes, summary.labels) == (3, boxes, 2)
    assert summary.byte_count == path.stat().st_size
    assert summary.proof.holds
    assert [skipped.reason for skipped in summary.left_out] == ["the box has no area"]
    assert [file.name for file in tmp_path.iterdir()] == ["pets.zip"]


@pytest.mark.parametrize("format_name", FORMAT_NAMES)
def test_same_data_same_bytes(format_name: str, tmp_path: Path) -> None:
    for name in ("1.zip", "2.zip"):
        export_zip(PETS, format_name, images=image_bytes, path=tmp_path / name)
    first, second = ((tmp_path / name).read_bytes() for name in ("1.zip", "2.zip"))
    assert first == second


@pytest.mark.parametrize("format_name", FORMAT_NAMES)
def test_manifest_accounts_for_every_file(format_name: str, tmp_path: Path) -> None:
    path = tmp_path / "pets.zip"
    export_zip(PETS, format_name, images=image_bytes, path=path)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        manifest = json.loads(archive.read("manifest.json"))
        hashes = {
            name: hashlib.sha256(archive.read(name)).hexdigest()
            for name in archive.namelist()
            if name != "manifest.json"
        }
    assert {n: f["sha256"] for n, f in manifest["files"].items()} == hashes
    assert manifest["labels"] == ["cat", "dog"]
    assert manifest["proof"]["holds"]
    assert manifest["counts"]["boxes"] == (2 if FORMATS[format_name].has_boxes else 0)
    originals = [image["original_name"] for image in manifest["images"]]
    assert originals == ["a.jpg", "A.JPG", "sub/ä.bmp"]
    assert manifest["left_out"][0]["reason"] == "the box has no area"


def test_zip_stores_compressed_images_and_deflates_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "pets.zip"
    export_zip(PETS, "csv", images=image_bytes, path=path)
    with zipfile.ZipFile(path) as archive:
        methods = {info.filename: info.compress_type for info in archive.infolist()}
        dates = {info.date_time for info in archive.infolist()}
    assert methods["images/a.jpg"] == zipfile.ZIP_STORED
    assert methods["images/sub/ä.bmp"] == zipfile.ZIP_DEFLATED
    assert methods["annotations.csv"] == zipfile.ZIP_DEFLATED
    assert dates == {(1980, 1, 1, 0, 0, 0)}


def split_pets() -> ExportSet:
    parts = ("train", "val", "train")
    images = (
        replace(image, part=part)
        for image, part in zip(PETS.images, parts, strict=True)
    )
    return replace(PETS, images=tuple(images))


@pytest.mark.parametrize("format_name", FORMAT_NAMES)
def test_every_format_says_which_images_train(format_name: str, tmp_path: Path) -> None:
    path = tmp_path / "pets.zip"
    summary = export_zip(split_pets(), format_name, images=image_bytes, path=path)
    assert summary.proof.holds
    assert summary.proof.files_equal == summary.proof.files > 0
    manifest = manifest_of(path)
    assert manifest["counts"]["parts"] == {"train": 2, "val": 1}
    assert {i["original_name"]: i["part"] for i in manifest["images"]} == {
        "a.jpg": "train",
        "A.JPG": "val",
        "sub/ä.bmp": "train",
    }


@pytest.mark.parametrize("name", ["csv", "labelme", "labelstudio", "folders"])
def test_formats_without_parts_have_a_folder_for_each(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / "pets.zip"
    export_zip(split_pets(), name, images=image_bytes, path=path)
    with ZipTree(path) as tree:
        folders = {name.partition("/")[0] for name in tree.names()}
    assert folders == {"train", "val", "manifest.json", "EXPORT_REPORT.md"}


def test_coco_in_a_zip_has_a_file_for_each_part(tmp_path: Path) -> None:
    path = tmp_path / "pets.zip"
    export_zip(split_pets(), "coco", images=image_bytes, path=path)
    with ZipTree(path) as tree:
        assert {name for name in tree.names() if name.startswith("a")} == {
            "annotations/instances_train.json",
            "annotations/instances_val.json",
        }
        parts = {image.name: image.part for image in read(tree, "coco").images}
    assert sorted(parts.values()) == ["train", "train", "val"]


def test_coco_of_one_part_alone_keeps_it(tmp_path: Path) -> None:
    alone = [replace(image, part="val") for image in split_pets().images]
    path = tmp_path / "pets.zip"
    held = replace(split_pets(), images=tuple(alone))
    summary = export_zip(held, "coco", images=image_bytes, path=path)
    assert summary.proof.holds
    with ZipTree(path) as tree:
        assert {image.part for image in read(tree, "coco").images} == {"val"}


def manifest_of(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        found: dict[str, Any] = json.loads(archive.read("manifest.json"))
    return found


def test_report_says_what_the_zip_holds_in_words(tmp_path: Path) -> None:
    path = tmp_path / "pets.zip"
    about = ExportNotes(
        2, 3, ("Images: approved.",), {"images": "approved"}, ("7 are new.",)
    )
    export_zip(split_pets(), "coco", images=image_bytes, path=path, about=about)
    with zipfile.ZipFile(path) as archive:
        text = archive.read("EXPORT_REPORT.md").decode()
        sha256 = hashlib.sha256(
            archive.read("annotations/instances_train.json")
        ).hexdigest()
    for said in (
        "# pets: COCO JSON",
        "Zip 2 of 3.",
        "3 images, 2 boxes, 2 labels.",
        "Images by part: train 2, val 1.",
        "2 of 2 boxes and 5 of 5 files are equal",
        "- Images: approved.",
        "| 0 | cat | 1 | 1 |",
        "| 1 | dog | 1 | 1 |",
        "- 7 are new.",
        "- a.jpg: a box of cat, the box has no area",
        f"    {sha256}  annotations/instances_train.json",
    ):
        assert said in text, said
    assert manifest_of(path)["zip"] == {"number": 2, "of": 3}


def test_picture_of_another_size_than_its_label_is_not_offered(tmp_path: Path) -> None:
    def picture(image_id: str) -> bytes:
        return encode_png(np.zeros((48, 64, 3), np.uint8))

    dataset = export_set(record(box(0, 0, 9, 9), name="a.png", size=(64, 48)))
    path, most = tmp_path / "a.zip", 50_000_000
    summary = export_zip(dataset, "coco", images=picture, path=path, max_pixels=most)
    assert summary.proof.files_equal == 2
    other = export_set(record(box(0, 0, 9, 9), name="a.png", size=(48, 64)))
    with pytest.raises(ExportError, match=r"images/default/a\.png is an image of Size"):
        export_zip(other, "coco", images=picture, path=path, max_pixels=most)


def test_file_that_changed_on_its_way_to_disk_is_not_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = ZipTree.open
    monkeypatch.setattr(
        ZipTree,
        "open",
        lambda tree, name: (
            io.BytesIO(b"!") if name == "images/train/a.jpg" else read(tree, name)
        ),
    )
    with pytest.raises(
        ExportError, match=r"images/train/a\.jpg differs from what was written"
    ):
        export_zip(PETS, "yolo", images=image_bytes, path=tmp_path / "pets.zip")


def test_missing_split_is_said(tmp_path: Path) -> None:
    path = tmp_path / "pets.zip"
    summary = export_zip(PETS, "yolo", images=image_bytes, path=path)
    assert any("no split" in warning for warning in summary.warnings)


def test_progress_counts_images(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    export_zip(
        PETS,
        "folders",
        images=image_bytes,
        path=tmp_path / "pets.zip",
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (3, 3)
    assert seen == sorted(seen)


def test_an_export_that_does_not_compare_is_not_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stricter = coco.FORMAT._replace(tolerance=lambda box, size: (0.0, 0.0))
    monkeypatch.setitem(FORMATS, "coco", stricter)
    dataset = export_set(record(box(0.44444444, 0, 9, 9)))
    with pytest.raises(ExportError, match=r"failed verification.* a\.jpg, box 1"):
        export_zip(dataset, "coco", images=image_bytes, path=tmp_path / "pets.zip")
    assert not list(tmp_path.iterdir())


def test_a_failing_image_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(image_id: str) -> bytes:
        raise OSError("No space left on device")

    earlier = tmp_path / "pets.zip"
    earlier.write_bytes(b"an earlier export")
    with pytest.raises(ExportError, match="No space left"):
        export_zip(PETS, "coco", images=fail, path=earlier)
    assert earlier.read_bytes() == b"an earlier export"
    assert len(list(tmp_path.iterdir())) == 1


def test_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownFormatError):
        export_zip(PETS, "pdf", images=image_bytes, path=tmp_path / "pets.zip")


def test_folder_replaces_its_own_earlier_files_only(tmp_path: Path) -> None:
    folder = tmp_path / "yolo"
    export_folder(PETS, "yolo", images=image_bytes, folder=folder)
    (folder / "notes.txt").write_text("mine")
    summary = export_folder(
        export_set(record(box(0, 0, 9, 9), name="b.jpg")),
        "yolo",
        images=image_bytes,
        folder=folder,
    )
    assert summary.proof.holds
    assert sorted(FolderTree(folder).names()) == [
        *("EXPORT_REPORT.md", "README.md", "data.yaml", "images/train/b.jpg"),
        *("labels/train/b.txt", "manifest.json", "notes.txt"),
    ]


def exported_to(folder: Path, *names: str) -> None:
    found = export_set(*(record(box(0, 0, 9, 9), name=name) for name in names))
    export_folder(found, "yolo", images=image_bytes, folder=folder)


def texts_in(folder: Path) -> dict[str, bytes]:
    tree = FolderTree(folder)
    return {name: tree.read(name) for name in tree.names()}


@pytest.mark.parametrize("name", ["labels/train/a.txt", "manifest.json"])
def test_folder_with_a_file_of_somebody_else_in_the_way_is_left_as_it_is(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / "yolo" / name
    path.parent.mkdir(parents=True)
    path.write_text("drawn by hand")
    with pytest.raises(ExportError, match=rf"{name} is in the way"):
        exported_to(tmp_path / "yolo", "b.jpg", "a.jpg")
    assert texts_in(tmp_path) == {f"yolo/{name}": b"drawn by hand"}


@pytest.mark.parametrize("names", [["a.jpg"], ["b.jpg"]], ids=["same", "other"])
def test_label_file_that_was_changed_by_hand_is_neither_overwritten_nor_removed(
    names: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "yolo"
    exported_to(folder, "a.jpg", "c.jpg")
    (folder / "labels/train/a.txt").write_text("0 0.5 0.5 0.1 0.1")
    before = texts_in(folder)
    with pytest.raises(ExportError, match=r"train/a\.txt was changed after"):
        exported_to(folder, *names)
    assert texts_in(folder) == before


def test_what_is_there_already_is_not_in_the_way(tmp_path: Path) -> None:
    folder = tmp_path / "yolo"
    exported_to(folder, "a.jpg")
    before = texts_in(folder)
    (folder / "manifest.json").unlink()
    exported_to(folder, "a.jpg")
    assert texts_in(folder) == before


def test_export_that_ended_half_way_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "yolo"
    exported_to(folder, "a.jpg", "c.jpg")
    (folder / "labels/train/a.txt").unlink()
    exported_to(folder, "b.jpg")
    assert list((folder / "labels/train").iterdir()) == [folder / "labels/train/b.txt"]


def test_a_manifest_cannot_make_us_delete_elsewhere(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("keep")
    folder = tmp_path / "yolo"
    folder.mkdir()
    (folder / "manifest.json").write_text('{"files": {"../outside.txt": {}}}')
    export_folder(PETS, "yolo", images=image_bytes, folder=folder)
    assert outside.exists()


@pytest.mark.parametrize("path", ["a.txt", "../a.txt", "/etc/a.txt"])
def test_sinks_refuse_doubled_and_outside_names(path: str, tmp_path: Path) -> None:
    files = [ExportFile("A.TXT", b""), ExportFile(path, b"")]
    with pytest.raises(ExportError):
        list(write_folder(files, tmp_path, image_bytes))
    with pytest.raises(ExportError):
        list(write_zip(files, io.BytesIO(), image_bytes))


def test_sinks_ask_for_one_image_at_a_time(tmp_path: Path) -> None:
    asked: list[str] = []

    def images(image_id: str) -> bytes:
        asked.append(image_id)
        return b"pixels"

    files = (ExportFile(f"{i}.jpg", ImageReference(str(i))) for i in range(3))
    for count, written in enumerate(write_folder(files, tmp_path, images), start=1):
        assert len(asked) == count
        assert written.byte_count == 6
    assert len(asked) == 3


def test_trees_see_the_same_files(tmp_path: Path) -> None:
    export_zip(PETS, "coco", images=image_bytes, path=tmp_path / "pets.zip")
    with zipfile.ZipFile(tmp_path / "pets.zip") as archive:
        archive.extractall(tmp_path / "pets")
    with ZipTree(tmp_path / "pets.zip") as zipped:
        folder = open_tree(tmp_path / "pets")
        assert sorted(zipped.names()) == sorted(folder.names())
        assert all(zipped.read(name) == folder.read(name) for name in folder.names())
    alone = open_tree(tmp_path / "pets" / "annotations" / "instances_default.json")
    assert len(read(alone).images) == 3


def test_broken_and_missing_sources_are_one_error(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK nothing")
    for name in ("a.zip", "absent"):
        with pytest.raises(AnnotationFileError):
            open_tree(tmp_path / name)


def test_a_zip_of_too_many_files_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for index in range(3):
            archive.writestr(f"{index}.txt", "")
    with pytest.raises(AnnotationFileError, match="at most 2"):
        open_tree(tmp_path / "a.zip", Limits(max_archive_files=2))


def test_a_damaged_zip_member_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "filename,class\n" * 9)
    path.write_bytes(path.read_bytes().replace(b"filename", b"fileXame", 1))
    with (
        ZipTree(path) as tree,
        pytest.raises(AnnotationFileError, match="of its zip"),
    ):
        tree.read("a.csv")
