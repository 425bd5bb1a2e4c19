"""The EMCONS notices that CAS has requested, `ocms_cas_emcons` (section 3.3)."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from db.bulk import upsert_values
from db.tables import cas_emcons


def upsert(conn: Connection, flags: Sequence[tuple[str, str]], user: str, now: datetime) -> None:
    """Store the EMCONS flag of each notice. `flags` are pairs of notice number and flag. Raises DatabaseError."""
    upsert_values(conn, cas_emcons.c.emcons_flag, flags, user, now)
