"""The OCMS application: the contract, its handlers and what they work with."""

import gc
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from contract.document import Contract
from domain.clock import utc_now
from handlers import load_handlers
from handlers.services import Services
from ocms.database import open_database
from ocms.log_writer import standard_error
from ocms.logs import configure_logging
from ocms.settings import Settings
from ocms.web.contract_app import contract_app
from ocms.web.cors import Cors
from ocms.web.envelope import Envelope, ErrorBody
from ocms.web.limits import BodyLimit
from ocms.web.service import Service, create_credentials

if TYPE_CHECKING:
    from starlette.types import ASGIApp

SWITCH_SECONDS = 0.001
"""How long the thread of a large call computes before the event loop gets its turn. Python's default is 0.005."""


def create_app(settings: Settings, now: Callable[[], datetime] = utc_now) -> Service:
    """Return the application. Raises OperatorError if the settings do not allow a safe start."""
    contract = Contract.load("ocms")
    credentials = create_credentials(settings, contract.callers(), now)
    database = open_database(settings)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        yield
        database.close()
        standard_error().close()  # a worker ends by the signal that it received, which calls no function of atexit

    handlers = load_handlers(contract, Services(database, settings.dayend_window, now))
    app: ASGIApp = contract_app(contract, handlers, credentials, settings, lifespan)
    if settings.trusted_proxies:
        app = ProxyHeadersMiddleware(app, settings.trusted_proxies)  # type: ignore[assignment, arg-type]  # uvicorn has its own ASGI types
    app = BodyLimit(ErrorBody(app, contract, settings.max_wait), contract, settings)
    if settings.cors_origins:
        app = Cors(app, settings.cors_origins)
    return Service(Envelope(app, contract), settings, credentials, contract.callers(), now)


def create_service(settings: Settings) -> Service:
    """Return the application of a process that only serves, and set up its log. Raises OperatorError."""
    configure_logging(settings.log_format)
    service = create_app(settings)
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()  # exclude all loaded modules from later garbage collections, which large responses trigger
    return service
