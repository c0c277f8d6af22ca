"""Models page: a card for each model: test, rename, describe, download, delete."""

from dataclasses import replace
from typing import Final, Literal

import streamlit as st

from imagebase.detection.library import (
    MAX_NAME_LENGTH,
    ModelLibrary,
    all_models,
    classifiers,
    fitting_name,
    library_of,
    model_zip,
)
from imagebase.detection.model_card import KINDS, ModelCard, card_of
from imagebase.detection.model_files import Model
from imagebase.detection.onnx import classifier
from imagebase.detection.taught.model import SUFFIX
from imagebase.detection.validation.dry_run import (
    SAMPLE,
    DryRun,
    boxes_of,
    draw_dry_run,
    dry_run,
    tags_of,
)
from imagebase.errors import ImageBaseError, LimitError, NotFoundError
from imagebase.evaluation.detection_pass import models_named
from imagebase.learning.taught_models import forget_taught, keep_copy
from imagebase.settings import DEFAULT_CONFIDENCE
from imagebase.store import Scope
from imagebase.ui import cache, job_progress, services, state, widgets
from imagebase.ui.identity import visitor
from imagebase.ui.web import downloads
from imagebase.wording import percent


@downloads.maker("model")
def _zip_of(scope: Scope, parameters: downloads.Parameters) -> bytes:
    owner_id = scope.owner_id
    models = {model.name: model for model in all_models(owner_id)}
    models |= {model.name: model for model in classifiers(owner_id)}
    if parameters["name"] not in models:
        raise NotFoundError("This model no longer exists.")
    model = models[parameters["name"]]
    return model.graph.read_bytes() if model.is_taught else model_zip(model)


def download_button(
    model: Model, *, key: str, width: Literal["content", "stretch"] = "content"
) -> None:
    """Draw the download button; a click builds the zip."""
    downloads.button(
        "Download",
        "model",
        {"name": model.name},
        file_name=f"{model.name}{SUFFIX if model.is_taught else '.zip'}",
        key=key,
        width=width,
        help=_contents(model),
    )


def _contents(model: Model) -> str:
    """Return what a download holds."""
    if model.is_taught:
        return "One .npz file, to add on Models elsewhere or to use in Python"
    if model.is_darknet:
        return "Zip with obj.cfg, obj.weights, obj.names and the ONNX model"
    return "Zip with the .onnx file and its labels"


COLUMNS: Final = 2
_MOST_LABELS_SHOWN: Final = 6
_LICENCE_PX: Final = 220
_DIALOG_PX: Final = 640


def library() -> ModelLibrary:
    """Return this visitor's own models."""
    return library_of(visitor().owner_id)


def cards() -> None:
    """Draw a card for each model, own models first."""
    models = [*cache.models().values(), *cache.classifiers()]
    models.sort(key=lambda model: model.is_bundled)
    for start in range(0, len(models), COLUMNS):
        cells = st.columns(COLUMNS, gap="small")
        for cell, model in zip(cells, models[start : start + COLUMNS], strict=False):
            with cell.container(border=True, height="stretch", gap="xsmall"):
                _card(model)


def _card(model: Model) -> None:
    try:
        card = card_of(model)
    except ImageBaseError as error:
        st.error(widgets.escape(str(error)))
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        name = model.title if card.dataset_id else model.name
        st.markdown(f"**{widgets.escape(name)}**", width="content")
        if card.dataset_id:
            st.badge("learns from your dataset", color="blue")
        elif not model.is_bundled:
            st.badge("yours", color="green")
    if card.description:
        st.markdown(widgets.escape(card.description))
    st.markdown(f":gray[{_facts(card)}]")
    st.markdown(f":gray[{_speed_and_score(card)}]", help=_measured_on(card))
    st.caption(f"{widgets.plural(len(card.labels), 'label')}: {_labels(card)}")
    if card.source or card.added_by:
        st.caption(_source(card))
    with st.container(horizontal=True):
        if st.button("Test", key=f"models.try.{model.name}", icon=":material/image:"):
            _try_dialog(model)
        download_button(model, key=f"models.download.{model.name}")
        if card.licence:
            popover = st.popover("Licence", key=f"models.licence.{model.name}")
            with popover.container(height=_LICENCE_PX):
                st.text(card.licence)
        if card.dataset_id and st.button(
            "Keep a copy",
            key=f"models.copy.{model.name}",
            help="Keeps the model as it is now as a model of its own.",
        ):
            _copy_dialog(card)
        if not model.is_bundled:
            if st.button("Edit", key=f"models.change.{model.name}"):
                _change_dialog(card)
            if st.button("Delete", key=f"models.delete.{model.name}"):
                _delete_dialog(card)


def _facts(card: ModelCard) -> str:
    width, height = card.input_size
    return " · ".join(
        [
            KINDS[card.family],
            f"{width} × {height} px",
            widgets.megabytes(card.byte_count),
        ]
    )


def _speed_and_score(card: ModelCard) -> str:
    milliseconds = _speeds.get(card.sha256, card.milliseconds)
    speed = (
        "speed not measured yet"
        if milliseconds is None
        else f"{milliseconds:.0f} ms per image"
    )
    if card.family in classifier.FAMILIES:
        return speed
    if card.score is None:
        return f"{speed} · AP not evaluated"
    ap, ap50 = (
        f"{score:.3f}".lstrip("0") for score in (card.score.ap, card.score.ap50)
    )
    return f"{speed} · AP {ap} · AP50 {ap50}"


def _measured_on(card: ModelCard) -> str | None:
    if card.score is None:
        return None
    return f"AP measured on {widgets.escape(card.score.measured_on)}"


def _labels(card: ModelCard) -> str:
    shown = ", ".join(
        widgets.escape(label) for label in card.labels[:_MOST_LABELS_SHOWN]
    )
    return f"{shown} …" if len(card.labels) > _MOST_LABELS_SHOWN else shown


def _source(card: ModelCard) -> str:
    parts = [f"From {widgets.escape(card.source)}"] if card.source else []
    if card.added_at is not None:
        by = f" by {widgets.escape(card.added_by)}" if card.added_by else ""
        parts.append(f"added{by} on {card.added_at:%d %b %Y}")
    return " · ".join(parts)


# Milliseconds per image of models tested since the server started, by sha256.
_speeds: Final[dict[str, float]] = {}


@st.dialog("Test on a sample image", width="large", on_dismiss="rerun")
@widgets.in_dialog
def _try_dialog(model: Model) -> None:
    with st.spinner("Loading the model …"):
        tried = dry_run(model, limits=services.limits())
    _speeds[card_of(model).sha256] = tried.milliseconds
    trial_picture(tried, model, longest_side=_DIALOG_PX)


def trial_picture(tried: DryRun, model: Model, *, longest_side: int) -> None:
    """Draw the sample image with a model's boxes, or with a classifier's tags."""
    boxes = [] if model.is_classifier else boxes_of(tried, model.labels)
    st.image(
        draw_dry_run(boxes, SAMPLE, labels=model.labels, longest_side=longest_side),
        width="stretch",
        alt="Sample image with the model's boxes",
    )
    if model.is_classifier:
        st.caption(
            f"{widgets.escape(tags_of(tried, model.labels))} · "
            f"{tried.milliseconds:.0f} ms with {tried.runtime}, {tried.precision}"
        )
        return
    st.caption(
        f"{widgets.plural(len(boxes), 'box')} above {percent(DEFAULT_CONFIDENCE)} "
        f"confidence · {tried.milliseconds:.0f} ms with {tried.runtime}, "
        f"{tried.precision}"
    )
    if not boxes:
        st.caption(
            "No objects of its labels in the sample image. Run it on your own images "
            "on Annotate."
        )


@st.dialog("Edit model", on_dismiss="rerun")
@widgets.in_dialog
def _change_dialog(card: ModelCard) -> None:
    with st.form("models.change_form", border=False):
        st.text_input(
            "Name", card.name, max_chars=MAX_NAME_LENGTH, key="models.own.name"
        )
        card_fields(card.description, card.source, card.licence, key="own")
        if st.form_submit_button(
            "Save",
            type="primary",
            key="models.save",
            on_click=_save_card,
            args=(card.name,),
        ):
            st.rerun()
    st.caption("Existing boxes stay linked to the model when it is renamed.")


@state.reports_errors
def _save_card(name: str) -> None:
    fields = st.session_state
    library().describe(
        name,
        description=fields["models.own.description"],
        source=fields["models.own.source"],
        licence=fields["models.own.licence"],
    )
    library().rename(name, fields["models.own.name"])


def card_fields(
    description: str, source: str, licence: str, *, key: str
) -> tuple[str, str, str]:
    """Draw the fields of a model card; return description, source and licence."""
    return (
        st.text_input("Description", description, key=f"models.{key}.description"),
        st.text_input("Source", source, key=f"models.{key}.source"),
        st.text_area("Licence", licence, key=f"models.{key}.licence", height=80),
    )


@st.dialog("Delete the model?", on_dismiss="rerun")
@widgets.in_dialog
def _delete_dialog(card: ModelCard) -> None:
    name = card.title if card.dataset_id else card.name
    st.markdown(
        f"**{widgets.escape(name)}** and its files will be deleted permanently. Its "
        f"{'tags' if card.family in classifier.FAMILIES else 'boxes'} are kept."
    )
    if st.button(
        "Delete",
        key="models.really_delete",
        type="primary",
        on_click=_delete,
        args=(card,),
    ):
        st.rerun()


@state.reports_errors
def _delete(card: ModelCard) -> None:
    in_use = _names_in_use()
    if not card.dataset_id:
        library().delete(card.name, in_use=in_use)
        if card.family in classifier.FAMILIES:
            for scope in _scopes():
                services.store().forget_candidates(scope, card.sha256)
        return
    library().refuse_if_in_use(card.name, in_use)
    forget_taught(services.store(), _taught_in(card))


def _taught_in(card: ModelCard) -> Scope:
    """Return the dataset that teaches a model."""
    return replace(state.scope(), dataset_id=card.dataset_id)


@st.dialog("Keep a copy", on_dismiss="rerun")
@widgets.in_dialog
def _copy_dialog(card: ModelCard) -> None:
    st.markdown(
        f"**{widgets.escape(card.title)}** goes on learning from its dataset. The copy "
        "stays as it is now."
    )
    with st.form("models.copy_form", border=False):
        labels = fitting_name(" and ".join(card.labels))
        st.text_input("Name", labels, max_chars=MAX_NAME_LENGTH, key="models.copy.name")
        if st.form_submit_button(
            "Keep", type="primary", key="models.copy.keep", on_click=_copy, args=(card,)
        ):
            st.rerun()


@state.reports_errors
def _copy(card: ModelCard) -> None:
    if len(library().names()) >= services.limits().max_models:
        raise LimitError("There are as many models as allowed; delete one first.")
    name = st.session_state["models.copy.name"]
    keep_copy(services.store(), _taught_in(card), name)


def _names_in_use() -> set[str]:
    """Return every name in the parameters of this owner's running jobs."""
    names: set[str] = set()
    for scope in _scopes():
        for job in filter(job_progress.is_active, services.store().jobs(scope)):
            names |= models_named(job.parameters)
    return names


def _scopes() -> list[Scope]:
    """Return the scope of each dataset of this owner."""
    who = visitor()
    return [
        Scope(who.owner_id, dataset.dataset_id, who.who) for dataset in state.datasets()
    ]
