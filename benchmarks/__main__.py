"""Run every benchmark: `make benchmark`."""

import os
import subprocess
import sys

from benchmarks import throughput

KILLS = "100"


def main() -> None:
    """Compare the throughput, then kill a process at work a hundred times."""
    throughput.main()
    command = [sys.executable, "-m", "pytest", "-q", "tests/store/test_kill.py"]
    environ = {**os.environ, "IMAGEBASE_TEST_KILLS": KILLS}
    sys.exit(subprocess.run(command, env=environ, check=False).returncode)


if __name__ == "__main__":
    main()
