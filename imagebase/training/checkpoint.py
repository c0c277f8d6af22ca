"""Everything a training needs to go on after it was killed, in one file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from imagebase.errors import TrainingError
from imagebase.training import work_files

DAMAGED: Final = "The checkpoint of this training cannot be used; begin it anew."


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """States of module, average and optimizer, and plain values beside them.

    fingerprint: of the set that is learned from. values: JSON-like, of the loop.
    """

    fingerprint: str
    module: Mapping[str, Any]
    average: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    values: Mapping[str, Any]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write it in one step: whoever is killed meanwhile leaves the one before."""
    draft = folder / f".{work_files.CHECKPOINT}.new"
    document = {
        "fingerprint": checkpoint.fingerprint,
        "module": checkpoint.module,
        "average": checkpoint.average,
        "optimizer": checkpoint.optimizer,
        "values": checkpoint.values,
    }
    # Into an open file: PyTorch itself does not say that a disk is full.
    with draft.open("wb") as file:
        torch.save(document, file)
    draft.replace(folder / work_files.CHECKPOINT)


def read_checkpoint(folder: Path, *, fingerprint: str) -> Checkpoint | None:
    """Return the checkpoint of a folder; None where there is none.

    Raises:
        TrainingError: it is damaged, or of other images or labels.
    """
    path = folder / work_files.CHECKPOINT
    if not path.is_file():
        return None
    try:
        # Tensors and plain values only; nothing in it is ever run.
        kept = torch.load(path, map_location="cpu", weights_only=True)
        checkpoint = Checkpoint(**kept)
    except Exception as error:
        raise TrainingError(DAMAGED) from error
    if checkpoint.fingerprint != fingerprint:
        raise TrainingError(
            "The images, boxes or labels have changed since this training was "
            "interrupted; begin it anew."
        )
    return checkpoint
