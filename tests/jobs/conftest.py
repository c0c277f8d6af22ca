"""A dataset of small images, a model that finds one box on each, and a job runner."""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagebase.annotation import ImageRecord, Size
from imagebase.detection import factory
from imagebase.detection.library import find_model, registered_model
from imagebase.detection.model_files import Model
from imagebase.images.decode import encode_png
from imagebase.jobs import evaluation
from imagebase.jobs.handlers import HANDLERS
from imagebase.jobs.runner import Handler, JobContext, JobRunner
from imagebase.settings import Settings, settings
from imagebase.store import JobInfo, Scope, Store
from tests.detection.darknet.darknet_models import write_one_box_model
from tests.store.fixtures import sqlite_settings

SIZE = Size(64, 48)
ANY_STATUS = ["new", "suggested", "imported", "edited", "approved", "rejected"]

RunJob = Callable[..., JobInfo]


@pytest.fixture
def store_settings(tmp_path: Path, migrated_sqlite: Path) -> Settings:
    """Settings of an empty store; what differs between databases is the store's."""
    shutil.copy(migrated_sqlite, tmp_path / "imagebase.db")
    return sqlite_settings(tmp_path)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The data folder of this process, for exports."""
    for name in [name for name in os.environ if name.startswith("IMAGEBASE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("IMAGEBASE_HOME", str(tmp_path))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


@pytest.fixture(scope="session")
def pets(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that finds one dog in the middle of every image: 16, 18 to 48, 30."""
    return str(write_one_box_model(tmp_path_factory.mktemp("models") / "pets"))


@pytest.fixture(autouse=True)
def pets_is_registered(pets: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let jobs name this one model by its folder, so that it is loaded only once."""

    def by_name_or_pets(name: str, *, owner_id: str) -> Model:
        if name == pets:
            return find_model(name)
        return registered_model(name, owner_id=owner_id)

    for module in (factory, evaluation):
        monkeypatch.setattr(module, "registered_model", by_name_or_pets)


def png(shade: int) -> bytes:
    return encode_png(np.full((SIZE.height, SIZE.width, 3), shade, np.uint8))


def add(store: Store, scope: Scope, *names: str, data: bytes = b"") -> None:
    """Add images of different content, whose files are what `data` says if given."""
    held = store.usage(scope).images
    for shade, name in enumerate(names, start=held):
        content = data or png(shade)
        store.add_image(scope, content, file_name=name, size=SIZE, quality=None)


@pytest.fixture
def images(store: Store, scope: Scope) -> list[ImageRecord]:
    """Three new images in the dataset."""
    add(store, scope, "a.png", "b.png", "c.png")
    return store.records(scope)


@pytest.fixture
def run_job(store: Store, scope: Scope, pets: str) -> Iterator[RunJob]:
    """Run a job of the real handlers to its end; `cancelled` cancels it as it begins.

    Parameters are those of a person who leaves everything as it is, unless given.
    """
    cancelling = False

    def begun(kind: str) -> Handler:
        def handler(context: JobContext) -> Mapping[str, Any] | None:
            if cancelling:
                store.cancel_job(context.scope, context.job_id)
            return HANDLERS[kind](context)

        return handler

    runner = JobRunner(store, {kind: begun(kind) for kind in HANDLERS})
    usual: dict[str, dict[str, Any]] = {
        "annotate": {"model": pets, "statuses": ANY_STATUS},
        "keep": {
            "model": pets,
            "statuses": ANY_STATUS,
            "confidence_threshold": 0.25,
            "nms_threshold": 0.45,
        },
        "classify": {},
        "doubt": {"mirrored": False},
        "evaluate": {"models": [pets], "images": "approved"},
        "teach": {},
        "import": {},
        "frames": {},
        "backup": {"name": "Street", "version": "1"},
        "restore": {},
        "export": {
            "name": "Street",
            "format": "coco",
            "images": "all",
            "with_images": True,
            "with_empty": True,
        },
    }

    def run(kind: str, *, cancelled: bool = False, **changed: object) -> JobInfo:
        nonlocal cancelling
        cancelling = cancelled
        job_id = runner.submit(scope, kind, usual[kind] | changed)
        return ended(store, scope, job_id)

    yield run
    runner.close()


def ended(store: Store, scope: Scope, job_id: str) -> JobInfo:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        job = store.job(scope, job_id)
        if not job.state.is_active:
            return job
        time.sleep(0.005)
    raise AssertionError("the job does not end")
