"""The client of CAS, driven by ``openapi/cas.yaml``."""

from typing import Any

import httpx2
import stamina
import structlog

from jobs.failures import (
    CasStatusError,
    CasTimeoutError,
    CasUnreachableError,
    CutOffError,
    EmptyListError,
    InvalidListError,
    NotJsonError,
)
from ocms.contract import Contract
from ocms.settings import Settings
from ocms.validation import parse_json

OPERATION = "getVipVehicles"
SERVER_ERRORS = 500

_log = structlog.get_logger(__name__)


def fetch_vip_vehicles(contract: Contract, settings: Settings) -> list[dict[str, Any]]:
    """Return the full list of VIP vehicles, valid against the contract (section 1.4).

    A connection error or a 5xx is tried again with growing waits. Raises RefreshError.
    """
    for attempt in stamina.retry_context(
        on=_may_pass,
        attempts=settings.cas_attempts,
        timeout=None,
        wait_initial=settings.cas_retry_wait,
        wait_max=settings.cas_retry_wait * 8,
        wait_jitter=settings.cas_retry_wait / 2,
    ):
        with attempt:
            body = _call(contract, settings)
    try:
        vehicles = parse_json(body)
    except ValueError as error:
        raise NotJsonError(f"CAS answered something that is not JSON: {error}") from error
    if vehicles == []:
        raise EmptyListError("the list of CAS is empty")
    if faults := contract.operations[OPERATION].answers["200"].faults(vehicles):
        shown = "; ".join(f"{fault['field']} {fault['message']}" for fault in faults[:3])
        raise InvalidListError(f"the list of CAS is not as openapi/cas.yaml says: {shown}")
    return vehicles  # type: ignore[no-any-return]  # the contract says that it is a list


def _call(contract: Contract, settings: Settings) -> bytes:
    operation = contract.operations[OPERATION]
    key = {contract.key_header(OPERATION): settings.cas_api_key.get_secret_value()}
    try:
        answer = httpx2.request(
            operation.method, settings.cas_url + operation.path, json={}, headers=key, timeout=settings.cas_timeout
        )
    except httpx2.RemoteProtocolError as error:
        raise CutOffError(f"CAS cut its answer off: {error}") from error
    except httpx2.ReadTimeout as error:
        raise CasTimeoutError(f"CAS did not answer within {settings.cas_timeout:g} seconds") from error
    except httpx2.DecodingError as error:
        raise NotJsonError(f"CAS answered something that cannot be unpacked: {error}") from error
    except httpx2.TransportError as error:
        raise CasUnreachableError(
            f"CAS cannot be reached at {settings.cas_url}: {str(error) or type(error).__name__}"
        ) from error
    if not answer.is_success:
        raise CasStatusError(answer.status_code)
    return answer.content


def _may_pass(error: Exception) -> bool:
    """Tell whether it makes sense to try again."""
    passing = isinstance(error, CasUnreachableError | CutOffError) or (
        isinstance(error, CasStatusError) and error.status >= SERVER_ERRORS
    )
    if passing:
        _log.warning("cas_call_failed", reason=str(error))
    return passing
