"""The outermost layers: every request gets a correlation id and an access log line, every error the same error body.

`Envelope` is the outer layer and `ErrorBody` the inner one. CORS is between them, so that web pages can read
errors, and preflights are logged.
"""

import asyncio
import math
import time
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import CLOSE_HEADER

from contract.document import MEDIA_TYPE, Contract
from contract.errors import BusyError
from ocms.web.access_log import AccessLog, first_fault
from ocms.web.error_responses import error_response
from ocms.web.pages import PAGES
from ocms.web.request_state import RequestState, request_state

CORRELATION_HEADER = "X-Correlation-ID"
SECURE_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
]
"""Added to every response that does not set the header itself."""
HSTS = (b"strict-transport-security", b"max-age=31536000")
JSON_BODY = (b"content-type", MEDIA_TYPE.encode())
OF_BODY = ("content-type", "content-length")
"""Headers that describe the body of a response."""

encode_json = msgspec.json.Encoder(decimal_format="number").encode
"""Encodes a value as JSON; decimals become exact numbers."""


class Envelope:
    """Adds the correlation id, the secure headers and the access log line."""

    def __init__(self, app: ASGIApp, contract: Contract) -> None:
        self._app = app
        self._access_log = AccessLog([*PAGES, *(operation.path for operation in contract.operations.values())])
        self._is_correlation_id = contract.validator("CorrelationId").is_valid

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = Headers(scope=scope)
        given = headers.get(CORRELATION_HEADER, "")
        correlation_id = given if self._is_correlation_id(given) else uuid.uuid4().hex
        state = request_state(scope)
        state.correlation_id = correlation_id
        _normalise_content_type(scope, headers)
        correlation = [(CORRELATION_HEADER.lower().encode(), correlation_id.encode())]
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = {name for name, _ in message["headers"]}
                more = [header for header in SECURE_HEADERS if header[0] not in given]
                more += [HSTS] * (scope["scheme"] == "https") + [CLOSE_HEADER] * state.closing
                message["headers"] = [*message["headers"], *correlation, *more]
            await send(message)

        with structlog.contextvars.bound_contextvars(correlation_id=correlation_id):
            try:
                await self._app(scope, receive, send_with_headers)
            finally:
                self._access_log.write(scope, state, status, time.perf_counter() - started)


class ErrorBody:
    """Turns exceptions into error responses. A request that waited longer than `max_wait` seconds gets a 503.

    An error response of the framework, such as that to an invalid `Range`, gets the same error body.
    """

    def __init__(self, app: ASGIApp, contract: Contract, max_wait: float) -> None:
        self._app = app
        self._contract = contract
        self._max_wait = max_wait

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = request_state(scope)
        started = False

        async def send_if_own(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                _require_error_body(message)
                started = True
            await send(message)

        try:
            self._require_room(state)
            await self._app(scope, receive, send_if_own)
        except (Exception, asyncio.CancelledError) as raised:
            if started:
                raise
            error = error_response(raised)
            state.reason, state.fault = str(error), first_fault(error)
            body = self._contract.error_body(error, state.correlation_id)
            await send_json(send, error.status, body, error.headers)
            if isinstance(raised, asyncio.CancelledError):
                raise

    def _require_room(self, state: RequestState) -> None:
        """Raise the error for which the connection was refused, or BusyError if the request waited too long."""
        if state.refusal:
            raise state.refusal
        if time.monotonic() - (state.arrived or math.inf) > self._max_wait:
            raise BusyError(f"a call waited longer than {self._max_wait:g} s")


async def send_json(send: Send, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
    """Send a JSON response. `body` is a value, or bytes that are encoded JSON."""
    content = body if isinstance(body, bytes) else encode_json(body)
    fields = {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(content)), **(headers or {})}
    raw = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": content})


def _require_error_body(start: Message) -> None:
    """Raise HTTPException if an error response is not JSON, so that the error body replaces its body."""
    if start["status"] >= 400 and JSON_BODY not in start["headers"]:  # noqa: PLR2004  # the first status of an error
        kept = {name: value for name, value in Headers(raw=start["headers"]).items() if name not in OF_BODY}
        raise HTTPException(start["status"], headers=kept)


def _normalise_content_type(scope: Scope, headers: Headers) -> None:
    """Rewrite the media type to the only form that connexion recognises.

    Case, optional white space and quotes around a parameter have no meaning in a media type. connexion compares the
    whole text, and skips validation for a type that it does not recognise.
    """
    given = ", ".join(headers.getlist("content-type"))
    if not given or given == MEDIA_TYPE:
        return
    media_type, *parameters = (part.strip().lower() for part in given.split(";"))
    value = ";".join([media_type, *(parameter.replace('"', "") for parameter in parameters)])
    scope["headers"] = [item for item in scope["headers"] if item[0] != b"content-type"]
    scope["headers"].append((b"content-type", value.encode("latin-1")))
