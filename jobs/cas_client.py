"""The client of CAS, driven by ``openapi/cas.yaml``."""

import time
from typing import Any

import httpx2
import stamina
import structlog

from jobs.failures import (
    CasStatusError,
    CasTimeoutError,
    CasUnreachableError,
    CutOffError,
    DeadlineError,
    EmptyListError,
    InvalidListError,
    NotJsonError,
    TooLargeError,
)
from ocms.contract import Contract
from ocms.settings import Settings
from ocms.validation import Validator, parse_json

OPERATION = "getVipVehicles"
SERVER_ERRORS = 500

_log = structlog.get_logger(__name__)


def fetch_vip_vehicles(contract: Contract, settings: Settings) -> list[dict[str, Any]]:
    """Return the full list of VIP vehicles, valid against the contract (section 1.4).

    A connection error or a 5xx is tried again with growing waits, for `cas_deadline` seconds at the most; no more than
    `cas_max_bytes` are read. Raises RefreshError.
    """
    end = time.monotonic() + settings.cas_deadline
    for attempt in stamina.retry_context(
        on=_may_pass,
        attempts=settings.cas_attempts,
        timeout=settings.cas_deadline,
        wait_initial=settings.cas_retry_wait,
        wait_max=settings.cas_retry_wait * 8,
        wait_jitter=settings.cas_retry_wait / 2,
    ):
        with attempt:
            body = _call(contract, settings, end)
    try:
        vehicles = parse_json(body)
    except ValueError as error:
        raise NotJsonError(f"CAS answered something that is not JSON: {error}") from error
    if vehicles == []:
        raise EmptyListError("the list of CAS is empty")
    expected = contract.operations[OPERATION].answers["200"]
    if faults := expected.faults(vehicles):
        shown = "; ".join(f"{fault['field']} {fault['message']}" for fault in faults[:3])
        raise InvalidListError(f"{_extent(expected, vehicles)} not as openapi/cas.yaml says: {shown}")
    return vehicles  # type: ignore[no-any-return]  # the contract says that it is a list


def _extent(expected: Validator, vehicles: Any) -> str:
    """Tell how much of the list is wrong."""
    if not isinstance(vehicles, list):
        return "the list of CAS is"
    wrong = sum(not expected.is_valid([record]) for record in vehicles)
    return f"{wrong} of {len(vehicles)} records in the list of CAS are"


def _call(contract: Contract, settings: Settings, end: float) -> bytes:
    operation = contract.operations[OPERATION]
    key = {contract.key_header(OPERATION): settings.cas_api_key.get_secret_value()}
    address = settings.cas_url + operation.path
    try:
        with httpx2.stream(operation.method, address, json={}, headers=key, timeout=settings.cas_timeout) as answer:
            if not answer.is_success:
                raise CasStatusError(answer.status_code)
            return _read(answer, settings, end)
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


def _read(answer: httpx2.Response, settings: Settings, end: float) -> bytes:
    body = bytearray()
    for block in answer.iter_bytes():
        body += block
        if len(body) > settings.cas_max_bytes:
            raise TooLargeError(f"the answer of CAS is larger than {settings.cas_max_bytes} bytes (OCMS_CAS_MAX_BYTES)")
        if time.monotonic() > end:
            raise DeadlineError(f"CAS took longer than {settings.cas_deadline:g} seconds in all (OCMS_CAS_DEADLINE)")
    return bytes(body)


def _may_pass(error: Exception) -> bool:
    """Tell whether it makes sense to try again."""
    passing = isinstance(error, CasUnreachableError | CutOffError) or (
        isinstance(error, CasStatusError) and error.status >= SERVER_ERRORS
    )
    if passing:
        _log.warning("cas_call_failed", reason=str(error))
    return passing
