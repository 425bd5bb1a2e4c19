"""The OCMS app: the contract, its handlers and what they work with."""

import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import structlog
from starlette.types import ASGIApp

from db.engine import open_database
from db.schema import require_current
from handlers import Services, load_handlers
from ocms.contract import Contract
from ocms.engine import contract_app
from ocms.errors import DatabaseUnavailableError, OperatorError
from ocms.keys import KeyRing
from ocms.logs import configure_logging
from ocms.pages import contract_pages
from ocms.rules import utc_now
from ocms.settings import Settings, load_settings

_log = structlog.get_logger(__name__)


def create_app(settings: Settings, now: Callable[[], datetime] = utc_now) -> ASGIApp:
    """Return the app. Raises OperatorError when the settings do not let it run safely."""
    contract = Contract.load("ocms")
    require_keys(settings, contract)
    database = open_database(settings)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        yield
        database.close()

    return contract_app(
        contract,
        load_handlers(contract, Services(database, settings, now)),
        keys=KeyRing(settings.api_keys),
        pages=contract_pages(contract),
        lifespan=lifespan,
        validate_responses=settings.validate_responses,
    )


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


def require_keys(settings: Settings, contract: Contract) -> None:
    """Raise OperatorError unless there are keys, each of a caller that the contract knows."""
    callers = contract.callers()
    if not settings.api_keys:
        raise OperatorError("OCMS_API_KEYS is empty: make a key with 'ocms keys create CALLER' and set its hash")
    if strangers := {key.caller for key in settings.api_keys} - callers:
        raise OperatorError(
            f"OCMS_API_KEYS names {', '.join(sorted(strangers))}; the contract knows only {', '.join(sorted(callers))}"
        )
