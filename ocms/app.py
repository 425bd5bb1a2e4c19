"""The OCMS app: the contract, its handlers and what they work with."""

import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import structlog
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from db.engine import open_database
from db.schema import require_current
from handlers import Services, load_handlers
from ocms.contract import Contract
from ocms.engine import contract_app
from ocms.envelope import CORRELATION_HEADER, Envelope
from ocms.errors import DatabaseUnavailableError, OperatorError
from ocms.keys import EXPIRES_SOON, SHOWN, KeyRing
from ocms.limits import Limits
from ocms.logs import configure_logging
from ocms.pages import contract_pages
from ocms.rules import business_date, utc_now
from ocms.security import Credentials
from ocms.settings import Settings, load_settings

if TYPE_CHECKING:
    from ocms.tokens import TokenVerifier

_log = structlog.get_logger(__name__)


def create_app(settings: Settings, now: Callable[[], datetime] = utc_now) -> ASGIApp:
    """Return the app. Raises OperatorError when the settings do not let it run safely."""
    contract = Contract.load("ocms")
    tokens = _create_verifier(settings, now)
    require_keys(settings, contract, now)
    database = open_database(settings)
    limits = Limits.of(settings)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        yield
        database.close()

    app: ASGIApp = contract_app(
        contract,
        load_handlers(contract, Services(database, settings, now)),
        credentials=Credentials(KeyRing(settings.api_keys, now), tokens),
        pages=contract_pages(contract),
        lifespan=lifespan,
        limits=limits,
        validate_responses=settings.validate_responses,
    )
    if settings.trusted_proxies:
        app = ProxyHeadersMiddleware(app, settings.trusted_proxies)  # type: ignore[assignment, arg-type]  # ASGI by other names
    app = Envelope(app, contract, limits.wait)
    if settings.cors_origins:  # outermost, so that a page can read the errors, too
        app = CORSMiddleware(app, settings.cors_origins, ["POST"], ["*"], expose_headers=[CORRELATION_HEADER])
    return app


def _create_verifier(settings: Settings, now: Callable[[], datetime]) -> "TokenVerifier | None":
    if not settings.token_keys:
        return None
    from ocms.tokens import create_verifier  # noqa: PLC0415  # cryptography takes a tenth of a second of the start

    return create_verifier(settings, now)


def create_app_from_environment() -> ASGIApp:
    """Return the app of a process that only serves, its settings taken from the environment.

    What the process holds by then is never searched for garbage again. Raises OperatorError.
    """
    settings = load_settings()
    configure_logging(settings.log_format)
    app = create_app(settings)
    gc.collect()
    gc.freeze()  # else each large answer has all modules searched
    return app


FACTORY = f"{__name__}:{create_app_from_environment.__name__}"
"""Where a server finds the app."""


def require_migrated(settings: Settings) -> None:
    """Raise OperatorError when the database is not migrated.

    A database that cannot be reached just now is no reason: the app answers 503 until it can.
    """
    database = open_database(settings)
    try:
        require_current(database)
    except DatabaseUnavailableError as error:
        _log.warning("database_unavailable", error=str(error))
    finally:
        database.close()


def require_keys(settings: Settings, contract: Contract, now: Callable[[], datetime] = utc_now) -> None:
    """Raise OperatorError unless somebody can call: by a key that has not expired, or by a token.

    Every caller must be one of the contract. A key that has expired, or does soon, is logged.
    """
    callers, today = contract.callers(), business_date(now())
    named = {
        "OCMS_API_KEYS": {key.caller for key in settings.api_keys},
        "OCMS_TOKEN_CALLERS": {*settings.token_callers},
    }
    for name, found in named.items():
        if strangers := found - callers:
            known = ", ".join(sorted(callers))
            raise OperatorError(f"{name} names {', '.join(sorted(strangers))}; the contract knows only {known}")
    usable = [key for key in settings.api_keys if not key.is_expired(today)]
    if not usable and not settings.token_keys:
        reason = "names only keys that have expired" if settings.api_keys else "is empty"
        raise OperatorError(f"OCMS_API_KEYS {reason}: make a key with 'ocms keys create CALLER' and set its hash")
    for key in settings.api_keys:
        if key.expires and key.expires < today + EXPIRES_SOON:
            _log.warning("key_expires", caller=key.caller, hash=key.hash[:SHOWN], last_day=str(key.expires))
