"""The access log: one line for each call, with caller, operation, status, counts, time and correlation id."""

import pytest
from fixtures.batches import TODAY
from fixtures.settings import CAS_KEY

from db.dayend import set_dayend_flag


@pytest.fixture
def line_of(callers, logs):
    """Call an operation; returns its line, which is written after the response and before the next one."""
    cas, plus = callers()

    def call(operation, body, caller="CAS", **options):
        client = {"CAS": cas, "PLUS": plus}[caller]
        response = client.post(f"/v1/{operation}", json=body, headers={"X-Correlation-ID": "call-1"}, **options)
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
