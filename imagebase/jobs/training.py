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
    MAX_NAME_LENGTH,
    ModelLibrary,
    find_model,
    library_of,
)
from imagebase.detection.model_card import ModelCard, Score
from imagebase.detection.model_files import CFG, NAMES, REPORTS, WEIGHTS, sha256_of
from imagebase.errors import ModelLoadError, TrainingError
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
)
from imagebase.training.run_settings import (
    DEFAULT_INPUT_SIZE,
    TrainingSettings,
    check_input_size,
    write_json,
)
from imagebase.training.session import begin, read_plan
from imagebase.training.sources import Round, from_records, next_parts
from imagebase.wording import plural

KIND: Final = "train"
_POLL_SECONDS: Final = 0.25
# A checkpoint is written before it ends; who does not end by then is ended.
_STOP_SECONDS: Final = 60.0
KEPT_SECONDS: Final = 7 * 24 * 3600
_MODEL: Final = "model"
_LAST_OF_ERRORS: Final = 10_000

_log: Final = logging.getLogger(__name__)


def train(context: JobContext) -> dict[str, Any] | None:
    """Train on the approved images; None where it was cancelled, to be gone on with.

    Parameters of the job: `name`, of the new model; `base`, the model to begin from;
    `minutes`, or `steps`; `input_size`, `flip`, `colours`, `own_anchors`, `seed`.
    """
    require_torch()
    folder = work_folder(context.scope, context.job_id)
    # However old it is: somebody goes on with it.
    with contextlib.suppress(FileNotFoundError):
        os.utime(folder)
    delete_old_trainings()
    if not _is_ready(context, folder):
        return None
    metrics = _trained(context, folder)
    if metrics is None:
        return None
    with named_when_full():
        result = _result(context, folder, metrics)
    context.complete()
    return result


def work_folder(scope: Scope, job_id: str) -> Path:
    """Return where a training of a dataset works; its log is there while it goes on."""
    return _folder_of(scope.owner_id, scope.dataset_id) / job_id


def delete_trainings(owner_id: str, dataset_id: str = "") -> None:
    """Delete what trainings of an owner or of one dataset left, as when the data go."""
    shutil.rmtree(_folder_of(check_owner_id(owner_id), dataset_id), ignore_errors=True)


def last_round(jobs: Sequence[JobInfo]) -> Round | None:
    """Return the last training that came to its end, from jobs, the newest first."""
    rounds = rounds_of(jobs)
    return rounds[-1] if rounds else None


def rounds_of(jobs: Sequence[JobInfo]) -> list[Round]:
    """Return the trainings that came to their end, the oldest first."""
    done = [one for one in jobs if one.kind == KIND and one.state is JobState.DONE]
    return [
        Round.of_result(one.job_id, one.result) for one in reversed(done) if one.result
    ]


def parts_known(scope: Scope, last: Round | None) -> dict[str, str]:
    """Return the part of each image that a training knew, by id; empty without one.

    They lie in a file: with every job of a large dataset they would be read at every
    look at its jobs.
    """
    if last is None:
        return {}
    try:
        kept: dict[str, str] = json.loads(_parts_file(scope, last.job_id).read_text())
    except (OSError, ValueError):
        return {}
    return kept


def _is_ready(context: JobContext, folder: Path) -> bool:
    """Read the images where they are not ready yet; False where it was cancelled."""
    if read_plan(folder) is not None:
        return True
    try:
        _make_ready(context, folder)
    finally:
        is_ready = read_plan(folder) is not None
        if not is_ready:
            # Half-read images are large, and nobody can go on with them.
            shutil.rmtree(folder, ignore_errors=True)
    return is_ready


def _make_ready(context: JobContext, folder: Path) -> None:
    store, scope, asked = context.store, context.scope, context.parameters
    records = store.records(scope, statuses=[ReviewStatus.APPROVED])
    if not records:
        raise TrainingError("No image is approved yet; approve some and train then.")
    # Now, and not when all is learned.
    free_name(library_of(scope.owner_id), asked["name"])
    gathered = from_records(
        records,
        store.labels(scope).names,
        lambda image_id: store.image_bytes(scope, image_id),
    )
    base = find_model(asked["base"], owner_id=scope.owner_id)
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

    begin(
        folder,
        gathered,
        wanted,
        input_size=check_input_size(asked.get("input_size", DEFAULT_INPUT_SIZE)),
        part_of=_parts(context, records),
        on_entry=tell,
        must_stop=lambda: context.cancelled,
    )


def _parts(context: JobContext, records: list[ImageRecord]) -> dict[str, str] | None:
    """Return who is held out, as in the trainings before; None where there is none."""
    known: dict[str, str] = {}
    # The oldest first: an image that one of them passed over is known all the same.
    for one in rounds_of(context.store.jobs(context.scope)):
        known |= parts_known(context.scope, one)
    if not known:
        return None
    seed = context.parameters.get("seed", 0)
    return next_parts([split_image(one) for one in records], known, seed=seed)


def _trained(context: JobContext, folder: Path) -> dict[str, Any] | None:
    """Return the metrics; None where it was told to stop."""
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
        raise TrainingError(_why(folder, code))
    metrics: dict[str, Any] = json.loads(
        (folder / _MODEL / "metrics.json").read_text(encoding="utf-8")
    )
    return metrics


def _watch(
    context: JobContext,
    process: "subprocess.Popen[bytes]",
    folder: Path,
    tail: LogTail,
) -> int:
    """Pass on how far the process is until it ends; return its exit code."""
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
            (folder / run_folder.STOP).touch()
            asked_at = time.monotonic()
        # The model is being written then: to wait loses less than to stop.
        if asked_at is None or is_closing:
            continue
        if time.monotonic() - asked_at > _STOP_SECONDS:
            process.kill()


def _why(folder: Path, code: int) -> str:
    try:
        said: str = json.loads((folder / run_folder.ERROR).read_text())["error"]
        return said
    except (OSError, ValueError, KeyError):
        _log.error("The training process ended with %d: %s", code, _errors(folder))
    if code == run_folder.FULL_CODE:
        return FULL
    if code < 0:
        return (
            f"The system ended the training (signal {-code}), perhaps for lack of "
            "memory; go on with it, or take a smaller input."
        )
    return (
        "The training stopped at an unexpected error, which is in the server's log; "
        "go on with it, or train anew."
    )


def _errors(folder: Path) -> str:
    with contextlib.suppress(OSError):
        said = (folder / run_folder.ERRORS).read_bytes()[-_LAST_OF_ERRORS:]
        return said.decode(errors="replace")
    return ""


def _result(
    context: JobContext, folder: Path, metrics: dict[str, Any]
) -> dict[str, Any]:
    """Put the model into the library and return what the page shows of it."""
    examples = metrics.pop("examples", [])
    parts = json.loads((folder / run_folder.SET).read_text(encoding="utf-8"))["images"]
    parts_of = {one["id"]: one["part"] for one in parts}
    write_json(_parts_file(context.scope, context.job_id), parts_of)
    library = library_of(context.scope.owner_id)
    name = _kept(library, folder / _MODEL, context, metrics)
    log = read_log(folder)
    result = {
        "model": name,
        "metrics": metrics,
        "evaluations": [asdict(one) for one in log.evaluations],
        "examples": examples,
    }
    shutil.rmtree(folder, ignore_errors=True)
    return result


def _kept(
    library: ModelLibrary, model: Path, context: JobContext, metrics: dict[str, Any]
) -> str:
    files = {name: model / name for name in (CFG, WEIGHTS, NAMES)}
    name = free_name(library, context.parameters["name"])
    width, height = metrics["input_size"]
    card = ModelCard(
        name=name,
        identity=name,
        family="darknet",
        input_size=check_input_size(width)._replace(height=height),
        labels=tuple(metrics["labels"]),
        sha256=sha256_of(files[CFG].read_bytes(), files[WEIGHTS].read_bytes(), None),
        byte_count=sum(one.stat().st_size for one in files.values()),
        added_by=context.scope.who,
        added_at=utc_now(),
        description=description(metrics),
        source=f"a training here, begun from {metrics['base']}",
        score=_score(metrics),
    )
    # What the training told goes along, in the model's download.
    told = {one: model / one for one in REPORTS}
    return library.add(files | told, card).name


def _score(metrics: dict[str, Any]) -> Score | None:
    if metrics["AP50"] is None:
        return None
    return Score(metrics["AP"], metrics["AP50"], metrics["measured_on"])


def description(metrics: dict[str, Any]) -> str:
    """Return what a model's card says of its training."""
    around = metrics["AP50_interval"]
    between = (
        f" AP50 lies between {around[0]:.3f} and {around[1]:.3f}." if around else ""
    )
    asked = metrics["settings"]
    changes = [
        *([] if asked["flip"] else ["no flips"]),
        *([] if asked["colours"] else ["colours as they are"]),
        *(["anchors of its own"] if asked["cluster_anchors"] else []),
    ]
    return (
        f"Learned from {plural(metrics['images']['train'], 'image')} in "
        f"{metrics['minutes']:.1f} minutes ({plural(metrics['steps'], 'step')}, "
        f"{metrics['epochs']:.1f} epochs), seed {asked['seed']}"
        f"{''.join(f', {one}' for one in changes)}.{between}"
    )


def free_name(library: ModelLibrary, wanted: str) -> str:
    """Return the name, with a number where there is a model of that name already.

    Raises:
        ModelLoadError: a model cannot be called so.
    """
    taken = {one.casefold() for one in library.names()}
    for number in range(1, len(taken) + 2):
        try:
            return library.check_name(_numbered(wanted, number))
        except ModelLoadError:
            if wanted.strip().casefold() not in taken:
                raise
    raise ModelLoadError(f"There are too many models called {wanted}; choose another.")


def _numbered(name: str, number: int) -> str:
    if number == 1:
        return name
    end = f" {number}"
    return name.strip()[: MAX_NAME_LENGTH - len(end)].rstrip() + end


def _parts_file(scope: Scope, job_id: str) -> Path:
    return work_folder(scope, job_id).with_suffix(".parts.json")


def _folder_of(owner_id: str, dataset_id: str) -> Path:
    return _all_trainings() / owner_id / dataset_id


def _all_trainings() -> Path:
    return settings().home / "training"


def delete_old_trainings() -> None:
    """Delete what trainings left that nobody has gone on with for a week."""
    oldest = time.time() - KEPT_SECONDS
    for one in filter(Path.is_dir, _all_trainings().glob("*/*/*")):
        # Another process may be deleting the same.
        with contextlib.suppress(OSError):
            if one.stat().st_mtime < oldest:
                shutil.rmtree(one)
