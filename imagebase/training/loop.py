"""Training loop: learn from a batch, average the weights, validate, keep the best."""

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from imagebase.errors import TrainingError
from imagebase.training import run_folder
from imagebase.training.checks import FEW_HELD_OUT
from imagebase.training.data import VAL, TrainingSet
from imagebase.training.data_loader import Batch, Batches
from imagebase.training.loss import Targets, loss_of
from imagebase.training.network import (
    Compute,
    DarknetModule,
    device_named,
    dump_weights,
    faster_compute,
    placed,
)
from imagebase.training.run_folder import Evaluation, Progress, write_bytes
from imagebase.training.run_settings import TrainingSettings
from imagebase.training.schedule import EarlyStopping, Schedule, learning_rate
from imagebase.training.validate import judge

DAMAGED: Final = "The checkpoint of this training run is damaged; start over."


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """States of module, averaged weights and optimizer, and the state of the loop.

    fingerprint: of the training set. values: JSON-like, of the loop.
    """

    fingerprint: str
    module: Mapping[str, Any]
    average: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    values: Mapping[str, Any]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically: a kill leaves the previous one."""
    draft = folder / f".{run_folder.CHECKPOINT}.new"
    document = {
        "fingerprint": checkpoint.fingerprint,
        "module": checkpoint.module,
        "average": checkpoint.average,
        "optimizer": checkpoint.optimizer,
        "values": checkpoint.values,
    }
    # Into an open file: PyTorch itself does not report a full disk.
    with draft.open("wb") as file:
        torch.save(document, file)
    draft.replace(folder / run_folder.CHECKPOINT)


def read_checkpoint(folder: Path, *, fingerprint: str) -> Checkpoint | None:
    """Return the checkpoint of a folder; None if there is none.

    Raises:
        TrainingError: it is damaged, or belongs to other images or labels.
    """
    path = folder / run_folder.CHECKPOINT
    if not path.is_file():
        return None
    try:
        # Tensors and plain values only; nothing in it is ever run.
        document = torch.load(path, map_location="cpu", weights_only=True)
        checkpoint = Checkpoint(**document)
    except Exception as error:
        raise TrainingError(DAMAGED) from error
    if checkpoint.fingerprint != fingerprint:
        raise TrainingError(
            "The images, boxes or labels have changed since this training run was "
            "interrupted; start over."
        )
    return checkpoint


WEIGHT_DECAY: Final = 5e-4
AVERAGE_DECAY: Final = 0.99
MAX_GRADIENT: Final = 10.0
_CHECKPOINT_SECONDS: Final = 30.0
_REPORT_SECONDS: Final = 0.5

OnEntry = Callable[[Progress | Evaluation], None]


@dataclass(slots=True)
class Memory:
    """State of the loop besides the weights, as plain values.

    step: batches done. skipped: batches with a loss that is not finite. ends_at: see
    Schedule.
    """

    step: int = 0
    seconds: float = 0.0
    skipped: int = 0
    ends_at: int | None = None
    evaluations: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """Outcome of a training run; the best weights are in the folder's `best.weights`.

    is_finished: False if the run was stopped and can be resumed.
    """

    is_finished: bool
    steps: int
    epochs: float
    seconds: float
    skipped: int
    best_step: int
    evaluations: tuple[Evaluation, ...]
    compute: str


class Training:
    """A training run of one network on one training set."""

    def __init__(
        self,
        folder: Path,
        training_set: TrainingSet,
        module: DarknetModule,
        settings: TrainingSettings,
        *,
        on_entry: OnEntry = lambda entry: None,
        must_stop: Callable[[], bool] = lambda: False,
        must_finish: Callable[[], bool] = lambda: False,
        charged: float = 0.0,
    ) -> None:
        """Set up the run; resume from a checkpoint in the folder.

        Args:
            folder: for the checkpoint and the best weights.
            training_set: training and validation images.
            module: the initial weights.
            settings: length and options.
            on_entry: called with progress and evaluations.
            must_stop: whether to stop now and resume later.
            must_finish: whether to end now with the best weights so far.
            charged: seconds already spent on reading the images.

        Raises:
            TrainingError: the checkpoint is damaged or belongs to other data.
        """
        self._folder, self._set, self._settings = folder, training_set, settings
        self._on_entry, self._must_stop = on_entry, must_stop
        self._must_finish = must_finish
        self._val = training_set.of_part(VAL)
        self._batches = Batches(training_set, settings)
        device = device_named(settings.device)
        began = time.perf_counter()
        self._module = placed(module, device)
        self._compute, step_seconds = faster_compute(
            device, settings.precision, self._module, self._trial_step
        )
        self._average = copy.deepcopy(self._module).eval()
        self._optimizer = optimizer_of(self._module, settings.learning_rate)
        self._began_at = charged + time.perf_counter() - began
        self._memory = Memory(seconds=self._began_at)
        self._early_stopping = EarlyStopping()
        self._resume()
        self._schedule = Schedule(
            settings,
            self._batches.per_epoch,
            has_validation=bool(self._val),
            step_seconds=step_seconds or 1.0,
            seconds=self._memory.seconds,
            validated_at_step=max(self._last_validated(), 0),
            validated_at_seconds=self._validated_at_seconds(),
            ends_at=self._memory.ends_at,
        )
        self._sums = np.zeros(4)
        self._summed = 0
        self._reported_at = 0.0
        self._saved_at = time.perf_counter()

    @property
    def compute(self) -> Compute:
        return self._compute

    @property
    def average(self) -> DarknetModule:
        """The network with averaged weights, in evaluation mode."""
        return self._average

    def run(self) -> TrainingOutcome:
        """Train to the end, or until stopped."""
        batches = self._batches.from_number(self._memory.step)
        try:
            is_finished = self._learn(batches)
        finally:
            batches.close()  # type: ignore[attr-defined]
        memory = self._memory
        if is_finished:
            self._report("closing")
            if memory.step != self._last_validated() or not memory.evaluations:
                self._evaluate()
        self._save()
        return TrainingOutcome(
            is_finished,
            memory.step,
            memory.step / self._batches.per_epoch,
            self._schedule.seconds,
            memory.skipped,
            self._early_stopping.best_step,
            tuple(Evaluation(**evaluation) for evaluation in memory.evaluations),
            self._compute.in_words,
        )

    def _learn(self, batches: Iterator[Batch]) -> bool:
        while not self._schedule.is_over(self._memory.step):
            if self._must_stop():
                return False
            if self._must_finish():
                return True
            began = time.perf_counter()
            self._step(next(batches))
            self._schedule.charge_step(time.perf_counter() - began)
            self._memory.seconds = self._schedule.seconds
            self._report("learning")
            if self._schedule.is_validation_due(self._memory.step):
                self._evaluate()
                self._end_soon_if_no_better()
                self._save()
            elif time.perf_counter() - self._saved_at > _CHECKPOINT_SECONDS:
                self._save()
        return True

    def _step(self, batch: Batch) -> None:
        memory = self._memory
        steps = self._schedule.steps(memory.step)
        rate = learning_rate(memory.step, steps, highest=self._settings.learning_rate)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        parts = learn(self._module, self._compute, self._optimizer, batch)
        memory.step += 1
        if parts is None:
            memory.skipped += 1
            return
        update_average(self._average, self._module, memory.step)
        self._sums += parts
        self._summed += 1

    def _end_soon_if_no_better(self) -> None:
        memory = self._memory
        if memory.ends_at is not None:
            return
        steps = self._schedule.steps(memory.step)
        if self._early_stopping.should_stop(memory.step, steps):
            memory.ends_at = self._schedule.wind_down(memory.step)

    def _trial_step(self, module: DarknetModule, compute: Compute) -> None:
        optimizer = optimizer_of(module, 1e-6)
        learn(module, compute, optimizer, self._batches.batch(0))

    def _evaluate(self) -> None:
        began = time.perf_counter()
        memory = self._memory
        ap = ap50 = None
        per_label: dict[str, float | None] = {}
        if self._val:
            scores = judge(self._average, self._set, self._val, self._compute)
            ap, ap50, per_label = scores.ap, scores.ap50, scores.per_label
        is_best = self._early_stopping.is_best(
            ap50, step=memory.step, is_trusted=len(self._val) >= FEW_HELD_OUT
        )
        if is_best:
            seen = memory.step * self._settings.batch_size
            content = dump_weights(self._average, seen=seen)
            write_bytes(self._folder / run_folder.BEST, content)
        self._schedule.charge_validation(memory.step, time.perf_counter() - began)
        memory.seconds = self._schedule.seconds
        total, box, objectness, classes = self._means()
        evaluation = Evaluation(
            step=memory.step,
            epoch=memory.step / self._batches.per_epoch,
            seconds=memory.seconds,
            loss=total,
            box=box,
            objectness=objectness,
            classes=classes,
            learning_rate=float(self._optimizer.param_groups[0]["lr"]),
            ap=ap,
            ap50=ap50,
            per_label=per_label,
            is_best=is_best,
        )
        memory.evaluations.append(asdict(evaluation))
        self._sums, self._summed = np.zeros(4), 0
        self._on_entry(evaluation)

    def _means(self) -> list[float] | list[None]:
        if not self._summed:
            return [None] * 4
        return [float(sum) for sum in self._sums / self._summed]

    def _last_validated(self) -> int:
        evaluations = self._memory.evaluations
        return int(evaluations[-1]["step"]) if evaluations else -1

    def _validated_at_seconds(self) -> float:
        evaluations = self._memory.evaluations
        return float(evaluations[-1]["seconds"] if evaluations else self._began_at)

    def _report(self, phase: str) -> None:
        now = time.perf_counter()
        if phase == "learning" and now - self._reported_at < _REPORT_SECONDS:
            return
        self._reported_at = now
        done = self._memory.step
        self._on_entry(
            Progress(
                phase,
                done,
                self._schedule.steps(done),
                self._schedule.seconds,
                self._schedule.seconds_left(done),
                self._means()[0],
                self._compute.in_words,
            )
        )

    def _save(self) -> None:
        self._saved_at = time.perf_counter()
        write_checkpoint(
            self._folder,
            Checkpoint(
                self._set.fingerprint,
                self._module.state_dict(),
                self._average.state_dict(),
                self._optimizer.state_dict(),
                {
                    "memory": asdict(self._memory),
                    "choice": asdict(self._early_stopping),
                },
            ),
        )

    def _resume(self) -> None:
        checkpoint = read_checkpoint(self._folder, fingerprint=self._set.fingerprint)
        if checkpoint is None:
            return
        try:
            self._memory = Memory(**checkpoint.values["memory"])
            self._early_stopping = EarlyStopping(**checkpoint.values["choice"])
            self._module.load_state_dict(checkpoint.module)
            self._average.load_state_dict(checkpoint.average)
            self._optimizer.load_state_dict(dict(checkpoint.optimizer))
        except (TypeError, KeyError, ValueError, RuntimeError) as error:
            # Of another version, say, that remembered other things.
            raise TrainingError(DAMAGED) from error


def optimizer_of(module: DarknetModule, rate: float) -> torch.optim.Optimizer:
    """Return AdamW for a net; only kernels decay."""
    kernels = [parameter for parameter in module.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in module.parameters() if parameter.ndim <= 1]
    groups = [
        {"params": kernels, "weight_decay": WEIGHT_DECAY},
        {"params": others, "weight_decay": 0.0},
    ]
    is_fused = next(module.parameters()).device.type in {"cpu", "cuda", "mps"}
    return torch.optim.AdamW(groups, lr=rate, fused=is_fused)


def learn(
    module: DarknetModule,
    compute: Compute,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
) -> Sequence[float] | None:
    """Train on one batch; return total, box, objectness and class loss.

    None, and no change of the weights, if a loss or gradient is not finite.
    """
    module.train()
    # The forward pass updates the running means before the loss is known.
    before = [buffer.clone() for buffer in module.buffers()]
    with compute.autocast():
        outputs = module(compute.pictures(batch.pictures))
    targets = Targets(
        torch.from_numpy(batch.image).to(compute.device),
        torch.from_numpy(batch.label).to(compute.device),
        torch.from_numpy(batch.boxes).to(compute.device),
        None
        if batch.ignored is None
        else torch.from_numpy(batch.ignored).to(compute.device),
    )
    loss = loss_of(outputs, targets, module.network.heads, module.network.size)
    optimizer.zero_grad(set_to_none=True)
    loss.total.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(module.parameters(), MAX_GRADIENT)
    parts = torch.stack([*loss, norm]).detach().cpu().tolist()
    if not all(map(math.isfinite, parts)):
        for now, saved in zip(module.buffers(), before, strict=True):
            now.copy_(saved)
        return None
    optimizer.step()
    return [float(part) for part in parts[:4]]


def update_average(average: DarknetModule, module: DarknetModule, step: int) -> None:
    """Update the averaged weights: quickly at first, then by a hundredth."""
    decay = min(AVERAGE_DECAY, (1 + step) / (10 + step))
    with torch.no_grad():
        for old, new in zip(
            average.state_dict().values(), module.state_dict().values(), strict=True
        ):
            if old.dtype.is_floating_point:
                old.lerp_(new, 1 - decay)
            else:
                old.copy_(new)
