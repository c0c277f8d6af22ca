"""A training while it goes on: how far, how long, curves that grow."""

from collections.abc import Sequence
from typing import Final

import altair as alt
import pandas as pd
import streamlit as st

from imagebase.jobs.training import KIND, work_folder
from imagebase.store import JobInfo, JobState
from imagebase.training.run_folder import (
    CLOSING,
    Evaluation,
    Log,
    Progress,
    read_log,
    thinned,
    time_left,
)
from imagebase.training.session import ask_to_finish
from imagebase.ui import job_progress, services, state, widgets

# Curves that are drawn anew take from the cores that learn.
POLL_SECONDS: Final = 2.0
_CURVE_PX: Final = 260
ALL: Final = "all labels"
_STEPS: Final = alt.Axis(format=",d", tickMinStep=1)


@st.fragment(run_every=POLL_SECONDS)
@widgets.guarded
def running(job_id: str) -> None:
    """Draw a training that goes on; when it ends the page is drawn again."""
    state.leave_deleted_dataset()
    job = services.store().job(state.scope(), job_id)
    if not job_progress.is_active(job):
        state.run_page_again()
        return
    log = read_log(work_folder(state.scope(), job_id))
    left, middle, right = st.columns([6, 2, 1], vertical_alignment="center")
    share, text = _how_far(job, log)
    is_ending = job.cancel_requested or _is_closing(job, log)
    left.progress(share, text=text)
    middle.button(
        "End now, keep the best",
        key=f"train.finish.{job_id}",
        icon=":material/done_all:",
        width="stretch",
        disabled=is_ending or not log.losses,
        on_click=_finish,
        args=(job_id,),
    )
    right.button(
        "Stop",
        key=f"train.stop.{job_id}",
        icon=":material/pause:",
        width="stretch",
        disabled=is_ending,
        on_click=_stop,
        args=(job_id,),
        help="What was learned is kept; you can go on later.",
    )
    curves(log.losses, log.evaluations)
    if not log.losses:
        st.caption("The first figures will be here in a moment.")


def _how_far(job: JobInfo, log: Log) -> tuple[float, str]:
    progress = log.progress
    if job.state is JobState.QUEUED:
        return 0.0, "Waits for its turn …"
    if _is_closing(job, log):
        return 1.0, Progress(CLOSING).in_words()
    # One that goes on has a log already while it is not yet known how far it is.
    if progress is None or not job.total:
        share, text = _share(job.done, job.total), widgets.escape(job.message)
    else:
        share = _share(progress.done, progress.total)
        steps = f"{progress.done:,} of about {progress.total:,} steps"
        left = time_left(progress.seconds_left)
        text = f"{steps}{left} · {progress.compute}"
    return share, "Stopping …" if job.cancel_requested else text or "Starting …"


def _share(done: int, total: int) -> float:
    return min(done / total, 1.0) if total else 0.0


def _is_closing(job: JobInfo, log: Log) -> bool:
    """Say whether all is learned; the model is judged and written, and soon there."""
    phase = log.progress.phase if log.progress is not None else ""
    return job.state is JobState.RUNNING and phase in {CLOSING, "done"}


@state.reports_errors
def _stop(job_id: str) -> None:
    services.store().cancel_job(state.scope(), job_id)


@state.reports_errors
def _finish(job_id: str) -> None:
    ask_to_finish(work_folder(state.scope(), job_id))


def active() -> JobInfo | None:
    """Return the training that goes on, or waits to; not always the newest one."""
    going_on = services.store().active_jobs(state.scope())
    return next((one for one in going_on if one.kind == KIND), None)


def curves(
    losses: Sequence[tuple[int, float]], evaluations: Sequence[Evaluation]
) -> None:
    """Draw loss and AP50 side by side."""
    left, right = st.columns(2)
    points = thinned(losses) or [
        (one.step, one.loss) for one in evaluations if one.loss is not None
    ]
    if points:
        left.markdown("**Loss**")
        left.altair_chart(_loss_chart(points), width="stretch")
    judged = [one for one in evaluations if one.ap50 is not None]
    if judged:
        right.markdown("**AP50 on held-out images**")
        right.altair_chart(_ap_chart(judged), width="stretch")
    elif losses:
        right.caption("AP50 comes after the first pass over all images.")


def _loss_chart(points: Sequence[tuple[int, float]]) -> alt.Chart:
    frame = pd.DataFrame(points, columns=["step", "loss"])
    chart: alt.Chart = (
        alt.Chart(frame)
        .mark_line(color="#4A90D9")
        .encode(
            x=alt.X("step:Q", title="steps", axis=_STEPS),
            y=alt.Y("loss:Q", title=None, scale=alt.Scale(zero=True)),
            tooltip=["step:Q", alt.Tooltip("loss:Q", format=".2f")],
        )
        .properties(height=_CURVE_PX)
    )
    return chart


def _ap_chart(evaluations: Sequence[Evaluation]) -> alt.LayerChart:
    labels = services.store().labels(state.scope())
    rows = [
        {"step": one.step, "what": what, "AP50": value}
        for one in evaluations
        for what, value in ((ALL, one.ap50), *one.per_label.items())
        if value is not None
    ]
    names = [ALL, *dict.fromkeys(name for one in evaluations for name in one.per_label)]
    colours = ["#888888", *(labels.colour_of(one) for one in names[1:])]
    base = alt.Chart(pd.DataFrame(rows)).encode(
        x=alt.X("step:Q", title="steps", axis=_STEPS),
        y=alt.Y("AP50:Q", title=None, scale=alt.Scale(domain=[0, 1])),
        color=alt.Color(
            "what:N",
            scale=alt.Scale(domain=names, range=colours),
            legend=alt.Legend(title=None, orient="right", labelLimit=120),
        ),
        strokeWidth=alt.condition(alt.datum.what == ALL, alt.value(4), alt.value(1.5)),
        tooltip=["what:N", "step:Q", alt.Tooltip("AP50:Q", format=".3f")],
    )
    dots = base.mark_point(filled=True, size=40)
    return alt.LayerChart(layer=[base.mark_line(), dots]).properties(height=_CURVE_PX)
