"""Filters of the Review page, and the view they apply to."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from imagebase.annotation import Source, states
from imagebase.annotation.attributes import parsed
from imagebase.store import AcceptCounts, AnnotationFilter, Scope
from imagebase.ui import services, state, widgets
from imagebase.wording import percent

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


def set_defaults(filters: Mapping[str, Any]) -> None:
    """Let everything pass until somebody sets a filter; call it before the widgets."""
    for key, empty in filters.items():
        st.session_state.setdefault(key, empty)


def _reset(filters: Mapping[str, Any]) -> None:
    """Let everything pass again; only before the widgets are drawn, in a callback."""
    for key, empty in filters.items():
        st.session_state[key] = empty


def show_labels(*, labels: Collection[str]) -> None:
    """Go to the table of labels, only those of these names in it."""
    _reset(LABEL_FILTERS)
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
    _reset(IMAGE_FILTERS)
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
            _draw_chip(chosen.why, key="review.clear_images", on_click=_clear_images)


def _draw_chip(what: str, *, key: str, on_click: Callable[[], None]) -> None:
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


# Owner, dataset and its version: what was counted holds until the last one changes.
_Key = tuple[str, str, str]


def label_counts(wanted: AnnotationFilter) -> Mapping[str, int]:
    """Return how many boxes that pass a filter each label has, the frequent first."""
    # What a filter says of itself tells it apart; its lists cannot be hashed.
    return _label_counts(_key(), _Asked(wanted))


def people() -> tuple[str, ...]:
    """Return who changed a box last, people and models, the busiest first."""
    return _people(_key())


def acceptable(labels: tuple[str, ...], least: float) -> AcceptCounts:
    """Return what an acceptance from a confidence on is about; no labels: every one."""
    return _acceptable(_key(), labels, least)


class _Asked:
    """A filter as a key: two that say the same are the same."""

    def __init__(self, wanted: AnnotationFilter) -> None:
        self.wanted = wanted
        self.words = repr(wanted)

    def __hash__(self) -> int:
        return hash(self.words)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asked) and self.words == other.words


def _key() -> _Key:
    scope = state.scope()
    return scope.owner_id, scope.dataset_id, services.store().version(scope)


def _scope(key: _Key) -> Scope:
    owner_id, dataset_id, _ = key
    return Scope(owner_id, dataset_id, "")


@lru_cache(maxsize=64)
def _label_counts(key: _Key, asked: _Asked) -> Mapping[str, int]:
    return services.store().label_counts(_scope(key), asked.wanted)


@lru_cache(maxsize=16)
def _people(key: _Key) -> tuple[str, ...]:
    return tuple(services.store().people_counts(_scope(key)))


@lru_cache(maxsize=64)
def _acceptable(key: _Key, labels: tuple[str, ...], least: float) -> AcceptCounts:
    return services.store().count_acceptable(
        _scope(key), labels=labels or None, min_confidence=least
    )


# The words of every order that the store knows, the usual ones first.
ORDER_WORDS: Final[Mapping[str, str]] = {
    "doubt": "doubtful first",
    "confidence": "surest first",
    "upload": "as uploaded",
    "newest": "newest change",
    "oldest": "oldest change",
    "label": "label",
    "image": "image",
    "status": "status",
    "source": "source",
    "who": "who",
    "smallest": "smallest first",
    "largest": "largest first",
}
_FOLDED: Final = (
    "review.sources",
    "review.who",
    "review.image",
    "review.attribute",
    "review.since",
    "review.until",
    "review.least_px",
    "review.below_px",
    "review.share",
)


def draw_label_filters() -> tuple[AnnotationFilter, str]:
    """Draw the filters; return what passes them, and the name of its order."""
    # And no defaults: what a click elsewhere has set would be at odds with them.
    set_defaults(LABEL_FILTERS)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        text = st.text_input(
            "Search",
            key="review.text",
            placeholder="image or label",
            persist_state="session",
            width=128,
        )
        labels = st.multiselect(
            "Label",
            _names(),
            key=LABELS_KEY,
            placeholder="any",
            persist_state="session",
            width=176,
            select_all=False,
        )
        statuses = st.multiselect(
            "Status",
            states.FILTERS,
            key="review.statuses",
            placeholder="any",
            persist_state="session",
            width=140,
            select_all=False,
        )
        confidence: Any = st.slider(
            "Confidence",
            0.0,
            1.0,
            step=0.01,
            key="review.confidence",
            persist_state="session",
            help="A person's boxes have none; they show while the slider is wide open.",
            width=128,
        )
        order = st.selectbox(
            "Order",
            list(ORDER_WORDS),
            format_func=ORDER_WORDS.__getitem__,
            key="review.order",
            persist_state="session",
            width=150,
        )
        more = _draw_more()
    wanted = AnnotationFilter(
        text=text or None,
        labels=labels or None,
        statuses=states.statuses_of(statuses) or None,
        confidence=None if confidence == (0.0, 1.0) else confidence,
        **more,
    )
    return wanted, order


def _names() -> list[str]:
    """Return the labels to choose from, and those in use under another name."""
    shown = services.store().labels(state.scope()).shown_names
    in_use = label_counts(AnnotationFilter())
    return list(dict.fromkeys([*shown, *in_use]))


def _draw_more() -> dict[str, Any]:
    """Draw the filters that few need; return them as `AnnotationFilter` takes them."""
    active = sum(_is_set(key) for key in _FOLDED)
    title = f"More ({active})" if active else "More"
    with st.popover(title, icon=":material/filter_list:", key="review.more"):
        found = {**_draw_makers(), **_draw_times(), **_draw_sizes()}
        st.button(
            "Clear all filters", key="review.clear_all", on_click=clear_label_filters
        )
    return found


def _is_set(key: str) -> bool:
    return bool(
        st.session_state.get(key, LABEL_FILTERS[key]) not in (LABEL_FILTERS[key], None)
    )


def _draw_makers() -> dict[str, Any]:
    left, right = st.columns(2)
    sources = left.multiselect(
        "Source",
        list(Source),
        key="review.sources",
        placeholder="any",
        persist_state="session",
        select_all=False,
    )
    who = right.multiselect(
        "Changed last by",
        people(),
        key="review.who",
        placeholder="anybody",
        persist_state="session",
        select_all=False,
    )
    left, right = st.columns(2)
    image = left.text_input(
        "Image",
        key="review.image",
        placeholder="a part of the file's name",
        persist_state="session",
    )
    attribute = right.text_input(
        "Attribute",
        key="review.attribute",
        placeholder="occluded, or color = red",
        persist_state="session",
        help="A name finds every box that has the attribute; a name and a value those "
        "with this value.",
    )
    named = parsed(attribute or "")
    return {
        "sources": sources or None,
        "who": who or None,
        "image": image or None,
        "attribute": named if named[0] else None,
    }


def _draw_times() -> dict[str, Any]:
    left, right = st.columns(2)
    since = left.date_input(
        "Changed from", None, key="review.since", persist_state="session"
    )
    until = right.date_input("to", None, key="review.until", persist_state="session")
    return {
        "since": _midnight(since),
        "until": _midnight(until + timedelta(days=1)) if until else None,
    }


def _midnight(day: date | None) -> datetime | None:
    """Return when a day begins where the person is, in UTC."""
    if day is None:
        return None
    offset = timedelta(minutes=st.context.timezone_offset or 0)
    return datetime.combine(day, time(), UTC) + offset


def _draw_sizes() -> dict[str, Any]:
    left, right = st.columns(2)
    least = left.number_input(
        "Shortest side from, px",
        0,
        value=None,
        key="review.least_px",
        placeholder="any",
        persist_state="session",
    )
    below = right.number_input(
        "to under, px",
        0,
        value=None,
        key="review.below_px",
        placeholder="any",
        persist_state="session",
    )
    share: Any = st.slider(
        "Share of the image, %",
        0,
        100,
        key="review.share",
        persist_state="session",
    )
    is_sided = least is not None or below is not None
    return {
        "sides": (least or 0, float("inf") if below is None else below)
        if is_sided
        else None,
        "share": None if share == (0, 100) else (share[0] / 100, share[1] / 100),
    }


def clear_label_filters() -> None:
    """Let every box pass again."""
    _reset(LABEL_FILTERS)


def draw_labels_chip(wanted: AnnotationFilter) -> None:
    """Draw what passes the filters, in words, with a way to see everything again."""
    words = describe(wanted)
    with st.container(width="content"):
        if words:
            _draw_chip(words, key="review.clear_labels", on_click=clear_label_filters)


def say_no_label_matches() -> None:
    """Say what to do where no box passes the filters."""
    st.info(
        "No label passes these filters. Widen them, or let a model look for "
        "objects on **Annotate**."
    )


def describe(wanted: AnnotationFilter) -> str:
    """Return what passes a filter, in words; empty where everything does."""
    return " · ".join(_words(wanted))


def _words(wanted: AnnotationFilter) -> list[str]:
    found = []
    if wanted.text:
        found.append(f"“{wanted.text}”")
    found += _listed(list(wanted.labels or ()), "labels")
    found += [widgets.STATUS_WORDS[one] for one in wanted.statuses or ()]
    if wanted.confidence:
        least, most = (percent(one) for one in wanted.confidence)
        found.append(f"confidence {least} to {most}")
    found += [f"made by {one}" for one in wanted.sources or ()]
    found += [f"changed by {one}" for one in wanted.who or ()]
    if wanted.image:
        found.append(f"image “{wanted.image}”")
    if wanted.attribute:
        found.append(" = ".join(part for part in wanted.attribute if part is not None))
    if wanted.since or wanted.until:
        found.append("changed in a span")
    if wanted.sides:
        found.append(_sides(*wanted.sides))
    if wanted.share:
        least, most = (f"{one * 100:.0f}" for one in wanted.share)
        found.append(f"{least} to {most} % of the image")
    return found


def _listed(names: Sequence[str], noun: str, *, most: int = 3) -> list[str]:
    return list(names) if len(names) <= most else [f"{len(names)} {noun}"]


def _sides(least: float, below: float) -> str:
    return f"side from {least:.0f} px" + (
        "" if below == float("inf") else f" to under {below:.0f} px"
    )
