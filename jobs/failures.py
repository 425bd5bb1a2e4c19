"""The ways in which a refresh of the VIP list can fail (section 1.4).

The message of an error goes to the log, the alert and the record of the run. It names no vehicle, because the list is
sensitive. Vehicles are named in `vehicles` only, which goes to the record alone. `reason` is the kind of failure;
docs/operations/vip-refresh.md describes what to do about each kind.
"""

from typing import ClassVar

from db.errors import DatabaseError
from domain.errors import OperatorError

IGNORE = "OCMS_TRUST_ENVIRONMENT=false"
"""The setting that ignores the proxies of the environment."""


class RefreshError(OperatorError):
    """The VIP list was not replaced; the previous one stays in use."""

    reason: str

    def __init__(self, text: str, vehicles: str = "") -> None:
        super().__init__(text)
        self.vehicles = vehicles


class CasUnreachableError(RefreshError):
    """CAS cannot be reached."""

    reason = "cas-unreachable"


class CasTimeoutError(CasUnreachableError):
    """CAS did not respond in time."""

    reason = "cas-timeout"


class CasTlsError(RefreshError):
    """The TLS handshake failed: CAS or OCMS does not accept the other's certificate."""

    reason = "cas-tls"


class DeadlineError(RefreshError):
    """All attempts together took longer than OCMS_CAS_DEADLINE."""

    reason = "cas-deadline"


class CasStatusError(RefreshError):
    """CAS, or the proxy in front of it, responded with an HTTP status other than 200."""

    HINTS: ClassVar = {
        206: ", part of a list",
        **dict.fromkeys((301, 302, 303, 307, 308), ", a redirect: check OCMS_CAS_URL"),
        **dict.fromkeys((401, 403), ": check OCMS_CAS_API_KEY"),
        404: ": check OCMS_CAS_URL",
    }

    def __init__(self, status: int, proxy: str = "") -> None:
        hint = f": check the proxy, or ignore it with {IGNORE}" if proxy else self.HINTS.get(status, "")
        sender = f"CAS or {proxy}" if proxy else "CAS"
        super().__init__(f"{sender} responded with HTTP status {status}{hint}")
        self.status = status
        self.reason = f"http-{status}"


class TooLargeError(RefreshError):
    """The response of CAS is larger than OCMS_CAS_MAX_BYTES."""

    reason = "too-large"


class CutOffError(RefreshError):
    """The response of CAS ends before the list does."""

    reason = "cut-off"


class NotJsonError(RefreshError):
    """The response of CAS is not JSON."""

    reason = "not-json"


class InvalidListError(RefreshError):
    """The list of CAS does not conform to ``openapi/cas.yaml``."""

    reason = "invalid"


class EmptyListError(RefreshError):
    """The list of CAS is empty."""

    reason = "empty"


class DuplicateVehicleError(RefreshError):
    """The list of CAS has a vehicle more than once."""

    reason = "duplicate"


class ShrunkenListError(RefreshError):
    """The list of CAS is smaller than OCMS_VIP_MIN_SHARE of the previous one."""

    reason = "shrunken"


class TakenOverError(RefreshError):
    """Another process found the lock of this run free, and closed its record."""

    reason = "taken-over"


DATABASE = "database"
"""The database failed."""
UNEXPECTED = "unexpected"
"""The job failed with an error of no other kind: a defect of this service."""
STOPPED = "stopped"
"""The process received SIGINT or SIGTERM during the run."""
KILLED = "killed"
"""The process ended during the run without recording why."""
CLOCK = "clock"
"""The run was recorded in the future, by a wrong clock, and does not count. Unlike others it may have succeeded."""
MISSED = "missed"
"""The job has not succeeded for too long."""


def detail_of(error: BaseException) -> str:
    """Return the text of a failure for the record of the run. Its first line names no vehicle."""
    vehicles = error.vehicles if isinstance(error, RefreshError) else ""
    return f"{error}\n{vehicles}" if vehicles else str(error)


def without_vehicles(detail: str | None) -> str:
    """Return the part of a recorded text that names no vehicle, for the log, alerts and lists of runs."""
    return (detail or "").partition("\n")[0]


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
