"""The load: wrk, from a process of its own."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.checks import CALLERS, KEYS

SECONDS = 2
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


class Load(NamedTuple):
    """What came of it."""

    rate: float
    """Calls per second."""
    median: float
    """The median of the response times, in seconds."""
    p99: float
    """The response time in seconds that 99 % of the calls did not exceed."""


def require_wrk() -> None:
    """End the process if the load generator is not installed."""
    if not shutil.which("wrk"):
        sys.exit("ocms: the load generator wrk is missing: apt-get install wrk")


def load(port: int, operation: str, bodies: list[Any], connections: int, seconds: int = SECONDS) -> Load:
    """Call an operation, with each body in turn. Raises RuntimeError when a call fails."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "load.lua"
        script.write_text(_script(operation, bodies))
        options = ["--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", "--latency"]
        command = ["wrk", *options, "--timeout", "30s", "--script", script, f"http://127.0.0.1:{port}/v1/{operation}"]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
    if "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(output)
    (rate,) = re.findall(r"Requests/sec:\s+([\d.]+)", output)
    times = {share: float(time) * _UNITS[unit] for share, time, unit in re.findall(r"(\d+)%\s+([\d.]+)(\w+)", output)}
    return Load(float(rate), times["50"], times["99"])


def _script(operation: str, bodies: list[Any]) -> str:
    listed = ",\n".join(f"[==[{json.dumps(body)}]==]" for body in bodies)
    return f"""local bodies, sent = {{{listed}}}, 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-API-Key"] = "{KEYS[CALLERS[operation]]}"
request = function()
  sent = sent + 1
  return wrk.format(nil, nil, nil, bodies[sent % #bodies + 1])
end
"""
