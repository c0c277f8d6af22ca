"""Folder of a training run: its files, free disk space, and the progress log."""

import errno
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from imagebase.annotation import Size
from imagebase.errors import TrainingError
from imagebase.wording import plural

PLAN: Final = "plan.json"
SET: Final = "set.json"
PICTURES: Final = "pictures.u8"
LOG: Final = "log.jsonl"
CHECKPOINT: Final = "checkpoint.pt"
BEST: Final = "best.weights"
# A folder: copy of the base model, which may be renamed or deleted meanwhile.
BASE: Final = "base"
# Files for requests of another process, and for the error it reads.
FINISH: Final = "finish"
STOP: Final = "stop"
ERROR: Final = "error.json"
# Unexpected errors, for the server's log.
ERRORS: Final = "errors.txt"
# Exit codes: stopped; no disk space even for the error file.
STOPPED_CODE: Final = 3
FULL_CODE: Final = 4

# Only needed to resume.
NEEDED_TO_RESUME: Final = (PICTURES, SET, CHECKPOINT, BEST, FINISH, STOP)

FULL: Final = "The disk is full; free some space, then train again or resume."
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
# Checkpoints, base model and result.
_BESIDE_PICTURES: Final = 400_000_000
_GB: Final = 1_000_000_000

# A phase of Progress.
CLOSING: Final = "closing"
MOST_POINTS: Final = 300


@contextmanager
def named_when_full() -> Iterator[None]:
    """Turn the OSError of a full disk into a sentence.

    Raises:
        TrainingError: the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise TrainingError(FULL) from error


def check_room(folder: Path, images: int, input_size: Size) -> None:
    """Check that the prepared images fit on the disk.

    Raises:
        TrainingError: they do not.
    """
    needed = images * input_size.width * input_size.height * 3 + _BESIDE_PICTURES
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise TrainingError(
            f"Training on {plural(images, 'image')} takes "
            f"{needed / _GB:,.1f} GB of the disk, "
            f"and {free / _GB:,.1f} GB are free; make room, or take a smaller input."
        )


def write_json(path: Path, document: object) -> None:
    """Write a JSON file in one step: a reader finds the old one or the new."""
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    draft.replace(path)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in one step."""
    draft = path.with_name(f".{path.name}.new")
    draft.write_bytes(content)
    draft.replace(path)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Validation after some steps.

    seconds: charged since the run began. loss, box, objectness, classes: means since
    the last evaluation, the last three unweighted; None if there were no steps since.
    ap, ap50: of the validation images; None without any. per_label: AP50 by label.
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
    """Progress of a training run.

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
        """Return the progress as a line of text."""
        if self.phase == "reading":
            return f"Reading {self.done:,} of {plural(self.total, 'image')}"
        if self.phase == CLOSING:
            return "Evaluating and saving the model"
        left = time_left(self.seconds_left)
        loss = f", loss {self.loss:.2f}" if self.loss is not None else ""
        return f"Training{loss}{left}"


def time_left(seconds: float | None) -> str:
    """Return the time left as the end of a line; empty if unknown."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f", {minutes}:{rest:02d} left"


@dataclass(frozen=True, slots=True)
class Log:
    """Contents of a run's log so far."""

    progress: Progress | None = None
    evaluations: Sequence[Evaluation] = ()
    losses: Sequence[tuple[int, float]] = ()


def write_line(folder: Path, entry: Progress | Evaluation) -> None:
    """Add a line to the log of a folder."""
    kind = "evaluation" if isinstance(entry, Evaluation) else "progress"
    line = json.dumps({"kind": kind, **asdict(entry)}, ensure_ascii=False)
    with (folder / LOG).open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def read_log(folder: Path) -> Log:
    """Return the entries of a log; an incomplete last line is skipped.

    A run that resumed from a checkpoint repeats steps: their last entry counts.
    """
    progress: Progress | None = None
    evaluations: list[Evaluation] = []
    losses: list[tuple[int, float]] = []
    for entry in LogTail(folder).news():
        if isinstance(entry, Evaluation):
            while evaluations and evaluations[-1].step >= entry.step:
                evaluations.pop()
            evaluations.append(entry)
            continue
        progress = entry
        if entry.phase == "learning" and entry.loss is not None:
            while losses and losses[-1][0] >= entry.done:
                losses.pop()
            losses.append((entry.done, entry.loss))
    return Log(progress, tuple(evaluations), tuple(losses))


class LogTail:
    """Reads only the new entries of a log."""

    def __init__(self, folder: Path, *, from_now_on: bool = False) -> None:
        """Start at the first line, or at the end of the file."""
        self._path = folder / LOG
        self._read = 0
        if from_now_on:
            with suppress(OSError):
                self._read = self._path.stat().st_size

    def news(self) -> list[Progress | Evaluation]:
        """Return the entries since the last call.

        An incomplete line is returned by a later call.
        """
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                whole, end, _ = file.read().rpartition(b"\n")
        except OSError:
            return []
        self._read += len(whole) + len(end)
        entries = map(_entry, whole.splitlines())
        return [entry for entry in entries if entry is not None]

    def progress(self) -> Progress | None:
        """Return the latest progress since the last call; None if there is none."""
        entries = [entry for entry in self.news() if isinstance(entry, Progress)]
        return entries[-1] if entries else None


def thinned(
    points: Sequence[tuple[int, float]], *, most: int = MOST_POINTS
) -> list[tuple[int, float]]:
    """Return at most so many points of a curve, evenly spaced, with the last one.

    A chart cannot show more, and all points are sent to the browser each time.
    """
    every = -(-len(points) // most)
    return list(points[::-1][:: max(every, 1)][::-1])


def _entry(line: bytes) -> Progress | Evaluation | None:
    try:
        entry: dict[str, Any] = json.loads(line)
        if entry.pop("kind") == "evaluation":
            return Evaluation(**entry)
        return Progress(**entry)
    except (ValueError, TypeError, KeyError):
        return None
