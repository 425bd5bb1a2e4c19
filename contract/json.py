"""Parsing JSON: exact decimals, and no member twice."""

import json
import re
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import Any

import jiter
import msgspec

MAX_NUMBER_LENGTH = 64
"""Limit for the characters of a number, and for its power of ten."""
OUT_OF_RANGE = Decimal("1E+64")
"""Replaces a number beyond that limit, since validating one can take seconds. No schema of a contract accepts it."""
SHOWN_NAME = 50
"""The number of characters of a repeated member's name that an error shows."""

_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?'  # possessive, and the last quote optional: linear for any text
_VALUES = re.compile(rf'[^"\[{{,]*+(?:{_STRING}[^"\[{{,]*+)*+(?:[\[{{,]|\Z)'.encode(), re.DOTALL)
"""Matches text up to the next bracket or comma outside a string, or up to the end."""
_TOKENS = re.compile(_STRING + r"|[\[\]{}]", re.DOTALL)
_DEPTH = {"[": 1, "{": 1, "]": -1, "}": -1}
_LONG_INTEGER = b"0" * (MAX_NUMBER_LENGTH + 1)
_DIGITS = bytes(48 if chr(byte).isdecimal() else 32 for byte in range(256))
"""Translates each digit to a zero and any other byte to a space: searching for a text is faster than for a pattern."""
_SPACE = re.compile(r"[ \t\r\n]*+")


class RepeatedMemberError(ValueError):
    """An object has a member more than once. The text has the name of the member, which the sender chose."""


def parse_json(text: bytes) -> Any:
    """Parse JSON. A number with a fraction or an exponent becomes an exact `Decimal`.

    Raises ValueError if the text is not JSON in UTF-8, has an object with a repeated member, is nested too deeply, or
    has an integer with too many digits.
    """
    members_are_unique = _has_unique_members(text)  # first: then only one copy of the value is in memory at a time
    try:
        value = _decoder.decode(text)
        if _LONG_INTEGER in text.translate(_DIGITS):
            value = _without_long_integers(value)
        if not members_are_unique:
            json.loads(text, object_pairs_hook=_require_unique, parse_int=str, parse_float=str)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not JSON in UTF-8: {error}") from error
    return value


def has_more_values(text: bytes, limit: int) -> bool:
    """Return whether a JSON text has more values than `limit`. The text is not parsed, so this is cheap for any text.

    A bracket or a comma precedes each value. Strings may contain them too, so the text is scanned if there are many.
    """
    if len(text) <= limit or text.count(b",") + text.count(b"[") + text.count(b"{") <= limit:
        return False
    return next(islice(_VALUES.finditer(text), limit, None), None) is not None


def split_array(text: bytes) -> list[bytes]:
    """Return the text of each item of a JSON array, even if `parse_json` refuses the item.

    Raises ValueError if the text does not have the grammar of JSON, or is not an array. Two faults are left to
    `parse_json`, which refuses such an item: bytes that are not UTF-8, and anything inside too deep nesting.
    """
    decoded = text.decode("utf-8", "surrogateescape")
    items, index, before = list[bytes](), _skip_space(decoded, 0), "["
    while before != "]":
        if not decoded.startswith(before, index):
            raise ValueError("not an array")
        start = _skip_space(decoded, index + 1)
        end = _item_end(decoded, start)
        items.append(decoded[start:end].encode("utf-8", "surrogateescape"))
        index = _skip_space(decoded, end)
        before = "," if decoded.startswith(",", index) else "]"
    if not decoded.startswith("]", index) or _skip_space(decoded, index + 1) != len(decoded):
        raise ValueError("not an array")
    return items


def _skip_space(text: str, index: int) -> int:
    return _SPACE.match(text, index).end()  # type: ignore[union-attr]  # it matches the empty string


def _item_end(text: str, start: int) -> int:
    try:
        return _scanner.raw_decode(text, start)[1]
    except RecursionError:
        depth = 0
        for token in _TOKENS.finditer(text, start):
            depth += _DEPTH.get(token[0], 0)
            if depth == 0:
                return token.end()
        raise ValueError("an item has no end") from None


def _has_unique_members(text: bytes) -> bool:
    """Return whether no object has a member twice. False also if jiter refuses the text for another reason."""
    try:
        jiter.from_json(text, cache_mode="keys", catch_duplicate_keys=True)
    except ValueError:
        return False
    return True


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


def _without_long_integers(value: Any) -> Any:
    match value:
        case dict():
            return {name: _without_long_integers(member) for name, member in value.items()}
        case list():
            return [_without_long_integers(item) for item in value]
        case int() if abs(value) >= OUT_OF_RANGE:
            return OUT_OF_RANGE
    return value


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_decoder = msgspec.json.Decoder(float_hook=_exact)
_scanner = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_refuse)
