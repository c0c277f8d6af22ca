"""Thresholds learned from corrections: table, preview of changes, apply."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import pandas as pd
import streamlit as st

from imagebase.annotation import NOT_APPROVED, Annotation, ImageRecord, LabelSet
from imagebase.detection.selection_rule import SelectionRule, select_all
from imagebase.errors import EditError
from imagebase.jobs.inference import candidates_key
from imagebase.review.corrections import Decision
from imagebase.review.thresholds import (
    ENOUGH_DECISIONS,
    ImageChange,
    Learned,
    TooFew,
    by_model_label,
    changes_under,
)
from imagebase.store import Scope
from imagebase.ui import cache, charts, job_progress, services, state, widgets
from imagebase.ui.review import correction_figures
from imagebase.ui.review.correction_figures import KeptModel, decisions, kept_model
from imagebase.wording import percent

PICTURES: Final = 3
MOST_DRAWN: Final = 12
_HELP: Final = (
    "The learned threshold minimises the cost of correcting the boxes decided so far: "
    "1 for deleting a false box, 2 for drawing a missed one. Unchanged and moved boxes "
    "count as correct, deleted ones as false; relabelled ones are ignored. A box drawn "
    "on an approved image counts as missed where the model had a detection below its "
    "threshold (IoU 0.5); its other detections below the threshold count as correctly "
    "left out. Range: 95 % of 500 bootstrap resamples. Precision: share of correct "
    "boxes expected at the threshold; in brackets: 95 % confidence interval (Wilson)."
)


def threshold_offer() -> None:
    """Draw the learned threshold of each label, and the button to apply them."""
    scope = state.scope()
    model_id = _choose_model(decisions(scope))
    if model_id is None:
        st.info(
            "No decisions on model boxes yet. Save boxes on **Annotate**, then accept, "
            f"move or delete them on **Edit**. After {ENOUGH_DECISIONS} decisions a "
            "label gets its own threshold."
        )
        return
    job_progress.show("keep")
    model = kept_model(model_id)
    if model is None:
        st.warning(
            f"The model {widgets.escape(model_id)} was deleted, so its thresholds "
            "cannot be applied. Run another model on **Annotate**."
        )
        return
    results = correction_figures.learned(scope, model)
    learned = [result for result in results if isinstance(result, Learned)]
    waiting = [result for result in results if isinstance(result, TooFew)]
    if learned:
        _draw_learned(scope, model, learned)
    _draw_waiting(waiting, is_all=not learned)
    _draw_stored(scope, model)


def _choose_model(decided: Sequence[Decision]) -> str | None:
    known = list(
        dict.fromkeys(
            decision.model_id
            for decision in reversed(decided)
            if decision.model_id and decision.confidence is not None
        )
    )
    if len(known) < 2:
        return known[0] if known else None
    chosen: str = st.selectbox(
        "Model", known, key="figures.model", persist_state="session", width=320
    )
    return chosen


def _draw_learned(scope: Scope, model: KeptModel, learned: Sequence[Learned]) -> None:
    labels = services.store().labels(scope)
    left, right = st.columns([9, 4], gap="medium")
    with left:
        st.markdown(
            f"**{widgets.plural(len(learned), 'label')} with enough decisions**",
            help=_HELP,
        )
        _table(model, learned)
    with right:
        _chart(model, learned, labels)
    _draw_apply(scope, model, learned, labels)


def _current(model: KeptModel, label: str) -> float:
    """Return a label's current threshold: the lowest of its model labels."""
    names = [
        name
        for name in model.detector.labels
        if model.rule.mapping.get(name, name) == label
    ]
    own, usual = model.rule.per_label_confidence, model.rule.confidence_threshold
    return min((own.get(name, usual) for name in names), default=usual)


def _table(model: KeptModel, learned: Sequence[Learned]) -> None:
    frame = pd.DataFrame(
        {
            "use": [True] * len(learned),
            "label": [result.label for result in learned],
            "current": [_current(model, result.label) * 100 for result in learned],
            "learned": [result.threshold * 100 for result in learned],
            "range": [
                f"{result.low * 100:.0f} – {percent(result.high)}" for result in learned
            ],
            "decisions": [
                f"{result.right:,} / {result.wrong:,} / {result.missed:,}"
                for result in learned
            ],
            "precision": [
                f"{percent(result.precision)} ({result.precision_low * 100:.0f} – "
                f"{result.precision_high * 100:.0f})"
                for result in learned
            ],
        }
    )
    st.data_editor(
        frame,
        hide_index=True,
        disabled=[name for name in frame.columns if name != "use"],
        key=_table_key(learned),
        column_config={
            "use": st.column_config.CheckboxColumn("use", width=62),
            "label": st.column_config.TextColumn("label", width=95),
            "current": st.column_config.NumberColumn(
                "current", format="%.0f %%", width=60
            ),
            "learned": st.column_config.NumberColumn(
                "learned", format="%.0f %%", width=60
            ),
            "range": st.column_config.TextColumn("range", width=90),
            "decisions": st.column_config.TextColumn(
                "correct / false / missed", width=135
            ),
            "precision": st.column_config.TextColumn("precision"),
        },
    )


def _table_key(learned: Sequence[Learned]) -> str:
    return f"figures.thresholds.{hash(tuple(learned))}"


def _selected(learned: Sequence[Learned]) -> dict[str, float]:
    edited = st.session_state[_table_key(learned)]["edited_rows"]
    return {
        result.label: result.threshold
        for place, result in enumerate(learned)
        if edited.get(place, {}).get("use", True)
    }


def _chart(model: KeptModel, learned: Sequence[Learned], labels: LabelSet) -> None:
    drawn = learned[:MOST_DRAWN]
    frame = pd.DataFrame(
        {
            "label": [result.label for result in drawn],
            "colour": [labels.colour_of(result.label) for result in drawn],
            "learned": [result.threshold for result in drawn],
            "low": [result.low for result in drawn],
            "high": [result.high for result in drawn],
            "now": [_current(model, result.label) for result in drawn],
        }
    )
    higher = sum(result.threshold > _current(model, result.label) for result in learned)
    lower = sum(result.threshold < _current(model, result.label) for result in learned)
    charts.intervals(frame, title=f"{higher:,} higher, {lower:,} lower than now (grey)")


def _draw_waiting(waiting: Sequence[TooFew], *, is_all: bool) -> None:
    if not waiting:
        return
    st.markdown(
        f"**No label has {ENOUGH_DECISIONS} decisions yet. Keep correcting.**"
        if is_all
        else f"**{widgets.plural(len(waiting), 'label')} without enough decisions**"
    )
    st.dataframe(
        pd.DataFrame(
            {
                "label": [result.label for result in waiting],
                "decisions": [result.decisions for result in waiting],
                "still needed": [result.needed for result in waiting],
            }
        ),
        hide_index=True,
        width=460,
        height=min(38 + 35 * len(waiting), 250),
        key="figures.waiting",
    )


def _draw_apply(
    scope: Scope, model: KeptModel, learned: Sequence[Learned], labels: LabelSet
) -> None:
    wanted = _selected(learned)
    rule = _with_thresholds(model, wanted)
    is_same = rule.per_label_confidence == model.rule.per_label_confidence
    if not wanted or is_same:
        st.success(
            "These thresholds are in use."
            if wanted
            else "Select a label to preview its threshold."
        )
        return
    others = _others(scope, model)
    if not others:
        st.success(
            "All images the model has run on are approved: there are no images to "
            "apply the thresholds to."
        )
        return
    if not st.toggle(
        f"Preview changes on the other {widgets.plural(len(others), 'image')}",
        key="figures.show_change",
    ):
        return
    changed = _changes_by(scope, model, rule, others)
    _draw_change_counts(changed, others)
    _before_and_after(scope, changed, labels)
    st.button(
        f"Apply to the other {widgets.plural(len(others), 'image')}",
        key="figures.apply",
        type="primary",
        icon=":material/check:",
        disabled=job_progress.is_active(job_progress.latest("keep")),
        on_click=_apply,
        args=(model, learned),
    )
    st.caption(
        "Boxes drawn by people and approved images are not changed. Undo reverts the "
        "boxes in one step; **Annotate** keeps the thresholds until you reset them."
    )


def _with_thresholds(model: KeptModel, wanted: Mapping[str, float]) -> SelectionRule:
    own = by_model_label(
        wanted, mapping=model.rule.mapping, model_labels=model.detector.labels
    )
    merged = {**model.rule.per_label_confidence, **own}
    return replace(model.rule, per_label_confidence=merged)


def _others(scope: Scope, model: KeptModel) -> tuple[str, ...]:
    """Return the images that are not approved and that the model has run on."""
    seen = services.store().has_candidates(scope, candidates_key(model.detector))
    known = services.store().image_ids(scope, statuses=NOT_APPROVED)
    return tuple(image_id for image_id in known if image_id in seen)


def _changes_by(
    scope: Scope, model: KeptModel, rule: SelectionRule, others: Sequence[str]
) -> list[ImageChange]:
    key = candidates_key(model.detector)
    return _changes_once(
        scope.owner_id,
        scope.dataset_id,
        services.store().version(scope),
        services.store().candidates_version(scope, key),
        repr((key, rule)),
        model.detector.model_id,
        _model=model,
        _rule=rule,
        _others=others,
    )


@st.cache_resource(max_entries=2, show_spinner="Calculating changes …")
def _changes_once(
    owner_id: str,
    dataset_id: str,
    version: str,
    candidates_version: str,
    key_and_rule: str,
    model_id: str,
    *,
    _model: KeptModel,
    _rule: SelectionRule,
    _others: Sequence[str],
) -> list[ImageChange]:
    scope, store = Scope(owner_id, dataset_id, ""), services.store()
    pool = cache.candidates(
        owner_id, dataset_id, candidates_key(_model.detector), candidates_version
    )
    labels = _model.detector.labels
    return changes_under(
        _rule,
        store.records(scope, statuses=NOT_APPROVED),
        select_all(pool.only(_others), _rule, model_labels=labels),
        model_labels=labels,
        model_id=model_id,
    )


def _draw_change_counts(changed: Sequence[ImageChange], others: Sequence[str]) -> None:
    removed = sum(change.gone for change in changed)
    added = sum(change.come for change in changed)
    if not changed:
        st.markdown("**No boxes would change**")
        return
    st.markdown(
        f"**{widgets.plural(removed, 'box')} removed, {added:,} added, on "
        f"{widgets.plural(len(changed), 'image')}** of {len(others):,}"
    )


def _before_and_after(
    scope: Scope, changed: Sequence[ImageChange], labels: LabelSet
) -> None:
    """Draw the images that change most, before and after, differences highlighted."""
    most = sorted(changed, key=lambda change: -(change.gone + change.come))[:PICTURES]
    for cell, change in zip(st.columns(PICTURES, gap="medium"), most, strict=False):
        left, right = cell.columns(2, gap="small")
        before = {box.annotation_id for box in change.before.annotations}
        after = {box.annotation_id for box in change.after.annotations}
        with left:
            boxes = change.before.annotations
            _picture(scope, change.before, boxes, labels, before - after)
            st.caption("before")
        with right:
            boxes = change.after.annotations
            _picture(scope, change.before, boxes, labels, after - before)
            st.caption(f"after: −{change.gone} +{change.come}")


def _picture(
    scope: Scope,
    record: ImageRecord,
    boxes: Sequence[Annotation],
    labels: LabelSet,
    highlighted: set[str],
) -> None:
    picture = cache.labelled_tile(
        scope, record, labels, boxes, highlighted=frozenset(highlighted)
    )
    st.image(picture, width="stretch", alt=record.file_name)


@state.reports_errors
def _apply(model: KeptModel, learned: Sequence[Learned]) -> None:
    # The current selection: a selection and the click may come in one run.
    scope, store = state.scope(), services.store()
    wanted = _selected(learned)
    if not wanted:
        raise EditError("Select a label first.")
    rule = _with_thresholds(model, wanted)
    parameters: dict[str, Any] = {
        **model.setup.parameters(),
        "statuses": [str(status) for status in NOT_APPROVED],
        **rule.parameters(),
    }
    services.runner().submit(scope, "keep", parameters)
    thresholds = rule.per_label_confidence
    store.save_label_thresholds(scope, model.detector.model_id, thresholds)


def _draw_stored(scope: Scope, model: KeptModel) -> None:
    """Draw the thresholds that Annotate starts with, and the button to reset them."""
    model_id = model.detector.model_id
    thresholds = services.store().label_thresholds(scope, model_id)
    if not thresholds:
        return
    each = ", ".join(
        f"{widgets.escape(name)} {percent(at)}" for name, at in thresholds.items()
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"**Annotate** starts with {each}.", width="content")
        st.button(
            "Reset",
            key="figures.forget",
            type="tertiary",
            on_click=_forget,
            args=(model_id,),
        )


@state.reports_errors
def _forget(model_id: str) -> None:
    services.store().save_label_thresholds(state.scope(), model_id, {})
    state.say("Annotate uses one threshold for all labels again.")
