"""An index that answers what a model has been run on, and when, without the blobs."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_index(
        "ix_candidates_answers",
        "candidates",
        [
            *("model_sha256", "input_size", "precision", "passes"),
            *("image_key", "created_at"),
        ],
    )
