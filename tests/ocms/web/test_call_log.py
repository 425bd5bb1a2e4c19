"""The access log: one line for each call, with caller, operation, status, counts, time and correlation id."""

import pytest
from fixtures.batches import TODAY
from fixtures.settings import CAS_KEY, PLUS_KEY

from db.dayend import set_dayend_flag
from ocms.keys import hash_key


@pytest.fixture
def line_of(callers, logs):
    """Call an operation; returns its line, which is written after the response and before the next one."""
    cas, plus = callers()

    def call(operation, body, caller="CAS", headers=None, **options):
        client = {"CAS": cas, "PLUS": plus}[caller]
        options = options if "content" in options else options | {"json": body}
        headers = {"X-Correlation-ID": "call-1", "Content-Type": "application/json"} | (headers or {})
        response = client.post(f"/v1/{operation}", headers=headers, **options)
        client.get("/openapi.json")
        (line,) = [line for line in logs("call") if line["correlation_id"] == "call-1"]
        assert line["status"] == response.status_code
        assert 0 <= line["seconds"] < 60
        return line

    return call


def test_what_a_caller_asked_and_got(line_of, add_notice):
    add_notice("N1", emcons_flag="Y")
    add_notice("N2")
    line = line_of("getPaymentStatus", {"notice_nos": ["N1", "N2", "N3"]})
    assert (line["caller"], line["operation"], line["client"]) == ("CAS", "getPaymentStatus", "127.0.0.1")
    assert line["counts"] == {"asked": 3, "unknown": 1, "recorded": 1}
    assert "reason" not in line


def test_what_plus_asked(line_of, add_notice):
    add_notice("N1")
    line = line_of("getNoticeUpdate", {"notice_nos": ["N1"]}, "PLUS")
    assert (line["caller"], line["operation"]) == ("PLUS", "getNoticeUpdate")
    assert line["counts"] == {"asked": 1, "unknown": 0, "recorded": 0}


def test_how_much_of_a_batch_was_written(line_of, add_notice, database):
    with database.writing() as conn:
        set_dayend_flag(conn, TODAY, "Y")
    add_notice("N1")
    batch = [{"notice_no": "N1", "atoms_flag": "Y"}, {"notice_no": "N2", "atoms_flag": "Y"}]
    line = line_of("updateCourtNotices", batch)
    assert line["counts"] == {"records": 2, "failed": 1}


@pytest.mark.parametrize(
    ("operation", "caller", "reason"),
    [
        ("updateCourtNotices", "CAS", "the request does not conform to the contract"),
        ("getNoticeUpdate", "CAS", "the API key or token belongs to another caller"),
    ],
)
def test_why_a_call_was_refused(line_of, operation, caller, reason):
    line = line_of(operation, {"notice_nos": []}, caller)
    assert (line["caller"], line["reason"]) == (caller, reason)
    assert "counts" not in line


def test_a_call_without_a_valid_key_has_no_caller_in_the_log(cas, logs):
    cas.post("/v1/getPaymentStatus", headers={"X-API-Key": "wrong"})
    cas.get("/openapi.json")
    line = logs("call")[0]
    assert "caller" not in line
    assert line["reason"] == "no valid API key or token"
    assert CAS_KEY not in logs.text()


@pytest.mark.parametrize(("caller", "key"), [("CAS", CAS_KEY), ("PLUS", PLUS_KEY)])
def test_which_key_was_used(line_of, caller, key):
    line = line_of("getPaymentStatus", {"notice_nos": ["N1"]}, caller)  # refused to PLUS
    assert line["key"] == hash_key(key)[:8]


def test_during_a_rotation_each_call_has_the_key_that_it_used(callers, logs, clock):
    old, new, expired = (f"{name}-key-of-cas" for name in ("old", "new", "expired"))
    keys = f"CAS:{hash_key(old)},CAS:{hash_key(new)},CAS:{hash_key(expired)}:2026-06-29"
    client, _ = callers(api_keys=keys)
    statuses = []
    for key in (old, new, expired, "unknown"):
        headers = {"X-API-Key": key}
        statuses.append(client.post("/v1/getPaymentStatus", json={"notice_nos": ["N1"]}, headers=headers).status_code)
    client.get("/openapi.json")
    assert statuses == [200, 200, 401, 401]
    shown = [line.get("key") for line in logs("call")][:4]
    assert shown == [hash_key(key)[:8] for key in (old, new, expired)] + [None]
    assert hash_key("unknown")[:8] not in logs.text()
    assert not any(hash_key(key) in logs.text() for key in (old, new, expired))


@pytest.mark.parametrize(
    ("operation", "body", "fault"),
    [
        ("getPaymentStatus", {"notice_nos": ["S3CR3T blank"]}, "/notice_nos/0 pattern"),
        ("getPaymentStatus", {"notice_nos": ["N1", 5]}, "/notice_nos/1 type"),
        ("getPaymentStatus", {"notice_nos": []}, "/notice_nos minItems"),
        ("getPaymentStatus", {}, "/notice_nos required"),
        ("getPaymentStatus", "S3CR3T", " type"),
        ("getPaymentStatus", {"notice_nos": ["N1"], "a/b": "S3CR3T"}, "/a~1b additionalProperties"),
        ("getPaymentStatus", {"notice_nos": ["N1"], "x" * 1000: 1}, f"/{'x' * 40} additionalProperties"),
        ("updateCourtNotices", ["S3CR3T"], "/0 type"),
        ("updateCourtNotices", [{"notice_no": "N1", "atoms_flag": ["S3CR3T"]}], "/0/atoms_flag type"),
        ("updateCourtNotices", [{"notice_no": "S3CR3T"}], "/0 minProperties"),
        ("updateCourtNotices", [{"notice_no": "N1", "atoms_flag": "Y"}] * 2, "/0/notice_no repeated"),
    ],
)
def test_where_and_why_a_call_was_refused(line_of, logs, database, operation, body, fault):
    with database.writing() as conn:
        set_dayend_flag(conn, TODAY, "Y")
    assert line_of(operation, body)["fault"] == fault
    assert "S3CR3T" not in logs.text()


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("limit=S3CR3T", "limit type"),
        ("limit=1&limit=S3CR3T", "limit repeated"),
        ("filter=FP&filter=S3CR3T", "filter/1 enum"),
        ("api_key=S3CR3T", "unknown parameter"),
        ("S3CR3T", "unknown parameter"),
    ],
)
def test_which_query_parameter_was_refused(cas, logs, query, fault):
    cas.post(f"/v1/getPaymentStatus?{query}", json={"notice_nos": ["N1"]})
    cas.get("/openapi.json")
    assert logs("call")[0]["fault"] == fault
    assert "S3CR3T" not in logs.text()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"{", "not JSON"),
        (b'{"S3CR3T": 1, "S3CR3T": 2}', "not JSON"),
        (b"[" * 200 + b"]" * 200, "value is nested deeper than 32 levels"),
    ],
)
def test_why_a_body_was_not_read(line_of, logs, content, fault):
    assert line_of("getPaymentStatus", None, content=content)["fault"] == fault
    assert "S3CR3T" not in logs.text()


def test_a_call_that_was_not_refused_has_no_fault(line_of):
    assert "fault" not in line_of("getPaymentStatus", {"notice_nos": ["N1"]})
