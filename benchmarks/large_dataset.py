"""A dataset of many images and boxes, made from the sample photographs.

Every copy differs in its last bytes, so that it is an image of its own; the boxes are
what the default model finds on the photograph, the weakest included. A person has seen
to a fifth of the images, so that there are approvals, corrections and their events.

The first thousand images are made as the app makes them. More are copies of their rows,
with ids of their own: a tenth of the time, and the same rows.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, Table, func, insert, select, update

from imagebase.annotation import Annotation, Box, ImageRecord, ReviewStatus, Size
from imagebase.detection.candidates import Candidates, pack
from imagebase.detection.candidates import select as select_boxes
from imagebase.detection.detector import Detector
from imagebase.detection.factory import ModelConfig, configured_detector
from imagebase.detection.selection_rule import as_annotations
from imagebase.editing.records import approve, delete_annotations, move, reject, relabel
from imagebase.images.decode import encode_jpeg, load_image, resized
from imagebase.images.quality import assess
from imagebase.jobs.inference import candidates_key
from imagebase.jobs.scoring import model_in_use, score_images
from imagebase.learning.image_vectors import make_vectors
from imagebase.settings import DEFAULT_MODEL, SAMPLES_FOLDER
from imagebase.store import JobState, Scope, Store
from imagebase.store.candidates import IMAGE_VECTORS
from imagebase.store.scope import chunks
from imagebase.store.tables import (
    annotations,
    candidates,
    changes,
    comments,
    datasets,
    doubts,
    events,
    images,
)

WHO: Final = "Ada"
_BATCH: Final = 50
_FLOOR: Final = 0.01
_NMS: Final = 0.45
_MAX_PIXELS: Final = 50_000_000
_SEED: Final = 1_000
# Of twenty images, the one whose boxes nobody has saved.
_NEW: Final = 7


@dataclass(frozen=True, slots=True)
class Photograph:
    """A sample with what is the same on all its copies."""

    path: Path
    data: bytes
    record: ImageRecord
    candidates: Candidates
    boxes: tuple[Annotation, ...]


def make_dataset(
    store: Store,
    owner_id: str,
    *,
    images: int,
    boxes_per_image: int,
    longest_side: int | None = None,
) -> Scope:
    """Return a new dataset with so many images, most of them to be reviewed.

    longest_side: of the images, in pixels; None takes the photographs as they are.
    """
    created = store.create_dataset(owner_id, "Large", who=WHO)
    scope = Scope(owner_id, created.dataset_id, WHO)
    setup = ModelConfig((DEFAULT_MODEL,))
    detector = configured_detector(setup, owner_id=owner_id)
    samples = [
        _photograph(path, detector, boxes_per_image, longest_side)
        for path in sorted(SAMPLES_FOLDER.glob("*.jpg"))
    ]
    store.add_labels(scope, detector.labels)
    for numbers in chunks(range(min(images, _SEED)), size=_BATCH):
        added = [_add(store, scope, samples[n % len(samples)], n) for n in numbers]
        blobs = {record.image_id: pack(like.candidates) for record, like in added}
        store.put_many(scope, candidates_key(detector), blobs)
        pairs = zip(numbers, added, strict=True)
        seen = {n: _with_boxes(*pair) for n, pair in pairs if n % 20 != _NEW}
        boxed = store.save_many(scope, seen.values()).saved
        _correct(store, scope, zip(seen, boxed, strict=True))
    _note_run(store, scope, setup.parameters(), images)
    everything = store.image_ids(scope)
    make_vectors(store, scope, everything, max_pixels=_MAX_PIXELS)
    score_images(store, scope, everything, model_in_use(store, scope))
    for first in range(_SEED, images, _SEED):
        _copy(store, scope, samples, first, min(_SEED, images - first))
    _analyse(store)
    return scope


def _photograph(
    path: Path, detector: Detector, boxes: int, longest_side: int | None
) -> Photograph:
    data = path.read_bytes()
    if longest_side is not None:
        data = _smaller(data, longest_side)
    image = load_image(data, file_name=path.name, max_pixels=_MAX_PIXELS)
    candidates = detector.candidates(image.rgb, size=image.size)
    found = select_boxes(candidates, confidence_threshold=_FLOOR, nms_threshold=_NMS)
    kept = as_annotations(
        found, model_labels=detector.labels, model_id=detector.model_id
    )
    record = ImageRecord("", path.name, image.size, quality=assess(image))
    return Photograph(path, data, record, candidates, tuple(kept[:boxes]))


def _smaller(data: bytes, longest_side: int) -> bytes:
    """Return a photograph as a JPEG of about 12 kB, so that many fit on the disk."""
    image = load_image(data, file_name="sample", max_pixels=_MAX_PIXELS)
    share = longest_side / max(image.size)
    width, height = (round(side * share) for side in image.size)
    return encode_jpeg(resized(image.rgb, Size(width, height)), quality=40)


def _note_run(
    store: Store, scope: Scope, parameters: Mapping[str, Any], count: int
) -> None:
    """Leave the job behind that found these boxes, as a run on Annotate does."""
    wanted = {**parameters, "statuses": [str(status) for status in ReviewStatus]}
    store.submit_job(scope, "annotate", wanted)
    job = store.claim_job("benchmark", ["annotate"])
    assert job is not None
    result = {"images": count, "refused": [], "seconds": count / 50}
    store.end_job(job.claim_id, JobState.DONE, result=result)


def _copy(
    store: Store, scope: Scope, samples: list[Photograph], first: int, count: int
) -> None:
    """Copy the rows of the first images to as many new ones, and write their files."""
    with store._database.write() as connection:
        seed = connection.execute(
            select(images)
            .where(images.c.dataset_id == scope.dataset_id)
            .order_by(images.c.image_key)
            .limit(count)
        ).all()
        keys = [row.image_key for row in seed]
        shift = (connection.scalar(select(func.max(images.c.image_key))) or 0) + 1
        shift -= keys[0]
        data = [
            samples[n % len(samples)].data + n.to_bytes(4, "big")
            for n in range(first, first + count)
        ]
        ids = {
            row.image_id: hashlib.sha256(content).hexdigest()
            for row, content in zip(seed, data, strict=True)
        }
        for name, content in zip(ids.values(), data, strict=True):
            _write_file(store, scope, name, content)
        _copy_rows(connection, scope, _Renaming(ids, keys, shift, first))
        connection.execute(
            update(datasets)
            .where(datasets.c.dataset_id == scope.dataset_id)
            .values(version=datasets.c.version + 1)
        )


def _write_file(store: Store, scope: Scope, image_id: str, content: bytes) -> None:
    # Not by the store, which waits for the disk with each of them.
    path = Path(store._files._path(scope.owner_id, image_id))
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(content)


@dataclass(frozen=True, slots=True)
class _Renaming:
    """What is new about copied rows: ids of images, and numbers shifted by a step."""

    image_ids: Mapping[str, str]
    keys: list[int]
    shift: int
    number: int

    def name(self, name: str | None) -> str | None:
        """Return an id of 32 digits as the copy has it."""
        return name and f"{name[:-6]}{self.number:06}"

    def image(self, row: dict[str, Any]) -> dict[str, Any]:
        folder, _, stem = row["file_name"].partition("/")
        own = f"{folder}/{stem.rsplit('-', 1)[0]}-{row['image_key'] + self.shift:06}"
        image_id = self.image_ids[row["image_id"]]
        quality = row["quality"]
        if row["image_key"] % 50:  # the others are near-duplicates
            quality = {**quality, "difference_hash": image_id[:16]}
        return {
            **row,
            "image_id": image_id,
            "quality": quality,
            "file_name": f"{own}.jpg",
            "head": self.name(row["head"]),
        }

    def part(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the copy of a row that is about one image, or of a change."""
        names = ("annotation_id", "comment_id", "change_id", "made_in", "resolved_in")
        if row.get("passes") == IMAGE_VECTORS and row["image_key"] % 50:
            row = {**row, "blob": _unlike(row["blob"], self.number + row["image_key"])}
        return row | {name: self.name(row[name]) for name in names if name in row}

    def event(self, row: dict[str, Any]) -> dict[str, Any]:
        own = self.part(row)
        del own["event_id"]
        for state in ("before", "after"):
            if row["annotation_id"] and row[state]:
                own[state] = {**row[state], "annotation_id": own["annotation_id"]}
        return {
            **own,
            "image_id": self.image_ids[row["image_id"]],
            "head_before": self.name(row["head_before"]),
        }


def _unlike(vector: bytes, seed: int) -> bytes:
    """Return the vector of another image, which is somewhat like the first one."""
    values = np.frombuffer(vector, np.int8).astype(np.float32)
    noise = np.random.default_rng(seed).normal(size=values.shape)
    mixed = values / np.linalg.norm(values) + noise / np.linalg.norm(noise)
    steps = np.round(mixed * (127 / np.abs(mixed).max())).astype(np.int8)
    return bytes(steps.tobytes())


def _copy_rows(connection: Connection, scope: Scope, to: _Renaming) -> None:
    _insert(connection, images, _seed_rows(connection, images, to), to.image, to.shift)
    for table in (annotations, candidates, doubts, comments):
        rows = _seed_rows(connection, table, to)
        _insert(connection, table, rows, to.part, to.shift)
    mine = select(events).where(
        events.c.dataset_id == scope.dataset_id, events.c.image_id.in_(to.image_ids)
    )
    told = [dict(row._mapping) for row in connection.execute(mine)]
    keys = sorted({row["change_key"] for row in told})
    newest = connection.scalar(select(func.max(changes.c.change_key))) or 0
    shift = newest + 1 - keys[0]
    made = connection.execute(select(changes).where(changes.c.change_key.in_(keys)))
    done = [dict(row._mapping) for row in made]
    _insert(connection, changes, done, to.part, shift)
    _insert(connection, events, told, to.event, shift)


def _seed_rows(
    connection: Connection, table: Table, to: _Renaming
) -> list[dict[str, Any]]:
    own = select(table).where(table.c.image_key.between(to.keys[0], to.keys[-1]))
    return [dict(row._mapping) for row in connection.execute(own)]


def _insert(
    connection: Connection,
    table: Table,
    rows: Iterable[dict[str, Any]],
    own: Callable[[dict[str, Any]], dict[str, Any]],
    shift: int,
) -> None:
    key = "change_key" if table in (changes, events) else "image_key"
    for chunk in chunks(rows, size=2_000):
        copied = [own(row) | {key: row[key] + shift} for row in chunk]
        connection.execute(insert(table), copied)


def _analyse(store: Store) -> None:
    """Let PostgreSQL number on from the copies, and count its rows as it does later."""
    with store._database.write() as connection:
        if connection.dialect.name != "postgresql":
            return
        for table, key in (("images", "image_key"), ("changes", "change_key")):
            sequence = f"pg_get_serial_sequence('{table}', '{key}')"
            newest = f"SELECT max({key}) FROM {table}"
            connection.exec_driver_sql(f"SELECT setval({sequence}, ({newest}))")
        connection.exec_driver_sql("ANALYZE")


def _add(
    store: Store, scope: Scope, like: Photograph, number: int
) -> tuple[ImageRecord, Photograph]:
    added = store.add_image(
        scope,
        like.data + number.to_bytes(4, "big"),
        file_name=f"{number % 20:02}/{like.path.stem}-{number:05}.jpg",
        size=like.record.size,
        quality=like.record.quality,
    )
    return added.record, like


def _with_boxes(record: ImageRecord, like: Photograph) -> ImageRecord:
    # With ids of their own: an annotation belongs to one image.
    own = tuple(
        Annotation(
            box.box,
            box.label,
            source=box.source,
            confidence=box.confidence,
            model_id=box.model_id,
            changed_by=box.changed_by,
        )
        for box in like.boxes
    )
    return replace(record, annotations=own, status=ReviewStatus.SUGGESTED)


def _correct(
    store: Store, scope: Scope, numbered: Iterable[tuple[int, ImageRecord]]
) -> None:
    """Do to every fifth image what a person would, and send a few of them back."""
    changed = []
    for number, record in numbered:
        if number % 5 or len(record.annotations) < 3:
            continue
        first, second, third = (
            annotation.annotation_id for annotation in record.annotations[:3]
        )
        after = delete_annotations(record, {third})
        after = replace(after, tags=("outside",) if number % 15 else ("street",))
        after = relabel(after, {second}, "chair", who=WHO)
        if number % 10:
            box = record.annotation(first).box
            after = move(after, first, _shrunk(box), who=WHO)
        is_wrong = number % 100 == 0
        changed.append(
            reject(after, comment="The wheel is cut off.")
            if is_wrong
            else approve(after, who=WHO)
        )
    store.save_many(scope, changed)


def _shrunk(box: Box) -> Box:
    """Return a box a tenth smaller on the right and below."""
    return box._replace(
        x_max=box.x_max - box.width / 10, y_max=box.y_max - box.height / 10
    )
