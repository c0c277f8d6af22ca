"""Annotate images with the workers of a Ray cluster: Ray Data, an actor for each core.

Each row of the data set is a part: some images, read, run and written by one actor.
Only names go out and numbers come back. What a lost worker had not written is run again
by another.
"""

import contextlib
import importlib
import logging
import os
import pickle
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import count, islice
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import imagebase
from imagebase.annotation import LabelSet
from imagebase.batch.output import AnnotatedImages
from imagebase.batch.parts import Begun, PartHeaders, PartRecords, Parts
from imagebase.batch.resume import FileHead, Refusal, SeenImage
from imagebase.batch.run import record_of, seen_images
from imagebase.detection.detection_model import DetectionModel, floor_of
from imagebase.detection.detector import Detector
from imagebase.detection.selection_rule import SelectionRule
from imagebase.errors import ImageBaseError, WorkerError
from imagebase.images.locations import is_url
from imagebase.images.scan import SourceFile, scan_source
from imagebase.settings import INFERENCE_THREADS, Limits

# A part is what a lost worker costs at most, and a Parquet file; small sets have
# several for each worker, so that all end at about the same time.
_MOST_IN_PART: Final = 256
_PARTS_PER_WORKER: Final = 8
_CORES_PER_WORKER: Final = 1
# Of a Ray that is started here: names go through it, no pixels.
_OBJECT_STORE_BYTES: Final = 200_000_000
# After these, a part that workers were lost at is run one image at a time.
_TRIES_OF_A_PART: Final = 3
_KNOCK_SECONDS: Final = 10
_NONE: Final = pickle.dumps([])

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class RayRun:
    """A run of a model over files, on a Ray cluster.

    source: an absolute path or a URL, which all workers have to see; so is `parts`.
    address: of the cluster; None starts Ray on this machine, unless this process has
        joined a cluster already or RAY_ADDRESS names one.
    """

    model: DetectionModel
    rule: SelectionRule
    source: str
    parts: Parts
    limits: Limits
    address: str | None = None

    def annotate(
        self,
        files: Sequence[SourceFile],
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> AnnotatedImages:
        """Return a record for every image that could be read, as the local engine does.

        Args:
            files: no two of them have the same name.

        Raises:
            WorkerError: Ray is missing or not reached, or a worker cannot do the work.
        """
        by_name = {file.name: file for file in files}
        refused: dict[str, str] = {}
        part_of: dict[str, str] = {}
        done = resumed = 0
        with _ray(self.address) as ray:
            workers = max(1, int(ray.cluster_resources().get("CPU", 1)))
            plan = _plan(self.parts.names(), list(by_name), workers)
            for part, names in plan.items():
                part_of.update(dict.fromkeys(names, part))
            rows = [
                {"part": part, "files": _packed([by_name[name] for name in names])}
                for part, names in plan.items()
            ]
            for result in self._results(ray, rows, workers):
                if result["problem"]:
                    raise WorkerError(result["problem"])
                refused |= dict(pickle.loads(result["refused"]))
                done += result["images"]
                resumed += result["resumed"]
                on_progress(done, len(files))
        names = [name for name in by_name if name not in refused]
        records = PartRecords(
            self.parts,
            names,
            part_of,
            partial(record_of, model=self.model, rule=self.rule),
        )
        return AnnotatedImages(
            LabelSet.of(self.model.labels),
            records,
            tuple(Refusal(n, refused[n]) for n in by_name if n in refused),
            PartHeaders(records),
            resumed=resumed,
        )

    def _results(
        self, ray: ModuleType, rows: list[dict[str, Any]], workers: int
    ) -> Iterator[dict[str, Any]]:
        """Yield what the workers report of each row, as they are done."""
        data = importlib.import_module("ray.data")
        context = data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        reports = data.from_items(rows, override_num_blocks=len(rows)).map(
            _Worker,
            fn_constructor_args=(ray.put(self._job()),),
            compute=data.ActorPoolStrategy(
                min_size=1, max_size=len(rows), initial_size=min(workers, len(rows))
            ),
            num_cpus=_CORES_PER_WORKER,
        )
        try:
            yield from reports.iter_rows()
        except ray.exceptions.RayError as error:
            raise WorkerError(
                f"Ray ended the run ({_first_line(error)}); run it again to resume it."
            ) from error

    def _job(self) -> "_Job":
        detector = self.model.detector
        return _Job(
            imagebase.__version__,
            pickle.dumps(detector),
            f"{detector.runtime} in {detector.precision}",
            floor_of(self.rule),
            self.source,
            self.parts,
            self.limits,
        )


def _plan(
    known: Mapping[str, Sequence[str]], names: Sequence[str], workers: int
) -> dict[str, list[str]]:
    """Return the files of each part: those of an earlier run, then the others."""
    left = dict.fromkeys(names)
    plan = {}
    for part, images in known.items():
        # What has a result already, in one part.
        if own := [name for name in images if left.pop(name, "") is None]:
            plan[part] = own
    size = -(-len(left) // (workers * _PARTS_PER_WORKER))
    rest = iter(left)
    for number in count():
        part = f"{number:06}"
        if part not in known:
            group = list(islice(rest, max(1, min(size, _MOST_IN_PART))))
            if not group:
                return plan
            plan[part] = group
    raise AssertionError("there are always more numbers")


def _packed(files: Sequence[SourceFile]) -> bytes:
    """Return the files for a worker to read; those of a zip by their names."""
    try:
        return pickle.dumps(list(files))
    except TypeError:  # the open zip
        return pickle.dumps([file.name for file in files])


@contextlib.contextmanager
def _ray(address: str | None) -> Iterator[ModuleType]:
    """Join a cluster for as long as this lasts, or start Ray on this machine."""
    ray = imported_ray()
    if ray.is_initialized():
        yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    own: dict[str, Any] = {}
    # What its core prints means nothing to who annotates images.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if address == "local":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        own = {"include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
    try:
        _knock(address)
        with _no_standard_error():
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise WorkerError(
            f"Ray at {address} cannot be reached ({_first_line(error)}); check "
            "--ray-address, and that the cluster is running."
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Check that somebody listens at host:port; Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdecimal():
        socket.create_connection((host, int(port)), _KNOCK_SECONDS).close()


@contextlib.contextmanager
def _no_standard_error() -> Iterator[None]:
    """Send standard error nowhere, that of libraries in C++ too."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def imported_ray() -> ModuleType:
    """Return the package Ray, an optional extra.

    Raises:
        WorkerError: it is not installed.
    """
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise WorkerError(
            'Ray is not installed; run `pip install "imagebase[scale]"`, or leave '
            "--engine ray out."
        ) from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__


# From here on in the workers.


@dataclass(frozen=True)
class _Job:
    """What a worker needs to know. detector: pickled; `runs_as`: as it runs here."""

    version: str
    detector: bytes
    runs_as: str
    floor: float
    source: str
    parts: Parts
    limits: Limits

    def check(self) -> None:
        """Check that this machine can do the same as the one that began the run.

        Raises:
            WorkerError: it cannot.
        """
        if imagebase.__version__ != self.version:
            raise WorkerError(
                f"has ImageBase {imagebase.__version__} and not {self.version}; "
                "install the same everywhere."
            )
        if not self.parts.is_seen():
            raise WorkerError(
                f"cannot see {self.parts.location.url}; use an output folder "
                "that all machines share, or a URL such as s3://bucket/labels."
            )
        if not is_url(self.source) and not Path(self.source).exists():
            raise WorkerError(
                f"cannot see {self.source}; use a folder that all machines share, "
                "or a URL such as s3://bucket/photos."
            )

    def loaded(self) -> Detector:
        """Return the detector, loaded on this machine."""
        detector: Detector = pickle.loads(self.detector)
        runs_as = f"{detector.runtime} in {detector.precision}"
        if runs_as != self.runs_as:
            raise WorkerError(
                f"runs the model by {runs_as} and not by {self.runs_as}; give "
                "--runtime and --precision f32, which all machines have."
            )
        return detector


class _Worker:
    """An actor of Ray Data: the model, loaded once, run on one part after another."""

    def __init__(self, job: object) -> None:
        os.environ[INFERENCE_THREADS] = str(_CORES_PER_WORKER)
        self._job: _Job = imported_ray().get(job)
        self._problem = ""
        # Raised here, it would be an actor's death to Ray, and no sentence.
        try:
            self._job.check()
            self._detector = self._job.loaded()
        except ImageBaseError as error:
            self._problem = f"The machine {socket.gethostname()} {error}"

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        report = {"images": 0, "resumed": 0, "refused": _NONE, "problem": self._problem}
        if not self._problem:
            try:
                report |= self._annotated(row["part"], pickle.loads(row["files"]))
            except ImageBaseError as error:
                report["problem"] = str(error)
        return report

    def _annotated(self, part: str, given: list[SourceFile | str]) -> dict[str, Any]:
        files = [self._file(file) for file in given]
        kept = self._kept(part, files)
        fresh = self._fresh(part, [file for file in files if file.name not in kept])
        items = [kept.get(file.name) or next(fresh) for file in files]
        if len(kept) < len(items):
            self._job.parts.write(part, items)
        refused = [
            (item.file, item.reason) for item in items if isinstance(item, Refusal)
        ]
        return {
            "images": len(items),
            "resumed": len(kept),
            "refused": pickle.dumps(refused),
        }

    def _fresh(
        self, part: str, files: Sequence[SourceFile]
    ) -> Iterator[SeenImage | Refusal]:
        """Yield results; one image at a time where several workers were lost before."""
        begun = self._job.parts.begun(part)
        begun = begun._replace(tries=begun.tries + 1)
        if begun.tries <= _TRIES_OF_A_PART:
            self._job.parts.note(part, begun)
            yield from self._seen(files)
            return
        lost = begun.lost + ((begun.at,) if begun.at else ())
        for file in files:
            if file.name in lost:
                yield Refusal(file.name, f"{file.name}: workers crashed on it.")
            else:
                self._job.parts.note(part, Begun(begun.tries, lost, file.name))
                yield from self._seen([file])
        self._job.parts.note(part, Begun(begun.tries, lost))

    def _seen(self, files: Sequence[SourceFile]) -> Iterator[SeenImage | Refusal]:
        return seen_images(
            files,
            self._detector,
            floor=self._job.floor,
            max_pixels=self._job.limits.max_image_pixels,
            workers=_CORES_PER_WORKER,
        )

    def _kept(self, part: str, files: Sequence[SourceFile]) -> dict[str, SeenImage]:
        """Return what an earlier run wrote of the files that did not change since."""
        written = {
            item.name: item
            for item in self._job.parts.read(part)
            if isinstance(item, SeenImage)
        }
        kept = {}
        for file in files:
            # A file that cannot be read is unknown; it is refused when its turn comes.
            with contextlib.suppress(ImageBaseError, OSError):
                if (item := written.get(file.name)) and item.head == self._head(file):
                    kept[file.name] = item
        return kept

    def _head(self, file: SourceFile) -> FileHead:
        max_pixels = self._job.limits.max_image_pixels
        return FileHead.of(file.read(), file.name, max_pixels=max_pixels)

    def _file(self, file: SourceFile | str) -> SourceFile:
        return self._members[file] if isinstance(file, str) else file

    @cached_property
    def _members(self) -> dict[str, SourceFile]:
        """The files of a zip, opened on this machine."""
        found = scan_source(self._job.source, self._job.limits)
        return {file.name: file for file in found}
