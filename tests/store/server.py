"""A real PostgreSQL server for the tests: in a folder of its own, gone afterwards."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_DEBIAN: Final = Path("/usr/lib/postgresql")
# Tests want the server's behaviour, not its durability.
_OPTIONS: Final = (
    "-c listen_addresses='' -c fsync=off -c synchronous_commit=off "
    "-c full_page_writes=off -c max_connections=200"
)


class NoServerError(Exception):
    """Why there can be no PostgreSQL here."""


@contextmanager
def postgres_server() -> Iterator[Path]:
    """Run a server; yield the folder of its socket, which any local user may use.

    Raises:
        NoServerError: PostgreSQL is not installed or does not start.
    """
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="imagebase-pg-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        _run(
            programs / "initdb",
            *("-D", folder / "data", "-U", "imagebase", "-A", "trust"),
            *("-E", "UTF8", "--locale", "C", "--no-sync"),
        )
        start(folder)
        try:
            yield folder
        finally:
            stop(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def start(folder: Path) -> None:
    """Start the server of this folder, or start it again."""
    options = f"{_OPTIONS} -c unix_socket_directories='{folder}'"
    control = (_programs() / "pg_ctl", "-D", folder / "data", "-w")
    _run(*control, "-l", folder / "log", "-o", options, "start")


def stop(folder: Path) -> None:
    """Stop it at once, whoever is connected."""
    control = (_programs() / "pg_ctl", "-D", folder / "data", "-w")
    _run(*control, "-m", "immediate", "stop")


def _programs() -> Path:
    versions = [path for path in _DEBIAN.glob("*/bin") if (path / "initdb").exists()]
    if versions:
        return max(versions, key=lambda path: float(path.parent.name))
    found = shutil.which("initdb")
    if found is None:
        raise NoServerError("PostgreSQL is not installed on this machine")
    return Path(found).resolve().parent


def _run(*command: object) -> None:
    """Run a program of PostgreSQL's, which refuses to run as root."""
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    try:
        subprocess.run(
            [*prefix, *map(str, command)],
            check=True,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NoServerError(f"PostgreSQL does not start here: {error}") from error
