"""The Models page's way in: drop files, read what the doctor says, keep the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import streamlit as st

from imagebase.detection.doctor import (
    Diagnosis,
    Draft,
    Finding,
    Level,
    Trial,
    examine,
    keep,
    try_out,
)
from imagebase.detection.library import MAX_NAME_LENGTH
from imagebase.detection.onnx_models import FAMILY_NAMES
from imagebase.errors import ImageBaseError, ModelLoadError
from imagebase.ui import backend, widgets
from imagebase.ui.models import models
from imagebase.ui.visitor import visitor

_EXAMINED: Final = "imagebase.models.examined"
_GENERATION: Final = "imagebase.models.generation"
_KEPT: Final = "imagebase.models.kept"
_FAMILY: Final = "models.family"
_PICTURE_PX: Final = 360
_ICONS: Final = {
    Level.GOOD: ":green[:material/check_circle:]",
    Level.WARNING: ":orange[:material/warning:]",
    Level.BAD: ":red[:material/cancel:]",
}


class Dropped(Protocol):
    """A file in the field, as Streamlit has it; file_id is another for each drop."""

    name: str
    file_id: str

    def getvalue(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Examined:
    """What the doctor said of just these files, read in just this way."""

    of: tuple[str, ...]
    diagnosis: Diagnosis
    trial: Trial | None
    fault: str = ""


def drop_zone() -> None:
    """Draw the field for a model's files, and what is to be said of those in it."""
    limit = max(backend.limits().max_model_bytes // 1_000_000, 1)
    files = st.file_uploader(
        "Add a model: drop **obj.cfg**, **obj.weights** and **obj.names** together, a "
        "zip of them, or one **.onnx** file. Any file names will do.",
        accept_multiple_files=True,
        max_upload_size=limit,
        key=f"models.files.{st.session_state.get(_GENERATION, 0)}",
    )
    kept = st.session_state.get(_KEPT)
    if not files:
        st.session_state.pop(_EXAMINED, None)
        if kept:
            with st.container(
                horizontal=True, vertical_alignment="center", border=True
            ):
                st.markdown(
                    f":green[:material/check_circle:] **{widgets.escape(kept)}** is "
                    "among your models.",
                    width="content",
                )
                st.page_link("pages/annotate.py", label="**Annotate with it**")
        return
    st.session_state.pop(_KEPT, None)
    with st.container(border=True):
        _show(_examined(files))


def _examined(files: Sequence[Dropped]) -> Examined:
    """Return what is to be said of dropped files, worked out once."""
    family = st.session_state.get(_FAMILY)
    of = (*(one.file_id for one in files), family or "")
    known: Examined | None = st.session_state.get(_EXAMINED)
    if known is not None and known.of == of:
        return known
    limits = backend.limits()
    with st.spinner("Looking at the files …"):
        uploads = ((one.name, one.getvalue()) for one in files)
        diagnosis = examine(uploads, limits=limits, family=family)
    trial, fault = None, ""
    if diagnosis.draft is not None:
        with st.spinner("Trying the model on a photograph …"):
            try:
                trial = try_out(diagnosis.draft.model, limits=limits)
            except ModelLoadError as error:
                fault = str(error)
    examined = Examined(of, diagnosis, trial, fault)
    st.session_state[_EXAMINED] = examined
    return examined


def _show(examined: Examined) -> None:
    diagnosis = examined.diagnosis
    findings = list(diagnosis.findings)
    if examined.fault:
        findings.append(Finding(Level.BAD, examined.fault))
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.markdown("**What the doctor says**")
        with st.container(gap="xxsmall"):
            for finding in findings:
                st.markdown(f"{_ICONS[finding.level]} {widgets.escape(finding.text)}")
        _choose_family(diagnosis.families)
        if diagnosis.draft is not None and examined.trial is not None:
            _keep_form(diagnosis.draft, examined.trial)
        else:
            st.caption("Nothing was kept. Mend what has a cross and drop it again.")
    with right:
        if diagnosis.draft is not None and examined.trial is not None:
            models.trial_picture(
                examined.trial, diagnosis.draft.model, longest_side=_PICTURE_PX
            )


def _choose_family(families: Sequence[str]) -> None:
    """Ask how an ONNX model is read, where its outputs fit more than one way."""
    if len(families) < 2:
        return
    st.selectbox(
        "Read it as",
        [None, *families],
        format_func=lambda one: FAMILY_NAMES[one] if one else "as it seems",
        key=_FAMILY,
        help="Its outputs fit each of these. If the boxes lie wrong, choose another.",
    )


def _keep_form(draft: Draft, trial: Trial) -> None:
    with st.form("models.keep_form", border=False):
        name = st.text_input(
            "Name",
            draft.suggested_name,
            max_chars=MAX_NAME_LENGTH,
            key="models.new.name",
        )
        with st.expander("Description, source, licence"):
            words = models.words_of_a_card("", draft.source, draft.licence, key="new")
        if not st.form_submit_button(
            "Keep", key="models.keep", type="primary", icon=":material/check:"
        ):
            return
        try:
            kept = keep(
                draft,
                models.library(),
                name=name,
                who=visitor().who,
                trial=trial,
                limits=backend.limits(),
                description=words[0],
                source=words[1],
                licence=words[2],
            )
        except ImageBaseError as error:
            st.error(widgets.escape(str(error)))
            return
    st.session_state[_KEPT] = kept.name
    st.session_state[_GENERATION] = st.session_state.get(_GENERATION, 0) + 1
    st.session_state.pop(_EXAMINED, None)
    st.rerun()
