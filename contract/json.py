"""Parsing JSON with exact decimals. A repeated member of an object is an error."""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

import jiter
import msgspec

MAX_NUMBER_LENGTH = 64
"""The maximum number of digits of an integer, and of characters of another number; also its maximum power of ten."""
OUT_OF_RANGE = Decimal("1E+64")
"""Replaces a number beyond that limit, since validating one can take seconds. No schema of a request accepts it."""
SHOWN_NAME = 50
"""The number of characters of a repeated member's name that an error shows."""

_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?'  # possessive quantifiers and an optional last quote: no backtracking
_VALUES = re.compile(rf'[^"\[{{,]*+(?:{_STRING}[^"\[{{,]*+){{0,1000}}+[\[{{,]?'.encode(), re.DOTALL)
"""Matches text up to the next `[`, `{` or comma outside a string; at most 1,000 strings, as a match holds the GIL."""
_TOKENS = re.compile(_STRING + r"|[\[\]{}]", re.DOTALL)
_DEPTH = {"[": 1, "{": 1, "]": -1, "}": -1}
_LONG_INTEGER = b"0" * (MAX_NUMBER_LENGTH + 1)
_DIGITS = bytes(48 if chr(byte).isdecimal() else 32 for byte in range(256))
"""Translates each digit to 0 and any other byte to a space: a substring search is faster than a regular expression."""
_SPACE = re.compile(r"[ \t\r\n]*+")


class RepeatedMemberError(ValueError):
    """An object has a member more than once. The message contains the name of the member, which the sender chose."""


def parse_json(text: bytes) -> Any:
    """Parse JSON. A number with a fraction or an exponent becomes an exact `Decimal`.

    A number beyond the limits of `MAX_NUMBER_LENGTH` becomes `OUT_OF_RANGE`.

    Raises ValueError if the text is not JSON in UTF-8, has an object with a repeated member, is nested too deeply, or
    has an integer of more than 4,300 digits.
    """
    # This comes first, so that jiter's copy of the value is freed before msgspec makes another one.
    members_are_unique = _has_unique_members(text)
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
    """Estimate whether a JSON text has more values than `limit`. The text is not parsed, so this is always cheap.

    A `[`, `{` or comma precedes each value but the first. Strings may contain them too, so the text is scanned if there
    are many. The estimate can be too high, since an empty array or object counts twice.
    """
    if len(text) <= limit or text.count(b",") + text.count(b"[") + text.count(b"{") <= limit:
        return False
    count = 0
    for match in _VALUES.finditer(text):
        count += text[match.end() - 1] in b"[{,"
        if count > limit:
            return True
    return False


def split_array(text: bytes) -> list[bytes]:
    """Return the text of each item of a JSON array, even if `parse_json` refuses the item.

    Raises ValueError if the text is not a JSON array with at least one item. It does not detect bytes that are not
    UTF-8, or faults inside an item that is nested too deeply; `parse_json` refuses such an item.
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


def parse_leniently(text: bytes) -> Any:
    """Parse JSON that `parse_json` refuses, to find out which record it is. Return None if that is not possible.

    Members that occur twice, numbers, and texts that cannot be printed, such as lone surrogates, become None.
    """
    try:
        return json.loads(text.decode(errors="replace"), object_pairs_hook=_lenient, parse_int=_drop, parse_float=_drop)
    except (ValueError, RecursionError):
        return None


def _lenient(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in members:
        is_usable = name not in found and (not isinstance(value, str) or value.isprintable())
        found[name] = value if is_usable else None
    return found


def _drop(_number: str) -> None:
    return None


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
