"""A JSON array, read part by part."""

import json
import random
from itertools import chain, pairwise

import pytest

from contract.json_stream import MAX_ITEM_BYTES, NoListError, TruncatedJsonError, parse_json_list

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


@pytest.mark.parametrize("text", [b"[", b'[{"a": 1}', b'[{"a": 1},', b'[{"a": 1}, {"b"', b'[{"a": 1}, {"b": "x', b'["'])
def test_a_text_that_ends_in_the_middle_is_truncated(text):
    with pytest.raises(TruncatedJsonError):
        parsed(text, 4)


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
