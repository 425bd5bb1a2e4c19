"""The five tables of this service and, on SQLite only, the two existing OCMS tables."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from db.column_types import Instant, Key, Money

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _audit() -> list[sa.Column[Any]]:
    return [
        sa.Column("cre_date", Instant, nullable=False),
        sa.Column("cre_user_id", sa.VARCHAR(50), nullable=False),
        sa.Column("upd_date", Instant),
        sa.Column("upd_user_id", sa.VARCHAR(50)),
    ]


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "ocms_vip_vehicle",
        sa.Column("vip_vehicle", Key(255), primary_key=True),
        sa.Column("vehicle_no", sa.VARCHAR(50), nullable=False),
        sa.Column("description", sa.VARCHAR(255)),
        sa.Column("status", sa.VARCHAR(50), nullable=False),
        *_audit(),
    )
    op.create_table(
        "ocms_cas_emcons",
        sa.Column("notice_no", Key(50), primary_key=True),
        sa.Column("emcons_flag", sa.VARCHAR(50)),
        *_audit(),
    )
    op.create_table(
        "ocms_court_case",
        sa.Column("notice_no", Key(50), primary_key=True),
        sa.Column("court_payment_due_date", Instant),
        *_audit(),
    )
    op.create_table(
        "ocms_dayend",
        sa.Column("business_date", sa.DATE, primary_key=True),
        sa.Column("dayend_flag", sa.CHAR(1), sa.CheckConstraint("dayend_flag IN ('Y', 'N')"), nullable=False),
    )
    op.create_table(
        "ocms_job_run",
        sa.Column("run_id", sa.Integer, primary_key=True),
        sa.Column("job", sa.VARCHAR(50), nullable=False),
        sa.Column("started", Instant, nullable=False),
        sa.Column("finished", Instant),
        sa.Column("outcome", sa.VARCHAR(20), nullable=False),
        sa.Column("rows", sa.Integer),
        sa.Column("detail", sa.VARCHAR(500)),
    )
    if op.get_context().dialect.name == "sqlite":  # in production these two tables exist already
        op.create_table(
            "ocms_valid_offence_notice",
            sa.Column("notice_no", sa.VARCHAR(50), primary_key=True),
            sa.Column("last_processing_stage", sa.VARCHAR(50)),
            sa.Column("last_processing_date", Instant),
            sa.Column("next_processing_stage", sa.VARCHAR(50)),
            sa.Column("suspension_type", sa.VARCHAR(50)),
            sa.Column("crs_reason_of_suspension", sa.VARCHAR(50)),
            sa.Column("epr_reason_of_suspension", sa.VARCHAR(50)),
            sa.Column("payment_status", sa.VARCHAR(50)),
            sa.Column("amount_payable", Money),
            sa.Column("amount_paid", Money),
            sa.Column("atoms_flag", sa.VARCHAR(50)),
            *_audit(),
        )
        op.create_table(
            "ocms_offence_notice_detail",
            sa.Column("notice_no", sa.VARCHAR(50), primary_key=True),
            sa.Column("emcons_flag", sa.VARCHAR(50)),
            sa.Column("payment_allowance_flag", sa.VARCHAR(50)),
            sa.Column("last_eburar_update", sa.VARCHAR(50)),
            sa.Column("court_payment_due_date", Instant),
            *_audit(),
        )
