"""The client of CAS, driven by ``openapi/cas.yaml``."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from typing import Any, TypeVar

import httpx2
import stamina
import structlog

from jobs.failures import (
    CasStatusError,
    CasTimeoutError,
    CasTlsError,
    CasUnreachableError,
    CutOffError,
    DeadlineError,
    EmptyListError,
    InvalidListError,
    NotJsonError,
    RefreshError,
    TooLargeError,
)
from ocms.contract import Contract
from ocms.errors import OperatorError
from ocms.json_list import NoListError, TruncatedJsonError, parse_json_list
from ocms.settings import Settings

OPERATION = "getVipVehicles"
SERVER_ERRORS = 500
BLOCK = 2**16
"""Bytes that are parsed at a time."""
SHOWN = 3
"""Of so many wrong records an alert tells what is wrong."""

Vehicles = list[dict[str, Any]]
T = TypeVar("T")
_log = structlog.get_logger(__name__)


class CasClient:
    """CAS, as its contract describes it. Raises OperatorError when the settings for TLS are wrong."""

    def __init__(self, contract: Contract, settings: Settings) -> None:
        self._operation = contract.operations[OPERATION]
        self._key_header = contract.key_header(OPERATION)
        self._list, self._vehicle = contract.list_rules(OPERATION, "200")
        self._part = self._operation.answers["200"]
        self._settings = settings
        self._verify = _tls(settings)

    def fetch_vip_vehicles(self, take: Callable[[Iterator[Vehicles]], T]) -> T:
        """Call CAS and hand the full list of VIP vehicles, part by part, to `take`; return what that returns.

        Each part is valid against the contract (section 1.4). What is wrong with the whole shows at its end. A
        connection error or a 5xx is tried again with growing waits, for `cas_deadline` seconds at the most, and then
        `take` gets the list from its beginning. Raises RefreshError, and whatever `take` raises.
        """
        end = time.monotonic() + self._settings.cas_deadline
        for attempt in stamina.retry_context(
            on=_may_pass,
            attempts=self._settings.cas_attempts,
            timeout=self._settings.cas_deadline,
            wait_initial=self._settings.cas_retry_wait,
            wait_max=self._settings.cas_retry_wait * 8,
            wait_jitter=self._settings.cas_retry_wait / 2,
        ):
            with attempt:
                return self._call(take, end)
        raise AssertionError  # the last attempt has returned or raised

    def _call(self, take: Callable[[Iterator[Vehicles]], T], end: float) -> T:
        settings = self._settings
        timeout = httpx2.Timeout(settings.cas_timeout, connect=settings.cas_connect_timeout)
        try:
            with (
                _hung_up_at(end) as trace,
                httpx2.Client(verify=self._verify, timeout=timeout) as client,
                client.stream(
                    self._operation.method,
                    settings.cas_url + self._operation.path,
                    json={},
                    headers={self._key_header: settings.cas_api_key.get_secret_value()},
                    extensions={"trace": trace},
                ) as answer,
            ):
                if not answer.is_success:
                    raise CasStatusError(answer.status_code)
                return take(self._vehicles(self._blocks(answer, end)))
        except httpx2.DecodingError as error:
            raise NotJsonError(f"CAS answered something that cannot be unpacked: {error}") from error
        except httpx2.TransportError as error:
            raise self._translated(error, end) from error

    def _translated(self, error: httpx2.TransportError, end: float) -> RefreshError:
        text = str(error) or type(error).__name__
        if time.monotonic() >= end:
            return self._too_late()
        if isinstance(error, httpx2.ReadTimeout):
            return CasTimeoutError(f"CAS did not answer within {self._settings.cas_timeout:g} seconds")
        if _is_of_tls(error):
            advice = "check OCMS_CAS_CA_FILE and OCMS_CAS_CLIENT_CERT_FILE"
            return CasTlsError(f"no secure connection to CAS at {self._settings.cas_url}: {text}; {advice}")
        return CasUnreachableError(f"CAS cannot be reached at {self._settings.cas_url}: {text}")

    def _too_late(self) -> DeadlineError:
        return DeadlineError(f"CAS took longer than {self._settings.cas_deadline:g} seconds in all (OCMS_CAS_DEADLINE)")

    def _blocks(self, answer: httpx2.Response, end: float) -> Iterator[bytes]:
        """Read the answer within its bounds of time and size."""
        most = self._settings.cas_max_bytes
        size, block = 0, bytearray()
        try:
            for piece in answer.iter_bytes():
                size += len(piece)
                if size > most:
                    raise TooLargeError(f"the answer of CAS is larger than {most} bytes (OCMS_CAS_MAX_BYTES)")
                if time.monotonic() >= end:
                    raise self._too_late()
                block += piece
                if len(block) >= BLOCK:
                    yield bytes(block)
                    block.clear()
        except (httpx2.RemoteProtocolError, httpx2.ReadError) as error:
            if time.monotonic() >= end:
                raise self._too_late() from error
            raise CutOffError(f"CAS cut its answer off: {str(error) or type(error).__name__}") from error
        yield bytes(block)

    def _vehicles(self, blocks: Iterator[bytes]) -> Iterator[Vehicles]:
        """Parse and validate the list; the parts end with the first wrong record, the count of those does not."""
        count, wrong, shown = 0, 0, list[str]()
        try:
            for part in parse_json_list(blocks):
                faulty = [] if self._part.is_valid(part) else self._faulty(part)
                for number in islice(faulty, SHOWN - len(shown)):
                    fault = self._vehicle.faults(part[number])[0]
                    shown.append(f"/{count + number}{fault['field']} {fault['message']}")
                count, wrong = count + len(part), wrong + len(faulty)
                if part and not wrong:
                    yield part
        except TruncatedJsonError as error:
            raise CutOffError(f"CAS cut its answer off: {error}") from error
        except NoListError as error:
            raise InvalidListError(f"{error}, but openapi/cas.yaml says that the answer of CAS is one") from error
        except ValueError as error:
            raise NotJsonError(f"CAS answered something that is not JSON: {error}") from error
        if not count:
            raise EmptyListError("the list of CAS is empty")
        if wrong:
            extent = f"{wrong} of {count} records in the list of CAS are"
            raise InvalidListError(f"{extent} not as openapi/cas.yaml says: {'; '.join(shown)}")
        if faults := self._list.faults([None] * count):
            message = faults[0]["message"]
            raise InvalidListError(f"the list of CAS has {count} records, not as openapi/cas.yaml says: {message}")

    def _faulty(self, part: Vehicles) -> list[int]:
        """Return the places of the wrong records."""
        return [number for number, vehicle in enumerate(part) if not self._vehicle.is_valid(vehicle)]


def _may_pass(error: Exception) -> bool:
    """Tell whether it makes sense to try again."""
    passing = isinstance(error, CasUnreachableError | CutOffError) or (
        isinstance(error, CasStatusError) and error.status >= SERVER_ERRORS
    )
    if passing:
        _log.warning("cas_call_failed", reason=str(error))
    return passing


def _tls(settings: Settings) -> ssl.SSLContext | bool:
    """Return whom to trust and what to show; True for the public authorities and no certificate of ours."""
    ca, certificate, key = settings.cas_ca_file, settings.cas_client_cert_file, settings.cas_client_key_file
    if key and not certificate:
        raise OperatorError("OCMS_CAS_CLIENT_KEY_FILE is of no use without OCMS_CAS_CLIENT_CERT_FILE")
    if not (ca or certificate):
        return True
    try:
        context = ssl.create_default_context(cafile=ca or None)
    except OSError as error:
        raise OperatorError(f"OCMS_CAS_CA_FILE: {ca} cannot be used: {_words(error)}") from error
    if certificate:
        password = settings.cas_client_key_password.get_secret_value()
        try:
            context.load_cert_chain(certificate, key or None, password)
        except OSError as error:
            raise OperatorError(
                "OCMS_CAS_CLIENT_CERT_FILE, OCMS_CAS_CLIENT_KEY_FILE, OCMS_CAS_CLIENT_KEY_PASSWORD: "
                f"{certificate} cannot be used: {_words(error)}"
            ) from error
    return context


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason.replace("_", " ").lower() if error.reason else "not in PEM form, or encrypted otherwise"
    return str(error.strerror)


def _is_of_tls(error: BaseException | None) -> bool:
    """Tell whether the two sides do not trust each other; a connection that only breaks is another thing."""
    while error:
        if isinstance(error, ssl.SSLError):
            return not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError)
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def _hung_up_at(end: float) -> Iterator[Callable[[str, Any], None]]:
    """Hang up at a time, whatever goes on; yields what the client tells of its connection."""
    with ExitStack() as stack:

        def trace(event: str, info: Any) -> None:
            if event == "connection.connect_tcp.complete":
                connection = stack.enter_context(info["return_value"].get_extra_info("socket").dup())
                timer = threading.Timer(max(0.0, end - time.monotonic()), _hang_up, [connection])
                timer.daemon = True
                timer.start()
                stack.callback(timer.cancel)

        yield trace


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):  # CAS has been quicker
        connection.shutdown(socket.SHUT_RDWR)
