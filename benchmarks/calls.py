"""The operations, side by side with the peers: one worker each, on copies of the same file."""

import shutil
import statistics
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.checks import check, numbers
from benchmarks.load import load
from benchmarks.report import Ratio
from benchmarks.servers import FACTORIES, OURS, PEERS, Server, fill

NOTICES = 100_000
ROUNDS = 5


def batch(amount: float, bad: int = 0) -> list[dict[str, Any]]:
    """Return a batch of 1,000 records, some of which are bad."""
    records = [{"notice_no": no, "atoms_flag": "Y", "amount_payable": amount} for no in numbers(1_000)]
    for index in range(0, len(records), len(records) // bad if bad else len(records) + 1):
        records[index] |= {"amount_payable": -1} if bad else {}
    return records


GOOD, BAD = "API 2, 1,000 records", "API 2, 1,000 records, 100 of them bad"
WORK: dict[str, tuple[str, list[Any], int]] = {
    "API 1, 10 notices, 8 connections": ("getPaymentStatus", [{"notice_nos": numbers(10)}], 8),
    "API 1, 10,000 notices": ("getPaymentStatus", [{"notice_nos": numbers(10_000)}], 1),
    GOOD: ("updateCourtNotices", [batch(1.5), batch(2.5)], 1),
    BAD: ("updateCourtNotices", [batch(1.5, 100), batch(2.5, 100)], 1),
    "API 4, 10 notices, 8 connections": ("getNoticeUpdate", [{"notice_nos": numbers(10)}], 8),
}
"""What is called: the operation, the bodies in turn, the connections."""
TARGETS: dict[str, tuple[float | None, float | None, float | None]] = {
    "API 1, 10 notices, 8 connections": (2, 3, 0.5),
    "API 1, 10,000 notices": (3, None, 0.7),
    GOOD: (2.2, 5, 0.7),
    BAD: (None, None, None),
    "API 4, 10 notices, 8 connections": (2, 3, 0.5),
}
"""How many times the calls per second of each peer there should be at least."""


def measure(folder: Path) -> list[Ratio]:
    """Return the calls per second, as ratios to each peer."""
    template = fill(folder / "template.db", NOTICES)
    rates: dict[str, dict[str, list[float]]] = {work: {name: [] for name in FACTORIES} for work in WORK}
    with ExitStack() as stack:
        ports = {}
        for number, name in enumerate(FACTORIES):
            copy = shutil.copy(template, folder / f"peer-{number}.db")
            ports[name] = stack.enter_context(Server(name, copy)).port
            check(ports[name], str(copy))
        for work, (operation, bodies, connections) in WORK.items():
            for _ in range(ROUNDS):
                for name, port in ports.items():
                    rates[work][name].append(load(port, operation, bodies, connections).rate)
    medians = {work: {name: statistics.median(runs) for name, runs in row.items()} for work, row in rates.items()}
    ratios = [
        Ratio(work, peer, row[OURS], row[peer], at_least=target)
        for work, row in medians.items()
        for peer, target in zip(PEERS, TARGETS[work], strict=True)
    ]
    time = Ratio(f"{BAD}: the time", "all good", 1 / medians[BAD][OURS], 1 / medians[GOOD][OURS], at_most=1.3)
    return [*ratios, time]
