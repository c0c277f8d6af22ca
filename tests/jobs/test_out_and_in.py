"""What the Export page hands over comes in again on the Upload page, in each format."""

import json
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagebase.annotation import Annotation, Box, ImageRecord, ReviewStatus
from imagebase.annotation.areas import rectangle
from imagebase.annotation.coverage import mask_of
from imagebase.formats.registry import FORMATS, recognise
from imagebase.ingest.label_files import DroppedFiles, keep_files
from imagebase.jobs.handlers import HANDLERS
from imagebase.jobs.runner import JobRunner
from imagebase.jobs.temporary_files import dropped
from imagebase.settings import Limits
from imagebase.store import Scope, Store
from tests.jobs.conftest import RunJob, ended
from tests.store.fixtures import scope_of

LABELS = ["zebra: big", "never used", 'a & "b", c', "cat"]


@pytest.fixture
def labelled(
    store: Store, scope: Scope, images: list[ImageRecord]
) -> list[ImageRecord]:
    """Two images with boxes and a tag, and one that is confirmed to hold nothing."""
    store.add_labels(scope, LABELS)
    first, second, third = images
    boxes = [
        Annotation(Box(1, 2, 30, 40), LABELS[0]),
        Annotation(Box(5, 6, 9, 9), "cat"),
    ]
    store.save(scope, replace(first, annotations=tuple(boxes), tags=("cat",)))
    odd = Annotation(Box(0, 0, 64, 48), LABELS[2])
    store.save(scope, replace(second, annotations=(odd,)))
    store.save(scope, replace(third, status=ReviewStatus.APPROVED))
    return store.records(scope)


@pytest.fixture
def runner(store: Store) -> Iterator[JobRunner]:
    running = JobRunner(store, HANDLERS)
    yield running
    running.close()


def imported(
    store: Store, runner: JobRunner, zip_path: Path, target: Scope | None = None
) -> tuple[Scope, Any]:
    """Drop a zip on a new dataset or on this, agree, and return what came of it."""
    target = target or scope_of(store, "team", who="bob", name="Again")
    folder = dropped(target, "u1")
    with zip_path.open("rb") as file:
        keep_files([(zip_path.name, file)], folder, Limits())
    parameters = {
        "upload": "u1",
        "format": recognise(DroppedFiles(folder, Limits())),
        "replacing": "nothing",
        "names": {},
        "takes_new": True,
        "takes_approved": False,
        "limits": asdict(Limits()),
    }
    job = ended(store, target, runner.submit(target, "import", parameters))
    assert job.error is None
    return target, (parameters["format"], job.result)


@pytest.mark.parametrize("format_name", FORMATS)
def test_export_comes_in_again(
    store: Store,
    scope: Scope,
    labelled: list[ImageRecord],
    run_job: RunJob,
    runner: JobRunner,
    tmp_path: Path,
    format_name: str,
) -> None:
    result = run_job("export", format=format_name).result or {}
    path = tmp_path / "export.zip"
    shutil.copy(result["path"], path)
    target, (recognised, told) = imported(store, runner, path)
    assert recognised == format_name
    assert told["left_out"] == []
    found = {record.image_id: record for record in store.records(target)}
    assert found.keys() == {record.image_id for record in labelled}
    if format_name == "classification":
        assert [found[record.image_id].tags for record in labelled] == [
            ("cat",),
            (),
            (),
        ]
        return
    assert store.labels(target).names == store.labels(scope).names
    for record in labelled:
        pairs = zip(record.annotations, found[record.image_id].annotations, strict=True)
        for mine, theirs in pairs:
            assert mine.label == theirs.label
            assert theirs.box == pytest.approx(mine.box, abs=1)


@pytest.mark.parametrize("format_name", ["cvat", "labelme", "labelstudio", "voc"])
def test_ignore_areas_come_in_again_and_one_undo_takes_all_back(
    store: Store,
    scope: Scope,
    labelled: list[ImageRecord],
    run_job: RunJob,
    runner: JobRunner,
    tmp_path: Path,
    format_name: str,
) -> None:
    stamp = rectangle(Box(0, 40, 20, 48))
    store.add_ignore_areas(scope, labelled[0].image_id, [stamp], all_of_size=True)
    result = run_job("export", format=format_name).result or {}
    path = tmp_path / "export.zip"
    shutil.copy(result["path"], path)
    target, (_, told) = imported(store, runner, path)
    assert told["areas"] == 3
    for record in store.records(target):
        found = mask_of(record.ignored, record.size)
        np.testing.assert_array_equal(found, mask_of([stamp], record.size))
    store.undo(target)
    assert store.ignore_areas(target) == []
    assert not any(record.annotations for record in store.records(target))


def area_zip(path: Path, image: bytes, *boxes: list[list[int]]) -> Path:
    """Return a zip of LabelMe, which states no size, with ignore areas on an image."""
    shapes = [
        {"label": "__ignore__", "shape_type": "rectangle", "points": points}
        for points in boxes
    ]
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("a.json", json.dumps({"imagePath": "a.jpg", "shapes": shapes}))
        made.writestr("a.jpg", image)
    return path


def test_an_ignore_area_that_cannot_be_kept_takes_no_other_with_it(
    store: Store,
    scope: Scope,
    labelled: list[ImageRecord],
    runner: JobRunner,
    tmp_path: Path,
) -> None:
    image = store.image_bytes(scope, labelled[0].image_id)
    beside = [[5_000, 5_000], [6_000, 6_000]]
    path = area_zip(tmp_path / "set.zip", image, [[0, 0], [9, 9]], beside)
    target, (_, told) = imported(store, runner, path)
    assert (told["areas"], told["areas_left_out"]) == (1, 1)
    assert len(store.ignore_areas(target)) == 1


def test_approved_images_get_no_ignore_area_that_nobody_agreed_to(
    store: Store,
    scope: Scope,
    labelled: list[ImageRecord],
    runner: JobRunner,
    tmp_path: Path,
) -> None:
    approved = next(
        record for record in labelled if record.status is ReviewStatus.APPROVED
    )
    image = store.image_bytes(scope, approved.image_id)
    path = area_zip(tmp_path / "set.zip", image, [[0, 0], [9, 9]])
    _, (_, told) = imported(store, runner, path, scope)
    assert told["areas_left_out"] == 1
    assert store.ignore_areas(scope) == []
