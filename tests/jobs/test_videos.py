"""Frames of dropped videos, added to a dataset."""

import io
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from imagebase.errors import ImageReadError, LimitError
from imagebase.images.video import Every, FrameChoice
from imagebase.jobs.temporary_files import dropped
from imagebase.jobs.videos import DroppedVideo, keep_video
from imagebase.settings import Limits
from imagebase.store import JobState, Scope, Store
from tests.jobs.conftest import RunJob
from tests.videos import moving, scenes, write_video

EACH_HALF_SECOND = FrameChoice(Every.SECONDS, 0.5)


@pytest.fixture
def clip(tmp_path: Path) -> bytes:
    """Two photographs of one and a half seconds each."""
    return write_video(tmp_path / "made.avi", scenes(2)).read_bytes()


def kept(scope: Scope, name: str, data: bytes) -> DroppedVideo:
    return keep_video(scope, name, io.BytesIO(data), Limits())


def parameters(
    *videos: DroppedVideo,
    choice: FrameChoice = EACH_HALF_SECOND,
    limits: Limits | None = None,
) -> dict[str, Any]:
    return {
        "videos": [asdict(video) for video in videos],
        "choice": asdict(choice),
        "limits": asdict(limits or Limits()),
    }


def names(store: Store, scope: Scope) -> list[str]:
    return [row.file_name for row in store.image_summaries(scope)]


def test_frames_of_two_videos_are_added_in_order(
    store: Store, scope: Scope, run_job: RunJob, clip: bytes, tmp_path: Path
) -> None:
    moved = write_video(tmp_path / "b.mp4", moving(10)).read_bytes()
    videos = [kept(scope, "day 1.avi", clip), kept(scope, "in/b.mp4", moved)]
    every = FrameChoice(Every.FRAMES, 5, keeps_duplicates=True)
    job = run_job("frames", **parameters(*videos, choice=every))
    assert (job.state, job.error) == (JobState.DONE, None)
    result = job.result or {}
    # Frames that are the same to the byte are there once.
    assert result["added"] + result["present"] == 8
    assert (result["left_out"], result["problems"]) == (0, [])
    added = names(store, scope)
    assert added == sorted(added)
    assert added[0] == "day 1_00-00-00.000.jpg"
    assert added[-2:] == ["in/b_00-00-00.000.jpg", "in/b_00-00-00.500.jpg"]
    assert not any(dropped(scope, video.upload_id).exists() for video in videos)


def test_near_duplicates_are_left_out(
    store: Store, scope: Scope, run_job: RunJob, clip: bytes
) -> None:
    job = run_job("frames", **parameters(kept(scope, "a.avi", clip)))
    assert job.result == {"added": 2, "present": 0, "left_out": 4, "problems": []}
    assert names(store, scope) == ["a_00-00-00.000.jpg", "a_00-00-01.500.jpg"]


def test_video_that_breaks_off_keeps_its_frames_and_says_so(
    store: Store, scope: Scope, run_job: RunJob, clip: bytes
) -> None:
    cut = kept(scope, "cut.avi", clip[: len(clip) // 2])
    job = run_job("frames", **parameters(cut, kept(scope, "b.avi", clip)))
    assert job.state is JobState.DONE
    result = job.result or {}
    assert result["added"] == 2
    assert "cut.avi is cut off or damaged after 0:01." in result["problems"][0]
    assert len(result["problems"]) == 1


def test_full_dataset_ends_it_with_a_sentence(
    store: Store, scope: Scope, run_job: RunJob, clip: bytes
) -> None:
    every = FrameChoice(Every.FRAMES, 15)
    video = kept(scope, "a.avi", clip)
    limits = Limits(max_dataset_images=1)
    job = run_job("frames", **parameters(video, choice=every, limits=limits))
    said = "The dataset is full: frames of a.avi from 0:01.5 on are left out."
    assert (job.result or {})["problems"] == [said]
    assert len(names(store, scope)) == 1


def test_cancelled_job_can_be_done_again(
    store: Store, scope: Scope, run_job: RunJob, clip: bytes
) -> None:
    video = parameters(kept(scope, "a.avi", clip))
    assert run_job("frames", cancelled=True, **video).state is JobState.CANCELLED
    assert names(store, scope) == []
    assert (run_job("frames", **video).result or {})["added"] == 2


def test_video_that_has_expired_says_so(
    scope: Scope, run_job: RunJob, clip: bytes
) -> None:
    video = replace(kept(scope, "a.avi", clip), upload_id="gone")
    job = run_job("frames", **parameters(video))
    assert (job.result or {})["problems"] == ["a.avi has expired; upload it again."]


@pytest.mark.parametrize(
    ("data", "limits", "error"),
    [
        (b"nothing", Limits(), ImageReadError),
        (b"", Limits(), ImageReadError),
        (None, Limits(max_video_seconds=1), LimitError),
    ],
)
def test_nothing_is_kept_of_a_video_that_is_refused(
    data: bytes | None,
    limits: Limits,
    error: type[Exception],
    scope: Scope,
    clip: bytes,
    home: Path,
) -> None:
    with pytest.raises(error, match=r"a\.avi"):
        keep_video(scope, "a.avi", io.BytesIO(clip if data is None else data), limits)
    assert list((home / "exports").rglob("dropped-*")) == []


def test_two_videos_of_one_name_are_told_apart(
    store: Store, scope: Scope, run_job: RunJob, clip: bytes, tmp_path: Path
) -> None:
    other = write_video(tmp_path / "b.avi", reversed([*moving(16)])).read_bytes()
    every = FrameChoice(Every.FRAMES, 15)
    both = [kept(scope, "a.avi", clip), kept(scope, "a.avi", other)]
    run_job("frames", **parameters(*both, choice=every))
    expected = [
        "a_00-00-00.000.jpg",
        "a_00-00-01.500.jpg",
        "a-2_00-00-00.000.jpg",
        "a-2_00-00-01.500.jpg",
    ]
    assert names(store, scope) == expected
    # The same videos again, with other frames chosen, are no third and fourth.
    more = FrameChoice(Every.FRAMES, 5, keeps_duplicates=True)
    both = [kept(scope, "a.avi", clip), kept(scope, "a.avi", other)]
    run_job("frames", **parameters(*both, choice=more))
    videos = {name.split("_")[0] for name in names(store, scope)}
    assert videos == {"a", "a-2"}
    assert names(store, scope)[:4] == expected
