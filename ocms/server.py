"""Running an ASGI app on uvicorn."""

import errno
import resource
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NamedTuple

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from ocms.errors import OperatorError
from ocms.limits import DEFAULT, Limits
from ocms.protocol import Protocol

_log = structlog.get_logger(__name__)

SHUTDOWN_SECONDS = 3
"""How long requests in flight may take when the server stops."""
BACKLOG = 512
"""How many callers may wait to be connected, and how many a worker takes on in one turn."""
OTHER_FILES = 200 + BACKLOG
"""What a worker opens besides: the database, the log, the loop, and callers that it is just refusing."""


class Tls(NamedTuple):
    """The certificate of a server, in PEM form, with its key."""

    cert_file: str
    key_file: str | None = None
    key_password: str | None = None

    def options(self) -> dict[str, Any]:
        """Return how uvicorn takes it. Raises OperatorError when it cannot be used."""
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                self.cert_file, self.key_file, self.key_password or ""
            )
        except (OSError, ValueError) as error:  # of which those of TLS are kinds
            reason = getattr(error, "strerror", None) or error
            raise OperatorError(f"OCMS_TLS_CERT_FILE and OCMS_TLS_KEY_FILE cannot be used: {reason}") from None
        return {
            "ssl_certfile": self.cert_file,
            "ssl_keyfile": self.key_file,
            "ssl_keyfile_password": self.key_password,
            "ssl_context_factory": _tls_context,
        }


def serve(  # noqa: PLR0913  # how it is served, each given once
    app: ASGIApp | str,
    host: str,
    port: int,
    workers: int = 1,
    *,
    limits: Limits = DEFAULT,
    tls: Tls | None = None,
) -> None:
    """Serve an app until SIGINT or SIGTERM; an app for several workers is given as the path of its factory.

    Raises OperatorError when the address or the certificate cannot be used.
    """
    options = tls.options() if tls else {}
    _allow_files(limits.connections + OTHER_FILES)
    listener = listen(host, port)
    _log.info("serving", host=host, port=port, workers=workers, tls=bool(tls))
    config = server_config(app, workers=workers, limits=limits, factory=isinstance(app, str), **options)
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


def server_config(app: ASGIApp | str, workers: int = 1, *, limits: Limits = DEFAULT, **options: Any) -> uvicorn.Config:
    """Return how uvicorn runs our apps: our own logs, no banner, no web sockets.

    asyncio's loop takes on all callers that wait, so that none of a burst waits long; of several workers the first one
    would take them all, so those have uvloop, which takes on one a turn.
    """
    return uvicorn.Config(
        app,
        interface="asgi3",
        loop="asyncio" if workers == 1 else "uvloop",
        workers=workers,
        http=partial(Protocol, limits),  # type: ignore[arg-type]  # uvicorn calls it as it does the class
        proxy_headers=False,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        backlog=BACKLOG,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        **options,
    )


def _allow_files(wanted: int) -> None:
    """Let the process, and its workers, have so many files open, or as many as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft != unlimited and soft < wanted:
        allowed = wanted if hard == unlimited else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < wanted:
            _log.warning("too_few_files", allowed=allowed, wanted=wanted, advice="raise 'ulimit -n'")


def _tls_context(config: uvicorn.Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    del config
    context = default()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


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
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        advice = "; choose another port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else ""
        raise OperatorError(f"cannot listen on {host}:{port}: {error.strerror}{advice}") from error
    listener.set_inheritable(True)
    return listener
