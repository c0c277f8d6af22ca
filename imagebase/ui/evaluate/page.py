"""Evaluate page: select models, run, view the results, download the report."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Final

import streamlit as st

from imagebase.annotation import ReviewStatus, clean_text, new_id
from imagebase.annotation.states import (
    APPROVED,
    LABELLED,
    REVIEWED,
    SCOPE_WORDS,
    SCOPES,
    count,
    usual_scope,
)
from imagebase.errors import EvaluationError, ImageBaseError
from imagebase.evaluation.bootstrap import warnings_about
from imagebase.evaluation.detection_pass import DetectionPass, parse_model_spec
from imagebase.evaluation.evaluate_files import made_in_words, small_image
from imagebase.evaluation.report import ReportHeader, report
from imagebase.evaluation.storage import SavedRun
from imagebase.images.decode import RgbArray
from imagebase.ingest.label_files import keep_files
from imagebase.jobs.evaluation import read_detections
from imagebase.jobs.temporary_files import dropped, forget_dropped, make_room, safe_stem
from imagebase.settings import DEFAULT_CONFIDENCE, DEFAULT_MODEL
from imagebase.store import Scope
from imagebase.ui import cache, job_progress, services, state, widgets
from imagebase.ui.evaluate import gallery, result_figures, run_data
from imagebase.ui.web import downloads, uploads

# Image groups to evaluate on; the first with images is the default.
_SCOPES: Final = (APPROVED, REVIEWED, LABELLED)
_MODELS: Final = "evaluate.models"
_IMAGES: Final = "evaluate.images"
_RUN: Final = "evaluate.run_shown"
_THRESHOLD: Final = "evaluate.confidence"
_MOST_SPECS_NAMED: Final = 3
_MOST_MODELS: Final = 12
_MODELS_HELP: Final = (
    "Type to add options: yolov4-tiny@608 for a larger input, +f32 or +bf16 for the "
    "precision, +accurate for test-time augmentation, yolov4-tiny&yolox-nano for an "
    "ensemble."
)
_OTHERS: Final = "imagebase.evaluate.others"
_PROBLEM: Final = "imagebase.evaluate.others_problem"
_GENERATION: Final = "imagebase.evaluate.others_generation"
_LONGEST_NAME: Final = 40
_MOST_LABELS_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Shown:
    """The evaluation on screen, and the confidence threshold."""

    info: SavedRun
    threshold: float


View = Callable[[Shown], None]


def toolbar() -> None:
    """Draw the models, the images, Run, and detections of other tools."""
    counts = services.store().progress(state.scope())
    left, middle, right = st.columns([6, 2, 1], vertical_alignment="bottom")
    chosen: list[str] = left.multiselect(
        "Models",
        _suggested_specs(),
        default=[DEFAULT_MODEL],
        key=_MODELS,
        accept_new_options=True,
        max_selections=_MOST_MODELS,
        # Enter adds the first match only.
        select_all=False,
        persist_state="session",
        help=_MODELS_HELP,
    )
    totals = {name: count(counts, SCOPES[name]) for name in _SCOPES}
    if not totals.get(st.session_state.get(_IMAGES, "")):
        st.session_state[_IMAGES] = _default_scope(counts)
    images = middle.selectbox(
        "Evaluated on",
        _SCOPES,
        format_func=lambda name: f"{totals[name]:,} {SCOPE_WORDS[name]}",
        key=_IMAGES,
        persist_state="session",
    )
    right.button(
        "Run",
        key="evaluate.run",
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        disabled=not (chosen or _others())
        or not totals[images]
        or job_progress.is_active(job_progress.latest("evaluate")),
        help="Runs each model on these images in the background. No label is changed.",
        on_click=_start,
    )
    _choose_others(images)


def _default_scope(counts: Mapping[ReviewStatus, int]) -> str:
    return usual_scope(counts, _SCOPES)


def _suggested_specs() -> list[str]:
    names = list(cache.models())
    return [*names, *(f"{name}+accurate" for name in names)]


@state.reports_errors
def _start() -> None:
    # The current choice: the page may not have been drawn again since.
    specs: list[str] = st.session_state[_MODELS][:_MOST_MODELS]
    images = widgets.offered(_IMAGES, _SCOPES, _SCOPES[0])
    known = cache.models()
    for spec in specs:
        # By name only: no server path may be typed here.
        if not set(parse_model_spec(spec).models) <= set(known):
            raise EvaluationError(
                f"Unknown model {spec!r}. Available models: {', '.join(known)}."
            )
    parameters = {
        "models": list(dict.fromkeys(specs)),
        "images": images,
        "detections": _others_chosen(specs),
        "limits": asdict(services.limits()),
    }
    job_progress.begin("evaluate", parameters)
    _forget_submitted()
    st.session_state.pop(_RUN, None)


@dataclass(frozen=True, slots=True)
class _Other:
    """Detections of another tool, uploaded for a dataset."""

    upload_id: str
    dataset_id: str
    name: str
    summary: str


def _choose_others(images: str) -> None:
    """Draw the uploaded detections of other tools, and the upload field.

    images: the name of the scope they will be evaluated on.
    """
    others = _others()
    count = f" · {len(others)}" if others else ""
    with st.popover(
        f"Detections from another tool{count}",
        icon=":material/upload_file:",
        type="tertiary",
        key="evaluate.others",
    ):
        st.caption(
            "Evaluate another tool's detections on these images together with the "
            "models. Upload COCO results (with the label file for their IDs), "
            "Darknet's result.json, or label files with confidences in any format."
        )
        for other in others:
            _draw_other(other)
        if problem := st.session_state.get(_PROBLEM):
            st.warning(widgets.escape(problem))
        _drop_zone(images)


def _others_chosen(specs: Collection[str]) -> dict[str, str]:
    """Return the typed name of each upload, by its id.

    specs: of the models of the same run.

    Raises:
        EvaluationError: a name is missing or already in use.
    """
    names: dict[str, str] = {}
    taken = {*specs, *cache.models()}
    for other in _others():
        name = clean_text(
            str(st.session_state.get(_name_key(other), other.name))
        ).strip()
        if not name:
            raise EvaluationError("Enter a name for the detections.")
        if name in taken:
            raise EvaluationError(
                f"The name {name} is already in use. Enter another name for the "
                "detections."
            )
        taken.add(name)
        names[other.upload_id] = name
    return names


def _forget_submitted() -> None:
    """Forget the uploads: the run has them now, and deletes them."""
    st.session_state.pop(_PROBLEM, None)
    _set_others([other for other in _all_others() if other not in _others()])


def _all_others() -> list[_Other]:
    others: list[_Other] = st.session_state.get(_OTHERS, [])
    return others


def _others() -> list[_Other]:
    here = state.scope().dataset_id
    return [other for other in _all_others() if other.dataset_id == here]


def _set_others(others: Sequence[_Other]) -> None:
    st.session_state[_OTHERS] = list(others)


def _name_key(other: _Other) -> str:
    return f"evaluate.others.name.{other.upload_id}"


def _draw_other(other: _Other) -> None:
    left, right = st.columns([6, 1], vertical_alignment="bottom")
    left.text_input(
        "Name",
        other.name,
        max_chars=_LONGEST_NAME,
        key=_name_key(other),
        persist_state="session",
    )
    with right:
        widgets.icon_button(
            f"Remove {other.name}",
            key=f"evaluate.others.forget.{other.upload_id}",
            icon=":material/close:",
            is_plain=True,
            on_click=_forget_other,
            args=(other,),
        )
    st.caption(widgets.escape(other.summary))


@state.reports_errors
def _forget_other(other: _Other) -> None:
    _set_others([each for each in _all_others() if each != other])
    forget_dropped(state.scope(), other.upload_id)


def _drop_zone(images: str) -> None:
    generation = st.session_state.get(_GENERATION, 0)
    files = st.file_uploader(
        "Files or a zip",
        accept_multiple_files=True,
        max_upload_size=max(services.limits().max_file_bytes // 1_000_000, 1),
        key=f"evaluate.others.files.{generation}",
        label_visibility="collapsed",
    )
    if not files:
        return
    st.session_state[_GENERATION] = generation + 1
    st.session_state.pop(_PROBLEM, None)
    with st.spinner("Reading the detections …"):
        try:
            _add_other([(file.name, file) for file in files], images)
        except ImageBaseError as error:
            st.session_state[_PROBLEM] = str(error)
        finally:
            uploads.free(files)
    st.rerun()


def _add_other(files: Sequence[tuple[str, Any]], images: str) -> None:
    """Store valid uploads until they are evaluated, or for an hour."""
    scope, limits = state.scope(), services.limits()
    other = _Other(new_id(), scope.dataset_id, _unused_name(files[0][0]), "")
    make_room(scope, limits)
    keep_files(files, dropped(scope, other.upload_id), limits)
    try:
        detections = read_detections(
            services.store(),
            scope,
            other.upload_id,
            other.name,
            images=images,
            limits=limits,
        )
    except BaseException:
        forget_dropped(scope, other.upload_id)
        raise
    summary = _other_in_words(detections)
    _set_others(
        [*_all_others(), _Other(other.upload_id, other.dataset_id, other.name, summary)]
    )


def _unused_name(file_name: str) -> str:
    stem = clean_text(PurePosixPath(file_name).stem).strip() or "detections"
    stem = stem[: _LONGEST_NAME - 4]
    taken = {*cache.models(), *(other.name for other in _others())}
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem} {number}"
    return name


def _other_in_words(detections: DetectionPass) -> str:
    boxes = widgets.plural(len(detections.found), "box")
    images = widgets.plural(len(set(detections.found.image.tolist())), "image")
    parts = [f"{boxes} on {images}"]
    if labels := _named(sorted(set(detections.mapping.names.values()))):
        parts.append(labels)
    if others := _named(detections.mapping.unmapped):
        parts.append(f"unknown labels: {others}")
    if detections.refused:
        place, reason = next(iter(detections.refused.items()))
        parts.append(f"skipped, for example {place}: {reason}")
    return " · ".join(parts)


def _named(labels: Sequence[str]) -> str:
    rest = len(labels) - _MOST_LABELS_NAMED
    more = f" and {rest:,} more" if rest > 0 else ""
    return ", ".join(labels[:_MOST_LABELS_NAMED]) + more


def results() -> None:
    """Draw the selected evaluation, or the next step where there is none."""
    runs = run_data.runs()
    if not runs:
        _draw_next_step()
        return
    left, middle, right = st.columns([5, 3, 2], vertical_alignment="bottom")
    with left:
        info = _choose_run(runs)
    threshold = middle.slider(
        "Confidence threshold",
        0.05,
        0.95,
        DEFAULT_CONFIDENCE,
        0.05,
        key=_THRESHOLD,
        persist_state="session",
        help="Applies to precision, recall, mistakes and clicks. AP does not depend on "
        "it.",
    )
    shown = Shown(info, threshold)
    with right:
        _draw_report_button(info, threshold)
    with st.container():
        _draw_notes(shown)
    view: str = st.segmented_control(
        "View",
        list(VIEWS),
        default=next(iter(VIEWS)),
        required=True,
        key="evaluate.view",
        label_visibility="collapsed",
        persist_state="session",
    )
    VIEWS[view](shown)


def _draw_next_step() -> None:
    counts = services.store().progress(state.scope())
    if job_progress.is_active(job_progress.latest("evaluate")):
        return
    if total := count(counts, SCOPES[_default_scope(counts)]):
        st.info(
            "Select models and click **Run** to evaluate them on "
            f"{widgets.plural(total, 'image')} ({SCOPE_WORDS[_default_scope(counts)]})."
        )
        return
    st.info(
        "No reviewed images to evaluate on yet. Correct and approve some; 30 give a "
        "first estimate."
    )
    st.page_link("pages/edit.py", label="**Edit**", icon=":material/edit:")


def _choose_run(runs: Sequence[SavedRun]) -> SavedRun:
    by_id = {run.run_id: run for run in runs}
    latest, moments = runs[0].run_id, run_data.moments(runs)
    # Keyed by the newest, so that a new evaluation is shown at once.
    chosen: str = st.selectbox(
        "Evaluation",
        list(by_id),
        format_func=lambda run_id: run_in_words(by_id[run_id], moments[run_id]),
        key=f"{_RUN}.{latest}",
    )
    return by_id[chosen]


def run_in_words(info: SavedRun, moment: str) -> str:
    """Return the time, models and images of an evaluation in one line."""
    specs = ", ".join(info.specs[:_MOST_SPECS_NAMED])
    rest = len(info.specs) - _MOST_SPECS_NAMED
    more = f" and {rest} more" if rest > 0 else ""
    images = widgets.plural(info.images, "image")
    return f"{moment} · {specs}{more} · {images}"


def _draw_notes(shown: Shown) -> None:
    run = run_data.load(shown.info.run_id)
    notes = [*warnings_about(run.truth), *run.notes]
    if shown.info.version != services.store().version(state.scope()):
        notes.insert(
            0, "Labels or images have changed since. Click Run to evaluate again."
        )
    if notes:
        st.caption(":material/info: " + " ".join(map(widgets.escape, notes)))


def _draw_report_button(info: SavedRun, threshold: float) -> None:
    name = state.dataset().name
    downloads.button(
        "Report",
        "report",
        {"name": name, "run": info.run_id, "threshold": threshold},
        file_name=f"{safe_stem(name)}-evaluation.html",
        mime="text/html",
        key=f"evaluate.report.{info.run_id}",
        help="One HTML file with all metrics, curves and the worst images, to read "
        "offline or print.",
        width="stretch",
    )


@downloads.maker("report")
def _make_report(scope: Scope, parameters: downloads.Parameters) -> bytes:
    run_id, threshold = parameters["run"], parameters["threshold"]
    run = run_data.load_of(scope, run_id)
    results = run_data.results_of(scope, run_id, threshold)
    made_at = run_data.made_at(scope, run_id)
    limits = services.limits()

    def picture_of(image: int) -> RgbArray | None:
        evaluated = run.truth.images[image]
        read = partial(services.store().image_bytes, scope, evaluated.image_id)
        return small_image(evaluated.name, read, limits)

    about = ReportHeader(
        f"{parameters['name']}: model evaluation", made_in_words(made_at), run.notes
    )
    return report(about, results, picture_of).encode("utf-8")


VIEWS: Final[Mapping[str, View]] = {
    "Compare": lambda shown: result_figures.draw(shown.info.run_id, shown.threshold),
    "Confusion": lambda shown: gallery.draw_confusion(
        shown.info.run_id, shown.threshold
    ),
    "Mistakes": lambda shown: gallery.draw_mistakes(shown.info.run_id, shown.threshold),
    "Label errors": lambda shown: gallery.draw_label_errors(shown.info.run_id),
    "Better and worse": lambda shown: gallery.draw_changes(
        shown.info.run_id, shown.threshold
    ),
}
