"""Keep dropped videos until somebody says which frames, and add these as images."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from pathlib import Path
from shutil import copyfileobj
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from imagebase.annotation import new_id
from imagebase.errors import ImageBaseError, ImageReadError
from imagebase.images.archives import safe_name
from imagebase.images.scan import Incoming, Refused
from imagebase.images.video import (
    FrameChoice,
    Video,
    VideoInfo,
    frame_time,
    numbered,
    open_video,
    time_in_words,
)
from imagebase.ingest.add_images import admit
from imagebase.jobs.runner import JobContext
from imagebase.jobs.temporary_files import Touch, dropped, forget_dropped, make_room
from imagebase.settings import Limits
from imagebase.store import Scope, Store

KIND: Final = "frames"
# The job stores only so many sentences.
_KEPT_SENTENCES: Final = 50


@dataclass(frozen=True, slots=True)
class DroppedVideo:
    """A video that was dropped for a dataset, and what it says of itself."""

    upload_id: str
    name: str
    info: VideoInfo


_CHOICE: Final = TypeAdapter(FrameChoice)
_VIDEOS: Final = TypeAdapter(list[DroppedVideo])


def keep_video(scope: Scope, name: str, file: BinaryIO, limits: Limits) -> DroppedVideo:
    """Keep a dropped video on disk until its frames are added, at most an hour.

    Raises:
        ImageReadError: it is no video that can be read, or cannot be written.
        LimitError: it is larger than the limits allow, or the disk is full.
        WorkerError: no worker process can be had.
    """
    name = safe_name(name)
    make_room(scope, limits)
    upload_id = new_id()
    path = dropped(scope, upload_id)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file.seek(0)
        with path.open("wb") as target:
            copyfileobj(file, target)
        with open_video(name, _mapped(name, path), limits) as video:
            return DroppedVideo(upload_id, name, video.info)
    except OSError as error:
        forget_dropped(scope, upload_id)
        raise ImageReadError(
            f"{name} could not be kept ({error.strerror}); free some space and try "
            "again."
        ) from error
    except BaseException:
        forget_dropped(scope, upload_id)
        raise


def add_frames(context: JobContext) -> dict[str, Any] | None:
    """Add frames of dropped videos to a dataset as images; None if cancelled.

    Parameters of the job: `videos`, the fields of each DroppedVideo; `choice`, those of
    FrameChoice; `limits` of the server. Frames that were added stay, also where the
    job is cancelled or a video breaks off.
    """
    limits = Limits(**context.parameters["limits"])
    videos = _VIDEOS.validate_python(context.parameters["videos"])
    choice = _CHOICE.validate_python(context.parameters["choice"])
    frames = _Frames(context, videos, choice, limits)
    report = admit(context.store, context.scope, iter(frames), limits=limits)
    if context.cancelled:
        return None
    for video in videos:
        forget_dropped(context.scope, video.upload_id)
    refused = [f"{refusal.file_name}: {refusal.reason}" for refusal in report.refused]
    return {
        "added": len(report.added),
        "present": len(report.present),
        "left_out": frames.left_out,
        "problems": (frames.problems + refused)[:_KEPT_SENTENCES],
    }


class _Frames:
    """The chosen frames of several videos, one after another, until there is no room.

    left_out: near duplicates. problems: what went wrong, in sentences.
    """

    def __init__(
        self,
        context: JobContext,
        videos: list[DroppedVideo],
        choice: FrameChoice,
        limits: Limits,
    ) -> None:
        self.left_out = 0
        self.problems: list[str] = []
        self._context, self._choice, self._limits = context, choice, limits
        self._videos, self._done = videos, 0
        self._total = sum(video.info.frame_count for video in videos)
        usage = context.store.usage(context.scope)
        self._ids = _frame_ids(context.store, context.scope)
        self._images = limits.max_dataset_images - usage.images
        self._bytes = limits.max_dataset_bytes - usage.byte_count

    def __iter__(self) -> Iterator[Incoming | Refused]:
        for kept in self._videos:
            if self._context.cancelled:
                return
            try:
                path = dropped(self._context.scope, kept.upload_id)
                data = _mapped(kept.name, path)
                with open_video(kept.name, data, self._limits) as video:
                    yield from self._frames_of(video, Touch(path))
            except ImageBaseError as error:
                self.problems.append(str(error))
            if self._images <= 0:
                return
            self._done += kept.info.frame_count

    def _frames_of(self, video: Video, touch: Touch) -> Iterator[Incoming]:
        number = 0
        for frame in video.frames(
            self._choice,
            should_stop=lambda: self._context.cancelled,
            on_progress=self._report,
        ):
            with contextlib.suppress(OSError):
                touch()  # what is decoded longer than it is kept
            self._bytes -= len(frame.data)
            if self._images <= 0 or self._bytes < 0:
                self._images = 0
                self.problems.append(_full(video.name, frame))
                break
            self._images -= 1
            number = self._number(frame, number)
            yield Incoming(numbered(frame.file_name, number), frame.data)
        else:
            self.problems += [video.problem] if video.problem else []
        self.left_out += video.left_out

    def _number(self, frame: Incoming, before: int) -> int:
        """Return which video of that name a frame is of.

        A video that has that very frame is the same, perhaps with others chosen.

        before: the number of the frame before it; 0 for the first one.
        """
        image_id = sha256(frame.data).hexdigest()
        for number in count(max(before, 1)):
            name = numbered(frame.file_name, number)
            time = frame_time(name)
            assert time is not None
            known = self._ids.setdefault(time.video, {})
            is_new = not known or (name not in known and number == before)
            if is_new or known.get(name) == image_id:
                known[name] = image_id
                return number
        raise AssertionError("numbers do not end")

    def _report(self, done: int, total: int) -> None:
        message = "" if self._total else f"{done:,} frames read"
        self._context.progress(self._done + done, self._total, message)


def _frame_ids(store: Store, scope: Scope) -> dict[str, dict[str, str]]:
    """Return the image ids of a dataset's frames by video and file name."""
    ids: dict[str, dict[str, str]] = {}
    for row in store.image_summaries(scope):
        if time := frame_time(row.file_name):
            ids.setdefault(time.video, {})[row.file_name] = row.image_id
    return ids


def _mapped(name: str, path: Path) -> NDArray[np.uint8]:
    if not path.is_file():
        raise ImageReadError(f"{name} has expired; upload it again.")
    if not path.stat().st_size:
        raise ImageReadError(f"{name} is empty.")
    return np.memmap(path, np.uint8, "r")


def _full(name: str, frame: Incoming) -> str:
    time = frame_time(frame.file_name)
    assert time is not None
    return (
        f"The dataset is full: frames of {name} from "
        f"{time_in_words(time.milliseconds / 1000)} on are left out."
    )
