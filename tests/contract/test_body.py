"""Request bodies: what a hostile one costs, and records that cannot be parsed."""

import json

import pytest
from fixtures.contracts import CONTRACT, each_operation, good_bytes
from fixtures.cost import MAX_MEMORY, MAX_TIMES, MiB, cost_of, valid_body
from fixtures.effort import effort

from contract.body import max_values
from contract.errors import InvalidRequestError

SIZE = effort(2, 8) * MiB


def filled(item, head=b"[", tail=b"]"):
    return head + b",".join([item] * ((SIZE - len(head)) // (len(item) + 1))) + tail


ALL_WRONG = json.dumps({name: [] for name in CONTRACT.components["schemas"]["CourtNotice"]["properties"]}).encode()
COSTLY = {
    "numbers instead of notices": filled(b"1", b'{"notice_nos":[', b"]}"),
    "as many numbers as notices": b'{"notice_nos":[' + b",".join([b"1"] * 20_000) + b"]}",
    "empty strings": filled(b'""', b'{"notice_nos":[', b"]}"),
    "empty objects": filled(b"{}"),
    "small objects": filled(b'{"a":1}'),
    "empty arrays": filled(b"[]"),
    "nested arrays": filled(b"[" * 300 + b"]" * 300),
    "an unclosed array": b"[" * SIZE,
    "an unclosed object": b'{"a":' * (SIZE // 5),
    "one quote after the other": b'"' * SIZE,
    "escaped quotes": b'["' + b'\\"' * (SIZE // 2),
    "commas": b"," * SIZE,
    "commas in a string": b'["' + b"," * SIZE + b'"]',
    "strings, then commas": b'[""' + b'""' * (SIZE // 2) + b"," * 400_000,
    "a long string of wide characters": b'{"notice_nos":["' + b"x" * SIZE + "\U0001f600".encode() + b'"]}',
    "a long name of wide characters": b'[{"' + b"x" * SIZE + "\U0001f600".encode() + b'":1}]',
    "a long string in the wrong place": b'[{"notice_no":["' + b"x" * SIZE + b'\\ud83d\\ude00"]}]',
    "a record with 190,000 members": b"[{" + b",".join(b'"%x":1' % n for n in range(190_000)) + b"}]",
    "a member with 190,000 members": b'[{"notice_no":{' + b",".join(b'"%x":1' % n for n in range(190_000)) + b"}}]",
    "records with every member wrong": b"[" + b",".join([ALL_WRONG] * 10_000) + b"]",
    "records of long integers": filled(b'{"amount_payable":' + b"1" * 4000 + b"}"),
    "a long integer": b"[" + b"1" * SIZE + b"]",
    "a long fraction": b"[1." + b"1" * SIZE + b"]",
    "records with a repeated member": b"[" + b",".join([b'{"a":"' + b"x" * 400 + b'","a":2}'] * 10_000) + b"]",
    "deep records": b"[" + b",".join([b'{"a":' + b"[" * 2000 + b"]" * 2000 + b"}"] * 95) + b"]",
    "a repeated long name": b'{"' + b"a" * (SIZE // 2) + b'":1,"' + b"a" * (SIZE // 2) + b'":2}',
}


@each_operation
@pytest.mark.parametrize("case", COSTLY)
def test_no_body_costs_much_more_than_a_valid_one_of_its_size(operation, case):
    body, rules = COSTLY[case], operation.body
    valid = valid_body(operation, len(body))
    normal, hostile = cost_of(rules.parse, valid), cost_of(rules.parse, body)
    assert hostile.memory < MAX_MEMORY
    per_mib = normal.seconds / len(valid)
    assert hostile.seconds < MAX_TIMES * per_mib * max(len(body), MiB)


@each_operation
def test_a_body_with_too_many_values_is_refused_before_it_is_parsed(operation):
    count = max_values(
        CONTRACT.definition(operation)["requestBody"]["content"]["application/json"]["schema"], CONTRACT.components
    )
    with pytest.raises(InvalidRequestError) as refused:
        operation.body.parse(b"[" + b"1," * (2 * count + 1) + b"1]")
    assert f"{count:,}" in refused.value.errors[0]["message"]


@each_operation
def test_commas_and_brackets_in_strings_are_no_values(operation):
    body = good_bytes(operation)[:-1].replace(b'"', b'"' + b",[{" * 300_000, 1) + b"}"
    with pytest.raises(InvalidRequestError) as refused:
        operation.body.parse(body)
    assert "more values" not in refused.value.errors[0]["message"]


def test_a_schema_of_a_body_without_a_limit_is_refused():
    for schema in ({"type": "array", "items": {"type": "string"}}, {"type": "object"}, {}):
        with pytest.raises(ValueError, match="needs a limit"):
            max_values(schema, {"schemas": {}})


def test_the_first_faults_of_an_array_are_listed_with_their_places():
    rules = CONTRACT.operations["getPaymentStatus"].body
    with pytest.raises(InvalidRequestError) as refused:
        rules.parse(json.dumps({"notice_nos": ["N1", 1, "N2", *[2] * 200], "x": 1}).encode())
    fields = [fault["field"] for fault in refused.value.errors]
    assert fields[:3] == ["/x", "/notice_nos/1", "/notice_nos/3"]
    assert len(fields) == CONTRACT.limits.items
