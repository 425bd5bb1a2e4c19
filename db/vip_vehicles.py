"""The VIP vehicles, `ocms_vip_vehicle` (section 3.2).

A new list is staged: loaded into a temporary table, where it holds up nobody, and judged there. Then it replaces the
old one in a short transaction.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, TableClause, case, func, insert, or_, select

from db.bulk import chunks, fill, shared_values
from db.dialect import EmptyBy, empty, is_other, temporary_copy
from db.job_runs import Changes
from db.tables import vip_vehicle

FIELDS = ("vip_vehicle", "vehicle_no", "description", "status")
"""What CAS tells of a vehicle."""
Staged = TableClause
"""The temporary table of a new list."""


def count_vip_vehicles(conn: Connection) -> int:
    """Return how many vehicles the list has."""
    return conn.execute(_count(vip_vehicle)).scalar_one()


def create_vip_staging(conn: Connection) -> Staged:
    """Return a new temporary table for a list; it is gone when the connection is closed, or asks for another one."""
    return temporary_copy(conn, vip_vehicle, FIELDS)


def stage_vip_vehicles(conn: Connection, staged: Staged, vehicles: Iterable[Mapping[str, Any]]) -> int:
    """Load vehicles of a new list into its temporary table; return how many (section 1.4).

    `description` may be absent.
    """
    count = 0
    for chunk in chunks(vehicles):
        fill(conn, staged, chunk)
        count += len(chunk)
    return count


def count_repeated_vip_vehicles(conn: Connection, staged: Staged, shown: int) -> tuple[int, list[str]]:
    """Return how many vehicles a staged list has more than once, and the first few of them."""
    key = staged.c.vip_vehicle
    repeated = select(key).group_by(key).having(func.count() > 1)
    count = conn.execute(_count(repeated.subquery())).scalar_one()
    return count, list(conn.execute(repeated.order_by(key).limit(shown)).scalars()) if count else []


def compare_vip_vehicles(conn: Connection, staged: Staged) -> Changes:
    """Return what a staged list would change, provided that it has each of its vehicles once.

    A vehicle is changed when its `vehicle_no`, `description` or `status` is another one.
    """
    old, new = vip_vehicle.c, staged.c
    others = [is_other(conn.dialect.name, old[name], new[name]) for name in FIELDS[1:]]
    same_key = staged.join(vip_vehicle, old.vip_vehicle == new.vip_vehicle)
    # apart from the sum, since SQL Server sums nothing that has a subquery in it
    both = select(case((or_(*others), 1), else_=0).label("changed")).select_from(same_key).subquery("kept")
    kept, changed = conn.execute(select(func.count(), func.sum(both.c.changed)).select_from(both)).one()
    before, rows = count_vip_vehicles(conn), conn.execute(_count(staged)).scalar_one()
    return Changes(rows_before=before, rows=rows, added=rows - kept, removed=before - kept, changed=changed or 0)


def replace_vip_vehicles(
    conn: Connection, staged: Staged, user: str, now: datetime, empty_by: EmptyBy = "truncate"
) -> int:
    """Replace the whole list by a staged one; return how many vehicles it has now (section 1.4).

    Raises DuplicateKeyError when it has a vehicle more than once. On SQL Server readers wait from here to the end of
    the caller's transaction.
    """
    empty(conn, vip_vehicle, empty_by)
    created = shared_values(vip_vehicle, {"cre_date": now, "cre_user_id": user})
    copy = insert(vip_vehicle).from_select([*FIELDS, *created], select(staged, *created.values()))
    conn.execute(copy.with_hint("WITH (TABLOCK)", dialect_name="mssql"))
    return count_vip_vehicles(conn)


def _count(table: Any) -> Select[int]:
    return select(func.count()).select_from(table)
