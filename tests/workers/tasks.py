"""Tasks for worker processes, well-behaved and otherwise."""

import ctypes
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from imagebase.errors import ImageReadError
from imagebase.workers.process import Answer, Array, Values

_kept: Values = {}


def double(values: Values, arrays: list[Array]) -> Answer:
    return Answer(values, [array * 2 for array in arrays])


def crash(_values: Values, _arrays: list[Array]) -> Answer:
    ctypes.string_at(0)
    return Answer({})


def crash_if(values: Values, arrays: list[Array]) -> Answer:
    time.sleep(0.2)
    return crash(values, arrays) if values["crash"] else Answer(values)


def sleep(values: Values, _arrays: list[Array]) -> Answer:
    time.sleep(values["seconds"])
    return Answer({})


def fill(values: Values, _arrays: list[Array]) -> Answer:
    return Answer({"sum": float(np.ones(values["bytes"], np.uint8).sum())})


def refuse(values: Values, _arrays: list[Array]) -> Answer:
    raise ImageReadError(values["text"])


def fail(_values: Values, _arrays: list[Array]) -> Answer:
    raise ValueError("a fault of ours")


def many_numbers(values: Values, _arrays: list[Array]) -> Answer:
    return Answer({}, [np.arange(values["count"], dtype=np.int64)])


def keep(values: Values, arrays: list[Array]) -> Answer:
    _kept.update(values, sum=int(sum(array.sum() for array in arrays)))
    return Answer(dict(_kept))


def kept(_values: Values, _arrays: list[Array]) -> Answer:
    return Answer(dict(_kept))


def who(_values: Values, _arrays: list[Array]) -> Answer:
    return Answer({"pid": os.getpid(), "environment": sorted(os.environ)})


def thread_names(_values: Values, _arrays: list[Array]) -> Answer:
    time.sleep(0.3)
    return Answer({"name": threading.current_thread().name})


def attempts(values: Values, _arrays: list[Array]) -> Answer:
    """Return what was denied of what a worker must not do."""
    home, server = Path(values["file"]), int(values["server"])
    tries: dict[str, Callable[[], object]] = {
        "socket": socket.socket,
        "program": partial(subprocess.run, [sys.executable, "-c", ""], check=True),
        "read": home.read_bytes,
        "write": partial(home.with_suffix(".new").write_bytes, b"x"),
        "delete": home.unlink,
        "signal": partial(os.kill, server, 0),
        "environment": Path(f"/proc/{server}/environ").read_bytes,
    }
    denied = []
    for name, attempt in tries.items():
        try:
            attempt()
        except OSError:
            denied.append(name)
    return Answer({"denied": denied})
