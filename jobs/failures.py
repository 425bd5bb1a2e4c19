"""Why a refresh of the VIP list can fail (section 1.4). The text of each goes to the log, the alert and the run.

`reason` names the kind of failure in the record of a run; docs/operations/vip-refresh.md says what to do about each.
"""

from typing import ClassVar

from ocms.errors import DatabaseError, OperatorError


class RefreshError(OperatorError):
    """The VIP list was not replaced; the old one stays."""

    reason: str


class CasUnreachableError(RefreshError):
    """CAS cannot be reached."""

    reason = "cas-unreachable"


class CasTimeoutError(CasUnreachableError):
    """CAS did not answer in time."""

    reason = "cas-timeout"


class CasTlsError(RefreshError):
    """CAS and OCMS do not trust each other's certificates."""

    reason = "cas-tls"


class DeadlineError(RefreshError):
    """CAS took too long in all, although each part of its answer came in time."""

    reason = "cas-deadline"


class CasStatusError(RefreshError):
    """CAS answered with an HTTP status that is not a success."""

    HINTS: ClassVar = {401: ": check OCMS_CAS_API_KEY", 403: ": check OCMS_CAS_API_KEY", 404: ": check OCMS_CAS_URL"}

    def __init__(self, status: int) -> None:
        super().__init__(f"CAS answered with HTTP status {status}{self.HINTS.get(status, '')}")
        self.status = status
        self.reason = f"http-{status}"


class TooLargeError(RefreshError):
    """The answer of CAS is larger than it may be."""

    reason = "too-large"


class CutOffError(RefreshError):
    """CAS cut its answer off."""

    reason = "cut-off"


class NotJsonError(RefreshError):
    """CAS answered something that is not JSON."""

    reason = "not-json"


class InvalidListError(RefreshError):
    """The list of CAS is not as its contract says."""

    reason = "invalid"


class EmptyListError(RefreshError):
    """The list of CAS is empty."""

    reason = "empty"


class DuplicateVehicleError(RefreshError):
    """The list of CAS has a vehicle twice."""

    reason = "duplicate"


class ShrunkenListError(RefreshError):
    """The list of CAS has lost too many vehicles."""

    reason = "shrunken"


class TakenOverError(RefreshError):
    """Another process has closed the record of this run, since its lock was free."""

    reason = "taken-over"


DATABASE, UNEXPECTED, STOPPED, KILLED, MISSED = "database", "unexpected", "stopped", "killed", "missed"
"""The other reasons: the database failed; something that nobody foresaw; the process was told to stop; it was killed;
the job did not succeed for too long."""


def reason_of(error: BaseException) -> str:
    """Return the kind of a failure."""
    match error:
        case RefreshError():
            return error.reason
        case DatabaseError():
            return DATABASE
        case Exception():
            return UNEXPECTED
        case _:
            return STOPPED
