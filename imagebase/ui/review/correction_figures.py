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
from imagebase.jobs.scoring import mapping_now
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

MOST_LABELS: Final = 18
# Of fewer decisions than this a share says little.
ENOUGH_TO_SAY: Final = 5
MOST_CONFUSIONS: Final = 18
_SAVED_HELP: Final = (
    "By hand every final box is a drag and a label: 2 actions. Counted against it: 1 "
    "for each box moved, relabelled or deleted, 2 for each added, and 1 on each image "
    "whose other boxes were accepted. A box counts by what became of it in the end; "
    "what was undone costs nothing."
)
_LEFT_HELP: Final = (
    "The median time between one image you changed and the next, times the images "
    f"that are not approved. Gaps over {BREAK_SECONDS / 60:.0f} minutes are breaks; "
    "what was done to many images at once does not count. There is a figure once you "
    f"have changed {MIN_PACES + 1} images one by one."
)


def corrections() -> None:
    """Draw what became of the model's boxes, and what that saved."""
    scope = state.scope()
    decided = decisions(scope)
    if not decided:
        st.info(
            "Nobody has decided on a box yet. Accept, move, relabel or delete the "
            "boxes of a model on **Edit**, or approve images: then this page shows how "
            "the model fares and what it saves you."
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
    """Return what people decided in a dataset, read once for each of its versions."""
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
    """Return the time zone of the person's browser."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def _numbers(figures: CorrectionFigures) -> None:
    cells = st.columns(7)
    overlap = figures.mean_iou
    _share(cells[0], "Kept as is", figures, Fate.KEPT)
    _share(
        cells[1],
        "Moved",
        figures,
        Fate.MOVED,
        more=f" Overlap before and after: IoU {overlap:.2f} on average."
        if overlap is not None
        else "",
    )
    _share(cells[2], "Relabelled", figures, Fate.RELABELLED)
    _share(cells[3], "Deleted", figures, Fate.DELETED)
    cells[4].metric(
        "Added",
        f"{figures.counts[Fate.ADDED]:,}",
        help="Boxes that people drew because the model had missed them.",
    )
    effort = figures.effort
    cells[5].metric(
        "Clicks saved",
        f"{effort.share_saved:.0%}".replace("%", " %"),
        help=f"{effort.saved:,}: {effort.done:,} instead of {effort.by_hand:,}. "
        f"{_SAVED_HELP}",
    )
    cells[6].metric("Time left for you", _time_left(), help=_LEFT_HELP)
    said = [f"{figures.of_model:,} of the model's boxes decided on"]
    if overlap is not None:
        said.append(f"moved boxes overlap with where they were by IoU {overlap:.2f}")
    st.caption(
        f"{'; '.join(said)}; {effort.done:,} clicks and drags instead of "
        f"{effort.by_hand:,}."
    )


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
        f"{figures.share(fate):.0%}".replace("%", " %"),
        help=f"{figures.counts[fate]:,} of {widgets.plural(figures.of_model, 'box')} "
        f"of the model.{more}",
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
    worst = _most_corrected(figures, names)
    charts.fates_by(
        rows,
        key="figures.fates",
        title=worst,
        is_share=True,
        on_pick=_images_where(
            decided, rows, lambda one: one.label, "boxes of {name}, {fate}"
        ),
    )


def _most_corrected(figures: CorrectionFigures, names: Sequence[str]) -> str:
    """Return a sentence about the label whose boxes need most correcting."""

    def share_kept(name: str) -> float:
        counts = figures.by_label[name]
        return counts.get(Fate.KEPT, 0) / sum(counts.values())

    frequent = [
        name for name in names if sum(figures.by_label[name].values()) >= ENOUGH_TO_SAY
    ]
    worst = min(frequent or names, key=share_kept)
    share = f"{1 - share_kept(worst):.0%}".replace("%", " %")
    return f"{share} of {widgets.escape(worst)} needed a hand, the most of all"


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
        title=f"{totals[busiest]:,} decisions in the busiest {span}, {busiest}",
        is_share=False,
        is_upright=True,
        on_pick=_images_where(
            decided,
            rows,
            lambda one: words(moment_of(one, is_hourly=figures.is_hourly, zone=zone)),
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
            one.image_id for one in decided if one.fate is fate and name_of(one) == name
        )
        filters.show_images(list(chosen), why=words.format(name=name, fate=fate))

    return pick


def _confusions(figures: CorrectionFigures, decided: Sequence[Decision]) -> None:
    if not figures.confusions:
        st.markdown("**No box was given another label**")
        return
    shown = figures.confusions[:MOST_CONFUSIONS]
    first = shown[0]
    labels = services.store().labels(state.scope())

    def pick(place: int) -> None:
        pair = (shown[place].label, shown[place].new_label)
        chosen = Counter(
            one.image_id for one in decided if (one.label, one.new_label) == pair
        )
        filters.show_images(list(chosen), why=f"{pair[0]} relabelled {pair[1]}")

    charts.bars(
        [f"{one.label} → {one.new_label}" for one in shown],
        [one.count for one in shown],
        colours=[labels.colour_of(one.new_label) for one in shown],
        key="figures.confusions",
        title=f"{widgets.escape(first.label)} became {widgets.escape(first.new_label)} "
        f"{widgets.plural(first.count, 'time')}",
        what="boxes",
        on_pick=pick,
    )


@dataclass(frozen=True, slots=True)
class KeptModel:
    """A model whose boxes are in the dataset, and how they were put there last."""

    setup: ModelConfig
    detector: Detector
    rule: SelectionRule


def kept_model(model_id: str) -> KeptModel | None:
    """Return the model of this id, looking as when its boxes were kept last."""
    title = model_id.rpartition("-")[0]
    used: dict[ModelConfig, Mapping[str, Any]] = {}
    for job in services.store().jobs(state.scope()):  # the newest first
        if job.kind == "keep" and job.state is JobState.DONE:
            used.setdefault(ModelConfig.of(job.parameters), job.parameters)
    if title in cache.models():
        used.setdefault(ModelConfig((title,)), {})
    for setup, parameters in used.items():
        # A model that was deleted has nothing to learn from any more.
        with contextlib.suppress(ModelLoadError, UnknownModelError):
            detector = cache.detector(setup)
            if detector.model_id == model_id:
                return KeptModel(setup, detector, _rule_now(parameters, detector))
    return None


def _rule_now(parameters: Mapping[str, Any], detector: Detector) -> SelectionRule:
    """Return the rule of a job, under the names that labels have since."""
    rule, scope = SelectionRule.of(parameters), state.scope()
    names = mapping_now(services.store(), scope, detector.labels, rule.mapping)
    return replace(rule, mapping=names)


def learned(scope: Scope, model: KeptModel) -> tuple[Learned | TooFew, ...]:
    """Return what follows for each label that was decided on, the most often first."""
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
    # What was never decided on has nothing to say, however much was left out.
    told = [learn(name, one) for name, one in evidence.items() if one.decisions]
    return tuple(sorted(told, key=lambda one: (-one.decisions, one.label)))
