"""Reading a long JSON array part by part, in memory that does not grow with it."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from ocms.validation import parse_json

LONGEST_ITEM = 2**20
"""Bytes; without such a bound a text that never closes its first item would be kept as a whole."""
_TRUNCATED = "Input data was truncated"  # msgspec's words
_NO_LIST = "the JSON text is no array"
_COMMA = re.compile(rb"[ \t\r\n]*,")
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|["\[\]{}]', re.DOTALL)


class TruncatedJsonError(ValueError):
    """The JSON text ends in the middle."""


class NoListError(ValueError):
    """The JSON text is not an array."""


def parse_json_list(blocks: Iterable[bytes]) -> Iterator[list[Any]]:
    """Parse a JSON array of objects from its blocks of bytes; yield its items in order, many at a time.

    Raises ValueError when it is no JSON, NoListError when it is no array, TruncatedJsonError when it ends early, and
    whatever `blocks` raises.
    """
    text, begun = b"", False
    for block in blocks:
        text += block
        text = text if begun else text.lstrip(b" \t\r\n")
        items, end = _whole_items(text)
        if items:
            yield items
            text, begun = b"[" + text[end:], True
        elif len(text) > LONGEST_ITEM:
            if text.startswith(b"{"):
                raise NoListError(_NO_LIST)
            raise ValueError(f"no JSON array of objects of at most {LONGEST_ITEM} bytes")
    if not text:
        raise ValueError("there is no text")
    rest = _parse(text)
    if not isinstance(rest, list):
        raise NoListError(_NO_LIST)
    if begun and not rest:
        raise ValueError("no JSON in UTF-8: the last comma has no item")
    yield rest


def _whole_items(text: bytes) -> tuple[list[Any], int]:
    """Return the items that a text which begins with `[` holds whole, and where the next one begins."""
    if not text.startswith(b"["):
        return [], 0
    # a comma behind a brace mostly is one between two items; else it is nested in one, and no array comes out
    if end := text.rfind(b"},") + 1:
        with suppress(ValueError):
            return parse_json(text[:end] + b"]"), end + 1
    end, following = _last_end(text)
    return (parse_json(text[:end] + b"]") if end else []), following


def _last_end(text: bytes) -> tuple[int, int]:
    """Return where the last item ends that has a comma behind it, and where that comma ends; zeros without one."""
    depth, last = 0, (0, 0)
    for token in _TOKENS.finditer(text):
        match token[0]:
            case b"{" | b"[":
                depth += 1
            case b"}" | b"]":
                depth -= 1
                if depth == 1 and (comma := _COMMA.match(text, token.end())):
                    last = token.end(), comma.end()
            case b'"':  # of a string that goes on in the next block
                break
    return last


def _parse(text: bytes) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        if str(error).endswith(_TRUNCATED):
            raise TruncatedJsonError("the JSON text ends in the middle") from error
        raise
