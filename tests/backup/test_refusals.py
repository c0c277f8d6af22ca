"""Backups that are damaged, forged, foreign or too large: a sentence, nothing kept."""

import base64
import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imagebase.annotation import new_id
from imagebase.backup.restore import Backup, restore
from imagebase.backup.write import MANIFEST, write_backup
from imagebase.errors import ArchiveError, ImageBaseError, LimitError
from imagebase.learning.image_vectors import LENGTH
from imagebase.settings import Limits
from imagebase.store import Scope, Store, open_store
from imagebase.store.candidates import IMAGE_VECTORS
from tests.backup.conftest import LIMITS, full_dataset
from tests.store.fixtures import sqlite_settings

Files = dict[str, bytes]
Change = Callable[[Files], None]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Files:
    """The files of a good backup, made once."""
    home = tmp_path_factory.mktemp("good")
    shutil.copy(migrated_sqlite, home / "imagebase.db")
    store = open_store(sqlite_settings(home))
    write_backup(store, full_dataset(store), home / "good.zip")
    store.close()
    with zipfile.ZipFile(home / "good.zip") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def files(good: Files) -> Files:
    """The files of a good backup, for a test to change."""
    return dict(good)


def zipped(files: Files, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def attempt(store: Store, path: Path, limits: Limits = LIMITS) -> str:
    """Return why a backup is refused; nothing of it may be there."""
    with pytest.raises(ImageBaseError) as refused:
        tried(store, path, limits)
    assert isinstance(refused.value, ArchiveError | LimitError)
    assert store.datasets("other") == []
    return str(refused.value)


def tried(store: Store, path: Path, limits: Limits) -> None:
    with Backup(path, limits, file_name="b.zip") as backup:
        backup.check()
        restore(store, Scope("other", new_id(), "zoe"), backup)


def edited(table: str, **values: object) -> Change:
    """Change fields of a table's first row, as a forger would: with all sums right."""

    def change(files: Files) -> None:
        path = f"tables/{table}.jsonl"
        first, *rest = files[path].splitlines(keepends=True)
        row = json.loads(first) | values
        files[path] = json.dumps(row).encode() + b"\n" + b"".join(rest)

    return change


def manifest(**values: object) -> Change:
    def change(files: Files) -> None:
        said = json.loads(files[MANIFEST]) | values
        files[MANIFEST] = json.dumps(said).encode()

    return change


def signed(files: Files) -> None:
    """Write the right sums into the list."""
    said = json.loads(files[MANIFEST])
    said["files"] = {
        name: hashlib.sha256(data).hexdigest()
        for name, data in files.items()
        if name != MANIFEST
    }
    files[MANIFEST] = json.dumps(said).encode()


FOREIGN = "b.zip is not a backup of ImageBase"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda files: files.pop(MANIFEST), FOREIGN),
        (manifest(kind="other"), FOREIGN),
        (lambda files: files.update({MANIFEST: b"nope"}), FOREIGN),
        (manifest(version=4), "made by a newer ImageBase; update this one"),
        (manifest(rows={}), "damaged (backup.json says too little)"),
        (manifest(files=[]), "damaged (backup.json says too little)"),
        (lambda files: files.update({"more.txt": b"x"}), "more.txt is missing or too"),
        (lambda files: files.pop("tables/events.jsonl"), "events.jsonl is missing"),
        (
            edited("labels", colour="#00ff00"),
            "labels.jsonl differs from what was backed up",
        ),
    ],
)
def test_what_is_not_as_it_was_made_is_refused(
    store: Store, files: Files, tmp_path: Path, change: Change, message: str
) -> None:
    change(files)
    assert message in attempt(store, zipped(files, tmp_path / "b.zip"))


def test_file_that_is_no_zip_is_refused(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "b.zip"
    path.write_bytes(b"nope")
    assert attempt(store, path).startswith("b.zip is not a zip file")


@pytest.mark.parametrize("at", [140, -3000], ids=["image", "rows"])
def test_backup_with_a_byte_changed_is_refused(
    store: Store, files: Files, tmp_path: Path, at: int
) -> None:
    path = zipped(files, tmp_path / "b.zip")
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)
    assert attempt(store, path)


def test_backup_that_was_cut_off_is_refused(
    store: Store, files: Files, tmp_path: Path
) -> None:
    path = zipped(files, tmp_path / "b.zip")
    path.write_bytes(path.read_bytes()[:-100])
    assert "is not a zip file, or a broken one" in attempt(store, path)


# A digit more than a likeness has.
QUALITY: dict[str, Any] = {
    "sharpness": 1.0,
    "brightness": 1.0,
    "contrast": 1.0,
    "difference_hash": 17 * "f",
    "warnings": [],
}
STROKE: dict[str, Any] = {"kind": "brush", "points": [[1, 2], [3, 4]], "width": 2}
BOX: dict[str, Any] = {
    "annotation_id": "a",
    "box": [1, 2, 3, 4],
    "label": "z",
    "source": "human",
    "confidence": None,
    "model_id": None,
    "accepted": False,
    "changed_by": "ann",
    "changed_at": "2026-01-01T00:00:00+00:00",
    "position": 0,
    "is_deleted": False,
}


@pytest.mark.parametrize(
    ("table", "values", "message"),
    [
        ("labels", {"position": 3}, "class ids are out of order"),
        ("labels", {"name": " "}, "invalid name"),
        ("labels", {"colour": "red;}"}, "invalid colour"),
        ("labels", {"surplus": 1}, "its fields are not those of the table"),
        ("labels", {"is_hidden": 1}, "is_hidden is neither true nor false"),
        ("label_aliases", {"position": 9}, "unknown label"),
        ("images", {"image_id": "../../etc"}, "invalid id"),
        ("images", {"width": 0}, "invalid size"),
        ("images", {"width": 65}, "another size than it says"),
        ("images", {"byte_count": 1}, "differs from what was backed up"),
        ("images", {"status": "gone"}, "'gone' is not a valid ReviewStatus"),
        ("images", {"tags": "night"}, "invalid tags"),
        ("images", {"tags": ["x" * 201]}, "a tag is too long"),
        ("images", {"file_name": "x" * 4097}, "file_name has more than 4,096 char"),
        ("labels", {"name": "ca\u2028t"}, "invalid name"),
        ("labels", {"name": "x" * 201}, "invalid name"),
        ("labels", {"name": "ca\0t"}, "invalid name"),
        ("images", {"quality": {"sharpness": 1}}, "brightness: Field required"),
        ("images", {"quality": QUALITY}, "invalid difference hash"),
        ("images", {"added_at": "2026-01-01T00:00:00"}, "added_at has no time zone"),
        ("annotations", {"image_id": "0" * 64}, "its image is not in this backup"),
        ("annotations", {"x_min": "1"}, "x_min is not a number"),
        ("annotations", {"x_min": 1e300}, "invalid box"),
        ("annotations", {"x_min": 10**400}, "x_min is not a number"),
        ("annotations", {"label": "other"}, "its label is not in the label list"),
        ("annotations", {"confidence": 2}, "invalid confidence"),
        ("annotations", {"source": "x"}, "'x' is not a valid Source"),
        ("annotations", {"attributes": [1]}, "its attributes are invalid"),
        ("annotations", {"attributes": {"a": {"b": 1}}}, "its attributes are invalid"),
        ("annotations", {"attributes": {"a" * 101: 1}}, "its attributes are invalid"),
        ("comments", {"text": ""}, "invalid text"),
        ("comments", {"marks": [{"kind": "brush"}]}, "it is no shape"),
        ("ignore_areas", {"width": 0}, "invalid size"),
        ("ignore_areas", {"shape": STROKE | {"width": 1e10}}, "a point is no number"),
        ("ignore_areas", {"shape": STROKE | {"width": 10**400}}, "it is no shape"),
        ("doubts", {"reasons": {"missed": {}}}, "missed.part: Field required"),
        ("candidates", {"blob": "AAAA"}, "not candidates of ImageBase"),
        ("candidates", {"blob": "?"}, "blob is not valid base64"),
        ("candidates", {"passes": IMAGE_VECTORS}, "a vector has another length"),
        ("changes", {"state": "x"}, "its state is unknown"),
        ("events", {"change_id": "x"}, "its change is not in this backup"),
        ("events", {"kind": "x"}, "its kind is unknown"),
        ("events", {"after": {"label": "cat"}}, "it cannot be read"),
        ("events", {"kind": "annotation", "after": BOX | {"box": [1]}}, "cannot be"),
        ("events", {"kind": "annotation", "after": BOX | {"label": 1}}, "cannot be"),
        (
            "events",
            {"kind": "annotation", "after": BOX | {"box": [10**400, 2, 3, 4]}},
            "cannot be read",
        ),
        (
            "events",
            {
                "kind": "annotation",
                "before": None,
                "after": BOX | {"attributes": {"a": [1]}},
            },
            "its attributes are invalid",
        ),
        ("events", {"kind": "review", "after": {"status": "new"}}, "cannot be read"),
        ("runs", {"parameters": []}, "invalid parameters"),
        ("taught_models", {"content": "bm9wZQ=="}, "its file is no taught model"),
        ("taught_models", {"labels": ["z"]}, "its labels are not those of its file"),
        ("taught_models", {"sha256": "0" * 64}, "invalid digest"),
        ("taught_models", {"image_count": -1}, "invalid number of images"),
        ("taught_models", {"examples": ["x"]}, "its examples are no images"),
        ("taught_models", {"examples": 7}, "cannot be read"),
    ],
)
def test_row_that_cannot_be_is_refused_with_its_place(
    store: Store,
    files: Files,
    tmp_path: Path,
    table: str,
    values: dict[str, object],
    message: str,
) -> None:
    edited(table, **values)(files)
    signed(files)
    told = attempt(store, zipped(files, tmp_path / "b.zip"))
    assert message in told
    assert told.startswith("b.zip is damaged (")
    assert told.count("\n") == 0


def test_vectors_that_an_earlier_version_wrote_are_taken(
    store: Store, files: Files, tmp_path: Path
) -> None:
    vector = base64.b64encode(bytes(LENGTH)).decode()
    edited("candidates", passes=IMAGE_VECTORS, blob=vector)(files)
    signed(files)
    tried(store, zipped(files, tmp_path / "b.zip"), LIMITS)
    assert len(store.datasets("other")) == 1


def test_labels_of_earlier_versions_are_restored_as_they_were(
    store: Store, files: Files, tmp_path: Path
) -> None:
    """They may hold characters that labels lose since: losing the backup is worse."""
    path = "tables/labels.jsonl"
    name = json.loads(files[path].splitlines()[0])["name"]
    odd = f"{name[0]}\u202e{name[1:]}\u200b"
    for table in [table for table in files if table.endswith(".jsonl")]:
        text = files[table].decode()
        old, new = (f'"{word}"' for word in (name, odd))
        files[table] = text.replace(old, new).encode()
    signed(files)
    tried(store, zipped(files, tmp_path / "b.zip"), LIMITS)
    (info,) = store.datasets("other")
    scope = Scope("other", info.dataset_id, "zoe")
    assert odd in store.labels(scope).names


def test_rows_that_are_there_twice_are_refused(
    store: Store, files: Files, tmp_path: Path
) -> None:
    path = "tables/annotations.jsonl"
    files[path] = files[path].splitlines(keepends=True)[0] + files[path]
    signed(files)
    told = attempt(store, zipped(files, tmp_path / "b.zip"))
    assert "tables/annotations.jsonl, line 2: it is a duplicate" in told


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (replace(LIMITS, max_dataset_images=2), "may have here, 2 images of"),
        (replace(LIMITS, max_dataset_bytes=300), "this backup is larger"),
        (replace(LIMITS, max_labels=2), "at most 2 labels here"),
        (replace(LIMITS, max_image_pixels=100), "megapixels allowed"),
        (replace(LIMITS, max_dataset_bytes=9, max_archive_bytes=9), "of 0 MB in all"),
    ],
)
def test_backup_above_the_limits_is_refused(
    store: Store, files: Files, tmp_path: Path, limits: Limits, message: str
) -> None:
    assert message in attempt(store, zipped(files, tmp_path / "b.zip"), limits)
