"""Every response has a correlation id, the secure headers and a log line, and every error the one error body."""

import json
import time

import pytest
from fixtures.sockets import BODY, head, request

ORIGIN = "https://pages.test"
FILE = "/docs/ui/swagger-ui.css"
PATH = "/v1/getPaymentStatus"


def get(path, *lines):
    return head(*lines, path=path, method="GET")


def preflight(origin=ORIGIN, method="POST", *lines, path=PATH):
    asked = [f"Origin: {origin}", f"Access-Control-Request-Method: {method}"]
    return head(*asked, *lines, path=path, method="OPTIONS")


def calls_of(logs, response):
    """The log lines of a response. A call is logged after its response, at once."""
    ends = time.monotonic() + 5
    while time.monotonic() < ends:
        if lines := [line for line in logs("call") if line["correlation_id"] == response.headers["x-correlation-id"]]:
            return lines
        time.sleep(0.01)
    return []


SENT = {
    "a call": (request(), 200),
    "a call with a wrong key": (request(key="wrong"), 401),
    "an invalid body": (request(b"{"), 400),
    "a preflight": (preflight(), 200),
    "a preflight of a path that does not exist": (preflight(path="/nowhere"), 200),
    "a preflight of another origin": (preflight("https://other.test"), 400),
    "a preflight of no origin": (preflight("null"), 400),
    "a preflight for another method": (preflight(ORIGIN, "DELETE"), 400),
    "a preflight into a private network": (
        preflight(ORIGIN, "POST", "Access-Control-Request-Private-Network: true"),
        400,
    ),
    "OPTIONS without an origin": (head(path=PATH, method="OPTIONS"), 405),
    "OPTIONS of a file": (head(path=FILE, method="OPTIONS"), 405),
    "OPTIONS of the server": (head(path="*", method="OPTIONS"), 404),
    "TRACE": (head(path=PATH, method="TRACE"), 405),
    "a page": (get("/docs"), 200),
    "a page posted to": (request(path="/docs"), 405),
    "the contract": (get("/openapi.json"), 200),
    "the contract deleted": (head(path="/openapi.json", method="DELETE"), 405),
    "no page": (get("/docs/nowhere"), 404),
    "a file": (get(FILE), 200),
    "no file": (get("/docs/ui/nowhere"), 404),
    "a folder": (get("/docs/ui/"), 404),
    "an overlong file name": (get("/docs/ui/" + "x" * 300), 404),
    "a file posted to": (request(path=FILE), 405),
    "a part of a file": (get(FILE, "Range: bytes=0-9"), 206),
    "parts of a file": (get(FILE, "Range: bytes=0-9,20-29"), 206),
    "a file that has not changed": (get(FILE, "If-None-Match: *"), 304),
    "a range beyond the end": (get(FILE, "Range: bytes=99999999-"), 416),
    "a range of words": (get(FILE, "Range: bytes=a-b"), 400),
    "a range without a unit": (get(FILE, "Range: 0-9"), 400),
    "a range of another unit": (get(FILE, "Range: lines=0-9"), 400),
    "an inverted range": (get(FILE, "Range: bytes=9-0"), 400),
    "an empty range": (get(FILE, "Range: bytes="), 400),
    "a range of a page": (get("/docs", "Range: bytes=a-b"), 200),
    "another spelling": (request(path="/v1%2FgetPaymentStatus"), 404),
    "no HTTP": (b"hello\r\n\r\n", 400),
    "two lengths": (request(BODY, "Content-Length: 5"), 400),
    "another version": (request().replace(b"HTTP/1.1", b"HTTP/2.0", 1), 400),
    "a tunnel": (head(path="ocms.test:443", method="CONNECT"), 400),
    "an endless head": (b"GET / HTTP/1.1\r\nX-A: " + b"y" * 40_000, 431),
}


@pytest.mark.parametrize("cors_origins", ["", ORIGIN], ids=["without CORS", "with CORS"])
def test_every_response_has_an_id_and_a_log_line_and_every_error_the_error_body(
    connect_to, logs, subtests, cors_origins
):
    connect = connect_to(cors_origins=cors_origins)
    for case, (sent, status) in SENT.items():
        if "preflight" in case and not cors_origins:
            status = 404 if "does not exist" in case else 405  # noqa: PLW2901  # an ordinary OPTIONS
        with subtests.test(case):
            with connect() as connection:
                response = connection.send(sent).response()
            assert response.status == status
            assert response.headers["x-content-type-options"] == "nosniff"
            (line,) = calls_of(logs, response)
            assert line["status"] == status
            if status >= 400:
                assert response.headers["content-type"] == "application/json"
                data = json.loads(response.body)["data"]
                assert data["appCode"] == {401: "OCMS-4001"}.get(status, "OCMS-4000")
                assert data["correlationId"] == response.headers["x-correlation-id"]
                assert line["reason"]
    assert not logs("unexpected_error")


def test_an_error_of_a_file_keeps_the_headers_that_belong_to_it(connect_to):
    connection = connect_to()()
    beyond = connection.send(get(FILE, "Range: bytes=99999999-")).response()
    assert beyond.headers["content-range"].startswith("bytes */")
    assert json.loads(beyond.body)["data"]["errors"] == [{"field": "", "message": "Range Not Satisfiable"}]
    assert connection.send(request(path=FILE)).response().headers["allow"] == "GET, HEAD"
    assert connection.send(get(FILE, "Range: bytes=0-9")).response().headers["content-range"].startswith("bytes 0-9/")


def test_web_pages_of_an_allowed_origin_can_read_every_error(connect_to, subtests):
    connect = connect_to(cors_origins=ORIGIN)
    origin = f"Origin: {ORIGIN}"
    for sent, status in [
        (request(BODY, origin, key="wrong"), 401),
        (request(b"{", origin), 400),
        (request(BODY, origin, path="/nowhere"), 404),
        (request(BODY, origin, path="/v1%2FgetPaymentStatus"), 404),
        (get(PATH, origin), 405),
        (get(FILE, origin, "Range: bytes=99999999-"), 416),
        (preflight(ORIGIN, "DELETE"), 400),
    ]:
        with subtests.test(status):
            headers = connect().send(sent).response().headers
            assert headers["access-control-allow-origin"] == ORIGIN
            assert headers["access-control-expose-headers"] == "X-Correlation-ID"
            assert headers["vary"] == "Origin"


def test_a_preflight_allows_what_the_page_may_send(connect_to):
    connection = connect_to(cors_origins=ORIGIN)()
    asked = "Access-Control-Request-Headers: x-api-key"
    allowed = connection.send(preflight(ORIGIN, "POST", asked)).response().headers
    assert allowed["access-control-allow-origin"] == ORIGIN
    assert allowed["access-control-allow-methods"] == "POST"
    assert allowed["access-control-allow-headers"] == "x-api-key"
    refused = connection.send(preflight("https://other.test", "POST", asked)).response()
    assert refused.status == 400
    assert "access-control-allow-origin" not in refused.headers


def test_the_correlation_id_of_a_preflight_is_kept(connect_to):
    sent = preflight(ORIGIN, "POST", "X-Correlation-ID: mine")
    assert connect_to(cors_origins=ORIGIN)().send(sent).response().headers["x-correlation-id"] == "mine"
