"""Evaluate page: models and Run, the evaluation on screen, its report."""

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
from imagebase.evaluation.detection_pass import Pass, parse_contender
from imagebase.evaluation.evaluate_files import made_in_words, small_picture
from imagebase.evaluation.report import About, report
from imagebase.evaluation.storage import RunInfo
from imagebase.images.decode import RgbArray
from imagebase.ingest.label_files import keep_files
from imagebase.jobs.evaluation import look_at_detections
from imagebase.jobs.temporary_files import dropped, forget_dropped, make_room, safe_stem
from imagebase.settings import DEFAULT_CONFIDENCE, DEFAULT_MODEL
from imagebase.store import Scope
from imagebase.ui import cache, job_progress, services, state, widgets
from imagebase.ui.evaluate import gallery, result_figures, run_data

# What models can be judged by; the first that holds any image is the usual one.
_SCOPES: Final = (APPROVED, REVIEWED, LABELLED)
_MODELS: Final = "evaluate.models"
_IMAGES: Final = "evaluate.images"
_RUN: Final = "evaluate.run_shown"
_THRESHOLD: Final = "evaluate.confidence"
_MOST_SPECS_NAMED: Final = 3
_MOST_MODELS: Final = 12
_MODELS_HELP: Final = (
    "Type to add how a model looks: yolov4-tiny@608 takes a larger net, +f32 or +bf16 "
    "another precision, +accurate several looks; yolov4-tiny&yolox-nano lets both vote."
)
_OTHERS: Final = "imagebase.evaluate.others"
_PROBLEM: Final = "imagebase.evaluate.others_problem"
_GENERATION: Final = "imagebase.evaluate.others_generation"
_LONGEST_NAME: Final = 40
_MOST_LABELS_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Shown:
    """The run that is on screen, and the confidence its models are used at."""

    info: RunInfo
    threshold: float


View = Callable[[Shown], None]


def toolbar() -> None:
    """Draw models, images, Run, and what else is to be judged."""
    counts = services.store().progress(state.scope())
    left, middle, right = st.columns([6, 2, 1], vertical_alignment="bottom")
    chosen: list[str] = left.multiselect(
        "Models",
        _offered(),
        default=[DEFAULT_MODEL],
        key=_MODELS,
        accept_new_options=True,
        max_selections=_MOST_MODELS,
        # Enter adds the first that fits what was typed, and not all of them.
        select_all=False,
        persist_state="session",
        help=_MODELS_HELP,
    )
    totals = {name: count(counts, SCOPES[name]) for name in _SCOPES}
    if not totals.get(st.session_state.get(_IMAGES, "")):
        st.session_state[_IMAGES] = _usual(counts)
    images = middle.selectbox(
        "Judged by",
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
        disabled=not (chosen or _has_others())
        or not totals[images]
        or job_progress.is_active(job_progress.latest("evaluate")),
        help="Each model looks at all of them in the background; no label is changed.",
        on_click=_start,
    )
    _choose_others(images)


def _usual(counts: Mapping[ReviewStatus, int]) -> str:
    return usual_scope(counts, _SCOPES)


def _offered() -> list[str]:
    """Return what can be chosen without typing: every model, and a way to look."""
    names = list(cache.models())
    return [*names, *(f"{name}+accurate" for name in names)]


@state.reports_errors
def _start() -> None:
    # As it is chosen now: the page may not have been drawn again since.
    specs: list[str] = st.session_state[_MODELS]
    images: str = st.session_state[_IMAGES]
    known = cache.models()
    for spec in specs:
        # By name only: no path of the server's may be typed here.
        if not set(parse_contender(spec).models) <= set(known):
            raise EvaluationError(
                f"There is no model {spec!r}; give one of {', '.join(known)}."
            )
    parameters = {
        "models": list(dict.fromkeys(specs)),
        "images": images,
        "detections": _others_chosen(specs),
        "limits": asdict(services.limits()),
    }
    job_progress.begin("evaluate", parameters)
    _hand_others_over()
    st.session_state.pop(_RUN, None)


@dataclass(frozen=True, slots=True)
class _Other:
    """What was dropped for a dataset; told: what it says of the images."""

    upload_id: str
    dataset_id: str
    name: str
    told: str


def _choose_others(images: str) -> None:
    """Draw what was dropped, and the field for more.

    Args:
        images: which of the statuses they will be judged by.
    """
    kept = _others()
    count = f" · {len(kept)}" if kept else ""
    with st.popover(
        f"Another program's detections{count}",
        icon=":material/upload_file:",
        type="tertiary",
        key="evaluate.others",
    ):
        st.caption(
            "Judge what any other program found on these images beside the models: a "
            "list of COCO results (with the label file that its numbers are of), "
            "Darknet's result.json, or labels with confidences in any format."
        )
        for one in kept:
            _draw_other(one)
        if problem := st.session_state.get(_PROBLEM):
            st.warning(widgets.escape(problem))
        _drop_zone(images)


def _has_others() -> bool:
    """Say whether anything waits to be judged."""
    return bool(_others())


def _others_chosen(beside: Collection[str]) -> dict[str, str]:
    """Return names by the ids of the files, as they are typed now.

    Args:
        beside: what the models of the same run are called.

    Raises:
        EvaluationError: a name is missing, or is another's too.
    """
    names: dict[str, str] = {}
    taken = {*beside, *cache.models()}
    for one in _others():
        name = clean_text(str(st.session_state.get(_name_key(one), one.name))).strip()
        if not name:
            raise EvaluationError("Give the other program's detections a name.")
        if name in taken:
            raise EvaluationError(
                f"{name} is what something else is called; give these detections "
                "another name."
            )
        taken.add(name)
        names[one.upload_id] = name
    return names


def _hand_others_over() -> None:
    """Forget what was dropped here: a run has it now, and deletes it."""
    st.session_state.pop(_PROBLEM, None)
    _keep_only([one for one in _others_everywhere() if one not in _others()])


def _others_everywhere() -> list[_Other]:
    others: list[_Other] = st.session_state.get(_OTHERS, [])
    return others


def _others() -> list[_Other]:
    """Return what was dropped for the dataset that is on screen."""
    here = state.scope().dataset_id
    return [one for one in _others_everywhere() if one.dataset_id == here]


def _keep_only(others: Sequence[_Other]) -> None:
    st.session_state[_OTHERS] = list(others)


def _name_key(one: _Other) -> str:
    return f"evaluate.others.name.{one.upload_id}"


def _draw_other(one: _Other) -> None:
    left, right = st.columns([6, 1], vertical_alignment="bottom")
    left.text_input(
        "Name",
        one.name,
        max_chars=_LONGEST_NAME,
        key=_name_key(one),
        persist_state="session",
    )
    with right:
        widgets.icon_button(
            f"Do not judge {one.name}",
            key=f"evaluate.others.forget.{one.upload_id}",
            icon=":material/close:",
            is_plain=True,
            on_click=_forget_other,
            args=(one,),
        )
    st.caption(widgets.escape(one.told))


@state.reports_errors
def _forget_other(one: _Other) -> None:
    _keep_only([each for each in _others_everywhere() if each != one])
    forget_dropped(state.scope(), one.upload_id)


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
            _keep_other([(file.name, file) for file in files], images)
        except ImageBaseError as error:
            st.session_state[_PROBLEM] = str(error)
    st.rerun()


def _keep_other(files: Sequence[tuple[str, Any]], images: str) -> None:
    """Keep dropped files until they are judged, or an hour; nothing that is refused."""
    scope, limits = state.scope(), services.limits()
    other = _Other(new_id(), scope.dataset_id, _unused_name(files[0][0]), "")
    make_room(scope, limits)
    keep_files(files, dropped(scope, other.upload_id), limits)
    try:
        found = look_at_detections(
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
    told = _other_in_words(found)
    _keep_only(
        [
            *_others_everywhere(),
            _Other(other.upload_id, other.dataset_id, other.name, told),
        ]
    )


def _unused_name(file_name: str) -> str:
    stem = clean_text(PurePosixPath(file_name).stem).strip() or "detections"
    stem = stem[: _LONGEST_NAME - 4]
    taken = {*cache.models(), *(one.name for one in _others())}
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem} {number}"
    return name


def _other_in_words(found: Pass) -> str:
    """Return what there is to judge, and what there is not."""
    boxes = widgets.plural(len(found.found), "box")
    images = widgets.plural(len(set(found.found.image.tolist())), "image")
    parts = [f"{boxes} on {images}"]
    if labels := _named(sorted(set(found.mapping.names.values()))):
        parts.append(labels)
    if others := _named(found.mapping.unmapped):
        parts.append(f"no label here: {others}")
    if found.refused:
        place, reason = next(iter(found.refused.items()))
        parts.append(f"not judged, the first of it {place}: {reason}")
    return " · ".join(parts)


def _named(labels: Sequence[str]) -> str:
    rest = len(labels) - _MOST_LABELS_NAMED
    more = f" and {rest:,} more" if rest > 0 else ""
    return ", ".join(labels[:_MOST_LABELS_NAMED]) + more


def results() -> None:
    """Draw the chosen run, or what to do to have one."""
    kept = run_data.runs()
    if not kept:
        _say_what_to_do()
        return
    left, middle, right = st.columns([5, 3, 2], vertical_alignment="bottom")
    with left:
        info = _choose_run(kept)
    threshold = middle.slider(
        "Confidence in use",
        0.05,
        0.95,
        DEFAULT_CONFIDENCE,
        0.05,
        key=_THRESHOLD,
        persist_state="session",
        help="For precision, recall, mistakes and clicks. AP does not depend on it.",
    )
    shown = Shown(info, threshold)
    with right:
        offer(info, threshold)
    with st.container():
        _say_what_to_know(shown)
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


def _say_what_to_do() -> None:
    counts = services.store().progress(state.scope())
    if job_progress.is_active(job_progress.latest("evaluate")):
        return
    if total := count(counts, SCOPES[_usual(counts)]):
        st.info(
            "Choose models and click **Run**: they are evaluated on "
            f"{widgets.plural(total, 'image')}, {SCOPE_WORDS[_usual(counts)]}."
        )
        return
    st.info(
        "Models are evaluated on images that people labelled, and there are none yet. "
        "Correct and approve some; 30 give a first estimate."
    )
    st.page_link("pages/edit.py", label="**Edit**", icon=":material/edit:")


def _choose_run(kept: Sequence[RunInfo]) -> RunInfo:
    by_id = {one.run_id: one for one in kept}
    latest, moments = kept[0].run_id, run_data.moments(kept)
    # Keyed by the newest: a new run is shown as it comes.
    chosen: str = st.selectbox(
        "Evaluation",
        list(by_id),
        format_func=lambda run_id: run_in_words(by_id[run_id], moments[run_id]),
        key=f"{_RUN}.{latest}",
    )
    return by_id[chosen]


def run_in_words(info: RunInfo, moment: str) -> str:
    """Return when and what a run judged, in one line."""
    specs = ", ".join(info.specs[:_MOST_SPECS_NAMED])
    rest = len(info.specs) - _MOST_SPECS_NAMED
    more = f" and {rest} more" if rest > 0 else ""
    images = widgets.plural(info.images, "image")
    return f"{moment} · {specs}{more} · {images}"


def _say_what_to_know(shown: Shown) -> None:
    """Say what limits the figures, and whether they are still of today's labels."""
    run = run_data.load(shown.info.run_id)
    said = [*warnings_about(run.truth), *run.notes]
    if shown.info.version != services.store().version(state.scope()):
        said.insert(0, "Labels or images changed since; press Run to judge anew.")
    if said:
        st.caption(":material/info: " + " ".join(map(widgets.escape, said)))


def offer(info: RunInfo, threshold: float) -> None:
    """Draw the button that downloads the report of a run as one HTML file."""
    name = state.dataset().name
    st.download_button(
        "Report",
        partial(_make, state.scope(), name, info, threshold),
        file_name=f"{safe_stem(name)}-evaluation.html",
        mime="text/html",
        key=f"evaluate.report.{info.run_id}",
        icon=":material/download:",
        help="One file with all figures, curves and the worst images, to read offline "
        "or print.",
        on_click="ignore",
        width="stretch",
    )


def _make(scope: Scope, name: str, info: RunInfo, threshold: float) -> bytes:
    run = run_data.load_of(scope, info.run_id)
    fared = run_data.standings_of(scope, info.run_id, threshold)
    limits = services.limits()

    def picture_of(image: int) -> RgbArray | None:
        one = run.truth.images[image]
        read = partial(services.store().image_bytes, scope, one.image_id)
        return small_picture(one.name, read, limits)

    about = About(
        f"{name}: how good are these models?", made_in_words(info.made_at), run.notes
    )
    return report(about, fared, picture_of).encode("utf-8")


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
