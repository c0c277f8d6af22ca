"""A dataset that has everything a dataset can have, and stores to restore it in."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from imagebase.annotation import (
    Annotation,
    Box,
    ImageRecord,
    Quality,
    ReviewStatus,
    Size,
    Source,
)
from imagebase.annotation.areas import Point, Shape, ShapeKind, rectangle
from imagebase.detection.candidates import Candidates, pack
from imagebase.editing.records import reject
from imagebase.images.decode import encode_png
from imagebase.settings import Limits, Settings
from imagebase.store import CandidatesKey, Scope, Store, open_store
from imagebase.store.taught_models import TaughtRow
from imagebase.store.uncertainty import Doubt, DoubtKind, MissedObject, Reason
from tests.detection.taught.test_taught_file import some_model
from tests.store.fixtures import PostgresServer, scope_of, sqlite_settings

SIZE = Size(64, 48)
LIMITS = Limits()
KEY = CandidatesKey("m" * 64, 416, "f32", "single")

NewStore = Callable[[str], Store]


def png(shade: int) -> bytes:
    return encode_png(np.full((SIZE.height, SIZE.width, 3), shade, np.uint8))


@pytest.fixture
def new_store(
    request: pytest.FixtureRequest, tmp_path: Path, migrated_sqlite: Path
) -> Iterator[NewStore]:
    """Open empty stores of a kind, each in a home of its own."""
    opened: list[Store] = []

    def new(kind: str) -> Store:
        home = tmp_path / f"home{len(opened)}"
        home.mkdir()
        if kind == "sqlite":
            shutil.copy(migrated_sqlite, home / "imagebase.db")
            opened.append(open_store(sqlite_settings(home)))
        else:
            server: PostgresServer = request.getfixturevalue("postgres")
            server.execute("DELETE FROM owners", database="migrated")
            url = server.url("migrated")
            opened.append(open_store(Settings(home, url, str(home / "images"))))
        return opened[-1]

    yield new
    for store in opened:
        store.close()


@pytest.fixture
def store(new_store: NewStore) -> Store:
    return new_store("sqlite")


def full_dataset(store: Store) -> Scope:
    """Return the scope of a dataset with boxes, reviews, comments and history."""
    scope = scope_of(store, "team", who="ann", name="Straße 🚲")
    first, second, third = (
        store.add_image(
            scope,
            png(shade),
            file_name=f"day/{shade} é.png",
            size=SIZE,
            quality=Quality(1.5, 100.25, 3.0, "0f" * 8, ("blurred",)),
        ).record
        for shade in range(3)
    )
    store.add_labels(scope, ["z", "unused", "cat"])
    store.recolour_label(scope, 1, "#123456")
    drawn = Annotation(Box(1 / 3, 2, 30, 40.1), "cat", changed_by="ann")
    found = Annotation(
        Box(5, 5, 9, 9), "z", source=Source.MODEL, confidence=0.1 + 0.2, model_id="m"
    )
    saved = store.save(scope, first.with_annotations([drawn, found]))
    store.save(scope, replace(saved, annotations=(drawn,), deleted=(found,)))
    store.undo(scope)
    other = replace(scope, who="bob")
    circle = Shape(ShapeKind.ELLIPSE, (Point(5, 5), Point(20.25, 12)))
    rejected = reject(second, comment="wheel cut off", marks=[circle])
    store.save(other, replace(rejected, tags=("night", "wet")))
    store.add_comment(other, third.image_id, "look here")
    store.save(scope, replace(third, status=ReviewStatus.APPROVED))
    store.rename_label(scope, 2, "tiger")
    stroke = Shape(ShapeKind.BRUSH, (Point(1, 2), Point(30.5, 4)), 6)
    store.add_ignore_areas(scope, first.image_id, [stroke], all_of_size=False)
    stamp = rectangle(Box(0, 40, 20, 48))
    store.add_ignore_areas(scope, second.image_id, [stamp], all_of_size=True)
    store.save_label_mapping(scope, "m", {"person": None, "dog": "z"})
    _add_models_words(store, scope, first)
    return scope


def _add_models_words(store: Store, scope: Scope, record: ImageRecord) -> None:
    run = store.start_run(scope, model_id="m", parameters={"confidence": 0.25})
    store.finish_run(scope, run, result={"images": 3})
    candidates = Candidates(
        np.array([[1, 2, 3, 4]], np.float32),
        np.array([0.5], np.float32),
        np.array([7], np.int32),
    )
    store.put_many(scope, KEY, {record.image_id: pack(candidates)})
    reason = Reason(
        0.5, "2 may be missing", (MissedObject(Box(1, 2, 3, 4), "z", 0.4, "m"),)
    )
    content = some_model(("tiger", "cat")).to_bytes()
    digest = hashlib.sha256(content).hexdigest()
    examples = (record.image_id,)
    taught_at = datetime(2026, 1, 2, tzinfo=UTC)
    taught = TaughtRow(("tiger", "cat"), examples, 1, content, digest, "ann", taught_at)
    store.put_taught_row(scope, taught)
    revision = store.record(scope, record.image_id).revision
    store.put_doubts(
        scope, [Doubt(record.image_id, revision, 0.5, {DoubtKind.MISSED: reason})]
    )
