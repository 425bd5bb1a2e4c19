"""Running an ASGI app on uvicorn."""

import errno
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from ocms.errors import OperatorError

_log = structlog.get_logger(__name__)

SHUTDOWN_SECONDS = 3
"""How long requests in flight may take when the server stops."""


def serve(app: ASGIApp | str, host: str, port: int, workers: int = 1) -> None:
    """Serve an app until SIGINT or SIGTERM; an app for several workers is given as the path of its factory.

    Raises OperatorError when the address cannot be used.
    """
    listener = listen(host, port)
    _log.info("serving", host=host, port=port, workers=workers)
    config = server_config(app, workers=workers, factory=isinstance(app, str))
    if workers > 1:
        Multiprocess(config, sockets=[listener]).run()
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn stops in good order and passes signals on
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def serving(app: ASGIApp, listener: socket.socket, **options: Any) -> Iterator[None]:
    """Serve an app in a thread for the time of the block."""
    server = uvicorn.Server(server_config(app, **options))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


def server_config(app: ASGIApp | str, workers: int = 1, **options: Any) -> uvicorn.Config:
    """Return how uvicorn runs our apps: our own logs, no banner, no web sockets.

    asyncio's loop takes on all callers that wait, so that none of a burst waits long; of several workers the first one
    would take them all, so those have uvloop, which takes on one a turn.
    """
    return uvicorn.Config(
        app,
        interface="asgi3",
        loop="asyncio" if workers == 1 else "uvloop",
        workers=workers,
        http="h11",  # limits the headers, and keeps the body of a request that offers an upgrade
        proxy_headers=False,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        **options,
    )


def require_free(host: str, port: int) -> None:
    """Raise OperatorError when the address cannot be used."""
    listen(host, port).close()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises OperatorError when the address cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # told so, asyncio sets TCP_NODELAY
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        advice = "; choose another port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else ""
        raise OperatorError(f"cannot listen on {host}:{port}: {error.strerror}{advice}") from error
    listener.set_inheritable(True)
    return listener
