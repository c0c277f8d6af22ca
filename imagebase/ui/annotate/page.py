"""Annotate page: run a model, set thresholds, preview and save the boxes."""

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
MOST_UNCERTAIN: Final = "Most uncertain first"
_SAVING: Final = "imagebase.annotate.saving"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Models, how they run, and the images to run on."""

    setup: ModelConfig
    statuses: tuple[ReviewStatus, ...]
    image_ids: tuple[str, ...]


def toolbar() -> RunOptions:
    """Draw model, images and Run; return the options."""
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
        help="Runs the model in the background. No boxes are saved yet.",
        on_click=_run,
        args=(statuses,),
    )
    return RunOptions(setup, statuses, image_ids)


@state.reports_errors
def _run(statuses: Sequence[ReviewStatus]) -> None:
    """Start a run with the current options, which the page may not have drawn yet."""
    parameters = model_options.now().parameters()
    job_progress.start(
        "annotate", {**parameters, "statuses": [str(s) for s in statuses]}
    )


def results(options: RunOptions) -> None:
    """Draw the boxes found so far, or how to get some."""
    pool = _pool(options)
    running = job_progress.is_active(job_progress.latest("annotate"))
    if pool.image_ids or running:
        every = 2.0 if running else None
        st.fragment(_results, run_every=every)(options)
    elif not options.image_ids:
        st.success("All images are approved. Nothing left to annotate.")
        st.page_link("pages/export.py", label="**Export**", icon=":material/download:")
    else:
        st.info("Click **Run** to preview the model's boxes. Nothing is saved yet.")


def _pool(options: RunOptions) -> CandidatePool:
    scope = state.scope()
    key = candidates_key(cache.detector(options.setup))
    version = services.store().candidates_version(scope, key)
    return cache.candidates_of(
        scope.owner_id, scope.dataset_id, key, version, options.image_ids
    )


@widgets.guarded
def _results(options: RunOptions) -> None:
    widgets.go_on()
    if st.session_state.pop(_SAVING, False):
        st.rerun()  # a click in a fragment reruns it alone; the job is shown above
    state.leave_deleted_dataset()
    pool = _pool(options)
    if not pool.image_ids:
        st.caption("Waiting for the first images …")
        return
    detector = cache.detector(options.setup)
    model_labels = detector.labels
    rule = _rule(pool, detector)
    now = select_all(pool, rule, model_labels=model_labels)
    below = round(max(suggested_boxes.FLOOR, rule.confidence_threshold - STEP_DOWN), 2)
    then = select_all(
        pool, replace(rule, confidence_threshold=below), model_labels=model_labels
    )
    total, more = tally(now), gained(now, then)
    with st.container():
        _run_summary()
    summary, action = st.columns([4, 1], vertical_alignment="center")
    with summary, st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"**{widgets.plural(total.boxes, 'box')}** on "
            f"{total.images:,} of {widgets.plural(len(pool.image_ids), 'image')}",
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
        or _is_saved(options, rule),
        help="Adds the boxes to the dataset. Boxes made or accepted by people are "
        "kept.",
        on_click=_save,
        args=(options, rule),
    )
    with st.container():
        if _is_saved(options, rule):
            _next_steps()
    with st.container(horizontal=True, vertical_alignment="center"):
        order = _order()
        with st.popover(
            "Model labels", icon=":material/smart_toy:", key="annotate.model_labels"
        ):
            model_options.label_table(pool, detector)
        label_manager.open_button("annotate.labels_of_dataset")
        page = _page(then if with_more else now, order)
    _pictures(options, page, now, then if with_more else now, rule)


@state.reports_errors
def _save(options: RunOptions, rule: SelectionRule) -> None:
    """Save the boxes that were on screen at the click.

    A callback: the end of a run redraws the page, and a click that is read only where
    the button is drawn would be lost.
    """
    if not _is_saved(options, rule):  # a second click on the same does nothing
        job_progress.begin("keep", _save_parameters(options, rule))
        st.session_state[_SAVING] = True


def _run_summary() -> None:
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
    job = job_progress.latest("keep")
    result = (job.result if job else None) or {}
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        st.markdown(
            f":material/check_circle: **{widgets.plural(result.get('boxes', 0), 'box')}"
            " saved.**",
            width="content",
        )
        st.page_link("pages/edit.py", label="**Edit**", icon=":material/edit:")
        st.page_link("pages/review.py", label="Review", icon=":material/fact_check:")
        st.page_link("pages/export.py", label="Export", icon=":material/download:")


def _is_saved(options: RunOptions, rule: SelectionRule) -> bool:
    """Say whether exactly these boxes were saved last, and not undone since."""
    job, run = job_progress.latest("keep"), job_progress.latest("annotate")
    if job is None or job.state is not JobState.DONE:
        return False
    is_older = run is not None and run.created_at > job.created_at
    if is_older or services.store().can_redo(state.scope()):
        return False
    wanted = _save_parameters(options, rule)
    return all(
        job.parameters.get(name) == value
        for name, value in wanted.items()
        if name != "statuses"
    )


def _rule(pool: CandidatePool, detector: Detector) -> SelectionRule:
    first, second, third = st.columns([2, 2, 3])
    confidence = first.slider(
        "Confidence",
        suggested_boxes.FLOOR,
        0.95,
        DEFAULT_CONFIDENCE,
        0.01,
        key=suggested_boxes.CONFIDENCE,
        persist_state="session",
        help="Boxes below this confidence are hidden.",
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
    names = suggested_boxes.labels_found(pool, detector)
    labels = third.multiselect(
        "Labels",
        names,
        key=suggested_boxes.LABELS,
        placeholder="All labels",
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
        [MOST_UNCERTAIN, "As uploaded"],
        default=MOST_UNCERTAIN,
        required=True,
        key="annotate.order",
        label_visibility="collapsed",
        persist_state="session",
    )
    return order


def _page(shown: SelectedBoxes, order: str) -> Sequence[str]:
    image_ids = by_doubt(shown) if order == MOST_UNCERTAIN else shown.pool.image_ids
    return widgets.page_of(image_ids, page_size=PAGE_SIZE, key="annotate.page")


def _pictures(
    options: RunOptions,
    page: Sequence[str],
    now: SelectedBoxes,
    shown: SelectedBoxes,
    rule: SelectionRule,
) -> None:
    """Draw a page of images with their boxes; boxes below the threshold stand out."""
    scope, store = state.scope(), services.store()
    detector = cache.detector(options.setup)
    # As they will be once the boxes are saved, so that colours do not change.
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
    pictures.sort(key=lambda picture: page.index(picture.image_id))
    widgets.picture_grid(pictures, columns=COLUMNS, key="annotate.grid")


def _save_parameters(options: RunOptions, rule: SelectionRule) -> dict[str, Any]:
    return {
        **options.setup.parameters(),
        "statuses": [str(status) for status in options.statuses],
        **rule.parameters(),
        # The same rule gives other boxes once ignore areas change.
        "ignore_areas": services.store().ignore_areas_mark(state.scope()),
    }


def left(counts: Mapping[ReviewStatus, int]) -> int:
    """Return the number of images that are not approved."""
    return count(counts, NOT_APPROVED)


def label_with(model: str) -> None:
    """Start a run of a model on the remaining images and show it on Annotate.

    Raises:
        JobError: another run of this dataset has not ended.
    """
    counts = services.store().progress(state.scope())
    statuses = SCOPES["new" if counts.get(ReviewStatus.NEW) else "open"]
    parameters = model_options.now(model).parameters()
    parameters["statuses"] = [str(status) for status in statuses]
    job = job_progress.latest("annotate")
    if job is None or not job_progress.is_active(job) or job.parameters != parameters:
        services.runner().submit(state.scope(), "annotate", parameters)
    st.session_state["annotate.model"] = model
    st.session_state["annotate.order"] = MOST_UNCERTAIN
    st.session_state["annotate.labels"] = []
