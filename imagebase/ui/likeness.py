"""Which images are alike: vectors made by a job, similar images, what to label next."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import streamlit as st

from imagebase.annotation import ReviewStatus
from imagebase.annotation.states import UNDECIDED
from imagebase.geometry import FloatArray
from imagebase.jobs.image_vectors import KIND
from imagebase.learning.image_map import projected
from imagebase.learning.image_vectors import (
    ImageVectors,
    count_without_vector,
    image_vectors,
    vectors_version,
)
from imagebase.learning.next_images import NextImages
from imagebase.review.health import duplicate_groups
from imagebase.store import ImageFilter, JobInfo, JobState, Scope
from imagebase.ui import cache, job_progress, services, state, widgets

# In one sentence, wherever the order is offered.
NEXT_IN_WORDS: Final = (
    "Images that are unlike the approved ones, and that the model is unsure about, "
    "come first: their labels teach a model most."
)
_MOST_SIMILAR: Final = 12
_COLUMNS: Final = 4
_POLL_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Compared:
    """The vectors of a dataset's images, and what follows from just these.

    While the job goes on there may be more a moment later: what is asked for in turn
    would not fit together.
    """

    vectors: ImageVectors
    orderer: NextImages

    @cached_property
    def points(self) -> FloatArray:
        """Points of the map, shape (N, 2)."""
        return projected(self.vectors.vectors)


def compared() -> Compared:
    """Return what is known of this dataset's images, as far as they are compared."""
    scope = state.scope()
    version = vectors_version(services.store(), scope)
    return _compared(scope.owner_id, scope.dataset_id, version)


def vectors() -> ImageVectors:
    """Return the vectors of the images of this dataset, as far as they are made."""
    return compared().vectors


@st.cache_resource(max_entries=4, show_spinner=False)
def _compared(owner_id: str, dataset_id: str, version: str) -> Compared:
    known = image_vectors(services.store(), Scope(owner_id, dataset_id, ""))
    return Compared(known, NextImages(known.vectors))


def duplicates() -> list[list[str]]:
    """Return groups of images of this dataset that look nearly the same."""
    scope, store = state.scope(), services.store()
    return _duplicates(
        scope.owner_id,
        scope.dataset_id,
        store.version(scope),
        vectors_version(store, scope),
    )


@st.cache_resource(max_entries=4, show_spinner=False)
def _duplicates(
    owner_id: str, dataset_id: str, version: str, vectors_state: str
) -> list[list[str]]:
    images, _ = cache.health_tables(owner_id, dataset_id, version)
    return duplicate_groups(images, vectors().by_image())


def compare() -> int:
    """Start the job that compares new images, if any; return how many are missing.

    Unreadable images are not missing, and a job that was cancelled is not started.
    """
    missing = count_without_vector(services.store(), state.scope())
    job = job_progress.latest(KIND)
    if job is not None and job.state is JobState.DONE:
        missing = max(missing - (job.result or {}).get("unread", 0), 0)
    if missing and (job is None or job.state is JobState.DONE):
        job_progress.start(KIND, {})
    return missing


def draw_progress() -> bool:
    """Draw how far the comparison of new images is, after starting it.

    Returns whether it goes on.
    """
    with st.container():
        missing = compare()
        if not missing:
            return False
        job = job_progress.latest(KIND)
        job_progress.show(KIND)
        if job is not None and not _goes_on(job):
            st.button(
                f"Compare {widgets.plural(missing, 'image')}",
                key="likeness.compare",
                icon=":material/compare:",
                on_click=job_progress.start,
                args=(KIND, {}),
            )
        return job_progress.is_active(job)


def _goes_on(job: JobInfo) -> bool:
    """Say whether a job runs, or has a button of its own to resume it."""
    return job_progress.is_active(job) or job.state is JobState.INTERRUPTED


def similar_button(image_id: str, *, key: str) -> None:
    """Draw the button that opens the images most like one."""
    if st.button(
        "Similar images",
        key=key,
        icon=":material/image_search:",
        type="tertiary",
        help="Shows the images of this dataset that look most like this one.",
    ):
        _similar_dialog(image_id)


@st.dialog(
    "Similar images", width="large", icon=":material/image_search:", on_dismiss="rerun"
)
@widgets.in_dialog
def _similar_dialog(image_id: str) -> None:
    state.leave_deleted_dataset()
    every = _POLL_SECONDS if compare() else None
    st.fragment(_similar_so_far, run_every=every)(image_id)


@widgets.guarded
def _similar_so_far(image_id: str) -> None:
    """Draw similar images among those compared, and how many are not yet."""
    job = job_progress.latest(KIND)
    if job is not None and job_progress.is_active(job):
        st.progress(
            min(job.done / job.total, 1.0) if job.total else 0.0,
            text=f"Comparing images: {job_progress.progress_text(job)}",
        )
    _similar(image_id)


def _similar(image_id: str) -> None:
    widgets.go_on()
    found = vectors().nearest(image_id, _MOST_SIMILAR)
    if not found:
        st.info("There is nothing to compare this image with yet.")
        return
    scope = state.scope()
    wanted = ImageFilter(image_ids=[name for name, _ in found])
    rows = {row.image_id: row for row in services.store().image_rows(scope, wanted)}
    pictures = [
        widgets.Picture(
            name,
            cache.plain_tile(scope, name, rows[name].file_name),
            rows[name].file_name,
            widgets.plural(rows[name].box_count, "box"),
            widgets.STATUS_ICONS[rows[name].status],
        )
        for name, _ in found
        if name in rows
    ]
    widgets.picture_grid(pictures, columns=_COLUMNS, key="similar")


def next_order() -> list[str]:
    """Return the images that nobody has decided on, what to label next first.

    Images that are not compared yet come last.
    """
    scope, store = state.scope(), services.store()
    now = compared()
    known, orderer = now.vectors, now.orderer
    images, _ = cache.health_tables(
        scope.owner_id, scope.dataset_id, store.version(scope)
    )
    status_of = dict(zip(images.image_ids, images.status, strict=True))
    scores = store.doubt_scores(scope)
    is_approved = [
        status_of.get(name) is ReviewStatus.APPROVED for name in known.image_ids
    ]
    uncertainty = [
        scores.get(name, np.nan if status_of.get(name) is ReviewStatus.NEW else 0.0)
        for name in known.image_ids
    ]
    ranked = orderer.order(np.array(is_approved, np.bool_), np.array(uncertainty))
    order = [known.image_ids[place] for place in ranked]
    ordered = set(order)
    others = [name for name in images.image_ids if name not in ordered]
    return [name for name in [*order, *others] if status_of.get(name) in UNDECIDED]
