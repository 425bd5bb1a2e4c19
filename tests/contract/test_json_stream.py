"""A JSON array, read part by part."""

import json
import random
from itertools import chain, pairwise

import pytest

from contract.json_stream import BYTE_ORDER_MARK, MAX_ITEM_BYTES, NoListError, TruncatedJsonError, parse_json_list

NESTED = (
    b' [{"a": [{"x": 1}, {"y": "},{"}], "b": {"c": {}}}, {"a": "},"} , {"q": "\\"},{"}, {"r": "\\\\"},{"e": [[], {}]}] '
)


def parsed(text, size):
    return list(chain.from_iterable(parse_json_list(text[start : start + size] for start in range(0, len(text), size))))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 11, 1000])
@pytest.mark.parametrize(
    "text", [b"[]", b" [ ] ", b"[1, 2]", b'[{"a": 1}]', b'[[{"a": 1}, {"b": 1}], {"c": 2}]', NESTED], ids=str
)
def test_the_items_are_the_same_however_the_text_is_cut(text, size):
    assert parsed(text, size) == json.loads(text)


@pytest.mark.parametrize("separators", [(",", ":"), (" , ", " : ")])
@pytest.mark.parametrize("indent", [None, 1])
def test_a_long_list_comes_in_parts(separators, indent):
    items = [{"n": number, "deep": [{"x": "},"}, {"y": number}] * (number % 3)} for number in range(20_000)]
    text = json.dumps(items, separators=separators, indent=indent).encode()
    draw, cuts = random.Random(7), [0]
    while cuts[-1] < len(text):
        cuts.append(cuts[-1] + draw.randint(1, 2**17))
    parts = list(parse_json_list(text[start:end] for start, end in pairwise(cuts)))
    assert list(chain.from_iterable(parts)) == items
    assert max(map(len, parts)) < 10_000


@pytest.mark.parametrize("text", [b"{}", b'{"data": [{"a": 1}]}', b"null", b'"x"', b"12"])
def test_another_value_is_not_a_list(text):
    with pytest.raises(NoListError):
        parsed(text, 3)


def test_a_long_value_that_is_not_a_list_is_reported_as_such():
    with pytest.raises(NoListError):
        parsed(b'{"data": [' + b'{"a": 1},' * 200_000, 2**16)


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_a_text_that_ends_at_any_byte_is_truncated(size):
    text = '[{"a": "x\\u00e9\\ud83d\\ude00é😀\\n"}, {"b": [true, null, -1.5e+3, {"c": {}}]}, [1], 2, "z"]'.encode()
    assert parsed(text, size) == json.loads(text)
    for end in range(1, len(text)):
        with pytest.raises(TruncatedJsonError):
            parsed(text[:end], size)


@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize(
    "text",
    [
        b'{"data": [{"a": "\\ud83d", "b": -1.5e+3}, null, false]}',
        b'"text \\" \\ud83d\\ude00"',
        b"null",
        b"false",
        b" true",
    ],
)
def test_another_value_that_ends_early_is_truncated(text, size):
    for end in range(len(text) - len(text.lstrip()) + 1, len(text)):
        with pytest.raises(TruncatedJsonError):
            parsed(text[:end], size)


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("string", [rb"\ud83d", rb"\ude00", rb"\ud83dx", rb"\ud83d\u0041", rb"\\\ud83d\ud83d"])
def test_a_record_with_a_lone_surrogate_that_is_cut_off_is_truncated(string, size):
    text = b'[{"a": 1}, {"a": "' + string + b'", "b": ["x", 12.5e3, true]}'
    for end in range(text.rindex(string) + 1, len(text)):
        with pytest.raises(TruncatedJsonError):
            parsed(text[:end], size)


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("value", "more"),
    [
        (b'{"error":"maintenance"}', b"<!-- served by f5 -->"),
        (b'{"error":"\\ud83d"}', b"<!-- served by f5 -->"),
        (b'{"a":1}\n', b'{"a":2}'),
        (b'{"data":[]}', b'{"data":[]}'),
        (b'{"a":1}', b"}"),
        (b'{"a":1}', b","),
        (b"null", b"<html>"),
        (b'"text"', b'"'),
        (b"12", b"<html>"),
        (b"12", b" e"),
        (b"1.5e3", b"x"),
        (b"0", b"1"),
        (b'{"a":"\xc3\xa9"} ', b"\0"),
        (b'["a"', b"<html>"),
        (b"[1", b" 2"),
        (b'[{"a":1', b' "b'),
        (b'{"a":1', b' "b'),
        (b'{"a":', b"NaN"),
        (b'[{"a":', b"NaN"),
        (b'{"a"', b'"b'),
        (b'{"a":"', b"\n"),
        (b'{"a":"', rb'\u12"'),
        (b'{"a":"', rb"\u12x"),
    ],
)
def test_text_that_no_continuation_makes_json_is_not_truncated(value, more, size):
    with pytest.raises(ValueError, match=r"not JSON in UTF-8: .*\(byte \d+\)") as raised:
        parsed(value + more, size)
    assert type(raised.value) is ValueError


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
@pytest.mark.parametrize("after", [b"", b" \r\n\t"])
def test_a_byte_order_mark_is_skipped(size, after):
    assert parsed(BYTE_ORDER_MARK + after + b'[{"a": 1}]', size) == [{"a": 1}]


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    "text", [BYTE_ORDER_MARK * 2 + b"[1]", b" " + BYTE_ORDER_MARK + b"[1]", b"[" + BYTE_ORDER_MARK]
)
def test_a_byte_order_mark_elsewhere_is_refused(text, size):
    with pytest.raises(ValueError, match="not JSON in UTF-8"):
        parsed(text, size)


@pytest.mark.parametrize("size", [7, 10_000])
@pytest.mark.parametrize(
    "string", [rb"\ud83d", rb"\ude00", rb"\ud83dx", rb"\ud83d\u0041", rb"\ud83d\ud83d\ude00", rb"\ude00\ud83d"]
)
def test_a_lone_surrogate_is_not_taken_for_the_end_of_the_text(string, size):
    for text in (
        b'[{"a": 1}, {"b": "' + string + b'"}]',
        b'["' + string + b'"]',
        b'[{"b": "' + string + b'"}, {"c": 1}]',
    ):
        with pytest.raises(ValueError, match=r"lone surrogate|surrogate pair") as raised:
            parsed(text, size)
        assert type(raised.value) is ValueError


@pytest.mark.parametrize("size", [5, 64, 100_000])
@pytest.mark.parametrize("before", [b"", BYTE_ORDER_MARK + b"\n"])
@pytest.mark.parametrize("last", [b"", b', {"z": 1}'])
@pytest.mark.parametrize(
    ("item", "at"),
    [
        (b'{"a": tru}', 10),
        (b'{"a": NaN}', 6),
        (b'{"a": "\x00"}', 7),
        (b'{"a": "\xff"}', 7),
        (b'{"a": "\xed\xa0\x80"}', 7),
        (b'{"a": "\xe2\x82"}', 7),
        (b'{"a" 1}', 5),
        (b'{"a": 1} {"b": 1}', 9),
        (b'{"a": 1} x', 9),
        (b'{"a": 1} \x00', 9),
        (b'{"a": 1}}', 8),
    ],
)
def test_an_offset_counts_from_the_first_byte_of_the_text(item, at, last, before, size):
    good = before + b'[{"n": "\xc3\xa9"},' + b' {"n": 1},' * 500
    with pytest.raises(ValueError, match=rf"not JSON in UTF-8: .* \(byte {len(good) + at}\)"):
        parsed(good + item + last + b"]", size)


@pytest.mark.parametrize("text", [b"x", b"\x00", b"[1]", b",", b"]", b'{"a": 1}'])
def test_text_after_the_array_is_refused_at_its_place(text):
    for items in (b"[]", b"[1]", b'[{"a": 1}]'):
        with pytest.raises(ValueError, match=rf"expected no more text \(byte {len(items) + 1}\)"):
            parsed(items + b" " + text, 2)


@pytest.mark.parametrize("parts", [(b"", b'[{"a":1}]'), (b'[{"a":1}', b"]"), (b'[{"a":1},', b'{"a":1}]'), (b"[]", b"")])
def test_blanks_between_items_are_of_any_length(parts):
    first, rest = parts
    assert parsed(first + b" " * (3 * MAX_ITEM_BYTES) + rest, 2**16) == json.loads(first + rest)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"  ",
        b"<html>",
        b'[{"a": 1}] x',
        b'[{"a": 1}],[{"b": 1}]',
        b'[{"a": 1}]},{"b": 1}]',
        b'[{"a": 1},]',
        b'[{"a": 1},,{"b": 1}]',
        b'[,{"a": 1}]',
        b'[{"a": 1} {"b": 1}]',
        b'[{"a": 1}, {"a": tru}, {"a": 2}]',
        b'[{"a": NaN}]',
        b'[{"a": ' + b"9" * 5000 + b"}]",
        b'["\xff"]',
        b"[" * 3000 + b"]" * 3000,
    ],
    ids=lambda text: text[:24],
)
@pytest.mark.parametrize("size", [7, 10_000])
def test_a_text_that_is_not_json_is_refused(text, size):
    with pytest.raises(ValueError, match=r"not JSON|text is empty") as raised:
        parsed(text, size)
    assert type(raised.value) is ValueError


@pytest.mark.parametrize("text", [b"<", b'[{"a":', b'["a', b"[1,"])
def test_an_item_that_never_ends_is_given_up(text):
    read = 0

    def blocks():
        nonlocal read
        yield text
        while True:
            read += 2**16
            yield text[-1:] * 2**16

    with pytest.raises(ValueError, match="not a JSON array of objects of at most 1048576 bytes"):
        list(parse_json_list(blocks()))
    assert read < 2 * MAX_ITEM_BYTES
