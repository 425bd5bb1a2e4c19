"""The court cases that PLUS has requested, `ocms_court_case` (section 3.4)."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from db.bulk import upsert_values
from db.tables import court_case


def upsert(conn: Connection, due_dates: Sequence[tuple[str, datetime]], user: str, now: datetime) -> None:
    """Store the court payment due date of each notice, by pairs of notice number and date. Raises DatabaseError."""
    upsert_values(conn, court_case.c.court_payment_due_date, due_dates, user, now)
