"""Correction figures, and thresholds learned from them."""

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from imagebase.annotation import ReviewStatus
from imagebase.detection.detector import Detector
from imagebase.detection.factory import ModelConfig
from imagebase.detection.selection_rule import SelectionRule, select_all
from imagebase.errors import ModelLoadError, UnknownModelError
from imagebase.jobs.inference import candidates_key
from imagebase.jobs.scoring import current_mapping
from imagebase.review.corrections import (
    BREAK_SECONDS,
    MIN_PACES,
    CorrectionFigures,
    Decision,
    Fate,
    correction_figures,
    decisions_in,
    moment_of,
    seconds_per_image,
)
from imagebase.review.thresholds import (
    FLOOR,
    Learned,
    TooFew,
    decided_evidence,
    learn,
    with_missed,
)
from imagebase.store import JobState, Scope
from imagebase.ui import cache, charts, services, state, widgets
from imagebase.ui.review import filters
from imagebase.wording import percent

MOST_LABELS: Final = 18
# Of fewer decisions than this a share says little.
ENOUGH_TO_SAY: Final = 5
MOST_CONFUSIONS: Final = 18
_SAVED_HELP: Final = (
    "By hand, every final box takes 2 actions: a drag and a label. With the model: "
    "1 per box moved, relabelled or deleted, 2 per box added, and 1 per image whose "
    "other boxes were accepted. Only the final state of a box counts; undone changes "
    "are free."
)
_LEFT_HELP: Final = (
    "The median time from one image you changed to the next, times the number of "
    f"images not approved yet. Gaps over {BREAK_SECONDS / 60:.0f} minutes count as "
    "breaks; bulk changes are ignored. Available once you have changed "
    f"{MIN_PACES + 1} images one by one."
)


def corrections() -> None:
    """Draw how people corrected the model's boxes, and the work that it saved."""
    scope = state.scope()
    decided = decisions(scope)
    if not decided:
        st.info(
            "No corrections yet. Accept, move, relabel or delete model boxes on "
            "**Edit**, or approve images, to see how accurate the model is and how "
            "much work it saves."
        )
        return
    zone = _zone()
    figures = _figures(
        scope.owner_id,
        scope.dataset_id,
        services.store().version(scope),
        str(zone),
        _zone=zone,
    )
    _numbers(figures)
    first, second, third = st.columns([5, 6, 5], gap="medium")
    with first:
        _by_label(figures, decided)
    with second:
        _over_time(figures, decided, zone)
    with third:
        _confusions(figures, decided)


def decisions(scope: Scope) -> list[Decision]:
    """Return what people decided on boxes, cached for each version of the dataset."""
    version = services.store().version(scope)
    return _decisions(scope.owner_id, scope.dataset_id, version)


@st.cache_resource(max_entries=4, show_spinner=False)
def _decisions(owner_id: str, dataset_id: str, version: str) -> list[Decision]:
    return decisions_in(services.store(), Scope(owner_id, dataset_id, ""))


@st.cache_resource(max_entries=4, show_spinner=False)
def _figures(
    owner_id: str, dataset_id: str, version: str, zone_name: str, *, _zone: tzinfo
) -> CorrectionFigures:
    decided = _decisions(owner_id, dataset_id, version)
    return correction_figures(decided, zone=_zone)


def _zone() -> tzinfo:
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def _numbers(figures: CorrectionFigures) -> None:
    cells = st.columns(7)
    overlap = figures.mean_iou
    _share(cells[0], "Kept", figures, Fate.KEPT)
    _share(
        cells[1],
        "Moved",
        figures,
        Fate.MOVED,
        more=f" Mean IoU before and after: {overlap:.2f}."
        if overlap is not None
        else "",
    )
    _share(cells[2], "Relabelled", figures, Fate.RELABELLED)
    _share(cells[3], "Deleted", figures, Fate.DELETED)
    cells[4].metric(
        "Added",
        f"{figures.counts[Fate.ADDED]:,}",
        help="Boxes drawn by hand because the model missed the object",
    )
    effort = figures.effort
    cells[5].metric(
        "Clicks saved",
        percent(effort.share_saved),
        help=f"{effort.saved:,}: {effort.done:,} instead of {effort.by_hand:,}. "
        f"{_SAVED_HELP}",
    )
    cells[6].metric("Your time left", _time_left(), help=_LEFT_HELP)
    parts = [f"{widgets.plural(figures.of_model, 'model box')} reviewed"]
    if overlap is not None:
        parts.append(f"mean IoU of moved boxes before and after: {overlap:.2f}")
    parts.append(f"{effort.done:,} clicks and drags instead of {effort.by_hand:,}")
    st.caption(" · ".join(parts))


def _share(
    cell: st.delta_generator.DeltaGenerator,
    name: str,
    figures: CorrectionFigures,
    fate: Fate,
    *,
    more: str = "",
) -> None:
    cell.metric(
        name,
        percent(figures.share(fate)),
        help=f"{figures.counts[fate]:,} of "
        f"{widgets.plural(figures.of_model, 'model box')}.{more}",
    )


def _time_left() -> str:
    store, scope = services.store(), state.scope()
    seconds = seconds_per_image(store.finished_moments(scope))
    counts = store.progress(scope)
    left = sum(counts.values()) - counts[ReviewStatus.APPROVED]
    if not left:
        return "none"
    if seconds is None:
        return "–"
    minutes = seconds * left / 60
    if minutes < 1:
        return "< 1 min"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _by_label(figures: CorrectionFigures, decided: Sequence[Decision]) -> None:
    names = list(figures.by_label)[:MOST_LABELS]
    rows = [
        (name, fate, count)
        for name in names
        for fate, count in figures.by_label[name].items()
    ]
    charts.fates_by(
        rows,
        key="figures.fates",
        title=_most_corrected(figures, names),
        is_share=True,
        on_pick=_images_where(
            decided, rows, lambda decision: decision.label, "boxes of {name}, {fate}"
        ),
    )


def _most_corrected(figures: CorrectionFigures, names: Sequence[str]) -> str:

    def share_kept(name: str) -> float:
        counts = figures.by_label[name]
        return counts.get(Fate.KEPT, 0) / sum(counts.values())

    frequent = [
        name for name in names if sum(figures.by_label[name].values()) >= ENOUGH_TO_SAY
    ]
    worst = min(frequent or names, key=share_kept)
    share = percent(1 - share_kept(worst))
    return f"Most corrected: {widgets.escape(worst)}, {share} of its boxes"


def _over_time(
    figures: CorrectionFigures, decided: Sequence[Decision], zone: tzinfo
) -> None:
    def words(moment: datetime) -> str:
        if figures.is_hourly:
            return f"{moment:%H}:00"
        return f"{moment.day} {moment:%b}"

    rows = [
        (words(moment), fate, count)
        for moment, counts in figures.by_time.items()
        for fate, count in counts.items()
    ]
    totals = {words(at): sum(each.values()) for at, each in figures.by_time.items()}
    busiest = max(totals, key=lambda name: totals[name])
    span = "hour" if figures.is_hourly else "day"
    charts.fates_by(
        rows,
        key="figures.time",
        title=f"Busiest {span}: {busiest}, {totals[busiest]:,} decisions",
        is_share=False,
        is_upright=True,
        on_pick=_images_where(
            decided,
            rows,
            lambda decision: words(
                moment_of(decision, is_hourly=figures.is_hourly, zone=zone)
            ),
            "boxes {fate} at {name}" if figures.is_hourly else "boxes {fate} on {name}",
        ),
    )


def _images_where(
    decided: Sequence[Decision],
    rows: Sequence[tuple[str, Fate, int]],
    name_of: Callable[[Decision], str],
    words: str,
) -> Callable[[int], None]:
    def pick(place: int) -> None:
        name, fate, _ = rows[place]
        chosen = dict.fromkeys(
            decision.image_id
            for decision in decided
            if decision.fate is fate and name_of(decision) == name
        )
        filters.show_images(list(chosen), why=words.format(name=name, fate=fate))

    return pick


def _confusions(figures: CorrectionFigures, decided: Sequence[Decision]) -> None:
    if not figures.confusions:
        st.markdown("**No boxes were relabelled**")
        return
    shown = figures.confusions[:MOST_CONFUSIONS]
    first = shown[0]
    labels = services.store().labels(state.scope())

    def pick(place: int) -> None:
        pair = (shown[place].label, shown[place].new_label)
        chosen = Counter(
            decision.image_id
            for decision in decided
            if (decision.label, decision.new_label) == pair
        )
        filters.show_images(list(chosen), why=f"{pair[0]} relabelled to {pair[1]}")

    charts.bars(
        [f"{confusion.label} → {confusion.new_label}" for confusion in shown],
        [confusion.count for confusion in shown],
        colours=[labels.colour_of(confusion.new_label) for confusion in shown],
        key="figures.confusions",
        title=f"{widgets.escape(first.label)} → {widgets.escape(first.new_label)}: "
        f"{widgets.plural(first.count, 'time')}",
        what="boxes",
        on_pick=pick,
    )


@dataclass(frozen=True, slots=True)
class KeptModel:
    """A model with saved boxes, and the rule they were last saved by."""

    setup: ModelConfig
    detector: Detector
    rule: SelectionRule


def kept_model(model_id: str) -> KeptModel | None:
    """Return the model of this id, set up as when its boxes were last saved."""
    title = model_id.rpartition("-")[0]
    used: dict[ModelConfig, Mapping[str, Any]] = {}
    for job in services.store().jobs(state.scope()):  # the newest first
        if job.kind == "keep" and job.state is JobState.DONE:
            used.setdefault(ModelConfig.of(job.parameters), job.parameters)
    if title in cache.models():
        used.setdefault(ModelConfig((title,)), {})
    for setup, parameters in used.items():
        # The model may have been deleted.
        with contextlib.suppress(ModelLoadError, UnknownModelError):
            detector = cache.detector(setup)
            if detector.model_id == model_id:
                return KeptModel(setup, detector, _current_rule(parameters, detector))
    return None


def _current_rule(parameters: Mapping[str, Any], detector: Detector) -> SelectionRule:
    """Return the rule of a job, with today's label names."""
    rule, scope = SelectionRule.of(parameters), state.scope()
    names = current_mapping(services.store(), scope, detector.labels, rule.mapping)
    return replace(rule, mapping=names)


def learned(scope: Scope, model: KeptModel) -> tuple[Learned | TooFew, ...]:
    """Return the learned threshold of each label with decisions, most first."""
    key = candidates_key(model.detector)
    return _learned_once(
        scope.owner_id,
        scope.dataset_id,
        services.store().version(scope),
        services.store().candidates_version(scope, key),
        repr((key, model.rule)),
        model.detector.model_id,
        _model=model,
    )


@st.cache_resource(max_entries=4, show_spinner="Learning from the corrections …")
def _learned_once(
    owner_id: str,
    dataset_id: str,
    version: str,
    candidates_version: str,
    key_and_rule: str,
    model_id: str,
    *,
    _model: KeptModel,
) -> tuple[Learned | TooFew, ...]:
    scope = Scope(owner_id, dataset_id, "")
    detector = _model.detector
    known = decided_evidence(decisions(scope), model_id=model_id)
    approved = services.store().approved_boxes(scope)
    pool = cache.candidates(
        owner_id, dataset_id, candidates_key(detector), candidates_version
    )
    quiet = select_all(
        pool.only(approved),
        replace(_model.rule, confidence_threshold=FLOOR, per_label_confidence={}),
        model_labels=detector.labels,
    )
    evidence = with_missed(
        known, approved, quiet, rule=_model.rule, model_labels=detector.labels
    )
    results = [
        learn(name, known) for name, known in evidence.items() if known.decisions
    ]
    return tuple(sorted(results, key=lambda result: (-result.decisions, result.label)))
