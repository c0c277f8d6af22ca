"""Copy the boxes of the image on screen on to other images, after a preview."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import streamlit as st

from imagebase.annotation import ImageRecord
from imagebase.editing.copying import CopyPreview, preview
from imagebase.review.bulk_edits import BulkReport, copy_on
from imagebase.ui import bulk_progress, likeness, services, state, widgets
from imagebase.ui.edit import canvas, changes, keys, navigation

_OPEN: Final = "imagebase.edit.copy_on"
_WHERE: Final = "edit.copy_on.where"
_COUNT: Final = "edit.copy_on.count"
_NEXT: Final = "next"
_ALIKE: Final = "alike"
_USUAL: Final = 10
_NAMED: Final = 5


def draw_button(record: ImageRecord) -> None:
    """Draw the button that opens the dialog, and the dialog if it was asked for."""
    st.button(
        "Copy on",
        key="edit.copy-on",
        icon=":material/file_copy:",
        on_click=changes.on_screen,
        args=(record.image_id, ask),
        help=keys.hint(
            "Copies the boxes of this image to the next images or its near-duplicates.",
            "copy-on",
        ),
    )
    if st.session_state.pop(_OPEN, None) == record.image_id:
        _dialog(record.image_id)


def ask() -> None:
    """Open the dialog when the button is drawn next: a callback cannot."""
    if not changes.record().annotations:
        canvas.report("This image has no boxes to copy on.")
        return
    st.session_state[_OPEN] = state.image_id()


@st.dialog(
    "Copy boxes to other images", icon=":material/file_copy:", on_dismiss="rerun"
)
@widgets.in_dialog
def _dialog(image_id: str) -> None:
    state.leave_deleted_dataset()
    source = services.store().record(state.scope(), image_id)
    ids = _choose_targets(image_id)
    targets = services.store().records(state.scope(), image_ids=ids)
    plan = preview(source, targets)
    boxes, images = sum(plan.boxes.values()), len(plan.boxes)
    words = f"{widgets.plural(boxes, 'box')} on {widgets.plural(images, 'image')}"
    st.markdown(
        f"**{words}** will be added. Existing boxes are kept. One undo takes all back."
    )
    for line in _skipped(plan):
        st.caption(line)
    if st.button(
        f"Copy {widgets.plural(boxes, 'box')}",
        key="edit.copy_on.run",
        type="primary",
        disabled=not boxes,
    ):
        _run(source, _seen(targets, plan))
        st.rerun()  # closes the dialog


def _choose_targets(image_id: str) -> Sequence[str]:
    """Draw the choice of the images; return them in order."""
    ahead = navigation.ahead()
    alike = next((ids for ids in likeness.duplicates() if image_id in ids), [])
    others = [other for other in alike if other != image_id]
    words = {
        _NEXT: f"Next images ({len(ahead):,})",
        _ALIKE: f"Near-duplicates of this image ({len(others):,})",
    }
    where = st.radio("Copy to", list(words), format_func=words.get, key=_WHERE)
    if where == _ALIKE:
        return others
    most = max(len(ahead), 1)
    count = st.number_input(
        "How many", 1, most, min(_USUAL, most), key=f"{_COUNT}.{most}"
    )
    return ahead[: int(count)]


def _skipped(plan: CopyPreview) -> list[str]:
    """Return a line for each reason why images are left out, with their names."""
    lines = []
    for reason, names in plan.skipped.items():
        images = widgets.plural(len(names), "image")
        shown = widgets.escape(widgets.named(names, most=_NAMED))
        lines.append(f"Skipped: {images} {reason}: {shown}.")
    return lines


def _seen(targets: Sequence[ImageRecord], plan: CopyPreview) -> Mapping[str, int]:
    return {
        record.image_id: record.revision
        for record in targets
        if record.image_id in plan.boxes
    }


@state.reports_errors
def _run(source: ImageRecord, seen: Mapping[str, int]) -> None:
    store, scope = services.store(), state.scope()

    def work(on_progress: bulk_progress.OnProgress) -> BulkReport:
        return copy_on(store, scope, source, seen, seen=seen, on_progress=on_progress)

    bulk_progress.run_or_schedule(
        "Copying", work, then=partial(_finish, seen), images=len(seen)
    )


def _finish(seen: Mapping[str, int], result: BulkReport) -> None:
    state.note_saved()
    state.forget_shown(seen)
    bulk_progress.report(f"Copied {bulk_progress.boxes_on(result)}", result)
