"""The validators that connexion calls for each request and response. They use what the contract compiled once.

connexion creates one validator object per request, so these hold no compiled schema themselves.
"""

from typing import Any

from connexion.exceptions import NonConformingResponse
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from contract.document import Contract, Operation
from contract.errors import InvalidRequestError
from contract.json import parse_json
from ocms.web.request_state import request_state


def find_operation_id(scope: Scope) -> str | None:
    """Return the operation that connexion's routing found; None if the path is not in the contract."""
    found: str | None = scope["extensions"]["connexion_routing"]["operation_id"]
    return found


class QueryValidator:
    """Parses and validates the query string."""

    def __init__(self, contract: Contract, *_: Any, **__: Any) -> None:
        self._contract = contract

    def validate(self, scope: Scope) -> None:
        """Put the query parameters into the request state. Raises InvalidRequestError."""
        request_state(scope).query = _operation(self._contract, scope).query.parse(scope["query_string"])


class BodyValidator:
    """Reads the body. The dispatcher parses and validates it, since a large one needs a thread."""

    def __init__(self, contract: Contract, *, encoding: str, **_: Any) -> None:
        self._contract = contract
        self._encoding = encoding

    async def wrap_receive(self, receive: Receive, *, scope: Scope) -> tuple[Receive, Scope]:
        """Put the body into the request state. Raises InvalidRequestError."""
        body = _operation(self._contract, scope).body
        compressed = any(coding.lower() != "identity" for coding in Headers(scope=scope).getlist("content-encoding"))
        if self._encoding not in ("utf-8", "utf8", "us-ascii") or compressed:
            raise InvalidRequestError(status=415)
        if body is not None:
            request_state(scope).body = await self._read(receive, scope, body.max_bytes)
        return receive, scope

    async def _read(self, receive: Receive, scope: Scope, max_bytes: int) -> bytes:
        state = request_state(scope)
        chunks, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise InvalidRequestError("the caller disconnected before the end of the body")
            if state.refusal:  # set while the body was arriving, for example because it took too long
                raise state.refusal
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > max_bytes:
                raise InvalidRequestError(status=413)
            chunks.append(chunk)
            more = message.get("more_body", False)
        return b"".join(chunks)


class ResponseValidator:
    """Validates a response before it is sent. A fault is logged; the caller receives a 500 without details."""

    def __init__(self, contract: Contract, scope: Scope, **_: Any) -> None:
        self._responses = _operation(contract, scope).responses

    def wrap_send(self, send: Send) -> Send:
        """Return a `send` that holds the response back until it is validated."""
        start: Message = {}

        async def send_valid(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            response = self._responses.get(str(start["status"]))
            faults = response.faults(parse_json(message["body"])) if response else "undocumented status"
            if faults:
                raise NonConformingResponse(f"response {start['status']} does not conform to the contract: {faults}")
            await send(start)
            await send(message)

        return send_valid


def _operation(contract: Contract, scope: Scope) -> Operation:
    return contract.operations[find_operation_id(scope) or ""]
