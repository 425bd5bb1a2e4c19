"""Running an ASGI application on uvicorn."""

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
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from domain.errors import OperatorError
from ocms.settings import DEFAULTS, Settings
from ocms.web.protocol import Protocol

_log = structlog.get_logger(__name__)

SHUTDOWN_SECONDS = 3
"""How long requests in progress may take when the server stops."""
BACKLOG = 512
"""How many connections the operating system queues, and how many a worker accepts in one turn of its loop."""
OTHER_FILES = 200 + BACKLOG
"""Open files of a worker that are not callers' connections: database, log, loop, connections being refused."""


def serve(app: ASGIApp | str, host: str, port: int, workers: int = 1, settings: Settings = DEFAULTS) -> None:
    """Serve an application until SIGINT or SIGTERM. For several workers, `app` is the path of its factory.

    Raises OperatorError if the address or the certificate cannot be used.
    """
    tls = tls_options(settings)
    _allow_files(settings.max_connections + OTHER_FILES)
    listener = listen(host, port)
    _log.info("serving", host=host, port=port, workers=workers, tls=bool(tls))
    config = server_config(app, workers, settings, factory=isinstance(app, str), **tls)
    if workers > 1:
        Multiprocess(config, sockets=[listener]).run()
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn shuts down, then raises the signal again
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def serving(app: ASGIApp, listener: socket.socket, settings: Settings = DEFAULTS, **options: Any) -> Iterator[None]:
    """Serve an application in a thread until the block ends. `options` are uvicorn's."""
    server = uvicorn.Server(server_config(app, 1, settings, **options))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


def server_config(app: ASGIApp | str, workers: int, settings: Settings, **options: Any) -> uvicorn.Config:
    """Return uvicorn's configuration for our applications: our own logs, no server header, no web sockets.

    One worker: asyncio, which accepts the whole backlog. Several: uvloop, otherwise the first takes all.
    """
    return uvicorn.Config(
        app,
        interface="asgi3",
        loop="asyncio" if workers == 1 else "uvloop",
        workers=workers,
        http=partial(Protocol, settings),  # type: ignore[arg-type]  # uvicorn calls it like the class
        proxy_headers=False,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        backlog=BACKLOG,
        timeout_keep_alive=settings.keep_alive,  # type: ignore[arg-type]  # it accepts fractions of a second
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        **options,
    )


def tls_options(settings: Settings) -> dict[str, Any]:
    """Return uvicorn's options for TLS; none without a certificate. Raises OperatorError if it cannot be used."""
    if not settings.tls_cert_file:
        return {}
    password = settings.tls_key_password.get_secret_value()
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file, password)
    except (OSError, ValueError) as error:  # TLS errors are subclasses of these
        reason = getattr(error, "strerror", None) or error
        raise OperatorError(f"OCMS_TLS_CERT_FILE and OCMS_TLS_KEY_FILE cannot be used: {reason}") from None
    return {
        "ssl_certfile": settings.tls_cert_file,
        "ssl_keyfile": settings.tls_key_file,
        "ssl_keyfile_password": password,
        "ssl_context_factory": _tls_context,
    }


def _tls_context(config: uvicorn.Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    del config
    context = default()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _allow_files(wanted: int) -> None:
    """Raise the limit on open files of this process and its workers, as far as the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft != unlimited and soft < wanted:
        allowed = wanted if hard == unlimited else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < wanted:
            _log.warning("too_few_files", allowed=allowed, wanted=wanted, advice="raise 'ulimit -n'")


def require_free(host: str, port: int) -> None:
    """Raise OperatorError if the address cannot be used."""
    listen(host, port).close()


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises OperatorError if the address cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only if the socket names its protocol
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
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
