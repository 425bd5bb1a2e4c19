"""The contract engine: connexion routes, secures and validates from a contract; a slim dispatcher calls the handlers.

Why this shape and not `AsyncApp`: docs/decisions/0001-contract-engine.md.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from copy import deepcopy
from functools import partial
from typing import Any

from connexion.middleware import ConnexionMiddleware
from connexion.middleware.lifespan import LifespanMiddleware
from connexion.middleware.request_validation import RequestValidationMiddleware
from connexion.middleware.response_validation import ResponseValidationMiddleware
from connexion.middleware.routing import RoutingMiddleware
from connexion.middleware.security import SecurityMiddleware
from connexion.resolver import Resolver
from connexion.spec import Specification
from starlette.types import ASGIApp, Receive, Scope, Send

from ocms.call import Call, Handler
from ocms.contract import MEDIA_TYPE, Contract
from ocms.envelope import send_json
from ocms.limits import DEFAULT, Gate, Limits
from ocms.security import Credentials
from ocms.validators import AnswerValidator, BodyValidator, QueryValidator, find_operation_id

Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]


def contract_app(  # noqa: PLR0913  # the parts of an app, each given once
    contract: Contract,
    handlers: Mapping[str, Handler],
    *,
    credentials: Credentials,
    pages: ASGIApp,
    lifespan: Lifespan | None = None,
    limits: Limits = DEFAULT,
    validate_responses: bool = False,
) -> ConnexionMiddleware:
    """Return the ASGI app that serves a contract, to be put into an `Envelope`.

    `handlers` maps each operationId to its handler; `pages` answers every path that is not in the contract.
    Raises connexion's ResolverError when an operation has no handler.
    """
    app = ConnexionMiddleware(
        Dispatcher(contract, handlers, pages, Gate(limits)),
        middlewares=[
            StrictRouting,
            SecurityMiddleware,
            RequestValidationMiddleware,
            ResponseValidationMiddleware,
            LifespanMiddleware,
        ],
        lifespan=lifespan,
        resolver=Resolver(partial(_resolve, handlers)),
        security_map=credentials.handlers(),
        validator_map={
            "parameter": partial(QueryValidator, contract),
            "body": {MEDIA_TYPE: partial(BodyValidator, contract, limits)},
            "response": {MEDIA_TYPE: partial(AnswerValidator, contract)},
        },
        validate_responses=validate_responses,
    )
    app.add_api(deepcopy(contract.document))
    return app


class Dispatcher:
    """The innermost app: calls the handler of the operation that connexion has found."""

    def __init__(self, contract: Contract, handlers: Mapping[str, Handler], pages: ASGIApp, gate: Gate) -> None:
        self._contract = contract
        self._handlers = handlers
        self._pages = pages
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        operation_id = find_operation_id(scope) if scope["type"] == "http" else None
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
        )
        state |= {"operation": operation_id, "counts": call.counts}
        reply = await self._gate.serve(partial(self._handlers[operation_id], call))
        await send_json(send, reply.status, reply.body)


class StrictRouting(RoutingMiddleware):  # type: ignore[misc]  # connexion has no types
    """Connexion's routing, with a trailing slash being another path: a redirect would lose the body."""

    def add_api(self, specification: Specification, **kwargs: Any) -> None:
        """Route the operations of a contract."""
        super().add_api(specification, **kwargs)
        self.router.redirect_slashes = False
        for mount in self.router.routes:
            mount.app.redirect_slashes = False


def _resolve(handlers: Mapping[str, Handler], operation_id: str) -> Handler:
    try:
        return handlers[operation_id]
    except KeyError:
        raise ValueError(f"no handler for operation {operation_id}") from None
