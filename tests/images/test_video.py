"""Videos become images, whatever their bytes are or say."""

import socket
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from imagebase.annotation import Size
from imagebase.errors import ImageReadError, LimitError, WorkerCrashError
from imagebase.images.scan import Incoming
from imagebase.images.video import (
    Every,
    FrameChoice,
    FrameTime,
    Video,
    VideoInfo,
    estimated_frames,
    frame_name,
    frame_time,
    open_capture,
    open_video,
    time_in_words,
)
from imagebase.settings import Limits
from imagebase.workers.process import Answer, WorkerProcess
from tests.videos import (
    RATE,
    SIZE,
    claiming_frames,
    moving,
    photograph,
    scenes,
    turned,
    with_index_first,
    write_video,
)

EVERY_SECOND = FrameChoice(Every.SECONDS, 1, keeps_duplicates=True)
SCENES = FrameChoice(Every.SCENES)


@cache
def video_bytes(suffix: str) -> bytes:
    """A video of four photographs, six seconds of ten frames each."""
    with TemporaryDirectory() as folder:
        return write_video(Path(folder, f"clip{suffix}"), scenes(4)).read_bytes()


def read(
    data: bytes, choice: FrameChoice, *, name: str = "clip.mp4", limits: Limits
) -> tuple[Video, list[Incoming]]:
    with open_video(name, np.frombuffer(data, np.uint8), limits) as opened:
        return opened, list(opened.frames(choice))


def times(frames: list[Incoming]) -> list[float]:
    found = [frame_time(frame.file_name) for frame in frames]
    return [time.milliseconds / 1000 for time in found if time]


def pixels(frame: Incoming) -> NDArray[np.uint8]:
    image = cv2.imdecode(np.frombuffer(frame.data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image, np.uint8)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".avi"])
def test_each_second_becomes_an_image_named_by_time(suffix: str) -> None:
    name = f"night ride{suffix}"
    opened, frames = read(video_bytes(suffix), EVERY_SECOND, name=name, limits=Limits())
    assert opened.info == VideoInfo(Size(*SIZE), 60, RATE)
    assert [frame.file_name for frame in frames] == [
        f"night ride_00-00-0{second}.000.jpg" for second in range(6)
    ]
    assert np.abs(pixels(frames[0]) - photograph(0).astype(float)).mean() < 10
    assert np.abs(pixels(frames[5]) - photograph(3).astype(float)).mean() < 10
    assert (opened.problem, opened.left_out) == ("", 0)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (FrameChoice(Every.FRAMES, 20, keeps_duplicates=True), [0, 2, 4]),
        (FrameChoice(Every.SECONDS, 2.5, keeps_duplicates=True), [0, 2.5, 5]),
        (FrameChoice(Every.FRAMES, 5), [0, 1.5, 3, 4.5]),
        (SCENES, [0, 1.5, 3, 4.5]),
    ],
)
def test_frames_are_chosen(choice: FrameChoice, expected: list[float]) -> None:
    opened, frames = read(video_bytes(".mp4"), choice, limits=Limits())
    assert times(frames) == expected
    assert opened.left_out == (8 if choice.step == 5 else 0)


def test_estimates() -> None:
    info = VideoInfo(Size(*SIZE), 60, RATE)
    every_seventh = FrameChoice(Every.FRAMES, 7)
    assert estimated_frames(info, every_seventh) == 9
    assert estimated_frames(info, FrameChoice(Every.SECONDS, 2.5)) == 3
    assert estimated_frames(info, FrameChoice(Every.SECONDS, 100)) == 1
    assert estimated_frames(info, SCENES) is None
    assert estimated_frames(replace(info, frame_count=0), every_seventh) is None


def test_frames_are_upright(tmp_path: Path) -> None:
    data = write_video(tmp_path / "a.mp4", moving(3)).read_bytes()
    opened, [frame, *_] = read(turned(data), EVERY_SECOND, limits=Limits())
    assert opened.info.size == SIZE[::-1]
    upright = np.rot90(photograph(0), -1).astype(float)
    assert np.abs(pixels(frame) - upright).mean() < 10


@pytest.mark.parametrize(
    "data", [video_bytes(".avi"), with_index_first(video_bytes(".mp4"))]
)
def test_video_that_is_cut_off_keeps_the_frames_before_the_break(data: bytes) -> None:
    opened, frames = read(
        data[: len(data) * 6 // 10], EVERY_SECOND, name="a.avi", limits=Limits()
    )
    assert 3 <= len(frames) <= 5
    assert opened.problem.startswith("a.avi is cut off or damaged after 0:0")
    assert opened.problem.endswith("the frames before that are kept.")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (video_bytes(".mp4")[:-2000], "the index at the end of the file is missing"),
        (b"", "a.mp4 is no video ImageBase can read"),
        (b"#EXTM3U\nfile:///etc/passwd\n", "is no video ImageBase can read"),
        (b"ffconcat version 1.0\nfile a\n", "is no video ImageBase can read"),
        (b"\x1a\x45\xdf\xa3" + bytes(range(256)) * 9, "is no video ImageBase"),
        (b"RIFF\x00\x00\x00\x00AVI " + b"\xff" * 999, "is no video ImageBase"),
    ],
    ids=["no index", "empty", "playlist", "list of files", "mkv", "avi"],
)
def test_file_that_cannot_be_read_is_refused_by_name(
    data: bytes, sentence: str
) -> None:
    with pytest.raises(ImageReadError, match=sentence):
        read(data, EVERY_SECOND, name="a.mp4", limits=Limits())


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_header_that_claims_a_billion_frames_is_refused(suffix: str) -> None:
    data = claiming_frames(video_bytes(suffix), 10**9)
    with pytest.raises(LimitError, match="says it has 1,000,000,000 frames"):
        read(data, EVERY_SECOND, limits=Limits())


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        (Limits(max_video_bytes=1000), "larger than 0 MB"),
        (Limits(max_image_pixels=60_000), "frames of more than 0 megapixels"),
        (Limits(max_video_frames=59), "at most 59 are read"),
        (Limits(max_video_seconds=5), "longer than 0 minutes"),
    ],
)
def test_limits_hold_before_decoding(limits: Limits, sentence: str) -> None:
    with pytest.raises(LimitError, match=sentence):
        read(video_bytes(".mp4"), EVERY_SECOND, limits=limits)


def test_limits_hold_where_the_header_claims_less() -> None:
    data = claiming_frames(video_bytes(".avi"), 10)
    few = Limits(max_video_frames=25)
    opened, frames = read(data, EVERY_SECOND, name="a.avi", limits=few)
    assert times(frames) == [0, 1, 2]
    assert "more than 25 frames" in opened.problem
    short = Limits(max_video_seconds=3)
    opened, frames = read(data, EVERY_SECOND, name="a.avi", limits=short)
    assert times(frames) == [0, 1, 2, 3]
    assert "longer than 0 minutes" in opened.problem


def test_cancelling_ends_it_and_keeps_the_frames_so_far() -> None:
    data = np.frombuffer(video_bytes(".mp4"), np.uint8)
    seen: list[str] = []
    with open_video("clip.mp4", data, Limits()) as opened:
        every = FrameChoice(Every.FRAMES, 1, keeps_duplicates=True)
        for frame in opened.frames(every, should_stop=lambda: len(seen) >= 16):
            seen.append(frame.file_name)
    assert len(seen) == 16
    assert opened.problem == ""


def test_worker_that_is_killed_meanwhile_reads_on_where_it_was() -> None:
    data = np.frombuffer(video_bytes(".mp4"), np.uint8)
    every = FrameChoice(Every.FRAMES, 1, keeps_duplicates=True)
    with open_video("clip.mp4", data, Limits()) as opened:
        frames = []
        for frame in opened.frames(every):
            frames.append(frame)
            if len(frames) == 16:
                opened._worker.stop()
    assert times(frames) == [number / RATE for number in range(60)]


@pytest.mark.parametrize(
    "values",
    [
        {"times": [0, 1]},
        {"times": [-1]},
        {"times": [10**12]},
        {"place": {"read": 0, "at": 0.0, "due": 0.0, "kept_hash": ""}},
        {
            "place": {"read": 0, "at": 0.0, "due": 0.0, "kept_hash": ""},
            "has_ended": True,
        },
        {"place": {"read": 10**30, "at": 0.0, "due": 0.0, "kept_hash": ""}},
        {"place": None},
        {"left_out": -1},
        {"left_out": 10**30},
    ],
)
def test_answers_of_a_worker_are_checked(
    values: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = {"read": 1, "at": 0.0, "due": 0.0, "kept_hash": ""}
    sound = {"place": place, "times": [0], "left_out": 0, "has_ended": False}
    answer = Answer({**sound, **values}, [np.zeros(3, np.uint8)])
    monkeypatch.setattr(WorkerProcess, "call", lambda *_, **__: answer)
    opened = Video(
        "a.avi",
        VideoInfo(Size(*SIZE), 60, RATE),
        WorkerProcess.__new__(WorkerProcess),
        Limits(),
    )
    assert list(opened.frames(EVERY_SECOND)) == []
    assert "damaged from its first frame on" in opened.problem


def test_worker_that_crashes_ends_the_video(monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.frombuffer(video_bytes(".mp4"), np.uint8)

    def crash(*_: object, **__: object) -> Answer:
        raise WorkerCrashError("crashed")

    with open_video("clip.mp4", data, Limits()) as opened:
        monkeypatch.setattr(WorkerProcess, "call", crash)
        assert list(opened.frames(SCENES)) == []
    assert "clip.mp4 is cut off or damaged" in opened.problem


def test_names_hold_video_and_time() -> None:
    assert frame_name("clip", 3_723_500) == "clip_01-02-03.500.jpg"
    assert frame_time("clip_01-02-03.500.jpg") == FrameTime("clip", 3_723_500)
    assert frame_time("a_b_00-00-00.000.png") == FrameTime("a_b", 0)
    assert frame_time("clip_00-61-00.000.jpg") is None
    assert frame_time("photo.jpg") is None


def test_times_in_words() -> None:
    assert time_in_words(2.04) == "0:02.0"
    assert time_in_words(3723.5) == "1:02:03.5"


@pytest.mark.parametrize("step", [0, 0.5, -1, float("nan"), 1e10])
def test_steps_that_make_no_sense_are_refused(step: float) -> None:
    with pytest.raises(ValueError, match="a step of"):
        FrameChoice(Every.FRAMES, step)


def test_description_of_a_stream_opens_no_port() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1] & ~1
    text = (
        "\nv=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        f"m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    )
    data = b"\x1a\x45\xdf\xa3zz" + text.encode() + b"\n" * 3000
    with pytest.raises(ImageReadError, match="no video"):
        open_capture({}, [np.frombuffer(data, np.uint8)])
