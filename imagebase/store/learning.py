"""What a dataset learns while people label: whether it does, and its training runs."""

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Final

from sqlalchemy import Row, Select, delete, insert, select

from imagebase.store.column_types import JsonObject
from imagebase.store.repository import StorePart
from imagebase.store.scope import Scope
from imagebase.store.tables import learning

_MOST_RUNS: Final = 50


class LearningState(StrEnum):
    """Whether a dataset learns.

    ON: after each approval. PAUSED: what was learned still suggests. OFF: nothing does.
    """

    ON = "on"
    PAUSED = "paused"
    OFF = "off"


class Verdict(StrEnum):
    """What became of a model that was trained while people labelled."""

    USED = "used"
    REFUSED = "refused"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class TrainedWhileLabelling:
    """A training run that was started while people labelled, and its comparison.

    job_id: of the run. model: by name. before, after: AP50 of what was suggested, and
    of the model. images: how many that neither was fitted on.
    """

    job_id: str
    model: str
    before: float
    after: float
    images: int
    verdict: Verdict

    @classmethod
    def of(cls, stored: JsonObject) -> "TrainedWhileLabelling":
        """Return what `asdict` made."""
        return cls(**{**stored, "verdict": Verdict(stored["verdict"])})


@dataclass(frozen=True, slots=True)
class LearningRow:
    """How a dataset learns, and the judged training runs, the oldest first."""

    state: LearningState = LearningState.ON
    runs: tuple[TrainedWhileLabelling, ...] = ()

    @property
    def trained(self) -> TrainedWhileLabelling | None:
        """The run whose model is used; None if none is."""
        used = [run for run in self.runs if run.verdict is Verdict.USED]
        return used[-1] if used else None

    def with_run(self, run: TrainedWhileLabelling) -> "LearningRow":
        """Return the row with one more judged run."""
        return replace(self, runs=(*self.runs, run)[-_MOST_RUNS:])

    def without_last_used(self) -> "LearningRow":
        """Return the row with the model used before; the last one is undone."""
        last = self.trained
        return replace(
            self,
            runs=tuple(
                replace(run, verdict=Verdict.UNDONE) if run is last else run
                for run in self.runs
            ),
        )

    def without_models(self, names: Collection[str]) -> "LearningRow":
        """Return the row after models were deleted: no undo leads to them."""
        return replace(
            self,
            runs=tuple(
                replace(run, verdict=Verdict.UNDONE)
                if run.model in names and run.verdict is Verdict.USED
                else run
                for run in self.runs
            ),
        )


class Learning(StorePart):
    """One row for each dataset that was asked to learn otherwise, or has trained."""

    def learning(self, scope: Scope) -> LearningRow:
        """Return how a dataset learns; by default it does."""
        with self._reading(scope) as connection:
            row = connection.execute(_query(scope)).one_or_none()
        return _row(row)

    def change_learning(
        self, scope: Scope, change: Callable[[LearningRow], LearningRow]
    ) -> LearningRow:
        """Change how a dataset learns, and return the changed row."""
        mine = learning.c.dataset_id == scope.dataset_id
        with self._writing(scope) as connection:
            stored = connection.execute(_query(scope)).one_or_none()
            after = change(_row(stored))
            connection.execute(delete(learning).where(mine))
            connection.execute(
                insert(learning).values(
                    dataset_id=scope.dataset_id,
                    state=after.state.value,
                    runs=[asdict(run) for run in after.runs],
                )
            )
        return after


def _query(scope: Scope) -> Select[tuple[str, list[JsonObject]]]:
    mine = learning.c.dataset_id == scope.dataset_id
    return select(learning.c.state, learning.c.runs).where(mine)


def _row(stored: Row[tuple[str, list[JsonObject]]] | None) -> LearningRow:
    if stored is None:
        return LearningRow()
    state, runs = stored.state, stored.runs
    return LearningRow(
        LearningState(state), tuple(TrainedWhileLabelling.of(run) for run in runs)
    )
