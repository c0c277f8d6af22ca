"""Interpolate boxes between key frames of a video: preview, then save them."""

from functools import partial
from typing import Final

import streamlit as st

from imagebase.annotation import ImageRecord
from imagebase.images.video import FrameTime, frame_time, time_in_words
from imagebase.review.bulk_edits import BulkReport, keep_layer
from imagebase.review.interpolation import (
    MODEL_ID,
    Filled,
    Interpolation,
    interpolate,
)
from imagebase.ui import bulk_progress, cache, services, state, widgets
from imagebase.ui.edit import canvas

_COLUMNS: Final = 4
_SHOWN: Final = 8


def button(record: ImageRecord) -> None:
    """Draw the button that opens the dialog, on frames of a video."""
    if frame_time(record.file_name) and st.button(
        "Interpolate boxes",
        key="edit.interpolate",
        icon=":material/timeline:",
        type="tertiary",
        help="Boxes on the frames between this key frame and the next ones: frames of "
        "the same video that you have labelled.",
    ):
        canvas.settle()
        _dialog(record.image_id)


@st.dialog(
    "Interpolate boxes between key frames",
    width="large",
    icon=":material/timeline:",
    on_dismiss="rerun",
)
@widgets.in_dialog
def _dialog(image_id: str) -> None:
    state.leave_deleted_dataset()
    bulk_progress.leave_fragment()
    plan = interpolate(services.store(), state.scope(), image_id)
    if plan.problem:
        st.info(plan.problem)
        return
    times = [_in_words(time) for time in plan.keys]
    frames = [frame for frame in plan.frames if frame.boxes]
    st.markdown(
        f"**{widgets.plural(plan.box_count, 'box')}** on "
        f"**{widgets.plural(len(frames), 'frame')}** between your frames at "
        f"{', '.join(times[:-1])} and {times[-1]}."
    )
    st.caption(
        "They are saved as suggestions, and nothing is approved. Interpolating again "
        "replaces those that you have not touched; frames that you edited stay as "
        "they are."
    )
    # A click saves the plan that was on screen, whatever was saved since.
    st.button(
        f"Save {widgets.plural(plan.box_count, 'box')}",
        key="interpolate.save",
        type="primary",
        icon=":material/check:",
        on_click=_save,
        args=(plan,),
    )
    _tiles(frames)


def _in_words(time: FrameTime) -> str:
    return time_in_words(time.milliseconds / 1000)


def _tiles(frames: list[Filled]) -> None:
    """Draw frames with their boxes, at most eight, spread over all of them."""
    count = min(len(frames), _SHOWN)
    shown = [frames[len(frames) * number // count] for number in range(count)]
    scope, store = state.scope(), services.store()
    labels = store.labels(scope)
    for start in range(0, len(shown), _COLUMNS):
        cells = st.columns(_COLUMNS, gap="small")
        for cell, frame in zip(cells, shown[start : start + _COLUMNS], strict=False):
            kept = [
                box for box in frame.record.annotations if not _is_own(box.model_id)
            ]
            url = cache.labelled_tile(
                scope, frame.record, labels, [*kept, *frame.boxes]
            )
            cell.image(url, width="stretch", caption=_in_words(frame.time))
    if len(frames) > count:
        st.caption(f"{count} of {len(frames):,} frames are shown.")


def _is_own(model_id: str | None) -> bool:
    return model_id == MODEL_ID


@state.reports_errors
def _save(plan: Interpolation) -> None:
    store, scope = services.store(), state.scope()

    def work(on_progress: bulk_progress.OnProgress) -> BulkReport:
        return keep_layer(
            store,
            scope,
            plan.boxes,
            model_id=MODEL_ID,
            seen=plan.seen,
            on_progress=on_progress,
        )

    finish = partial(_finish, tuple(plan.boxes))
    bulk_progress.schedule("Interpolating", work, then=finish)


def _finish(image_ids: tuple[str, ...], result: BulkReport) -> None:
    state.forget_shown(image_ids)
    state.note_saved()
    images = widgets.plural(result.changed, "image")
    bulk_progress.report(f"Interpolated boxes on {images}", result)
