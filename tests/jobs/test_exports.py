import contextlib
import io
import json
import os
import sys
import time
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from PIL import ExifTags, Image

from imagebase.annotation import Annotation, Box, ImageRecord
from imagebase.editing.records import approve
from imagebase.errors import ImageBaseError, StorageUnreachableError
from imagebase.export.build import BuildOrder, BuildResult, build
from imagebase.formats.registry import FORMATS
from imagebase.formats.verified_export import Progress
from imagebase.jobs import exports
from imagebase.jobs.runner import JobContext
from imagebase.jobs.temporary_files import (
    KEPT_SECONDS,
    delete_exports,
    exports_folder,
    safe_stem,
)
from imagebase.store import JobInfo, JobState, Scope, Store
from tests.images.test_metadata import same_pixels
from tests.jobs.conftest import SIZE, RunJob, add


@pytest.fixture
def reviewed(
    store: Store, scope: Scope, images: list[ImageRecord]
) -> list[ImageRecord]:
    """An approved image with a box, one confirmed empty, and one that is new."""
    dog = Annotation(Box(16, 18, 48, 30), "dog")
    store.save(scope, approve(images[0].with_annotations([dog]), who="ann"))
    store.save(scope, approve(images[1], who="ann"))
    return store.records(scope)


def zips(scope: Scope) -> list[Path]:
    return sorted(exports_folder(scope).rglob("*.zip"))


def listed(path: str) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        coco = json.loads(archive.read("annotations/instances_default.json"))
    return [entry["file_name"] for entry in coco["images"]]


@pytest.mark.usefixtures("reviewed")
def test_paused_worker_that_wakes_leaves_the_zip_of_who_continued(
    store: Store, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = {
        "name": "Street",
        "format": "yolo",
        "images": "all",
        "with_images": True,
        "with_empty": True,
    }
    results: list[dict[str, Any] | None] = []

    def begun() -> dict[str, Any] | None:
        with monkeypatch.context() as patch:
            patch.setattr("imagebase.store.jobs.LEASE", timedelta(0))
            job = store.claim_job("worker", ["export"])
        assert job is not None
        return exports.export(JobContext(store, job, Event()))

    def pause(
        order: BuildOrder, images: exports.StoreImages, progress: Progress
    ) -> BuildResult:
        monkeypatch.setattr(exports, "build", build)
        assert store.continue_expired_jobs(["export"])
        results.append(begun())
        return build(order, images, progress=progress)

    monkeypatch.setattr(exports, "build", pause)
    store.submit_job(scope, "export", parameters)
    with contextlib.suppress(ImageBaseError):
        begun()
    (result,) = results
    assert result is not None
    assert zips(scope) == [Path(result["path"])]


@pytest.mark.usefixtures("reviewed")
@pytest.mark.parametrize("format_name", FORMATS)
def test_every_format_builds_a_zip_that_was_read_back(
    scope: Scope, run_job: RunJob, format_name: str
) -> None:
    job = run_job("export", format=format_name)
    assert job.state is JobState.DONE, job.error
    result = job.result
    assert result is not None
    boxes = 1 if FORMATS[format_name].has_boxes else 0
    assert result["boxes"] == result["boxes_equal"] == boxes
    assert (result["images"], result["labels"]) == (3, 1)
    assert result["file_name"] == f"street-{format_name}.zip"
    assert zips(scope) == [Path(result["path"])]
    assert Path(result["path"]).stat().st_size == result["byte_count"]
    with zipfile.ZipFile(result["path"]) as archive:
        assert archive.testzip() is None
        pictures = [name for name in archive.namelist() if name.endswith(".png")]
    assert len(pictures) >= 3


@pytest.mark.usefixtures("reviewed")
@pytest.mark.parametrize(
    ("chosen", "with_empty", "names"),
    [
        ("all", True, ["a.png", "b.png", "c.png"]),
        ("all", False, ["a.png", "c.png"]),
        ("reviewed", True, ["a.png", "b.png"]),
        ("approved", True, ["a.png", "b.png"]),
        ("approved", False, ["a.png"]),
    ],
)
def test_choice_of_images_is_what_is_in_it(
    run_job: RunJob, chosen: str, with_empty: bool, names: list[str]
) -> None:
    job = run_job("export", images=chosen, with_empty=with_empty)
    assert job.result is not None
    assert listed(job.result["path"]) == names


@pytest.mark.usefixtures("reviewed")
def test_images_that_nobody_reviewed_are_warned_of(run_job: RunJob) -> None:
    job = run_job("export")
    assert job.result is not None
    assert "1 of 3 images has not been reviewed." in job.result["warnings"]


@pytest.mark.usefixtures("reviewed")
def test_label_files_alone_where_images_are_not_wanted(run_job: RunJob) -> None:
    job = run_job("export", with_images=False)
    assert job.result is not None
    with zipfile.ZipFile(job.result["path"]) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".png")]


@pytest.fixture
def placed(store: Store, scope: Scope) -> bytes:
    """A photograph that tells where it was taken, beside one that does not."""
    exif = Image.Exif()
    exif[ExifTags.IFD.GPSInfo] = {
        ExifTags.GPS.GPSLatitude: (52.0, 30.0, 0.0),
        ExifTags.GPS.GPSLongitude: (13.0, 22.0, 0.0),
    }
    file = io.BytesIO()
    Image.new("RGB", SIZE, "grey").save(file, "JPEG", exif=exif)
    add(store, scope, "home.jpg", data=file.getvalue())
    add(store, scope, "b.png")
    return file.getvalue()


def files_of(job: JobInfo) -> dict[str, bytes]:
    assert job.result is not None, job.error
    with zipfile.ZipFile(job.result["path"]) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_images_that_carry_their_place_are_warned_of_in_result_and_manifest(
    run_job: RunJob, placed: bytes
) -> None:
    job = run_job("export")
    files = files_of(job)
    assert files["images/default/home.jpg"] == placed
    said = (
        "1 image carries the place it was taken at; export without metadata to "
        "remove it."
    )
    assert job.result is not None
    assert job.result["gps"] == 1
    assert said in job.result["warnings"]
    assert said in json.loads(files["manifest.json"])["warnings"]


def test_export_without_metadata_tells_no_place(run_job: RunJob, placed: bytes) -> None:
    job = run_job("export", without_metadata=True)
    files = files_of(job)
    assert b"Exif" in placed
    assert b"Exif" not in files["images/default/home.jpg"]
    assert same_pixels(files["images/default/home.jpg"], placed)
    assert job.result is not None
    assert job.result["gps"] == 0
    assert not [warning for warning in job.result["warnings"] if "place" in warning]


@pytest.mark.usefixtures("placed")
@pytest.mark.parametrize("changed", [{"format": "folders"}, {"with_images": False}])
def test_place_is_counted_once_an_image_and_only_if_it_is_in_the_zip(
    run_job: RunJob, changed: dict[str, object]
) -> None:
    job = run_job("export", **changed)
    assert job.result is not None
    assert job.result["gps"] == changed.get("with_images", 1)


@pytest.mark.usefixtures("images")
def test_nothing_to_export_is_a_sentence(scope: Scope, run_job: RunJob) -> None:
    job = run_job("export", images="approved")
    assert job.state is JobState.FAILED
    assert job.error == "No image is left to export; choose more of them."
    assert zips(scope) == []


def test_images_that_are_missing_or_damaged_are_left_out_and_named(
    home: Path,
    store: Store,
    scope: Scope,
    reviewed: list[ImageRecord],
    run_job: RunJob,
) -> None:
    add(store, scope, "sub/broken.png", data=b"nothing")
    (path,) = home.rglob(f"images/team/??/{reviewed[0].image_id}")
    path.unlink()
    job = run_job("export")
    assert job.result is not None, job.error
    assert listed(job.result["path"]) == ["b.png", "c.png"]
    said = (
        "a.png, sub/broken.png are not in it: their files are missing or damaged; add "
        "them again."
    )
    assert job.result["not_in_it"] == [said]
    assert said in job.result["warnings"]


@pytest.mark.usefixtures("reviewed")
@pytest.mark.parametrize("kind", ["export", "backup"])
def test_storage_that_does_not_answer_leaves_no_image_out(
    kind: str, store: Store, run_job: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = store.image_bytes
    asked = []

    def image_bytes(scope: Scope, image_id: str) -> bytes:
        asked.append(image_id)
        if len(asked) == 2:
            raise StorageUnreachableError("The bucket does not answer.")
        return read(scope, image_id)

    monkeypatch.setattr(store, "image_bytes", image_bytes)
    job = run_job(kind)
    assert (job.state, job.error) == (JobState.FAILED, "The bucket does not answer.")
    assert run_job(kind).state is JobState.DONE


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flip(path: Path) -> None:
    """Change a byte in the middle, where no header tells of it."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


CHOICES: list[dict[str, Any]] = [
    *({"format": name} for name in FORMATS),
    {"format": "classification", "crops": True},
    {"resizing": {"how": "longest_side", "pixels": 40, "enlarges": False}},
    {"without_metadata": True},
]


@pytest.mark.parametrize("choice", CHOICES, ids=str)
@pytest.mark.parametrize("damage", [truncate, flip])
def test_damaged_file_is_left_out_whatever_is_exported(
    home: Path,
    reviewed: list[ImageRecord],
    run_job: RunJob,
    damage: Callable[[Path], None],
    choice: dict[str, Any],
) -> None:
    # The first image is the one with the box, and among the drawn ones.
    (path,) = home.rglob(f"images/team/??/{reviewed[0].image_id}")
    damage(path)
    job = run_job("export", **choice)
    if choice.get("crops"):
        assert (job.error or "").startswith("a.png is not in it: its file is missing")
        return
    assert job.result is not None, job.error
    said = "a.png is not in it: its file is missing or damaged; add it again."
    assert job.result["not_in_it"] == [said]
    with zipfile.ZipFile(job.result["path"]) as archive:
        pictures = [name for name in archive.namelist() if name.endswith(".png")]
        assert {name.rpartition("/")[2] for name in pictures} == {"b.png", "c.png"}


def test_export_without_any_image_file_fails_and_leaves_no_zip(
    home: Path, scope: Scope, reviewed: list[ImageRecord], run_job: RunJob
) -> None:
    for record in reviewed:
        (path,) = home.rglob(f"images/team/??/{record.image_id}")
        path.unlink()
    job = run_job("export")
    assert job.state is JobState.FAILED
    assert (job.error or "").startswith("a.png, b.png, c.png are not in it")
    assert zips(scope) == []


@pytest.mark.usefixtures("reviewed")
def test_cancelled_export_leaves_nothing(scope: Scope, run_job: RunJob) -> None:
    job = run_job("export", cancelled=True)
    assert job.state is JobState.CANCELLED
    assert job.result is None
    assert zips(scope) == []


@pytest.mark.usefixtures("reviewed")
def test_old_exports_and_drafts_make_room_for_new_ones(
    scope: Scope, run_job: RunJob
) -> None:
    elsewhere = exports_folder(Scope("other", "dataset", "bob"))
    draft = elsewhere / ".export-killed"
    draft.mkdir(parents=True)
    (draft / "export.zip").write_bytes(b"half")
    old, fresh = elsewhere / "old.zip", elsewhere / "fresh.zip"
    for path in (old, fresh):
        path.write_bytes(b"")
    long_ago = time.time() - KEPT_SECONDS - 60
    for path in (old, draft):
        os.utime(path, (long_ago, long_ago))
    run_job("export")
    assert list(elsewhere.iterdir()) == [fresh]
    assert len(zips(scope)) == 1


@pytest.mark.usefixtures("reviewed")
def test_export_that_takes_long_is_not_taken_for_an_old_one(
    store: Store, scope: Scope, run_job: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = store.image_bytes

    def slowly(of: Scope, image_id: str) -> bytes:
        (folder,) = exports_folder(scope).iterdir()
        ages.append(time.time() - folder.stat().st_mtime)
        os.utime(folder, (0, 0))
        return read(of, image_id)

    ages: list[float] = []
    monkeypatch.setattr(store, "image_bytes", slowly)
    monkeypatch.setattr(sys.modules[exports_folder.__module__], "_TOUCH_SECONDS", 0)
    assert run_job("export").state is JobState.DONE
    assert len(ages) == 6
    assert max(ages) < KEPT_SECONDS


@pytest.mark.usefixtures("reviewed")
def test_exports_go_with_their_owner(scope: Scope, run_job: RunJob) -> None:
    run_job("export")
    others = exports_folder(Scope("other", "dataset", "bob"))
    others.mkdir(parents=True)
    delete_exports(scope.owner_id)
    assert zips(scope) == []
    assert others.is_dir()
    delete_exports(scope.owner_id)


@pytest.mark.parametrize("owner_id", ["", ".", "..", "../images", "a/b"])
def test_owner_id_that_leads_elsewhere_deletes_nothing(
    home: Path, owner_id: str
) -> None:
    (home / "exports" / "team").mkdir(parents=True)
    with pytest.raises(ValueError, match="cannot be an owner's id"):
        delete_exports(owner_id)
    assert (home / "exports" / "team").is_dir()


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("Street", "street"),
        ("  My first / set: ", "my-first-set"),
        ("../../etc", "etc"),
        ("Straße 日本", "straße-日本"),
        ("!!!", "dataset"),
        ("x" * 300, "x" * 60),
    ],
)
def test_name_of_a_dataset_becomes_a_file_name(name: str, stem: str) -> None:
    assert safe_stem(name) == stem
