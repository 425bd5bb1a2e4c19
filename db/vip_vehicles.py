"""The VIP vehicles, `ocms_vip_vehicle` (section 3.2).

A new list is staged first: it is loaded into a temporary table, which blocks no other connection, and compared there.
Then it replaces the previous list in a short transaction.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, TableClause, case, func, insert, or_, select

from db.bulk import chunks, fill, shared_values
from db.dialect import EMPTY_BY, EmptyBy, differs, empty, temporary_copy
from db.job_runs import Changes
from db.tables import vip_vehicle

FIELDS = ("vip_vehicle", "vehicle_no", "description", "status")
"""The columns that CAS provides."""
Staged = TableClause
"""The temporary table with a new list."""


def count_vip_vehicles(conn: Connection) -> int:
    """Return the number of vehicles on the current list."""
    return conn.execute(_count(vip_vehicle)).scalar_one()


def create_vip_staging(conn: Connection) -> Staged:
    """Return a new temporary table for a list. It exists until the connection is closed or this is called again."""
    return temporary_copy(conn, vip_vehicle, FIELDS)


def stage_vip_vehicles(conn: Connection, staged: Staged, vehicles: Iterable[Mapping[str, Any]]) -> int:
    """Add vehicles to a staged list, and return their number (section 1.4). `description` may be absent."""
    count = 0
    for chunk in chunks(vehicles):
        fill(conn, staged, chunk)
        count += len(chunk)
    return count


def count_repeated_vip_vehicles(conn: Connection, staged: Staged, shown: int) -> tuple[int, list[str]]:
    """Return how many vehicles a staged list has more than once, and the first `shown` of them in order."""
    key = staged.c.vip_vehicle
    repeated = select(key).group_by(key).having(func.count() > 1)
    count = conn.execute(_count(repeated.subquery())).scalar_one()
    return count, list(conn.execute(repeated.order_by(key).limit(shown)).scalars()) if count else []


def compare_vip_vehicles(conn: Connection, staged: Staged) -> Changes:
    """Return what a staged list without repeated vehicles would change.

    A vehicle is changed if its `vehicle_no`, `description` or `status` differs.
    """
    old, new = vip_vehicle.c, staged.c
    others = [differs(conn.dialect.name, old[name], new[name]) for name in FIELDS[1:]]
    same_key = staged.join(vip_vehicle, old.vip_vehicle == new.vip_vehicle)
    # A subquery of its own, since SQL Server allows no subquery within SUM.
    both = select(case((or_(*others), 1), else_=0).label("changed")).select_from(same_key).subquery("kept")
    kept, changed = conn.execute(select(func.count(), func.sum(both.c.changed)).select_from(both)).one()
    before, rows = count_vip_vehicles(conn), conn.execute(_count(staged)).scalar_one()
    return Changes(rows_before=before, rows=rows, added=rows - kept, removed=before - kept, changed=changed or 0)


def replace_vip_vehicles(
    conn: Connection, staged: Staged, user: str, now: datetime, empty_by: EmptyBy = EMPTY_BY
) -> int:
    """Replace the current list with a staged one, and return its number of vehicles (section 1.4).

    Raises DuplicateKeyError if a vehicle is repeated. On SQL Server, readers then wait until the caller's transaction
    ends.
    """
    empty(conn, vip_vehicle, empty_by)
    created = shared_values(vip_vehicle, {"cre_date": now, "cre_user_id": user})
    copy = insert(vip_vehicle).from_select([*FIELDS, *created], select(staged, *created.values()))
    conn.execute(copy.with_hint("WITH (TABLOCK)", dialect_name="mssql"))
    return count_vip_vehicles(conn)


def _count(table: Any) -> Select[int]:
    return select(func.count()).select_from(table)
