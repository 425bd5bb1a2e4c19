"""How long a start takes, as a share of what it may take."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx2

from benchmarks.report import Ratio
from benchmarks.servers import environment, fill, free_port, wait_for

ROUNDS = 5
SERVE_SECONDS, HELP_SECONDS = 1.5, 0.3
OCMS = [sys.executable, "-m", "ocms"]


def measure(folder: Path) -> list[Ratio]:
    """Return the seconds of `ocms serve` to its first response and of `ocms --help`, as shares of their limits."""
    database = fill(folder / "startup.db", 10)
    serve = statistics.median(_serve(database) for _ in range(ROUNDS))
    shown = statistics.median(_help() for _ in range(ROUNDS))
    return [
        Ratio("ocms serve to its first response", f"{SERVE_SECONDS} seconds", serve, SERVE_SECONDS, at_most=1),
        Ratio("ocms --help", f"{HELP_SECONDS} seconds", shown, HELP_SECONDS, at_most=1),
    ]


def _serve(database: Path) -> float:
    port = free_port()
    begun = time.perf_counter()
    with subprocess.Popen(  # noqa: S603  # our own command
        [*OCMS, "serve", "--port", str(port)], env=environment(database), stderr=subprocess.DEVNULL
    ) as process:
        wait_for(port)
        httpx2.get(f"http://127.0.0.1:{port}/openapi.json").raise_for_status()
        seconds = time.perf_counter() - begun
        process.terminate()
    return seconds


def _help() -> float:
    begun = time.perf_counter()
    subprocess.run([*OCMS, "--help"], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    return time.perf_counter() - begun
