"""The contract engine: connexion routes, secures and validates from a contract; a slim dispatcher calls the handlers.

Why this shape and not `AsyncApp`: docs/decisions/0001-contract-engine.md.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from copy import deepcopy
from datetime import datetime
from functools import partial
from typing import Any

from anyio.to_thread import run_sync
from connexion.exceptions import NonConformingResponse
from connexion.lifecycle import ConnexionRequest
from connexion.middleware import ConnexionMiddleware
from connexion.middleware.lifespan import LifespanMiddleware
from connexion.middleware.request_validation import RequestValidationMiddleware
from connexion.middleware.response_validation import ResponseValidationMiddleware
from connexion.middleware.routing import RoutingMiddleware
from connexion.middleware.security import SecurityMiddleware
from connexion.resolver import Resolver
from connexion.security import NO_VALUE, ApiKeySecurityHandler
from connexion.spec import Specification
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ocms.call import Call, Handler
from ocms.contract import EXTENSION, MEDIA_TYPE, Contract
from ocms.envelope import Envelope, send_json
from ocms.errors import ForbiddenError, InvalidRequestError, UnauthorizedError
from ocms.keys import KeyRing
from ocms.validation import parse_json

Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]


def contract_app(  # noqa: PLR0913  # the parts of an app, each given once
    contract: Contract,
    handlers: Mapping[str, Handler],
    *,
    keys: KeyRing,
    now: Callable[[], datetime],
    pages: ASGIApp,
    lifespan: Lifespan | None = None,
    validate_responses: bool = False,
) -> ASGIApp:
    """Return the ASGI app that serves a contract.

    `handlers` maps each operationId to its handler; `pages` answers every path that is not in the contract.
    Raises connexion's ResolverError when an operation has no handler.
    """
    app = ConnexionMiddleware(
        Dispatcher(contract, handlers, now, pages),
        middlewares=[
            StrictRouting,
            SecurityMiddleware,
            RequestValidationMiddleware,
            ResponseValidationMiddleware,
            LifespanMiddleware,
        ],
        lifespan=lifespan,
        resolver=Resolver(partial(_resolve, handlers)),
        security_map={"apiKey": partial(CallerKeyHandler, keys)},
        validator_map={
            "parameter": partial(QueryValidator, contract),
            "body": {MEDIA_TYPE: partial(BodyValidator, contract)},
            "response": {MEDIA_TYPE: partial(AnswerValidator, contract)},
        },
        validate_responses=validate_responses,
    )
    app.add_api(deepcopy(contract.document))
    return Envelope(app, contract)


class Dispatcher:
    """The innermost app: calls the handler of the operation that connexion has found."""

    def __init__(
        self, contract: Contract, handlers: Mapping[str, Handler], now: Callable[[], datetime], pages: ASGIApp
    ) -> None:
        self._contract = contract
        self._handlers = handlers
        self._now = now
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request in a worker thread."""
        operation_id = _operation_id(scope) if scope["type"] == "http" else None
        if operation_id is None:
            await self._pages(scope, receive, send)
            return
        state = scope["state"]
        call = Call(
            contract=self._contract,
            caller=state["caller"],
            query=state["query"],
            body=state["body"],
            correlation_id=state["correlation_id"],
            now=self._now(),
        )
        reply = await run_sync(self._handlers[operation_id], call)
        await send_json(send, reply.status, reply.body)


class StrictRouting(RoutingMiddleware):  # type: ignore[misc]  # connexion has no types
    """Connexion's routing, with a trailing slash being another path: a redirect would lose the body."""

    def add_api(self, specification: Specification, **kwargs: Any) -> None:
        """Route the operations of a contract."""
        super().add_api(specification, **kwargs)
        self.router.redirect_slashes = False
        for mount in self.router.routes:
            mount.app.redirect_slashes = False


class CallerKeyHandler(ApiKeySecurityHandler):  # type: ignore[misc]  # connexion has no types
    """Checks the API key of a security scheme, and that it belongs to the scheme's caller."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def get_fn(self, security_scheme: dict[str, Any], required_scopes: list[str]) -> Callable[[ConnexionRequest], Any]:
        """Return the check of one security scheme."""
        del required_scopes  # an API key has none
        header, wanted = security_scheme["name"], security_scheme[f"{EXTENSION}caller"]

        def check(request: ConnexionRequest) -> Any:
            presented = request.headers.getlist(header)
            if not presented:
                return NO_VALUE
            caller = self._keys.caller_of(presented[0]) if len(presented) == 1 else None
            if caller is None:
                raise UnauthorizedError
            if caller != wanted:
                raise ForbiddenError
            request.scope["state"]["caller"] = caller
            return {"sub": caller}

        return check


class QueryValidator:
    """Connexion's parameter validator, compiled: reads the query once and leaves it to the dispatcher."""

    def __init__(self, contract: Contract, *_: Any, **__: Any) -> None:
        self._contract = contract

    def validate(self, scope: Scope) -> None:
        """Validate the query. Raises InvalidRequestError."""
        operation = self._contract.operations[_operation_id(scope) or ""]
        scope["state"]["query"] = operation.query.parse(scope["query_string"])


class BodyValidator:
    """Connexion's body validator, compiled: parses the body once and leaves it to the dispatcher."""

    def __init__(self, contract: Contract, *, encoding: str, **_: Any) -> None:
        self._contract = contract
        self._encoding = encoding

    async def wrap_receive(self, receive: Receive, *, scope: Scope) -> tuple[Receive, Scope]:
        """Read and validate the body. Raises InvalidRequestError."""
        body = self._contract.operations[_operation_id(scope) or ""].body
        headers = Headers(scope=scope)
        compressed = headers.get("content-encoding", "identity").lower() != "identity"
        if self._encoding not in ("utf-8", "utf8", "us-ascii") or compressed:
            raise InvalidRequestError(status=415)
        if body is not None:
            scope["state"]["body"] = body.parse(await _read(receive, headers, body.max_bytes))
        return receive, scope


class AnswerValidator:
    """Connexion's response validator, compiled. A fault is logged; the caller learns only that something went wrong."""

    def __init__(self, contract: Contract, scope: Scope, **_: Any) -> None:
        self._answers = contract.operations[_operation_id(scope) or ""].answers

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


async def _read(receive: Receive, headers: Headers, max_bytes: int) -> bytes:
    announced = headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise InvalidRequestError(status=413)
    chunks, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequestError("the caller hung up before the end of the body")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > max_bytes:
            raise InvalidRequestError(status=413)
        chunks.append(chunk)
        more = message.get("more_body", False)
    return b"".join(chunks)


def _operation_id(scope: Scope) -> str | None:
    found: str | None = scope["extensions"]["connexion_routing"]["operation_id"]
    return found


def _resolve(handlers: Mapping[str, Handler], operation_id: str) -> Handler:
    try:
        return handlers[operation_id]
    except KeyError:
        raise ValueError(f"no handler for operation {operation_id}") from None
