"""Measure this service and its peer side by side, in one run on one machine, and print ratios.

Every server is one uvicorn worker on a copy of the same SQLite file, and passes the same check before it is timed.
Runs are interleaved; the ratio is of the medians.
"""

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import httpx2
from rich.console import Console
from rich.table import Table

from db import schema
from db.dayend import set_dayend_flag
from db.engine import connect
from db.sample_data import FIRST_NOTICE, notice_number, seed_notices
from ocms.keys import hash_key
from ocms.rules import business_date, utc_now

NOTICES = 20_000
ROUNDS = 5
SECONDS = 2.0
KEY = "bench-key"
RESULTS = Path(__file__).parent / "results" / "engine.json"
SERVERS = {
    "this service": "ocms.app:create_app_from_environment",
    "connexion as documented": "benchmarks.peers.connexion_documented:create_app",
}


def numbers(count: int) -> list[str]:
    """Return the first notice numbers of the sample data."""
    return [notice_number(FIRST_NOTICE + index) for index in range(count)]


def batch(index: int) -> list[dict[str, Any]]:
    """Return a batch of 1,000 good records."""
    return [{"notice_no": no, "atoms_flag": "Y", "amount_payable": index + 0.5} for no in numbers(1_000)]


WORK: dict[str, tuple[str, Any, int]] = {
    "API 1, 10 notices, 8 connections": ("getPaymentStatus", {"notice_nos": numbers(10)}, 8),
    "API 1, 10,000 notices in one call": ("getPaymentStatus", {"notice_nos": numbers(10_000)}, 1),
    "API 2, 1,000 records in one call": ("updateCourtNotices", batch(1), 1),
}


def main() -> None:
    """Measure, print the table, keep the numbers."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        template = Path(folder) / "template.db"
        _fill(template)
        ports = {}
        for name, factory in SERVERS.items():
            copy = shutil.copy(template, Path(folder) / f"{len(ports)}.db")
            ports[name] = stack.enter_context(_Server(factory, copy)).port
        rates: dict[str, dict[str, list[float]]] = {work: {name: [] for name in ports} for work in WORK}
        for port in ports.values():
            _check(port)
        for work, (operation, body, connections) in WORK.items():
            for _ in range(ROUNDS):
                for name, port in ports.items():
                    rates[work][name].append(_load(port, operation, body, connections))
    _report(rates)


class _Server:
    def __init__(self, factory: str, database: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "uvicorn", "--factory", factory, "--port", str(self.port)]
        environment = os.environ | {
            "OCMS_DATABASE_URL": f"sqlite:///{database}",
            "OCMS_API_KEYS": f"CAS:{hash_key(KEY)}",
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        options = ["--no-access-log", "--log-level", "warning", "--ws", "none"]
        self._process = subprocess.Popen([*command, *options], env=environment, stderr=subprocess.DEVNULL)  # noqa: S603

    def __enter__(self) -> Self:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.1)
        raise TimeoutError("a server did not start")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def _fill(path: Path) -> None:
    database = connect(f"sqlite:///{path}")
    schema.upgrade(database)
    with database.writing() as conn:
        seed_notices(conn, NOTICES, lambda _: None)
        set_dayend_flag(conn, business_date(utc_now()), "Y")
    database.close()
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _call(port: int, operation: str, body: Any) -> httpx2.Response:
    url = f"http://127.0.0.1:{port}/v1/{operation}"
    return httpx2.post(url, json=body, headers={"X-API-Key": KEY}, timeout=60)


def _check(port: int) -> None:
    """Stop unless a server does the whole work."""
    answer = _call(port, "getPaymentStatus", {"notice_nos": [*numbers(3), "X1"]}).json()
    first = answer["data"][0]
    if (answer["total"], first["notice_no"], first["amount_payable"]) != (4, numbers(1)[0], 210.35):
        raise RuntimeError(f"wrong answer: {answer}")
    if _call(port, "updateCourtNotices", batch(0)).status_code != 200:  # noqa: PLR2004  # success
        raise RuntimeError("the batch was not taken")


def _load(port: int, operation: str, body: Any, connections: int) -> float:
    content = json.dumps(body).encode()
    head = (
        f"POST /v1/{operation} HTTP/1.1\r\nHost: bench\r\nX-API-Key: {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    loader = [sys.executable, str(Path(__file__).with_name("load.py")), "127.0.0.1", str(port), str(connections)]
    done = subprocess.run(  # noqa: S603  # our own loader
        [*loader, str(SECONDS)], input=head.encode() + content, capture_output=True, check=True
    )
    return float(done.stdout)


def _report(rates: dict[str, dict[str, list[float]]]) -> None:
    ours, *peers = SERVERS
    table = Table("work", *(f"{ours} / {peer}" for peer in peers), title="calls per second, ratio of medians")
    medians = {work: {name: statistics.median(runs) for name, runs in row.items()} for work, row in rates.items()}
    for work, row in medians.items():
        table.add_row(work, *(f"{row[ours] / row[peer]:.1f} x" for peer in peers))
    Console().print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"calls per second": medians, "rounds": ROUNDS, "seconds": SECONDS}, indent=2) + "\n")


if __name__ == "__main__":
    main()
