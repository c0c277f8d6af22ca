"""Accept boxes above a confidence, counted before it happens."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import streamlit as st

from imagebase.review.bulk_edits import BulkReport
from imagebase.review.bulk_edits import accept_above as accept
from imagebase.store import AcceptCounts, AnnotationFilter, Scope
from imagebase.ui import bulk_progress, services, state, widgets
from imagebase.ui.bulk_progress import boxes_on, report

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


_USUAL: Final = 0.8


def accept_above(wanted: AnnotationFilter) -> None:
    """Draw the offer to accept all boxes above a confidence, with how many those are.

    wanted: the filters on the page; its labels are the ones to begin with.
    """
    with st.popover("Accept above …", icon=":material/done_all:", key="accept.above"):
        labels = _choose_labels(wanted)
        least = st.slider(
            "Confidence, at least", 0.0, 1.0, _USUAL, 0.01, key="accept.least"
        )
        found = acceptable(tuple(labels), least)
        st.markdown(_words(found))
        st.caption(
            "The model's boxes on images that nobody has approved or rejected. "
            "One undo takes it all back."
        )
        st.button(
            f"Accept {widgets.plural(found.boxes, 'box')}",
            key="accept.apply",
            type="primary",
            disabled=not found.boxes,
            on_click=_apply,
            args=(labels, least, found.images),
        )


def _choose_labels(wanted: AnnotationFilter) -> list[str]:
    labels = list(wanted.labels or ())
    return st.multiselect(
        "Labels",
        list(
            dict.fromkeys(
                [*labels, *services.store().labels(state.scope()).shown_names]
            )
        ),
        default=labels,
        key=f"accept.labels.{hash(tuple(labels))}",
        placeholder="every label",
        select_all=False,
    )


def _words(found: AcceptCounts) -> str:
    if not found.boxes:
        return "No box that nobody has accepted yet is so sure."
    boxes = widgets.plural(found.boxes, "box")
    images = widgets.plural(found.images, "image")
    labels = f" of {found.labels} labels" if found.labels > 1 else ""
    return f"**{boxes}**{labels} on {images} would be accepted."


@state.reports_errors
def _apply(labels: list[str], least: float, images: int) -> None:
    """Accept what was counted: the button has said how many boxes that is."""
    store, scope = services.store(), state.scope()

    def work(on_progress: bulk_progress.OnProgress) -> BulkReport:
        return accept(
            store,
            scope,
            labels=labels or None,
            min_confidence=least,
            on_progress=on_progress,
        )

    def say(told: BulkReport) -> None:
        report(f"Accepted {boxes_on(told)}", told)

    bulk_progress.run_or_schedule("Accepting", work, then=say, images=images)
