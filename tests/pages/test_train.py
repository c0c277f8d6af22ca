"""The Train page: training data, a run, its result."""

import shutil
import sys
import time
from dataclasses import asdict, replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from imagebase.annotation import Annotation, Box, ReviewStatus, Size, utc_now
from imagebase.errors import TrainingError
from imagebase.images.decode import encode_png
from imagebase.jobs import installation
from imagebase.jobs.training import KEPT_SECONDS, work_folder
from imagebase.store import JobInfo, JobState
from imagebase.store.jobs import ClaimedJob
from imagebase.store.tables import jobs
from imagebase.training import run_folder
from imagebase.training.install import commands
from imagebase.training.run_folder import Progress, write_json, write_line
from imagebase.training.run_settings import TrainingSettings
from imagebase.training.session import Plan
from imagebase.ui import identity, services
from tests.app_fixtures import (
    Configure,
    NewTab,
    Tab,
    records,
    started,
    store,
    the_scope,
    undrawn,
)
from tests.training.shapes import HEIGHT, WIDTH, picture
from tests.training.waiting import until_it_learns

TEAM = "team"
LONG = {"base": "yolov4-tiny", "steps": 5000, "input_size": 96}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def add_shapes(first: int, count: int, status: ReviewStatus) -> None:
    """Add pictures of squares and discs; the approved ones have their boxes."""
    scope = the_scope()
    for number in range(first, first + count):
        rgb, boxes = picture(number)
        store().add_image(
            scope,
            encode_png(rgb),
            file_name=f"{number}.png",
            size=Size(WIDTH, HEIGHT),
            quality=None,
        )
        (record,) = (
            record for record in records() if record.file_name == f"{number}.png"
        )
        if status is ReviewStatus.APPROVED:
            found = tuple(Annotation(box, label) for label, box in boxes)
            store().save(scope, replace(record, annotations=found, status=status))


@pytest.fixture
def shapes(new_tab: NewTab) -> Tab:
    """A tab whose dataset has eight approved images and two new ones."""
    store().create_dataset(TEAM, "Shapes", who="ann")
    add_shapes(0, 8, ReviewStatus.APPROVED)
    add_shapes(8, 2, ReviewStatus.NEW)
    return undrawn(new_tab)


def waited(tab: Tab, kind: str) -> JobInfo:
    """Wait for the newest job of a kind as long as a busy machine needs."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        job = next(job for job in store().jobs(the_scope()) if job.kind == kind)
        if not job.state.is_active:
            tab.app.run()
            return job
        time.sleep(0.1)
    raise AssertionError(f"the job is still {job.state}: {job.message}")


def test_without_an_approved_image_it_says_what_to_do(labelled: Tab) -> None:
    labelled.open("train")
    assert "No images are approved yet" in labelled.words()
    assert "train.start" not in [button.key for button in labelled.app.button]


def test_labels_are_counted_and_warnings_never_block(shapes: Tab) -> None:
    shapes.open("train")
    (table,) = (table.value for table in shapes.app.dataframe)
    assert table["label"].tolist() == ["square", "disc"]
    assert table["boxes"].tolist() == [8, 8]
    words = shapes.words()
    assert "Trains on 8 approved images" in words
    assert "Few boxes" in words
    assert "count as background" in words
    assert not shapes.app.button(key="train.start").disabled


def test_labels_of_strangers_are_shown_as_text(shapes: Tab) -> None:
    record = records()[0]
    odd = Annotation(Box(1, 1, 50, 50), "**bold** $x$")
    store().save(the_scope(), replace(record, annotations=(*record.annotations, odd)))
    shapes.open("train")
    assert r"\*\*bold\*\*" in shapes.words()


def test_a_finished_run_shows_metrics_images_and_next_steps(
    shapes: Tab,
) -> None:
    job_id = services.runner().submit(
        the_scope(),
        "train",
        {"name": "Shapes", "base": "yolov4-tiny", "steps": 2, "input_size": 96},
    )
    shapes.open("train")
    assert f"train.stop.{job_id}" in [button.key for button in shapes.app.button]
    job = waited(shapes, "train")
    assert job.state is JobState.DONE, job.error
    shapes.open("train")
    words = shapes.words()
    assert "Shapes" in words
    assert "Before and after" in words
    assert [metric.label for metric in shapes.app.metric][:1] == ["AP50"]
    shapes.press("train.label_rest")
    assert not shapes.app.exception
    annotated = waited(shapes, "annotate")
    assert annotated.parameters["model"] == "Shapes"
    assert annotated.state is JobState.DONE, annotated.error
    assert (annotated.result or {})["images"] == 2
    add_shapes(10, 50, ReviewStatus.APPROVED)
    shapes.open("train")
    assert "Train again below" in shapes.words()


@pytest.mark.long
def test_a_stopped_run_resumes_and_finishes_on_request(shapes: Tab) -> None:
    job_id = services.runner().submit(the_scope(), "train", {**LONG, "name": "S"})
    shapes.open("train")
    assert shapes.app.button(key=f"train.finish.{job_id}").disabled
    until_it_learns(work_folder(the_scope(), job_id))
    shapes.press(f"train.stop.{job_id}")
    assert waited(shapes, "train").state is JobState.CANCELLED
    failed = services.runner().submit(the_scope(), "train", {**LONG, "name": "a & b"})
    assert waited(shapes, "train").job_id == failed
    shapes.open("train")
    words = shapes.words()
    assert "cannot be called" in words
    assert "Training was stopped after" in words
    shapes.press(f"train.resume.{job_id}")
    until_it_learns(work_folder(the_scope(), job_id))
    shapes.press(f"train.finish.{job_id}")
    deadline = time.monotonic() + 200
    while (job := store().job(the_scope(), job_id)).state.is_active:
        assert time.monotonic() < deadline, job.message
        time.sleep(0.1)
    assert job.state is JobState.DONE, job.error
    shapes.open("train")
    words = shapes.words()
    assert "Before and after" in words
    assert "cannot be called" not in words
    assert "was stopped" not in words


def goes_on_elsewhere(*entries: Progress) -> ClaimedJob:
    """Have a training go on that another process tells of."""
    store().submit_job(the_scope(), "train", {"name": "S"})
    claimed = store().claim_job("elsewhere:1:a", ["train"])
    assert claimed is not None
    folder = work_folder(the_scope(), claimed.job_id)
    folder.mkdir(parents=True)
    for entry in entries:
        write_line(folder, entry)
    return claimed


def buttons(shapes: Tab, job_id: str) -> tuple[bool, bool]:
    """Return whether Stop and End now can be pressed."""
    stop, finish = (
        shapes.app.button(key=f"train.{name}.{job_id}") for name in ("stop", "finish")
    )
    return not stop.disabled, not finish.disabled


def test_while_the_model_is_written_nothing_can_be_asked_for(shapes: Tab) -> None:
    job_id = goes_on_elsewhere(Progress("learning", 9, 10, loss=1.0)).job_id
    shapes.open("train")
    assert buttons(shapes, job_id) == (True, True)
    write_line(work_folder(the_scope(), job_id), Progress("closing", 10, 10))
    shapes.app.run()
    assert buttons(shapes, job_id) == (False, False)
    assert "Evaluating and saving the model" in shapes.progress()


def test_a_resumed_run_shows_its_phase_before_the_next_step(
    shapes: Tab,
) -> None:
    job = goes_on_elsewhere(Progress("learning", 9, 10, loss=1.0))
    ready = "Loading PyTorch …"
    store().report_progress(job.claim_id, done=0, total=0, message=ready)
    shapes.open("train")
    assert ready in shapes.progress().splitlines()
    assert "9 of about 10 steps" not in shapes.progress()
    store().report_progress(job.claim_id, done=9, total=10, message="Learning")
    shapes.app.run()
    assert "9 of about 10 steps" in shapes.progress()


def test_stopping_is_shown_until_it_happens(shapes: Tab) -> None:
    job_id = goes_on_elsewhere(Progress("learning", 9, 10, loss=1.0)).job_id
    shapes.open("train")
    shapes.press(f"train.stop.{job_id}")
    assert "Stopping …" in shapes.progress()
    assert buttons(shapes, job_id) == (False, False)


def test_to_end_what_has_ended_meanwhile_is_no_error(shapes: Tab) -> None:
    job_id = goes_on_elsewhere(Progress("learning", 9, 10, loss=1.0)).job_id
    shapes.open("train")
    shutil.rmtree(work_folder(the_scope(), job_id))
    shapes.press(f"train.finish.{job_id}")
    assert not shapes.app.exception
    assert not shapes.app.error


def test_a_failed_run_can_resume_once_images_are_prepared(
    shapes: Tab,
) -> None:
    job = goes_on_elsewhere(Progress("learning", 9, 10, loss=1.0))
    plan = Plan(TrainingSettings(base="b", steps=10), Size(96, 96), 1.0, "")
    write_json(work_folder(the_scope(), job.job_id) / run_folder.PLAN, asdict(plan))
    store().end_job(job.claim_id, JobState.FAILED, error="The system ended it.")
    shapes.open("train")
    words = shapes.words()
    assert "The system ended it" in words
    assert "Training failed after 9 steps. Progress is kept." in words
    assert not shapes.app.button(key=f"train.resume.{job.job_id}").disabled


def test_what_a_training_had_learned_weeks_ago_is_not_spoken_of(shapes: Tab) -> None:
    job = goes_on_elsewhere()
    store().end_job(job.claim_id, JobState.CANCELLED)
    weeks_ago = utc_now() - timedelta(seconds=KEPT_SECONDS + 60)
    with store()._database.write() as connection:
        connection.execute(update(jobs).values(finished_at=weeks_ago))
    shapes.open("train")
    assert "was stopped" not in shapes.words()


def test_a_run_stopped_while_reading_cannot_resume(
    shapes: Tab,
) -> None:
    job = goes_on_elsewhere()
    store().end_job(job.claim_id, JobState.CANCELLED)
    shapes.open("train")
    assert "was stopped before the first step" in shapes.words()
    assert f"train.resume.{job.job_id}" not in [
        button.key for button in shapes.app.button
    ]


def test_without_pytorch_the_page_says_how_to_get_it(
    shapes: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    shapes.open("train")
    assert "needs PyTorch" in shapes.words()
    assert not shapes.app.button(key="train.install").disabled
    said = [block.value for block in shapes.app.code]
    assert said == [commands("cpu"), commands("auto")]
    assert "train.start" not in [button.key for button in shapes.app.button]


def test_a_click_installs_training(
    shapes: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    shapes.open("train")

    def install(**_: object) -> str:
        monkeypatch.delitem(sys.modules, "torch")
        return "2.13.0"

    monkeypatch.setattr(installation, "install", install)
    shapes.press("train.install")
    assert shapes.wait("install").result == {"version": "2.13.0"}
    assert "train.install" not in [button.key for button in shapes.app.button]
    assert not shapes.app.button(key="train.start").disabled


def test_why_training_was_not_installed_is_said(
    shapes: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)

    def install(**_: object) -> str:
        raise TrainingError("PyTorch was not installed: the disk is full.")

    monkeypatch.setattr(installation, "install", install)
    shapes.open("train")
    shapes.press("train.install")
    shapes.wait("install")
    assert "the disk is full" in shapes.words()
    assert not shapes.app.button(key="train.install").disabled


def test_another_server_on_the_database_installs_nothing(
    shapes: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(installation, "install", lambda **_: pytest.fail("installed"))
    shapes.open("train")
    job_id = services.runner().submit(
        the_scope(), installation.KIND, {"environment": "other:/usr"}
    )
    job = shapes.wait("install")
    assert job.job_id == job_id
    assert "Another server that shares the database" in (job.error or "")


@pytest.mark.parametrize(
    "environ",
    [
        {"address": "0.0.0.0", "MODE": "team"},
        {"MODE": "team", "ALLOWED_HOSTS": "label.example.org"},
    ],
    ids=["reachable", "behind a proxy"],
)
def test_server_of_others_shows_the_command_for_its_interpreter(
    configure: Configure,
    shapes: Tab,
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setenv("IMAGEBASE_ALLOWED_HOSTS", "")
    configure(**environ)
    monkeypatch.setattr(identity, "_name", lambda: "ann")
    shapes.open("train")
    assert f"{sys.executable} -m uv pip install" in shapes.app.code[0].value
    assert "train.install" not in [button.key for button in shapes.app.button]


def test_demo_without_pytorch_offers_no_training_and_no_command(
    configure: Configure, new_tab: NewTab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    configure(MODE="demo")
    visitor = started(new_tab)
    visitor.open("train")
    assert "This demo does not train models." in visitor.words()
    assert not visitor.app.code
    assert "train.start" not in [button.key for button in visitor.app.button]
