"""What Darknet is given: one zip, and where it must be more, whole sets."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagebase.export.request import DEFAULT_ZIP_BYTES
from imagebase.jobs.exports import bundle_request
from imagebase.jobs.handlers import HANDLERS
from imagebase.jobs.runner import JobRunner
from imagebase.store import JobState, Scope, Store
from tests.jobs.conftest import ended
from tests.jobs.test_training import add_approved

FIRST_WEIGHTS = "yolov4-tiny.conv.29"
WEIGHTS_BYTES = 19_789_716


@pytest.fixture
def runner(store: Store) -> Iterator[JobRunner]:
    runner = JobRunner(store, HANDLERS)
    yield runner
    runner.close()


def bundle(runner: JobRunner, scope: Scope, **changed: object) -> dict[str, Any]:
    """Return the result of a bundle of eight approved images."""
    for number in range(8):
        add_approved(runner.store, scope, number)
    asked = bundle_request() | {"name": "Shapes"} | changed
    job = ended(runner.store, scope, runner.submit(scope, "bundle", asked))
    assert job.state is JobState.DONE, job.error
    return dict(job.result or {})


def test_a_thousand_photographs_are_one_zip() -> None:
    assert bundle_request()["zip_bytes"] > 1_000_000_000 > DEFAULT_ZIP_BYTES


def test_of_several_zips_each_has_the_weights(runner: JobRunner, scope: Scope) -> None:
    result = bundle(runner, scope, zip_bytes=100_000)
    zips = result["zips"]
    assert len(zips) > 1
    assert sum(zip_["images"] for zip_ in zips) == 8
    for zip_ in zips:
        path = Path(zip_["path"])
        assert zip_["byte_count"] == path.stat().st_size > WEIGHTS_BYTES
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            assert len(archive.read(FIRST_WEIGHTS)) == WEIGHTS_BYTES
            assert archive.read("train.txt").decode().split()
    assert result["byte_count"] == sum(zip_["byte_count"] for zip_ in zips)
