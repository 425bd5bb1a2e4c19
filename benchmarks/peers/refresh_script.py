"""The shortest script that fetches the list and replaces the table: no checks, no record, the whole list in memory."""

import os
import sqlite3
from datetime import datetime, timedelta, timezone

import httpx2
import msgspec


def main() -> None:
    """Fetch and replace."""
    url = f"{os.environ['OCMS_CAS_URL']}/v1/getVipVehicles"
    response = httpx2.post(url, json={}, headers={"X-API-Key": os.environ["OCMS_CAS_API_KEY"]}, timeout=60)
    response.raise_for_status()
    now = datetime.now(timezone(timedelta(hours=8))).replace(tzinfo=None).isoformat(" ")
    rows = [
        (v["vip_vehicle"], v["vehicle_no"], v.get("description"), v["status"], now, "script")
        for v in msgspec.json.decode(response.content)
    ]
    conn = sqlite3.connect(os.environ["OCMS_DATABASE_URL"].removeprefix("sqlite:///"), isolation_level=None)
    conn.execute("PRAGMA journal_mode = WAL")
    conn.execute("PRAGMA synchronous = FULL")
    conn.execute("BEGIN IMMEDIATE")
    conn.execute("DELETE FROM ocms_vip_vehicle")
    conn.executemany(
        "INSERT INTO ocms_vip_vehicle (vip_vehicle, vehicle_no, description, status, cre_date, cre_user_id) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        rows,
    )
    conn.execute("COMMIT")
    conn.close()


if __name__ == "__main__":
    main()
