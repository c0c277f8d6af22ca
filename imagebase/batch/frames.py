"""Frames of a video as image files in a folder."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imagebase.errors import ImageReadError
from imagebase.images.scan import Incoming
from imagebase.images.video import Every, FrameChoice, numbered, open_video
from imagebase.settings import Limits
from imagebase.wording import plural


@dataclass(frozen=True, slots=True)
class FramesSummary:
    """What `frames` wrote.

    files: in the order of their times. left_out: near duplicates. problem: a sentence
    where the video breaks off, or empty.
    """

    files: tuple[Path, ...]
    left_out: int
    problem: str = ""

    def in_words(self) -> str:
        """Return the numbers as a sentence."""
        left = f", {plural(self.left_out, 'near-duplicate')} left out"
        return f"{plural(len(self.files), 'frame')}{left if self.left_out else ''}."


def frames(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    every: int | None = None,
    seconds: float | None = None,
    scenes: bool = False,
    keep_duplicates: bool = False,
    limits: Limits | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> FramesSummary:
    """Write frames of a video as JPEG files of quality 95, upright, named by time.

    `clip_00-01-02.500.jpg` is at 62.5 seconds of `clip.mp4`. No file is lost: where the
    folder has frames of another `clip.mp4`, these are named `clip-2_…`. Without
    `every`, `seconds` and `scenes`, a frame of each second is written. The video is
    decoded in a worker process.

    Args:
        source: an MP4, MOV, AVI, MKV or WebM file.
        output: the folder to write to; it is made.
        every: a frame of so many is written.
        seconds: the time from one written frame to the next.
        scenes: a frame is written when it differs from the last one written as much as
            different photographs do.
        keep_duplicates: also write frames that are nearly the same as the last one.
        limits: on the video's bytes, length, frames and pixels.
        on_progress: called with the frames read, and their number: 0 if unknown.

    Raises:
        ImageReadError: it is no video that can be read, or cannot be opened.
        LimitError: it is larger than the limits allow.
        ValueError: more than one of `every`, `seconds` and `scenes`, or a step that is
            not positive.
        OSError: the folder cannot be written to.

    Example:
        >>> summary = frames("clip.avi", "clips", seconds=1, keep_duplicates=True)
        >>> [file.name for file in summary.files]
        ['clip_00-00-00.000.jpg', 'clip_00-00-01.000.jpg']
    """
    choice = _choice(every, seconds, scenes=scenes, keep_duplicates=keep_duplicates)
    limits, path, folder = limits or Limits(), Path(source), Path(output)
    try:
        data = np.memmap(path, np.uint8, "r")
    except (OSError, ValueError) as error:
        raise ImageReadError(
            f"{path} is not there, empty or cannot be opened; check the path."
        ) from error
    written, number = [], 1
    with open_video(path.name, data, limits) as video:
        folder.mkdir(parents=True, exist_ok=True)
        for frame in video.frames(choice, on_progress=on_progress):
            number = _number(folder, frame, number)
            written.append(folder / numbered(frame.file_name, number))
            written[-1].write_bytes(frame.data)
    return FramesSummary(tuple(written), video.left_out, video.problem)


def _number(folder: Path, frame: Incoming, least: int) -> int:
    """Return the first number by whose name there is no other frame."""
    number = least
    while True:
        path = folder / numbered(frame.file_name, number)
        if not path.exists() or path.read_bytes() == frame.data:
            return number
        number += 1


def _choice(
    every: int | None, seconds: float | None, *, scenes: bool, keep_duplicates: bool
) -> FrameChoice:
    if (every is not None) + (seconds is not None) + scenes > 1:
        raise ValueError("give one of every, seconds and scenes")
    if every is not None:
        return FrameChoice(Every.FRAMES, every, keep_duplicates)
    if scenes:
        return FrameChoice(Every.SCENES)
    return FrameChoice(
        Every.SECONDS, 1.0 if seconds is None else seconds, keep_duplicates
    )
