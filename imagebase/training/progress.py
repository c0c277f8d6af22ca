"""What a training tells while it goes on: lines of JSON that another process reads."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from imagebase.training import work_files


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How good the net was after so many steps.

    seconds: charged since the training began. losses: means since the last evaluation;
    box, objectness and classes before their weights; None where there were no steps
    since. ap50: of the held-out images; None
    where there are none. per_label: AP50 of each label.
    """

    step: int
    epoch: float
    seconds: float
    loss: float | None
    box: float | None
    objectness: float | None
    classes: float | None
    learning_rate: float
    ap: float | None = None
    ap50: float | None = None
    per_label: Mapping[str, float | None] = field(default_factory=dict)
    is_best: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training is.

    phase: `reading`, `learning`, `closing`, then `done`.
    done, total: images while reading, else steps.
    """

    phase: str
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    seconds_left: float | None = None
    loss: float | None = None
    compute: str = ""

    def in_words(self) -> str:
        """Return the progress as a line for a person."""
        if self.phase == "reading":
            return f"Reading {self.done:,} of {self.total:,} images"
        if self.phase == "closing":
            return "Judging and writing the model"
        left = time_left(self.seconds_left)
        loss = f", loss {self.loss:.2f}" if self.loss is not None else ""
        return f"Learning{loss}{left}"


def time_left(seconds: float | None) -> str:
    """Return the time left as the end of a line; nothing where nobody knows."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f", {minutes}:{rest:02d} left"


@dataclass(frozen=True, slots=True)
class Log:
    """What the log of a training says so far."""

    progress: Progress | None = None
    evaluations: Sequence[Evaluation] = ()
    losses: Sequence[tuple[int, float]] = ()


def write_line(folder: Path, entry: Progress | Evaluation) -> None:
    """Add a line to the log of a folder."""
    kind = "evaluation" if isinstance(entry, Evaluation) else "progress"
    line = json.dumps({"kind": kind, **asdict(entry)}, ensure_ascii=False)
    with (folder / work_files.LOG).open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def read_log(folder: Path) -> Log:
    """Return what a log says; a line that is still being written is passed over.

    A training that went on from a checkpoint repeats steps: what was said of them
    before does not count.
    """
    try:
        lines = (folder / work_files.LOG).read_text(encoding="utf-8").splitlines()
    except OSError:
        return Log()
    progress: Progress | None = None
    evaluations: list[Evaluation] = []
    losses: list[tuple[int, float]] = []
    for line in lines:
        entry = _entry(line)
        if isinstance(entry, Evaluation):
            evaluations = [one for one in evaluations if one.step < entry.step]
            evaluations.append(entry)
        if not isinstance(entry, Progress):
            continue
        progress = entry
        if entry.phase == "learning" and entry.loss is not None:
            losses = [one for one in losses if one[0] < entry.done]
            losses.append((entry.done, entry.loss))
    return Log(progress, tuple(evaluations), tuple(losses))


def _entry(line: str) -> Progress | Evaluation | None:
    try:
        kept: dict[str, Any] = json.loads(line)
        if kept.pop("kind") == "evaluation":
            return Evaluation(**kept)
        return Progress(**kept)
    except (ValueError, TypeError, KeyError):
        return None
