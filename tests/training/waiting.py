"""Wait for a training in another process."""

import time
from pathlib import Path

from imagebase.training.run_folder import read_log


def until_it_learns(folder: Path) -> None:
    """Wait for the first step, or for the first one after those there are."""
    before = len(read_log(folder).losses)
    deadline = time.monotonic() + 120
    while len(read_log(folder).losses) <= before:
        assert time.monotonic() < deadline
        time.sleep(0.02)
