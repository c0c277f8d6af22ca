"""A training in a process of its own: python -m imagebase.training FOLDER OUTPUT.

It ends at once, with a checkpoint, when asked to (a file named `stop` in the folder, or
SIGTERM) or when the process that started it is gone.
"""

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Final

from imagebase.errors import ImageBaseError, TrainingError
from imagebase.training import run_folder
from imagebase.training.run_folder import named_when_full
from imagebase.training.session import run_training, work_quietly

FAILED: Final = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--parent", type=int, default=0)
    arguments = parser.parse_args()
    sys.exit(_train(arguments.folder, arguments.output, parent=arguments.parent))


def _train(folder: Path, output: Path, *, parent: int) -> int:
    """Return the exit code; what went wrong is in a file for whoever asked."""
    asked = _StopSignal()
    signal.signal(signal.SIGTERM, asked.stop)
    work_quietly()

    def must_stop() -> bool:
        if parent and os.getppid() != parent:
            # At once, and without a checkpoint: another may go on with the last one.
            os._exit(run_folder.STOPPED_CODE)
        return asked.is_set or (folder / run_folder.STOP).exists()

    try:
        finished = run_training(folder, output, must_stop=must_stop)
    except ImageBaseError as error:
        return _write_error(folder, error)
    return 0 if finished is not None else run_folder.STOPPED_CODE


def _write_error(folder: Path, error: ImageBaseError) -> int:
    try:
        with named_when_full():
            (folder / run_folder.ERROR).write_text(json.dumps({"error": str(error)}))
    except TrainingError:
        return run_folder.FULL_CODE
    return FAILED


class _StopSignal:
    """Remembers a signal."""

    def __init__(self) -> None:
        self.is_set = False

    def stop(self, number: int, frame: FrameType | None) -> None:
        self.is_set = True


if __name__ == "__main__":
    main()
