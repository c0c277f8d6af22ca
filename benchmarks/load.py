"""Many visitors at once: each uploads, runs a model, edits and exports.

    python -m benchmarks.load [--clients 50] [--seconds 300] [--cores 2]

Each client is a websocket to one demo server that this starts on its own home. Printed
are the errors, the edits that an export lacks, the median and 95th percentile of each
step, and the server's memory before, at the end, and when all have left.
"""

import argparse
import contextlib
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Final

import numpy as np
from PIL import Image

from imagebase.settings import SAMPLES_FOLDER
from tests.browser.conftest import ROOT, free_port, wait_for_health
from tests.streamlit_client import Client, Screen

_IMAGES: Final = 2
_THINKING_SECONDS: Final = 2.0
_JOB_SECONDS: Final = 300.0
_SETTLED_SECONDS: Final = 200.0
_MB: Final = 1_000_000
_LIMITS: Final = {
    "IMAGEBASE_MODE": "demo",
    "IMAGEBASE_MAX_VISITORS": "10000",
    "IMAGEBASE_SESSION_SECONDS": "120",
    "IMAGEBASE_LOG": "warning",
}


@dataclass
class Outcome:
    """What all clients met. seconds: by step. errors: by what they say."""

    seconds: defaultdict[str, list[float]] = field(
        default_factory=lambda: defaultdict(list)
    )
    errors: Counter[str] = field(default_factory=Counter)
    edits: int = 0
    lost_edits: int = 0
    walks: int = 0

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[step].append(time.monotonic() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as home,
        served(Path(home), arguments.cores) as (
            url,
            server,
        ),
    ):
        _walk(url, Outcome(), random.Random(0))  # models and pages are loaded
        before, outcome = memory(server.pid), Outcome()
        run_all(url, outcome, arguments.clients, arguments.seconds)
        loaded = memory(server.pid)
        after = settled(server.pid, before)
    report(outcome, arguments.clients, (before, loaded, after))


@contextmanager
def served(home: Path, cores: int) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Serve a demo on so many cores."""
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py")]
    options = {"address": "127.0.0.1", "port": str(port), "headless": "true"}
    command += [f"--server.{name}={value}" for name, value in options.items()]
    environ = {**os.environ, **_LIMITS, "IMAGEBASE_HOME": str(home / "home")}
    log = home / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, cwd=ROOT, env=environ, stdout=output, stderr=output
        )
    usable = sorted(os.sched_getaffinity(0))[:cores]
    os.sched_setaffinity(server.pid, usable)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for_health(url, server, log)
        yield url, server
    finally:
        server.terminate()
        server.wait(timeout=30)
        print(log.read_text(errors="replace")[-2000:], file=sys.stderr)


def run_all(url: str, outcome: Outcome, clients: int, seconds: float) -> None:
    """Walk with so many clients at once until the time is over."""
    ends_at = time.monotonic() + seconds

    def keep_walking(number: int) -> None:
        chance = random.Random(number)
        time.sleep(chance.uniform(0, _THINKING_SECONDS))
        while time.monotonic() < ends_at:
            try:
                _walk(url, outcome, chance)
            except Exception as error:  # whatever a visitor meets is counted
                outcome.errors[f"{type(error).__name__}: {error}"[:160]] += 1

    threads = [
        threading.Thread(target=keep_walking, args=(number,), daemon=True)
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _walk(url: str, outcome: Outcome, chance: random.Random) -> None:
    """Be one visitor: open, upload, run, edit, export."""
    client = Client(url)

    def think() -> None:
        time.sleep(chance.uniform(0, _THINKING_SECONDS))

    with contextlib.closing(client):
        with outcome.timed("open"):
            client.visit()
            client.connect()
            checked(client.run(""))
            client.set("sidebar.new_dataset", string_value="Mine")
            checked(client.click("sidebar.new_dataset.submit"))
        think()
        with outcome.timed("upload"):
            key = next(key for key in client.screen.widgets if ".files." in key)
            checked(client.upload(key, dict(photographs(chance))))
        think()
        with outcome.timed("run"):
            checked(client.run("annotate"))
            checked(client.click("annotate.run"))
            wait_for_jobs(client)
        think()
        approved = _approve_all(client, outcome, think)
        with outcome.timed("export"):
            names = exported(client)
    lost = approved - len(names)
    outcome.edits += approved
    outcome.lost_edits += max(lost, 0)
    outcome.walks += 1


def _approve_all(client: Client, outcome: Outcome, think: Callable[[], None]) -> int:
    """Approve each image on the Edit page, and return how many were."""
    checked(client.run("edit"))
    for _ in range(_IMAGES):
        with outcome.timed("edit"):
            checked(client.click("edit.approve"))
        think()
    return _IMAGES


def photographs(chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """Yield photographs that nobody else has, by file name."""
    for number in range(_IMAGES):
        path = chance.choice(sorted(SAMPLES_FOLDER.glob("*.jpg")))
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB")).copy()
        row = chance.randrange(len(pixels))
        pixels[row] = chance.randrange(256)
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "JPEG", quality=90)
        yield f"{number}-{chance.randrange(10**9)}.jpg", out.getvalue()


def checked(screen: Screen) -> None:
    """Raise an error that a page shows.

    Raises:
        RuntimeError: with its words.
    """
    for kind in ("alert", "exception"):
        for one in screen.of(kind):
            text = getattr(one, "body", "") or getattr(one, "message", "")
            if kind == "exception" or one.format == one.ERROR:
                raise RuntimeError(text)


def wait_for_jobs(client: Client) -> None:
    """Draw the page again until no job of the dataset is under way."""
    ends_at = time.monotonic() + _JOB_SECONDS
    while any(key.startswith("jobs.cancel") for key in client.screen.widgets):
        if time.monotonic() > ends_at:
            raise TimeoutError("a job did not end")
        time.sleep(0.5)
        checked(client.run())


def exported(client: Client) -> set[str]:
    """Return the names of the images in the visitor's export."""
    ends_at = time.monotonic() + _JOB_SECONDS
    checked(client.run("export"))
    while not (links := client.screen.links()):
        if time.monotonic() > ends_at:
            raise TimeoutError("no export was built")
        time.sleep(0.5)
        checked(client.run())
    status, content = client.ask(links[0])
    if status != 200:
        raise OSError(f"the download answers {status}")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        name = next(one for one in archive.namelist() if "instances" in one)
        return {one["file_name"] for one in json.loads(archive.read(name))["images"]}


def memory(pid: int) -> int:
    """Return the resident bytes of a process and all that it started."""
    processes = [pid]
    for one in processes:
        children = Path(f"/proc/{one}/task/{one}/children")
        with contextlib.suppress(OSError):
            processes += map(int, children.read_text().split())
    pages = 0
    for one in processes:
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{one}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def settled(pid: int, before: int) -> int:
    """Return the memory when all have left, and their sessions and data are gone."""
    ends_at = time.monotonic() + _SETTLED_SECONDS
    while (now := memory(pid)) > before + 100 * _MB and time.monotonic() < ends_at:
        time.sleep(5)
    return now


def report(outcome: Outcome, clients: int, used: tuple[int, int, int]) -> None:
    """Print what was measured."""
    print(f"{clients} clients, {outcome.walks} walks")
    print("| step | times | median s | p95 s |\n|---|---|---|---|")
    for step, taken in outcome.seconds.items():
        p95 = quantiles(taken, n=20)[-1] if len(taken) > 1 else taken[0]
        print(f"| {step} | {len(taken)} | {median(taken):.2f} | {p95:.2f} |")
    before, loaded, after = (f"{one / _MB:,.0f} MB" for one in used)
    print(f"memory: {before} before, {loaded} at the end, {after} after all left")
    print(f"edits: {outcome.edits} acknowledged, {outcome.lost_edits} lost")
    print(f"errors: {sum(outcome.errors.values())}")
    for text, count in outcome.errors.most_common(10):
        print(f"  {count} × {text}")


if __name__ == "__main__":
    main()
