"""Labels that can be managed, comments with a state, doubts and looks."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    _give_labels_a_place()
    _create_label_tables()
    _create_comments()
    _keep_rejections_as_comments()
    _create_doubts()
    _create_looks()
    _widen_place_index()


def _give_labels_a_place() -> None:
    with op.batch_alter_table("labels") as table:
        table.add_column(sa.Column("place", sa.Integer(), nullable=True))
        table.add_column(sa.Column("is_hidden", sa.Boolean(), nullable=True))
    op.execute("UPDATE labels SET place = position, is_hidden = FALSE")
    with op.batch_alter_table("labels") as table:
        table.alter_column("place", existing_type=sa.Integer(), nullable=False)
        table.alter_column("is_hidden", existing_type=sa.Boolean(), nullable=False)


def _dataset_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["dataset_id"],
        ["datasets.dataset_id"],
        name=f"fk_{table}_dataset_id",
        ondelete="CASCADE",
    )


def _image_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["image_key"],
        ["images.image_key"],
        name=f"fk_{table}_image_key",
        ondelete="CASCADE",
    )


def _create_label_tables() -> None:
    op.create_table(
        "label_aliases",
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        _dataset_key("label_aliases"),
        sa.PrimaryKeyConstraint("dataset_id", "name", name="pk_label_aliases"),
    )
    op.create_table(
        "label_mappings",
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("model_label", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=True),
        _dataset_key("label_mappings"),
        sa.PrimaryKeyConstraint(
            "dataset_id", "model_id", "model_label", name="pk_label_mappings"
        ),
    )
    op.create_table(
        "label_thresholds",
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        _dataset_key("label_thresholds"),
        sa.PrimaryKeyConstraint(
            "dataset_id", "model_id", "label", name="pk_label_thresholds"
        ),
    )


def _create_comments() -> None:
    op.create_table(
        "comments",
        sa.Column("comment_id", sa.Text(), nullable=False),
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("image_key", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("made_in", sa.Text(), nullable=True),
        sa.Column("resolved_by", sa.Text(), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolved_in", sa.Text(), nullable=True),
        _dataset_key("comments"),
        _image_key("comments"),
        sa.PrimaryKeyConstraint("comment_id", name="pk_comments"),
    )
    op.create_index(
        "ix_comments_dataset_id_resolved_at_image_key",
        "comments",
        ["dataset_id", "resolved_at", "image_key"],
    )
    op.create_index("ix_comments_image_key", "comments", ["image_key"])


def _keep_rejections_as_comments() -> None:
    """Comments of a rejection from before they had a table of their own stay."""
    op.execute(
        "INSERT INTO comments "
        "(comment_id, dataset_id, image_key, text, who, created_at, made_in) "
        "SELECT 'rejection-' || CAST(image_key AS TEXT), dataset_id, image_key, "
        "comment, '', added_at, head "
        "FROM images WHERE status = 'rejected' AND comment <> ''"
    )


def _create_doubts() -> None:
    op.create_table(
        "doubts",
        sa.Column("image_key", sa.BigInteger(), nullable=False),
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("computed_at", sa.DateTime(timezone=True), nullable=False),
        _dataset_key("doubts"),
        _image_key("doubts"),
        sa.PrimaryKeyConstraint("image_key", name="pk_doubts"),
    )
    op.create_index(
        "ix_doubts_dataset_id_score_image_key",
        "doubts",
        ["dataset_id", "score", "image_key"],
    )


def _create_looks() -> None:
    op.create_table(
        "looks",
        sa.Column("image_key", sa.BigInteger(), nullable=False),
        sa.Column("annotation_id", sa.Text(), nullable=False),
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("x_min", sa.Double(), nullable=False),
        sa.Column("y_min", sa.Double(), nullable=False),
        sa.Column("x_max", sa.Double(), nullable=False),
        sa.Column("y_max", sa.Double(), nullable=False),
        sa.Column("descriptor", sa.LargeBinary(), nullable=False),
        _dataset_key("looks"),
        _image_key("looks"),
        sa.PrimaryKeyConstraint("image_key", "annotation_id", name="pk_looks"),
    )
    op.create_index("ix_looks_dataset_id", "looks", ["dataset_id"])


def _widen_place_index() -> None:
    op.drop_index("ix_annotations_place", table_name="annotations")
    op.create_index(
        "ix_annotations_place",
        "annotations",
        [
            *("dataset_id", "is_deleted", "image_key", "position", "source", "label"),
            *("confidence", "accepted", "changed_by", "changed_at"),
            *("x_min", "y_min", "x_max", "y_max"),
        ],
    )
