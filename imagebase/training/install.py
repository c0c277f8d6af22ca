"""Install PyTorch into a Python environment with uv, which pip brings first."""

import importlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from imagebase.disk_space import folder_bytes, free_bytes
from imagebase.errors import TrainingError

REQUIREMENT: Final = "torch>=2.5"
# From 0.7 on, uv finds the build that fits the machine.
_UV: Final = "uv>=0.7,<1"
_BACKEND: Final = "--torch-backend=cpu"
# Of PyTorch 2.13 for Linux: the wheels with all they need, and what they unpack to.
DOWNLOAD_MB: Final = 200
UNPACKED_MB: Final = 760
_NEEDED_BYTES: Final = 2_000_000_000
_POLL_SECONDS: Final = 0.5
_KEPT_LINES: Final = 40
_FOLDERS: Final = ("UV_FIND_LINKS", "PIP_FIND_LINKS")
_ABOUT: Final = (
    "import json, sys, sysconfig; print(json.dumps("
    "[sys.prefix, sysconfig.get_path('purelib'), sys.version_info[:2]]))"
)
# What uv and pip print, and what to do about it.
_REASONS: Final = (
    (
        ("No space left", "not enough space"),
        "the disk is full. Free 2 GB and try again.",
    ),
    (
        ("Permission denied", "Read-only", "externally managed", "externally-managed"),
        "this Python environment cannot be changed. Install ImageBase into a virtual "
        "environment of your own.",
    ),
    (
        ("No module named pip",),
        "this Python environment has neither uv nor pip. Install uv and try again.",
    ),
    (
        (
            *("dns error", "error sending request", "Failed to fetch", "timed out"),
            *("NewConnectionError", "Network is unreachable", "Connection refused"),
            *("No matching distribution", "Could not find a version"),
        ),
        "it could not be downloaded. Check the connection to the internet and try "
        "again.",
    ),
)

OnProgress = Callable[[int], None]
ShouldStop = Callable[[], bool]


class _Environment(NamedTuple):
    """A Python environment: its folder, where packages are, its version."""

    prefix: Path
    packages: Path
    version: tuple[int, int]


class InstallCancelledError(Exception):
    """The installation was cancelled; nothing was installed."""


def commands(backend: str, *, python: str = sys.executable) -> str:
    """Return the shell commands that install PyTorch for this interpreter.

    Args:
        backend: `cpu`, or `auto` for an NVIDIA GPU.
        python: the interpreter.
    """
    quoted = _quoted(python)
    return (
        f"{quoted} -m pip install uv\n"
        f"{quoted} -m uv pip install torch --torch-backend={backend}"
    )


def install(
    python: str = sys.executable,
    *,
    on_progress: OnProgress = lambda megabytes: None,
    should_stop: ShouldStop = lambda: False,
) -> str:
    """Install the CPU build of PyTorch into an environment; return its version.

    Args:
        python: the interpreter of the environment.
        on_progress: called with the MB unpacked so far, of about `UNPACKED_MB`.
        should_stop: asked twice a second until all is downloaded.

    Raises:
        TrainingError: it was not installed; the message says why.
        InstallCancelledError: `should_stop` said so.
    """
    where = _environment(python)
    _check(where)
    with tempfile.TemporaryDirectory(prefix=".imagebase-", dir=where.prefix) as cache:
        run = _Run(Path(cache), on_progress, should_stop)
        target = ("--python", python, "--cache-dir", cache)
        run([*_uv(python, run), "pip", "install", *target, *_wanted(where)])
    importlib.invalidate_caches()
    return _version(python)


def _quoted(python: str) -> str:
    return (
        subprocess.list2cmdline([python])
        if sys.platform == "win32"
        else shlex.quote(python)
    )


def _environment(python: str) -> _Environment:
    try:
        said = subprocess.run(
            [python, "-c", _ABOUT], capture_output=True, check=True, text=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise TrainingError(f"{python} does not start; check it.") from error
    prefix, packages, version = json.loads(said.stdout)
    return _Environment(Path(prefix), Path(packages), tuple(version))


def _check(where: _Environment) -> None:
    if not (os.access(where.prefix, os.W_OK) and os.access(where.packages, os.W_OK)):
        raise _failure(f"Permission denied: {where.packages}")
    if free_bytes(where.packages) < _NEEDED_BYTES:
        raise _failure("No space left")


def _uv(python: str, run: Callable[[Sequence[str]], None]) -> list[str]:
    """Return the command of uv, installed first where it is not there."""
    asked = [python, "-c", "import uv"]
    if subprocess.run(asked, capture_output=True, check=False).returncode:
        if elsewhere := shutil.which("uv"):
            return [elsewhere]
        run([python, "-m", "pip", "install", "--quiet", _UV])
    return [python, "-m", "uv"]


def _wanted(where: _Environment) -> list[str]:
    """Return what uv is to install: a CPU wheel that is at hand, else from its index.

    At hand are those in the folders that UV_FIND_LINKS or PIP_FIND_LINKS name.
    """
    tag = f"cp{where.version[0]}{where.version[1]}"
    folders = " ".join(os.environ.get(name, "") for name in _FOLDERS).split()
    wheels = [
        wheel
        for folder in folders
        for wheel in Path(folder).glob(f"torch-*+cpu-{tag}-*.whl")
    ]
    newest = max(wheels, key=_version_in, default=None)
    return [REQUIREMENT, _BACKEND] if newest is None else [str(newest)]


def _version_in(wheel: Path) -> list[int]:
    """Return the numbers of a wheel's version: 2.10 is newer than 2.9."""
    version = wheel.name.split("-")[1].partition("+")[0]
    return [int(number) for number in re.findall(r"\d+", version)]


def _version(python: str) -> str:
    """Return the version of PyTorch that an interpreter imports."""
    asked = [python, "-c", "import torch; print(torch.__version__)"]
    said = subprocess.run(asked, capture_output=True, check=False, text=True)
    if said.returncode:
        raise _failure(said.stderr)
    return said.stdout.strip()


class _Run:
    """Runs a command, with progress by the bytes in the cache."""

    def __init__(
        self, cache: Path, on_progress: OnProgress, should_stop: ShouldStop
    ) -> None:
        self._cache, self._on_progress = cache, on_progress
        self._should_stop = should_stop

    def __call__(self, command: Sequence[str]) -> None:
        """Run a command to its end.

        Raises:
            TrainingError: it failed. InstallCancelledError: it was to stop.
        """
        lines: deque[str] = deque(maxlen=_KEPT_LINES)
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=_quiet_environment(os.environ),
            start_new_session=True,
        ) as process:
            reader = threading.Thread(target=_read, args=(process, lines), daemon=True)
            reader.start()
            try:
                self._wait(process, lines)
            finally:
                if process.poll() is None:
                    _kill(process)
                reader.join()
        if process.returncode:
            raise _failure("\n".join(lines))

    def _wait(self, process: "subprocess.Popen[str]", lines: Sequence[str]) -> None:
        measured_at = -_POLL_SECONDS
        while process.poll() is None:
            # What is being moved into place is not cut in half.
            is_placing = any(line.startswith("Prepared") for line in tuple(lines))
            if not is_placing and self._should_stop():
                raise InstallCancelledError
            if time.monotonic() - measured_at >= 2 * _POLL_SECONDS:
                self._on_progress(folder_bytes(self._cache) // 1_000_000)
                measured_at = time.monotonic()
            time.sleep(_POLL_SECONDS / 5)


def _quiet_environment(environ: Mapping[str, str]) -> dict[str, str]:
    return {**environ, "UV_NO_PROGRESS": "1", "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}


def _read(process: "subprocess.Popen[str]", lines: "deque[str]") -> None:
    for line in process.stdout or ():
        if line.strip():
            lines.append(line.strip())


def _kill(process: "subprocess.Popen[str]") -> None:
    if sys.platform == "win32":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _failure(output: str) -> TrainingError:
    """Return the error of a command that printed this."""
    for signs, reason in _REASONS:
        if any(sign in output for sign in signs):
            return TrainingError(f"PyTorch was not installed: {reason}")
    last = output.strip().rpartition("\n")[2].removeprefix("error: ")
    return TrainingError(f"PyTorch was not installed: {last or 'uv failed'}.")
