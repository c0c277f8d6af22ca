"""Tags proposed for images, by tagged images or a classifier: on Edit and on Review."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import streamlit as st

from imagebase.annotation import NOT_APPROVED, ImageRecord, ReviewStatus
from imagebase.detection.model_card import card_of
from imagebase.detection.model_files import Model
from imagebase.jobs.inference import CLASSIFY, classifier_key
from imagebase.learning.image_vectors import vectors_version
from imagebase.learning.proposed_tags import (
    LEAST_TAGGED,
    ProposedTag,
    classified_tags,
    proposed_tags,
)
from imagebase.review.bulk_edits import BulkReport, add_tags
from imagebase.store import (
    CandidatesKey,
    ImageFilter,
    ImageRow,
    JobInfo,
    JobState,
    Scope,
)
from imagebase.ui import (
    bulk_progress,
    cache,
    job_progress,
    likeness,
    services,
    state,
    widgets,
)
from imagebase.wording import percent

_PAGE_SIZE: Final = 12
_COLUMNS: Final = 6
_CHOSEN: Final = "imagebase.tags.chosen"

# Of the sources of proposals, what is no classifier's name: no model is called so.
_EXAMPLES: Final = ""
_SOURCE: Final = "imagebase.tags.source"
_LEAST: Final = "imagebase.tags.confidence"
_DEFAULT_LEAST: Final = 0.5

Proposed = Mapping[str, Sequence[ProposedTag]]
OnScreen = Callable[[str, Callable[[], object]], None]


class _Tags(dict[str, tuple[str, ...]]):
    """Tags by image id, of the images that have any."""


def by_image() -> Proposed:
    """Return the tags that images may lack, by image id; none of approved ones."""
    scope, store = state.scope(), services.store()
    found = _proposed()
    if not found:
        return {}
    approved = set(store.image_ids(scope, statuses=[ReviewStatus.APPROVED]))
    return {name: tags for name, tags in found.items() if name not in approved}


def _proposed() -> Proposed:
    """Return the tags that images may lack, approved ones too, by image id."""
    model = _classifier()
    return _by_examples() if model is None else _by_classifier(model)


def _classifier() -> Model | None:
    """Return the classifier that proposes tags here; None where tagged images do.

    That is the one chosen here, else the one that was run last on this dataset.
    """
    known = {model.name: model for model in cache.classifiers()}
    if not known:
        return None
    chosen = st.session_state.get(f"{_SOURCE}.{state.scope().dataset_id}")
    if chosen is None:
        job = job_progress.latest(CLASSIFY)
        chosen = job.parameters["model"] if job else _EXAMPLES
    return known.get(chosen)


def _by_classifier(model: Model) -> Proposed:
    scope, store = state.scope(), services.store()
    key = classifier_key(card_of(model))
    _run(model, store.count_unanswered(scope, key, statuses=NOT_APPROVED))
    return _classified(
        scope.owner_id,
        scope.dataset_id,
        key,
        store.candidates_version(scope, key),
        model.labels,
        st.session_state.get(_LEAST, _DEFAULT_LEAST),
        _Tags(store.image_tags(scope)),
    )


def _run(model: Model, missing: int) -> None:
    """Start the job that classifies new images, if any.

    Refused images are not missing, and a job that was cancelled or failed is not
    started again by itself.
    """
    if not missing or job_progress.is_active(job_progress.latest(CLASSIFY)):
        return
    job = _last_run(model)
    if job is not None:
        refused = (job.result or {}).get("refused", ())
        if job.state is not JobState.DONE or missing <= len(refused):
            return
    job_progress.start(CLASSIFY, {"model": model.name})


def _last_run(model: Model) -> JobInfo | None:
    # Someone else may have run another classifier since.
    runs = services.store().jobs(state.scope(), kind=CLASSIFY)
    return next((job for job in runs if job.parameters["model"] == model.name), None)


@st.cache_resource(
    max_entries=4,
    show_spinner=False,
    hash_funcs={_Tags: lambda tags: hash(tuple(tags.items()))},
)
def _classified(
    owner_id: str,
    dataset_id: str,
    key: CandidatesKey,
    version: str,
    labels: Sequence[str],
    least: float,
    tags: _Tags,
) -> Proposed:
    found = services.store().candidates(Scope(owner_id, dataset_id, ""), key)
    return classified_tags(found, labels, tags, confidence=least)


def _by_examples() -> Proposed:
    scope, store = state.scope(), services.store()
    tags = _Tags(store.image_tags(scope))
    if sum(map(len, tags.values())) < LEAST_TAGGED:
        return {}
    likeness.compare()
    return _found(scope.owner_id, scope.dataset_id, vectors_version(store, scope), tags)


@st.cache_resource(
    max_entries=4,
    show_spinner=False,
    hash_funcs={_Tags: lambda tags: hash(tuple(tags.items()))},
)
def _found(owner_id: str, dataset_id: str, vectors_state: str, tags: _Tags) -> Proposed:
    known = likeness.vectors()
    found = proposed_tags(
        known.vectors, [tags.get(image_id, ()) for image_id in known.image_ids]
    )
    return {
        name: tags for name, tags in zip(known.image_ids, found, strict=True) if tags
    }


def draw(record: ImageRecord, on_screen: OnScreen) -> None:
    """Draw the tags proposed for the image on screen; a click takes one, or all.

    on_screen: does work on an image once all that was drawn on it is saved.
    """
    is_open = record.status is not ReviewStatus.APPROVED
    proposals = _proposed().get(record.image_id, ()) if is_open else ()
    if not proposals and not cache.classifiers():
        return
    is_by_model = _classifier() is not None
    by = "the classifier" if is_by_model else "the images that are tagged"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption("Proposed tags", width="content")
        for i, (tag, confidence) in enumerate(proposals):
            st.button(
                widgets.escape(tag),
                key=f"tags.take.{i}",
                icon=":material/add:",
                help=f"{percent(confidence)} sure, from {by}.",
                on_click=on_screen,
                args=(record.image_id, partial(_take_here, record.image_id, [tag])),
            )
        if len(proposals) > 1:
            tags = [tag for tag, _ in proposals]
            st.button(
                "Take all",
                key="tags.take_all",
                icon=":material/done_all:",
                on_click=on_screen,
                args=(record.image_id, partial(_take_here, record.image_id, tags)),
            )
        _choose_source("edit")
    # Once it has ended, the page is drawn again.
    if is_by_model and job_progress.is_active(job_progress.latest(CLASSIFY)):
        job_progress.show(CLASSIFY)


def _choose_source(page: str) -> None:
    """Draw the choice of what proposes tags, where there is a choice."""
    names = [model.name for model in cache.classifiers()]
    if not names:
        return
    now = _classifier()
    with st.popover(
        "Source", icon=":material/tune:", key=f"tags.{page}.source", type="tertiary"
    ):
        chosen = st.selectbox(
            "Tags are proposed by",
            [_EXAMPLES, *names],
            index=0 if now is None else names.index(now.name) + 1,
            format_func=lambda name: name or "Tagged images",
            key=f"tags.{page}.by",
            on_change=_source_changed,
            args=(page,),
            help="Add a classifier, an ONNX file, on Models.",
        )
        if chosen:
            st.slider(
                "Minimum confidence",
                0.05,
                0.95,
                st.session_state.get(_LEAST, _DEFAULT_LEAST),
                0.05,
                key=f"tags.{page}.confidence",
                on_change=_confidence_changed,
                args=(page,),
            )


def _source_changed(page: str) -> None:
    source = st.session_state[f"tags.{page}.by"]
    st.session_state[f"{_SOURCE}.{state.scope().dataset_id}"] = source


def _confidence_changed(page: str) -> None:
    st.session_state[_LEAST] = st.session_state[f"tags.{page}.confidence"]


def view() -> None:
    """Draw the view of Review: for each tag the images that may lack it."""
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"
    ):
        st.caption(_how(), width="content")
        _choose_source("review")
        widgets.icon_button(
            "Undo",
            key="tags.undo",
            icon=":material/undo:",
            hint="Undo",
            on_click=bulk_progress.undo,
            disabled=not services.store().can_undo(state.scope()),
        )
    found = by_image()
    model = _classifier()
    if model is not None:
        _draw_run(model)
    images_of: dict[str, list[str]] = {}
    for image_id, proposals in found.items():
        for tag, _ in proposals:
            images_of.setdefault(tag, []).append(image_id)
    if not images_of:
        st.info(
            "No tags are proposed. Tag images under **Image tags** on Edit."
            if model is None
            else "The classifier proposes no tags at this minimum confidence."
        )
        return
    names = sorted(images_of, key=lambda tag: (-len(images_of[tag]), tag))
    counts = tuple((tag, len(images_of[tag])) for tag in names)
    # The order changes as tags are taken; the tag on screen stays.
    before = st.session_state.get(_CHOSEN)
    chosen = st.pills(
        "Tag",
        names,
        default=before if before in names else names[0],
        required=True,
        format_func=lambda tag: f"{widgets.escape(tag)} {len(images_of[tag]):,}",
        key=f"tags.chosen.{hash(counts)}",
    )
    st.session_state[_CHOSEN] = chosen
    _draw_tag(chosen, images_of[chosen])


def _draw_run(model: Model) -> None:
    """Draw how far a classifier is, or a button that runs one that was stopped."""
    job_progress.show(CLASSIFY)
    job = _last_run(model)
    if job is not None and job.state in (JobState.CANCELLED, JobState.FAILED):
        st.button(
            "Run again",
            key="tags.run",
            icon=":material/refresh:",
            on_click=job_progress.start,
            args=(CLASSIFY, {"model": model.name}),
        )


def _how() -> str:
    model = _classifier()
    if model is not None:
        how = f"Tags are proposed by {widgets.escape(model.name)}."
    else:
        how = (
            f"Tag {LEAST_TAGGED} images or more, better 20, and tags are proposed for "
            "the others."
        )
    return f"{how} Taking a tag does not change the review state."


def _draw_tag(tag: str, image_ids: Sequence[str]) -> None:
    scope, store = state.scope(), services.store()
    rows = store.image_rows(scope, ImageFilter(image_ids=image_ids))
    st.button(
        f"Take for all {widgets.plural(len(rows), 'image')}",
        key="tags.take_for_all",
        type="primary",
        icon=":material/done_all:",
        on_click=_take,
        args=(
            {row.image_id: row.revision for row in rows},
            {row.image_id: [tag] for row in rows},
        ),
        help="You can undo this in one step.",
    )
    page = widgets.page_of(rows, page_size=_PAGE_SIZE, key="tags.page")
    for start in range(0, len(page), _COLUMNS):
        cells = st.columns(_COLUMNS, gap="small")
        for cell, row in zip(cells, page[start : start + _COLUMNS], strict=False):
            with cell.container(gap="xsmall"):
                _tile(row, tag)


def _tile(row: ImageRow, tag: str) -> None:
    picture = cache.plain_tile(state.scope(), row.image_id, row.file_name)
    st.image(picture, width="stretch", alt=row.file_name)
    st.button(
        widgets.escape(widgets.short_name(row.file_name, longest=16)),
        key=f"tags.open.{row.image_id}",
        type="tertiary",
        on_click=widgets.open_in_editor,
        args=(row.image_id,),
    )
    st.button(
        "Take",
        key=f"tags.take_one.{row.image_id}",
        icon=":material/add:",
        on_click=_take,
        args=({row.image_id: row.revision}, {row.image_id: [tag]}),
    )


@state.reports_errors
def _take_here(image_id: str, tags: Sequence[str]) -> None:
    # A box may have been drawn since the buttons were.
    revision = services.store().record(state.scope(), image_id).revision
    _take({image_id: revision}, {image_id: tags})


@state.reports_errors
def _take(seen: Mapping[str, int], tags: Mapping[str, Sequence[str]]) -> None:
    store, scope = services.store(), state.scope()

    def work(on_progress: bulk_progress.OnProgress) -> BulkReport:
        return add_tags(store, scope, tags, seen=seen, on_progress=on_progress)

    bulk_progress.run_or_schedule(
        "Tagging", work, then=partial(_finish, seen), images=len(seen)
    )


def _finish(seen: Mapping[str, int], result: BulkReport) -> None:
    state.note_saved()
    state.forget_shown(seen)
    bulk_progress.report(f"Tagged {widgets.plural(result.changed, 'image')}", result)
