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
from imagebase.ui.find_more import VIEW_KEY
from imagebase.wording import percent

QUEUE: Final = "Queue"
SUGGESTIONS: Final = "Suggestions"
BOXES: Final = "Boxes"
CROPS: Final = "Crops"
IMAGES: Final = "Images"
MAP: Final = "Map"
DUPLICATES: Final = "Near-duplicates"
TAGS: Final = "Tags"
LABEL_ERRORS: Final = "Label errors"
STATISTICS: Final = "Statistics"

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

_CHOSEN: Final = "imagebase.review.chosen"


@dataclass(frozen=True, slots=True)
class ChosenImages:
    """Images of one dataset that a click on a chart selected, and why."""

    dataset_id: str
    image_ids: tuple[str, ...]
    why: str


def choose_view(names: Sequence[str], *, first: Callable[[], str]) -> str:
    """Draw the switch between views; return the chosen one.

    first: returns the view to open with.
    """
    # Without a default: it would conflict with what a click elsewhere has set.
    if VIEW_KEY not in st.session_state:
        st.session_state[VIEW_KEY] = first()
    view = st.segmented_control(
        "View",
        names,
        required=True,
        key=VIEW_KEY,
        label_visibility="collapsed",
        persist_state="session",
    )
    return view or names[0]


def set_defaults(filters: Mapping[str, Any]) -> None:
    """Set filters without a value to match everything; call before their widgets."""
    for key, empty in filters.items():
        st.session_state.setdefault(key, empty)


def _reset(filters: Mapping[str, Any]) -> None:
    """Clear filters; only in a callback, before their widgets are drawn."""
    for key, empty in filters.items():
        st.session_state[key] = empty


def show_labels(*, labels: Collection[str]) -> None:
    """Go to the table of boxes, filtered by these labels."""
    _reset(LABEL_FILTERS)
    st.session_state[LABELS_KEY] = list(labels)
    st.session_state[VIEW_KEY] = BOXES


def show_images(image_ids: Sequence[str], *, why: str) -> None:
    """Go to the table of images, filtered to these; without images, stay.

    The filter lasts until it is cleared or another dataset is opened.

    why: what these images are, in a few words.
    """
    if image_ids:
        choose_images(image_ids, why=why)
        go_to(IMAGES)


def choose_images(image_ids: Sequence[str], *, why: str) -> None:
    """Filter the queue and the table of images to these; without images, to all.

    The filter lasts until it is cleared or another dataset is opened.

    why: what these images are, in a few words.
    """
    if not image_ids:
        _clear_images()
        return
    dataset_id = state.dataset().dataset_id
    st.session_state[_CHOSEN] = ChosenImages(dataset_id, tuple(image_ids), why)


def go_to(view: str) -> None:
    """Switch to another view of the page; only in a callback."""
    if view == IMAGES:
        _reset(IMAGE_FILTERS)
    st.session_state[VIEW_KEY] = view


def chosen_images() -> ChosenImages | None:
    """Return the images that are filtered to; None without such a filter."""
    chosen: ChosenImages | None = st.session_state.get(_CHOSEN)
    is_here = chosen is not None and chosen.dataset_id == state.dataset().dataset_id
    return chosen if is_here else None


def draw_images_chip() -> None:
    """Draw the chip that clears the filter to certain images."""
    chosen = chosen_images()
    with st.container(width="content"):
        if chosen is not None:
            _draw_chip(chosen.why, key="review.clear_images", on_click=_clear_images)


def _draw_chip(what: str, *, key: str, on_click: Callable[[], None]) -> None:
    st.button(
        f"Filter: {widgets.escape(what)}",
        key=key,
        icon=":material/close:",
        icon_position="right",
        help="Clear this filter",
        on_click=on_click,
    )


def _clear_images() -> None:
    st.session_state.pop(_CHOSEN, None)


def bar() -> DeltaGenerator:
    """Return the row for chips, the count and page numbers."""
    return st.container(horizontal=True, vertical_alignment="center", gap="small")


def draw_paging(total: int, noun: str, *, page_size: int, key: str) -> int:
    """Draw the number of items and the page number; return the page's offset.

    noun: of the items, in the singular.
    """
    st.caption(widgets.plural(total, noun), width="content")
    pages = -(-total // page_size)
    with st.container(width="content"):
        number = widgets.page_number(pages, key=key) if pages > 1 else 1
    return (number - 1) * page_size


# Owner, dataset and its version; counts are cached under these.
_Key = tuple[str, str, str]


def label_counts(wanted: AnnotationFilter) -> Mapping[str, int]:
    """Return the number of matching boxes of each label, most frequent first."""
    return _label_counts(_key(), _FilterKey(wanted))


def people() -> tuple[str, ...]:
    """Return who last changed a box, people and models, most boxes first."""
    return _people(_key())


def acceptable(labels: tuple[str, ...], least: float) -> AcceptCounts:
    """Count what accepting from a confidence on would change; no labels means all."""
    return _acceptable(_key(), labels, least)


class _FilterKey:
    """A hashable filter: equal where the representation is equal."""

    def __init__(self, wanted: AnnotationFilter) -> None:
        self.wanted = wanted
        self.words = repr(wanted)

    def __hash__(self) -> int:
        return hash(self.words)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _FilterKey) and self.words == other.words


def _key() -> _Key:
    scope = state.scope()
    return scope.owner_id, scope.dataset_id, services.store().version(scope)


def _scope(key: _Key) -> Scope:
    owner_id, dataset_id, _ = key
    return Scope(owner_id, dataset_id, "")


@lru_cache(maxsize=64)
def _label_counts(key: _Key, key_filter: _FilterKey) -> Mapping[str, int]:
    return services.store().label_counts(_scope(key), key_filter.wanted)


@lru_cache(maxsize=16)
def _people(key: _Key) -> tuple[str, ...]:
    return tuple(services.store().people_counts(_scope(key)))


@lru_cache(maxsize=64)
def _acceptable(key: _Key, labels: tuple[str, ...], least: float) -> AcceptCounts:
    return services.store().count_acceptable(
        _scope(key), labels=labels or None, min_confidence=least
    )


# The words of every order of the store, the usual ones first.
ORDER_WORDS: Final[Mapping[str, str]] = {
    "doubt": "most uncertain",
    "confidence": "highest confidence",
    "upload": "upload order",
    "newest": "newest change",
    "oldest": "oldest change",
    "label": "label",
    "image": "image",
    "status": "status",
    "source": "source",
    "who": "user",
    "smallest": "smallest",
    "largest": "largest",
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
    """Draw the filters of boxes; return the filter and the name of the order."""
    # Without defaults: they would conflict with what a click elsewhere has set.
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
            label_names(),
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
            help="Boxes drawn by people have no confidence: they are listed only while "
            "the slider covers the whole range.",
            width=128,
        )
        order = st.selectbox(
            "Sort by",
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


def label_names() -> list[str]:
    """Return the labels of the dataset, and hidden ones still in use."""
    shown = services.store().labels(state.scope()).shown_names
    in_use = label_counts(AnnotationFilter())
    return list(dict.fromkeys([*shown, *in_use]))


def _draw_more() -> dict[str, Any]:
    """Draw the less common filters; return the arguments of `AnnotationFilter`."""
    active = sum(_is_set(key) for key in _FOLDED)
    title = f"More ({active})" if active else "More"
    with st.popover(title, icon=":material/filter_list:", key="review.more"):
        arguments = {**_draw_makers(), **_draw_times(), **_draw_sizes()}
        st.button(
            "Clear all filters", key="review.clear_all", on_click=clear_label_filters
        )
    return arguments


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
        "Last changed by",
        people(),
        key="review.who",
        placeholder="anyone",
        persist_state="session",
        select_all=False,
    )
    left, right = st.columns(2)
    image = left.text_input(
        "Image",
        key="review.image",
        placeholder="part of the file name",
        persist_state="session",
    )
    attribute = right.text_input(
        "Attribute",
        key="review.attribute",
        placeholder="occluded, or color = red",
        persist_state="session",
        help="Enter a name to find boxes with this attribute, or name = value to match "
        "the value.",
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
    """Return when a day begins in the browser's time zone, in UTC."""
    if day is None:
        return None
    offset = timedelta(minutes=st.context.timezone_offset or 0)
    return datetime.combine(day, time(), UTC) + offset


def _draw_sizes() -> dict[str, Any]:
    left, right = st.columns(2)
    least = left.number_input(
        "Shorter side from, px",
        0,
        value=None,
        key="review.least_px",
        placeholder="any",
        persist_state="session",
    )
    below = right.number_input(
        "below, px",
        0,
        value=None,
        key="review.below_px",
        placeholder="any",
        persist_state="session",
    )
    share: Any = st.slider(
        "Box area, % of the image", 0, 100, key="review.share", persist_state="session"
    )
    is_sided = least is not None or below is not None
    return {
        "sides": (least or 0, float("inf") if below is None else below)
        if is_sided
        else None,
        "share": None if share == (0, 100) else (share[0] / 100, share[1] / 100),
    }


def clear_label_filters() -> None:
    """Clear all filters of boxes."""
    _reset(LABEL_FILTERS)


def draw_labels_chip(wanted: AnnotationFilter) -> None:
    """Draw the chip that names the filters of boxes and clears them."""
    words = describe(wanted)
    with st.container(width="content"):
        if words:
            _draw_chip(words, key="review.clear_labels", on_click=clear_label_filters)


def say_no_box_matches() -> None:
    """Draw the next step where no box matches the filters."""
    st.info("No boxes match. Clear a filter, or run a model on **Annotate**.")


def describe(wanted: AnnotationFilter) -> str:
    """Return a filter in words; empty where everything matches."""
    return " · ".join(_words(wanted))


def _words(wanted: AnnotationFilter) -> list[str]:
    words = []
    if wanted.text:
        words.append(f"“{wanted.text}”")
    words += _listed(list(wanted.labels or ()), "labels")
    words += [widgets.STATUS_WORDS[status] for status in wanted.statuses or ()]
    if wanted.confidence:
        least, most = (percent(share) for share in wanted.confidence)
        words.append(f"confidence {least} to {most}")
    words += [f"source: {source}" for source in wanted.sources or ()]
    words += [f"changed by {name}" for name in wanted.who or ()]
    if wanted.image:
        words.append(f"image “{wanted.image}”")
    if wanted.attribute:
        words.append(" = ".join(part for part in wanted.attribute if part is not None))
    if wanted.since or wanted.until:
        words.append("changed in a date range")
    if wanted.sides:
        words.append(_sides(*wanted.sides))
    if wanted.share:
        least, most = (f"{share * 100:.0f}" for share in wanted.share)
        words.append(f"{least} to {most} % of the image")
    return words


def _listed(names: Sequence[str], noun: str, *, most: int = 3) -> list[str]:
    return list(names) if len(names) <= most else [f"{len(names)} {noun}"]


def _sides(least: float, below: float) -> str:
    return f"side from {least:.0f} px" + (
        "" if below == float("inf") else f" to below {below:.0f} px"
    )
