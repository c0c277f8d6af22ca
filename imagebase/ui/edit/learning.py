"""What the dataset learns while a person labels: one line on Edit, and its details."""

from typing import Final

import pandas as pd
import streamlit as st

from imagebase.annotation import ImageRecord
from imagebase.jobs.learning import LearningStatus
from imagebase.store import JobInfo
from imagebase.store.learning import (
    LearningRow,
    LearningState,
    TrainedWhileLabelling,
    Verdict,
)
from imagebase.ui import frame, job_progress, learned_boxes, services, state, widgets
from imagebase.ui.edit import navigation
from imagebase.ui.learning_switch import change, switch, training_run

_FOLLOWING: Final = 12
_POLL_SECONDS: Final = 1.0
_NAMED_LABELS: Final = 3
_TABLE_PX: Final = 200


def follow(record: ImageRecord) -> None:
    """Learn in the background; call it before the suggestions are read."""
    learned_boxes.follow(record, navigation.following()[:_FOLLOWING])


def draw(record: ImageRecord) -> None:
    """Draw what is learned, with Pause and Details; it follows what is on its way."""
    row = services.store().learning(state.scope())
    is_busy = row.state is not LearningState.OFF and _is_busy()
    with st.container(key="edit.learning"):
        # A fragment either way: a click would be lost with one that has just gone.
        every = _POLL_SECONDS if is_busy else None
        st.fragment(_following, run_every=every)(record, row, is_busy=is_busy)


def _is_busy() -> bool:
    is_learning = services.learner().status(state.scope()).is_busy
    return is_learning or job_progress.is_active(training_run())


@widgets.guarded
def _following(record: ImageRecord, shown: LearningRow, *, is_busy: bool) -> None:
    """Draw the line again and again, and the page once there is news for it.

    shown: what the page was drawn with. is_busy: whether it was on its way then.
    """
    state.leave_deleted_dataset()
    row = services.store().learning(state.scope())
    is_news = is_busy and (not _is_busy() or learned_boxes.is_news(record))
    if is_news or row != shown:
        state.run_page_again()
    _line(row)
    frame.show_message()


def _line(row: LearningRow) -> None:
    status = services.learner().status(state.scope())
    with st.container(
        horizontal=True, vertical_alignment="center", wrap=False, gap="small"
    ):
        st.caption(_in_words(row, status), width="stretch")
        if row.state is LearningState.ON:
            _button("Pause", "pause", LearningState.PAUSED)
        elif row.state is LearningState.PAUSED:
            _button("Resume", "resume", LearningState.ON)
        with st.popover("Details", type="tertiary", key="edit.learning.details"):
            _details(row, status)


def _button(words: str, icon: str, then: LearningState) -> None:
    st.button(
        words,
        key=f"edit.learning.{icon}",
        icon=f":material/{icon if icon == 'pause' else 'play_arrow'}:",
        type="tertiary",
        on_click=change,
        args=(then,),
    )


def _in_words(row: LearningRow, status: LearningStatus) -> str:
    if row.state is LearningState.OFF:
        return "Not learning from approved images."
    learned = f"Learned from {widgets.plural(status.images, 'image')}"
    if not status.images:
        learned = "Learns from each image you approve"
    elif status.ap50:
        learned += f": {_scores(status)}"
    sentences = [f"{learned}."]
    if row.state is LearningState.PAUSED:
        sentences.insert(0, "Paused.")
    job = training_run()
    if job is not None and job.state.is_active:
        sentences.append(f"Training a YOLOv4-tiny: {_progress(job)}")
    elif row.trained is not None:
        sentences.append(f"YOLOv4-tiny in use: {comparison(row.trained)}.")
    return widgets.escape(" ".join(sentences))


def _scores(status: LearningStatus) -> str:
    """Return the AP50 of the labels that were judged on most boxes."""
    labels = list(status.ap50.items())
    named = [f"{label} {_short(ap50)}" for label, ap50 in labels[:_NAMED_LABELS]]
    more = len(labels) - len(named)
    return ", ".join([*named, *([f"{more} more"] if more else [])])


def _short(share: float) -> str:
    return f"{share:.2f}".removeprefix("0")


def comparison(run: TrainedWhileLabelling) -> str:
    """Return by how much a trained model is better, and on how many images."""
    images = widgets.plural(run.images, "held-out image")
    return f"AP50 {_short(run.before)} → {_short(run.after)} on {images}"


def _progress(job: JobInfo) -> str:
    return job.message if job.message else "starting …"


def _details(row: LearningRow, status: LearningStatus) -> None:
    switch("edit.learning.switch")
    if status.ap50:
        rows = [{"label": label, "AP50": ap50} for label, ap50 in status.ap50.items()]
        st.dataframe(
            pd.DataFrame(rows), hide_index=True, height="auto", width=_TABLE_PX * 2
        )
        st.caption(
            "AP50 of the suggestions on your last approved images, measured before you "
            "approved them."
        )
    for run in reversed(row.runs[-3:]):
        words = {
            Verdict.USED: "used" if run is row.trained else "used before",
            Verdict.REFUSED: "not better, not used",
            Verdict.UNDONE: "not used any more",
        }[run.verdict]
        st.caption(widgets.escape(f"{run.model}: {comparison(run)}; {words}."))
    if row.trained is not None:
        st.button(
            "Use the previous model",
            key="edit.learning.undo",
            icon=":material/undo:",
            on_click=_undo,
        )


@state.reports_errors
def _undo() -> None:
    services.store().change_learning(state.scope(), LearningRow.without_last_used)
    state.say("The previous model makes the suggestions again.")
