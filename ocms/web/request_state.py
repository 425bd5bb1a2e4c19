"""The state of one request, which the layers of the web application share."""

from dataclasses import dataclass
from typing import Any

from starlette.types import Scope

from contract.errors import OcmsError

KEY = "ocms"
"""The member of the ASGI scope's `state` that holds the `RequestState`."""


@dataclass(slots=True)
class RequestState:
    """The state of a request. Each comment names the modules that set the field."""

    arrived: float | None = None
    """`protocol`: when the end of the head was read, or when a pipelined request had its turn, on the monotonic clock.

    `limits` adds the time that the caller takes to send the body, so that only waiting for this service is counted."""
    refusal: OcmsError | None = None
    """`protocol`, `cors`: the error to respond with instead of serving the request."""
    closing: bool = False
    """`protocol`: the connection closes after the response."""
    correlation_id: str = ""
    """`envelope`: the id that the caller sent, if it is valid; otherwise a new one."""
    reason: str | None = None
    """`envelope`: why the request failed, for the access log."""
    fault: str | None = None
    """`envelope`: where and why the request does not conform to the contract, for the access log."""
    caller: str | None = None
    """`security`: the caller to whom the key or token belongs."""
    key: str | None = None
    """`security`: the first digits of the hash of the API key, even if it has expired; None if the key is unknown."""
    has_key: bool = False
    """`security`: whether the request has an API key, valid or not."""
    query: dict[str, Any] | None = None
    """`connexion_validators`: the query parameters with their defaults."""
    body: bytes | None = None
    """`connexion_validators`: the body as it was received; None if the operation has none."""
    operation_id: str | None = None
    """`dispatcher`: the operation; None if the path is not in the contract or the request was refused before."""
    counts: dict[str, int] | None = None
    """`dispatcher`: what the handler counted, for the access log."""


def request_state(scope: Scope) -> RequestState:
    """Return the state of a request. Create it if the server does not use `protocol`."""
    state: RequestState = scope.setdefault("state", {}).setdefault(KEY, RequestState())
    return state
