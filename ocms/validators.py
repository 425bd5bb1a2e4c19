"""Connexion's validators, compiled: it builds one for each request, and these only look up what is ready."""

from typing import Any

from connexion.exceptions import NonConformingResponse
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from ocms.contract import Contract, Operation
from ocms.errors import InvalidRequestError
from ocms.limits import Limits
from ocms.protocol import REFUSED
from ocms.validation import parse_json


def find_operation_id(scope: Scope) -> str | None:
    """Return the operation that connexion's routing has found; None when the path is not in the contract."""
    found: str | None = scope["extensions"]["connexion_routing"]["operation_id"]
    return found


class QueryValidator:
    """Connexion's parameter validator, compiled: reads the query once and leaves it to the dispatcher."""

    def __init__(self, contract: Contract, *_: Any, **__: Any) -> None:
        self._contract = contract

    def validate(self, scope: Scope) -> None:
        """Validate the query. Raises InvalidRequestError."""
        scope["state"]["query"] = _operation(self._contract, scope).query.parse(scope["query_string"])


class BodyValidator:
    """Connexion's body validator, compiled: parses the body once and leaves it to the dispatcher."""

    def __init__(self, contract: Contract, limits: Limits, *, encoding: str, **_: Any) -> None:
        self._contract = contract
        self._limits = limits
        self._encoding = encoding

    async def wrap_receive(self, receive: Receive, *, scope: Scope) -> tuple[Receive, Scope]:
        """Read and validate the body. Raises InvalidRequestError."""
        body = _operation(self._contract, scope).body
        compressed = any(coding.lower() != "identity" for coding in Headers(scope=scope).getlist("content-encoding"))
        if self._encoding not in ("utf-8", "utf8", "us-ascii") or compressed:
            raise InvalidRequestError(status=415)
        if body is not None:
            scope["state"]["body"] = body.parse(await self._read(receive, scope, body.max_bytes))
        return receive, scope

    async def _read(self, receive: Receive, scope: Scope, max_bytes: int) -> bytes:
        max_bytes = min(max_bytes, self._limits.body_bytes or max_bytes)
        chunks, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise InvalidRequestError("the caller hung up before the end of the body")
            if error := scope["state"].get(REFUSED):  # such as a body that does not come in time
                raise error
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > max_bytes:
                raise InvalidRequestError(status=413)
            chunks.append(chunk)
            more = message.get("more_body", False)
        return b"".join(chunks)


class AnswerValidator:
    """Connexion's response validator, compiled. A fault is logged; the caller learns only that something went wrong."""

    def __init__(self, contract: Contract, scope: Scope, **_: Any) -> None:
        self._answers = _operation(contract, scope).answers

    def wrap_send(self, send: Send) -> Send:
        """Hold an answer back until it is known to be as the contract says."""
        start: Message = {}

        async def send_valid(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            answer = self._answers.get(str(start["status"]))
            faults = answer.faults(parse_json(message["body"])) if answer else "undocumented status"
            if faults:
                raise NonConformingResponse(f"answer {start['status']} is not as the contract says: {faults}")
            await send(start)
            await send(message)

        return send_valid


def _operation(contract: Contract, scope: Scope) -> Operation:
    return contract.operations[find_operation_id(scope) or ""]
