"""Training run from the images to the finished model, in one folder.

`prepare_run` fills the folder with all that an interrupted run needs; `run_training`
trains and writes the model. Reading the state of a run needs no PyTorch.
"""

import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from imagebase.annotation import Size
from imagebase.detection.model_files import CFG, NAMES, WEIGHTS, Model, model_in_folder
from imagebase.errors import TrainingError
from imagebase.training import checks, run_folder
from imagebase.training.checks import require_torch
from imagebase.training.darknet_cfg import Anchors, cfg_for, cluster_anchors
from imagebase.training.data import LeftOut, TrainingSet, load_set, prepare
from imagebase.training.run_folder import (
    Evaluation,
    Progress,
    check_room,
    named_when_full,
    write_json,
    write_line,
)
from imagebase.training.run_settings import TrainingSettings
from imagebase.training.sources import TrainingSources

if TYPE_CHECKING:
    from imagebase.training.loop import TrainingOutcome

_ANCHORS: Final = 6
_NICENESS: Final = 10

OnEntry = Callable[[Progress | Evaluation], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """Settings of a prepared run, and the seconds that reading took of its time.

    came_from: fingerprint of the labels, if `prepare_run` got one.
    """

    settings: TrainingSettings
    input_size: Size
    charged: float
    came_from: str


@named_when_full()
def prepare_run(
    folder: Path,
    gathered: TrainingSources,
    settings: TrainingSettings,
    *,
    input_size: Size,
    part_of: dict[str, str] | None = None,
    came_from: str = "",
    on_entry: OnEntry = lambda entry: None,
    must_stop: Callable[[], bool] = lambda: False,
) -> TrainingSet | None:
    """Prepare a run in a folder; return None if it was stopped.

    Raises:
        TrainingError: there are no boxes, no base model, too little disk space, or no
            PyTorch.
        ModelLoadError: the base model cannot be used.
    """
    require_torch()
    began = time.perf_counter()
    total = len(gathered.sources)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    check_room(folder, total, input_size)
    _copy_base(Path(settings.base), folder / run_folder.BASE)

    def tell(done: int) -> None:
        if must_stop():
            raise _StoppedError
        on_entry(Progress("reading", done, total))

    try:
        training_set = prepare(
            folder,
            gathered.sources,
            labels=gathered.labels,
            input_size=input_size,
            part_of=part_of,
            seed=settings.seed,
            left_out=LeftOut(missing=gathered.missing, skipped=gathered.skipped),
            on_image=tell,
        )
    except _StoppedError:
        return None
    plan = {
        "settings": asdict(settings),
        "input_size": [*input_size],
        "charged": time.perf_counter() - began,
        "came_from": came_from,
    }
    # Written last: a folder with a plan is complete.
    write_json(folder / run_folder.PLAN, plan)
    return training_set


def _copy_base(base: Path, copy: Path) -> None:
    """Copy the base model, which may be deleted before the run is resumed."""
    _darknet_in(base)
    copy.mkdir()
    for name in (CFG, WEIGHTS, NAMES):
        shutil.copyfile(base / name, copy / name)


def _base(folder: Path, settings: TrainingSettings) -> tuple[Model, bytes]:
    """Return the copy of the base model, with its original name, and its weights."""
    copy, base = folder / run_folder.BASE, Path(settings.base)
    # Runs of an older version have no copy.
    model, weights = _darknet_in(copy if copy.is_dir() else base)
    return replace(model, name=base.resolve().name), weights.read_bytes()


def _darknet_in(folder: Path) -> tuple[Model, Path]:
    model = model_in_folder(folder)
    if model.weights is None:
        raise TrainingError(
            f"{model.name} is no Darknet model; start from one with {CFG} and "
            f"{WEIGHTS}."
        )
    return model, model.weights


class _StoppedError(Exception):
    """The run was stopped while it was being prepared."""


def read_plan(folder: Path) -> Plan | None:
    """Return the plan of a folder; None if it has none."""
    try:
        document: dict[str, Any] = json.loads((folder / run_folder.PLAN).read_text())
        settings = TrainingSettings(**document["settings"])
        return Plan(
            settings,
            Size(*document["input_size"]),
            document["charged"],
            document["came_from"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def set_length(folder: Path, wanted: TrainingSettings) -> None:
    """Give an interrupted run the length of these settings."""
    path = folder / run_folder.PLAN
    document = json.loads(path.read_text())
    settings = TrainingSettings(**document["settings"]).with_length_of(wanted)
    write_json(path, {**document, "settings": asdict(settings)})


@named_when_full()
def run_training(
    folder: Path,
    output: Path,
    *,
    on_entry: OnEntry = lambda entry: None,
    must_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any] | None:
    """Train in a prepared folder, and write the model; resume from a checkpoint.

    Args:
        folder: of `prepare_run`.
        output: folder for the model's files.
        on_entry: called with progress and evaluations, which are logged too.
        must_stop: whether to stop now and resume later. A file named `finish` in the
            folder ends the run now with the best weights so far.

    Returns:
        The contents of metrics.json; None if it was stopped.

    Raises:
        TrainingError: it cannot start or resume.
        ModelLoadError: the base model cannot be used.
    """
    require_torch()
    from imagebase.training.loop import Training
    from imagebase.training.network import module_of, transfer
    from imagebase.training.result import write_model

    began = time.perf_counter()
    plan, training_set = read_plan(folder), load_set(folder)
    if plan is None:
        raise TrainingError(
            "This training run was not prepared completely; start over."
        )
    base, weights = _base(folder, plan.settings)

    def tell(entry: Progress | Evaluation) -> None:
        write_line(folder, entry)
        on_entry(entry)

    cfg = _cfg(base, training_set, plan)
    source = module_of(base.graph.read_bytes(), weights)
    module = transfer(source, base.labels, cfg.encode(), training_set.labels)
    training = Training(
        folder,
        training_set,
        module,
        plan.settings,
        on_entry=tell,
        must_stop=must_stop,
        must_finish=(folder / run_folder.FINISH).exists,
        charged=plan.charged + time.perf_counter() - began,
    )
    outcome: TrainingOutcome = training.run()
    if not outcome.is_finished:
        return None
    metrics = write_model(
        folder, output, training_set, plan.settings, outcome, cfg=cfg, base=base
    )
    tell(Progress("done", outcome.steps, outcome.steps, outcome.seconds, 0.0))
    return metrics


def _cfg(base: Model, training_set: TrainingSet, plan: Plan) -> str:
    anchors: Anchors | None = None
    if plan.settings.cluster_anchors:
        # With too few different shapes the anchors of the base are kept.
        with suppress(ValueError):
            sizes = checks.box_sizes(training_set)
            anchors = cluster_anchors(sizes, count=_ANCHORS, seed=plan.settings.seed)
    text = base.graph.read_text(encoding="utf-8", errors="replace")
    return cfg_for(
        text,
        classes=len(training_set.labels),
        input_size=plan.input_size,
        anchors=anchors,
    )


def ask_to_finish(folder: Path) -> None:
    """Ask a run to end now, with the best weights so far."""
    # A run that has ended meanwhile has no folder.
    with suppress(FileNotFoundError):
        (folder / run_folder.FINISH).touch()


def clean_up(folder: Path) -> None:
    """Delete the files that are only needed to resume; keep the log."""
    for name in run_folder.NEEDED_TO_RESUME:
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / run_folder.BASE, ignore_errors=True)


def work_quietly() -> None:
    """Lower the priority of this process; call it before PyTorch is loaded.

    Waiting OpenMP threads then sleep instead of spinning.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if hasattr(os, "nice"):
        with suppress(OSError):
            os.nice(_NICENESS)
