"""The outermost layer: every request gets a correlation id, every failure the one error body."""

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

from ocms.contract import MEDIA_TYPE, Contract
from ocms.errors import (
    BusyError,
    ForbiddenError,
    InvalidRequestError,
    OcmsError,
    ServerError,
    UnauthorizedError,
    UnavailableError,
)
from ocms.limits import DEFAULT
from ocms.protocol import ARRIVED, CLOSING, REFUSED

CORRELATION_HEADER = "X-Correlation-ID"
SECURE_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
]
"""Of every answer that does not have its own."""
HSTS = (b"strict-transport-security", b"max-age=31536000")

LONGEST_PATH = 200
AUDITED = ("caller", "operation", "counts", "reason")
"""What the line of a call tells besides, where it is known."""

_encode = msgspec.json.Encoder(decimal_format="number").encode
_log = structlog.get_logger(__name__)


class Envelope:
    """Wraps the app: names each call, turns what is raised into the body of the contract, and logs one line a call.

    A call that has waited for longer than `max_wait` seconds since it arrived is told to come back later.
    """

    def __init__(self, app: ASGIApp, contract: Contract, max_wait: float = DEFAULT.wait) -> None:
        self._app = app
        self._contract = contract
        self._max_wait = max_wait
        self._sane = contract.validator("CorrelationId").is_valid

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = Headers(scope=scope)
        given = headers.get(CORRELATION_HEADER, "")
        correlation_id = given if self._sane(given) else uuid.uuid4().hex
        state = scope.setdefault("state", {})
        state["correlation_id"] = correlation_id
        _normalise_content_type(scope, headers)
        named = [(CORRELATION_HEADER.lower().encode(), correlation_id.encode())]
        status = 0

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = {name for name, _ in message["headers"]}
                more = [header for header in SECURE_HEADERS if header[0] not in given]
                more += [HSTS] * (scope["scheme"] == "https") + [CLOSE_HEADER] * (CLOSING in state)
                message["headers"] = [*message["headers"], *named, *more]
            await send(message)

        with structlog.contextvars.bound_contextvars(correlation_id=correlation_id):
            try:
                self._require_room(state)
                await self._app(scope, receive, send_named)
            except (Exception, asyncio.CancelledError) as raised:
                if status:
                    raise
                error = _as_ocms_error(raised)
                state["reason"] = str(error)
                body = self._contract.error_body(error, correlation_id)
                await send_json(send_named, error.status, body, error.headers)
                if isinstance(raised, asyncio.CancelledError):
                    raise
            finally:
                _log.info(
                    "call",
                    method=scope["method"],
                    path=scope["path"][:LONGEST_PATH],
                    client=(scope["client"] or [None])[0],
                    status=status,
                    seconds=round(time.perf_counter() - started, 4),
                    **{name: state[name] for name in AUDITED if name in state},
                )

    def _require_room(self, state: dict[str, Any]) -> None:
        """Raise what the connection was refused for, or BusyError when the call has waited too long."""
        if error := state.get(REFUSED):
            raise error
        if time.monotonic() - state.get(ARRIVED, math.inf) > self._max_wait:
            raise BusyError(f"a call waited longer than {self._max_wait:g} s")


async def send_json(send: Send, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
    """Send a JSON answer; decimals go out as exact numbers."""
    content = _encode(body)
    fields = {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(content)), **(headers or {})}
    raw = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": content})


def _as_ocms_error(raised: BaseException) -> OcmsError:
    """Translate what the frameworks raise; log what is wrong here."""
    match raised:
        case OcmsError():
            error = raised
        case asyncio.CancelledError():
            error = UnavailableError("the server is stopping")
        case HTTPException(status_code=401):
            error = UnauthorizedError()
        case HTTPException(status_code=403):
            error = ForbiddenError()
        case HTTPException(status_code=status) if 400 <= status < 500:  # noqa: PLR2004  # the class of client errors
            error = InvalidRequestError(status=status, headers=raised.headers)
        case _:
            error = ServerError()
    if isinstance(error, BusyError):
        pass  # the line of the call says it, of which there are many then
    elif isinstance(error, UnavailableError):
        _log.error("unavailable", error=str(error))
    elif isinstance(error, ServerError):
        _log.error("unexpected_error" if error is not raised else "server_error", error=str(error), exc_info=raised)
    return error


def _normalise_content_type(scope: Scope, headers: Headers) -> None:
    """Write the media type the one way in which connexion recognises it.

    Media types ignore case and blanks, connexion does not, and skips validation for a type that it does not recognise.
    """
    given = ", ".join(headers.getlist("content-type"))
    if not given or given == MEDIA_TYPE:
        return
    media_type, *parameters = (part.strip().lower() for part in given.split(";"))
    value = ";".join([media_type, *(parameter.replace('"', "") for parameter in parameters)])
    scope["headers"] = [item for item in scope["headers"] if item[0] != b"content-type"]
    scope["headers"].append((b"content-type", value.encode("latin-1")))
