"""The Review page's filters of boxes: the usual ones in a row, the rest folded away."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

import streamlit as st

from imagebase.annotation import Source, states
from imagebase.annotation.attributes import parsed
from imagebase.store import AnnotationFilter
from imagebase.ui import services, state, widgets
from imagebase.ui.review import accept, filters
from imagebase.ui.review.filters import LABEL_FILTERS
from imagebase.wording import percent

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


def draw_filters() -> tuple[AnnotationFilter, str]:
    """Draw the filters; return what passes them, and the name of its order."""
    # And no defaults: what a click elsewhere has set would be at odds with them.
    filters.begin(LABEL_FILTERS)
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
            key=filters.LABELS_KEY,
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
    in_use = accept.label_counts(AnnotationFilter())
    return list(dict.fromkeys([*shown, *in_use]))


def _draw_more() -> dict[str, Any]:
    """Draw the filters that few need; return them as `AnnotationFilter` takes them."""
    active = sum(_is_set(key) for key in _FOLDED)
    title = f"More ({active})" if active else "More"
    with st.popover(title, icon=":material/filter_list:", key="review.more"):
        found = {**_draw_makers(), **_draw_times(), **_draw_sizes()}
        st.button("Clear all filters", key="review.clear_all", on_click=clear)
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
        accept.people(),
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


def clear() -> None:
    """Let every box pass again."""
    filters.clear(LABEL_FILTERS)


def draw_chip(wanted: AnnotationFilter) -> None:
    """Draw what passes the filters, in words, with a way to see everything again."""
    words = describe(wanted)
    with st.container(width="content"):
        if words:
            filters.draw_chip(words, key="review.clear_labels", on_click=clear)


def say_nothing_passes() -> None:
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
