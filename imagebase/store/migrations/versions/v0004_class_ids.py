"""Boxes hold the class id of their label, not its name."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    _add_unlisted_labels()
    op.drop_index("ix_annotations_label", table_name="annotations")
    op.drop_index("ix_annotations_place", table_name="annotations")
    op.add_column("annotations", sa.Column("class_id", sa.Integer(), nullable=True))
    op.execute(
        "UPDATE annotations SET class_id = (SELECT labels.position FROM labels "
        "WHERE labels.dataset_id = annotations.dataset_id "
        "AND labels.name = annotations.label)"
    )
    with op.batch_alter_table("annotations") as table:
        table.alter_column("class_id", existing_type=sa.Integer(), nullable=False)
        table.drop_column("label")
    _create_indexes()


def _add_unlisted_labels() -> None:
    """Give names that only boxes have a place after the labels, hidden if marks alone.

    Nothing writes such a box; a database that has one all the same must open.
    """
    unlisted = (
        "SELECT annotations.dataset_id AS dataset_id, annotations.label AS name, "
        "MIN(CASE WHEN annotations.is_deleted THEN 1 ELSE 0 END) AS is_hidden "
        "FROM annotations LEFT JOIN labels "
        "ON labels.dataset_id = annotations.dataset_id "
        "AND labels.name = annotations.label "
        "WHERE labels.name IS NULL GROUP BY annotations.dataset_id, annotations.label"
    )
    number = (
        "(SELECT COUNT(*) FROM labels WHERE labels.dataset_id = unlisted.dataset_id) "
        "+ ROW_NUMBER() OVER (PARTITION BY dataset_id ORDER BY name) - 1"
    )
    op.execute(
        "INSERT INTO labels (dataset_id, position, name, colour, place, is_hidden) "
        f"SELECT dataset_id, {number}, name, '#999999', {number}, is_hidden = 1 "
        f"FROM ({unlisted}) AS unlisted"
    )


def _create_indexes() -> None:
    op.create_index(
        "ix_annotations_class_id",
        "annotations",
        ["dataset_id", "is_deleted", "class_id", "image_key", "position"],
    )
    op.create_index(
        "ix_annotations_place",
        "annotations",
        [
            *("dataset_id", "is_deleted", "image_key", "position"),
            *("source", "class_id", "confidence", "accepted", "changed_by"),
            *("changed_at", "x_min", "y_min", "x_max", "y_max"),
        ],
    )
