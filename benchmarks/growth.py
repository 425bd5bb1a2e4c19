"""One service at different sizes: as its file grows, and with a second worker."""

import random
import sqlite3
import statistics
from pathlib import Path
from typing import Any

from benchmarks.load import load
from benchmarks.report import Ratio
from benchmarks.servers import OURS, Server, fill
from db.sample_data import FIRST_NOTICE, notice_number
from db.tables import offence_notice_detail, valid_offence_notice

FEW, MANY = 10_000, 10_000_000
LETTERS = "".join(notice_number(serial)[-1] for serial in range(22))
CONNECTIONS = 16
"""So that two workers have eight each."""
ROUNDS = 5


def measure(folder: Path) -> list[Ratio]:
    """Return the calls per second of API 1, as ratios: many notices to few, two workers to one."""
    few, many = fill(folder / "few.db", FEW), fill(folder / "many.db", FEW)
    _multiply(many, MANY // FEW)
    with Server(OURS, few) as one, Server(OURS, many) as grown:
        rate = _medians({"few": (one.port, _asked(FEW)), "many": (grown.port, _asked(MANY))})
    growth = Ratio("API 1, 10 of 10 million notices", "10 of 10 thousand", rate["many"], rate["few"], at_least=0.7)
    with Server(OURS, few) as one, Server(OURS, few, workers=2) as two:
        rate = _medians({"one": (one.port, _asked(FEW)), "two": (two.port, _asked(FEW))})
    return [growth, Ratio("API 1, two workers", "one", rate["two"], rate["one"], at_least=1.7)]


def _medians(servers: dict[str, tuple[int, list[Any]]]) -> dict[str, float]:
    rates: dict[str, list[float]] = {name: [] for name in servers}
    for _ in range(ROUNDS):
        for name, (port, bodies) in servers.items():
            rates[name].append(load(port, "getPaymentStatus", bodies, CONNECTIONS).rate)
    return {name: statistics.median(runs[1:]) for name, runs in rates.items()}  # the first one records EMCONS notices


def _asked(count: int) -> list[Any]:
    drawn = random.Random(count)  # noqa: S311  # no secret
    return [
        {"notice_nos": [notice_number(FIRST_NOTICE + drawn.randrange(count)) for _ in range(10)]} for _ in range(500)
    ]


def _multiply(path: Path, times: int) -> None:
    """Copy the notices of a database under further numbers, until there are `times` as many."""
    serial = f"(CAST(substr(notice_no, 1, 9) AS INTEGER) + copies.value * {FEW})"
    number = f"{serial} || substr('{LETTERS}', {serial} % {len(LETTERS)} + 1, 1)"
    with sqlite3.connect(path) as conn:
        conn.execute("PRAGMA synchronous = OFF")
        for table in (valid_offence_notice, offence_notice_detail):
            columns = ", ".join(column.name for column in table.columns if column.name != "notice_no")
            conn.execute(
                f"INSERT INTO {table.name} (notice_no, {columns}) "  # noqa: S608  # names of our own
                f"WITH RECURSIVE copies(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM copies LIMIT {times - 1}) "
                f"SELECT {number}, {columns} FROM copies CROSS JOIN {table.name} ORDER BY copies.value, notice_no"
            )
