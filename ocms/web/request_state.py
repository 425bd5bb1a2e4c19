"""What the layers of the web application tell each other about one request."""

from dataclasses import dataclass
from typing import Any

from starlette.types import Scope

from contract.errors import OcmsError

KEY = "ocms"
"""The member of the ASGI scope's `state` that holds the `RequestState`."""


@dataclass(slots=True)
class RequestState:
    """The state of a request. Each comment names the module that sets the field."""

    arrived: float | None = None
    """`protocol`: when the head was complete, or when a pipelined request had its turn, on the monotonic clock.

    `limits` adds the time that the caller takes to send the body, so that only waiting for this service is counted."""
    refusal: OcmsError | None = None
    """`protocol`: the error to respond with instead of serving the request."""
    closing: bool = False
    """`protocol`: the connection closes after the response."""
    correlation_id: str = ""
    """`envelope`."""
    reason: str | None = None
    """`envelope`: why the request failed, for the access log."""
    fault: str | None = None
    """`envelope`: where and why the request does not conform to the contract, for the access log."""
    caller: str | None = None
    """`security`: the caller to whom the key or token belongs."""
    key: str | None = None
    """`security`: the digits that identify the API key, even if it has expired. An unknown key has none."""
    has_key: bool = False
    """`security`: the request has an API key."""
    query: dict[str, Any] | None = None
    """`connexion_validators`: the query parameters with their defaults."""
    body: bytes | None = None
    """`connexion_validators`: the body as it was received; None if the operation has none."""
    operation_id: str | None = None
    """`contract_app`."""
    counts: dict[str, int] | None = None
    """`contract_app`: what the handler counted, for the access log."""


def request_state(scope: Scope) -> RequestState:
    """Return the state of a request. Create it if another server than ours accepted the request."""
    state: RequestState = scope.setdefault("state", {}).setdefault(KEY, RequestState())
    return state
