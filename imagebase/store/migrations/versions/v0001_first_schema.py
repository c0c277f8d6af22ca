"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# SQLite numbers rows by itself only where the key is declared INTEGER.
BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _create_datasets()
    _create_images()
    _create_annotations()
    _create_changes()
    _create_work()
    _create_jobs()


def _create_datasets() -> None:
    op.create_table(
        "owners",
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("owner_id", name="pk_owners"),
    )
    op.create_index("ix_owners_expires_at", "owners", ["expires_at"])
    op.create_table(
        "datasets",
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["owner_id"],
            ["owners.owner_id"],
            name="fk_datasets_owner_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dataset_id", name="pk_datasets"),
    )
    op.create_index("ix_datasets_owner_id", "datasets", ["owner_id"])
    op.create_table(
        "labels",
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("colour", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["datasets.dataset_id"],
            name="fk_labels_dataset_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dataset_id", "position", name="pk_labels"),
        sa.UniqueConstraint("dataset_id", "name", name="uq_labels_dataset_id_name"),
    )


def _create_images() -> None:
    op.create_table(
        "images",
        sa.Column("image_key", BIG_KEY, nullable=False),
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("image_id", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("byte_count", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("quality", sa.JSON(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("head", sa.Text(), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["datasets.dataset_id"],
            name="fk_images_dataset_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("image_key", name="pk_images"),
        sa.UniqueConstraint(
            "dataset_id", "image_id", name="uq_images_dataset_id_image_id"
        ),
    )
    op.create_index(
        "ix_images_dataset_id_image_key", "images", ["dataset_id", "image_key"]
    )
    op.create_index(
        "ix_images_dataset_id_status_image_key",
        "images",
        ["dataset_id", "status", "image_key"],
    )
    op.create_index("ix_images_image_id", "images", ["image_id"])


def _create_annotations() -> None:
    op.create_table(
        "annotations",
        sa.Column("image_key", sa.BigInteger(), nullable=False),
        sa.Column("annotation_id", sa.Text(), nullable=False),
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("is_deleted", sa.Boolean(), nullable=False),
        sa.Column("x_min", sa.Double(), nullable=False),
        sa.Column("y_min", sa.Double(), nullable=False),
        sa.Column("x_max", sa.Double(), nullable=False),
        sa.Column("y_max", sa.Double(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=True),
        sa.Column("model_id", sa.Text(), nullable=True),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["datasets.dataset_id"],
            name="fk_annotations_dataset_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["image_key"],
            ["images.image_key"],
            name="fk_annotations_image_key",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("image_key", "annotation_id", name="pk_annotations"),
    )
    op.create_index(
        "ix_annotations_confidence",
        "annotations",
        ["dataset_id", "is_deleted", "confidence", "image_key", "position"],
    )
    op.create_index(
        "ix_annotations_changed_at",
        "annotations",
        ["dataset_id", "is_deleted", "changed_at", "image_key", "position"],
    )
    op.create_index(
        "ix_annotations_place",
        "annotations",
        ["dataset_id", "is_deleted", "image_key", "position", "source"],
    )
    op.create_index(
        "ix_annotations_label",
        "annotations",
        ["dataset_id", "is_deleted", "label", "image_key", "position"],
    )


def _create_changes() -> None:
    op.create_table(
        "changes",
        sa.Column("change_key", BIG_KEY, nullable=False),
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("change_id", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["datasets.dataset_id"],
            name="fk_changes_dataset_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("change_key", name="pk_changes"),
        sa.UniqueConstraint(
            "dataset_id", "change_id", name="uq_changes_dataset_id_change_id"
        ),
    )
    op.create_index(
        "ix_changes_dataset_id_who_kind_state_change_key",
        "changes",
        ["dataset_id", "who", "kind", "state", "change_key"],
    )
    op.create_table(
        "events",
        sa.Column("event_id", BIG_KEY, nullable=False),
        sa.Column("change_key", sa.BigInteger(), nullable=False),
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("image_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("annotation_id", sa.Text(), nullable=True),
        sa.Column("before", sa.JSON(), nullable=True),
        sa.Column("after", sa.JSON(), nullable=True),
        sa.Column("head_before", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["change_key"],
            ["changes.change_key"],
            name="fk_events_change_key",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["datasets.dataset_id"],
            name="fk_events_dataset_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("event_id", name="pk_events"),
    )
    op.create_index("ix_events_change_key", "events", ["change_key"])
    op.create_index(
        "ix_events_dataset_id_image_id_event_id",
        "events",
        ["dataset_id", "image_id", "event_id"],
    )


def _create_work() -> None:
    op.create_table(
        "runs",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["datasets.dataset_id"],
            name="fk_runs_dataset_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", name="pk_runs"),
    )
    op.create_index(
        "ix_runs_dataset_id_started_at", "runs", ["dataset_id", "started_at"]
    )
    op.create_table(
        "candidates",
        sa.Column("image_key", sa.BigInteger(), nullable=False),
        sa.Column("model_sha256", sa.Text(), nullable=False),
        sa.Column("input_size", sa.Integer(), nullable=False),
        sa.Column("precision", sa.Text(), nullable=False),
        sa.Column("passes", sa.Text(), nullable=False),
        sa.Column("blob", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_key"],
            ["images.image_key"],
            name="fk_candidates_image_key",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "image_key",
            "model_sha256",
            "input_size",
            "precision",
            "passes",
            name="pk_candidates",
        ),
    )


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("claim_id", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rate_from_done", sa.BigInteger(), nullable=True),
        sa.Column("rate_from_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("progress_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["datasets.dataset_id"],
            name="fk_jobs_dataset_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("job_id", name="pk_jobs"),
    )
    op.create_index(
        "ix_jobs_dataset_id_created_at", "jobs", ["dataset_id", "created_at"]
    )
    op.create_index("ix_jobs_state_created_at", "jobs", ["state", "created_at"])
