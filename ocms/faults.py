"""The faults that the mock CAS can show."""

from enum import StrEnum


class Fault(StrEnum):
    """What the mock does instead of answering well."""

    NONE = "none"
    DOWN = "down"
    SLOW = "slow"
    HTTP_500 = "http-500"
    EMPTY = "empty"
    NOT_JSON = "not-json"
    INVALID = "invalid"
    DUPLICATE = "duplicate"
    TRUNCATED = "truncated"
