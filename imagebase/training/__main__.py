"""Process of a training run: python -m imagebase.training FOLDER OUTPUT.

It stops with a checkpoint on SIGTERM or when the folder contains a file named `stop`,
and exits without one when its parent process has ended.
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
    """Train; return the exit code. An error is written to a file in the folder."""
    signalled = _StopSignal()
    signal.signal(signal.SIGTERM, signalled.stop)
    work_quietly()

    def must_stop() -> bool:
        if parent and os.getppid() != parent:
            # Without a checkpoint: another process may already use the last one.
            os._exit(run_folder.STOPPED_CODE)
        return signalled.is_set or (folder / run_folder.STOP).exists()

    try:
        metrics = run_training(folder, output, must_stop=must_stop)
    except ImageBaseError as error:
        return _write_error(folder, error)
    return 0 if metrics is not None else run_folder.STOPPED_CODE


def _write_error(folder: Path, error: ImageBaseError) -> int:
    try:
        with named_when_full():
            (folder / run_folder.ERROR).write_text(json.dumps({"error": str(error)}))
    except TrainingError:
        return run_folder.FULL_CODE
    return FAILED


class _StopSignal:
    def __init__(self) -> None:
        self.is_set = False

    def stop(self, number: int, frame: FrameType | None) -> None:
        self.is_set = True


if __name__ == "__main__":
    main()
