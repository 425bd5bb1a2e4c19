"""Parsing a long JSON array of objects in parts; the memory needed does not grow with the array."""

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from enum import Enum, auto
from typing import Any

from contract.json import RepeatedMemberError, parse_json

MAX_ITEM_BYTES = 2**20
"""The maximum number of bytes that are kept of an item whose end has not arrived. Beyond it, the array is refused.

A larger item is accepted if its end is in the block that exceeds the limit.
"""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""The byte order mark in UTF-8. RFC 8259, section 8.1, allows parsers to skip it."""
_NO_LIST = "the JSON text is not an array"
_BLANKS = b" \t\r\n"
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*+"|["\[\]{}]', re.DOTALL)
_OFFSET = re.compile(r"(?<=\(byte )\d+(?=\))")
_ENDS_OF_TOKENS = (
    *("", '"', '""', '0"', '00"', '000"', '0000"'),  # strings; the second quote is for a final backslash
    *("0", "rue", "ue", "e", "alse", "lse", "se", "ull", "ll", "l"),
)
"""If a text ends inside a token, one of these completes the token."""
_SURROGATE = re.compile("[\ud800-\udfff]")


class TruncatedJsonError(ValueError):
    """The JSON text ends before the array does."""


class NoListError(ValueError):
    """The JSON text is not an array."""


class _Expected(Enum):
    """What comes next in the text."""

    ARRAY = auto()
    FIRST_ITEM = auto()
    ITEM = auto()
    COMMA = auto()
    NOTHING = auto()


def parse_json_list(blocks: Iterable[bytes]) -> Iterator[list[Any]]:
    """Parse a JSON array of objects from blocks of bytes. Yield its items in order, many at a time.

    Skips a byte order mark. Raises ValueError if the text is not JSON or an item is too large, NoListError if the text
    is not an array, TruncatedJsonError if it ends early, and whatever `blocks` raises. An offset in an error message
    counts from the first byte of the first block.
    """
    array = _Array()
    for block in blocks:
        yield from array.add(block)
    array.finish()


class _Array:
    """An array that arrives in blocks. Only the text that is not parsed yet is kept."""

    def __init__(self) -> None:
        self._text = b""
        self._offset = 0
        """The number of bytes that came before `_text`."""
        self._expected = _Expected.ARRAY

    def add(self, block: bytes) -> Iterator[list[Any]]:
        """Append a block, and yield the items that are complete now."""
        self._text += block
        if self._offset == 0 and self._text.startswith(BYTE_ORDER_MARK):
            self._skip(len(BYTE_ORDER_MARK), _Expected.ARRAY)
        while self._skip_to_item():
            items, end = self._complete_items()
            if not end:
                break
            yield items
            self._skip(end, _Expected.COMMA)
        if len(self._text) > MAX_ITEM_BYTES:
            if self._text.startswith(b"{") and self._expected is _Expected.ARRAY:
                raise NoListError(_NO_LIST)
            raise ValueError(f"not a JSON array of objects of at most {MAX_ITEM_BYTES} bytes each")

    def finish(self) -> None:
        """Raise an error unless the text ended with the array."""
        if self._expected is _Expected.NOTHING:
            return
        opening, closing = (b"", b"") if self._expected is _Expected.ARRAY else (b"[", b"]")
        if not opening and not self._text:
            raise ValueError("the text is empty")
        try:
            self._parse(opening + self._text + closing, added=len(opening))
        except ValueError as error:
            self._require_cut(opening, error)
        else:
            if not opening:
                raise NoListError(_NO_LIST)
        raise TruncatedJsonError("the JSON text ends before the array does")

    def _require_cut(self, opening: bytes, error: ValueError) -> None:
        """Raise an error, unless only the end of the text is missing."""
        try:
            place = _find_fault(opening + self._text)
        except (ValueError, RecursionError):
            raise error from None
        if place is None:
            return
        if _OFFSET.search(str(error)):
            raise error
        raise ValueError(f"not JSON in UTF-8: unexpected text (byte {self._offset - len(opening) + place})")

    def _skip_to_item(self) -> bool:
        """Skip blanks, brackets and commas before the next item. Return whether an item begins there."""
        while True:
            self._skip(len(self._text) - len(self._text.lstrip(_BLANKS)), self._expected)
            match self._expected, self._text[:1]:
                case (_Expected.ARRAY, b"["):
                    self._skip(1, _Expected.FIRST_ITEM)
                case (_Expected.FIRST_ITEM | _Expected.COMMA, b"]"):
                    self._skip(1, _Expected.NOTHING)
                case (_Expected.COMMA, b","):
                    self._skip(1, _Expected.ITEM)
                case (_Expected.ARRAY, _) | (_, b""):
                    return False
                case (_Expected.ITEM, b"]"):
                    raise self._unexpected("an item")
                case (_Expected.FIRST_ITEM | _Expected.ITEM, _):
                    return True
                case (_Expected.COMMA, _):
                    raise self._unexpected("',' or ']'")
                case _:
                    raise self._unexpected("no more text")

    def _unexpected(self, expected: str) -> ValueError:
        return ValueError(f"not JSON in UTF-8: expected {expected} (byte {self._offset})")

    def _skip(self, count: int, expected: _Expected) -> None:
        self._text = self._text[count:]
        self._offset += count
        self._expected = expected

    def _complete_items(self) -> tuple[list[Any], int]:
        """Return the complete items at the start of the text, and the position where they end; 0 if there are none."""
        # The last comma after a brace is usually between two items. If it is inside an item, parsing fails.
        if end := self._text.rfind(b"},") + 1:
            with suppress(ValueError):
                return parse_json(b"[" + self._text[:end] + b"]"), end
        end = _last_end(self._text)
        return (self._parse(b"[" + self._text[:end] + b"]", added=1) if end else []), end

    def _parse(self, text: bytes, *, added: int = 0) -> Any:
        """Parse `added` extra bytes and then the start of `_text`. Offsets in errors count from the first block."""
        try:
            return parse_json(text)
        except RepeatedMemberError:  # its message has no offset
            raise
        except ValueError as error:
            start = self._offset - added
            try:
                text.decode()
            except UnicodeDecodeError as invalid:
                raise ValueError(f"not JSON in UTF-8: {invalid.reason} (byte {start + invalid.start})") from error
            if _has_lone_surrogate(text):  # the parser reports some of them as the end of the text
                raise ValueError("not JSON in UTF-8: a string has a lone surrogate") from error
            raise ValueError(_OFFSET.sub(lambda found: str(start + int(found[0])), str(error))) from error


def _last_end(text: bytes) -> int:
    """Return the end of the last complete object or array, or the position where the array around them ends; else 0."""
    depth, end = 0, 0
    for token in _TOKENS.finditer(text):
        match token[0]:
            case b"{" | b"[":
                depth += 1
            case b"}" | b"]" if depth:
                depth -= 1
                end = end if depth else token.end()
            case b"}" | b"]":
                return token.start()
            case b'"':  # the start of a string that continues in the next block
                break
    return end


def _find_fault(text: bytes) -> int | None:
    """Return the offset at which a text that is not JSON has a fault; None if only its end is missing.

    Only the end is missing if the standard library's parser finds no fault before the end of the text, once one of
    `_ENDS_OF_TOKENS` has completed the last token. Unlike `parse_json`, this parser reports the place of every syntax
    error. Raises ValueError if the fault has no place (such as NaN), or if this parser accepts it (a lone surrogate).
    """
    decoded = codecs.getincrementaldecoder("utf-8")().decode(text)
    furthest = 0
    for end in _ENDS_OF_TOKENS:
        try:
            _DECODER.decode(decoded + end)
        except json.JSONDecodeError as error:
            furthest = max(furthest, error.pos)
        else:
            if not end:
                raise ValueError("the text is complete")
            return None
        if furthest >= len(decoded):
            return None
    return len(decoded[:furthest].encode())


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse_constant)


def _has_lone_surrogate(text: bytes) -> bool:
    with suppress(ValueError, RecursionError):
        return bool(_SURROGATE.search(json.dumps(json.loads(text), ensure_ascii=False)))
    return False
