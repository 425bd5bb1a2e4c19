"""Run an ASGI application on uvicorn."""

import asyncio
import errno
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from ipaddress import IPv6Address, ip_address
from multiprocessing import parent_process
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from domain.errors import OperatorError
from ocms.children import end_with_parent
from ocms.settings import DEFAULTS, Settings
from ocms.web.protocol import Protocol
from ocms.web.service import Service

_log = structlog.get_logger(__name__)

SHUTDOWN_SECONDS = 3
"""Seconds that requests in progress may take when the server stops."""
BACKLOG = 512
"""The number of connections that the operating system queues, and that asyncio accepts in one turn of its loop."""
OTHER_FILES = 200 + BACKLOG
"""Open files of a worker besides accepted connections: database, log, event loop, connections being refused."""


def serve(
    app: ASGIApp,
    create: Callable[[Settings], ASGIApp],
    host: str,
    port: int,
    workers: int = 1,
) -> None:
    """Serve an application until SIGINT or SIGTERM; SIGHUP reloads it. Several workers each call `create` instead.

    Raises OperatorError if the address cannot be used.
    """
    settings = app.settings if isinstance(app, Service) else DEFAULTS
    _allow_files(settings.max_connections + OTHER_FILES)
    listener = listen(host, port)
    _log.info("serving", host=host, port=port, workers=workers, tls=bool(settings.tls_cert_file))
    if workers > 1:
        config = server_config(partial(create, settings), workers, settings, factory=True)
        Workers(config, [listener], app, create).run()
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn shuts down, then raises the signal again
        with suppress(KeyboardInterrupt):
            uvicorn.Server(server_config(app, 1, settings)).run(sockets=[listener])


class Workers(Multiprocess):
    """Runs several server processes."""

    def __init__(
        self, config: "Config", sockets: list[socket.socket], app: ASGIApp, create: Callable[[Settings], ASGIApp]
    ) -> None:
        super().__init__(config, sockets)
        self._app = app
        self._create = create
        release_reload()

    def handle_hup(self) -> None:
        """Reload the application here, which validates and logs the changes. If that succeeds, reload each worker.

        The signal ends a worker that is still starting; uvicorn then starts it again with the new settings.
        """
        if isinstance(self._app, Service) and self._app.reload():
            self.config.app = partial(self._create, self._app.settings)
            for process in self.processes:
                if process.pid and process.process.is_alive():
                    os.kill(process.pid, signal.SIGHUP)


class Config(uvicorn.Config):
    """uvicorn's configuration, with the TLS context of our application and its reload."""

    def load(self) -> None:
        """Load the application in the process that serves it; uvicorn calls this in the event loop."""
        end_with_parent()
        try:
            super().load()
        except OperatorError as error:  # files may have changed since the first workers started
            _log.error("worker_not_started", error=str(error))
            sys.exit(1)
        service = self.loaded_app
        if isinstance(service, Service):
            self.ssl = service.tls or self.ssl
            if threading.current_thread() is threading.main_thread():
                reload = partial(service.reload, quiet=parent_process() is not None)
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
                release_reload()


def hold_reload() -> None:
    """Keep SIGHUP pending until the application can be reloaded; otherwise the signal would end the process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


def release_reload() -> None:
    """Deliver a SIGHUP that is pending."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


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


def server_config(app: ASGIApp | Callable[[], ASGIApp], workers: int, settings: Settings, **options: Any) -> Config:
    """Return uvicorn's configuration for our applications: our own logs, no server header, no web sockets.

    One worker: asyncio, which accepts the whole backlog. Several: uvloop, otherwise the first takes all.
    """
    return Config(
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
        _require_explicit(host, listener.getsockname()[0])
        listener.listen(BACKLOG)
    except (UnicodeError, TypeError):  # which of the two depends on the bytes
        listener.close()
        raise OperatorError(f"--host {host!r} is not an address") from None
    except OperatorError:
        listener.close()
        raise
    except OSError as error:
        listener.close()
        advice = "; choose another port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else ""
        raise OperatorError(f"cannot listen on {host}:{port}: {error.strerror}{advice}") from error
    listener.set_inheritable(True)
    return listener


def _require_explicit(host: str, bound: str) -> None:
    """Raise OperatorError if an address such as '', '0' or '::ffff:0.0.0.0' would listen on every IPv4 interface.

    Only 0.0.0.0 may, which says so, and the IPv6 address of every interface.
    """
    address = ip_address(bound)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    if (mapped or address).is_unspecified:
        try:
            explicit = mapped is None and bool(ip_address(host))
        except ValueError:
            explicit = False
        if not explicit:
            raise OperatorError(f"--host {host!r} is not an address; 0.0.0.0 is every IPv4 interface")
