"""Ray with one worker and with two: images a second, and CPU time per image.

Each worker is a node of a Ray cluster on this machine, with one core. Rounds alternate,
so that a slow minute of the machine slows both. Rates are between the first part that
is done and the last, when all workers have loaded the model.

    python -m benchmarks.scale [--images FOLDER] [--times 4] [--rounds 3]
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from pyarrow import parquet

from benchmarks.throughput import DEV_IMAGES
from imagebase.batch.ray_engine import imported_ray
from imagebase.batch.run import LOCAL, RAY, annotate

_CLOCK: Final = os.sysconf("SC_CLK_TCK")
_STORE: Final = {"object_store_memory": 100_000_000}


class Rate(NamedTuple):
    """images_per_second: between first and last part. cpu_ms: of an image."""

    images_per_second: float
    cpu_ms: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, default=DEV_IMAGES)
    parser.add_argument("--times", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if not arguments.images.is_dir():
        sys.exit(f"{arguments.images} is absent; name a folder of JPEGs with --images.")
    with tempfile.TemporaryDirectory() as folder:
        source = _links(arguments.images, Path(folder, "in"), arguments.times)
        rounds = [
            (_on_ray(source, 1), _on_ray(source, 2), _here(source))
            for _ in range(arguments.rounds)
        ]
    for name, at in (("1 worker", 0), ("2 workers", 1), ("local engine", 2)):
        rates = [each[at] for each in rounds]
        print(
            f"{name}: {median(rate.images_per_second for rate in rates):.1f} images/s, "
            f"{median(rate.cpu_ms for rate in rates):.1f} ms of CPU time an image"
        )
    ratios = [two.images_per_second / one.images_per_second for one, two, _ in rounds]
    costs = [2 * one.cpu_ms / two.cpu_ms for one, two, _ in rounds]
    print(
        f"1 to 2 workers, by the clock: {_range(ratios)}; by CPU time: {_range(costs)}"
    )


def _range(values: list[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _links(images: Path, folder: Path, times: int) -> Path:
    folder.mkdir()
    for path in images.glob("*.jpg"):
        for number in range(times):
            (folder / f"{path.stem}-{number}.jpg").symlink_to(path.resolve())
    return folder


def _on_ray(source: Path, workers: int) -> Rate:
    with _cluster(workers):
        return _rate(source, RAY)


def _here(source: Path) -> Rate:
    return _rate(source, LOCAL)


def _rate(source: Path, engine: str) -> Rate:
    """Return the rate between the first result and the last."""
    with tempfile.TemporaryDirectory() as output:
        samples: list[tuple[int, float, float]] = []
        is_over = threading.Event()
        watch = threading.Thread(
            target=_watch, args=(Path(output), engine, samples, is_over)
        )
        watch.start()
        annotate(
            source,
            output,
            engine=engine,
            on_progress=lambda done, total: is_over.set() if done == total else None,
        )
        watch.join()
    (first, began, before), (last, ended, after) = samples[0], samples[-1]
    images = last - first
    return Rate(images / (ended - began), 1000 * (after - before) / images)


def _watch(
    output: Path,
    engine: str,
    samples: list[tuple[int, float, float]],
    is_over: threading.Event,
) -> None:
    """Note how many images are done, the time and the CPU time, as results come."""
    while not is_over.wait(0.05):
        done = _images_done(output)
        if done and (not samples or done > samples[-1][0]):
            samples.append((done, time.perf_counter(), _cpu_seconds(engine)))


def _images_done(output: Path) -> int:
    journal = output / "run.journal"
    if journal.exists() and (lines := journal.read_bytes().count(b"\n") - 1) > 0:
        return lines
    parts = sorted((output / "run.parts").glob("*.parquet"))
    return sum(parquet.read_metadata(part).num_rows for part in parts)


def _cpu_seconds(engine: str) -> float:
    """Return the CPU time of all that run the model so far."""
    if engine == LOCAL:
        return time.process_time()
    ticks = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"MapWorker" in (process / "cmdline").read_bytes():
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        except OSError:  # it has ended
            continue
    return ticks / _CLOCK


@contextmanager
def _cluster(workers: int) -> Iterator[None]:
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    head = {"num_cpus": 0, "include_dashboard": False, **_STORE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(workers):
        cluster.add_node(num_cpus=1, **_STORE)
    cluster.wait_for_nodes()
    ray = imported_ray()
    ray.init(cluster.address, log_to_driver=False, logging_level="error")
    try:
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main()
