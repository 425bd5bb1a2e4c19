"""The application of a contract: connexion routes, checks credentials and validates; a dispatcher calls the handlers.

docs/decisions/0001-contract.md explains why it does not use connexion's `AsyncApp`.
"""

import re
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
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from contract.call import Handler
from contract.document import MEDIA_TYPE, Contract
from ocms.settings import Settings
from ocms.web.connexion_validators import BodyValidator, QueryValidator, ResponseValidator
from ocms.web.dispatcher import Dispatcher
from ocms.web.limits import Gate
from ocms.web.security import Credentials

_OTHER_SPELLING = re.compile(r"[\x00-\x1f\x7f\\]|/\.{0,2}/|/\.{1,2}\Z")
"""Control characters, backslashes, empty segments and dot segments. Other servers rewrite some of them."""

Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]


def contract_app(
    contract: Contract,
    handlers: Mapping[str, Handler],
    credentials: Credentials,
    settings: Settings,
    lifespan: Lifespan | None = None,
) -> ConnexionMiddleware:
    """Return the ASGI application that serves a contract and its pages. Wrap it in an `Envelope`.

    `handlers` maps each operationId to its handler. Raises connexion's ResolverError if an operation has none.
    """
    app = ConnexionMiddleware(
        Dispatcher(contract, handlers, Gate(settings)),
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
            "body": {MEDIA_TYPE: partial(BodyValidator, contract)},
            "response": {MEDIA_TYPE: partial(ResponseValidator, contract)},
        },
        validate_responses=settings.validate_responses,
    )
    app.add_api(deepcopy(contract.document))
    return app


class StrictRouting(RoutingMiddleware):  # type: ignore[misc]  # connexion has no types
    """Routes like connexion, but refuses other spellings of a path with 404.

    A gateway's rule for a path would not apply to another spelling of it. A path with a trailing slash is not
    redirected: many clients follow a redirected POST with a GET, or not at all.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route a request. Raises HTTPException if the path is another spelling."""
        if scope["type"] == "http" and (
            b"%2f" in scope.get("raw_path", b"").lower() or _OTHER_SPELLING.search(scope["path"])
        ):
            raise HTTPException(404)
        await super().__call__(scope, receive, send)

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
