"""Backups made and restored by background work."""

import os
import shutil
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from imagebase.annotation import ImageRecord, new_id
from imagebase.jobs.temporary_files import (
    KEPT_SECONDS,
    delete_old_exports,
    dropped,
    exports_folder,
)
from imagebase.settings import Limits
from imagebase.store import JobInfo, JobState, Scope, Store
from tests.jobs.conftest import RunJob
from tests.store.fixtures import box

LIMITS = Limits()


def backed_up(scope: Scope, run_job: RunJob, upload_id: str = "u1") -> None:
    """Back the dataset up, and drop the zip to be restored."""
    result = run_job("backup").result or {}
    shutil.copy(result["path"], dropped(scope, upload_id))


def restored(run_job: RunJob, *, limits: Limits = LIMITS, **changed: object) -> JobInfo:
    usual = {"upload": "u1", "file_name": "b.zip", "dataset_id": new_id()}
    return run_job("restore", limits=asdict(limits), **(usual | changed))


def test_backup_lies_beside_the_exports_and_is_restored_as_a_dataset_of_its_own(
    store: Store, scope: Scope, images: list[ImageRecord], run_job: RunJob
) -> None:
    store.save(scope, images[0].with_annotations([box()]))
    job = run_job("backup")
    result = job.result or {}
    path = Path(result["path"])
    assert result == {
        "path": str(path),
        "file_name": "street-backup.zip",
        "byte_count": path.stat().st_size,
        "images": 3,
        "boxes": 1,
        "not_in_it": [],
    }
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    backed_up(scope, run_job)
    job = restored(run_job)
    assert job.state is JobState.DONE, job.error
    told = job.result or {}
    assert (told["name"], told["images"]) == ("Street (restored)", 3)
    target = Scope("team", told["dataset_id"], "ann")
    assert store.records(target) == store.records(scope)
    assert not dropped(scope, "u1").exists()


def test_backup_that_takes_long_is_not_taken_for_an_old_one(
    store: Store,
    scope: Scope,
    images: list[ImageRecord],
    run_job: RunJob,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = store.image_bytes

    def slowly(of: Scope, image_id: str) -> bytes:
        delete_old_exports()
        (drafts,) = exports_folder(scope).iterdir()
        long_ago = time.time() - KEPT_SECONDS - 60
        os.utime(drafts, (long_ago, long_ago))
        return read(of, image_id)

    monkeypatch.setattr(store, "image_bytes", slowly)
    monkeypatch.setattr(sys.modules[exports_folder.__module__], "_TOUCH_SECONDS", 0)
    job = run_job("backup")
    assert job.state is JobState.DONE, job.error
    assert (job.result or {})["images"] == 3


def test_cancelled_backup_leaves_no_zip(
    scope: Scope, images: list[ImageRecord], run_job: RunJob, home: Path
) -> None:
    assert run_job("backup", cancelled=True).state is JobState.CANCELLED
    assert not list((home / "exports").rglob("*.zip"))


def test_cancelled_restore_leaves_no_dataset(
    store: Store, scope: Scope, images: list[ImageRecord], run_job: RunJob
) -> None:
    backed_up(scope, run_job)
    job = run_job(
        "restore",
        cancelled=True,
        upload="u1",
        file_name="b.zip",
        dataset_id=new_id(),
        limits=asdict(LIMITS),
    )
    assert job.state is JobState.CANCELLED
    assert len(store.datasets("team")) == 1


def test_backup_that_is_not_kept_any_more_is_asked_for(
    scope: Scope, run_job: RunJob
) -> None:
    job = restored(run_job)
    assert "backup has expired" in (job.error or "")


def test_as_many_datasets_as_may_be_are_there_already(
    store: Store, scope: Scope, images: list[ImageRecord], run_job: RunJob
) -> None:
    backed_up(scope, run_job)
    job = restored(run_job, limits=replace(LIMITS, max_datasets=1))
    assert "limit of 1 datasets" in (job.error or "")
    assert len(store.datasets("team")) == 1


def test_damaged_backup_is_a_sentence(
    store: Store, scope: Scope, images: list[ImageRecord], run_job: RunJob
) -> None:
    backed_up(scope, run_job)
    path = dropped(scope, "u1")
    path.write_bytes(path.read_bytes()[:500])
    error = restored(run_job).error or ""
    assert error.startswith("b.zip is not a zip file")
    assert len(store.datasets("team")) == 1
