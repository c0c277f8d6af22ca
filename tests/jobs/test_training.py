"""Training as a job: approved images in, a model in the library, a round remembered."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from imagebase.annotation import Annotation, ImageRecord, ReviewStatus, Size
from imagebase.detection.library import (
    MAX_NAME_LENGTH,
    all_models,
    find_model,
    library_of,
)
from imagebase.detection.model_card import CARD_FILE
from imagebase.images.decode import encode_png
from imagebase.jobs import training
from imagebase.jobs.handlers import HANDLERS
from imagebase.jobs.runner import Handler, JobContext, JobRunner
from imagebase.jobs.training import (
    KEPT_SECONDS,
    delete_old_trainings,
    delete_trainings,
    last_round,
    parts_known,
    rounds_of,
    work_folder,
)
from imagebase.store import JobInfo, JobState, Scope, Store
from imagebase.training import run_folder
from imagebase.training.run_folder import CLOSING, FULL, LogTail, Progress, read_log
from imagebase.training.session import read_plan
from imagebase.training.sources import news_since
from tests.jobs.conftest import ended
from tests.training.shapes import HEIGHT, WIDTH, picture
from tests.training.waiting import until_it_learns

ON_LINUX = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="it needs /proc and /dev/full"
)
PARAMETERS: dict[str, Any] = {
    "name": "Shapes",
    "base": "yolov4-tiny",
    "steps": 3,
    "input_size": 96,
}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def shapes(store: Store, scope: Scope) -> list[ImageRecord]:
    """Eight approved images of squares and discs."""
    for number in range(8):
        add_approved(store, scope, number)
    return store.records(scope)


def add_approved(store: Store, scope: Scope, number: int) -> None:
    rgb, boxes = picture(number)
    added = store.add_image(
        scope,
        encode_png(rgb),
        file_name=f"{number}.png",
        size=Size(WIDTH, HEIGHT),
        quality=None,
    )
    assert added is not None
    (record,) = [
        record for record in store.records(scope) if record.file_name == f"{number}.png"
    ]
    annotations = tuple(Annotation(box, label) for label, box in boxes)
    store.save(
        scope, replace(record, annotations=annotations, status=ReviewStatus.APPROVED)
    )


@pytest.fixture
def runner(store: Store) -> Iterator[JobRunner]:
    runner = JobRunner(store, HANDLERS)
    yield runner
    runner.close()


def run(runner: JobRunner, scope: Scope, **changed: object) -> JobInfo:
    job_id = runner.submit(scope, "train", PARAMETERS | changed)
    return waited(runner, scope, job_id)


def waited(runner: JobRunner, scope: Scope, job_id: str) -> JobInfo:
    deadline = time.monotonic() + 250
    while time.monotonic() < deadline:
        job = runner.job(scope, job_id)
        if not job.state.is_active:
            return job
        time.sleep(0.05)
    raise AssertionError(f"the job does not end: {job.message}")


def test_a_model_lands_in_the_library_and_the_next_round_begins_from_it(
    runner: JobRunner, store: Store, scope: Scope, shapes: list[ImageRecord]
) -> None:
    job = run(runner, scope)
    assert job.state is JobState.DONE, job.error
    result = job.result or {}
    assert result["model"] == "Shapes"
    library = library_of(scope.owner_id)
    card = library.card("Shapes")
    assert card.labels == ("square", "disc")
    assert card.input_size == (96, 96)
    assert card.score is not None
    assert card.score.ap50 == result["metrics"]["AP50"]
    assert "validation" in card.score.measured_on
    assert "3 steps" in card.description
    assert find_model("Shapes", owner_id=scope.owner_id).labels == card.labels
    assert "Shapes" in [model.name for model in all_models(scope.owner_id)]
    told = {path.name for path in (library.folder / "Shapes").iterdir()}
    assert {"report.html", "metrics.json", "history.csv"} <= told
    assert result["evaluations"][-1]["step"] == 3
    known = parts_known(scope, last_round(store.jobs(scope)))
    assert set(known) == {shape.image_id for shape in shapes}
    assert not work_folder(scope, job.job_id).exists()
    the_next_round_holds_out_the_same(runner, store, scope, job)


def the_next_round_holds_out_the_same(
    runner: JobRunner, store: Store, scope: Scope, first: JobInfo
) -> None:
    for number in range(8, 12):
        add_approved(store, scope, number)
    approved = store.image_ids(scope, statuses=[ReviewStatus.APPROVED])
    before = parts_known(scope, last_round(store.jobs(scope)))
    assert news_since(before, approved) == 4
    second = run(runner, scope, base="Shapes", steps=1)
    assert second.state is JobState.DONE, second.error
    rounds = rounds_of(store.jobs(scope))
    assert [round.model for round in rounds] == ["Shapes", "Shapes 2"]
    after = parts_known(scope, rounds[1])
    assert before.items() <= after.items()
    assert len(after) == 12
    metrics = (second.result or {})["metrics"]
    assert metrics["base"] == "Shapes"
    assert 0 <= metrics["base_AP50"] <= 1
    assert (first.result or {})["metrics"].get("base_AP50") is None


def test_nothing_approved_is_said(runner: JobRunner, scope: Scope) -> None:
    job = run(runner, scope)
    assert job.state is JobState.FAILED
    assert "No approved images" in (job.error or "")


def test_a_name_that_cannot_be_is_said_before_anything_is_learned(
    runner: JobRunner, scope: Scope, shapes: list[ImageRecord]
) -> None:
    job = run(runner, scope, name="cats & dogs")
    assert job.state is JobState.FAILED
    assert "cannot be called" in (job.error or "")
    assert not work_folder(scope, job.job_id).exists()


@pytest.fixture
def broken_off(runner: JobRunner, scope: Scope, shapes: list[ImageRecord]) -> str:
    """A training run that was cancelled after its first steps."""
    job_id = runner.submit(scope, "train", PARAMETERS | {"steps": 40})
    until_it_learns(work_folder(scope, job_id))
    runner.cancel(scope, job_id)
    assert waited(runner, scope, job_id).state is JobState.CANCELLED
    return job_id


@pytest.mark.long
def test_a_cancelled_training_run_resumes_after_weeks(
    runner: JobRunner, store: Store, scope: Scope, broken_off: str
) -> None:
    folder = work_folder(scope, broken_off)
    done = len(read_log(folder).losses)
    assert (folder / run_folder.CHECKPOINT).is_file()
    add_approved(store, scope, 8)
    make_old(folder)
    runner.resume(scope, broken_off)
    job = waited(runner, scope, broken_off)
    assert job.state is JobState.DONE, job.error
    metrics = (job.result or {})["metrics"]
    # It ends before the last step where judgements found nothing better for long.
    assert done < metrics["steps"] <= 40
    # Those from before: it has not started over.
    assert sum(metrics["images"].values()) == 8


def make_old(folder: Path) -> None:
    long_ago = time.time() - KEPT_SECONDS - 60
    os.utime(folder, (long_ago, long_ago))


def test_what_nobody_goes_on_with_is_swept(scope: Scope) -> None:
    old, new = (work_folder(scope, name) for name in ("old", "new"))
    for folder in (old, new):
        folder.mkdir(parents=True)
    parts = old.with_suffix(".parts.json")
    parts.write_text("{}")
    make_old(old)
    make_old(parts)
    delete_old_trainings()
    assert not old.exists()
    assert new.is_dir()
    assert parts.is_file()


@pytest.mark.long
def test_a_crashed_training_run_is_logged_and_resumes(
    runner: JobRunner,
    scope: Scope,
    broken_off: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    in_the_way = work_folder(scope, broken_off) / ".best.weights.new"
    in_the_way.mkdir()
    runner.resume(scope, broken_off)
    job = waited(runner, scope, broken_off)
    assert job.state is JobState.FAILED
    assert "see the server log" in (job.error or "")
    assert "memory" not in (job.error or "")
    assert "IsADirectoryError" in caplog.text
    in_the_way.rmdir()
    runner.resume(scope, broken_off)
    job = waited(runner, scope, broken_off)
    assert job.state is JobState.DONE, job.error


@ON_LINUX
def test_a_training_that_the_system_killed_speaks_of_memory(
    runner: JobRunner, scope: Scope, shapes: list[ImageRecord]
) -> None:
    job_id = runner.submit(scope, "train", PARAMETERS | {"steps": 5000})
    until_it_learns(work_folder(scope, job_id))
    os.kill(process_of(job_id), signal.SIGKILL)
    job = waited(runner, scope, job_id)
    assert job.state is JobState.FAILED
    assert "signal 9" in (job.error or "")
    assert "memory" in (job.error or "")


@pytest.fixture
def taken(store: Store, scope: Scope, monkeypatch: pytest.MonkeyPatch) -> JobContext:
    """A training run whose worker was paused, and that another one continues."""
    store.submit_job(scope, "train", PARAMETERS)
    with monkeypatch.context() as patch:
        patch.setattr("imagebase.store.jobs.LEASE", timedelta(0))
        job = store.claim_job("paused", ["train"])
    assert job is not None
    assert store.continue_expired_jobs(["train"]) == [job.job_id]
    assert store.claim_job("other", ["train"])
    return JobContext(store, job, threading.Event())


def test_a_paused_worker_that_wakes_does_not_stop_who_trains_on(
    taken: JobContext, scope: Scope
) -> None:
    folder = work_folder(scope, taken.job_id)
    folder.mkdir(parents=True)
    process = subprocess.Popen(["sleep", "60"])
    tail = LogTail(folder)
    assert training._watch(taken, process, folder, tail) == -signal.SIGKILL
    assert list(folder.iterdir()) == []


def test_a_paused_worker_that_wakes_adds_no_second_model(
    taken: JobContext, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = work_folder(scope, taken.job_id)
    folder.mkdir(parents=True)
    monkeypatch.setattr(training, "_prepare", lambda *_: True)
    monkeypatch.setattr(training, "_run_process", lambda *_: {"examples": []})
    assert training.train(taken) is None
    assert folder.is_dir()


def process_of(job_id: str) -> int:
    (found,) = (
        int(process.parent.name)
        for process in Path("/proc").glob("[0-9]*/cmdline")
        if job_id in process.read_text(errors="replace")
    )
    return found


@ON_LINUX
@pytest.mark.long
def test_a_full_disk_is_named_and_the_training_can_go_on(
    runner: JobRunner, scope: Scope, broken_off: str
) -> None:
    folder = work_folder(scope, broken_off)
    for name in (".checkpoint.pt.new", ".best.weights.new"):
        (folder / name).symlink_to("/dev/full")
    runner.resume(scope, broken_off)
    job = waited(runner, scope, broken_off)
    assert job.state is JobState.FAILED
    assert job.error == FULL
    assert read_plan(folder) is not None


@pytest.mark.long
def test_a_stop_that_comes_while_the_model_is_written_keeps_it(
    runner: JobRunner, store: Store, scope: Scope, shapes: list[ImageRecord]
) -> None:
    job_id = runner.submit(scope, "train", PARAMETERS | {"steps": 2})
    tail = LogTail(work_folder(scope, job_id))
    deadline = time.monotonic() + 120
    while CLOSING not in [
        new.phase for new in tail.news() if isinstance(new, Progress)
    ]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    runner.cancel(scope, job_id)
    job = waited(runner, scope, job_id)
    assert job.state is JobState.DONE
    assert last_round(store.jobs(scope)) is not None
    assert library_of(scope.owner_id).names() == ["Shapes"]


@pytest.mark.long
def test_training_images_never_become_validation_images(
    runner: JobRunner, store: Store, scope: Scope, shapes: list[ImageRecord]
) -> None:
    ids = [shape.image_id for shape in shapes]
    past_round(store, scope, dict.fromkeys(ids, "train"))
    past_round(store, scope, dict.fromkeys(ids[:2], "train"))
    add_approved(store, scope, 8)
    job = run(runner, scope, steps=1)
    assert job.state is JobState.DONE, job.error
    parts = parts_known(scope, last_round(store.jobs(scope)))
    assert {parts[image_id] for image_id in ids} == {"train"}


def past_round(store: Store, scope: Scope, parts: dict[str, str]) -> None:
    """Keep a round as one that came to its end does, and whom it knew."""
    job_id = store.submit_job(scope, "train", {})
    claimed = store.claim_job("elsewhere:1:a", ["train"])
    assert claimed is not None
    metrics = {
        "AP50": 0.5,
        "AP50_interval": None,
        "images": {"train": len(parts)},
        "minutes": 1.0,
    }
    result = {"model": "Before", "metrics": metrics}
    store.end_job(claimed.claim_id, JobState.DONE, result=result)
    file = work_folder(scope, job_id).with_suffix(".parts.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(parts))


def test_a_long_name_leaves_room_for_its_number(scope: Scope) -> None:
    library = library_of(scope.owner_id)
    longest = "n" * MAX_NAME_LENGTH
    for name in (longest, "n" * (MAX_NAME_LENGTH - 2) + " 2"):
        (library.folder / name).mkdir(parents=True)
        (library.folder / name / CARD_FILE).touch()
    assert library.free_name(longest) == "n" * (MAX_NAME_LENGTH - 2) + " 3"


def test_a_second_training_waits_and_holds_nobody_up(
    store: Store, scope: Scope, shapes: list[ImageRecord]
) -> None:
    ends = threading.Event()
    handlers: dict[str, Handler] = {
        "train": lambda context: {"ended": ends.wait(30)},
        "annotate": lambda context: {},
    }
    other = store.create_dataset(scope.owner_id, "Other", who="ann")
    runner = JobRunner(store, handlers)
    elsewhere = replace(scope, dataset_id=other.dataset_id)
    first = runner.submit(scope, "train", {})
    second = runner.submit(elsewhere, "train", {})
    quick = runner.submit(elsewhere, "annotate", {})
    assert waited(runner, elsewhere, quick).state is JobState.DONE
    assert runner.job(elsewhere, second).state is JobState.QUEUED
    ends.set()
    assert waited(runner, scope, first).state is JobState.DONE
    assert waited(runner, elsewhere, second).state is JobState.DONE
    runner.close()


def test_what_trainings_left_goes_with_the_dataset(scope: Scope) -> None:
    folder = work_folder(scope, "1")
    folder.mkdir(parents=True)
    (folder / "log.jsonl").touch()
    delete_trainings(scope.owner_id, scope.dataset_id)
    assert not folder.exists()


def test_the_bundle_holds_all_that_darknet_needs(
    runner: JobRunner, scope: Scope, shapes: list[ImageRecord], tmp_path: Path
) -> None:
    import zipfile

    from imagebase.jobs.exports import bundle_request

    job_id = runner.submit(scope, "bundle", bundle_request() | {"name": "Shapes"})
    job = ended(runner.store, scope, job_id)
    assert job.state is JobState.DONE, job.error
    with zipfile.ZipFile((job.result or {})["path"]) as archive:
        names = set(archive.namelist())
        assert {
            *("obj.data", "obj.names", "obj.cfg", "train.txt", "valid.txt"),
            *("README.md", "yolov4-tiny.conv.29"),
        } <= names
        assert "yolov4-tiny.conv.29 -map" in archive.read("README.md").decode()
        assert len(archive.read("yolov4-tiny.conv.29")) == 19_789_716
        assert archive.testzip() is None
