"""The tables. Each reaches an owner; nothing in them is SQLite's alone.

A change here needs a migration too, in migrations/versions.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)

from imagebase.store.column_types import BigKey, CleanJson, CleanText, UtcTime

# The migration that the tables below agree with.
SCHEMA_REVISION: Final = "0008"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _text(name: str) -> Column[str]:
    return Column(name, CleanText, nullable=False)


def _dataset() -> Column[str]:
    return Column(
        "dataset_id",
        CleanText,
        ForeignKey("datasets.dataset_id", ondelete="CASCADE"),
        nullable=False,
    )


def _image() -> Column[int]:
    return Column(
        "image_key",
        BigInteger,
        ForeignKey("images.image_key", ondelete="CASCADE"),
        nullable=False,
    )


def _ordered_by(column: str) -> tuple[str, ...]:
    """Return an index's columns that hold a whole order of a dataset's boxes."""
    return ("dataset_id", "is_deleted", column, "image_key", "position")


owners = Table(
    "owners",
    metadata,
    Column("owner_id", CleanText, primary_key=True),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, index=True),
)

# version: grows with whatever changes what an export would hold.
datasets = Table(
    "datasets",
    metadata,
    Column("dataset_id", CleanText, primary_key=True),
    Column(
        "owner_id",
        CleanText,
        ForeignKey("owners.owner_id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    _text("name"),
    Column("created_at", UtcTime, nullable=False),
    _text("created_by"),
    Column("version", BigInteger, nullable=False),
)

# position: the class number, for good. place: where a person wants to see it.
# is_hidden: deleted by a person; the row stays, so that no other number moves.
labels = Table(
    "labels",
    metadata,
    _dataset(),
    Column("position", Integer, nullable=False),
    _text("name"),
    _text("colour"),
    Column("place", Integer, nullable=False),
    Column("is_hidden", Boolean, nullable=False),
    PrimaryKeyConstraint("dataset_id", "position"),
    UniqueConstraint("dataset_id", "name"),
)

# What a label was called before: a record on screen, a model and an old event may
# still speak of that name.
label_aliases = Table(
    "label_aliases",
    metadata,
    _dataset(),
    _text("name"),
    Column("position", Integer, nullable=False),
    PrimaryKeyConstraint("dataset_id", "name"),
)

# label: what a model's label is called in this dataset; None leaves its boxes out.
label_mappings = Table(
    "label_mappings",
    metadata,
    _dataset(),
    _text("model_id"),
    _text("model_label"),
    Column("label", CleanText),
    PrimaryKeyConstraint("dataset_id", "model_id", "model_label"),
)

# confidence: the least that a model's boxes of a label need in this dataset.
label_thresholds = Table(
    "label_thresholds",
    metadata,
    _dataset(),
    _text("model_id"),
    _text("label"),
    Column("confidence", Double, nullable=False),
    _text("who"),
    Column("changed_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("dataset_id", "model_id", "label"),
)

# head: the change whose result the record shows; undo undoes no other.
images = Table(
    "images",
    metadata,
    Column("image_key", BigKey, primary_key=True),
    _dataset(),
    _text("image_id"),
    _text("file_name"),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("byte_count", BigInteger, nullable=False),
    _text("status"),
    _text("comment"),
    Column("tags", CleanJson, nullable=False),
    Column("quality", CleanJson),
    Column("revision", BigInteger, nullable=False),
    _text("head"),
    Column("added_at", UtcTime, nullable=False),
    _text("added_by"),
    UniqueConstraint("dataset_id", "image_id"),
    Index(None, "image_id"),
    Index(None, "dataset_id", "image_key"),
    Index(None, "dataset_id", "status", "image_key"),
)

# position: order on the image, kept for good: undo puts a box back in its place.
# attributes: a JSON object; None where there are none. class_id: the label's position.
annotations = Table(
    "annotations",
    metadata,
    _image(),
    _text("annotation_id"),
    _dataset(),
    Column("position", Integer, nullable=False),
    Column("is_deleted", Boolean, nullable=False),
    Column("x_min", Double, nullable=False),
    Column("y_min", Double, nullable=False),
    Column("x_max", Double, nullable=False),
    Column("y_max", Double, nullable=False),
    _text("source"),
    Column("confidence", Double),
    Column("model_id", CleanText),
    Column("accepted", Boolean, nullable=False),
    _text("changed_by"),
    Column("changed_at", UtcTime, nullable=False),
    Column("attributes", CleanJson),
    Column("class_id", Integer, nullable=False),
    PrimaryKeyConstraint("image_key", "annotation_id"),
    # Covers every column that boxes are filtered by: a filter reads no row.
    Index(
        "ix_annotations_place",
        *("dataset_id", "is_deleted", "image_key", "position", "source", "class_id"),
        *("confidence", "accepted", "changed_by", "changed_at"),
        *("x_min", "y_min", "x_max", "y_max"),
    ),
    Index("ix_annotations_class_id", *_ordered_by("class_id")),
    Index("ix_annotations_confidence", *_ordered_by("confidence")),
    Index("ix_annotations_changed_at", *_ordered_by("changed_at")),
)

# A reviewer's comment on an image; open until someone resolves it.
# made_in, resolved_in: the change that did so, where one did; taken back with it.
# marks: what a reviewer drew on the image; None where nothing was drawn.
comments = Table(
    "comments",
    metadata,
    Column("comment_id", CleanText, primary_key=True),
    _dataset(),
    _image(),
    _text("text"),
    _text("who"),
    Column("created_at", UtcTime, nullable=False),
    Column("made_in", CleanText),
    Column("resolved_by", CleanText),
    Column("resolved_at", UtcTime),
    Column("resolved_in", CleanText),
    Column("marks", CleanJson),
    Index(None, "dataset_id", "resolved_at", "image_key"),
    Index(None, "image_key"),
)

# Parts of images that nobody labels. shape: a JSON object in pixels of the upright
# image. image_key: of one image; None for all images of this width and height.
ignore_areas = Table(
    "ignore_areas",
    metadata,
    _text("area_id"),
    _dataset(),
    Column("image_key", BigInteger, ForeignKey("images.image_key", ondelete="CASCADE")),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("shape", CleanJson, nullable=False),
    _text("who"),
    Column("created_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("dataset_id", "area_id"),
    Index(None, "image_key"),
)

# How much an image needs review, and why; true of one revision of it.
doubts = Table(
    "doubts",
    metadata,
    _image(),
    _dataset(),
    Column("score", Double, nullable=False),
    Column("reasons", CleanJson, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("computed_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("image_key"),
    Index(None, "dataset_id", "score", "image_key"),
)

# Descriptors of boxes, for finding similar ones; true of one place on the image.
looks = Table(
    "looks",
    metadata,
    _image(),
    _text("annotation_id"),
    _dataset(),
    Column("x_min", Double, nullable=False),
    Column("y_min", Double, nullable=False),
    Column("x_max", Double, nullable=False),
    Column("y_max", Double, nullable=False),
    Column("descriptor", LargeBinary, nullable=False),
    PrimaryKeyConstraint("image_key", "annotation_id"),
    Index(None, "dataset_id"),
)

# kind: edit, undo or redo. state: done, undone, or dropped (neither any more).
changes = Table(
    "changes",
    metadata,
    Column("change_key", BigKey, primary_key=True),
    _dataset(),
    _text("change_id"),
    _text("who"),
    _text("kind"),
    _text("state"),
    Column("created_at", UtcTime, nullable=False),
    UniqueConstraint("dataset_id", "change_id"),
    Index(None, "dataset_id", "who", "kind", "state", "change_key"),
)

# kind: annotation or review. head_before: the image's head before the event.
events = Table(
    "events",
    metadata,
    Column("event_id", BigKey, primary_key=True),
    Column(
        "change_key",
        BigInteger,
        ForeignKey("changes.change_key", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    _dataset(),
    _text("image_id"),
    _text("kind"),
    Column("annotation_id", CleanText),
    Column("before", CleanJson),
    Column("after", CleanJson),
    _text("head_before"),
    Column("revision", BigInteger, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Index(None, "dataset_id", "image_id", "event_id"),
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", CleanText, primary_key=True),
    _dataset(),
    _text("who"),
    _text("model_id"),
    Column("parameters", CleanJson, nullable=False),
    Column("result", CleanJson),
    Column("started_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime),
    Index(None, "dataset_id", "started_at"),
)

candidates = Table(
    "candidates",
    metadata,
    _image(),
    _text("model_sha256"),
    Column("input_size", Integer, nullable=False),
    _text("precision"),
    _text("passes"),
    Column("blob", LargeBinary, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    PrimaryKeyConstraint(
        "image_key", "model_sha256", "input_size", "precision", "passes"
    ),
    # What a model has been run on, and when: no blob is read for it.
    Index(
        "ix_candidates_answers",
        *("model_sha256", "input_size", "precision", "passes"),
        *("image_key", "created_at"),
    ),
)

# The model that a dataset teaches by examples. labels, examples: lists, of names and of
# image ids. content: its file, of less than a megabyte.
taught_models = Table(
    "taught_models",
    metadata,
    _dataset(),
    Column("labels", CleanJson, nullable=False),
    Column("examples", CleanJson, nullable=False),
    Column("image_count", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
    _text("sha256"),
    _text("who"),
    Column("taught_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("dataset_id"),
)

# Whether a dataset learns while people label, and the training runs that it started.
# Without a row it learns.
learning = Table(
    "learning",
    metadata,
    _dataset(),
    _text("state"),
    Column("runs", CleanJson, nullable=False),
    PrimaryKeyConstraint("dataset_id"),
)

# rate_from_*: where this attempt's progress began; the rate is measured from there.
# restarts: how often it was queued again because its process had died; None for 0.
jobs = Table(
    "jobs",
    metadata,
    Column("job_id", CleanText, primary_key=True),
    _dataset(),
    _text("who"),
    _text("kind"),
    _text("state"),
    Column("parameters", CleanJson, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    _text("message"),
    Column("result", CleanJson),
    Column("error", CleanText),
    Column("cancel_requested", Boolean, nullable=False),
    Column("worker", CleanText),
    Column("claim_id", CleanText),
    Column("lease_until", UtcTime),
    Column("heartbeat_at", UtcTime),
    Column("rate_from_done", BigInteger),
    Column("rate_from_at", UtcTime),
    Column("progress_at", UtcTime),
    Column("created_at", UtcTime, nullable=False),
    Column("started_at", UtcTime),
    Column("finished_at", UtcTime),
    Column("restarts", Integer),
    Index(None, "dataset_id", "created_at"),
    Index(None, "state", "created_at"),
)
