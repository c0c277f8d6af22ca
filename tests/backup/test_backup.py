"""A dataset backed up and restored elsewhere is the same dataset."""

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imagebase.annotation import ReviewStatus, Size, new_id
from imagebase.backup.restore import Backup, restore
from imagebase.backup.write import MANIFEST, write_backup
from imagebase.errors import ImageFileError, NotFoundError, StoreError
from imagebase.learning import image_vectors
from imagebase.learning.taught_models import taught_model
from imagebase.settings import Limits, settings
from imagebase.store import Scope, Store
from imagebase.store.backup_rows import COPIED, COPIED_BY_NAME, row_of
from imagebase.store.candidates import IMAGE_VECTORS
from imagebase.store.tables import metadata
from tests.backup.conftest import KEY, LIMITS, NewStore, full_dataset

pytestmark = pytest.mark.dialect

KINDS = [
    ("sqlite", "sqlite"),
    pytest.param(("sqlite", "postgresql"), marks=pytest.mark.postgres),
    pytest.param(("postgresql", "sqlite"), marks=pytest.mark.postgres),
]


def restored(
    store: Store, path: Path, *, who: str = "zoe", limits: Limits = LIMITS
) -> Scope:
    target = Scope("elsewhere", new_id(), who)
    with Backup(path, limits, file_name=path.name) as backup:
        backup.check()
        restore(store, target, backup)
    return target


@pytest.mark.parametrize("kinds", KINDS, ids="-to-".join)
def test_restored_elsewhere_it_is_identical(
    new_store: NewStore, tmp_path: Path, kinds: tuple[str, str]
) -> None:
    store, other = new_store(kinds[0]), new_store(kinds[1])
    scope = full_dataset(store)
    rows = write_backup(store, scope, tmp_path / "a.zip").rows
    assert all(rows[name] for name in _filled()), rows
    target = restored(other, tmp_path / "a.zip")

    records = store.records(scope)
    assert other.records(target) == records
    assert other.labels(target) == store.labels(scope)
    assert other.label_mapping(target, "m") == store.label_mapping(scope, "m")
    assert other.former_label_names(target) == {"cat": "tiger"}
    assert other.ignore_areas(target) == store.ignore_areas(scope)
    assert other.candidates(target, KEY) == store.candidates(scope, KEY)
    assert other.doubtful_images(target) == store.doubtful_images(scope)
    for record in records:
        name = record.image_id
        assert other.image_bytes(target, name) == store.image_bytes(scope, name)
        assert [
            replace(comment, comment_id="") for comment in other.comments(target, name)
        ] == [
            replace(comment, comment_id="") for comment in store.comments(scope, name)
        ]
        assert [
            replace(event, event_id=0) for event in other.history(target, name)
        ] == [replace(event, event_id=0) for event in store.history(scope, name)]
    assert other.taught_row(target) == store.taught_row(scope)
    assert [replace(run, run_id="") for run in other.runs(target)] == [
        replace(run, run_id="") for run in store.runs(scope)
    ]
    assert [dataset.name for dataset in other.datasets("elsewhere")] == ["Straße 🚲"]


def _filled() -> list[str]:
    return [table.name for table in COPIED if table.name != "label_thresholds"]


@pytest.mark.parametrize("kinds", KINDS, ids="-to-".join)
def test_backup_of_what_was_restored_has_the_same_bytes(
    new_store: NewStore, tmp_path: Path, kinds: tuple[str, str]
) -> None:
    store, other = new_store(kinds[0]), new_store(kinds[1])
    write_backup(store, full_dataset(store), tmp_path / "a.zip")
    target = restored(other, tmp_path / "a.zip")
    write_backup(other, target, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


# Made by the version whose boxes held the names of labels, not class ids.
_BACKUP_OF_0003 = Path(__file__).parent / "data" / "backup_0003.zip"


@pytest.mark.parametrize(
    "kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]
)
def test_backup_with_names_of_labels_restores_row_for_row(
    new_store: NewStore, tmp_path: Path, kind: str
) -> None:
    store = new_store(kind)
    write_backup(store, restored(store, _BACKUP_OF_0003), tmp_path / "again.zip")
    before, after = _tables_in(_BACKUP_OF_0003), _tables_in(tmp_path / "again.zip")
    assert after.pop("tables/taught_models.jsonl") == []
    assert before == after
    labels = {row["label"] for row in before["tables/annotations.jsonl"]}
    assert labels == {"tiger", "z"}


def _tables_in(path: Path) -> dict[str, list[Any]]:
    with zipfile.ZipFile(path) as archive:
        return {
            name: [json.loads(line) for line in archive.read(name).splitlines()]
            for name in archive.namelist()
            if name.startswith("tables/")
        }


def file_of(folder: Path, image_id: str) -> Path:
    (path,) = folder.rglob(f"images/team/{image_id[:2]}/{image_id}")
    return path


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"no")])
def test_image_without_its_file_is_left_out_and_named(
    store: Store, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    scope = full_dataset(store)
    lost, *kept = store.records(scope)
    damage(file_of(tmp_path, lost.image_id))
    done = write_backup(store, scope, tmp_path / "a.zip")
    assert done.not_in_it == (lost.file_name,)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert json.loads(archive.read(MANIFEST))["not_in_it"] == [lost.file_name]
    target = restored(store, tmp_path / "a.zip", who="ann")
    assert store.records(target) == kept
    for record in kept:
        assert store.image_bytes(target, record.image_id)


def test_backup_without_any_image_file_is_refused(store: Store, tmp_path: Path) -> None:
    scope = full_dataset(store)
    for record in store.records(scope):
        file_of(tmp_path, record.image_id).unlink()
    with pytest.raises(ImageFileError, match="IMAGEBASE_STORAGE_URL"):
        write_backup(store, scope, tmp_path / "a.zip")


def test_history_goes_on_where_it_was(store: Store, tmp_path: Path) -> None:
    scope = full_dataset(store)
    write_backup(store, scope, tmp_path / "a.zip")
    target = restored(store, tmp_path / "a.zip", who="ann")
    while store.can_undo(scope):
        assert store.undo(target).description == store.undo(scope).description
    assert not store.can_undo(target)
    while store.can_redo(scope):
        store.redo(scope)
        store.redo(target)
    before = [replace(record, revision=0) for record in store.records(scope)]
    assert [replace(record, revision=0) for record in store.records(target)] == before


def test_copy_beside_the_original_goes_by_another_name(
    store: Store, tmp_path: Path
) -> None:
    scope = full_dataset(store)
    write_backup(store, scope, tmp_path / "a.zip")
    target = Scope("team", new_id(), "ann")
    with Backup(tmp_path / "a.zip", LIMITS, file_name="a.zip") as backup:
        backup.check()
        name = restore(store, target, backup)
    assert name == "Straße 🚲 (restored)"
    assert [dataset.name for dataset in store.datasets("team")] == ["Straße 🚲", name]
    store.delete_dataset(scope)
    for record in store.records(target):
        assert store.image_bytes(target, record.image_id)


def test_attempt_that_was_cut_short_is_begun_again(
    store: Store, tmp_path: Path
) -> None:
    write_backup(store, full_dataset(store), tmp_path / "a.zip")
    target = Scope("elsewhere", new_id(), "zoe")
    store.begin_copy(target, "half")
    with Backup(tmp_path / "a.zip", LIMITS, file_name="a.zip") as backup:
        backup.check()
        restore(store, target, backup)
    assert [dataset.name for dataset in store.datasets("elsewhere")] == ["Straße 🚲"]


def test_attempt_that_somebody_has_worked_in_is_not_begun_again(
    store: Store, tmp_path: Path
) -> None:
    write_backup(store, full_dataset(store), tmp_path / "a.zip")
    target = Scope("elsewhere", new_id(), "zoe")
    store.begin_copy(target, "half")
    store.add_labels(target, ["mine"])
    with Backup(tmp_path / "a.zip", LIMITS, file_name="a.zip") as backup:
        backup.check()
        with pytest.raises(StoreError, match="Someone has worked in"):
            restore(store, target, backup)
    assert store.labels(target).names == ("mine",)


def test_restore_that_is_stopped_keeps_what_somebody_has_done_in_it(
    store: Store, tmp_path: Path
) -> None:
    write_backup(store, full_dataset(store), tmp_path / "a.zip")
    target = Scope("elsewhere", new_id(), "zoe")

    def stop(done: int, total: int) -> None:
        first = store.records(target)[0]
        store.save(target, replace(first, status=ReviewStatus.APPROVED))
        raise KeyboardInterrupt

    with Backup(tmp_path / "a.zip", LIMITS, file_name="a.zip") as backup:
        backup.check()
        with pytest.raises(KeyboardInterrupt):
            restore(store, target, backup, progress=stop)
    (left,) = store.datasets("elsewhere")
    assert left.name == "Straße 🚲 (being restored)"
    assert store.records(target)[0].status is ReviewStatus.APPROVED


def test_restore_that_is_stopped_leaves_nothing(store: Store, tmp_path: Path) -> None:
    write_backup(store, full_dataset(store), tmp_path / "a.zip")

    def stop(done: int, total: int) -> None:
        assert (done, total) == (3, 3)
        raise KeyboardInterrupt

    with Backup(tmp_path / "a.zip", LIMITS, file_name="a.zip") as backup:
        backup.check()
        with pytest.raises(KeyboardInterrupt):
            restore(store, Scope("x", new_id(), "zoe"), backup, progress=stop)
    assert store.datasets("x") == []
    assert not [path for path in tmp_path.rglob("home0/images/x/*/*") if path.is_file()]


def test_empty_dataset_can_be_backed_up(store: Store, tmp_path: Path) -> None:
    created = store.create_dataset("team", "Empty", who="ann")
    write_backup(store, Scope("team", created.dataset_id, "ann"), tmp_path / "a.zip")
    target = restored(store, tmp_path / "a.zip")
    assert store.records(target) == []


def test_picture_that_is_mostly_blank_can_be_restored(
    store: Store, tmp_path: Path
) -> None:
    created = store.create_dataset("team", "Masks", who="ann")
    scope = Scope("team", created.dataset_id, "ann")
    mask = io.BytesIO()
    Image.new("RGB", (1280, 960)).save(mask, "BMP")
    size = Size(1280, 960)
    store.add_image(scope, mask.getvalue(), file_name="a.bmp", size=size, quality=None)
    write_backup(store, scope, tmp_path / "a.zip")
    target = restored(store, tmp_path / "a.zip", limits=Limits())
    [record] = store.records(target)
    assert store.image_bytes(target, record.image_id) == mask.getvalue()


def test_backup_says_what_it_is(store: Store, tmp_path: Path) -> None:
    write_backup(store, full_dataset(store), tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        said = json.loads(archive.read(MANIFEST))
        names = archive.namelist()
    assert (said["kind"], said["version"]) == ("imagebase-backup", 3)
    assert said["rows"]["images"] == 3
    assert set(names) == {*said["files"], MANIFEST}
    assert sum(name.endswith(".png") for name in names) == 3


def test_rows_of_an_earlier_version_are_taken() -> None:
    kept = {
        "image_id": "0" * 64,
        "annotation_id": "a",
        "position": 0,
        "is_deleted": False,
        "x_min": 1.0,
        "y_min": 1.0,
        "x_max": 9.0,
        "y_max": 9.0,
        "label": "cat",
        "source": "model",
        "confidence": 0.5,
        "model_id": "m",
        "accepted": False,
        "changed_by": "",
        "changed_at": "2026-01-02T03:04:05+00:00",
    }
    row = row_of(COPIED_BY_NAME["annotations"], kept)
    assert row["attributes"] is None
    with pytest.raises(ValueError, match="fields"):
        row_of(COPIED_BY_NAME["annotations"], {**kept, "colour": "red"})


def test_the_status_of_an_earlier_version_has_its_present_name() -> None:
    review = {"status": "auto", "comment": "", "tags": []}
    event = {
        "change_id": "c",
        "image_id": "0" * 64,
        "kind": "review",
        "annotation_id": None,
        "before": None,
        "after": review,
        "head_before": "",
        "revision": 1,
        "created_at": "2026-01-02T03:04:05+00:00",
    }
    row = row_of(COPIED_BY_NAME["events"], event)
    assert row["after"] == {**review, "status": "suggested"}


def test_a_restored_taught_model_is_found_by_name(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEBASE_HOME", str(tmp_path / "models-of-both"))
    settings.cache_clear()
    scope = full_dataset(store)
    write_backup(store, scope, tmp_path / "a.zip")
    target = restored(store, tmp_path / "a.zip")
    before, after = taught_model(store, scope), taught_model(store, target)
    settings.cache_clear()
    assert before is not None
    assert after is not None
    assert before.title == after.title == "tiger, 1 image"
    assert before.sha256 == after.sha256


def test_vectors_of_images_are_left_out(store: Store, tmp_path: Path) -> None:
    scope = full_dataset(store)
    ids = store.image_ids(scope)
    key = replace(KEY, passes=IMAGE_VECTORS)
    store.put_many(scope, key, dict.fromkeys(ids, bytes(image_vectors.LENGTH)))
    write_backup(store, scope, tmp_path / "a.zip")
    target = restored(store, tmp_path / "a.zip")
    assert store.candidates(target, KEY) == store.candidates(scope, KEY)
    assert store.candidates(scope, key)
    assert not store.candidates(target, key)


def test_every_table_of_a_dataset_is_in_it_or_left_out_on_purpose() -> None:
    # Models that were trained while people labelled are not in a backup.
    left_out = {"owners", "datasets", "jobs", "looks", "learning"}
    assert {table.name for table in COPIED} == set(metadata.tables) - left_out


def test_a_backup_of_the_first_version_has_no_areas_and_no_taught_model(
    store: Store, tmp_path: Path
) -> None:
    scope = full_dataset(store)
    store.delete_ignore_areas(
        scope, [area.area_id for area in store.ignore_areas(scope)]
    )
    write_backup(store, scope, tmp_path / "new.zip")
    with (
        zipfile.ZipFile(tmp_path / "new.zip") as new,
        zipfile.ZipFile(tmp_path / "old.zip", "w") as old,
    ):
        said = json.loads(new.read(MANIFEST))
        for name in ("ignore_areas", "taught_models"):
            del said["rows"][name], said["files"][f"tables/{name}.jsonl"]
        for name in said["files"]:
            old.writestr(name, new.read(name))
        old.writestr(MANIFEST, json.dumps({**said, "version": 1}))
    target = restored(store, tmp_path / "old.zip")
    assert store.records(target) == store.records(scope)
    assert store.ignore_areas(target) == []
    assert store.taught_row(target) is None


def test_nobody_backs_up_the_dataset_of_another_owner(
    store: Store, tmp_path: Path
) -> None:
    stranger = replace(full_dataset(store), owner_id="stranger")
    with pytest.raises(NotFoundError):
        write_backup(store, stranger, tmp_path / "a.zip")


def test_nobody_restores_over_the_dataset_of_another_owner(
    store: Store, tmp_path: Path
) -> None:
    scope = full_dataset(store)
    before = store.records(scope)
    write_backup(store, scope, tmp_path / "a.zip")
    with Backup(tmp_path / "a.zip", LIMITS, file_name="a.zip") as backup:
        backup.check()
        with pytest.raises(StoreError):
            restore(store, replace(scope, owner_id="stranger"), backup)
    assert store.records(scope) == before
    assert store.datasets("stranger") == []
