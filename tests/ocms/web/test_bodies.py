"""Bodies that do not conform to the contract: each gets the error body with 400."""

import gzip

import pytest
from fixtures.contracts import assert_error, each_operation

DEEP = 100_000
BODIES = {
    "nothing": b"",
    "blank": b"   ",
    "half an object": b'{"notice_nos": ["N1"',
    "trailing text": b'{"notice_nos": ["N1"]} x',
    "two documents": b'{"notice_nos": ["N1"]}{}',
    "null": b"null",
    "a number": b"1",
    "a word": b"N1",
    "single quotes": b"{'notice_nos': ['N1']}",
    "NaN": b'{"notice_nos": [NaN]}',
    "Infinity": b'{"notice_nos": [-Infinity]}',
    "a huge exponent": b'{"notice_nos": [1e999999999]}',
    "a larger exponent than decimals have": b'{"notice_nos": [1e9999999999999999999999]}',
    "a smaller one": b'{"notice_nos": [1e-9999999999999999999999]}',
    "very many places": b'{"notice_nos": [0.' + b"1" * 100_000 + b"]}",
    "a huge integer": b'{"notice_nos": [' + b"9" * 100_000 + b"]}",
    "a NUL": b'{"notice_nos": ["N\\u00001"]}',
    "a raw NUL": b'{"notice_nos": ["N\x001"]}',
    "a lone surrogate": b'{"notice_nos": ["\\ud800"]}',
    "a lone surrogate in UTF-8": b'{"notice_nos": ["\xed\xa0\x80"]}',
    "broken UTF-8": b'{"notice_nos": ["\xff\xfe"]}',
    "broken UTF-8 in a name": b'{"\xff": ["N1"]}',
    "UTF-16": '{"notice_nos": ["N1"]}'.encode("utf-16"),
    "UTF-32": '{"notice_nos": ["N1"]}'.encode("utf-32"),
    "a byte order mark": b'\xef\xbb\xbf{"notice_nos": ["N1"]}',
    "deep arrays": b"[" * DEEP,
    "deep closed arrays": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "arrays as deep as the parser goes": b'{"notice_nos": [' + b"[" * 400 + b"]" * 400 + b"]}",
    "objects as deep as the parser goes": b'{"notice_nos": [' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"]}",
    "a long unknown name": b'{"notice_nos": ["N1"], "' + b"x" * 1_000_000 + b'": 1}',
    "random bytes": bytes(range(256)),
    "compressed": gzip.compress(b'{"notice_nos": ["N1"]}'),
    "form data": b"notice_nos=N1",
    "XML": b"<notice_nos><notice_no>N1</notice_no></notice_nos>",
}


@each_operation
@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_does_not_conform_to_the_contract_is_a_bad_request(clients_of, operation, name, logs):
    client, _ = clients_of(operation)
    response = client.post(operation.path, content=BODIES[name], headers={"Content-Type": "application/json"})
    data = assert_error(response, 400)
    assert data["errors"]
    assert all(len(fault["message"]) <= 500 and len(fault["field"]) <= 200 for fault in data["errors"])
    assert not logs("unexpected_error")


def test_at_most_a_hundred_faults_of_a_query_are_listed(cas):
    query = "&".join(f"x{number}=1" for number in range(3000))
    data = assert_error(cas.post(f"/v1/getPaymentStatus?{query}", json={"notice_nos": ["N1"]}), 400)
    assert len(data["errors"]) == 100


def test_at_most_a_hundred_faults_are_listed(cas):
    data = assert_error(cas.call("getPaymentStatus", {"notice_nos": [""] * 10_000}), 400)
    assert len(data["errors"]) == 100
