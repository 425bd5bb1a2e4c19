"""The VIP vehicles, `ocms_vip_vehicle` (section 3.2)."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, TableClause, func, insert, select

from db.bulk import insert_rows
from db.dialect import EmptyBy, empty, temporary_copy
from db.tables import vip_vehicle


def count_vip_vehicles(conn: Connection) -> int:
    """Return how many vehicles the list has."""
    return conn.execute(select(func.count()).select_from(vip_vehicle)).scalar_one()


def stage_vip_vehicles(
    conn: Connection, vehicles: Iterable[Mapping[str, Any]], user: str, now: datetime
) -> TableClause:
    """Load a new list into a temporary table, where it holds up nobody; return the table (section 1.4).

    `description` may be absent.
    """
    staged = temporary_copy(conn, vip_vehicle)
    rows = (
        {
            "vip_vehicle": vehicle["vip_vehicle"],
            "vehicle_no": vehicle["vehicle_no"],
            "description": vehicle.get("description"),
            "status": vehicle["status"],
            "cre_date": now,
            "cre_user_id": user,
        }
        for vehicle in vehicles
    )
    insert_rows(conn, staged, rows)
    return staged


def replace_vip_vehicles(conn: Connection, staged: TableClause, empty_by: EmptyBy = "truncate") -> int:
    """Replace the whole list by a staged one; return how many vehicles it has now (section 1.4).

    On SQL Server readers wait from here to the end of the caller's transaction.
    """
    empty(conn, vip_vehicle, empty_by)
    copy = insert(vip_vehicle).from_select([c.name for c in staged.columns], select(staged))
    conn.execute(copy.with_hint("WITH (TABLOCK)", dialect_name="mssql"))
    return count_vip_vehicles(conn)
