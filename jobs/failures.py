"""Why a refresh of the VIP list can fail (section 1.4). The text of each goes to the log, the alert and the run."""

from ocms.errors import OperatorError


class RefreshError(OperatorError):
    """The VIP list was not replaced; the old one stays."""


class CasUnreachableError(RefreshError):
    """CAS cannot be reached."""


class CasTimeoutError(CasUnreachableError):
    """CAS did not answer in time."""


class DeadlineError(RefreshError):
    """CAS took too long in all, although each part of its answer came in time."""


class TooLargeError(RefreshError):
    """The answer of CAS is larger than it may be."""


class CasStatusError(RefreshError):
    """CAS answered with an HTTP status that is not a success."""

    def __init__(self, status: int) -> None:
        hint = ": check OCMS_CAS_API_KEY" if status in (401, 403) else ""
        super().__init__(f"CAS answered with HTTP status {status}{hint}")
        self.status = status


class CutOffError(RefreshError):
    """CAS cut its answer off."""


class NotJsonError(RefreshError):
    """CAS answered something that is not JSON."""


class InvalidListError(RefreshError):
    """The list of CAS is not as its contract says."""


class EmptyListError(RefreshError):
    """The list of CAS is empty."""


class DuplicateVehicleError(RefreshError):
    """The list of CAS has a vehicle twice."""


class ShrunkenListError(RefreshError):
    """The list of CAS has lost too many vehicles."""
