"""Another program's detections: dropped, looked at, named, judged in the next run."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

import streamlit as st

from imagebase.annotation import clean_text, new_id
from imagebase.errors import EvaluationError, ImageBaseError
from imagebase.evaluation.detection_pass import Pass
from imagebase.ingest.label_files import keep_files
from imagebase.jobs.dropped_files import dropped, forget_dropped, make_room
from imagebase.jobs.evaluation import look_at_detections
from imagebase.ui import cache, services, state, widgets

_KEPT: Final = "imagebase.evaluate.others"
_PROBLEM: Final = "imagebase.evaluate.others_problem"
_GENERATION: Final = "imagebase.evaluate.others_generation"
_LONGEST_NAME: Final = 40
_MOST_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class _Other:
    """What was dropped for a dataset; told: what it says of the images."""

    upload_id: str
    dataset_id: str
    name: str
    told: str


def choose(images: str) -> None:
    """Draw what was dropped, and the field for more.

    Args:
        images: which of the statuses they will be judged by.
    """
    kept = _kept()
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
            _draw(one)
        if problem := st.session_state.get(_PROBLEM):
            st.warning(widgets.escape(problem))
        _drop_zone(images)


def are_chosen() -> bool:
    """Say whether anything waits to be judged."""
    return bool(_kept())


def chosen(beside: Collection[str]) -> dict[str, str]:
    """Return names by the ids of the files, as they are typed now.

    Args:
        beside: what the models of the same run are called.

    Raises:
        EvaluationError: a name is missing, or is another's too.
    """
    names: dict[str, str] = {}
    taken = {*beside, *cache.models()}
    for one in _kept():
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


def hand_over() -> None:
    """Forget what was dropped here: a run has it now, and deletes it."""
    st.session_state.pop(_PROBLEM, None)
    _keep_only([one for one in _all() if one not in _kept()])


def _all() -> list[_Other]:
    others: list[_Other] = st.session_state.get(_KEPT, [])
    return others


def _kept() -> list[_Other]:
    """Return what was dropped for the dataset that is on screen."""
    here = state.scope().dataset_id
    return [one for one in _all() if one.dataset_id == here]


def _keep_only(others: Sequence[_Other]) -> None:
    st.session_state[_KEPT] = list(others)


def _name_key(one: _Other) -> str:
    return f"evaluate.others.name.{one.upload_id}"


def _draw(one: _Other) -> None:
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
            on_click=_forget,
            args=(one,),
        )
    st.caption(widgets.escape(one.told))


@state.reports_errors
def _forget(one: _Other) -> None:
    _keep_only([each for each in _all() if each != one])
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
            _keep([(file.name, file) for file in files], images)
        except ImageBaseError as error:
            st.session_state[_PROBLEM] = str(error)
    st.rerun()


def _keep(files: Sequence[tuple[str, Any]], images: str) -> None:
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
    told = _in_words(found)
    _keep_only([*_all(), _Other(other.upload_id, other.dataset_id, other.name, told)])


def _unused_name(file_name: str) -> str:
    stem = clean_text(PurePosixPath(file_name).stem).strip() or "detections"
    stem = stem[: _LONGEST_NAME - 4]
    taken = {*cache.models(), *(one.name for one in _kept())}
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem} {number}"
    return name


def _in_words(found: Pass) -> str:
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
    rest = len(labels) - _MOST_NAMED
    more = f" and {rest:,} more" if rest > 0 else ""
    return ", ".join(labels[:_MOST_NAMED]) + more
