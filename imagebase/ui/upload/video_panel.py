"""Dropped videos: choose the frames, see how many, add them as images."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import BinaryIO, Final

import streamlit as st

from imagebase.errors import ImageBaseError
from imagebase.images.scan import Refused
from imagebase.images.video import (
    Every,
    FrameChoice,
    estimated_frames,
    time_in_words,
)
from imagebase.jobs.temporary_files import forget_dropped
from imagebase.jobs.videos import KIND, DroppedVideo, keep_video
from imagebase.store import JobInfo, JobState
from imagebase.ui import job_progress, services, state, widgets

_VIDEOS: Final = "imagebase.videos"
_STARTED: Final = "imagebase.videos.started"
_CHOICES: Final = {
    Every.SECONDS: "Every n seconds",
    Every.FRAMES: "Every n frames",
    Every.SCENES: "Each scene",
}


@dataclass(frozen=True, slots=True)
class _Dropped:
    dataset_id: str
    videos: tuple[DroppedVideo, ...]


def keep(
    files: Sequence[tuple[str, BinaryIO]],
    on_item: Callable[[str], None],
    interruptions: list[BaseException],
) -> list[Refused]:
    """Keep dropped videos for the form; return those that are refused."""
    scope, videos, refused = state.scope(), [], []
    for name, file in files:
        try:
            videos.append(keep_video(scope, name, file, services.limits()))
        except ImageBaseError as error:
            refused.append(Refused(name, str(error)))
        on_item(name)
    if videos:
        dropped = _Dropped(scope.dataset_id, (*_videos(), *videos))
        state.undisturbed(partial(_remember, dropped), interruptions)
    return refused


def _remember(dropped: _Dropped) -> None:
    st.session_state[_VIDEOS] = dropped
    st.session_state.pop(_STARTED, None)


def _videos() -> tuple[DroppedVideo, ...]:
    dropped: _Dropped | None = st.session_state.get(_VIDEOS)
    here = state.scope().dataset_id
    return dropped.videos if dropped and dropped.dataset_id == here else ()


def section() -> None:
    """Draw the form for dropped videos, the progress of their frames, or the result."""
    job = job_progress.latest(KIND)
    if job_progress.is_active(job):
        job_progress.show(KIND)
    elif _videos():
        with st.container(border=True):
            _form()
    elif job is not None and (_is_started() or job.state is JobState.INTERRUPTED):
        _show_outcome(job)


def _is_started() -> bool:
    return bool(st.session_state.get(_STARTED) == state.scope().dataset_id)


@st.fragment
@widgets.guarded
def _form() -> None:
    state.leave_deleted_dataset()
    videos = _videos()
    if not videos:
        st.rerun()  # discarded here
    st.markdown("  \n".join(map(_in_words, videos)))
    choice = _choose()
    estimates = [estimated_frames(video.info, choice) for video in videos]
    count = None if None in estimates else sum(filter(None, estimates))
    _say_count(count, choice)
    with st.container(horizontal=True):
        st.button(
            "Add frames" if count is None else f"Add {widgets.plural(count, 'frame')}",
            key="videos.add",
            type="primary",
            icon=":material/movie:",
            on_click=_start,
            args=(choice,),
        )
        st.button("Cancel", key="videos.forget", on_click=_discard)


def _in_words(video: DroppedVideo) -> str:
    info = video.info
    parts = [f":material/movie: **{widgets.escape(video.name)}**"]
    if info.seconds:
        parts.append(time_in_words(info.seconds))
    parts.append(f"{info.size.width:,} × {info.size.height:,}")
    if info.frame_rate:
        parts.append(f"{info.frame_rate:.4g} frames a second")
    return " · ".join(parts)


def _choose() -> FrameChoice:
    left, middle, right = st.columns([3, 1.2, 2], vertical_alignment="bottom")
    every = left.pills(
        "Frames",
        list(_CHOICES),
        default=Every.SECONDS,
        required=True,
        format_func=_CHOICES.__getitem__,
        key="videos.every",
    )
    if every is Every.SECONDS:
        step = middle.number_input(
            "Seconds", 0.04, 3600.0, 1.0, 0.5, key="videos.seconds"
        )
    elif every is Every.FRAMES:
        step = float(middle.number_input("n", 1, 100_000, 30, key="videos.frames"))
    else:
        return FrameChoice(Every.SCENES)
    leaves_out = right.checkbox(
        "Leave out near-duplicates",
        value=True,
        key="videos.leave_out",
        help="Frames that look almost the same as the last one added.",
    )
    return FrameChoice(Every(every), step, keeps_duplicates=not leaves_out)


def _say_count(count: int | None, choice: FrameChoice) -> None:
    limits, store = services.limits(), services.store()
    room = limits.max_dataset_images - store.usage(state.scope()).images
    if choice.every is Every.SCENES:
        said = "One frame for each scene; how many is known once the video is read."
    elif count is None:
        said = "This video does not say how long it is."
    else:
        most = "" if choice.keeps_duplicates else "at most "
        said = f"{most}{widgets.plural(count, 'image')}".capitalize() + "."
    if count is not None and count > room:
        said += f" The dataset has room for {room:,} more; the rest is left out."
    st.caption(said)


@state.reports_errors
def _start(choice: FrameChoice) -> None:
    parameters = {
        "videos": [asdict(video) for video in _videos()],
        "choice": asdict(choice),
        "limits": asdict(services.limits()),
    }
    job_progress.begin(KIND, parameters)
    st.session_state[_STARTED] = state.scope().dataset_id
    st.session_state.pop(_VIDEOS, None)


@state.reports_errors
def _discard() -> None:
    for video in _videos():
        forget_dropped(state.scope(), video.upload_id)
    st.session_state.pop(_VIDEOS, None)


def _show_outcome(job: JobInfo) -> None:
    if job.state is not JobState.DONE:
        job_progress.show(KIND)
        return
    result = job.result or {}
    parts = [f"**{widgets.plural(result['added'], 'frame')} added**"]
    if result["present"]:
        parts.append(f"{result['present']:,} already in the dataset")
    if result["left_out"]:
        left = widgets.plural(result["left_out"], "near-duplicate")
        parts.append(f"{left} left out")
    show = st.success if result["added"] else st.warning
    show(" · ".join(parts))
    for problem in result["problems"]:
        st.warning(widgets.escape(problem))
