"""Train a model on the approved images of a dataset, in a process of its own."""

import contextlib
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from imagebase.annotation import ImageRecord, ReviewStatus, utc_now
from imagebase.detection.library import (
    ModelLibrary,
    library_of,
    registered_model,
)
from imagebase.detection.model_card import ModelCard, Score
from imagebase.detection.model_files import CFG, NAMES, REPORTS, WEIGHTS, sha256_of
from imagebase.errors import TrainingError
from imagebase.formats.split import split_image
from imagebase.jobs.runner import JobContext
from imagebase.settings import PROJECT_ROOT, settings
from imagebase.store import JobInfo, JobState, Scope
from imagebase.store.scope import check_owner_id
from imagebase.training import run_folder
from imagebase.training.checks import require_torch
from imagebase.training.run_folder import (
    CLOSING,
    FULL,
    Evaluation,
    LogTail,
    Progress,
    named_when_full,
    read_log,
    write_json,
)
from imagebase.training.run_settings import (
    DEFAULT_INPUT_SIZE,
    TrainingSettings,
    check_input_size,
)
from imagebase.training.session import prepare_run, read_plan
from imagebase.training.sources import Round, from_records, next_parts
from imagebase.wording import plural

KIND: Final = "train"
_POLL_SECONDS: Final = 0.25
# A checkpoint is written before it ends; after this it is killed.
_STOP_SECONDS: Final = 60.0
KEPT_SECONDS: Final = 7 * 24 * 3600
_MODEL: Final = "model"
_LAST_OF_ERRORS: Final = 10_000

_log: Final = logging.getLogger(__name__)


def train(context: JobContext) -> dict[str, Any] | None:
    """Train on the approved images; None if cancelled, and then resumable.

    Parameters of the job: `name` of the new model; `base`, the model to start from;
    `minutes`, or `steps`; `input_size`, `flip`, `colours`, `own_anchors`, `seed`.
    """
    require_torch()
    folder = work_folder(context.scope, context.job_id)
    # However old it is: the run is resumed.
    with contextlib.suppress(FileNotFoundError):
        os.utime(folder)
    delete_old_trainings()
    if not _prepare(context, folder):
        return None
    metrics = _run_process(context, folder)
    if metrics is None or context.is_taken:
        return None
    with named_when_full():
        result = _result(context, folder, metrics)
    context.complete()
    return result


def work_folder(scope: Scope, job_id: str) -> Path:
    """Return the folder of a training run, with its log while it runs."""
    return _folder_of(scope.owner_id, scope.dataset_id) / job_id


def delete_trainings(owner_id: str, dataset_id: str = "") -> None:
    """Delete the files of training runs of an owner or of one dataset."""
    shutil.rmtree(_folder_of(check_owner_id(owner_id), dataset_id), ignore_errors=True)


def last_round(jobs: Sequence[JobInfo]) -> Round | None:
    """Return the last finished training run, from jobs, newest first."""
    rounds = rounds_of(jobs)
    return rounds[-1] if rounds else None


def rounds_of(jobs: Sequence[JobInfo]) -> list[Round]:
    """Return the finished training runs, oldest first."""
    done = [job for job in jobs if job.kind == KIND and job.state is JobState.DONE]
    return [
        Round.of_result(job.job_id, job.result) for job in reversed(done) if job.result
    ]


def parts_known(scope: Scope, last: Round | None) -> dict[str, str]:
    """Return the split of each image in a training run, by id; empty without one.

    They are in a file: as a part of the job they would be read with every list of jobs.
    """
    if last is None:
        return {}
    try:
        parts: dict[str, str] = json.loads(_parts_file(scope, last.job_id).read_text())
    except (OSError, ValueError):
        return {}
    return parts


def _prepare(context: JobContext, folder: Path) -> bool:
    """Prepare the images if that is not done yet; False if cancelled."""
    if read_plan(folder) is not None:
        return True
    try:
        _prepare_images(context, folder)
    finally:
        is_ready = read_plan(folder) is not None
        if not is_ready and not context.is_taken:
            # Half-prepared images are large and of no use.
            shutil.rmtree(folder, ignore_errors=True)
    return is_ready


def _prepare_images(context: JobContext, folder: Path) -> None:
    store, scope, asked = context.store, context.scope, context.parameters
    records = store.records(scope, statuses=[ReviewStatus.APPROVED])
    if not records:
        raise TrainingError("No approved images yet. Approve some, then train.")
    # Now, and not after the training.
    library_of(scope.owner_id).free_name(asked["name"])
    gathered = from_records(
        records,
        store.labels(scope).names,
        lambda image_id: store.image_bytes(scope, image_id),
    )
    base = registered_model(asked["base"], owner_id=scope.owner_id)
    wanted = TrainingSettings(
        base=str(base.folder),
        minutes=asked.get("minutes"),
        steps=asked.get("steps"),
        seed=asked.get("seed", 0),
        flip=asked.get("flip", True),
        colours=asked.get("colours", True),
        cluster_anchors=asked.get("own_anchors", False),
    )

    def tell(entry: Progress | Evaluation) -> None:
        if isinstance(entry, Progress):
            context.progress(entry.done, entry.total, entry.in_words())

    prepare_run(
        folder,
        gathered,
        wanted,
        input_size=check_input_size(asked.get("input_size", DEFAULT_INPUT_SIZE)),
        part_of=_split_before(context, records),
        on_entry=tell,
        must_stop=lambda: context.cancelled,
    )


def _split_before(
    context: JobContext, records: list[ImageRecord]
) -> dict[str, str] | None:
    """Return the split of the training runs before; None without any."""
    known: dict[str, str] = {}
    # The oldest first: together they know images that single runs skipped.
    for round_ in rounds_of(context.store.jobs(context.scope)):
        known |= parts_known(context.scope, round_)
    if not known:
        return None
    seed = context.parameters.get("seed", 0)
    return next_parts([split_image(record) for record in records], known, seed=seed)


def _run_process(context: JobContext, folder: Path) -> dict[str, Any] | None:
    """Run the training process; return the metrics, None if it was stopped."""
    for name in (run_folder.STOP, run_folder.ERROR):
        (folder / name).unlink(missing_ok=True)
    context.progress(0, 0, "Loading PyTorch …")
    context.flush()
    tail = LogTail(folder, from_now_on=True)
    errors = (folder / run_folder.ERRORS).open("wb")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "imagebase.training", str(folder)),
            *(str(folder / _MODEL), "--parent", str(os.getpid())),
        ],
        cwd=PROJECT_ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
    )
    try:
        code = _watch(context, process, folder, tail)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        errors.close()
    if code == run_folder.STOPPED_CODE or (code and context.was_stopped):
        return None
    if code:
        raise TrainingError(_failure(folder, code))
    metrics: dict[str, Any] = json.loads(
        (folder / _MODEL / "metrics.json").read_text(encoding="utf-8")
    )
    return metrics


def _watch(
    context: JobContext, process: "subprocess.Popen[bytes]", folder: Path, tail: LogTail
) -> int:
    """Report the progress of the process until it ends; return its exit code."""
    asked_at: float | None = None
    is_closing = False
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(_POLL_SECONDS)
        progress = tail.progress()
        if progress is not None:
            context.progress(progress.done, progress.total, progress.in_words())
            is_closing = progress.phase == CLOSING
        if context.cancelled and asked_at is None:
            if context.is_taken:
                # Asked to stop, the process of who trains on in the folder would too.
                process.kill()
            else:
                (folder / run_folder.STOP).touch()
            asked_at = time.monotonic()
        # While the model is written, waiting loses less than stopping.
        if asked_at is None or is_closing:
            continue
        if time.monotonic() - asked_at > _STOP_SECONDS:
            process.kill()


def _failure(folder: Path, code: int) -> str:
    try:
        error: str = json.loads((folder / run_folder.ERROR).read_text())["error"]
        return error
    except (OSError, ValueError, KeyError):
        _log.error("The training process ended with %d: %s", code, _errors(folder))
    if code == run_folder.FULL_CODE:
        return FULL
    if code < 0:
        return (
            f"The system stopped the training run (signal {-code}), possibly because "
            "memory ran out. Resume it, or use a smaller input size."
        )
    return (
        "The training run failed with an unexpected error; see the server log. Resume "
        "it, or start over."
    )


def _errors(folder: Path) -> str:
    with contextlib.suppress(OSError):
        output = (folder / run_folder.ERRORS).read_bytes()[-_LAST_OF_ERRORS:]
        return output.decode(errors="replace")
    return ""


def _result(
    context: JobContext, folder: Path, metrics: dict[str, Any]
) -> dict[str, Any]:
    """Add the model to the library; return the job's result for the page."""
    examples = metrics.pop("examples", [])
    parts = json.loads((folder / run_folder.SET).read_text(encoding="utf-8"))["images"]
    parts_of = {part["id"]: part["part"] for part in parts}
    write_json(_parts_file(context.scope, context.job_id), parts_of)
    library = library_of(context.scope.owner_id)
    name = _add_model(library, folder / _MODEL, context, metrics)
    log = read_log(folder)
    result = {
        "model": name,
        "metrics": metrics,
        "evaluations": [asdict(evaluation) for evaluation in log.evaluations],
        "examples": examples,
    }
    shutil.rmtree(folder, ignore_errors=True)
    return result


def _add_model(
    library: ModelLibrary, model: Path, context: JobContext, metrics: dict[str, Any]
) -> str:
    files = {name: model / name for name in (CFG, WEIGHTS, NAMES)}
    name = library.free_name(context.parameters["name"])
    width, height = metrics["input_size"]
    card = ModelCard(
        name=name,
        identity=name,
        family="darknet",
        input_size=check_input_size(width)._replace(height=height),
        labels=tuple(metrics["labels"]),
        sha256=sha256_of(files[CFG].read_bytes(), files[WEIGHTS].read_bytes(), None),
        byte_count=sum(file.stat().st_size for file in files.values()),
        added_by=context.scope.who,
        added_at=utc_now(),
        description=description(metrics),
        source=f"training in ImageBase, started from {metrics['base']}",
        score=_score(metrics),
    )
    # The reports are part of the model's download.
    reports = {name: model / name for name in REPORTS}
    return library.add(files | reports, card).name


def _score(metrics: dict[str, Any]) -> Score | None:
    if metrics["AP50"] is None:
        return None
    return Score(metrics["AP"], metrics["AP50"], metrics["measured_on"])


def description(metrics: dict[str, Any]) -> str:
    """Return the description of a trained model for its card."""
    around = metrics["AP50_interval"]
    interval = (
        f" AP50 {around[0]:.3f} to {around[1]:.3f} (95 % confidence interval)."
        if around
        else ""
    )
    asked = metrics["settings"]
    changes = [
        *([] if asked["flip"] else ["no flips"]),
        *([] if asked["colours"] else ["no colour changes"]),
        *(["own anchors"] if asked["cluster_anchors"] else []),
    ]
    return (
        f"Trained on {plural(metrics['images']['train'], 'image')} in "
        f"{metrics['minutes']:.1f} minutes ({plural(metrics['steps'], 'step')}, "
        f"{metrics['epochs']:.1f} epochs), seed {asked['seed']}"
        f"{''.join(f', {change}' for change in changes)}.{interval}"
    )


def _parts_file(scope: Scope, job_id: str) -> Path:
    return work_folder(scope, job_id).with_suffix(".parts.json")


def _folder_of(owner_id: str, dataset_id: str) -> Path:
    return _all_trainings() / owner_id / dataset_id


def _all_trainings() -> Path:
    return settings().home / "training"


def delete_old_trainings() -> None:
    """Delete the files of training runs that nobody has resumed for a week."""
    oldest = time.time() - KEPT_SECONDS
    for folder in filter(Path.is_dir, _all_trainings().glob("*/*/*")):
        # Another process may be deleting the same.
        with contextlib.suppress(OSError):
            if folder.stat().st_mtime < oldest:
                shutil.rmtree(folder)
