"""The faults of the mock CAS."""

from enum import StrEnum


class Fault(StrEnum):
    """A fault. docs/operations/vip-refresh.md says what a refresh does with each."""

    NONE = "none"
    DOWN = "down"
    SLOW = "slow"
    SLOW_DRIP = "slow-drip"
    HTTP_500 = "http-500"
    EMPTY = "empty"
    NOT_JSON = "not-json"
    INVALID = "invalid"
    DUPLICATE = "duplicate"
    PARTIAL = "partial"
    TRUNCATED = "truncated"
    HALF_CLOSED = "half-closed"
