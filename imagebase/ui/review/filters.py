"""What the Review page shows: its view, and what a plot that was clicked leaves."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from imagebase.ui import state, widgets

QUEUE: Final = "Queue"
LABELS: Final = "Labels"
CROPS: Final = "Crops"
IMAGES: Final = "Images"
LABEL_ERRORS: Final = "Label errors"
FIGURES: Final = "Figures"

LABELS_KEY: Final = "review.labels"
# Every filter of boxes by its widget's key, with the value that lets all pass.
LABEL_FILTERS: Final[Mapping[str, Any]] = {
    "review.text": "",
    "review.statuses": [],
    LABELS_KEY: [],
    "review.confidence": (0.0, 1.0),
    "review.sources": [],
    "review.who": [],
    "review.image": "",
    "review.attribute": "",
    "review.since": None,
    "review.until": None,
    "review.least_px": None,
    "review.below_px": None,
    "review.share": (0, 100),
}
IMAGE_FILTERS: Final[Mapping[str, Any]] = {
    "review.image_text": "",
    "review.image_statuses": [],
    "review.image_only": [],
    "review.image_tags": [],
}

_VIEW: Final = "review.view"
_CHOSEN: Final = "imagebase.review.chosen"


@dataclass(frozen=True, slots=True)
class ChosenImages:
    """Images of one dataset that something on the page leads to, and what they are."""

    dataset_id: str
    image_ids: tuple[str, ...]
    why: str


def choose_view(names: Sequence[str], *, first: Callable[[], str]) -> str:
    """Draw the switch between the views of these names; return the chosen one.

    first: names the one to begin with, where none is chosen yet.
    """
    # And no default: a value that a click elsewhere has set would be at odds with it.
    if _VIEW not in st.session_state:
        st.session_state[_VIEW] = first()
    view = st.segmented_control(
        "View",
        names,
        required=True,
        key=_VIEW,
        label_visibility="collapsed",
        persist_state="session",
    )
    return view or names[0]


def begin(filters: Mapping[str, Any]) -> None:
    """Let everything pass until somebody sets a filter; call it before the widgets."""
    for key, empty in filters.items():
        st.session_state.setdefault(key, empty)


def clear(filters: Mapping[str, Any]) -> None:
    """Let everything pass again; only before the widgets are drawn, in a callback."""
    for key, empty in filters.items():
        st.session_state[key] = empty


def show_labels(*, labels: Collection[str]) -> None:
    """Go to the table of labels, only those of these names in it."""
    clear(LABEL_FILTERS)
    st.session_state[LABELS_KEY] = list(labels)
    st.session_state[_VIEW] = LABELS


def show_images(image_ids: Sequence[str], *, why: str) -> None:
    """Go to the table of images, only these in it; why: what they are, in a few words.

    They stay so until somebody clears it or works on another dataset. Where there are
    none, one stays where one is.
    """
    if not image_ids:
        return
    dataset_id = state.dataset().dataset_id
    st.session_state[_CHOSEN] = ChosenImages(dataset_id, tuple(image_ids), why)
    clear(IMAGE_FILTERS)
    st.session_state[_VIEW] = IMAGES


def chosen_images() -> ChosenImages | None:
    """Return what the table of images is limited to; None where it is to nothing."""
    chosen: ChosenImages | None = st.session_state.get(_CHOSEN)
    is_here = chosen is not None and chosen.dataset_id == state.dataset().dataset_id
    return chosen if is_here else None


def draw_images_chip() -> None:
    """Draw what the table of images is limited to, with a way out."""
    chosen = chosen_images()
    with st.container(width="content"):
        if chosen is not None:
            draw_chip(chosen.why, key="review.clear_images", on_click=_clear_images)


def draw_chip(what: str, *, key: str, on_click: Callable[[], None]) -> None:
    """Draw what is shown and nothing else; a press shows everything again."""
    st.button(
        f"showing: {widgets.escape(what)}",
        key=key,
        icon=":material/close:",
        icon_position="right",
        help="Shows everything again.",
        on_click=on_click,
    )


def _clear_images() -> None:
    st.session_state.pop(_CHOSEN, None)


def bar() -> DeltaGenerator:
    """Return a row for what says how much is shown."""
    return st.container(horizontal=True, vertical_alignment="center", gap="small")


def turn_pages(total: int, noun: str, *, page_size: int, key: str) -> int:
    """Say how many there are and draw the pages to turn; return what lies before one.

    noun: what is counted, in the singular.
    """
    st.caption(f"{widgets.plural(total, noun)} in all", width="content")
    pages = -(-total // page_size)
    with st.container(width="content"):
        number = widgets.page_number(pages, key=key) if pages > 1 else 1
    return (number - 1) * page_size
