"""Measure the refresh of a million VIP vehicles against the shortest script that replaces a table.

Both fetch the same list over HTTP from a server that only streams a file, and each is a process of its own.
"""

import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copyfileobj

import msgspec

from benchmarks.checks import numbers
from benchmarks.load import load
from benchmarks.report import Ratio
from benchmarks.servers import OURS, Server, environment, fill
from db import migration
from db.engine import connect
from db.vip_vehicles import count_vip_vehicles
from ocms.mock_cas.vehicles import vehicles

VEHICLES, FEWER = 1_000_000, 100_000
NOTICES = 100_000
CALLERS = 64
SECONDS = 4
ROUNDS = 5
MEGABYTES = 300
PEER = "msgspec and executemany"
COMMANDS = {
    OURS: [sys.executable, "-m", "ocms", "jobs", "run", "refresh-vip-vehicles"],
    PEER: [sys.executable, "-m", "benchmarks.peers.refresh_script"],
}


def measure(folder: Path) -> list[Ratio]:
    """Return the time and the memory of a refresh, and how slow calls get meanwhile, as ratios."""
    databases = {name: folder / f"{number}.db" for number, name in enumerate(COMMANDS)}
    for path in databases.values():
        migration.upgrade(connect(f"sqlite:///{path}"))
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    with _serving(_write_list(folder, VEHICLES)) as url:
        for _ in range(ROUNDS + 1):  # the first one fills an empty table, and is not counted
            for name, command in COMMANDS.items():
                runs[name].append(_measure(command, databases[name], url))
                _require_list(databases[name], VEHICLES)
    seconds, memory = (
        {name: statistics.median(run[which] for run in measured[1:]) for name, measured in runs.items()}
        for which in (0, 1)
    )
    return [
        Ratio(f"refresh of {VEHICLES:,} vehicles: the time", PEER, seconds[OURS], seconds[PEER], at_most=1.5),
        Ratio("the same: the peak memory", f"{MEGABYTES} MB", memory[OURS], MEGABYTES, at_most=1),
        _callers(folder),
    ]


def _callers(folder: Path) -> Ratio:
    """Return the p99 of 64 callers of API 1 while refreshes run, as a ratio to the quiet one."""
    database, asked = fill(folder / "callers.db", NOTICES), [{"notice_nos": numbers(10)}]
    quiet, busy = [], []
    with _serving(_write_list(folder, FEWER)) as url, Server(OURS, database) as server:
        for _ in range(ROUNDS):
            quiet.append(load(server.port, "getPaymentStatus", asked, CALLERS, SECONDS).p99)
            with _refreshing(database, url):
                busy.append(load(server.port, "getPaymentStatus", asked, CALLERS, SECONDS).p99)
            _require_list(database, FEWER)
    work = f"API 1, {CALLERS} callers while refreshes of {FEWER:,} run: the p99"
    return Ratio(work, "none runs", statistics.median(busy), statistics.median(quiet), at_most=3)


@contextmanager
def _refreshing(database: Path, url: str) -> Iterator[None]:
    """Refresh again and again for the time of the block."""
    done = threading.Event()

    def refresh() -> None:
        while not done.is_set():
            _measure(COMMANDS[OURS], database, url)

    with ThreadPoolExecutor(1) as thread:
        refreshing = thread.submit(refresh)
        try:
            yield
        finally:
            done.set()
        refreshing.result()


def _write_list(folder: Path, count: int) -> Path:
    path = folder / f"{count}.json"
    path.write_bytes(msgspec.json.encode(list(vehicles(count))))
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
    begun, peak = time.monotonic(), 0.0
    variables = environment(database, OCMS_CAS_URL=url, OCMS_CAS_API_KEY="bench")
    process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        if found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text()):
            peak = int(found[1]) / 1024
        time.sleep(0.02)
    if process.returncode:
        raise RuntimeError(f"{command} has failed")
    return time.monotonic() - begun, peak


def _require_list(database: Path, count: int) -> None:
    """Raise RuntimeError if the table does not have the complete list."""
    with connect(f"sqlite:///{database}").reading() as conn:
        found = count_vip_vehicles(conn)
    if found != count:
        raise RuntimeError(f"{found} vehicles instead of {count}")
