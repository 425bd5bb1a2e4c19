"""The one error hierarchy.

An error that reaches a caller is named after the schema of the contract that describes it; that schema holds its code
and message. Here are only the status and what belongs to the single case.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

from ocms.contract_types import FieldError

PHRASES = {413: "Content Too Large"}
"""Where Python's phrase depends on its version."""


class OperatorError(Exception):
    """What an operator can put right; its text is one line that says what to do."""


class JobRunningError(OperatorError):
    """The job is running already, on this machine or another one."""


class OcmsError(Exception):
    """An error that is answered to the caller.

    `details` are further members of the error body, `headers` further headers of the answer.
    """

    status: ClassVar[int] = 500
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, reason: str = "", *, errors: Sequence[FieldError] = (), **details: Any) -> None:
        super().__init__(reason or (self.__doc__ or "").splitlines()[0])
        self.errors = list(errors)
        self.details = details


class InvalidRequestError(OcmsError):
    """The request is not as the contract says."""

    status = 400

    def __init__(
        self,
        reason: str = "",
        *,
        errors: Sequence[FieldError] = (),
        status: int = 400,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        phrase: list[FieldError] = [{"field": "", "message": PHRASES.get(status) or HTTPStatus(status).phrase}]
        super().__init__(reason, errors=errors or phrase)
        self.status = status  # type: ignore[misc]  # one body for 400, 404, 405, 408, 413, 415 and 431
        self.headers = headers or {}  # type: ignore[misc]  # a 405 names the methods that exist


class UnauthorizedError(OcmsError):
    """There is no valid API key."""

    status = 401
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": "ApiKey"}


class ForbiddenError(OcmsError):
    """The API key belongs to another caller."""

    status = 403


class NoticesNotFoundError(OcmsError):
    """A requested notice does not exist."""

    status = 404


class DayendError(OcmsError):
    """Day-end has not been reached, or its window is over."""

    status = 409


class BatchError(OcmsError):
    """A record of the batch, or the whole batch, is wrong."""

    status = 422


class ServerError(OcmsError):
    """Something went wrong here."""

    status = 500


class UnavailableError(ServerError):
    """The service cannot work just now."""

    status = 503
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "5"}


class BusyError(UnavailableError):
    """The service has more to do than it can."""


class DatabaseError(ServerError):
    """The database refused a statement."""

    passing: bool = False
    """Whether the unit of work may succeed when it is done again from its beginning."""


class DuplicateKeyError(DatabaseError):
    """There is a row with this key already."""


class TransactionLostError(DatabaseError):
    """The database has ended the transaction by itself; nothing of it is written."""


class DatabaseUnavailableError(DatabaseError, UnavailableError):
    """The database cannot be reached, is locked or has no space."""

    status = 503
