"""uvicorn's HTTP/1.1 protocol, with limits on time and connections and with our error body for invalid HTTP.

A request that is refused here passes through the application with the error in its state, so it gets a correlation id
and an access log line like any other request.
"""

import asyncio
import sys
import time
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from contract.errors import BusyError, InvalidRequestError, OcmsError
from ocms.settings import Settings
from ocms.web.request_state import KEY, RequestState
from ocms.web.strict_http import Fault, StrictConnection

CHECK_INTERVAL = 1.0
"""Seconds between two checks of the time limits of a connection."""
DRAIN = 0.5
"""Seconds for which an idle connection stays open when the server stops, since a request may be on its way."""
TIMEOUT = 408
TOO_LARGE_HEAD = 431
READ_BYTES = 16 * 1024
"""The maximum bytes of a read. h11 parses 16 KiB of tiny HTTP chunks in 40 ms, which blocks every other connection."""
REASONS = {
    "illegal request line": "the request line is malformed",
    "illegal method": "the method is malformed",
    "illegal target": "the target is malformed",
    "illegal header": "a header line is malformed",
    "continuation line": "a header line is malformed",
    "missing mandatory host": "the request has no Host header",
    "found multiple host": "the request has more than one Host header",
    "bad content-length": "Content-Length is malformed",
    "conflicting content-length": "the request has different lengths",
    "multiple transfer-encoding": "the request has more than one Transfer-Encoding header",
    "only transfer-encoding": "the transfer coding is not supported",
    "illegal chunk": "a chunk of the body is malformed",
    "malformed chunk": "a chunk of the body is malformed",
    "receive buffer too long": "the head of the request is too large",
    **{fault.lower(): fault.value for fault in Fault},
}
"""The reason in the access log, by the beginning of h11's error message. The rest can contain bytes of the request."""

_INCOMPLETE = (h11.IDLE, h11.SEND_BODY)


class Protocol(H11Protocol, asyncio.BufferedProtocol):
    """One connection of a client."""

    def __init__(self, settings: Settings, **options: Any) -> None:
        super().__init__(**options)
        self.conn = StrictConnection()
        self._settings = settings
        self._begun: float | None = None
        """When the incomplete request began, or the connection if nothing has arrived yet; None between requests."""
        self._unread = (0, 0.0)
        """The number of bytes that wait to be sent, and since when this number is unchanged."""
        self._stopping = False
        """Whether the server is stopping."""
        self._check_timer: asyncio.TimerHandle | None = None
        self._buffer = memoryview(bytearray(READ_BYTES))  # a memoryview, because TLS slices it

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer for the next read."""
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Process the bytes that were read."""
        self.data_received(bytes(self._buffer[:nbytes]))

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """Accept the connection. It may stay idle for `keep_alive`, since gateways open connections in advance."""
        super().connection_made(transport)
        self._begun = time.monotonic()
        self._check_timer = self.loop.call_later(CHECK_INTERVAL, self._check)
        if len(self.connections) > self._settings.max_connections:
            self._respond(BusyError("too many connections"))  # at once: it may never send a request

    def connection_lost(self, exc: Exception | None) -> None:
        """Release what belongs to the connection."""
        if self._check_timer:
            self._check_timer.cancel()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # uvicorn leaves this timer, which holds the last request, after a reset

    def _should_upgrade(self) -> bool:
        return False  # without uvicorn's warning, which recommends a library for web sockets

    def data_received(self, data: bytes) -> None:
        """Process received bytes."""
        now, was_idle = time.monotonic(), self.conn.their_state is h11.IDLE
        self._begun = self._begun or now
        self._expect_request(now)
        super().data_received(data)
        if self.conn.their_state not in _INCOMPLETE:
            self._begun = None
        elif self.conn.their_state is h11.IDLE and not was_idle and not self.conn.trailing_data[0]:
            self._become_idle()  # this was the rest of a body whose response was sent before it ended
        if self._stopping and self._running:
            self.cycle.keep_alive = False

    def on_response_complete(self) -> None:
        """Continue with the next request, which may have arrived already."""
        self._expect_request(time.monotonic())
        super().on_response_complete()

    def _expect_request(self, now: float) -> None:
        """Create the state of the next request. uvicorn copies `app_state` into the scope of each request."""
        self.app_state = {**self.app_state, KEY: RequestState(arrived=now, closing=self._stopping)}

    def _become_idle(self) -> None:
        self._begun = None
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def shutdown(self) -> None:
        """Close the connection after the response to a request that is in progress, or that arrives within `DRAIN`."""
        self._stopping = True
        if self._running:
            self._running_state.closing = True
            self.cycle.keep_alive = False
        else:
            self.loop.call_later(DRAIN, self._shutdown_now)

    def _shutdown_now(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Refuse invalid HTTP. uvicorn calls this in the `except` clause for h11's error."""
        error = sys.exception()
        hint = getattr(error, "error_status_hint", 400)
        text = str(error).lower()
        reason = next((reason for beginning, reason in REASONS.items() if text.startswith(beginning)), msg)
        self._refuse(InvalidRequestError(reason, status=hint if hint == TOO_LARGE_HEAD else 400))

    def _refuse(self, error: OcmsError) -> None:
        """Respond with an error, and close the connection.

        If a response has started, only close the connection. While a complete request is being served, do nothing.
        """
        self._begun = None
        if self._running and not self.cycle.more_body:
            return
        if self._running and not self.cycle.response_started:
            self._running_state.refusal, self._running_state.closing = error, True
            self.cycle.more_body = False
            self.cycle.message_event.set()  # wakes the reader of the body, which raises the refusal
        elif self._running or self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
        else:
            self._respond(error)

    def _respond(self, error: OcmsError) -> None:
        """Run the application for a request that could not be read, with the error in its state."""
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
            "state": {**self.app_state, KEY: RequestState(refusal=error, closing=True)},
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

    def _check(self) -> None:
        """Refuse a request that arrives too slowly. Close a connection that is idle, or whose client reads nothing."""
        self._check_timer = self.loop.call_later(CHECK_INTERVAL, self._check)
        now, limit = time.monotonic(), self._settings.body_timeout
        is_silent = self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]  # nothing has arrived yet
        unread = self.transport.get_write_buffer_size()
        if unread != self._unread[0]:
            self._unread = (unread, now)
        if unread and now - self._unread[1] > limit:
            self.transport.abort()
        elif self._begun is None or now - self._begun <= (self._settings.keep_alive if is_silent else limit):
            return
        elif is_silent:
            self.transport.abort()  # there is nothing to respond to
        else:
            self._refuse(InvalidRequestError("the request did not arrive in time", status=TIMEOUT))

    @property
    def _running(self) -> bool:
        """Whether a response is not complete yet."""
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        return cycle is not None and not cycle.response_complete

    @property
    def _running_state(self) -> RequestState:
        state: RequestState = self.cycle.scope["state"][KEY]
        return state
