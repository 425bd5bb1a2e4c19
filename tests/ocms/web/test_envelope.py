"""Whatever arrives, the response is the one error body with its proper status."""

import gzip
import json
import socket
import threading
from datetime import UTC, datetime

import httpx2
import pytest
from fixtures.contracts import OPERATIONS, assert_error
from fixtures.settings import CAS_KEY

from db import tables
from ocms.app import create_app

HEADERS = {"X-API-Key": CAS_KEY, "Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ('Application/JSON ; charset="UTF-8"', 200),
        ("application/json;charset=utf-16", 415),
        ("application/json; charset=nonsense", 415),
        ("application/problem+json", 415),
        ("text/plain", 415),
        ("text/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/xml", 415),
        ("*/*", 415),
        ("nonsense", 415),
        (";", 415),
        ("application/json, text/plain", 415),
    ],
)
def test_only_json_in_utf_8_is_taken(cas, content_type, status):
    response = cas.post(
        "/v1/getPaymentStatus", content=b'{"notice_nos": ["N1"]}', headers={"Content-Type": content_type}
    )
    if status == 200:
        assert response.status_code == 200
    else:
        assert_error(response, status)


def test_a_differently_written_media_type_is_validated_as_well(cas):
    response = cas.post("/v1/getPaymentStatus", content=b"{}", headers={"Content-Type": "APPLICATION/JSON"})
    assert_error(response, 400)


def test_two_media_types_are_refused(cas):
    headers = [("Content-Type", "application/json"), ("Content-Type", "text/plain")]
    assert_error(cas.post("/v1/getPaymentStatus", content=b"{}", headers=headers), 415)


def test_without_a_media_type_the_body_is_taken_as_json(cas):
    request = cas.build_request("POST", "/v1/getPaymentStatus", content=b'{"notice_nos": ["N1"]}')
    assert "Content-Type" not in request.headers
    assert cas.send(request).status_code == 200


def test_a_compressed_body_is_refused(cas):
    body = gzip.compress(b'{"notice_nos": ["N1"]}')
    assert_error(cas.post("/v1/getPaymentStatus", content=body, headers=HEADERS | {"Content-Encoding": "gzip"}), 415)
    codings = [*HEADERS.items(), ("Content-Encoding", "identity"), ("Content-Encoding", "gzip")]
    assert_error(cas.post("/v1/getPaymentStatus", content=body, headers=codings), 415)


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_a_request_that_offers_another_protocol_is_served_without_it(cas, protocol):
    headers = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": protocol, "HTTP2-Settings": "AAMAAABk"}
    response = cas.post("/v1/getPaymentStatus", json={"notice_nos": ["N1"]}, headers=headers)
    assert response.status_code == 200


@pytest.mark.parametrize("method", ["FOO", "post", "PROPFIND"])
def test_an_unknown_method_is_a_wrong_one(cas, method):
    with socket.create_connection((cas.base_url.host, cas.base_url.port)) as caller:
        caller.sendall(f"{method} /v1/getPaymentStatus HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        response = b"".join(iter(lambda: caller.recv(65536), b""))
    assert response.startswith(b"HTTP/1.1 405")
    assert b"OCMS-4000" in response


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v1/getPaymentStatus/", "/V1/getPaymentStatus", "//", "/v1/x"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PATCH"])
def test_a_path_that_does_not_exist_is_not_found(cas, method, path):
    assert_error(cas.request(method, path), 404)


@pytest.mark.parametrize("path", [operation.path for operation in OPERATIONS])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_a_wrong_method_is_refused_and_the_right_one_named(cas, method, path):
    response = cas.request(method, path)
    assert_error(response, 405)
    assert response.headers["Allow"] == "POST"


def test_an_response_to_head_has_no_body(cas):
    response = cas.head("/v1/getPaymentStatus")
    assert (response.status_code, response.content) == (405, b"")


def test_a_body_of_8_mib_is_read_and_a_larger_one_refused(cas):
    limit = 8 * 1024 * 1024
    assert_error(cas.post("/v1/getPaymentStatus", content=b" " * limit, headers=HEADERS), 400)
    assert_error(cas.post("/v1/getPaymentStatus", content=b" " * (limit + 1), headers=HEADERS), 413)


def test_a_body_of_unknown_length_is_refused_once_it_is_too_large(cas):
    chunks = (b" " * 1024 * 1024 for _ in range(9))
    assert_error(cas.post("/v1/getPaymentStatus", content=chunks, headers=HEADERS), 413)


def test_after_a_refused_body_the_next_call_is_served(cas):
    cas.post("/v1/getPaymentStatus", content=b" " * 9 * 1024 * 1024, headers=HEADERS)
    assert cas.call("getPaymentStatus", {"notice_nos": ["N1"]}).status_code == 200


def test_a_caller_that_hangs_up_does_no_harm(cas, logs):
    address = (cas.base_url.host, cas.base_url.port)
    with socket.create_connection(address) as caller:
        head = (
            f"POST /v1/updateCourtNotices HTTP/1.1\r\nHost: x\r\nX-API-Key: {CAS_KEY}\r\nContent-Length: 1000\r\n\r\n"
        )
        caller.sendall(head.encode() + b'[{"notice_no": "N1"')
    assert cas.call("getPaymentStatus", {"notice_nos": ["N1"]}).status_code == 200
    assert not logs("unexpected_error")


@pytest.mark.parametrize("given", ["a", "cas-20260630-0001", "A.b_c-9", "x" * 64])
def test_a_usable_correlation_id_is_kept(cas, given, logs):
    response = cas.post("/v1/getPaymentStatus", json={"notice_nos": ["X"]}, headers={"X-Correlation-ID": given})
    assert response.headers["X-Correlation-ID"] == given
    cas.get("/openapi.json")  # a call is logged after its response, and before the next one
    assert logs("call")[0]["correlation_id"] == given
    assert [line["correlation_id"] for line in logs("unknown_notices")] == [given]


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\tb", "\xe9".encode(), "{}", 'a"b', "a,b"])
def test_any_other_correlation_id_is_replaced(cas, given):
    response = cas.post("/v1/getPaymentStatus", json={"notice_nos": ["X"]}, headers={"X-Correlation-ID": given})
    assert response.status_code == 200
    assert len(response.headers["X-Correlation-ID"]) == 32


def test_each_call_is_logged_in_one_line_without_key_and_body(cas, logs):
    cas.call("getPaymentStatus", {"notice_nos": ["SECRET-1"]}, limit=5)
    cas.call("updateCourtNotices", [{"notice_no": "SECRET-2", "atoms_flag": "SECRET-3"}])
    cas.post("/v1/getPaymentStatus", content=b'{"SECRET-4"', headers=HEADERS)
    cas.get("/openapi.json")  # a call is logged after its response, and before the next one
    line, *others = logs("call")
    assert [other["path"] for other in others[:2]] == ["/v1/updateCourtNotices", "/v1/getPaymentStatus"]
    assert line["method"] == "POST"
    assert (line["path"], line["caller"], line["status"]) == ("/v1/getPaymentStatus", "CAS", 200)
    assert CAS_KEY not in logs.text()
    assert "SECRET-3" not in logs.text()
    assert "SECRET-4" not in logs.text()


def test_an_unexpected_error_is_logged_with_its_trace_and_without_keys(serve, make_settings, logs):
    broken = []

    def clock():
        return datetime(2026, 6, 30, tzinfo=UTC) if not broken else 1 / 0

    url = serve(create_app(make_settings(), clock))
    broken.append("the clock")
    batch = [{"notice_no": "N1", "atoms_flag": "Y"}]
    response = httpx2.post(f"{url}/v1/updateCourtNotices", json=batch, headers={"X-API-Key": CAS_KEY})
    data = assert_error(response, 500, "OCMS-5000")
    assert data["message"] == "Something went wrong. Please try again later."
    assert "division" not in response.text
    (line,) = logs("unexpected_error")
    assert "ZeroDivisionError" in json.dumps(line)
    assert CAS_KEY not in logs.text()


def test_a_locked_database_is_unavailable_and_then_serves_again(cas, add_notice, database):
    if database.engine.dialect.name != "sqlite":
        pytest.skip("only SQLite has one lock for all writers")
    add_notice("N1")
    with database.writing():
        response = cas.call("updateCourtNotices", [{"notice_no": "N1", "atoms_flag": "Y"}])
    assert_error(response, 503, "OCMS-5000")
    assert int(response.headers["Retry-After"]) > 0
    assert cas.call("updateCourtNotices", [{"notice_no": "N1", "atoms_flag": "Y"}]).status_code == 409


def test_a_response_that_breaks_the_contract_is_replaced_by_an_error_without_details(callers, add_notice, logs):
    add_notice("N1", amount_payable=123_456_789)
    cas, _ = callers(validate_responses=True)
    response = cas.call("getPaymentStatus", {"notice_nos": ["N1"]})
    assert_error(response, 500, "OCMS-5000")
    assert "maximum" not in response.text
    assert "maximum" in json.dumps(logs("unexpected_error"))


def test_a_failed_statement_is_logged_without_its_values(cas, drop_table, logs):
    drop_table(tables.valid_offence_notice)
    cas.call("getPaymentStatus", {"notice_nos": ["SECRET-1"]})
    assert logs("server_error")
    assert "SECRET-1" not in logs.text()


def test_a_database_that_is_gone_is_unavailable_until_it_is_back(cas, add_notice, database, tmp_path):
    if database.path is None:
        pytest.skip("a file can be moved away, a server cannot")
    add_notice("N1")
    database.close()
    body = {"notice_nos": ["N1"]}
    assert cas.call("getPaymentStatus", body).status_code == 200
    database.path.rename(tmp_path / "away.db")
    assert_error(cas.call("getPaymentStatus", body), 503, "OCMS-5000")
    (tmp_path / "away.db").rename(database.path)
    assert cas.call("getPaymentStatus", body).status_code == 200


def test_many_callers_at_once_are_all_served(cas, add_notice):
    add_notice("E1", emcons_flag="Y")
    statuses = []

    def call():
        statuses.append(cas.call("getPaymentStatus", {"notice_nos": ["E1", "X1"]}).status_code)

    threads = [threading.Thread(target=call) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 50
