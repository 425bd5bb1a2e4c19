"""The demo: the API, a mock CAS and the schedule loop in one process group, with sample data."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.process import BaseProcess

from db import migration
from db.dayend import set_dayend_flag
from db.demo_database import open_demo_file
from db.sample_data import has_notices, seed_notices, seed_vehicles
from domain.clock import utc_now
from domain.errors import OperatorError
from domain.rules import dayend_date
from jobs.refresh_vip_vehicles import NAME
from ocms.app import create_service
from ocms.children import end_with_parent
from ocms.database import open_database
from ocms.keys import DEMO_KEYS, ApiKey, hash_key
from ocms.logs import configure_logging
from ocms.mock_cas.server import control_port_for
from ocms.mock_cas.vehicles import DEFAULT_COUNT, vehicles
from ocms.settings import Settings, load_settings, variable
from ocms.web.server import require_free, serve

KEYS = {caller: DEMO_KEYS[caller] for caller in ("CAS", "PLUS")}
"""The keys of the callers. They work in the demo only: `ocms serve` refuses them."""
NOTICES = 1000
"""The number of sample notices."""
START_SECONDS = 30
"""Seconds that a process may take until it accepts connections."""
STOP_SECONDS = 4
"""Seconds that the processes may take to stop before they are killed."""


def run_demo(port: int | None, cas_port: int | None, main: Callable[[], None]) -> None:
    """Run the demo until SIGINT or SIGTERM. `main` runs the command line in `sys.argv`.

    Raises OperatorError if a port is in use, a process of the demo ends by itself, the demo did not create the database
    or `ocms serve` has used it since, or a setting is for a real CAS.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    settings = load_settings()
    for name in ("cas_ca_file", "cas_client_cert_file"):
        if getattr(settings, name):
            raise OperatorError(
                f"'ocms demo' calls a mock CAS without TLS: remove {variable(name)} from the environment and .env"
            )
    port, cas_port = port or settings.port, cas_port or settings.cas_port
    if port == cas_port:
        raise OperatorError(f"the API and the mock CAS cannot both use port {port}: change OCMS_PORT or OCMS_CAS_PORT")
    for wanted in (port, cas_port):
        require_free("127.0.0.1", wanted)
    os.environ |= {
        "OCMS_API_KEYS": ",".join(str(ApiKey(caller, hash_key(key))) for caller, key in KEYS.items()),
        "OCMS_CAS_URL": f"http://127.0.0.1:{cas_port}",
        "OCMS_CAS_API_KEY": DEMO_KEYS["OCMS"],
        "OCMS_TRUST_ENVIRONMENT": "false",  # a proxy cannot reach the mock CAS on this machine
    }
    os.environ.setdefault("OCMS_LOG_FORMAT", "console")  # the demo is read by a person at a terminal
    settings = load_settings()
    configure_logging(settings.log_format)
    _prepare(settings)
    control_port = control_port_for(cas_port, taken=port)
    with _processes() as processes:
        _start(processes, "serve", _serve, port)
        _start(processes, "mock-cas", _run, main, f"mock-cas --port {cas_port} --control-port {control_port}")
        for wanted in (cas_port, port):
            _wait_for(wanted, processes, stop)
        refresh = _start(processes, "jobs run", _run, main, f"jobs run {NAME}")
        while refresh.is_alive() and not stop.wait(0.1):
            pass
        if not stop.is_set():
            processes.remove(refresh)
            _start(processes, "jobs loop", _run, main, "jobs loop")
            _print_addresses("https" if settings.tls_cert_file else "http", port, cas_port, control_port)
        while not stop.wait(0.2):
            _require_alive(processes)


def _prepare(settings: Settings) -> None:
    database = open_database(settings)
    open_demo_file(database)
    migration.upgrade(database)
    with database.writing() as conn:
        if not has_notices(conn):
            seed_notices(conn, NOTICES, lambda _: None)
            seed_vehicles(conn, vehicles(DEFAULT_COUNT))
        set_dayend_flag(conn, dayend_date(utc_now(), settings.dayend_window), "Y")
    database.close()


def _serve(port: int) -> None:
    """Serve the API as `ocms serve` does, but accept the demo's keys, which that command refuses."""
    try:
        serve(create_service(load_settings()), create_service, "127.0.0.1", port)
    except OperatorError as error:
        sys.exit(f"ocms: {error}")


def _run(main: Callable[[], None], command: str) -> None:
    end_with_parent()
    sys.argv = ["ocms", *command.split()]
    main()


Processes = list[BaseProcess]


def _start(processes: Processes, name: str, target: Callable[..., None], *arguments: object) -> BaseProcess:
    process = get_context("spawn").Process(target=target, name=name, args=arguments)
    # Ctrl-C reaches every process, and one that is still starting would print a traceback. The child inherits this
    # mask, so only the SIGTERM of `_processes` stops it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    processes.append(process)
    return process


@contextmanager
def _processes() -> Iterator[Processes]:
    """Yield a list for processes, and stop those in it when the block ends."""
    processes: Processes = []
    try:
        yield processes
    finally:
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()


def _wait_for(port: int, processes: Processes, stop: threading.Event) -> None:
    for _ in range(START_SECONDS * 10):
        _require_alive(processes)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0 or stop.wait(0.1):
                return
    raise OperatorError(f"nothing listens on port {port} after {START_SECONDS} seconds; the log above says why")


def _require_alive(processes: Processes) -> None:
    for process in processes:
        if not process.is_alive():
            name, code = process.name, process.exitcode
            raise OperatorError(f"'{name}' has stopped with exit code {code}; the log above says why")


def _print_addresses(scheme: str, port: int, cas_port: int, control_port: int) -> None:
    print(  # noqa: T201
        f"""
OCMS      {scheme}://127.0.0.1:{port}   read and try it: {scheme}://127.0.0.1:{port}/docs
mock CAS  http://127.0.0.1:{cas_port}   read it: http://127.0.0.1:{cas_port}/docs
          make it fail: curl -X PUT http://127.0.0.1:{control_port} -d '{{"fault": "down"}}'   ("none" ends it)
keys      X-API-Key: {KEYS["CAS"]} for CAS, {KEYS["PLUS"]} for PLUS
Day-end is set for today, so court notices can be updated. Press Ctrl-C to stop.
""",
        flush=True,
    )
