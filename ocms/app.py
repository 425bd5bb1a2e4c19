"""The OCMS application: the contract, its handlers and what they work with."""

import gc
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from contract.document import Contract
from domain.clock import utc_now
from handlers import load_handlers
from handlers.services import Services
from ocms.database import open_database
from ocms.keys import KeyRing
from ocms.log_writer import standard_error
from ocms.logs import configure_logging
from ocms.settings import Settings, load_settings
from ocms.web.contract_app import contract_app
from ocms.web.cors import Cors
from ocms.web.envelope import Envelope, ErrorBody
from ocms.web.limits import BodyLimit
from ocms.web.security import Credentials, require_credentials

if TYPE_CHECKING:
    from ocms.web.tokens import TokenVerifier

SWITCH_SECONDS = 0.001
"""How long the thread of a large call computes before the event loop gets its turn. Python's default is 0.005."""


def create_app(settings: Settings, now: Callable[[], datetime] = utc_now) -> ASGIApp:
    """Return the application. Raises OperatorError if the settings do not allow a safe start."""
    contract = Contract.load("ocms")
    tokens = _create_verifier(settings, now)
    require_credentials(settings, contract.callers(), now)
    database = open_database(settings)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        yield
        database.close()
        standard_error().close()  # a worker ends by the signal that it received, which calls no function of atexit

    handlers = load_handlers(contract, Services(database, settings.dayend_window, now))
    app: ASGIApp = contract_app(
        contract, handlers, Credentials(KeyRing(settings.api_keys, now), tokens), settings, lifespan
    )
    if settings.trusted_proxies:
        app = ProxyHeadersMiddleware(app, settings.trusted_proxies)  # type: ignore[assignment, arg-type]  # uvicorn has its own ASGI types
    app = ErrorBody(BodyLimit(app, contract, settings), contract, settings.max_wait)
    if settings.cors_origins:
        app = Cors(app, settings.cors_origins)
    return Envelope(app, contract)


def _create_verifier(settings: Settings, now: Callable[[], datetime]) -> "TokenVerifier | None":
    if not settings.token_keys:
        return None
    from ocms.web.tokens import create_verifier  # noqa: PLC0415  # importing cryptography takes 0.1 s of the start

    return create_verifier(settings, now)


def create_app_from_environment() -> ASGIApp:
    """Return the application of a process that only serves, with the settings of the environment.

    Raises OperatorError.
    """
    settings = load_settings()
    configure_logging(settings.log_format)
    app = create_app(settings)
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()  # exclude all loaded modules from later garbage collections, which large responses trigger
    return app


FACTORY = f"{__name__}:{create_app_from_environment.__name__}"
"""The path of the factory, for the workers of a server."""
