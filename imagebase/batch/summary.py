"""What a labelling run came to: run.json, and a line for a person."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from imagebase.images.skipped_files import RUN_FILE
from imagebase.wording import plural


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file that could not be labelled, and why."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What run.json says, and what else a person is told.

    seconds: wall time from the first file opened to the last output closed.
    load_seconds: the time before that, in which the model was loaded.
    passed_over: how many files of the source are no images, by suffix.
    remarks: the same and earlier exports in it, in sentences.
    resumed: images an interrupted run had seen before.
    """

    images: int
    boxes: int
    refused: tuple[Refusal, ...]
    seconds: float
    images_per_second: float
    load_seconds: float
    model: dict[str, str]
    settings: dict[str, Any]
    passed_over: dict[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    resumed: int = 0

    def in_words(self) -> str:
        """Return the summary as one line for a person."""
        refused = f", {len(self.refused):,} refused" if self.refused else ""
        resumed = f", {self.resumed:,} of them seen before" if self.resumed else ""
        return (
            f"{plural(self.images, 'image')}{resumed}, {plural(self.boxes, 'box')}"
            f"{refused} in "
            f"{self.seconds:.1f} s ({self.images_per_second:.1f} images/s) with "
            f"{self.model['id']}"
        )

    def as_json(self) -> str:
        """Return the text of run.json."""
        document = asdict(self)
        del document["resumed"], document["remarks"]
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def write_run_file(output: Path, summary: RunSummary) -> None:
    """Write run.json in one step: a reader finds the last run's or this one's.

    Raises:
        OSError: it cannot be written.
    """
    draft = output / f".{RUN_FILE}"
    draft.write_text(summary.as_json(), encoding="utf-8")
    draft.replace(output / RUN_FILE)
