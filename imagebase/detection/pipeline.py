"""Many images: each worker takes one from its bytes to its candidates, in order out.

Two threads over one model of two streams tied for first among the arrangements that
were measured (decoding ahead, asynchronous queues, batches of four, two processes), and
is the simplest of them.
"""

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Final, NamedTuple

from imagebase.annotation import Size
from imagebase.detection.candidates import Candidates
from imagebase.detection.detector import CANDIDATE_FLOOR, Detector
from imagebase.detection.isolated import stopping_when
from imagebase.errors import (
    ImageBaseError,
    ImageReadError,
    ModelCrashError,
    ModelLoadError,
    WorkerCancelledError,
)
from imagebase.images.decode import LoadedImage, load_image
from imagebase.settings import Limits

_log: Final = logging.getLogger(__name__)

# Finished images that wait for a slow one before them; they hold no pixels.
_AHEAD_PER_WORKER: Final = 4
# A model that crashes on each image would only be started again and again.
MAX_CRASHES_IN_A_ROW: Final = 3


class ImageSource(NamedTuple):
    """A name to show, and a way to the bytes that is taken when their turn comes."""

    name: str
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class BatchItem:
    """Size and candidates of one image, or the error that kept it from having them."""

    name: str
    size: Size | None
    candidates: Candidates | None
    error: ImageBaseError | None


Loader = Callable[[ImageSource], LoadedImage]


def loader_for(
    detector: Detector, *, max_pixels: int = Limits().max_image_pixels
) -> Loader:
    """Return a loader that decodes no more of an image than this detector needs."""

    def load(source: ImageSource) -> LoadedImage:
        try:
            content = source.read()
        except OSError as error:
            raise ImageReadError(
                f"{source.name}: the file cannot be read "
                f"({error.strerror or type(error).__name__})."
            ) from error
        return load_image(
            content,
            file_name=source.name,
            max_pixels=max_pixels,
            wanted=detector.wanted,
        )

    return load


def detect_many(
    detector: Detector,
    sources: Iterable[ImageSource],
    *,
    floor: float = CANDIDATE_FLOOR,
    load: Loader | None = None,
    workers: int = 2,
    mirrored: bool = False,
    should_stop: Callable[[], bool] | None = None,
) -> Iterator[BatchItem]:
    """Yield an item for each source, in order, holding only a few at a time.

    An image that cannot be read, or that a model crashes on, becomes an item with its
    error; any other exception ends the run. Closing the iterator waits for the images
    in work and drops the rest.

    Args:
        sources: taken from as the items are, a few ahead.
        floor: the least confidence that is kept.
        load: from a source to pixels, on a worker's thread; `loader_for` by default.
        workers: threads; more than the runtime has streams gain nothing.
        mirrored: run on the images flipped left to right; boxes are upright.
        should_stop: ends the run, also amid an image where the model runs apart.

    Raises:
        ModelLoadError: the model crashed on three images in a row.
    """
    items = _detected(
        _DetectOne(
            detector, load or loader_for(detector), floor, mirrored, should_stop
        ),
        sources,
        workers,
    )
    in_a_row = 0
    with closing(items):
        for item in items:
            if isinstance(item.error, WorkerCancelledError):
                return
            has_crashed = isinstance(item.error, ModelCrashError)
            in_a_row = in_a_row + 1 if has_crashed else 0
            if in_a_row == MAX_CRASHES_IN_A_ROW:
                raise ModelLoadError(
                    f"The model {detector.name} crashed on {in_a_row} images in a row; "
                    "export it again, or use another model."
                )
            yield item


def _detected(
    detect_one: "_DetectOne", sources: Iterable[ImageSource], workers: int
) -> Generator[BatchItem, None, None]:
    pending: deque[Future[BatchItem]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="detect") as pool:
        try:
            for source in sources:
                pending.append(pool.submit(detect_one, source))
                if len(pending) >= workers * _AHEAD_PER_WORKER:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


@dataclass(frozen=True, slots=True)
class _DetectOne:
    detector: Detector
    load: Loader
    floor: float
    mirrored: bool
    should_stop: Callable[[], bool] | None

    def __call__(self, source: ImageSource) -> BatchItem:
        try:
            loaded = self.load(source)
            with stopping_when(self.should_stop):
                candidates = self.detector.candidates(
                    loaded.rgb,
                    size=loaded.size,
                    floor=self.floor,
                    mirrored=self.mirrored,
                )
        except ModelCrashError as error:
            return BatchItem(source.name, None, None, error.on(source.name))
        except ImageBaseError as error:
            _log.info("Image skipped: %s", error)
            return BatchItem(source.name, None, None, error)
        return BatchItem(source.name, loaded.size, candidates, None)
