"""uvicorn's HTTP/1.1 with what it lacks: limits of time and number, and the error body for what is no HTTP.

A request that is refused here still goes through the app, with the error in its state, so that it is answered, named
and logged like any other.
"""

import asyncio
import sys
import time
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from ocms.errors import BusyError, InvalidRequestError, OcmsError
from ocms.limits import Limits

REFUSED, ARRIVED, CLOSING = "refused", "arrived", "closing"
"""What a request's state may hold: the error to answer, when its last part came (monotonic), and that the connection
is closed after the answer."""
LOOK = 1.0
"""Seconds between two looks at how long a connection has waited."""
LAST_CALL = 0.5
"""Seconds in which a request that is on its way may still come when the server stops."""
TIMEOUT = 408
TOO_LARGE_HEAD = 431

READ_BYTES = 16 * 1024
"""What is read at a time: in the smallest chunks h11 takes 40 ms for so many bytes, and all others wait for it."""

_INCOMPLETE = (h11.IDLE, h11.SEND_BODY)


class Protocol(H11Protocol, asyncio.BufferedProtocol):
    """A connection."""

    def __init__(self, limits: Limits, **options: Any) -> None:
        super().__init__(**options)
        self._limits = limits
        self._begun: float | None = None
        """When the request began that has not come to its end."""
        self._unread = (0, 0.0)
        """How many bytes of answers the caller has not taken, and since when it is that many."""
        self._watch: asyncio.TimerHandle | None = None
        self._buffer = memoryview(bytearray(READ_BYTES))  # of which TLS takes slices

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go."""
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take the bytes that have come."""
        self.data_received(bytes(self._buffer[:nbytes]))

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """Begin; the caller has to send something within the time of a body."""
        super().connection_made(transport)
        self._begun = time.monotonic()
        self._watch = self.loop.call_later(LOOK, self._look)
        if len(self.connections) > self._limits.connections:
            self._answer(BusyError("too many callers are connected"))  # at once, since it may never ask

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        if self._watch:
            self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what the caller has sent."""
        now = time.monotonic()
        self._begun = self._begun or now
        self._put(ARRIVED, now)
        super().data_received(data)
        if self.conn.their_state not in _INCOMPLETE:
            self._begun = None
        elif self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            self._rest()  # that was the end of a body whose answer was there before
        if CLOSING in self.app_state and self._running:
            self.cycle.keep_alive = False

    def on_response_complete(self) -> None:
        """Go on with the next request, which may be here already."""
        self._put(ARRIVED, time.monotonic())
        super().on_response_complete()

    def _rest(self) -> None:
        self._begun = None
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def shutdown(self) -> None:
        """Close when the request that is served, or one that is on its way, is answered; the server stops."""
        self._put(CLOSING, "the server stops")
        if self._running:
            self.cycle.scope["state"][CLOSING] = "the server stops"
            self.cycle.keep_alive = False
        else:
            self.loop.call_later(LAST_CALL, self._leave)

    def _leave(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; uvicorn calls it while it handles h11's error."""
        error = sys.exception()
        hint = getattr(error, "error_status_hint", 400)
        self._refuse(InvalidRequestError(f"{msg} {error}", status=hint if hint == TOO_LARGE_HEAD else 400))

    def _refuse(self, error: OcmsError) -> None:
        """Answer an error and close; what came whole before it is answered first."""
        self._begun = None
        if self._running and not self.cycle.more_body:
            return
        if self._running and not self.cycle.response_started:
            self.cycle.scope["state"] |= {REFUSED: error, CLOSING: True}  # whoever reads the body will see it
            self.cycle.more_body = False
            self.cycle.message_event.set()
        elif self._running or self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
        else:
            self._answer(error)

    def _answer(self, error: OcmsError) -> None:
        self.headers = []
        self.scope = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme or "http",
            "method": "",
            "root_path": self.root_path,
            "path": "",
            "raw_path": b"",
            "query_string": b"",
            "headers": self.headers,
            "state": {**self.app_state, REFUSED: error, CLOSING: True},
        }
        self.cycle = RequestResponseCycle(
            scope=self.scope,
            conn=self.conn,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            on_response=self.on_response_complete,
        )
        self.cycle.keep_alive = False
        task = self.loop.create_task(self.cycle.run_asgi(self.app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _look(self) -> None:
        """Cut a connection whose caller neither sends nor reads on."""
        self._watch = self.loop.call_later(LOOK, self._look)
        now, limit = time.monotonic(), self._limits.body_time
        unread = self.transport.get_write_buffer_size()
        if unread != self._unread[0]:
            self._unread = (unread, now)
        if unread and now - self._unread[1] > limit:
            self.transport.abort()
        elif self._begun is None or now - self._begun <= limit:
            return
        elif self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            self.transport.abort()  # there is nothing to answer
        else:
            self._refuse(InvalidRequestError("the request did not come in time", status=TIMEOUT))

    @property
    def _running(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        return cycle is not None and not cycle.response_complete

    def _put(self, name: str, value: Any) -> None:
        self.app_state = {**self.app_state, name: value}
