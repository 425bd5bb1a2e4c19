"""The client of CAS, the Court Admin System. Path, header and validation rules come from ``openapi/cas.yaml``."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import httpx2
import stamina

from contract.document import Contract
from contract.json import RepeatedMemberError
from contract.json_stream import NoListError, TruncatedJsonError, parse_json_list
from domain.redaction import redacted
from jobs.cas_tls import is_tls_error
from jobs.content_coding import ACCEPTED, ContentCodingError, TruncatedContentError, decoded
from jobs.environment import Route, authorities_variable
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

OPERATION = "getVipVehicles"
SUCCESS = "200"
"""The status whose body is the list. Any other is a failure: the body of a 206, for example, is part of a list."""
SERVER_ERRORS = 500
"""The lowest status of a server error. Server errors are retried."""
BLOCK = 2**16
"""The minimum number of bytes that are parsed at a time, except at the end."""
SHOWN = 3
"""The number of invalid records that an error describes."""
SHOWN_HEADER = 50
"""The number of characters of a header that an error shows."""

Vehicles = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class CasOptions:
    """How to call CAS. Times are in seconds. The setting `OCMS_CAS_…` of the same name describes each field."""

    url: str
    api_key: str
    connect_timeout: float
    timeout: float
    attempts: int
    retry_wait: float
    deadline: float
    max_bytes: int
    tls: ssl.SSLContext
    """See `jobs.cas_tls.tls_context`."""
    trust_environment: bool
    """See `OCMS_TRUST_ENVIRONMENT`."""


class CasClient:
    """Reads the list of VIP vehicles from CAS."""

    def __init__(self, contract: Contract, options: CasOptions) -> None:
        self._operation = contract.operations[OPERATION]
        self._key_header = contract.key_header(OPERATION)
        self._list, self._vehicle = contract.list_rules(OPERATION, SUCCESS)
        self._part = self._operation.responses[SUCCESS]
        self._options = options

    def attempts(self) -> Iterator[AbstractContextManager[Iterator[Vehicles]]]:
        """Yield attempts to read the full list (section 1.4), each a context manager that yields the list in parts.

        Each part is valid against the contract; an error of the list as a whole is raised after its last part. A
        connection error, a time-out, a truncated response or a 5xx is retried with growing waits, until `attempts`
        attempts were made or `deadline` has passed. Its error is suppressed if another attempt follows. Any other error
        ends the attempts.
        """
        options = self._options
        end = time.monotonic() + options.deadline
        for attempt in stamina.retry_context(
            on=_is_transient,
            attempts=options.attempts,
            timeout=options.deadline,
            wait_initial=options.retry_wait,
            wait_max=options.retry_wait * 8,
            wait_jitter=options.retry_wait / 2,
        ):
            yield self._attempt(attempt, end)

    @contextmanager
    def _attempt(self, attempt: AbstractContextManager[object], end: float) -> Iterator[Iterator[Vehicles]]:
        with attempt, closing(self._parts(end)) as parts:
            yield parts

    def _parts(self, end: float) -> Generator[Vehicles, None, None]:
        """Call CAS and yield the list in parts."""
        options = self._options
        timeout = httpx2.Timeout(options.timeout, connect=options.connect_timeout)
        route: Route | None = None
        try:
            route = Route(options.url)
            with (
                _shut_down_at(end, route.trace) as trace,
                httpx2.Client(verify=options.tls, timeout=timeout, trust_env=options.trust_environment) as client,
                client.stream(
                    self._operation.method,
                    options.url + self._operation.path,
                    json={},
                    headers={self._key_header: options.api_key, "Accept-Encoding": ACCEPTED},
                    extensions={"trace": trace},
                ) as response,
            ):
                if str(response.status_code) != SUCCESS:
                    # The proxy itself may have responded to plain HTTP; HTTPS is a tunnel through it.
                    raise CasStatusError(response.status_code, "" if options.url.startswith("https:") else route.proxy)
                try:
                    yield from self._vehicles(self._blocks(response, end))
                except NotJsonError as error:
                    text = f"{error}{_coding_and_type(response)}{route.came_through}"
                    raise NotJsonError(text, error.vehicles) from error
                except CutOffError as error:
                    raise CutOffError(f"{error}{route.came_through}") from error
        except (httpx2.TransportError, httpx2.InvalidURL, UnicodeError) as error:  # the last two: an unusable host
            raise self._refresh_error(error, end, route.through if route else "") from error

    def _refresh_error(self, error: Exception, end: float, through: str) -> RefreshError:
        text = redacted(str(error)) or type(error).__name__
        if time.monotonic() >= end:
            return self._deadline_error()
        if isinstance(error, httpx2.ReadTimeout):
            return CasTimeoutError(f"CAS did not respond within {self._options.timeout:g} seconds{through}")
        if is_tls_error(error):
            variable = authorities_variable() if self._options.trust_environment else None
            advice = f"check OCMS_CAS_CA_FILE and OCMS_CAS_CLIENT_CERT_FILE{f', and {variable}' if variable else ''}"
            return CasTlsError(f"no secure connection to CAS at {self._options.url}{through}: {text}; {advice}")
        return CasUnreachableError(f"CAS cannot be reached at {self._options.url}{through}: {text}")

    def _deadline_error(self) -> DeadlineError:
        return DeadlineError(f"CAS took longer than {self._options.deadline:g} seconds in all (OCMS_CAS_DEADLINE)")

    def _blocks(self, response: httpx2.Response, end: float) -> Iterator[bytes]:
        """Read the body within its limits of time and size, in blocks."""
        most = self._options.max_bytes
        size, block = 0, bytearray()
        try:
            codings = response.headers.get_list("content-encoding", split_commas=True)
            for piece in self._in_time(decoded(self._in_time(response.iter_raw(), end), codings), end):
                size += len(piece)
                if size > most:
                    raise TooLargeError(f"the response of CAS is larger than {most} bytes (OCMS_CAS_MAX_BYTES)")
                block += piece
                if len(block) >= BLOCK:
                    yield bytes(block)
                    block.clear()
        except (httpx2.RemoteProtocolError, httpx2.ReadError, TruncatedContentError) as error:
            if time.monotonic() >= end:
                raise self._deadline_error() from error
            raise CutOffError(f"CAS cut its response off: {redacted(str(error)) or type(error).__name__}") from error
        except ContentCodingError as error:
            raise NotJsonError(f"CAS sent a response that cannot be decompressed: {error}") from error
        yield bytes(block)

    def _in_time(self, pieces: Iterable[bytes], end: float) -> Iterator[bytes]:
        """Yield pieces. Raise DeadlineError at the deadline, even if the shutdown looks like the end of the body."""
        for piece in chain(pieces, [b""]):
            if time.monotonic() >= end:
                raise self._deadline_error()
            yield piece

    def _vehicles(self, blocks: Iterator[bytes]) -> Iterator[Vehicles]:
        """Parse and validate the list.

        After an invalid record nothing more is yielded; the rest is read to count the invalid records.
        """
        count, invalid, described = 0, 0, list[str]()
        try:
            for part in parse_json_list(blocks):
                found = [] if self._part.is_valid(part) else self._invalid(part)
                for index in islice(found, SHOWN - len(described)):
                    fault = self._vehicle.faults(part[index])[0]
                    described.append(f"/{count + index}{fault['field']} {fault['message']}")
                count, invalid = count + len(part), invalid + len(found)
                if part and not invalid:
                    yield part
        except TruncatedJsonError as error:
            raise CutOffError(f"CAS cut its response off: {error}") from error
        except NoListError as error:
            raise InvalidListError(f"{error}, but openapi/cas.yaml requires one in the response of CAS") from error
        except ValueError as error:
            raise _not_json(error) from error
        if not count:
            raise EmptyListError("the list of CAS is empty")
        if invalid:
            extent = f"{invalid} of {count} records in the list of CAS do"
            raise InvalidListError(f"{extent} not conform to openapi/cas.yaml: {'; '.join(described)}")
        if faults := self._list.faults([None] * count):
            message = faults[0]["message"]
            raise InvalidListError(f"the list of CAS has {count} records; openapi/cas.yaml refuses it: {message}")

    def _invalid(self, part: Vehicles) -> list[int]:
        """Return the indexes of the invalid records."""
        return [index for index, vehicle in enumerate(part) if not self._vehicle.is_valid(vehicle)]


def _not_json(error: ValueError) -> NotJsonError:
    if isinstance(error, RepeatedMemberError):  # its message has a name from the response, perhaps that of a vehicle
        return NotJsonError("the response of CAS is not JSON: an object has a member more than once", str(error))
    return NotJsonError(f"the response of CAS is not JSON: {error}")


def _coding_and_type(response: httpx2.Response) -> str:
    """Return, for an error text, the headers that describe a response that is not JSON."""
    names = [name for name in ("Content-Type", "Content-Encoding") if name in response.headers]
    return "".join(f"; its {name} is {response.headers[name][:SHOWN_HEADER]!r}" for name in names)


def _is_transient(error: Exception) -> bool:
    """Return whether another attempt may succeed."""
    if isinstance(error, CasStatusError):
        return error.status >= SERVER_ERRORS
    return isinstance(error, CasUnreachableError | CutOffError)


@contextmanager
def _shut_down_at(end: float, also: Callable[[str, Any], None]) -> Iterator[Callable[[str, Any], None]]:
    """Shut down the connection at `end` on the monotonic clock, to interrupt a read or write that blocks.

    Yields a trace function, which the HTTP client calls for each new connection. It passes each call to `also`.
    """
    with ExitStack() as stack:

        def trace(event: str, info: Any) -> None:
            also(event, info)
            if event == "connection.connect_tcp.complete":
                connection = stack.enter_context(info["return_value"].get_extra_info("socket").dup())
                timer = threading.Timer(max(0.0, end - time.monotonic()), _shut_down, [connection])
                timer.daemon = True
                timer.start()
                stack.callback(timer.cancel)

        yield trace


def _shut_down(connection: socket.socket) -> None:
    with suppress(OSError):  # CAS has closed it already
        connection.shutdown(socket.SHUT_RDWR)
