"""Frames of a video as images, decoded in a worker process.

A video's own figures are only claims: they are checked before its frames are decoded,
and the same limits hold again while they are.
"""

import math
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from io import BufferedIOBase
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from imagebase.annotation import Size
from imagebase.errors import (
    ImageReadError,
    LimitError,
    WorkerCancelledError,
    WorkerCrashError,
    WorkerError,
    WorkerMemoryError,
    WorkerTimeoutError,
)
from imagebase.images.quality import MAX_HASH_DISTANCE, difference_hash
from imagebase.images.scan import Incoming
from imagebase.settings import Limits
from imagebase.workers.process import (
    Answer,
    Array,
    TaskCall,
    Values,
    WorkerLimits,
    WorkerProcess,
)

VIDEO_SUFFIXES: Final = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm")
JPEG_QUALITY: Final = 95
# Difference hashes of different photographs differ in so many bits (images.quality).
MIN_SCENE_DISTANCE: Final = 14
_SCENE_SECONDS: Final = 0.1

# MP4 and QuickTime begin with one of these boxes (ISO/IEC 14496-12), Matroska and WebM
# with an EBML header.
_FIRST_BOXES: Final = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"})
_EBML: Final = b"\x1a\x45\xdf\xa3"
# FFmpeg's names for what it may take a file for.
_FORMATS: Final = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"
_NAME: Final = re.compile(r"(.+)_(\d{2,})-([0-5]\d)-([0-5]\d)\.(\d{3})\.(?:jpg|png)")

DECODE_SECONDS: Final = 30.0
# One call: short, so that progress is shown and little is lost by cancelling.
_CALL_SECONDS: Final = 0.5
_CALL_FRAMES: Final = 16
_SKIPPED_A_SECOND: Final = 50
_MAX_SKIP_SECONDS: Final = 300.0
_BYTES_PER_PIXEL: Final = 40
_THREADS: Final = 2
# A claim of frames may be rounded, or count a few that are not shown.
_MISSING_SHARE: Final = 0.02
_MISSING_FRAMES: Final = 3

ShouldStop = Callable[[], bool]
OnProgress = Callable[[int, int], None]


class Every(StrEnum):
    """What the steps from one chosen frame to the next are counted in."""

    FRAMES = "frames"
    SECONDS = "seconds"
    SCENES = "scenes"


@dataclass(frozen=True, slots=True)
class FrameChoice:
    """Which frames of a video become images.

    step: frames or seconds from one to the next; scenes have none: a frame is taken
        that differs from the last one taken as different photographs do.
    keeps_duplicates: also frames that are nearly the same as the last one taken.
    """

    every: Every = Every.SECONDS
    step: float = 1.0
    keeps_duplicates: bool = False

    def __post_init__(self) -> None:
        least = 1.0 if self.every is Every.FRAMES else 0.001
        if not least <= self.step <= 1e9:
            raise ValueError(f"a step of {self.step} {self.every}")


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video says of itself.

    size: of the upright frames. frame_count: 0 where it says none. frame_rate: frames a
    second, 0 where it says none.
    """

    size: Size
    frame_count: int
    frame_rate: float

    @property
    def seconds(self) -> float:
        """Return how long it is; 0 where that is not known."""
        return self.frame_count / self.frame_rate if self.frame_rate else 0.0


class FrameTime(NamedTuple):
    """The video that an image's name says it is of, and its time there."""

    video: str
    milliseconds: int


@dataclass(frozen=True, slots=True)
class _Place:
    """How far a video has been read, and what its next chosen frame depends on.

    read: frames. at: seconds, of the last one. due: seconds of the next one by time.
    kept_hash: of the last one chosen.
    """

    read: int = 0
    at: float = -1.0
    due: float = 0.0
    kept_hash: str = ""


@dataclass(frozen=True, slots=True)
class _Part:
    """What a call has read: times of its frames in milliseconds, and the place after.

    left_out: near duplicates.
    """

    place: _Place
    times: list[int]
    left_out: int
    has_ended: bool


_CHOICE: Final = TypeAdapter(FrameChoice)
_INFO: Final = TypeAdapter(VideoInfo)
_PART: Final = TypeAdapter(_Part)


def is_video_name(name: str) -> bool:
    """Say whether a file's name has the suffix of a video."""
    return PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES


def frame_name(stem: str, milliseconds: int) -> str:
    """Return an image's name: `clip_00-01-02.500.jpg` for 62.5 seconds of `clip`."""
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{stem}_{hours:02d}-{minutes:02d}-{seconds:02d}.{rest:03d}.jpg"


def frame_time(name: str) -> FrameTime | None:
    """Return what `frame_name` made a name of; None for other names."""
    if not (match := _NAME.fullmatch(name)):
        return None
    hours, minutes, seconds, rest = map(int, match.groups()[1:])
    return FrameTime(match[1], ((hours * 60 + minutes) * 60 + seconds) * 1000 + rest)


def numbered(name: str, number: int) -> str:
    """Return a frame's name for the n-th video of that name: `clip-2_…` for 2."""
    time = frame_time(name)
    assert time is not None
    video = time.video if number == 1 else f"{time.video}-{number}"
    return frame_name(video, time.milliseconds)


def estimated_frames(info: VideoInfo, choice: FrameChoice) -> int | None:
    """Return how many frames are chosen, near duplicates included; None: unknown."""
    if choice.every is Every.SCENES or not info.frame_count:
        return None
    if choice.every is Every.FRAMES:
        return math.ceil(info.frame_count / int(choice.step))
    return min(info.frame_count, math.ceil(info.seconds / choice.step) or 1)


class Video:
    """A video open in a worker process; made by `open_video`.

    After `frames`: problem: a sentence where it broke off. left_out: the number of near
    duplicates.
    """

    def __init__(
        self, name: str, info: VideoInfo, worker: WorkerProcess, limits: Limits
    ) -> None:
        self.name, self.info = name, info
        self.problem, self.left_out = "", 0
        self._worker, self._limits = worker, limits

    def frames(
        self,
        choice: FrameChoice,
        *,
        should_stop: ShouldStop = lambda: False,
        on_progress: OnProgress = lambda done, total: None,
    ) -> Iterator[Incoming]:
        """Yield the chosen frames as JPEG files of quality 95, upright, named by time.

        A video that breaks off ends there, and so does one that is cancelled.

        Args:
            choice: which frames.
            should_stop: asked ten times a second.
            on_progress: called with the frames read, and their number: 0 if unknown.
        """
        place, has_ended = _Place(), False
        stem = str(PurePosixPath(self.name).with_suffix(""))
        while not has_ended:
            try:
                part, files = self._read(choice, place, should_stop)
            except WorkerCancelledError:
                return
            except WorkerError as error:
                self.problem = self._broken(place, error)
                return
            for milliseconds, data in zip(part.times, files, strict=True):
                yield Incoming(frame_name(stem, milliseconds), data)
            place, has_ended = part.place, part.has_ended
            self.left_out += part.left_out
            on_progress(place.read, max(self.info.frame_count, 0))
        self.problem = self._why_ended(place)

    def _read(
        self, choice: FrameChoice, place: _Place, should_stop: ShouldStop
    ) -> tuple[_Part, list[bytes]]:
        asked = {
            "choice": asdict(choice),
            "place": asdict(place),
            "max_pixels": self._limits.max_image_pixels,
            "max_frames": self._limits.max_video_frames,
            "max_seconds": self._limits.max_video_seconds,
        }
        # A worker that made room for others reads all of it again up to this place.
        seconds = DECODE_SECONDS + min(
            place.read / _SKIPPED_A_SECOND, _MAX_SKIP_SECONDS
        )
        answer = self._worker.call(
            read_frames, asked, seconds=seconds, should_stop=should_stop
        )
        part = _checked(answer, place, self._limits)
        return part, [array.tobytes() for array in answer.arrays]

    def _why_ended(self, place: _Place) -> str:
        if place.read >= self._limits.max_video_frames:
            return (
                f"{self.name} has more than {self._limits.max_video_frames:,} frames; "
                "those after them are left out."
            )
        if place.at > self._limits.max_video_seconds:
            return f"{_too_long(self.name, self._limits)} The rest is left out."
        count = self.info.frame_count
        missing = count - place.read
        if missing > _MISSING_FRAMES + _MISSING_SHARE * count:
            return self._broken(place)
        return ""

    def _broken(self, place: _Place, error: WorkerError | None = None) -> str:
        what = "is cut off or damaged"
        if isinstance(error, WorkerTimeoutError):
            what = "takes too long to decode"
        elif isinstance(error, WorkerMemoryError):
            what = "takes more memory than is allowed"
        if place.at < 0:
            return f"{self.name} {what} from its first frame on; save it again."
        return (
            f"{self.name} {what} after {time_in_words(place.at)}; "
            "the frames before that are kept."
        )


@contextmanager
def open_video(
    name: str,
    data: NDArray[np.uint8],
    limits: Limits,
    *,
    should_stop: ShouldStop | None = None,
) -> Iterator[Video]:
    """Open a video in a worker process of its own, which ends with this context.

    Args:
        name: of its file; frames are named after it.
        data: its bytes, shape (N,); may be a file mapped into memory.
        limits: on bytes, length, frames and pixels.
        should_stop: asked ten times a second while it is opened.

    Raises:
        ImageReadError: it is no video that can be read, or is cut off in its index.
        LimitError: it is, or says it is, larger than the limits allow.
        WorkerCancelledError: should_stop said so.
        WorkerError: no worker process can be had.
    """
    _check_bytes(name, data, limits)
    setup = TaskCall(open_capture, {"max_pixels": limits.max_image_pixels}, [data])
    memory = _BYTES_PER_PIXEL * limits.max_image_pixels
    worker = WorkerProcess(
        WorkerLimits(memory, seconds=DECODE_SECONDS, start_seconds=DECODE_SECONDS),
        setup=lambda: setup,
    )
    try:
        info = _opened(name, worker, data, should_stop)
        _check_claims(name, info, limits)
        yield Video(name, info, worker, limits)
    finally:
        worker.stop()


def time_in_words(seconds: float) -> str:
    """Return a time within a video: 1:02.5, or 1:02:03.5 with hours."""
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    if hours:
        return f"{hours}:{minutes:02d}:{rest:04.1f}"
    return f"{minutes}:{rest:04.1f}"


def _check_bytes(name: str, data: NDArray[np.uint8], limits: Limits) -> None:
    if data.nbytes > limits.max_video_bytes:
        raise LimitError(
            f"{name} is larger than {limits.max_video_bytes // 1_000_000:,} MB; "
            "cut the video into parts."
        )
    head = data[:12].tobytes()
    is_avi = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    if not (head[4:8] in _FIRST_BOXES or is_avi or head.startswith(_EBML)):
        raise ImageReadError(_no_video(name))


def _no_video(name: str) -> str:
    return f"{name} is no video ImageBase can read: MP4, MOV, AVI, MKV or WebM."


def _opened(
    name: str,
    worker: WorkerProcess,
    data: NDArray[np.uint8],
    should_stop: ShouldStop | None,
) -> VideoInfo:
    try:
        answer = worker.start(should_stop=should_stop)
        return _INFO.validate_python(answer.values)
    except (ImageReadError, WorkerCrashError, WorkerTimeoutError, ValidationError):
        if _lacks_index(data):
            raise ImageReadError(
                f"{name} is cut off: the index at the end of the file is missing, and "
                "no frame can be read without it. Copy or record it again."
            ) from None
        raise ImageReadError(_no_video(name)) from None
    except OSError as error:
        raise WorkerCrashError(
            f"{name} cannot be decoded: this system starts no worker process."
        ) from error
    except WorkerMemoryError:
        raise LimitError(
            f"{name} takes more memory to decode than is allowed; save it smaller."
        ) from None


def _lacks_index(data: NDArray[np.uint8]) -> bool:
    """Say whether an MP4 has no `moov` box among its outermost ones."""
    at = 0
    while at + 16 <= data.size:
        head = data[at : at + 16].tobytes()
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if head[4:8] == b"moov":
            return at + length > data.size
        if length < 8 or not head[4:8].isalnum():
            break
        at += length
    return data[4:8].tobytes() in _FIRST_BOXES


def _check_claims(name: str, info: VideoInfo, limits: Limits) -> None:
    """Check what a video says; `read_frames` holds it to the same again."""
    if info.size.width * info.size.height > limits.max_image_pixels:
        raise LimitError(
            f"{name} has frames of more than {limits.max_image_pixels // 1_000_000:,} "
            "megapixels; save it smaller."
        )
    if info.frame_count > limits.max_video_frames:
        raise LimitError(
            f"{name} says it has {info.frame_count:,} frames; at most "
            f"{limits.max_video_frames:,} are read. Cut the video into parts."
        )
    if info.seconds > limits.max_video_seconds:
        raise LimitError(f"{_too_long(name, limits)} Cut the video into parts.")


def _too_long(name: str, limits: Limits) -> str:
    return f"{name} is longer than {limits.max_video_seconds // 60:,} minutes."


def _checked(answer: Answer, before: _Place, limits: Limits) -> _Part:
    """Return what a worker says it has read, which may be anything, if it can be so."""
    try:
        part = _PART.validate_python(answer.values)
    except ValidationError as error:
        raise WorkerCrashError("The worker process failed.") from error
    most = 1000 * (limits.max_video_seconds + 1)
    files = answer.arrays
    is_sound = (
        len(part.times) == len(files) <= _CALL_FRAMES
        and all(file.dtype == np.uint8 for file in files)
        and all(file.nbytes <= limits.max_file_bytes for file in files)
        and all(0 <= at <= most for at in part.times)
        and before.read <= part.place.read <= limits.max_video_frames
        and len(files) <= part.place.read - before.read
        and (part.has_ended or part.place.read > before.read)
        and 0 <= part.left_out <= part.place.read
        and math.isfinite(part.place.at)
    )
    if not is_sound:
        raise WorkerCrashError("The worker process failed.")
    return part


# ---- In the worker process ----


class _Bytes(BufferedIOBase):
    """Bytes of shared memory as a file."""

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self._data, self._at = data, 0

    def read(self, size: int | None = -1, /) -> bytes:
        end = self._data.size if size is None or size < 0 else self._at + size
        part = self._data[self._at : end].tobytes()
        self._at += len(part)
        return part

    def seek(self, offset: int, whence: int = 0, /) -> int:
        start = (0, self._at, self._data.size)[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def seekable(self) -> bool:
        return True


@dataclass(slots=True)
class _Capture:
    """The video of this process. read: frames. at: seconds, of the last frame."""

    capture: cv2.VideoCapture
    frame_rate: float
    read: int = 0
    at: float = field(default=-1.0)

    def grab(self) -> bool:
        """Decode the next frame; times always increase, whatever the file says."""
        if not self.capture.grab():
            return False
        said = self.capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if not (math.isfinite(said) and said > self.at):
            said = max(self.at, 0.0) + (1 / self.frame_rate if self.read else 0.0)
        self.at = said
        self.read += 1
        return True


_open: list[_Capture] = []


def open_capture(values: Values, arrays: list[Array]) -> Answer:
    """Open this process's video, and return what it says of itself; a worker's task.

    Args:
        values: none. arrays: its bytes.
    """
    # The frame that a file breaks off in is half grey. Other formats, whatever the
    # first bytes say, may name addresses to read from.
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = (
        f"fflags;discardcorrupt|format_whitelist;{_FORMATS}"
    )
    source: Any = _Bytes(arrays[0])
    capture = cv2.VideoCapture(
        source, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, _THREADS]
    )
    if not capture.isOpened():
        raise ImageReadError("no video")
    width, height, count, rate = (
        capture.get(kind)
        for kind in (
            cv2.CAP_PROP_FRAME_WIDTH,
            cv2.CAP_PROP_FRAME_HEIGHT,
            cv2.CAP_PROP_FRAME_COUNT,
            cv2.CAP_PROP_FPS,
        )
    )
    rate = rate if math.isfinite(rate) and 0 < rate <= 1e5 else 0.0
    info = VideoInfo(Size(int(width), int(height)), max(int(count), 0), rate)
    _open[:] = [_Capture(capture, rate or 25.0)]
    return Answer(asdict(info))


def read_frames(values: Values, arrays: list[Array]) -> Answer:
    """Read on for half a second, and return the chosen frames; a task for a worker.

    Args:
        values: `choice`, `place` to read on from, and the limits `max_pixels`,
            `max_frames` and `max_seconds`.
        arrays: none.
    """
    place = _Place(**values["place"])
    [video] = _open
    # A worker that was killed meanwhile begins again.
    has_ended = any(not video.grab() for _ in range(place.read - video.read))
    choice = _CHOICE.validate_python(values["choice"])
    chooser = _Chooser(choice, place, values["max_pixels"])
    until = time.monotonic() + _CALL_SECONDS
    while not has_ended and time.monotonic() < until:
        has_ended = not video.grab()
        if not has_ended:
            chooser.take(video)
            has_ended = (
                video.read >= values["max_frames"] or video.at > values["max_seconds"]
            )
        if len(chooser.times) >= _CALL_FRAMES:
            break
    after = replace(chooser.place, read=video.read, at=video.at)
    part = _Part(after, chooser.times, chooser.left_out, has_ended)
    return Answer(asdict(part), chooser.files)


class _Chooser:
    """Chooses frames, and keeps them as JPEG files."""

    def __init__(self, choice: FrameChoice, place: _Place, max_pixels: int) -> None:
        self.place = place
        self.times: list[int] = []
        self.files: list[Array] = []
        self.left_out = 0
        self._choice, self._max_pixels = choice, max_pixels
        self._least = 0 if choice.keeps_duplicates else MAX_HASH_DISTANCE + 1
        if choice.every is Every.SCENES:
            self._least = MIN_SCENE_DISTANCE

    def take(self, video: _Capture) -> None:
        """Keep the frame that was grabbed last if it is one of those chosen."""
        if not self._is_due(video):
            return
        is_there, bgr = video.capture.retrieve()
        if not is_there or bgr.shape[0] * bgr.shape[1] > self._max_pixels:
            return
        found = difference_hash(
            np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
        )
        if self._distance(found) < self._least:
            self.left_out += self._choice.every is not Every.SCENES
            return
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        self.files.append(cv2.imencode(".jpg", bgr, quality)[1])
        self.times.append(round(video.at * 1000))
        self.place = replace(self.place, kept_hash=found)

    def _is_due(self, video: _Capture) -> bool:
        if self._choice.every is Every.FRAMES:
            return (video.read - 1) % int(self._choice.step) == 0
        # Half a frame early is nearer than half a frame late.
        if video.at + 0.5 / video.frame_rate < self.place.due:
            return False
        scenes = self._choice.every is Every.SCENES
        step = _SCENE_SECONDS if scenes else self._choice.step
        steps = math.floor((video.at + 0.5 / video.frame_rate) / step) + 1
        self.place = replace(self.place, due=steps * step)
        return True

    def _distance(self, found: str) -> int:
        if not self.place.kept_hash:
            return 64
        return (int(found, 16) ^ int(self.place.kept_hash, 16)).bit_count()
