"""Details of a job run: its due time, reason of failure, changes, host, and the time of its alert."""

import sqlalchemy as sa
from alembic import op

from db.column_types import Instant

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    for column in (
        sa.Column("due", Instant),
        sa.Column("reason", sa.VARCHAR(50)),
        sa.Column("rows_before", sa.Integer),
        sa.Column("added", sa.Integer),
        sa.Column("removed", sa.Integer),
        sa.Column("changed", sa.Integer),
        sa.Column("host", sa.VARCHAR(255)),
        sa.Column("alerted", Instant),
    ):
        op.add_column("ocms_job_run", column)
