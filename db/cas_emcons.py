"""The EMCONS notices that CAS has asked for, `ocms_cas_emcons` (section 3.3)."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from db.bulk import list_changed, upsert_values
from db.tables import cas_emcons


def list_unrecorded(conn: Connection, flags: Mapping[str, str]) -> dict[str, str]:
    """Return those of `flags` (notice number to EMCONS flag) that are not recorded as they are."""
    return list_changed(conn, cas_emcons.c.emcons_flag, flags)


def upsert(conn: Connection, flags: Sequence[tuple[str, str]], user: str, now: datetime) -> None:
    """Record the EMCONS flag of each notice."""
    upsert_values(conn, cas_emcons.c.emcons_flag, flags, user, now)
