"""Attributes of boxes, marks of reviewers, areas to ignore, and names of states."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    for table, column in (("annotations", "attributes"), ("comments", "marks")):
        op.add_column(table, sa.Column(column, sa.JSON(), nullable=True))
    _create_ignore_areas()
    _rename_status()


def _rename_status() -> None:
    op.execute("UPDATE images SET status = 'suggested' WHERE status = 'auto'")
    # Quotes inside a text of JSON are escaped: only the key itself reads like this.
    old, new = '"status": "auto"', '"status": "suggested"'
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for column in ("before", "after"):
        renamed = f"REPLACE(CAST({column} AS TEXT), '{old}', '{new}')"
        kept = renamed if is_sqlite else f"CAST({renamed} AS JSON)"
        statement = f"UPDATE events SET {column} = {kept} WHERE kind = 'review'"
        op.execute(sa.text(statement.replace(":", "\\:")))


def _create_ignore_areas() -> None:
    op.create_table(
        "ignore_areas",
        sa.Column("area_id", sa.Text(), nullable=False),
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("image_key", sa.BigInteger(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("shape", sa.JSON(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["datasets.dataset_id"],
            name="fk_ignore_areas_dataset_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["image_key"],
            ["images.image_key"],
            name="fk_ignore_areas_image_key",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dataset_id", "area_id", name="pk_ignore_areas"),
    )
    op.create_index("ix_ignore_areas_image_key", "ignore_areas", ["image_key"])
