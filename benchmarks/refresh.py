"""Measure the refresh of a million VIP vehicles against the shortest script that replaces a table.

Both fetch the same list over HTTP from a server that only streams a file, and each is a process of its own.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copyfileobj

import msgspec
from rich.console import Console
from rich.table import Table

from db import schema
from db.engine import connect
from db.sample_data import vehicles

VEHICLES = 1_000_000
ROUNDS = 3
RESULTS = Path(__file__).parent / "results" / "refresh.json"
OURS, PEER = "this service", "msgspec and executemany"
COMMANDS = {
    OURS: [sys.executable, "-m", "ocms", "jobs", "run", "refresh-vip-vehicles"],
    PEER: [sys.executable, "-m", "benchmarks.peers.refresh_script"],
}


def main() -> None:
    """Measure, print the table, keep the numbers."""
    with tempfile.TemporaryDirectory() as folder, _serving(_write_list(Path(folder))) as url:
        databases = {name: Path(folder) / f"{number}.db" for number, name in enumerate(COMMANDS)}
        for path in databases.values():
            schema.upgrade(connect(f"sqlite:///{path}"))
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
        for _ in range(ROUNDS + 1):  # the first one fills an empty table, and is not counted
            for name, command in COMMANDS.items():
                runs[name].append(_measure(command, databases[name], url))
    _report({name: measured[1:] for name, measured in runs.items()})


def _write_list(folder: Path) -> Path:
    path = folder / "vehicles.json"
    path.write_bytes(msgspec.json.encode(list(vehicles(VEHICLES))))
    return path


@contextmanager
def _serving(path: Path) -> Iterator[str]:
    class File(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(path.stat().st_size))
            self.end_headers()
            with path.open("rb") as file:
                copyfileobj(file, self.wfile, 2**16)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), File) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _measure(command: list[str], database: Path, url: str) -> tuple[float, float]:
    """Run a command; return its seconds and its highest memory in MB."""
    variables = {"OCMS_DATABASE_URL": f"sqlite:///{database}", "OCMS_CAS_URL": url, "OCMS_CAS_API_KEY": "bench"}
    begun, peak = time.monotonic(), 0.0
    process = subprocess.Popen(  # noqa: S603  # our own commands
        command, env=os.environ | variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        if found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text()):
            peak = int(found[1]) / 1024
        time.sleep(0.02)
    if process.returncode:
        raise RuntimeError(f"{command} has failed")
    _check(database)
    return time.monotonic() - begun, peak


def _check(database: Path) -> None:
    """Stop unless the whole list is there."""
    with connect(f"sqlite:///{database}").reading() as conn:
        count = conn.exec_driver_sql("SELECT count(*) FROM ocms_vip_vehicle").scalar()
    if count != VEHICLES:
        raise RuntimeError(f"{count} vehicles instead of {VEHICLES}")


def _report(runs: dict[str, list[tuple[float, float]]]) -> None:
    seconds, memory = (
        {name: statistics.median(run[which] for run in measured) for name, measured in runs.items()} for which in (0, 1)
    )
    table = Table("work", f"{OURS} / {PEER}", "peak memory", f"peak memory of {PEER}")
    ratio = f"{seconds[OURS] / seconds[PEER]:.2f} x the time"
    table.add_row(f"refresh of {VEHICLES:,} vehicles", ratio, f"{memory[OURS]:.0f} MB", f"{memory[PEER]:.0f} MB")
    Console().print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"seconds": seconds, "peak MB": memory, "rounds": ROUNDS}, indent=2) + "\n")


if __name__ == "__main__":
    main()
