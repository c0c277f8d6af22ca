"""Model runs, and the candidates they found: one compressed blob an image and model."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import (
    ColumnElement,
    and_,
    delete,
    func,
    insert,
    select,
    update,
)

from imagebase.annotation import ReviewStatus, new_id, utc_now
from imagebase.errors import NotFoundError
from imagebase.store.column_types import AnySelect, JsonObject
from imagebase.store.repository import StorePart, image_keys, upsert
from imagebase.store.scope import CHUNK, Scope, chunks
from imagebase.store.tables import candidates, images, runs

# Vectors of whole images stand beside candidates under these `passes`. They are in no
# backup, where they would be taken for damaged candidates.
IMAGE_VECTORS: Final = "image-vector-1"


@dataclass(frozen=True, slots=True)
class CandidatesKey:
    """Everything but the image that a model's candidates depend on.

    input_size: pixels of a side of the net. precision: `f32` or `bf16`.
    passes: `single`, `mirrored` or `accurate`, whatever the detector calls them; or
    `IMAGE_VECTORS`.
    """

    model_sha256: str
    input_size: int
    precision: str
    passes: str


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A model run; result and finished_at are None while it is running."""

    run_id: str
    model_id: str
    parameters: JsonObject
    result: JsonObject | None
    who: str
    started_at: datetime
    finished_at: datetime | None


class CandidateStore(StorePart):
    """Candidates of models, stored once per image and configuration."""

    def start_run(self, scope: Scope, *, model_id: str, parameters: JsonObject) -> str:
        """Note that a model begins to run over the dataset; return the run's id."""
        run_id = new_id()
        with self._writing(scope) as connection:
            connection.execute(
                insert(runs).values(
                    run_id=run_id,
                    dataset_id=scope.dataset_id,
                    who=scope.who,
                    model_id=model_id,
                    parameters=parameters,
                    started_at=utc_now(),
                )
            )
        return run_id

    def finish_run(
        self, scope: Scope, run_id: str, *, result: JsonObject | None = None
    ) -> None:
        """Note that a run has ended, and what it came to.

        Raises:
            NotFoundError: the dataset has no such run.
        """
        with self._writing(scope) as connection:
            ended = connection.execute(
                update(runs)
                .where(runs.c.dataset_id == scope.dataset_id, runs.c.run_id == run_id)
                .values(finished_at=utc_now(), result=result)
            )
            if not ended.rowcount:
                raise NotFoundError("This model run is not in the dataset; run again.")

    def runs(self, scope: Scope) -> list[RunInfo]:
        """Return the dataset's model runs, the newest first."""
        query = (
            select(
                runs.c.run_id,
                runs.c.model_id,
                runs.c.parameters,
                runs.c.result,
                runs.c.who,
                runs.c.started_at,
                runs.c.finished_at,
            )
            .where(runs.c.dataset_id == scope.dataset_id)
            .order_by(runs.c.started_at.desc(), runs.c.run_id)
        )
        with self._reading(scope) as connection:
            return [RunInfo(*row) for row in connection.execute(query)]

    def put_many(
        self, scope: Scope, key: CandidatesKey, blobs: Mapping[str, bytes]
    ) -> set[str]:
        """Save a model's candidates of images in place of earlier ones, in one go.

        Returns:
            The ids of the images that were there; the others' are not kept.
        """
        with self._writing(scope) as connection:
            keys = image_keys(connection, scope, blobs)
            now = utc_now()
            rows = [
                {
                    **asdict(key),
                    "image_key": image_key,
                    "blob": blobs[image_id],
                    "created_at": now,
                }
                for image_id, image_key in keys.items()
            ]
            if rows:
                replacing = upsert(
                    connection.dialect, candidates, ["blob", "created_at"]
                )
                connection.execute(replacing, rows)
        return set(keys)

    def forget_candidates(self, scope: Scope, model_sha256: str) -> None:
        """Delete all that a model found in the dataset's images."""
        mine = select(images.c.image_key).where(images.c.dataset_id == scope.dataset_id)
        with self._writing(scope) as connection:
            connection.execute(
                delete(candidates).where(
                    candidates.c.model_sha256 == model_sha256,
                    candidates.c.image_key.in_(mine),
                )
            )

    def candidates(
        self, scope: Scope, key: CandidatesKey, image_ids: Iterable[str] | None = None
    ) -> dict[str, bytes]:
        """Return the kept blobs by image id, in upload order; None is all images."""
        query = _blobs_of(scope, key)
        with self._reading(scope) as connection:
            if image_ids is None:
                return dict(connection.execute(query).all())
            blobs: dict[str, bytes] = {}
            for chunk in chunks(image_ids):
                chosen = query.where(images.c.image_id.in_(chunk))
                blobs |= dict(connection.execute(chosen).all())
            return blobs

    def each_candidates(
        self, scope: Scope, key: CandidatesKey
    ) -> Iterator[list[tuple[str, bytes]]]:
        """Yield all kept blobs with their image ids, in upload order, 500 at a time.

        The database holds its state of the beginning for as long as this goes on.
        """
        with self._reading(scope) as connection:
            rows = connection.execution_options(yield_per=CHUNK).execute(
                _blobs_of(scope, key)
            )
            for chunk in rows.partitions():
                yield [(row.image_id, row.blob) for row in chunk]

    def has_candidates(self, scope: Scope, key: CandidatesKey) -> set[str]:
        """Return the ids of the images whose candidates are kept."""
        query = (
            select(images.c.image_id)
            .join(candidates, candidates.c.image_key == images.c.image_key)
            .where(of_key(key), images.c.dataset_id == scope.dataset_id)
        )
        with self._reading(scope) as connection:
            return set(connection.scalars(query))

    def count_unanswered(
        self,
        scope: Scope,
        key: CandidatesKey,
        *,
        statuses: Iterable[ReviewStatus] | None = None,
    ) -> int:
        """Return how many images of these states lack a model's answer; None is all."""
        answer = select(candidates.c.image_key).where(
            candidates.c.image_key == images.c.image_key, of_key(key)
        )
        query = select(func.count()).where(
            images.c.dataset_id == scope.dataset_id, ~answer.exists()
        )
        if statuses is not None:
            query = query.where(images.c.status.in_([one.value for one in statuses]))
        with self._reading(scope) as connection:
            return connection.scalar(query) or 0


def _blobs_of(scope: Scope, key: CandidatesKey) -> AnySelect:
    query: AnySelect = select(images.c.image_id, candidates.c.blob)
    return (
        query.join(candidates, candidates.c.image_key == images.c.image_key)
        .where(of_key(key), images.c.dataset_id == scope.dataset_id)
        .order_by(images.c.image_key)
    )


def of_key(key: CandidatesKey) -> ColumnElement[bool]:
    """Select candidates that depend on just this."""
    return and_(*(candidates.c[name] == value for name, value in asdict(key).items()))
