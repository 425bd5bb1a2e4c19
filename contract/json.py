"""Parsing JSON: exact decimals, and no member twice."""

import json
from decimal import Decimal, InvalidOperation
from typing import Any

import jiter
import msgspec

MAX_NUMBER_LENGTH = 64
"""Limit for the characters of a number with a fraction or an exponent, and for its power of ten."""
OUT_OF_RANGE = Decimal("1E+64")
"""Replaces a number beyond that limit, since validating one can take seconds. No schema of a contract accepts it."""
SHOWN_NAME = 50
"""The number of characters of a repeated member's name that an error shows."""


class RepeatedMemberError(ValueError):
    """An object has a member more than once. The text has the name of the member, which the sender chose."""


def parse_json(text: bytes) -> Any:
    """Parse JSON. A number with a fraction or an exponent becomes an exact `Decimal`.

    Raises ValueError if the text is not JSON in UTF-8, has an object with a repeated member, is nested too deeply, or
    has an integer with too many digits.
    """
    try:
        value = _decoder.decode(text)
        _require_unique_members(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not JSON in UTF-8: {error}") from error
    return value


def _require_unique_members(text: bytes) -> None:
    try:
        jiter.from_json(text, cache_mode="keys", catch_duplicate_keys=True)
    except ValueError:
        # jiter also refuses valid JSON: nesting deeper than 200, or an extreme exponent. Only the slow parser can tell.
        json.loads(text, object_pairs_hook=_require_unique, parse_int=str, parse_float=str)


def _require_unique(members: list[tuple[str, Any]]) -> None:
    names: set[str] = set()
    for name, _ in members:
        if name in names:
            raise RepeatedMemberError(f"an object has the member {name[:SHOWN_NAME]!r} more than once")
        names.add(name)


def _exact(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return OUT_OF_RANGE
    in_range = len(text) <= MAX_NUMBER_LENGTH and abs(value.adjusted()) <= MAX_NUMBER_LENGTH
    return value if in_range else OUT_OF_RANGE


_decoder = msgspec.json.Decoder(float_hook=_exact)
