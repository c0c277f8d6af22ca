"""A dataset of small images with discs and a square, and a home for its models."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagebase.annotation import Annotation, Box, ImageRecord, Size
from imagebase.images.decode import encode_png
from imagebase.settings import Settings, settings
from imagebase.store import Scope, Store
from tests.detection.taught.test_teach import scene
from tests.store.fixtures import sqlite_settings

SIZE = Size(320, 240)


@pytest.fixture
def store_settings(tmp_path: Path, migrated_sqlite: Path) -> Settings:
    """Settings of an empty store; what differs between databases is the store's."""
    shutil.copy(migrated_sqlite, tmp_path / "imagebase.db")
    return sqlite_settings(tmp_path)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The data folder of this process, for models."""
    for name in [name for name in os.environ if name.startswith("IMAGEBASE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("IMAGEBASE_HOME", str(tmp_path))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def add_scene(store: Store, scope: Scope, seed: int) -> ImageRecord:
    """Add an image with two red discs and a blue square, without boxes."""
    rgb, _ = scene(seed=seed)
    return store.add_image(
        scope, encode_png(rgb), file_name=f"{seed}.png", size=SIZE, quality=None
    ).record


def with_boxes(record: ImageRecord, seed: int, *labels: str) -> ImageRecord:
    """Return the record with the boxes that a person draws of these labels."""
    _, boxes = scene(seed=seed)
    drawn = [Annotation(Box(*xyxy), label) for xyxy, label in boxes if label in labels]
    return record.with_annotations(drawn)


@pytest.fixture
def scenes(store: Store, scope: Scope) -> list[ImageRecord]:
    """Four images; the discs of the first two have boxes, one is approved."""
    records = [add_scene(store, scope, seed) for seed in range(4)]
    store.add_labels(scope, ["disc", "square"])
    return [
        store.save(scope, with_boxes(records[0], 0, "disc")),
        store.save(scope, with_boxes(records[1], 1, "disc")),
        *records[2:],
    ]
