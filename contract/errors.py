"""The errors that a caller receives.

The schema in the contract with the name of the class, or of a base class, has the code and the message of an error. The
class has the HTTP status; the instance has the details of one case.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

from contract.types import FieldError

PHRASES = {413: "Content Too Large", 416: "Range Not Satisfiable"}
"""The reason phrase of each status whose phrase in `http` depends on the version of Python."""


class OcmsError(Exception):
    """An error response. Its body has `errors`, a list of faults, and the members of `details`."""

    status: ClassVar[int] = 500
    headers: ClassVar[Mapping[str, str]] = {}
    default_reason: ClassVar[str] = "the call failed"
    """The reason in the access log if the instance gives none. A caller never sees it."""

    def __init__(self, reason: str = "", *, errors: Sequence[FieldError] = (), **details: Any) -> None:
        super().__init__(reason or self.default_reason)
        self.errors = list(errors)
        self.details = details


class InvalidRequestError(OcmsError):
    """The request does not conform to the contract."""

    status = 400
    default_reason = "the request does not conform to the contract"

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
        self.status = status  # type: ignore[misc]  # the statuses 400, 404, 405, 408, 413, 415, 416 and 431 share one schema
        self.headers = headers or {}  # type: ignore[misc]  # a 405 lists the allowed methods


class UnauthorizedError(OcmsError):
    """The request has no valid API key or token."""

    status = 401
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": "ApiKey"}
    default_reason = "no valid API key or token"


class ForbiddenError(OcmsError):
    """The API key or token belongs to a caller that may not call this operation."""

    status = 403
    default_reason = "the API key or token belongs to another caller"


class NoticesNotFoundError(OcmsError):
    """A requested notice does not exist."""

    status = 404
    default_reason = "a requested notice does not exist"


class DayendError(OcmsError):
    """Court notices may not be updated at this time."""

    status = 409
    default_reason = "day-end has not been reached, or its window is over"


class BatchError(OcmsError):
    """No record of a batch was written. If some were written, the response is a 207 with the same form of body."""

    status = 422
    default_reason = "no record of the batch was written"


class ServerError(OcmsError):
    """The service failed because of an error of its own."""

    status = 500
    default_reason = "unexpected error"


class UnavailableError(ServerError):
    """The service cannot serve calls at the moment."""

    status = 503
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "5"}
    default_reason = "unavailable"


class BusyError(UnavailableError):
    """The service has more calls than it can serve."""

    default_reason = "too many calls"
