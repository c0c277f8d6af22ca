"""How much memory a process takes, whatever the one that starts it has taken.

On Linux the `ru_maxrss` of a process begins at the peak of the one it was forked from,
which here has run a thousand tests. So a small process stands between: it starts the
one that is measured, and its own peak is a few megabytes.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

_BETWEEN: Final = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[2:], timeout=120).returncode
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
open(sys.argv[1], "w").write(str(peak))
sys.exit(code)
"""


class Measured(NamedTuple):
    """How a process ended. peak_bytes: the most memory it had."""

    code: int
    stdout: str
    stderr: str
    peak_bytes: int


def run_measured(command: Sequence[str | Path], *, notes: Path, cwd: Path) -> Measured:
    """Run a command to its end and measure it alone.

    Args:
        notes: a file that may be written.
    """
    between = [sys.executable, "-c", _BETWEEN, str(notes), *map(str, command)]
    done = subprocess.run(between, capture_output=True, text=True, check=False, cwd=cwd)
    peak = int(notes.read_text(encoding="utf-8"))
    return Measured(done.returncode, done.stdout, done.stderr, peak)
