"""The day-end flag, `ocms_dayend`: court notices are updated only after day-end (section 1.3)."""

from datetime import date

from sqlalchemy import Connection, insert, select, update

from db.tables import dayend


def get_dayend_flag(conn: Connection, business_date: date) -> str | None:
    """Return the flag of a date, Y or N, or None. A flag cannot change until the unit of work ends."""
    statement = select(dayend.c.dayend_flag).where(dayend.c.business_date == business_date)
    return conn.execute(statement.with_hint(dayend, "WITH (REPEATABLEREAD)", "mssql")).scalar()


def set_dayend_flag(conn: Connection, business_date: date, flag: str) -> None:
    """Set the flag of a date to Y or N."""
    if get_dayend_flag(conn, business_date) is None:
        conn.execute(insert(dayend).values(business_date=business_date, dayend_flag=flag))
    else:
        conn.execute(update(dayend).where(dayend.c.business_date == business_date).values(dayend_flag=flag))


def list_dayend_flags(conn: Connection, limit: int) -> list[tuple[date, str]]:
    """Return at most `limit` dates with their flags, the newest first."""
    statement = select(dayend).order_by(dayend.c.business_date.desc()).limit(limit)
    return [(row.business_date, row.dayend_flag) for row in conn.execute(statement)]
