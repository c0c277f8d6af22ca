"""How often a job was continued after the process that ran it had died."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("restarts", sa.Integer(), nullable=True))
