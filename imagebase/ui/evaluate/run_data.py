"""Kept evaluations of this dataset, and the figures worked out of them, for reruns."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import streamlit as st

from imagebase.evaluation.comparison import Standing, stand
from imagebase.evaluation.label_errors import Suspect, label_errors
from imagebase.evaluation.storage import Run, RunInfo
from imagebase.jobs.evaluation import kept_runs
from imagebase.settings import DEFAULT_CONFIDENCE
from imagebase.store import Scope
from imagebase.ui import state

# From the shortest that tells two evaluations apart, as people read it, on.
_MOMENTS: Final = ("%d %b %H:%M", "%d %b %H:%M:%S", "%d %b %Y %H:%M:%S.%f")


def runs() -> list[RunInfo]:
    """Return this dataset's kept evaluations, the newest first."""
    return kept_runs(state.scope()).runs()


def moments(kept: Sequence[RunInfo]) -> dict[str, str]:
    """Return when each evaluation was made, by its id.

    No two read alike: Streamlit finds what was chosen by its words, and of two that
    read alike it takes the later in the list, the older evaluation.
    """
    made = {one.run_id: state.local(one.made_at) for one in kept}
    return {run_id: _in_words(one, list(made.values())) for run_id, one in made.items()}


def _in_words(moment: datetime, all_of_them: Sequence[datetime]) -> str:
    for pattern in _MOMENTS:
        words = f"{moment:{pattern}}"
        if sum(f"{one:{pattern}}" == words for one in all_of_them) == 1:
            break
    return words


def load(run_id: str) -> Run:
    """Return a kept evaluation of this dataset."""
    return load_of(state.scope(), run_id)


def load_of(scope: Scope, run_id: str) -> Run:
    """Return a kept evaluation of a dataset, where there is no session to ask."""
    return _load(scope.owner_id, scope.dataset_id, run_id)


def standings(run_id: str, threshold: float = DEFAULT_CONFIDENCE) -> list[Standing]:
    """Return how each model of a run fared at a threshold."""
    return standings_of(state.scope(), run_id, threshold)


def standings_of(scope: Scope, run_id: str, threshold: float) -> list[Standing]:
    """Return how each model of a run fared, where there is no session to ask."""
    return _standings(scope.owner_id, scope.dataset_id, run_id, threshold)


def suspects(run_id: str, specs: tuple[str, ...]) -> list[Suspect]:
    """Return what these models of a run make doubtful in its labels."""
    scope = state.scope()
    return _suspects(scope.owner_id, scope.dataset_id, run_id, specs)


@st.cache_resource(max_entries=6, show_spinner=False)
def _load(owner_id: str, dataset_id: str, run_id: str) -> Run:
    return kept_runs(Scope(owner_id, dataset_id, "")).load(run_id)


@st.cache_resource(max_entries=6, show_spinner="Working out the figures …")
def _first(owner_id: str, dataset_id: str, run_id: str) -> list[Standing]:
    run = _load(owner_id, dataset_id, run_id)
    fared = stand(run.truth, run.passes)
    for one in fared:
        # What does not depend on the threshold is worked out here, once.
        _ = one.figures, one.detections, one.resampled, one.calibration
    return fared


@st.cache_resource(max_entries=24, show_spinner=False)
def _standings(
    owner_id: str, dataset_id: str, run_id: str, threshold: float
) -> list[Standing]:
    return [one.at(threshold) for one in _first(owner_id, dataset_id, run_id)]


@st.cache_resource(max_entries=6, show_spinner="Looking for doubtful labels …")
def _suspects(
    owner_id: str, dataset_id: str, run_id: str, specs: tuple[str, ...]
) -> list[Suspect]:
    run = _load(owner_id, dataset_id, run_id)
    return label_errors(
        run.truth, [one.found for one in run.passes if one.spec in specs]
    )
