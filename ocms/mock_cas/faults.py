"""The faults that the mock CAS can show."""

from enum import StrEnum


class Fault(StrEnum):
    """What the mock does instead of answering well."""

    NONE = "none"
    DOWN = "down"
    SLOW = "slow"
    SLOW_DRIP = "slow-drip"
    HTTP_500 = "http-500"
    EMPTY = "empty"
    NOT_JSON = "not-json"
    INVALID = "invalid"
    DUPLICATE = "duplicate"
    TRUNCATED = "truncated"
    HALF_CLOSED = "half-closed"
