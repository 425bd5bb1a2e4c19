"""Serving the mock CAS, with a second port that changes its behaviour while it runs."""

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from domain.errors import OperatorError
from ocms.mock_cas.app import MockCas, create_mock_cas
from ocms.mock_cas.faults import Fault
from ocms.web.server import listen, serving

CONTROL_HOST = "127.0.0.1"
"""The control port needs no key, so it accepts connections from this machine only."""
CONTROL_OFFSET = 10_000
"""The default distance of the control port from the port of CAS."""
LAST_PORT = 65535
CHECK_INTERVAL = 0.1
"""Seconds between two checks for the fault `down`."""

_log = structlog.get_logger(__name__)


def serve_mock_cas(mock: MockCas, key: str, host: str, port: int, control_port: int | None = None) -> None:
    """Serve a mock CAS until SIGINT or SIGTERM. Raises OperatorError if an address cannot be used."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    app, control = create_mock_cas(mock, key), _listen_for_control(port, control_port)
    url = f"http://{CONTROL_HOST}:{control.getsockname()[1]}"
    with serving(create_control(mock), control):
        while not stop.is_set():
            down = mock.fault is Fault.DOWN
            with _refusing(host, port) if down else serving(app, listen(host, port)):
                _log.info("mock_cas", host=host, port=port, control=url, **msgspec.to_builtins(mock))
                while (mock.fault is Fault.DOWN) == down and not stop.wait(CHECK_INTERVAL):
                    pass


def create_control(mock: MockCas) -> Starlette:
    """Return the application that shows the behaviour of the mock (GET) and changes members of it (PUT)."""

    async def control(request: Request) -> Response:
        if request.method == "PUT":
            try:
                changes = {
                    **msgspec.to_builtins(mock),
                    **msgspec.json.decode(await request.body(), type=dict[str, Any]),
                }
                changed = msgspec.convert(changes, MockCas)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                return Response(f"{error}\n", 400)
            for name in changed.__struct_fields__:
                setattr(mock, name, getattr(changed, name))
        return Response(msgspec.json.encode(mock) + b"\n", media_type="application/json")

    return Starlette(routes=[Route("/", control, methods=["GET", "PUT"])])


def control_port_for(port: int, taken: int) -> int:
    """Return a free control port: the default one if it is free and is not `taken`, otherwise any."""
    with _listen_for_control(port, 0 if taken == _near(port) else None) as control:
        return int(control.getsockname()[1])


def _near(port: int) -> int:
    return port + CONTROL_OFFSET if port + CONTROL_OFFSET <= LAST_PORT else port - CONTROL_OFFSET


def _listen_for_control(port: int, control_port: int | None) -> socket.socket:
    if control_port is not None:
        return listen(CONTROL_HOST, control_port)
    try:
        return listen(CONTROL_HOST, _near(port))
    except OperatorError:
        return listen(CONTROL_HOST, 0)


@contextmanager
def _refusing(host: str, port: int) -> Iterator[None]:
    """Reserve a port so that it refuses every connection: the fault `down`."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind((host, port))  # bound, but not listening
        except OSError as error:
            raise OperatorError(f"cannot hold {host}:{port}: {error.strerror}; choose another port") from error
        yield
