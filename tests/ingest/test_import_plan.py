"""What an import would do, in a real store, before anything is stored."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from imagebase.annotation import Annotation, Box, LabelSet, ReviewStatus, Size, Source
from imagebase.formats.base import ImportReport, ReadImage, ReadResult
from imagebase.ingest.box_merging import Effect, ImportChoice
from imagebase.ingest.image_matching import DroppedImage, How
from imagebase.ingest.import_plan import (
    ImportedLabel,
    ImportPlan,
    dry_run,
    label_rows,
    wanted_labels,
)
from imagebase.settings import Limits, Settings
from imagebase.store import Scope, Store
from tests.store.fixtures import SIZE, add_image, box, sqlite_settings


@pytest.fixture
def store_settings(tmp_path: Path, migrated_sqlite: Path) -> Settings:
    shutil.copy(migrated_sqlite, tmp_path / "imagebase.db")
    return sqlite_settings(tmp_path)


def read(
    name: str, *labels: str, tags: tuple[str, ...] = (), path: str = ""
) -> ReadImage:
    boxes = tuple(
        Annotation(Box(n, n, n + 10, n + 10), label, source=Source.IMPORT)
        for n, label in enumerate(labels)
    )
    return ReadImage(name, SIZE, boxes, tags=tags, path=path)


def result(*images: ReadImage, labels: tuple[str, ...] = ("cat", "dog")) -> ReadResult:
    return ReadResult(LabelSet.of(labels), images, ImportReport())


def run(
    store: Store, scope: Scope, read_result: ReadResult, **choice: object
) -> ImportPlan:
    return dry_run(
        store,
        scope,
        read_result,
        {"new.jpg": DroppedImage("f" * 64, 7, Size(64, 48))},
        ImportChoice(**choice),  # type: ignore[arg-type]
        limits=Limits(),
    )


def test_dry_run_tells_what_would_come_in_and_stores_nothing(
    store: Store, scope: Scope
) -> None:
    record = add_image(store, scope, "a.jpg")
    before = store.version(scope)
    told = run(
        store,
        scope,
        result(
            read("a.jpg", "cat", "cat"),
            read("new.jpg", "dog", path="new.jpg"),
            read("none.jpg"),
        ),
    )
    assert [(match.how, match.image_id) for match in told.matches] == [
        (How.NAME, record.image_id),
        (How.NEW, "f" * 64),
        (How.NOWHERE, ""),
    ]
    assert told.effect == Effect(images=2, boxes=3)
    assert told.new_labels == ("cat", "dog")
    assert (told.new_images, told.new_bytes) == (1, 7)
    assert store.version(scope) == before
    assert store.records(scope) == [record]


def test_images_that_are_not_wanted_do_not_count(store: Store, scope: Scope) -> None:
    told = run(
        store, scope, result(read("new.jpg", "dog", path="new.jpg")), takes_new=False
    )
    assert told.effect == Effect()
    assert (told.new_images, told.new_bytes) == (0, 0)
    assert told.new_labels == ("cat", "dog")


def test_nothing_to_do_is_known_as_such(store: Store, scope: Scope) -> None:
    record = add_image(store, scope, "a.jpg")
    store.save(scope, record.with_annotations([box("cat", at=0)]))
    names = {"dog": None}
    there = result(ReadImage("a.jpg", SIZE, (box("cat", at=0),)))
    told = run(store, scope, there, takes_new=False, names=names)
    assert told.effect == Effect(present=1)
    assert told.changes_nothing


def test_labels_find_their_names_here() -> None:
    here = LabelSet.of(["Dog", "fox", "Cow", "COW", "gone"])
    hidden = here.labels[4]._replace(is_hidden=True)
    here = LabelSet((*here.labels[:4], hidden))
    names = ("dog", "fox", "cow", "old", "gone", "new", "unused")
    images = (read("a.jpg", *names[:-2]), read("b.jpg", tags=("new",)))
    rows = label_rows(LabelSet.of(names), images, here, {"old": "fox"})
    assert rows == [
        ImportedLabel(0, "dog", 1, "Dog", "same but for capitals"),
        ImportedLabel(1, "fox", 1, "fox", "same name"),
        ImportedLabel(2, "cow", 1, "cow", "new"),
        ImportedLabel(3, "old", 1, "fox", "renamed here"),
        ImportedLabel(4, "gone", 1, "gone", "deleted here: comes back"),
        ImportedLabel(5, "new", 1, "new", "new"),
        ImportedLabel(6, "unused", 0, None, "not used"),
    ]


def test_first_label_set_keeps_its_class_numbers() -> None:
    labels = ("z", "unused", "a")
    rows = label_rows(LabelSet.of(labels), [read("a.jpg", "a")], LabelSet(), {})
    assert wanted_labels(rows, ImportChoice()) == ["z", "unused", "a"]


def test_a_persons_names_go_before_the_proposed_ones() -> None:
    labels = LabelSet.of(["cat", "dog"])
    rows = label_rows(labels, [read("a.jpg", "cat", "dog")], LabelSet(), {})
    choice = ImportChoice(names={"cat": "Tiger", "dog": None})
    assert wanted_labels(rows, choice) == ["Tiger"]


def test_approved_images_are_counted_as_left_alone(store: Store, scope: Scope) -> None:
    record = add_image(store, scope, "a.jpg")
    store.save(scope, replace(record, status=ReviewStatus.APPROVED))
    told = run(store, scope, result(read("a.jpg", "cat")), takes_new=False)
    assert told.effect == Effect(approved=1)
