"""The `serve` command: check weights, folders and the port, then start the app."""

import errno
import os
import runpy
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from imagebase.cli.console import Verbose, reported_errors, show
from imagebase.errors import SettingsError, StoreError
from imagebase.settings import (
    ALLOWED_HOSTS,
    DEFAULT_MODEL,
    PROJECT_ROOT,
    Mode,
    settings,
)

_APP: Final = PROJECT_ROOT / "app.py"
_EVERYWHERE: Final = frozenset({"", "0.0.0.0", "::"})


def serve(
    address: Annotated[
        str,
        typer.Option(
            "--address", help="127.0.0.1: only this machine; 0.0.0.0: others too."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8501,
    samples: Annotated[
        bool, typer.Option("--samples", help="Start with the sample photographs.")
    ] = False,
    headless: Annotated[
        bool, typer.Option("--headless", help="Do not open a browser.")
    ] = False,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allowed-host",
            help="A name that browsers may call this server by; give it once for each. "
            "By default a server on this machine answers to localhost only.",
        ),
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Check weights, folders and port, then start the app."""
    with reported_errors():
        if allowed_host:
            _allow(allowed_host)
        for line in check(address, port):
            show(line)
        start(address, port, samples=samples, headless=headless)


def check(address: str, port: int) -> Iterator[str]:
    """Yield a line for each check that passes.

    Raises:
        SettingsError: the port is taken, or the address is not this machine's.
        ModelLoadError: the default model's weights are missing or broken.
        StoreError: the data folder cannot be written or the database not opened.
    """
    from imagebase.detection.detector import load_single
    from imagebase.detection.library import find_model
    from imagebase.store import open_store

    detector = load_single(find_model(DEFAULT_MODEL))
    yield f"Model: {detector.name} on {detector.runtime}, {detector.precision}"
    current = settings()
    try:
        current.home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"The data folder {current.home} cannot be made ({error.strerror}); "
            "set IMAGEBASE_HOME to a folder you may write to."
        ) from error
    _check_writable(current.home)
    store = open_store(current)
    try:
        store.check_writable()
    finally:
        store.close()
    yield f"Data: {current.home}"
    _check_port(address, port)
    mode = current.mode_for(address)
    who = "everyone who reaches it shares the datasets"
    if mode is Mode.DEMO:
        who = "each browser has a private dataset, deleted after an hour"
    yield f"Mode: {mode}, {who}"
    yield "Starting …"


def _allow(hosts: Sequence[str]) -> None:
    """Add names to IMAGEBASE_ALLOWED_HOSTS, for this process and the server."""
    before = os.environ.get(ALLOWED_HOSTS, "")
    os.environ[ALLOWED_HOSTS] = ",".join([*hosts, before])
    settings.cache_clear()
    settings()


def _check_writable(home: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return  # what is stored can still be seen and downloaded
        raise StoreError(
            f"The data folder {home} cannot be written to ({error.strerror}); set "
            "IMAGEBASE_HOME to a folder you may write to."
        ) from error


def url_of(address: str, port: int) -> str:
    """Return the URL for a browser on this machine."""
    host = "localhost" if address in _EVERYWHERE else address
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _check_port(address: str, port: int) -> None:
    try:
        addresses = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, place = addresses[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        raise SettingsError(
            f"Port {port} on {address} cannot be used ({error.strerror}); "
            "give another one with --port."
        ) from error


def start(address: str, port: int, *, samples: bool, headless: bool) -> None:
    """Replace this process with the app's server; returns only where that fails."""
    if samples:
        os.environ["IMAGEBASE_SAMPLES"] = "1"
    # Streamlit reads the .streamlit/config.toml next to the app. With -P no file in the
    # folder that this was started in is taken for a module.
    arguments = [
        *("run", str(_APP)),
        *("--server.address", address),
        *("--server.port", str(port)),
        *("--server.headless", str(headless).lower()),
    ]
    sys.stdout.flush()
    if sys.platform == "win32":  # where exec gives the prompt back at once
        settings.cache_clear()
        sys.argv = ["streamlit", *arguments]
        runpy.run_module("streamlit", run_name="__main__", alter_sys=True)
    command = [sys.executable, "-P", "-m", "streamlit", *arguments]
    os.execv(sys.executable, command)
