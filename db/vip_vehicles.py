"""The VIP vehicles, `ocms_vip_vehicle` (section 3.2)."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from db.bulk import insert_rows
from db.dialect import truncate
from db.tables import vip_vehicle


def count_vip_vehicles(conn: Connection) -> int:
    """Return how many vehicles the list has."""
    return conn.execute(select(func.count()).select_from(vip_vehicle)).scalar_one()


def replace_vip_vehicles(conn: Connection, vehicles: Iterable[Mapping[str, Any]], user: str, now: datetime) -> int:
    """Replace the whole list; return how many vehicles it has now (section 1.4).

    Truncate and fill are in the caller's transaction. `description` may be absent.
    """
    truncate(conn, vip_vehicle)
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
    return insert_rows(conn, vip_vehicle, rows)
