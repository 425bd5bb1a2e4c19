"""The servers of a measurement: each a process of its own with the uvicorn settings of `ocms serve`."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from benchmarks.checks import KEYS
from db import migration
from db.dayend import set_dayend_flag
from db.engine import connect
from db.sample_data import seed_notices
from domain.clock import business_date, utc_now
from ocms.keys import hash_key

OURS = "this service"
FACTORIES = {
    OURS: "benchmarks.ours:create_app",
    "FastAPI": "benchmarks.peers.fastapi_app:create_app",
    "connexion as documented": "benchmarks.peers.connexion_documented:create_app",
    "the limit": "benchmarks.peers.limit:create_app",
}
"""Each server, as the factory of its app."""
PEERS = [name for name in FACTORIES if name != OURS]


class Server:
    """A server on a database; it is there within the `with` block."""

    def __init__(self, name: str, database: Path, workers: int = 1) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "benchmarks.served", FACTORIES[name], str(self.port), str(workers)]
        self._process = subprocess.Popen(command, env=environment(database), stderr=subprocess.DEVNULL)  # noqa: S603

    def __enter__(self) -> Self:
        wait_for(self.port)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def environment(database: Path, **more: str) -> dict[str, str]:
    """Return the environment of a process that works with a database."""
    keys = ",".join(f"{caller}:{hash_key(key)}" for caller, key in KEYS.items())
    ours = {"OCMS_DATABASE_URL": f"sqlite:///{database}", "OCMS_API_KEYS": keys, "PEER_API_KEYS": keys}
    return os.environ | ours | {"PYTHONPATH": str(Path(__file__).parents[1])} | more


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    """Wait until somebody listens on a port. Raises TimeoutError."""
    for _ in range(2_000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise TimeoutError("a server did not start")


def fill(path: Path, count: int) -> Path:
    """Make a database with notices and an open day-end."""
    database = connect(f"sqlite:///{path}")
    migration.upgrade(database)

    def write(conn: Any) -> None:
        seed_notices(conn, count, lambda _: None)
        set_dayend_flag(conn, business_date(utc_now()), "Y")

    database.write(write)
    database.close()
    return path
