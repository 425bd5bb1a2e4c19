"""Which error response a caller receives for an exception."""

import asyncio

import structlog
from starlette.exceptions import HTTPException

from contract.errors import (
    BusyError,
    DayendError,
    ForbiddenError,
    InvalidRequestError,
    OcmsError,
    ServerError,
    UnauthorizedError,
    UnavailableError,
)
from db.errors import DatabaseError, DatabaseUnavailableError
from domain.errors import DayendNotReachedError

RESPONSES: dict[type[Exception], type[OcmsError]] = {
    DayendNotReachedError: DayendError,
    DatabaseUnavailableError: UnavailableError,
    DatabaseError: ServerError,
}
"""The response for each error of `domain` and `db`. A subclass stands before its base."""

_log = structlog.get_logger(__name__)


def error_response(raised: BaseException) -> OcmsError:
    """Return the error to respond with. Log the exception if the fault is the service's own."""
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
            known = next((response for kind, response in RESPONSES.items() if isinstance(raised, kind)), None)
            error = known(str(raised)) if known else ServerError()
    _log_own_fault(error, raised)
    return error


def _log_own_fault(error: OcmsError, raised: BaseException) -> None:
    if isinstance(error, BusyError):
        pass  # already in the access log; a second line for each refused call would flood it
    elif isinstance(error, UnavailableError):
        _log.error("unavailable", error=str(error))
    elif isinstance(error, ServerError):
        expected = raised is error or isinstance(raised, DatabaseError)
        _log.error("server_error" if expected else "unexpected_error", error=str(error), exc_info=raised)
