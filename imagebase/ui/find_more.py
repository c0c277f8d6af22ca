"""Find more like this: asked on any page, shown on Review."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import streamlit as st

from imagebase.jobs.teaching import teach_parameters
from imagebase.settings import DEFAULT_CONFIDENCE
from imagebase.ui import job_progress, services, state, widgets

NAME: Final = "Find more like this"
ICON: Final = ":material/frame_inspect:"
# The view of Review that shows what was found, and its label.
VIEW: Final = "Find more"
VIEW_KEY: Final = "review.view"
LABEL_KEY: Final = "review.find.label"
# The slider of that view; what is surer is likely right, and is suggested on images.
CONFIDENCE: Final = "review.find.confidence"
LIKELY: Final = DEFAULT_CONFIDENCE
# Boxes that overlap more are one object: stricter than on Annotate, as two boxes of one
# object, both accepted, are more work than a missed one.
NMS_IOU: Final = 0.35
_REVIEW_PAGE: Final = "pages/review.py"
_PENDING: Final = "imagebase.find_more.pending"
_KIND: Final = "teach"


def popover(
    labels: Sequence[str],
    image_ids: Sequence[str],
    *,
    key: str,
    before: Callable[[], None] = lambda: None,
) -> None:
    """Draw the button that takes images as examples and finds more like them.

    Args:
        labels: to choose from, the likeliest first.
        image_ids: the examples.
        key: of the popover.
        before: called first when it is clicked.
    """
    is_possible = bool(labels and image_ids)
    with st.popover(
        NAME,
        icon=ICON,
        disabled=not is_possible,
        key=key,
        help=None if is_possible else "Needs an image with boxes as an example.",
    ):
        if is_possible:
            _question(labels, image_ids, key, before)


def _question(
    labels: Sequence[str],
    image_ids: Sequence[str],
    key: str,
    before: Callable[[], None],
) -> None:
    choice = f"{key}.label.{hash(tuple(labels))}"
    label = labels[0]
    if len(labels) > 1:
        label = st.selectbox("Label", labels, key=choice)
    where = "this image" if len(image_ids) == 1 else f"these {len(image_ids):,} images"
    st.markdown(f"Draw every **{widgets.escape(label)}** on {where}, then click.")
    st.button(
        "Find more",
        key=f"{key}.ask",
        type="primary",
        icon=ICON,
        on_click=_ask_for_choice,
        args=(choice, tuple(labels), tuple(image_ids), before),
    )


@state.reports_errors
def _ask_for_choice(
    key: str,
    labels: Sequence[str],
    image_ids: Sequence[str],
    before: Callable[[], None],
) -> None:
    before()
    # The current choice: it may have come with the click.
    ask(widgets.offered(key, labels, labels[0]), image_ids)
    widgets.go_to(_REVIEW_PAGE)


def ask(label: str, image_ids: Sequence[str] = ()) -> None:
    """Teach the dataset's model a label, and show what it finds; for a callback.

    image_ids: examples, on which all objects of the label have boxes.
    """
    st.session_state[VIEW_KEY] = VIEW
    st.session_state[LABEL_KEY] = label
    _begin(teach_parameters(services.store(), state.scope(), [label], image_ids))


def refit() -> None:
    """Teach the model again, now or when it has done what it does; for a callback."""
    if st.session_state.get(_PENDING) is None:
        _begin(teach_parameters(services.store(), state.scope()))


def go_on() -> None:
    """Go to what was found after a click, and start what waits; first in a page."""
    widgets.go_on()
    pending = st.session_state.get(_PENDING)
    if pending is not None and not is_at_work():
        st.session_state[_PENDING] = None
        dataset_id, parameters = pending
        if dataset_id == state.scope().dataset_id:
            job_progress.start(_KIND, parameters)


def is_at_work() -> bool:
    """Say whether the dataset's model is being taught, or about to."""
    return job_progress.is_active(job_progress.latest(_KIND))


def _begin(parameters: Mapping[str, Any]) -> None:
    if is_at_work():
        waiting = (state.scope().dataset_id, dict(parameters))
        st.session_state[_PENDING] = waiting
    else:
        job_progress.begin(_KIND, dict(parameters))
