"""Parsing a long JSON array of objects in parts, in memory that does not grow with the array."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from contract.json import parse_json

MAX_ITEM_BYTES = 2**20
"""Limit for one item, so that a text that never completes an item is not kept as a whole."""
_TRUNCATED = "Input data was truncated"  # the words of msgspec
_NO_LIST = "the JSON text is not an array"
_COMMA = re.compile(rb"[ \t\r\n]*,")
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|["\[\]{}]', re.DOTALL)


class TruncatedJsonError(ValueError):
    """The JSON text ends before the array does."""


class NoListError(ValueError):
    """The JSON text is not an array."""


def parse_json_list(blocks: Iterable[bytes]) -> Iterator[list[Any]]:
    """Parse a JSON array of objects from blocks of bytes. Yield its items in order, many at a time.

    Raises ValueError if the text is not JSON, NoListError if it is not an array, TruncatedJsonError if it ends early,
    and whatever `blocks` raises.
    """
    text, begun = b"", False
    for block in blocks:
        text += block
        text = text if begun else text.lstrip(b" \t\r\n")
        items, end = _complete_items(text)
        if items:
            yield items
            text, begun = b"[" + text[end:], True
        elif len(text) > MAX_ITEM_BYTES:
            if text.startswith(b"{"):
                raise NoListError(_NO_LIST)
            raise ValueError(f"not a JSON array of objects of at most {MAX_ITEM_BYTES} bytes each")
    if not text:
        raise ValueError("the text is empty")
    rest = _parse(text)
    if not isinstance(rest, list):
        raise NoListError(_NO_LIST)
    if begun and not rest:
        raise ValueError("not JSON in UTF-8: no item follows the last comma")
    yield rest


def _complete_items(text: bytes) -> tuple[list[Any], int]:
    """Return the complete items of a text that begins with `[`, and the offset at which the next item begins."""
    if not text.startswith(b"["):
        return [], 0
    # Usually the last comma after a brace is between two items. If it is inside an item, parsing fails.
    if end := text.rfind(b"},") + 1:
        with suppress(ValueError):
            return parse_json(text[:end] + b"]"), end + 1
    end, following = _last_item_end(text)
    return (parse_json(text[:end] + b"]") if end else []), following


def _last_item_end(text: bytes) -> tuple[int, int]:
    """Return where the last item that a comma follows ends, and where that comma ends; zeros if there is none."""
    depth, last = 0, (0, 0)
    for token in _TOKENS.finditer(text):
        match token[0]:
            case b"{" | b"[":
                depth += 1
            case b"}" | b"]":
                depth -= 1
                if depth == 1 and (comma := _COMMA.match(text, token.end())):
                    last = token.end(), comma.end()
            case b'"':  # the start of a string that continues in the next block
                break
    return last


def _parse(text: bytes) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        if str(error).endswith(_TRUNCATED):
            raise TruncatedJsonError("the JSON text ends before the array does") from error
        raise
