"""No byte of a request's head that could be a secret gets into the log."""

import time
from contextlib import suppress

import pytest
from fixtures.sockets import BODY, head, request

SECRET = "S3CR3T-of-a-caller"
CHUNKED = "Transfer-Encoding: chunked"


@pytest.fixture
def line_of(logs):
    """Return the line of a call, which is written soon after its response."""

    def find(response):
        wanted = response.headers["x-correlation-id"]
        for _ in range(200):
            for line in logs("call"):
                if line["correlation_id"] == wanted:
                    return line
            time.sleep(0.01)
        raise AssertionError(f"no line for {wanted}")

    return find


def first_line(text, rest=b"Host: x\r\n\r\n"):
    return text.encode() + b"\r\n" + rest


INVALID_LINE = "a line end, a folded line or a character is invalid"
MALFORMED = {
    "a blank before the colon": (head(f"X-API-Key : {SECRET}"), "a header line is malformed"),
    "no colon": (head(f"X-API-Key {SECRET}"), "a header line is malformed"),
    "a key as a name": (head(f"{SECRET}\x00: x"), INVALID_LINE),
    "a NUL in the key": (head(f"X-API-Key: {SECRET}\x00"), INVALID_LINE),
    "a folded first line": (first_line("GET / HTTP/1.1", f" {SECRET}\r\n\r\n".encode()), INVALID_LINE),
    "a blank in the query": (
        first_line(f"GET /v1/getPaymentStatus?key={SECRET} x HTTP/1.1"),
        "the request line is malformed",
    ),
    "no version": (first_line(f"GET /?key={SECRET}"), "the request line is malformed"),
    "another protocol": (f"{SECRET}\r\n\r\n".encode(), "the request line is malformed"),
    "a NUL in the path": (first_line(f"GET /{SECRET}\x00 HTTP/1.1"), INVALID_LINE),
    "a malformed method": (first_line(f"G@T{SECRET} / HTTP/1.1"), "the request line is malformed"),
    "no Host": (
        first_line("GET / HTTP/1.1", f"X-API-Key: {SECRET}\r\n\r\n".encode()),
        "the request has no Host header",
    ),
    "two Hosts": (head(f"Host: {SECRET}"), "the request has more than one Host header"),
    "a length": (head(f"Content-Length: {SECRET}"), "Content-Length is malformed"),
    "two lengths": (head("Content-Length: 1", f"Content-Length: {SECRET}"), None),
    "a transfer coding": (head(f"Transfer-Encoding: {SECRET}"), "the transfer coding is not supported"),
    "a chunk": (head(CHUNKED) + f"zz{SECRET}\r\n".encode(), "the line before the data of a chunk is invalid"),
    "a trailer": (head(CHUNKED) + f"0\r\nX-API-Key : {SECRET}\r\n\r\n".encode(), "a header line is malformed"),
    "a head that is too large": (head(f"X-API-Key: {SECRET}" + "x" * 200_000), "the head of the request is too large"),
}


def test_of_a_malformed_head_the_log_has_the_kind_of_fault_only(connect_to, logs, line_of, subtests):
    connect = connect_to()
    for case, (sent, reason) in MALFORMED.items():
        with subtests.test(case):
            connection = connect()
            with suppress(ConnectionError):
                connection.send(sent)
            response = connection.response()
            assert response.status in (400, 431)
            assert SECRET not in response.body.decode()
            line = line_of(response)
            assert reason in (line["reason"], None)
            assert not line["reason"].startswith("Invalid HTTP"), "the kind is known"
    assert SECRET.lower() not in logs.text().lower()


WELL_FORMED = {
    "the path": (request(path=f"/v1/{SECRET}"), "/v1/…"),
    "a path below an operation": (request(path=f"/v1/getPaymentStatus/{SECRET}"), "/v1/getPaymentStatus/…"),
    "a file of the pages": (request(path=f"/docs/ui/{SECRET}", method="GET"), "/docs/ui/…"),
    "an encoded path": (request(path=f"/%53{SECRET[1:]}"), "/…"),
    "a parameter of the path": (request(path=f"/v1/getPaymentStatus;{SECRET}"), "/v1/…"),
    "a long path": (request(path=f"/{SECRET}" * 500), "/" + "/".join(["…"] * 11)),
    "the query": (request(path=f"/v1/getPaymentStatus?api_key={SECRET}"), "/v1/getPaymentStatus"),
    "a name in the query": (request(path=f"/v1/getPaymentStatus?{SECRET}"), "/v1/getPaymentStatus"),
    "a value in the query": (request(path=f"/v1/getPaymentStatus?limit={SECRET}"), "/v1/getPaymentStatus"),
    "an enumerated value": (request(path=f"/v1/getPaymentStatus?filter={SECRET}"), "/v1/getPaymentStatus"),
    "the method": (request(method=SECRET), "/v1/getPaymentStatus"),
    "the key": (request(key=SECRET), "/v1/getPaymentStatus"),
    "a second key": (request(BODY, f"X-API-Key: {SECRET}"), "/v1/getPaymentStatus"),
    "the media type": (request(BODY, f"Content-Type: text/{SECRET}"), "/v1/getPaymentStatus"),
    "the charset": (request(BODY, f"Content-Type: application/json; charset={SECRET}"), "/v1/getPaymentStatus"),
    "the coding": (request(BODY, f"Content-Encoding: {SECRET}"), "/v1/getPaymentStatus"),
    "an unusable correlation id": (request(BODY, f"X-Correlation-ID: {SECRET} x"), "/v1/getPaymentStatus"),
    "a token": (request(BODY, f"Authorization: Bearer {SECRET}"), "/v1/getPaymentStatus"),
    "a cookie": (request(BODY, f"Cookie: {SECRET}"), "/v1/getPaymentStatus"),
    "an upgrade": (request(BODY, f"Upgrade: {SECRET}", "Connection: Upgrade"), "/v1/getPaymentStatus"),
    "a forwarded address": (request(BODY, f"X-Forwarded-For: {SECRET}"), "/v1/getPaymentStatus"),
    "a forwarded zone": (request(BODY, f"X-Forwarded-For: fe80::1%{SECRET}"), "/v1/getPaymentStatus"),
    "a range": (request(b"", f"Range: bytes={SECRET}", path="/docs/ui/index.html", method="GET"), "/docs/ui/…"),
}


def test_of_a_well_formed_head_the_log_has_what_the_contract_has_only(connect_to, logs, line_of, subtests):
    connect = connect_to(trusted_proxies="127.0.0.1")
    for case, (sent, path) in WELL_FORMED.items():
        with subtests.test(case):
            response = connect().send(sent).response()
            line = line_of(response)
            assert line["status"] == response.status
            assert line["path"] == path
    assert SECRET.lower() not in logs.text().lower()


@pytest.mark.parametrize(("method", "shown"), [("PROPFIND", "…"), ("get", "…"), ("DELETE", "DELETE")])
def test_a_method_that_http_does_not_have_is_not_shown(connect_to, line_of, method, shown):
    assert line_of(connect_to()().send(request(method=method)).response())["method"] == shown


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [("203.0.113.7", "203.0.113.7"), ("2001:db8::7", "2001:db8::7"), (SECRET, None), ("fe80::1%x", "fe80::1")],
)
def test_the_client_is_an_address_or_nothing(connect_to, line_of, forwarded, client):
    connection = connect_to(trusted_proxies="127.0.0.1")()
    response = connection.send(request(BODY, f"X-Forwarded-For: {forwarded}")).response()
    assert line_of(response)["client"] == client
