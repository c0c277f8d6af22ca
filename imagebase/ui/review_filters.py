"""What the Review page shows: its view, and what a plot that was clicked leaves."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from imagebase.ui import state, widgets

QUEUE: Final = "Queue"
LABELS: Final = "Labels"
CROPS: Final = "Crops"
IMAGES: Final = "Images"
FIGURES: Final = "Figures"

LABELS_KEY: Final = "review.labels"
_VIEW: Final = "review.view"
_CHOSEN: Final = "imagebase.review.chosen"


@dataclass(frozen=True, slots=True)
class ChosenImages:
    """Images of one dataset that something on the page leads to, and what they are."""

    dataset_id: str
    image_ids: tuple[str, ...]
    why: str


def choose_view(names: Sequence[str], *, first: str) -> str:
    """Draw the switch between the views of these names; return the chosen one.

    first: the one to begin with.
    """
    view: str = st.segmented_control(
        "View",
        names,
        default=st.session_state.get(_VIEW, first),
        required=True,
        key=_VIEW,
        label_visibility="collapsed",
        persist_state="session",
    )
    return view


def show_labels(*, labels: Collection[str]) -> None:
    """Go to the table of labels, only those of these names in it."""
    st.session_state[LABELS_KEY] = list(labels)
    st.session_state[_VIEW] = LABELS


def show_images(image_ids: Sequence[str], *, why: str) -> None:
    """Go to the table of images, only these in it; why: what they are, in a few words.

    They stay so until somebody clears it or works on another dataset.
    """
    dataset_id = state.dataset().dataset_id
    st.session_state[_CHOSEN] = ChosenImages(dataset_id, tuple(image_ids), why)
    st.session_state[_VIEW] = IMAGES


def chosen_images() -> tuple[str, ...] | None:
    """Draw what the table of images is limited to, with a way out; None: nothing."""
    chosen: ChosenImages | None = st.session_state.get(_CHOSEN)
    if chosen is None or chosen.dataset_id != state.dataset().dataset_id:
        return None
    draw_chip(chosen.why, key="review.clear_images", on_click=_clear_images)
    return chosen.image_ids


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
    number = widgets.page_number(pages, key=key) if pages > 1 else 1
    return (number - 1) * page_size
