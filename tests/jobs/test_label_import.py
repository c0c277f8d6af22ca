"""A dropped label set taken into a dataset, as one change."""

import io
import json
import os
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, ParamSpec, TypeVar

import pytest
from PIL import Image

from imagebase.annotation import (
    Annotation,
    Box,
    ImageRecord,
    ReviewStatus,
    Size,
    Source,
)
from imagebase.images import decode_apart
from imagebase.ingest.label_files import keep_files
from imagebase.jobs.temporary_files import (
    KEPT_SECONDS,
    Touch,
    delete_old_exports,
    dropped,
    forget_dropped,
)
from imagebase.settings import Limits
from imagebase.store import JobState, Scope, Store
from tests.jobs.conftest import RunJob, add, png

Given = ParamSpec("Given")
Returned = TypeVar("Returned")

COCO: dict[str, Any] = {
    "images": [
        {"id": 1, "file_name": "a.png", "width": 64, "height": 48},
        {"id": 2, "file_name": "b.png", "width": 64, "height": 48},
        {"id": 3, "file_name": "elsewhere.png", "width": 64, "height": 48},
    ],
    "categories": [{"id": 7, "name": "dog"}, {"id": 9, "name": "cat"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 2, 10, 20]},
        {"id": 2, "image_id": 2, "category_id": 9, "bbox": [5, 5, 9, 9], "score": 0.5},
        {"id": 3, "image_id": 3, "category_id": 9, "bbox": [5, 5, 9, 9]},
    ],
}


def drop(scope: Scope, *files: tuple[str, bytes]) -> None:
    folder = dropped(scope, "u1")
    keep_files([(n, io.BytesIO(data)) for n, data in files], folder, Limits())


def parameters(**changed: object) -> dict[str, Any]:
    usual = {
        "upload": "u1",
        "format": "coco",
        "replacing": "nothing",
        "names": {},
        "takes_new": True,
        "takes_approved": False,
        "limits": asdict(Limits()),
    }
    return usual | changed


def labels_file(coco: object = COCO) -> tuple[str, bytes]:
    return ("labels.json", json.dumps(coco).encode())


def test_labels_come_onto_images_as_one_change(
    store: Store, scope: Scope, images: list[ImageRecord], run_job: RunJob
) -> None:
    drop(scope, labels_file())
    job = run_job("import", **parameters())
    assert job.state is JobState.DONE
    assert job.result == {
        "images_added": 0,
        "images": 2,
        "boxes": 2,
        "tags": 0,
        "conflicts": 0,
        "left_out": [
            "elsewhere.png: No image here has this name, and none like it was dropped."
        ],
    }
    a, b, c = store.records(scope)
    (on_a,), (on_b,) = a.annotations, b.annotations
    assert (on_a.box, on_a.label, on_a.source) == (
        Box(1, 2, 11, 22),
        "dog",
        Source.IMPORT,
    )
    assert on_a.changed_by == "ann"
    assert (on_b.is_untouched, on_b.confidence) == (True, 0.5)
    assert [record.status for record in (a, b, c)] == [
        ReviewStatus.IMPORTED,
        ReviewStatus.SUGGESTED,
        ReviewStatus.NEW,
    ]
    assert store.labels(scope).names == ("dog", "cat")
    undone = store.undo(scope)
    assert len(undone.image_ids) == 2
    assert [record.annotations for record in store.records(scope)] == [(), (), ()]
    assert not store.can_undo(scope)


def test_images_that_come_with_the_labels_are_added(
    store: Store, scope: Scope, run_job: RunJob
) -> None:
    drop(
        scope,
        labels_file(),
        ("images/a.png", png(1)),
        ("images/unlabelled.png", png(2)),
        ("images/elsewhere.png", b"nope"),
    )
    result = run_job("import", **parameters()).result or {}
    assert result["images_added"] == 2
    assert result["boxes"] == 1
    refused, nowhere, not_added = result["left_out"]
    assert refused.startswith("images/elsewhere.png: images/elsewhere.png is not")
    assert nowhere.startswith("b.png: No image here")
    assert not_added.startswith("elsewhere.png: ")
    assert [record.file_name for record in store.records(scope)] == [
        "images/a.png",
        "images/unlabelled.png",
    ]


def test_image_that_cannot_be_added_gives_its_labels_to_no_other(
    store: Store, scope: Scope, images: list[ImageRecord], run_job: RunJob
) -> None:
    # Its header reads well, so that it seemed fine before it was taken in.
    drop(scope, labels_file(), ("a.png", png(99)[:60]))
    result = run_job("import", **parameters()).result or {}
    assert "a.png: Its image could not be added." in result["left_out"]
    assert [len(record.annotations) for record in store.records(scope)] == [0, 1, 0]


def test_import_again_changes_nothing(
    store: Store, scope: Scope, images: list[ImageRecord], run_job: RunJob
) -> None:
    drop(scope, labels_file())
    run_job("import", **parameters())
    before = store.records(scope)
    drop(scope, labels_file())
    result = run_job("import", **parameters(replacing="all")).result or {}
    assert (result["images"], result["boxes"]) == (0, 0)
    assert store.records(scope) == before


def test_persons_boxes_stay_unless_told(
    store: Store, scope: Scope, images: list[ImageRecord], run_job: RunJob
) -> None:
    mine = Annotation(Box(30, 30, 40, 40), "dog", changed_by="ann")
    saved = store.save(scope, images[0].with_annotations([mine]))
    drop(scope, labels_file())
    run_job("import", **parameters(replacing="model"))
    first = store.record(scope, saved.image_id).annotations
    assert [annotation.annotation_id for annotation in first][:1] == [
        mine.annotation_id
    ]
    assert len(first) == 2
    drop(scope, labels_file())
    run_job("import", **parameters(replacing="all"))
    (left,) = store.record(scope, saved.image_id).annotations
    assert left.source is Source.IMPORT


def test_cancelled_import_brings_nothing_in(
    store: Store, scope: Scope, images: list[ImageRecord], run_job: RunJob
) -> None:
    drop(scope, labels_file())
    job = run_job("import", cancelled=True, **parameters())
    assert job.state is JobState.CANCELLED
    assert store.records(scope) == images
    assert not len(store.labels(scope))


def test_deleted_files_are_reported(scope: Scope, run_job: RunJob) -> None:
    job = run_job("import", **parameters(upload="other"))
    assert job.error == "The uploaded files have expired; upload them again."


def after(
    happens: Callable[[], None], call: Callable[Given, Returned]
) -> Callable[Given, Returned]:
    """Return the call with something that happens before each."""

    def both(*args: Given.args, **kwargs: Given.kwargs) -> Returned:
        happens()
        return call(*args, **kwargs)

    return both


def test_files_that_were_dropped_long_ago_stay_while_they_come_in(
    store: Store, scope: Scope, run_job: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(
        scope, labels_file(), *((f"{letter}.png", png(ord(letter))) for letter in "abc")
    )

    def an_hour_goes_by() -> None:
        delete_old_exports()
        long_ago = time.time() - KEPT_SECONDS - 60
        os.utime(dropped(scope, "u1"), (long_ago, long_ago))

    an_hour_goes_by()
    monkeypatch.setattr(store, "add_image", after(an_hour_goes_by, store.add_image))
    monkeypatch.setattr(sys.modules[Touch.__module__], "_TOUCH_SECONDS", 0)
    job = run_job("import", **parameters())
    assert job.state is JobState.DONE, job.error
    result = job.result or {}
    assert (result["images_added"], result["boxes"]) == (3, 2)


def test_files_that_go_while_they_come_in_fail_the_import_with_a_message(
    store: Store, scope: Scope, run_job: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(
        scope, labels_file(), *((f"{letter}.png", png(ord(letter))) for letter in "abc")
    )
    deleting = after(lambda: forget_dropped(scope, "u1"), store.add_image)
    monkeypatch.setattr(store, "add_image", deleting)
    monkeypatch.setattr(decode_apart, "_BATCH_FILES", 1)
    job = run_job("import", **parameters())
    assert job.state is JobState.FAILED
    assert job.error == "The uploaded files have expired; upload them again."
    assert [record.annotations for record in store.records(scope)] == [()]


@pytest.mark.parametrize("approved_too", [False, True])
def test_approved_images_change_only_if_told(
    store: Store,
    scope: Scope,
    images: list[ImageRecord],
    run_job: RunJob,
    approved_too: bool,
) -> None:
    store.save(scope, replace(images[0], status=ReviewStatus.APPROVED))
    drop(scope, labels_file())
    run_job("import", **parameters(takes_approved=approved_too))
    record = store.record(scope, images[0].image_id)
    assert len(record.annotations) == approved_too


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def test_classes_of_whole_images_come_in_as_tags(
    store: Store, scope: Scope, images: list[ImageRecord], run_job: RunJob
) -> None:
    # The first two are here under other names, and are known by their content.
    data = {"cat/x.png": png(0), "dog/y.png": png(1), "dog/z.png": png(50)}
    drop(scope, ("set.zip", zipped(data)))
    result = run_job("import", **parameters(format="classification")).result or {}
    assert (result["images_added"], result["images"], result["tags"]) == (1, 3, 3)
    assert [(record.file_name, record.tags) for record in store.records(scope)] == [
        ("a.png", ("cat",)),
        ("b.png", ("dog",)),
        ("c.png", ()),
        ("dog/z.png", ("dog",)),
    ]
    assert store.labels(scope).names == ("cat", "dog")
    store.undo(scope)
    assert not any(record.tags for record in store.records(scope))


def test_zip_of_images_and_labels_comes_in_as_one(
    store: Store, scope: Scope, run_job: RunJob
) -> None:
    data = {
        "set/obj.names": b"cat\ndog\n",
        "set/obj.data": b"classes = 2\ntrain = train.txt\nnames = obj.names\n",
        "set/train.txt": b"obj/a.png\n",
        "set/obj/a.png": png(7),
        "set/obj/a.txt": b"1 0.5 0.5 0.25 0.5\n",
    }
    drop(scope, ("set.zip", zipped(data)))
    result = run_job("import", **parameters(format="darknet")).result or {}
    assert (result["images_added"], result["boxes"]) == (1, 1)
    (record,) = store.records(scope)
    (annotation,) = record.annotations
    assert (annotation.label, annotation.box) == ("dog", Box(24, 12, 40, 36))
    assert store.labels(scope).names == ("cat", "dog")


def coco_of(*names: str, box: tuple[int, ...] = (1, 2, 10, 20)) -> bytes:
    """Return a COCO file with a box on each image of 64 × 48 pixels."""
    images = [
        {"id": at, "file_name": name, "width": 64, "height": 48}
        for at, name in enumerate(names)
    ]
    boxes = [
        {"id": at, "image_id": at, "category_id": 7, "bbox": [*box]}
        for at, _ in enumerate(names)
    ]
    return json.dumps(COCO | {"images": images, "annotations": boxes}).encode()


def boxes_here(store: Store, scope: Scope) -> dict[str, list[tuple[float, ...]]]:
    return {
        record.file_name: [tuple(box.box) for box in record.annotations]
        for record in store.records(scope)
    }


def test_boxes_turn_with_an_image_of_the_dataset_that_exif_turns(
    store: Store, scope: Scope, run_job: RunJob
) -> None:
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    Image.new("RGB", (64, 48)).save(file, "JPEG", exif=exif)
    data = file.getvalue()
    store.add_image(scope, data, file_name="phone.jpg", size=Size(48, 64), quality=None)
    # For the pixels as stored: by the name alone, and by the content of a copy.
    for number, files in enumerate(
        [[("l.json", coco_of("phone.jpg"))], [("x.jpg", data)]]
    ):
        stored = coco_of("x.jpg", box=(5, 5, 10, 10))
        drop(scope, *files, *[("m.json", stored)] * number)
        assert run_job("import", **parameters()).state is JobState.DONE
        forget_dropped(scope, "u1")
    assert boxes_here(store, scope) == {
        "phone.jpg": [(26, 1, 46, 11), (33, 5, 43, 15)],
    }


def test_labels_of_one_name_go_to_the_images_of_their_folders(
    store: Store, scope: Scope, run_job: RunJob
) -> None:
    add(store, scope, "train/1.png", "valid/1.png", "cam1/2.png")
    drop(
        scope,
        ("set/train/l.json", coco_of("1.png")),
        ("set/valid/l.json", coco_of("1.png", box=(3, 4, 5, 6))),
        ("cams.json", coco_of("cam9/2.png", "/data/cam1/2.png", box=(7, 8, 9, 9))),
    )
    job = run_job("import", **parameters())
    assert boxes_here(store, scope) == {
        "train/1.png": [(1, 2, 11, 22)],
        "valid/1.png": [(3, 4, 8, 10)],
        "cam1/2.png": [(7, 8, 16, 17)],
    }
    assert job.result is not None
    assert job.result["left_out"] == [
        "cam9/2.png: It is the same image as 2.png, whose labels it has."
    ]


def test_dropped_images_of_one_name_are_said_where_one_cannot_be_told(
    store: Store, scope: Scope, run_job: RunJob
) -> None:
    drop(scope, ("a.json", coco_of("1.png")), ("x/1.png", png(1)), ("y/1.png", png(2)))
    job = run_job("import", **parameters())
    assert job.result is not None
    assert job.result["left_out"] == [
        "1.png: Several images match its name: x/1.png, y/1.png."
    ]
    assert boxes_here(store, scope) == {"x/1.png": [], "y/1.png": []}
