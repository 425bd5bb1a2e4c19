"""What a handler is given, and what it returns."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from ocms.contract import Contract


@dataclass(frozen=True, slots=True)
class Call:
    """A call that is authenticated and valid.

    `body` is the parsed body, `query` the parameters with their defaults; `counts` are for the log.
    """

    contract: Contract
    caller: str
    query: dict[str, Any]
    body: Any
    correlation_id: str
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: a status of the contract and a JSON value."""

    status: int
    body: Any


Handler = Callable[[Call], Awaitable[Reply]]
"""Serves one operation; what may wait runs in a thread."""
