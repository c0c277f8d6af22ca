"""Decode uploads in worker processes: a file that crashes or hangs harms nobody.

What has passed here once is decoded in this process from then on: docs/decisions/0020.
"""

import functools
import logging
import math
import os
import queue
import re
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from pydantic import TypeAdapter, ValidationError

from imagebase.annotation import Quality, Size
from imagebase.errors import (
    ImageBaseError,
    WorkerCancelledError,
    WorkerCrashError,
    WorkerError,
    WorkerMemoryError,
    WorkerTimeoutError,
)
from imagebase.images.scan import Incoming, PreparedImage, Refused, prepare
from imagebase.settings import Limits
from imagebase.workers.process import (
    Answer,
    Array,
    Values,
    WorkerLimits,
    WorkerProcess,
)

_log: Final = logging.getLogger(__name__)

# Until a worker is killed. The largest images take 3 s on an idle core.
DECODE_SECONDS: Final = 30.0
# A call costs as much as a fifth of a photograph: several go into one.
_BATCH_FILES: Final = 16
_BATCH_BYTES: Final = 8_000_000
_MIN_WORKERS, _MAX_WORKERS = 2, 4
_WAIT_SECONDS: Final = 0.1
# Of colours with alpha in 16 bits, a decoder holds three copies at most.
_BYTES_PER_PIXEL: Final = 24
_COPIES_OF_FILE: Final = 4
_HASH: Final = re.compile("[0-9a-f]{16}")
_MAX_REASON: Final = 1_000

# What is inside these is not counted in their bytes: `structure.excess_in`.
FORMATS_TO_TRY: Final = frozenset({"HEIF", "AVIF", "JPEG2000", "TIFF"})

ShouldStop = Callable[[], bool]
_File = Incoming | PreparedImage | Refused


@dataclass(frozen=True, slots=True)
class Harmful(Refused):
    """A file whose decoder crashed, took too long or too much memory."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a worker says of one file: its size and quality, or why it is refused."""

    refused: str = ""
    size: tuple[int, int] = (0, 0)
    quality: Quality | None = None


_OUTCOMES: Final = TypeAdapter(list[_Outcome])


def prepare_each(
    files: Iterable[_File],
    limits: Limits,
    *,
    should_stop: ShouldStop = lambda: False,
) -> Generator[PreparedImage | Refused, None, None]:
    """Yield each file decoded to its end once and measured, or refused, in order.

    Images that are prepared already pass through. The next files are read and decoded
    while the caller works on those before.

    Raises:
        WorkerCancelledError: should_stop said so.
        ImageBaseError: no worker can be had.
    """
    closed = threading.Event()

    def is_unwanted() -> bool:
        return closed.is_set() or should_stop()

    with ThreadPoolExecutor(1, thread_name_prefix="decode") as executor:
        ahead: Future[list[PreparedImage | Refused]] | None = None
        try:
            for batch in _batches(files):
                begun = executor.submit(_prepared, batch, limits, is_unwanted)
                if ahead is not None:
                    yield from ahead.result()
                ahead = begun
            if ahead is not None:
                yield from ahead.result()
        finally:
            closed.set()


def decode_batch(values: Values, arrays: list[Array]) -> Answer:
    """Return what becomes of each file; a task for a worker.

    Args:
        values: `names` of the files and the `limits` on each.
        arrays: their bytes.
    """
    limits = Limits(**values["limits"])
    named = zip(values["names"], arrays, strict=True)
    files = [Incoming(name, array.tobytes()) for name, array in named]
    return Answer({"files": [asdict(_outcome(file, limits)) for file in files]})


def _outcome(file: Incoming, limits: Limits) -> _Outcome:
    try:
        image = prepare(file, limits)
    except ImageBaseError as error:
        return _Outcome(refused=str(error)[:_MAX_REASON])
    return _Outcome(size=(image.size.width, image.size.height), quality=image.quality)


def _batches(
    files: Iterable[_File],
) -> Iterator[list[_File]]:
    batch: list[_File] = []
    byte_count = 0
    for file in files:
        batch.append(file)
        byte_count += len(file.data) if isinstance(file, Incoming) else 0
        if len(batch) >= _BATCH_FILES or byte_count >= _BATCH_BYTES:
            yield batch
            batch, byte_count = [], 0
    if batch:
        yield batch


def _prepared(
    batch: Sequence[_File], limits: Limits, should_stop: ShouldStop
) -> list[PreparedImage | Refused]:
    images = [file for file in batch if isinstance(file, Incoming)]
    try:
        done = iter(_decoded(images, limits, should_stop) if images else [])
    except WorkerCancelledError:
        raise
    except WorkerError:
        # One of them is guilty, and the others are not.
        done = iter([_decoded_alone(file, limits, should_stop) for file in images])
    return [next(done) if isinstance(file, Incoming) else file for file in batch]


def _decoded_alone(
    file: Incoming, limits: Limits, should_stop: ShouldStop
) -> PreparedImage | Refused:
    try:
        return _decoded([file], limits, should_stop)[0]
    except WorkerCancelledError:
        raise
    except WorkerError as error:
        return Harmful(file.file_name, _reason(file.file_name, error))


def _reason(name: str, error: WorkerError) -> str:
    what = "ended the decoder"
    if isinstance(error, WorkerTimeoutError):
        what = f"takes longer than {DECODE_SECONDS:.0f} seconds to decode"
    elif isinstance(error, WorkerMemoryError):
        what = "takes more memory to decode than is allowed"
    return f"{name} {what}; save it again in an image program."


def _decoded(
    files: Sequence[Incoming], limits: Limits, should_stop: ShouldStop
) -> list[PreparedImage | Refused]:
    asked = {
        "names": [file.file_name for file in files],
        "limits": {
            "max_file_bytes": limits.max_file_bytes,
            "max_image_pixels": limits.max_image_pixels,
        },
    }
    arrays = [np.frombuffer(file.data, np.uint8) for file in files]
    with _borrowed_worker(limits, should_stop) as worker:
        if _can_start(worker, should_stop):
            answer = worker.call(decode_batch, asked, arrays, should_stop=should_stop)
        else:
            answer = decode_batch(asked, arrays)
    return [
        _checked(file, outcome, limits)
        for file, outcome in zip(files, _outcomes(answer), strict=True)
    ]


def _can_start(worker: WorkerProcess, should_stop: ShouldStop) -> bool:
    """Start a worker; say no where this system lets no process be started."""
    try:
        worker.start(should_stop=should_stop)
    except (OSError, WorkerCrashError) as error:
        _log.warning("Images are decoded in this process: no worker starts: %s", error)
        return False
    return True


def _outcomes(answer: Answer) -> list[_Outcome]:
    try:
        return _OUTCOMES.validate_python(answer.values.get("files"))
    except ValidationError as error:
        raise WorkerCrashError("The worker process failed.") from error


def _checked(
    file: Incoming, outcome: _Outcome, limits: Limits
) -> PreparedImage | Refused:
    """Return what a worker said of a file, which may be anything, if it can be so."""
    size, quality = Size(*outcome.size), outcome.quality
    if outcome.refused or quality is None:
        return Refused(file.file_name, outcome.refused[:_MAX_REASON])
    measured = (quality.sharpness, quality.brightness, quality.contrast)
    is_sound = (
        min(size) > 0
        and size.width * size.height <= limits.max_image_pixels
        and all(map(math.isfinite, measured))
        and _HASH.fullmatch(quality.difference_hash)
    )
    if not is_sound:
        raise WorkerCrashError("The worker process failed.")
    return PreparedImage(file.file_name, file.data, size, quality)


@functools.cache
def _workers(memory_bytes: int) -> "queue.SimpleQueue[WorkerProcess]":
    """Return the workers that nobody uses now; each serves one call at a time."""
    free: queue.SimpleQueue[WorkerProcess] = queue.SimpleQueue()
    for _ in range(max(_MIN_WORKERS, min(os.cpu_count() or 1, _MAX_WORKERS))):
        free.put(WorkerProcess(WorkerLimits(memory_bytes, seconds=DECODE_SECONDS)))
    return free


@contextmanager
def _borrowed_worker(
    limits: Limits, should_stop: ShouldStop
) -> Iterator[WorkerProcess]:
    memory_bytes = (
        _BYTES_PER_PIXEL * limits.max_image_pixels
        + _COPIES_OF_FILE * limits.max_file_bytes
    )
    free = _workers(memory_bytes)
    while True:
        if should_stop():
            raise WorkerCancelledError("Cancelled.")
        try:
            worker = free.get(timeout=_WAIT_SECONDS)
            break
        except queue.Empty:
            continue
    try:
        yield worker
    finally:
        free.put(worker)
