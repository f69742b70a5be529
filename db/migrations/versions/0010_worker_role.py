"""What workers need no rights of their own for: events by the tables' triggers, housekeeping by the reconciler."""

from pathlib import Path

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    raise NotImplementedError("A catalogue goes forward only. Restore a backup instead.")
