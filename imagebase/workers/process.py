"""Run tasks in a process of their own that may crash, hang or fill up without harm.

A task is a function at the top level of a module, `(values, arrays) -> Answer`. Values
are what JSON can hold; arrays go through shared memory. Nothing is unpickled, so that
a worker that a stranger's file has taken over can only give wrong numbers.
"""

import atexit
import contextlib
import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict
from functools import cache
from typing import IO, Any, Final, NamedTuple, TypeVar

import numpy as np

from imagebase import errors
from imagebase.errors import (
    ImageBaseError,
    WorkerCancelledError,
    WorkerCrashError,
    WorkerMemoryError,
    WorkerTimeoutError,
)
from imagebase.workers.channel import (
    Answer,
    Array,
    MessageError,
    SharedBlock,
    Values,
    bytes_of,
    read_message,
    write_message,
)
from imagebase.workers.child import MEMORY
from imagebase.workers.sandbox import WorkerLimits

__all__ = [
    "MAX_WORKERS",
    "Answer",
    "Array",
    "Task",
    "TaskCall",
    "Values",
    "WorkerLimits",
    "WorkerProcess",
    "stop_all_workers",
]

Task = Callable[[Values, list[Array]], Answer]
ShouldStop = Callable[[], bool]

# Processes at once; the one that has been idle longest makes way for another.
MAX_WORKERS: Final = 8
IDLE_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.1
_MAX_RESULT_BYTES: Final = 2_000_000_000
_MAX_TEXT: Final = 2_000
# No credential of the server is among these.
_ENVIRONMENT: Final = (
    *("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),
    *("PYTHONHOME", "VIRTUAL_ENV", "SYSTEMROOT", "TEMP", "TMP", "OMP_NUM_THREADS"),
    "IMAGEBASE_INFERENCE_THREADS",
)

_T = TypeVar("_T")
_Process = subprocess.Popen[bytes]
_Start = Callable[[], _Process]

_log: Final = logging.getLogger(__name__)


class TaskCall(NamedTuple):
    """A task and what it is given."""

    task: Task
    values: Mapping[str, Any]
    arrays: Sequence[Array] = ()


class WorkerProcess:
    """A worker that is started with its first call, and again after it was killed.

    Every method may be called from any thread. A worker that crashes during several
    calls at once is asked again one by one, so that only the guilty call fails.

    Args:
        limits: on each process.
        slots: how many calls may be at work at once, on as many threads.
        setup: what each process is to do first, as to load a model.
    """

    def __init__(
        self,
        limits: WorkerLimits,
        *,
        slots: int = 1,
        setup: Callable[[], TaskCall] | None = None,
    ) -> None:
        self._limits = limits
        self._setup = setup
        self._free: queue.LifoQueue[int] = queue.LifoQueue()
        for slot in reversed(range(slots)):
            self._free.put(slot)
        self._slots = slots
        self._lock = threading.RLock()
        self._alone = threading.Lock()
        self._running: _Running | None = None
        self._kill: Callable[[], object] = lambda: None
        self._used = 0
        self._used_at = 0.0
        _workers.add(self)

    def start(self, *, should_stop: ShouldStop | None = None) -> Answer:
        """Start the process unless it runs, and return what the setup gave.

        Raises:
            WorkerError, ImageBaseError: as in `call`, of the setup.
        """
        with self._in_use(should_stop) as running:
            return running.ready

    def call(
        self,
        task: Task,
        values: Mapping[str, Any],
        arrays: Sequence[Array] = (),
        *,
        seconds: float | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Answer:
        """Run a task in the worker and return its answer, arrays as copies.

        Args:
            task: a function at the top level of a module; it may be run twice.
            values: what JSON can hold.
            arrays: numbers or bytes, of any shape.
            seconds: until the worker is killed; None takes the limits'.
            should_stop: asked ten times a second; the worker is killed when it is true.

        Raises:
            WorkerCrashError: the process ended by itself, or the task failed.
            WorkerTimeoutError: it took longer than allowed.
            WorkerMemoryError: it needed more memory than allowed.
            WorkerCancelledError: should_stop said so.
            ImageBaseError: the task raised it; of the same class.
        """
        request = TaskCall(task, values, arrays)
        allowed = seconds or self._limits.seconds
        with self._slot(should_stop) as slot:
            try:
                return self._attempt(slot, request, allowed, should_stop)
            except _OtherCallError:
                pass
        with self._every_slot() as slot:
            try:
                return self._attempt(slot, request, allowed, should_stop)
            except _OtherCallError as error:
                raise WorkerCrashError("The worker process crashed.") from error

    def stop(self) -> None:
        """Kill the process; another call starts one again."""
        with self._lock:
            self.kill()
            self._running = None

    def kill(self) -> None:
        """Kill the process without waiting for a call that starts it."""
        self._kill()

    @property
    def is_running(self) -> bool:
        """Say whether there is a process now."""
        running = self._running
        return running is not None and running.is_alive

    @property
    def in_force(self) -> tuple[str, ...]:
        """Return the protections in force: limits, no_network, no_files."""
        return self._running.in_force if self._running else ()

    def stop_if_idle(self, *, seconds: float) -> bool:
        """Stop the process if no call used it for so long; say if it was stopped."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            is_idle = not self._used and time.monotonic() - self._used_at >= seconds
            if not (self._running and is_idle):
                return False
            self.stop()
            return True
        finally:
            self._lock.release()

    @property
    def idle_since(self) -> float:
        """Return when it was last used, by the monotonic clock."""
        return self._used_at

    def _attempt(
        self,
        slot: int,
        request: TaskCall,
        seconds: float,
        should_stop: ShouldStop | None,
    ) -> Answer:
        with self._in_use(should_stop) as running:
            return running.ask(slot, request, seconds, should_stop)

    @contextlib.contextmanager
    def _in_use(self, should_stop: ShouldStop | None) -> Iterator["_Running"]:
        with self._lock:
            running = self._started(should_stop)
            self._used += 1
        try:
            yield running
        finally:
            with self._lock:
                self._used -= 1
                self._used_at = time.monotonic()
            _reaper.wake()

    def _started(self, should_stop: ShouldStop | None) -> "_Running":
        if self._running and self._running.is_alive:
            return self._running
        self.stop()
        with _starting:
            _make_room(self._limits.start_seconds, should_stop)
            running = self._running = _Running(self._limits, self._slots)
        self._kill = weakref.finalize(self, running.kill)
        try:
            running.set_up(self._setup, self._limits.start_seconds, should_stop)
        except BaseException:
            self.stop()
            raise
        return running

    @contextlib.contextmanager
    def _slot(self, should_stop: ShouldStop | None) -> Iterator[int]:
        slot = _taken(self._free, None, should_stop)
        try:
            yield slot
        finally:
            self._free.put(slot)

    @contextlib.contextmanager
    def _every_slot(self) -> Iterator[int]:
        """Wait until no other call is at work, and keep it so."""
        with self._alone:
            slots = [self._free.get() for _ in range(self._slots)]
            try:
                yield slots[0]
            finally:
                for slot in slots:
                    self._free.put(slot)


class _OtherCallError(Exception):
    """The process ended while several calls were at work, or for another's sake."""


class _Running:
    """One process, from its start to its end."""

    def __init__(self, limits: WorkerLimits, slots: int) -> None:
        self.ready = Answer({})
        self.in_force: tuple[str, ...] = ()
        self._limits = limits
        self._blocks = [SharedBlock() for _ in range(slots + 1)]
        self._answers: list[queue.SimpleQueue[Values | None]] = [
            queue.SimpleQueue() for _ in self._blocks
        ]
        self._at_work: set[int] = set()
        self._victims = 0
        self._was_killed = False
        self._lock = threading.Lock()
        self._process = _starter.run(lambda: _spawned(limits, self._blocks))
        self._reader = threading.Thread(
            target=self._read, name="worker-answers", daemon=True
        )
        self._reader.start()

    @property
    def is_alive(self) -> bool:
        return not self._was_killed and self._process.poll() is None

    def set_up(
        self,
        setup: Callable[[], TaskCall] | None,
        seconds: float,
        should_stop: ShouldStop | None,
    ) -> None:
        """Wait until the process is there and has done what it is to do first."""
        slot = len(self._blocks) - 1
        try:
            hello = self._wait(slot, time.monotonic() + seconds, should_stop)
            self.in_force = tuple(map(str, hello.get("in_force", ())))
            _warn_of_missing(self.in_force)
            if setup is not None:
                self.ready = self.ask(slot, setup(), seconds, should_stop)
        except _OtherCallError as error:
            raise WorkerCrashError("The worker process crashed.") from error
        # Only the setup has much to say, and only once.
        with contextlib.suppress(OSError), self._lock:
            write_message(self._pipe, {"slot": slot, "closed": True})
        self._blocks[slot].close()

    def ask(
        self,
        slot: int,
        request: TaskCall,
        seconds: float,
        should_stop: ShouldStop | None,
    ) -> Answer:
        """Send a task to a slot and wait for what comes of it; arrays are copies."""
        deadline = time.monotonic() + seconds
        block = self._blocks[slot]
        arrays = [np.ascontiguousarray(array) for array in request.arrays]
        block.grow(bytes_of(arrays))
        message = {
            "task": f"{request.task.__module__}:{request.task.__qualname__}",
            "values": dict(request.values),
            "arrays": block.write(arrays),
            "cpu_seconds": seconds * (os.cpu_count() or 1),
        }
        with self._lock:
            self._at_work.add(slot)
        try:
            self._send(slot, message)
            answer = self._wait(slot, deadline, should_stop)
            if "needed" in answer:
                block.grow(_room(answer["needed"]))
                self._send(slot, {})
                answer = self._wait(slot, deadline, should_stop)
            return self._checked(slot, answer)
        except MessageError as error:
            self.kill()
            raise WorkerCrashError("The worker process sent nonsense.") from error
        finally:
            with self._lock:
                self._at_work.discard(slot)

    def kill(self) -> None:
        """Kill the process and whatever it started."""
        with self._lock:
            if self._was_killed:
                return
            self._was_killed = True
        _kill(self._process)
        with contextlib.suppress(OSError):
            self._pipe.close()

    @property
    def _pipe(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _send(self, slot: int, message: Values) -> None:
        block = self._blocks[slot]
        place = {"slot": slot, "key": block.key, "size": block.size}
        try:
            with self._lock:
                write_message(self._pipe, {**place, **message})
        except (OSError, ValueError) as error:
            raise _OtherCallError from error

    def _wait(
        self, slot: int, deadline: float, should_stop: ShouldStop | None
    ) -> Values:
        try:
            answer = _taken(self._answers[slot], deadline, should_stop)
        except (WorkerTimeoutError, WorkerCancelledError):
            self.kill()
            raise
        if answer is not None:
            return answer
        if self._was_killed or self._victims > 1:
            raise _OtherCallError
        code = self._process.wait()
        raise WorkerCrashError(f"The worker process crashed (exit code {code}).")

    def _checked(self, slot: int, answer: Values) -> Answer:
        """Return an answer; whatever it says, no more than this comes of it."""
        if "error" in answer:
            raise self._error(str(answer["error"]), str(answer.get("text"))[:_MAX_TEXT])
        values = answer.get("values")
        if not isinstance(values, dict):
            raise MessageError("an answer without values")
        views = self._blocks[slot].read(answer.get("arrays"))
        return Answer(values, [view.copy() for view in views])

    def _error(self, name: str, text: str) -> ImageBaseError:
        if name == MEMORY:
            self.kill()
            most = self._limits.memory_bytes / 1e9
            return WorkerMemoryError(
                f"It needs more than the {most:.1f} GB of memory allowed here."
            )
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, ImageBaseError):
            with contextlib.suppress(TypeError):
                return kind(text)
            return ImageBaseError(text)
        _log.warning("A task failed in its worker process: %s", text)
        return WorkerCrashError("The worker process failed.")

    def _read(self) -> None:
        """Hand each answer to the call that waits for it, until the process ends."""
        stream = self._process.stdout
        with contextlib.suppress(MessageError, OSError, ValueError):
            while stream and (message := read_message(stream)) is not None:
                slot = message.get("slot")
                if type(slot) is not int or not 0 <= slot < len(self._answers):
                    break
                self._answers[slot].put(message)
        with self._lock:
            self._victims = len(self._at_work)
        _kill(self._process)
        for answers in self._answers:
            answers.put(None)
        if stream:
            stream.close()


def _taken(
    source: "queue.Queue[_T] | queue.SimpleQueue[_T]",
    deadline: float | None,
    should_stop: ShouldStop | None,
) -> _T:
    """Return the next of a queue.

    Raises:
        WorkerTimeoutError, WorkerCancelledError: none came in time.
    """
    while True:
        if should_stop and should_stop():
            raise WorkerCancelledError("Cancelled.")
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise WorkerTimeoutError("It took longer than is allowed here.")
        wait = left if should_stop is None else min(_POLL_SECONDS, left or 1)
        with contextlib.suppress(queue.Empty):
            return source.get(timeout=wait)


def _room(needed: object) -> int:
    if type(needed) is not int or not 0 < needed <= _MAX_RESULT_BYTES:
        raise MessageError("a result that is too large")
    return needed


def _spawned(
    limits: WorkerLimits, blocks: Sequence[SharedBlock]
) -> "subprocess.Popen[bytes]":
    keys = [block.key for block in blocks]
    asked = {"parent": os.getpid(), "limits": asdict(limits), "keys": keys}
    module = "imagebase.workers.child"
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, json.dumps(asked)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_environment(),
        pass_fds=[key for key in keys if isinstance(key, int)],
        start_new_session=True,
    )


@cache
def _warn_of_missing(in_force: tuple[str, ...]) -> None:
    """Log, once, which protections this kernel does not give."""
    missing = {"limits", "no_network", "no_files"}.difference(in_force)
    if missing and sys.platform == "linux":
        _log.warning("Worker processes run without %s here", ", ".join(sorted(missing)))


def _environment() -> dict[str, str]:
    """Return the few variables that a worker needs; credentials are not among them."""
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    search_path = os.pathsep.join(map(os.path.abspath, sys.path))
    return {**kept, "PYTHONPATH": search_path, "PYTHONDONTWRITEBYTECODE": "1"}


def _kill(process: "subprocess.Popen[bytes]") -> None:
    if sys.platform == "win32":
        process.kill()
    elif process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, 9)
    process.wait()


def _make_room(seconds: float, should_stop: ShouldStop | None) -> None:
    """Wait until another process may start.

    Raises:
        WorkerTimeoutError: every worker stays at work. WorkerCancelledError.
    """
    deadline = time.monotonic() + seconds
    while True:
        running = [worker for worker in list(_workers) if worker.is_running]
        if len(running) < MAX_WORKERS:
            return
        running.sort(key=lambda worker: worker.idle_since)
        if any(worker.stop_if_idle(seconds=0) for worker in running):
            continue
        if should_stop and should_stop():
            raise WorkerCancelledError("Cancelled.")
        if time.monotonic() > deadline:
            raise WorkerTimeoutError("Every worker process is busy; try again later.")
        time.sleep(_POLL_SECONDS)


class _Starter:
    """Starts processes on a thread that stays until the interpreter ends.

    A child may die with the thread that started it. An executor's threads would end
    with the main thread, before others that are still at work, and be missing in a
    process that was forked from this one.
    """

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[tuple[_Start, Future[_Process]]] = (
            queue.SimpleQueue()
        )
        self._thread: threading.Thread | None = None

    def run(self, start: _Start) -> _Process:
        """Return the process that `start` starts; only one thread calls at a time."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(
                target=self._serve, name="worker-start", daemon=True
            )
            self._thread.start()
        started: Future[_Process] = Future()
        self._asked.put((start, started))
        return started.result()

    def _serve(self) -> None:
        while True:
            start, started = self._asked.get()
            try:
                started.set_result(start())
            except BaseException as error:
                started.set_exception(error)


class _Reaper:
    """Stops idle workers, on a thread that ends when no worker is left."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._watch, name="worker-reaper", daemon=True
                )
                self._thread.start()

    def _watch(self) -> None:
        while True:
            time.sleep(IDLE_SECONDS / 10)
            _stop_idle_workers()
            with self._lock:
                if not any(worker.is_running for worker in list(_workers)):
                    self._thread = None
                    return


def _stop_idle_workers() -> None:
    # A name in the loop that calls this would keep the last worker alive.
    for worker in list(_workers):
        worker.stop_if_idle(seconds=IDLE_SECONDS)


def stop_all_workers() -> None:
    """Kill every worker process of this process, also one that is just starting."""
    for worker in list(_workers):
        worker.kill()


_starting: Final = threading.Lock()
_workers: Final["weakref.WeakSet[WorkerProcess]"] = weakref.WeakSet()
_reaper: Final = _Reaper()
_starter: Final = _Starter()
atexit.register(stop_all_workers)
