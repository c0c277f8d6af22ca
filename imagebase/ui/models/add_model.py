"""Add a model on the Models page: upload files, validate, name, add."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Protocol

import streamlit as st

from imagebase.detection.darknet.plan import MAX_NET_SIDE
from imagebase.detection.library import MAX_NAME_LENGTH
from imagebase.detection.model_files import Model
from imagebase.detection.onnx.families import FAMILY_NAMES
from imagebase.detection.validation import (
    Draft,
    DryRun,
    Level,
    ModelFinding,
    Validation,
    add_to_library,
    dry_run_or_reread,
    validate_upload,
)
from imagebase.detection.validation.dry_run import (
    SAMPLE,
    boxes_of,
    finding_of,
    finding_of_tags,
)
from imagebase.errors import ImageBaseError, MisreadModelError, ModelLoadError
from imagebase.ui import cache, services, widgets
from imagebase.ui.identity import visitor
from imagebase.ui.models import page

_EXAMINED: Final = "imagebase.models.examined"
_GENERATION: Final = "imagebase.models.generation"
_ADDED: Final = "imagebase.models.kept"
_FAMILY: Final = "models.family"
_INPUT_SIZE: Final = "models.input_size"
_USUAL_SIDE: Final = 640
_STRIDE: Final = 32
_PICTURE_PX: Final = 360
_ICONS: Final = {
    Level.GOOD: ":green[:material/check_circle:]",
    Level.WARNING: ":orange[:material/warning:]",
    Level.BAD: ":red[:material/cancel:]",
}


class Dropped(Protocol):
    """An uploaded file of Streamlit; each upload has its own file_id."""

    name: str
    file_id: str

    def getvalue(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Validated:
    """Validation of certain files. of: their ids, and how they were read."""

    of: tuple[str, ...]
    diagnosis: Validation
    trial: DryRun | None
    fault: str = ""


def drop_zone() -> None:
    """Draw the upload field for a model, and the validation of its files."""
    limit = max(services.limits().max_model_bytes // 1_000_000, 1)
    files = st.file_uploader(
        "Add a model: drop **obj.cfg**, **obj.weights** and **obj.names** together, a "
        "zip of them, one **.onnx** file of a detector or of a classifier, or one "
        "**.npz** file of a model taught by examples. Any file names are accepted.",
        accept_multiple_files=True,
        max_upload_size=limit,
        key=f"models.files.{st.session_state.get(_GENERATION, 0)}",
    )
    added = st.session_state.get(_ADDED)
    if not files:
        st.session_state.pop(_EXAMINED, None)
        if added:
            with st.container(
                horizontal=True, vertical_alignment="center", border=True
            ):
                st.markdown(
                    f":green[:material/check_circle:] **{widgets.escape(added)}** was "
                    "added.",
                    width="content",
                )
                if any(model.name == added for model in cache.classifiers()):
                    label = "**It proposes image tags on Edit and Review**"
                    st.page_link("pages/review.py", label=label)
                else:
                    st.page_link("pages/annotate.py", label="**Use it on Annotate**")
        return
    st.session_state.pop(_ADDED, None)
    with st.container(border=True):
        _draw_validation(_validate(files))


def _validate(files: Sequence[Dropped]) -> Validated:
    family = widgets.offered(_FAMILY, FAMILY_NAMES, None)
    side = st.session_state.get(_INPUT_SIZE)
    of = (*(file.file_id for file in files), family or "", str(side or ""))
    known: Validated | None = st.session_state.get(_EXAMINED)
    if known is not None and known.of == of:
        return known
    limits = services.limits()
    with st.spinner("Checking files …"):
        uploads = [(file.name, file.getvalue()) for file in files]
        diagnosis = validate_upload(
            uploads, limits=limits, family=family, input_size=side
        )
        if side and not diagnosis.asks_size:  # left from the files before
            side = None
            diagnosis = validate_upload(uploads, limits=limits, family=family)
    again = partial(_examine_again, uploads, side)
    trial, fault = None, ""
    if diagnosis.draft is not None:
        with st.spinner("Testing the model on a sample image …"):
            try:
                diagnosis, trial = dry_run_or_reread(
                    diagnosis, None if family else again, limits=limits
                )
            except MisreadModelError as error:
                fault, diagnosis = str(error), _with_family(diagnosis, error.family)
            except ModelLoadError as error:
                fault = str(error)
    examined = Validated(of, diagnosis, trial, fault)
    st.session_state[_EXAMINED] = examined
    return examined


def _examine_again(
    uploads: Sequence[tuple[str, bytes]], side: int | None, family: str
) -> Validation:
    return validate_upload(
        uploads, limits=services.limits(), family=family, input_size=side
    )


def _with_family(diagnosis: Validation, family: str) -> Validation:
    """Return the diagnosis with one more model type to choose."""
    families = dict.fromkeys((*diagnosis.families, family))
    return replace(diagnosis, families=tuple(families))


def _draw_validation(examined: Validated) -> None:
    diagnosis = examined.diagnosis
    findings = list(diagnosis.findings)
    if examined.fault:
        findings.append(ModelFinding(Level.BAD, examined.fault))
    if diagnosis.draft is not None and examined.trial is not None:
        findings += _trial_findings(examined.trial, diagnosis.draft.model)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.markdown("**Validation**")
        with st.container(gap="xxsmall"):
            for finding in findings:
                st.markdown(f"{_ICONS[finding.level]} {widgets.escape(finding.text)}")
        _choose_size(diagnosis)
        _choose_family(diagnosis.families)
        if diagnosis.draft is not None and examined.trial is not None:
            _add_form(diagnosis.draft, examined.trial)
        else:
            st.caption(
                "No model was added. Fix the errors and upload the files again, or "
                "change the options above."
                if diagnosis.asks_size or len(diagnosis.families) > 1
                else "No model was added. Fix the errors and upload the files again."
            )
    with right:
        if diagnosis.draft is not None and examined.trial is not None:
            page.trial_picture(
                examined.trial, diagnosis.draft.model, longest_side=_PICTURE_PX
            )


def _trial_findings(trial: DryRun, model: Model) -> list[ModelFinding]:
    if model.is_classifier:
        return [finding_of_tags(trial, model.labels, image=SAMPLE.name)]
    boxes = boxes_of(trial, model.labels)
    # What was taught by examples is rarely in the sample image.
    if not boxes and model.is_taught:
        return []
    return [finding_of(trial, boxes, image=SAMPLE.name)]


def _choose_size(diagnosis: Validation) -> None:
    if not diagnosis.asks_size:
        return
    size = diagnosis.draft.input_size if diagnosis.draft else None
    st.number_input(
        "Input size",
        min_value=_STRIDE,
        max_value=MAX_NET_SIDE,
        value=None,
        step=_STRIDE,
        placeholder=f"{size.width} × {size.height}"
        if size
        else f"usually {_USUAL_SIDE}",
        key=_INPUT_SIZE,
        help="The model accepts any input size. Enter the side in pixels it was "
        f"trained with, usually {_USUAL_SIDE}.",
    )


def _choose_family(families: Sequence[str]) -> None:
    if len(families) < 2:
        return
    st.selectbox(
        "Model type",
        [None, *families],
        format_func=lambda name: FAMILY_NAMES[name] if name else "detect automatically",
        key=_FAMILY,
        help="The outputs fit each of these. If the boxes are wrong, select another.",
    )


def _add_form(draft: Draft, trial: DryRun) -> None:
    with st.form("models.keep_form", border=False):
        name = st.text_input(
            "Name",
            draft.suggested_name,
            max_chars=MAX_NAME_LENGTH,
            key="models.new.name",
        )
        with st.expander("Description, source, licence"):
            description, source, licence = page.card_fields(
                "", draft.source, draft.licence, key="new"
            )
        if not st.form_submit_button(
            "Add model", key="models.keep", type="primary", icon=":material/check:"
        ):
            return
        try:
            model = add_to_library(
                draft,
                page.library(),
                name=name,
                who=visitor().who,
                trial=trial,
                limits=services.limits(),
                description=description,
                source=source,
                licence=licence,
            )
        except ImageBaseError as error:
            st.error(widgets.escape(str(error)))
            return
    st.session_state[_ADDED] = model.name
    st.session_state[_GENERATION] = st.session_state.get(_GENERATION, 0) + 1
    st.session_state.pop(_EXAMINED, None)
    st.rerun()
