"""Annotate page: model and Run, thresholds, images, saving the boxes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import streamlit as st

from imagebase.annotation import NOT_APPROVED, ReviewStatus
from imagebase.annotation.states import GROUPS, count
from imagebase.detection.candidate_pool import CandidatePool, SelectedBoxes
from imagebase.detection.detector import Detector
from imagebase.detection.factory import ModelConfig
from imagebase.detection.selection_rule import (
    SelectionRule,
    as_annotations,
    by_doubt,
    gained,
    kept_labels,
    select_all,
    tally,
)
from imagebase.jobs.inference import candidates_key
from imagebase.settings import DEFAULT_CONFIDENCE, DEFAULT_NMS_IOU
from imagebase.store import JobState
from imagebase.ui import (
    cache,
    job_progress,
    label_manager,
    services,
    state,
    suggested_boxes,
    widgets,
)
from imagebase.ui.annotate import model_options

PAGE_SIZE: Final = 12
COLUMNS: Final = 4
STEP_DOWN: Final = 0.1
SCOPES: Final = {"new": GROUPS["new"], "open": GROUPS["not approved"]}
MOST_DOUBTFUL: Final = "most doubtful first"
_KEEPING: Final = "imagebase.annotate.keeping"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which models, how they look, and on which images."""

    setup: ModelConfig
    statuses: tuple[ReviewStatus, ...]
    image_ids: tuple[str, ...]


def toolbar() -> Choice:
    """Draw model, images and Run; return what is chosen."""
    counts = services.store().progress(state.scope())
    left, options, middle, right = st.columns([6, 2, 4, 2], vertical_alignment="bottom")
    with left:
        model = model_options.model()
    with options:
        setup = model_options.options(model)
    totals = {name: count(counts, statuses) for name, statuses in SCOPES.items()}
    words = {"new": "new", "open": "not approved"}
    scope = middle.selectbox(
        "Images",
        list(SCOPES),
        index=0 if totals["new"] else 1,
        format_func=lambda name: f"{totals[name]:,} {words[name]}",
        key=f"annotate.images.{totals['new'] > 0}",
    )
    statuses = SCOPES[scope]
    image_ids = tuple(services.store().image_ids(state.scope(), statuses=statuses))
    right.button(
        "Run",
        key="annotate.run",
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        disabled=not image_ids
        or job_progress.is_active(job_progress.latest("annotate")),
        help="Runs the model in the background. Nothing is changed yet.",
        on_click=_run,
        args=(statuses,),
    )
    return Choice(setup, statuses, image_ids)


@state.reports_errors
def _run(statuses: Sequence[ReviewStatus]) -> None:
    """Start a run with what is chosen now: the press may come before the page does."""
    parameters = model_options.now().parameters()
    job_progress.start(
        "annotate", {**parameters, "statuses": [str(s) for s in statuses]}
    )


def results(choice: Choice) -> None:
    """Draw what the model found so far, or what to do to see it."""
    found = _found(choice)
    running = job_progress.is_active(job_progress.latest("annotate"))
    if found.image_ids or running:
        every = 2.0 if running else None
        st.fragment(_results, run_every=every)(choice)
    elif not choice.image_ids:
        st.success("Every image is approved. Nothing is left to annotate.")
        st.page_link("pages/export.py", label="**Export**", icon=":material/download:")
    else:
        st.info("Click **Run** to see the model's boxes here. Nothing is saved yet.")


def _found(choice: Choice) -> CandidatePool:
    scope = state.scope()
    key = candidates_key(cache.detector(choice.setup))
    version = services.store().candidates_version(scope, key)
    kept = cache.candidates(scope.owner_id, scope.dataset_id, key, version)
    return kept.only(choice.image_ids)


@widgets.guarded
def _results(choice: Choice) -> None:
    widgets.go_to_editor()
    if st.session_state.pop(_KEEPING, False):
        st.rerun()  # a press in a fragment runs it alone, and the job is shown above
    state.leave_deleted_dataset()
    found = _found(choice)
    if not found.image_ids:
        st.caption("The first pictures will be here in a moment.")
        return
    detector = cache.detector(choice.setup)
    model_labels = detector.labels
    rule = _rule(found, detector)
    now = select_all(found, rule, model_labels=model_labels)
    below = round(max(suggested_boxes.FLOOR, rule.confidence_threshold - STEP_DOWN), 2)
    then = select_all(
        found, replace(rule, confidence_threshold=below), model_labels=model_labels
    )
    total, more = tally(now), gained(now, then)
    with st.container():
        _say_how_the_run_went()
    summary, action = st.columns([4, 1], vertical_alignment="center")
    with summary, st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"**{widgets.plural(total.boxes, 'box')}** on "
            f"{total.images:,} of {widgets.plural(len(found.image_ids), 'image')}",
            width="content",
        )
        with_more = st.toggle(
            f"Preview lower threshold ({below:.2f}): "
            f"{widgets.plural(more.boxes, 'more box')} on "
            f"{widgets.plural(more.images, 'image')}",
            key="annotate.with_more",
            disabled=not more.boxes,
        )
    action.button(
        f"Save {widgets.plural(total.boxes, 'box')}",
        key="annotate.keep",
        type="primary",
        width="stretch",
        icon=":material/check:",
        disabled=job_progress.is_active(job_progress.latest("annotate"))
        or _is_kept(choice, rule),
        help="Adds the boxes to the dataset. Boxes that a person made are not changed.",
        on_click=_keep,
        args=(choice, rule),
    )
    with st.container():
        if _is_kept(choice, rule):
            _next_steps()
    with st.container(horizontal=True, vertical_alignment="center"):
        order = _order()
        with st.popover("Model's labels", icon=":material/smart_toy:"):
            model_options.label_table(found, detector)
        label_manager.open_button("annotate.labels_of_dataset")
        page = _page(then if with_more else now, order)
    _pictures(choice, page, now, then if with_more else now, rule)


@state.reports_errors
def _keep(choice: Choice, rule: SelectionRule) -> None:
    """Keep the boxes that were on screen when it was pressed.

    A callback: the end of a run draws the page again, and a press that is only looked
    for where the button is drawn would then be lost.
    """
    if not _is_kept(choice, rule):  # a second click on the same does nothing
        job_progress.begin("keep", _keep_parameters(choice, rule))
        st.session_state[_KEEPING] = True


def _say_how_the_run_went() -> None:
    """Say how long the last run took, and name what it could not look at."""
    job = job_progress.latest("annotate")
    result = (job.result if job else None) or {}
    refused = result.get("refused") or []
    if result.get("images"):
        rate = result["images"] / max(result["seconds"], 0.001)
        st.caption(
            f"Ran on {widgets.plural(result['images'], 'image')} in "
            f"{result['seconds']:.1f} s, {rate:.0f} images/s."
        )
    if refused:
        with st.expander(f"Skipped: {widgets.plural(len(refused), 'image')}"):
            st.dataframe(refused, hide_index=True)


def _next_steps() -> None:
    """Say that the boxes are in the dataset, and where to go from here."""
    job = job_progress.latest("keep")
    result = (job.result if job else None) or {}
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        st.markdown(
            f":material/check_circle: **{widgets.plural(result.get('boxes', 0), 'box')}"
            " saved.**",
            width="content",
        )
        st.page_link("pages/edit.py", label="**Correct them**", icon=":material/edit:")
        st.page_link("pages/review.py", label="Review", icon=":material/fact_check:")
        st.page_link("pages/export.py", label="Export", icon=":material/download:")


def _is_kept(choice: Choice, rule: SelectionRule) -> bool:
    """Say whether just these boxes were put into the dataset last, and still are."""
    job, run = job_progress.latest("keep"), job_progress.latest("annotate")
    if job is None or job.state is not JobState.DONE:
        return False
    is_older = run is not None and run.created_at > job.created_at
    if is_older or services.store().can_redo(state.scope()):
        return False
    wanted = _keep_parameters(choice, rule)
    return all(
        job.parameters.get(name) == value
        for name, value in wanted.items()
        if name != "statuses"
    )


def _rule(found: CandidatePool, detector: Detector) -> SelectionRule:
    first, second, third = st.columns([2, 2, 3])
    confidence = first.slider(
        "Confidence",
        suggested_boxes.FLOOR,
        0.95,
        DEFAULT_CONFIDENCE,
        0.01,
        key=suggested_boxes.CONFIDENCE,
        persist_state="session",
        help="Boxes below this confidence are left out.",
    )
    nms = second.slider(
        "Merge overlapping boxes",
        0.1,
        0.9,
        DEFAULT_NMS_IOU,
        0.01,
        key=suggested_boxes.NMS,
        persist_state="session",
        help="Of two boxes of one label that overlap more than this (IoU), only the "
        "one with the higher confidence is kept.",
    )
    there = suggested_boxes.labels_found(found, detector)
    labels = third.multiselect(
        "Labels",
        list(there),
        key=suggested_boxes.LABELS,
        placeholder="all labels",
        persist_state="session",
        select_all=False,
    )
    return SelectionRule(
        confidence_threshold=confidence,
        nms_threshold=nms,
        labels=tuple(labels) or None,
        mapping=suggested_boxes.mapping_of(detector),
        per_label_confidence=suggested_boxes.thresholds_of(detector),
    )


def _order() -> str:
    order: str = st.segmented_control(
        "Order",
        [MOST_DOUBTFUL, "as uploaded"],
        default=MOST_DOUBTFUL,
        required=True,
        key="annotate.order",
        label_visibility="collapsed",
        persist_state="session",
    )
    return order


def _page(shown: SelectedBoxes, order: str) -> Sequence[str]:
    image_ids = by_doubt(shown) if order == MOST_DOUBTFUL else shown.pool.image_ids
    return widgets.page_of(image_ids, page_size=PAGE_SIZE, key="annotate.page")


def _pictures(
    choice: Choice,
    page: Sequence[str],
    now: SelectedBoxes,
    shown: SelectedBoxes,
    rule: SelectionRule,
) -> None:
    """Draw a page of pictures with what the model found; boxes to come stand out."""
    scope, store = state.scope(), services.store()
    detector = cache.detector(choice.setup)
    # As they will be once the boxes are kept: a label has one colour everywhere.
    labels = store.labels(scope).with_labels(
        kept_labels(now, rule, model_labels=detector.labels)
        + kept_labels(shown, rule, model_labels=detector.labels)
    )
    pictures = []
    for record in store.records(scope, image_ids=page):
        boxes = as_annotations(
            shown.of(record.image_id),
            model_labels=detector.labels,
            model_id=detector.model_id,
            mapping=rule.mapping,
            voters=detector.voters,
        )
        below = frozenset(
            box.annotation_id
            for box in boxes
            if (box.confidence or 0) < rule.confidence_threshold
        )
        picture = cache.labelled_tile(scope, record, labels, boxes, highlighted=below)
        line = widgets.plural(len(now.of(record.image_id)), "box")
        pictures.append(
            widgets.Picture(record.image_id, picture, record.file_name, line=line)
        )
    pictures.sort(key=lambda one: page.index(one.image_id))
    widgets.picture_grid(pictures, columns=COLUMNS, key="annotate.grid")


def _keep_parameters(choice: Choice, rule: SelectionRule) -> dict[str, Any]:
    return {
        **choice.setup.parameters(),
        "statuses": [str(status) for status in choice.statuses],
        **rule.parameters(),
        # The same rule leaves other boxes once areas come or go.
        "ignore_areas": services.store().ignore_areas_mark(state.scope()),
    }


def left(counts: Mapping[ReviewStatus, int]) -> int:
    """Return how many images are not approved, of those in each state."""
    return count(counts, NOT_APPROVED)


def label_with(model: str) -> None:
    """Have a model look at the rest, as Annotate shows it from now on.

    Raises:
        JobError: another run of this dataset has not ended.
    """
    counts = services.store().progress(state.scope())
    statuses = SCOPES["new" if counts.get(ReviewStatus.NEW) else "open"]
    parameters = model_options.now(model).parameters()
    parameters["statuses"] = [str(one) for one in statuses]
    job = job_progress.latest("annotate")
    if job is None or not job_progress.is_active(job) or job.parameters != parameters:
        services.runner().submit(state.scope(), "annotate", parameters)
    st.session_state["annotate.model"] = model
    st.session_state["annotate.order"] = MOST_DOUBTFUL
    st.session_state["annotate.labels"] = []
