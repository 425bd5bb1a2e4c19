"""Measure small calls beside one client that sends large ones without a pause."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.checks import numbers
from benchmarks.load import Load, load
from benchmarks.report import Ratio
from benchmarks.servers import OURS, Server, fill

NOTICES, LARGE = 100_000, 10_000
CALLERS = 4
SECONDS = 5
MEDIAN, P99 = 0.015, 0.05
"""Goals for the response times of small calls, in seconds."""


def measure(folder: Path) -> list[Ratio]:
    """Return the response times of API 1 with 10 notices beside calls with 10,000, as ratios to their goals."""
    with Server(OURS, fill(folder / "neighbours.db", NOTICES)) as server, ThreadPoolExecutor() as pool:
        _small(server.port)  # records the EMCONS notices
        large = pool.submit(
            load, server.port, "getPaymentStatus", [{"notice_nos": numbers(LARGE)}], connections=1, seconds=SECONDS + 2
        )
        found = _small(server.port)
        large.result()
    work = f"API 1, 10 notices, {CALLERS} callers beside calls of {LARGE:,}"
    return [
        Ratio(f"{work}: the median", f"{MEDIAN * 1000:g} ms", found.median, MEDIAN, at_most=1),
        Ratio(f"{work}: the p99", f"{P99 * 1000:g} ms", found.p99, P99, at_most=1),
    ]


def _small(port: int) -> Load:
    asked = numbers(NOTICES)
    bodies = [{"notice_nos": asked[start : start + 10]} for start in range(0, LARGE, 10)]
    return load(port, "getPaymentStatus", bodies, CALLERS, SECONDS)
