"""Start-up: load pages, store and default model before the first request."""

import asyncio
import importlib
import logging
import os
import pkgutil
import socket
import webbrowser
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import streamlit as st

from imagebase import ui
from imagebase.cli.serve import url_of
from imagebase.detection.factory import ModelConfig, configured_detector
from imagebase.errors import ImageBaseError, SettingsError
from imagebase.logs import adopt, configure
from imagebase.settings import DEFAULT_MODEL, LogSettings, read_log_settings
from imagebase.ui import services
from imagebase.ui.web import uploads

_LOOPBACK: Final = "127.0.0.1"
_TRIES: Final = 200
_SECONDS_BETWEEN: Final = 0.05
_log = logging.getLogger(__name__)


@asynccontextmanager
async def warmed(_app: st.App) -> AsyncGenerator[None]:
    """Load what pages need, serve, and print the address."""
    _start_log()
    await asyncio.to_thread(warm)
    # By now Streamlit's loggers exist.
    adopt("streamlit", "uvicorn", "websockets")
    _log.info("The app started")
    tasks = [asyncio.create_task(_announce()), asyncio.create_task(uploads.sweep())]
    yield
    for task in tasks:
        task.cancel()
    _log.info("The app stopped")


def _start_log() -> None:
    """Log to standard error, by IMAGEBASE_LOG or from level info."""
    logging.captureWarnings(True)
    default = LogSettings("info")
    try:
        log = read_log_settings(os.environ, default=default.level)
    except SettingsError as error:
        configure(default.level)
        _log.warning("%s", error)
    else:
        configure(log.level, as_json=log.as_json)


def warm() -> None:
    """Import every page, open the store and load the default model.

    Errors are only logged: the pages show them.
    """
    for module in pkgutil.walk_packages(ui.__path__, f"{ui.__name__}."):
        importlib.import_module(module.name)
    try:
        services.runner()
        configured_detector(ModelConfig((DEFAULT_MODEL,)))
    except ImageBaseError:
        _log.exception("The app starts with errors")


async def _announce() -> None:
    """Print the address once it answers; open a browser unless headless."""
    address = st.get_option("server.address") or ""
    port: int = st.get_option("server.port")
    for _ in range(_TRIES):
        if await asyncio.to_thread(_answers, address or _LOOPBACK, port):
            break
        await asyncio.sleep(_SECONDS_BETWEEN)
    url = url_of(address, port)
    print(f"Open: {url} (Ctrl + C ends it)", flush=True)  # noqa: T201 for people
    if not st.get_option("server.headless"):
        await asyncio.to_thread(webbrowser.open, url)


def _answers(address: str, port: int) -> bool:
    host = _LOOPBACK if address == "0.0.0.0" else address
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False
