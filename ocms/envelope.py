"""The outermost layer: every request gets a correlation id, every failure the one error body."""

import asyncio
import time
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ocms.contract import MEDIA_TYPE, Contract
from ocms.errors import (
    ForbiddenError,
    InvalidRequestError,
    OcmsError,
    ServerError,
    UnauthorizedError,
    UnavailableError,
)

CORRELATION_HEADER = "X-Correlation-ID"
SECURE_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

_encode = msgspec.json.Encoder(decimal_format="number").encode
_log = structlog.get_logger(__name__)


class Envelope:
    """Wraps the app: names each call, turns what is raised into the body of the contract, and logs one line a call."""

    def __init__(self, app: ASGIApp, contract: Contract) -> None:
        self._app = app
        self._contract = contract
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
        status = 0

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(raw=message["headers"])[CORRELATION_HEADER] = correlation_id
            await send(message)

        with structlog.contextvars.bound_contextvars(correlation_id=correlation_id):
            try:
                await self._app(scope, receive, send_named)
            except (Exception, asyncio.CancelledError) as raised:
                if status:
                    raise
                error = _as_ocms_error(raised)
                body = self._contract.error_body(error, correlation_id)
                await send_json(send_named, error.status, body, error.headers)
                if isinstance(raised, asyncio.CancelledError):
                    raise
            finally:
                _log.info(
                    "call",
                    method=scope["method"],
                    path=scope["path"][:200],
                    caller=state.get("caller"),
                    status=status,
                    seconds=round(time.perf_counter() - started, 4),
                )


async def send_json(send: Send, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
    """Send a JSON answer; decimals go out as exact numbers."""
    content = _encode(body)
    fields = {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(content)), **SECURE_HEADERS, **(headers or {})}
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
    if isinstance(error, UnavailableError):
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
