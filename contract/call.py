"""What a handler receives and returns."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from contract.document import Contract


@dataclass(frozen=True, slots=True)
class Call:
    """A call that is authenticated and valid against the contract.

    `body` is the parsed body, `query` holds the parameters with their defaults. A handler puts numbers for the access
    log into `counts`.
    """

    contract: Contract
    caller: str
    query: dict[str, Any]
    body: Any
    correlation_id: str
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Response:
    """A status of the contract and a JSON value as the body."""

    status: int
    body: Any


Handler = Callable[[Call], Awaitable[Response]]
"""Serves one operation. It awaits `handlers.services` only: a large call runs it in a thread without an event loop."""
