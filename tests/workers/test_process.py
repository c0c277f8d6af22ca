"""Worker processes serve tasks, and end without harm to who asked."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from imagebase.errors import (
    ImageReadError,
    WorkerCancelledError,
    WorkerCrashError,
    WorkerMemoryError,
    WorkerTimeoutError,
)
from imagebase.workers import process
from imagebase.workers.process import TaskCall, WorkerLimits, WorkerProcess

from . import tasks

LIMITS = WorkerLimits(memory_bytes=500_000_000, seconds=30)


@pytest.fixture
def worker() -> Iterator[WorkerProcess]:
    made = WorkerProcess(LIMITS)
    yield made
    made.stop()


def pid_of(worker: WorkerProcess) -> int:
    return int(worker.call(tasks.who, {}).values["pid"])


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_values_and_arrays_go_there_and_back(worker: WorkerProcess) -> None:
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    answer = worker.call(
        tasks.double, {"name": "ä"}, [image, np.full((1, 1), 0.5), np.zeros((0, 4))]
    )
    assert answer.values == {"name": "ä"}
    np.testing.assert_array_equal(answer.arrays[0], image * 2)
    assert answer.arrays[1].tolist() == [[1.0]]
    assert answer.arrays[2].shape == (0, 4)


def test_image_that_is_no_block_of_memory_goes_too(worker: WorkerProcess) -> None:
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    answer = worker.call(tasks.double, {}, [image[:, ::-1]])
    np.testing.assert_array_equal(answer.arrays[0], image[:, ::-1] * 2)


def test_result_larger_than_the_question_comes_back(worker: WorkerProcess) -> None:
    answer = worker.call(tasks.many_numbers, {"count": 1_000_000})
    assert answer.arrays[0].sum() == 499_999_500_000


def test_it_is_another_process_and_stays_the_same_one(worker: WorkerProcess) -> None:
    first = pid_of(worker)
    assert first != os.getpid()
    assert pid_of(worker) == first


def test_setup_is_done_again_after_a_crash() -> None:
    array = np.ones(1_000, np.uint8)
    worker = WorkerProcess(
        LIMITS, setup=lambda: TaskCall(tasks.keep, {"label": "cat"}, [array])
    )
    try:
        assert worker.start().values == {"label": "cat", "sum": 1_000}
        with pytest.raises(WorkerCrashError):
            worker.call(tasks.crash, {})
        assert worker.call(tasks.kept, {}).values == {"label": "cat", "sum": 1_000}
    finally:
        worker.stop()


def test_crash_of_the_setup_is_an_error() -> None:
    worker = WorkerProcess(LIMITS, setup=lambda: TaskCall(tasks.crash, {}))
    with pytest.raises(WorkerCrashError):
        worker.start()
    assert not worker.is_running


def test_error_of_a_task_keeps_class_and_sentence(worker: WorkerProcess) -> None:
    with pytest.raises(ImageReadError, match="cut off"):
        worker.call(tasks.refuse, {"text": "The image is cut off."})
    assert worker.is_running


def test_fault_of_a_task_does_not_end_the_process(worker: WorkerProcess) -> None:
    before = pid_of(worker)
    with pytest.raises(WorkerCrashError):
        worker.call(tasks.fail, {})
    assert pid_of(worker) == before


def test_time_out_kills_and_the_next_call_starts_anew(worker: WorkerProcess) -> None:
    before = pid_of(worker)
    with pytest.raises(WorkerTimeoutError):
        worker.call(tasks.sleep, {"seconds": 60}, seconds=0.3)
    assert not is_there(before)
    assert pid_of(worker) != before


def test_cancel_kills(worker: WorkerProcess) -> None:
    before, cancelled = pid_of(worker), threading.Event()
    threading.Timer(0.3, cancelled.set).start()
    started = time.monotonic()
    with pytest.raises(WorkerCancelledError):
        worker.call(tasks.sleep, {"seconds": 60}, should_stop=cancelled.is_set)
    assert time.monotonic() - started < 20
    assert not is_there(before)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_too_much_memory_is_an_error(worker: WorkerProcess) -> None:
    with pytest.raises(WorkerMemoryError, match=r"0\.5 GB"):
        worker.call(tasks.fill, {"bytes": 3_000_000_000})
    assert worker.call(tasks.fill, {"bytes": 1_000_000}).values["sum"] == 1_000_000


def test_slots_are_at_work_at_once() -> None:
    worker = WorkerProcess(LIMITS, slots=2)
    try:
        with ThreadPoolExecutor(2) as pool:
            calls = [pool.submit(worker.call, tasks.thread_names, {}) for _ in range(2)]
            names = {call.result().values["name"] for call in calls}
        assert len(names) == 2
    finally:
        worker.stop()


def test_only_the_guilty_of_two_calls_fails() -> None:
    worker = WorkerProcess(LIMITS, slots=2)
    try:
        worker.start()
        with ThreadPoolExecutor(2) as pool:
            bad = pool.submit(worker.call, tasks.crash_if, {"crash": True})
            good = pool.submit(worker.call, tasks.crash_if, {"crash": False})
            assert good.result().values == {"crash": False}
            with pytest.raises(WorkerCrashError):
                bad.result()
    finally:
        worker.stop()


def test_credentials_do_not_reach_it(
    worker: WorkerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setenv("IMAGEBASE_DATABASE_URL", "postgresql://a:b@c/d")
    names = worker.call(tasks.who, {}).values["environment"]
    assert "PYTHONPATH" in names
    assert not [name for name in names if name.startswith(("AWS", "IMAGEBASE"))]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux restricts it so far")
def test_worker_has_no_network_no_files_and_no_programs(
    worker: WorkerProcess, tmp_path: Path
) -> None:
    file = tmp_path / "image.png"
    file.write_bytes(b"of another")
    values = {"file": str(file), "server": os.getpid()}
    denied = set(worker.call(tasks.attempts, values).values["denied"])
    if "Seccomp_filters:" in Path("/proc/self/status").read_text(encoding="ascii"):
        assert "no_network" in worker.in_force
    if "no_network" in worker.in_force:
        assert {"socket", "program", "signal"} <= denied
    if "no_files" in worker.in_force:
        assert {"read", "write", "delete", "environment"} <= denied
    assert file.read_bytes() == b"of another"
    assert "write" in denied


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux restricts it so far")
def test_what_lies_beside_the_package_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder that the app is started in is searched for modules only."""
    (tmp_path / ".streamlit").mkdir()
    secrets = tmp_path / ".streamlit" / "secrets.toml"
    secrets.write_text("cookie_secret = 'x'", encoding="utf-8")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "imagebase.db").write_bytes(b"x")
    monkeypatch.syspath_prepend(tmp_path)
    worker = WorkerProcess(LIMITS)
    try:
        for file in (secrets, tmp_path / "data" / "imagebase.db"):
            values = {"file": str(file), "server": os.getpid()}
            denied = set(worker.call(tasks.attempts, values).values["denied"])
            if "no_files" in worker.in_force:
                assert "read" in denied
        assert worker.call(tasks.double, {"a": 1}).values == {"a": 1}
    finally:
        worker.stop()


def test_idle_worker_is_stopped(worker: WorkerProcess) -> None:
    pid = pid_of(worker)
    assert not worker.stop_if_idle(seconds=60)
    assert worker.stop_if_idle(seconds=0)
    assert not is_there(pid)


def test_number_of_processes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    process.stop_all_workers()
    monkeypatch.setattr(process, "MAX_WORKERS", 2)
    workers = [WorkerProcess(LIMITS) for _ in range(3)]
    for worker in workers:
        worker.start()
    assert [worker.is_running for worker in workers] == [False, True, True]
    process.stop_all_workers()


def test_process_of_a_forgotten_worker_ends() -> None:
    worker = WorkerProcess(LIMITS)
    pid = pid_of(worker)
    del worker
    assert not is_there(pid)


def test_worker_dies_with_a_killed_server() -> None:
    code = (
        "import time\n"
        "from imagebase.workers.process import WorkerProcess\n"
        "from tests.workers import tasks, test_process\n"
        "worker = WorkerProcess(test_process.LIMITS)\n"
        "print(test_process.pid_of(worker), flush=True)\n"
        "worker.call(tasks.sleep, {'seconds': 60})\n"
    )
    server = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert server.stdout is not None
    pid = int(server.stdout.readline())
    time.sleep(0.3)
    server.kill()
    server.wait()
    server.stdout.close()
    deadline = time.monotonic() + 10
    while is_there(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_there(pid)


SCRIPTS = {
    "a thread that goes on after the main thread": """
import threading, time
from imagebase.workers.process import WorkerLimits, WorkerProcess
from tests.workers import tasks

def work():
    threading.main_thread().join()
    before = worker.call(tasks.who, {}).values["pid"]
    worker.stop()
    print("done", before != worker.call(tasks.who, {}).values["pid"])

worker = WorkerProcess(WorkerLimits(500_000_000))
worker.start()
threading.Thread(target=work).start()
""",
    "a process that was forked from one with a worker": """
import os
from imagebase.workers.process import WorkerLimits, WorkerProcess
from tests.workers import tasks

worker = WorkerProcess(WorkerLimits(500_000_000))
mine = worker.call(tasks.who, {}).values["pid"]
child = os.fork()
if not child:
    raise SystemExit(0 if worker.call(tasks.who, {}).values["pid"] != mine else 1)
print("done", os.waitpid(child, 0)[1] == 0
      and worker.call(tasks.who, {}).values["pid"] == mine)
""",
}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_worker_serves(script: str) -> None:
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=root,
        timeout=60,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout == "done True\n", ended.stderr
