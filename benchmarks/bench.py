"""Measure this service and its peers side by side, in one run on one machine, and print ratios.

Every server is one uvicorn worker on a copy of the same SQLite file, and passes the same checks before it is timed. The
load is wrk's, from a process of its own. Runs are interleaved; the ratios are of the medians.
"""

import json
import os
import re
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

from rich.console import Console
from rich.table import Table

from benchmarks import refresh
from benchmarks.checks import CALLERS, KEYS, check, numbers
from db import schema
from db.dayend import set_dayend_flag
from db.engine import connect
from db.sample_data import seed_notices
from ocms.keys import hash_key
from ocms.rules import business_date, utc_now

NOTICES = 100_000
ROUNDS = 5
SECONDS = 2
RESULTS = Path(__file__).parent / "results" / "calls.json"
OURS = "this service"
SERVERS = {
    OURS: "ocms.app:create_app_from_environment",
    "FastAPI": "benchmarks.peers.fastapi_app:create_app",
    "connexion as documented": "benchmarks.peers.connexion_documented:create_app",
    "the limit": "benchmarks.peers.limit:create_app",
}
"""Each server, as the factory of its app."""


def batch(amount: float, bad: int = 0) -> list[dict[str, Any]]:
    """Return a batch of 1,000 records, some of which are bad."""
    records = [{"notice_no": no, "atoms_flag": "Y", "amount_payable": amount} for no in numbers(1_000)]
    for index in range(0, len(records), len(records) // bad if bad else len(records) + 1):
        records[index] |= {"amount_payable": -1} if bad else {}
    return records


WORK: dict[str, tuple[str, list[Any], int]] = {
    "API 1, 10 notices, 8 connections": ("getPaymentStatus", [{"notice_nos": numbers(10)}], 8),
    "API 1, 10,000 notices in one call": ("getPaymentStatus", [{"notice_nos": numbers(10_000)}], 1),
    "API 2, 1,000 records in one call": ("updateCourtNotices", [batch(1.5), batch(2.5)], 1),
    "API 2, the same, 100 of them bad": ("updateCourtNotices", [batch(1.5, 100), batch(2.5, 100)], 1),
    "API 4, 10 notices, 8 connections": ("getNoticeUpdate", [{"notice_nos": numbers(10)}], 8),
}
"""What is called: the operation, the bodies in turn, the connections."""


def main() -> None:
    """Measure, print the tables, keep the numbers."""
    if not shutil.which("wrk"):
        sys.exit("ocms: the load generator wrk is missing: apt-get install wrk")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        template = Path(folder) / "template.db"
        _fill(template)
        ports = {}
        for name, factory in SERVERS.items():
            copy = shutil.copy(template, Path(folder) / f"{len(ports)}.db")
            ports[name] = stack.enter_context(_Server(factory, copy)).port
            check(ports[name], copy)
        rates: dict[str, dict[str, list[float]]] = {work: {name: [] for name in ports} for work in WORK}
        for work, (operation, bodies, connections) in WORK.items():
            script = _write_script(Path(folder), operation, bodies)
            for _ in range(ROUNDS):
                for name, port in ports.items():
                    rates[work][name].append(_load(port, operation, script, connections))
    _report(rates)
    refresh.main()


class _Server:
    def __init__(self, factory: str, database: str, workers: int = 1) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "benchmarks.served", factory, str(self.port), str(workers)]
        environment = os.environ | {
            "OCMS_DATABASE_URL": f"sqlite:///{database}",
            "OCMS_API_KEYS": ",".join(f"{caller}:{hash_key(key)}" for caller, key in KEYS.items()),
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        self._process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)  # noqa: S603

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


def _write_script(folder: Path, operation: str, bodies: list[Any]) -> Path:
    """Write what wrk sends: each body in turn."""
    listed = ",\n".join(f"[==[{json.dumps(body)}]==]" for body in bodies)
    path = folder / "load.lua"
    path.write_text(
        f"""local bodies, sent = {{{listed}}}, 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-API-Key"] = "{KEYS[CALLERS[operation]]}"
request = function()
  sent = sent + 1
  return wrk.format(nil, nil, nil, bodies[sent % #bodies + 1])
end
"""
    )
    return path


def _load(port: int, operation: str, script: Path, connections: int) -> float:
    """Return the calls per second."""
    url = f"http://127.0.0.1:{port}/v1/{operation}"
    options = ["--threads", "1", "--connections", str(connections), "--duration", f"{SECONDS}s", "--timeout", "30s"]
    told = subprocess.run(["wrk", *options, "--script", script, url], capture_output=True, text=True, check=True).stdout  # noqa: S603, S607
    if "Non-2xx" in told or "Socket errors" in told:
        raise RuntimeError(told)
    return float(re.findall(r"Requests/sec:\s+([\d.]+)", told)[0])


def _report(rates: dict[str, dict[str, list[float]]]) -> None:
    peers = [name for name in SERVERS if name != OURS]
    table = Table("work", *(f"{OURS} / {peer}" for peer in peers), title="calls per second, ratio of medians")
    medians = {work: {name: statistics.median(runs) for name, runs in row.items()} for work, row in rates.items()}
    for work, row in medians.items():
        table.add_row(work, *(f"{row[OURS] / row[peer]:.2f} x" for peer in peers))
    Console(width=160).print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"calls per second": medians, "rounds": ROUNDS, "seconds": SECONDS}, indent=2) + "\n")


if __name__ == "__main__":
    main()
