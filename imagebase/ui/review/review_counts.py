"""What the Review page counts at every run, counted once for each state of the set."""

from collections.abc import Mapping
from functools import lru_cache

from imagebase.store import AcceptCounts, AnnotationFilter, Scope
from imagebase.ui import services, state

# Owner, dataset and its version: what was counted holds until the last one changes.
_Key = tuple[str, str, str]


def label_counts(wanted: AnnotationFilter) -> Mapping[str, int]:
    """Return how many boxes that pass a filter each label has, the frequent first."""
    # What a filter says of itself tells it apart; its lists cannot be hashed.
    return _label_counts(_key(), _Asked(wanted))


def people() -> tuple[str, ...]:
    """Return who changed a box last, people and models, the busiest first."""
    return _people(_key())


def acceptable(labels: tuple[str, ...], least: float) -> AcceptCounts:
    """Return what an acceptance from a confidence on is about; no labels: every one."""
    return _acceptable(_key(), labels, least)


class _Asked:
    """A filter as a key: two that say the same are the same."""

    def __init__(self, wanted: AnnotationFilter) -> None:
        self.wanted = wanted
        self.words = repr(wanted)

    def __hash__(self) -> int:
        return hash(self.words)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asked) and self.words == other.words


def _key() -> _Key:
    scope = state.scope()
    return scope.owner_id, scope.dataset_id, services.store().version(scope)


def _scope(key: _Key) -> Scope:
    owner_id, dataset_id, _ = key
    return Scope(owner_id, dataset_id, "")


@lru_cache(maxsize=64)
def _label_counts(key: _Key, asked: _Asked) -> Mapping[str, int]:
    return services.store().label_counts(_scope(key), asked.wanted)


@lru_cache(maxsize=16)
def _people(key: _Key) -> tuple[str, ...]:
    return tuple(services.store().people_counts(_scope(key)))


@lru_cache(maxsize=64)
def _acceptable(key: _Key, labels: tuple[str, ...], least: float) -> AcceptCounts:
    return services.store().count_acceptable(
        _scope(key), labels=labels or None, min_confidence=least
    )
