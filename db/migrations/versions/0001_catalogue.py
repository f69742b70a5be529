"""The catalogue as it began: tasks, revisions, due times, runs, logs, audit, workers."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    raise NotImplementedError("The first migration cannot be taken back. Drop the database instead.")
