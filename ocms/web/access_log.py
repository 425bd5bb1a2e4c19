"""The access log: one line for each request. It shows no part of a request's head that could be a secret."""

from collections.abc import Iterable
from functools import lru_cache
from http import HTTPMethod
from ipaddress import ip_address

import structlog
from starlette.types import Scope

from contract.errors import OcmsError
from contract.validation import shown
from ocms.web.request_state import RequestState

HIDDEN = "…"
"""Replaces a part of a request that the log does not show."""
LOGGED_PATH = 200
"""The number of characters of an unknown path that are examined. The rest is not logged."""
ADDRESS_LENGTH = 64
"""The maximum length of an IP address with its zone."""

_METHODS = {"", *HTTPMethod}
_log = structlog.get_logger(__name__)


class AccessLog:
    """Writes the lines. A path segment that does not occur in `paths` is replaced by `HIDDEN`."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = {"", *paths}
        self._segments = {segment for path in self._paths for segment in path.split("/")}

    def write(self, scope: Scope, state: RequestState, status: int, seconds: float) -> None:
        """Write the line of a request. `seconds` is its duration."""
        optional = {
            "caller": state.caller,
            "key": state.key,
            "operation": state.operation_id,
            "counts": state.counts,
            "reason": state.reason,
            "fault": state.fault,
        }
        path, method = scope["path"], scope["method"]
        _log.info(
            "call",
            method=method if method in _METHODS else HIDDEN,
            path=path if path in self._paths else self._shown(path),
            client=_address((scope["client"] or ("",))[0][:ADDRESS_LENGTH]),
            status=status,
            seconds=round(seconds, 4),
            **{name: value for name, value in optional.items() if value is not None},
        )

    def _shown(self, path: str) -> str:
        segments = path[:LOGGED_PATH].split("/")
        return "/".join(segment if segment in self._segments else HIDDEN for segment in segments)


def first_fault(error: OcmsError) -> str | None:
    """Return the JSON pointer and the keyword of the first fault for which a request or a batch was refused."""
    for record in error.details.get("failed", ()):
        if record["errors"]:
            return f"/{record['index']}{shown(record['errors'][0])}"
    return next(filter(None, map(shown, error.errors)), None)


@lru_cache(maxsize=1024)
def _address(client: str) -> str | None:
    """Return the IP address of a client; None if the text is not one, since `X-Forwarded-For` can have any text."""
    try:
        return str(ip_address(client.partition("%")[0]))
    except ValueError:
        return None
