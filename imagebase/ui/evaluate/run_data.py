"""Stored evaluations of this dataset and their metrics, cached for reruns."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import streamlit as st

from imagebase.errors import NotFoundError
from imagebase.evaluation.comparison import ModelResult, judge_models
from imagebase.evaluation.label_errors import Suspect, label_errors
from imagebase.evaluation.storage import Run, SavedRun
from imagebase.jobs.evaluation import kept_runs
from imagebase.settings import DEFAULT_CONFIDENCE
from imagebase.store import Scope
from imagebase.ui import state

# Time formats, shortest first.
_MOMENTS: Final = ("%d %b %H:%M", "%d %b %H:%M:%S", "%d %b %Y %H:%M:%S.%f")


def runs() -> list[SavedRun]:
    """Return this dataset's evaluations, newest first."""
    return kept_runs(state.scope()).runs()


def made_at(scope: Scope, run_id: str) -> datetime:
    """Return when an evaluation of a dataset was made, outside a session.

    Raises:
        NotFoundError: it was deleted.
    """
    for info in kept_runs(scope).runs():
        if info.run_id == run_id:
            return info.made_at
    raise NotFoundError("This evaluation no longer exists; run it again.")


def moments(infos: Sequence[SavedRun]) -> dict[str, str]:
    """Return the local time of each evaluation in words, by its id.

    No two are equal: Streamlit finds a choice by its words, and takes the last of
    equal ones.
    """
    times = {info.run_id: state.local(info.made_at) for info in infos}
    return {
        run_id: _in_words(moment, list(times.values()))
        for run_id, moment in times.items()
    }


def _in_words(moment: datetime, all_of_them: Sequence[datetime]) -> str:
    for pattern in _MOMENTS:
        words = f"{moment:{pattern}}"
        if sum(f"{other:{pattern}}" == words for other in all_of_them) == 1:
            break
    return words


def load(run_id: str) -> Run:
    """Return a stored evaluation of this dataset."""
    return load_of(state.scope(), run_id)


def load_of(scope: Scope, run_id: str) -> Run:
    """Return a stored evaluation of a dataset, outside a session."""
    return _load(scope.owner_id, scope.dataset_id, run_id)


def results(run_id: str, threshold: float = DEFAULT_CONFIDENCE) -> list[ModelResult]:
    """Return the results of each model of a run at a threshold."""
    return results_of(state.scope(), run_id, threshold)


def results_of(scope: Scope, run_id: str, threshold: float) -> list[ModelResult]:
    """Return the results of each model of a run, outside a session."""
    return _results(scope.owner_id, scope.dataset_id, run_id, threshold)


def suspects(run_id: str, specs: tuple[str, ...]) -> list[Suspect]:
    """Return the likely label errors by these models of a run."""
    scope = state.scope()
    return _suspects(scope.owner_id, scope.dataset_id, run_id, specs)


@st.cache_resource(max_entries=6, show_spinner=False)
def _load(owner_id: str, dataset_id: str, run_id: str) -> Run:
    return kept_runs(Scope(owner_id, dataset_id, "")).load(run_id)


@st.cache_resource(max_entries=6, show_spinner="Calculating metrics …")
def _first(owner_id: str, dataset_id: str, run_id: str) -> list[ModelResult]:
    run = _load(owner_id, dataset_id, run_id)
    results = judge_models(run.truth, run.passes)
    for result in results:
        # Computed once: these do not depend on the threshold.
        _ = result.figures, result.detections, result.resampled, result.calibration
    return results


@st.cache_resource(max_entries=24, show_spinner=False)
def _results(
    owner_id: str, dataset_id: str, run_id: str, threshold: float
) -> list[ModelResult]:
    return [result.at(threshold) for result in _first(owner_id, dataset_id, run_id)]


@st.cache_resource(max_entries=6, show_spinner="Searching for label errors …")
def _suspects(
    owner_id: str, dataset_id: str, run_id: str, specs: tuple[str, ...]
) -> list[Suspect]:
    run = _load(owner_id, dataset_id, run_id)
    return label_errors(
        run.truth, [passed.found for passed in run.passes if passed.spec in specs]
    )
