"""The tables: those of section 3 of the source document, our own, and the two existing OCMS tables."""

from typing import Any

from sqlalchemy import CHAR, DATE, VARCHAR, CheckConstraint, Column, Integer, MetaData, Table

from db.column_types import Instant, Key, Money

metadata = MetaData()


def _audit() -> list[Column[Any]]:
    return [
        Column("cre_date", Instant, nullable=False),
        Column("cre_user_id", VARCHAR(50), nullable=False),
        Column("upd_date", Instant),
        Column("upd_user_id", VARCHAR(50)),
    ]


valid_offence_notice = Table(
    "ocms_valid_offence_notice",
    metadata,
    Column("notice_no", VARCHAR(50), primary_key=True),
    Column("last_processing_stage", VARCHAR(50)),
    Column("last_processing_date", Instant),
    Column("next_processing_stage", VARCHAR(50)),
    Column("suspension_type", VARCHAR(50)),
    Column("crs_reason_of_suspension", VARCHAR(50)),
    Column("epr_reason_of_suspension", VARCHAR(50)),
    Column("payment_status", VARCHAR(50)),
    Column("amount_payable", Money),
    Column("amount_paid", Money),
    Column("atoms_flag", VARCHAR(50)),
    *_audit(),
)
"""An existing OCMS table. In production, no migration creates or alters it."""

offence_notice_detail = Table(
    "ocms_offence_notice_detail",
    metadata,
    Column("notice_no", VARCHAR(50), primary_key=True),
    Column("emcons_flag", VARCHAR(50)),
    Column("payment_allowance_flag", VARCHAR(50)),
    Column("last_eburar_update", VARCHAR(50)),
    Column("court_payment_due_date", Instant),
    *_audit(),
)
"""An existing OCMS table. In production, no migration creates or alters it."""

vip_vehicle = Table(
    "ocms_vip_vehicle",
    metadata,
    Column("vip_vehicle", Key(255), primary_key=True),
    Column("vehicle_no", VARCHAR(50), nullable=False),
    Column("description", VARCHAR(255)),
    Column("status", VARCHAR(50), nullable=False),
    *_audit(),
)

cas_emcons = Table(
    "ocms_cas_emcons",
    metadata,
    Column("notice_no", Key(50), primary_key=True),
    Column("emcons_flag", VARCHAR(50)),
    *_audit(),
)

court_case = Table(
    "ocms_court_case",
    metadata,
    Column("notice_no", Key(50), primary_key=True),
    Column("court_payment_due_date", Instant),
    *_audit(),
)

dayend = Table(
    "ocms_dayend",
    metadata,
    Column("business_date", DATE, primary_key=True),
    Column("dayend_flag", CHAR(1), CheckConstraint("dayend_flag IN ('Y', 'N')"), nullable=False),
)

job_run = Table(
    "ocms_job_run",
    metadata,
    Column("run_id", Integer, primary_key=True),
    Column("job", VARCHAR(50), nullable=False),
    Column("started", Instant, nullable=False),
    Column("finished", Instant),
    Column("outcome", VARCHAR(20), nullable=False),
    Column("rows", Integer),
    Column("detail", VARCHAR(500)),
    Column("due", Instant),
    Column("reason", VARCHAR(50)),
    Column("rows_before", Integer),
    Column("added", Integer),
    Column("removed", Integer),
    Column("changed", Integer),
    Column("host", VARCHAR(255)),
    Column("alerted", Instant),
)
