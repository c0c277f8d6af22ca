"""Which model's thresholds can be learned in a dataset, and what is learned."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from imagebase.detection.detector import Detector
from imagebase.detection.factory import ModelConfig
from imagebase.detection.suggestions import SelectionRule, rule_of, select_all
from imagebase.errors import ModelLoadError, UnknownModelError
from imagebase.jobs.inference import candidates_key
from imagebase.jobs.scoring import mapping_now
from imagebase.review.thresholds import (
    FLOOR,
    Learned,
    TooFew,
    decided_evidence,
    learn,
    with_missed,
)
from imagebase.store import JobState, Scope
from imagebase.ui import cache, services, state
from imagebase.ui.review.correction_figures import decisions


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
    rule, scope = rule_of(parameters), state.scope()
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
