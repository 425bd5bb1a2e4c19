"""The client of CAS."""

import json
import re
import socket
import struct
import threading
import time
import zlib
from contextlib import contextmanager, suppress

import anyio
import pytest
from fixtures.refreshing import read_list
from starlette.responses import JSONResponse

from jobs.failures import (
    CasStatusError,
    CasUnreachableError,
    CutOffError,
    DeadlineError,
    InvalidListError,
    NotJsonError,
    RefreshError,
    TooLargeError,
)
from ocms.scheduled_jobs import cas_client

VEHICLE = {"vip_vehicle": "V1", "vehicle_no": "SBA1A", "status": "ACTIVE"}


class FakeCas:
    """A CAS that answers with a list of (status, body), one each call, and keeps what it was asked."""

    def __init__(self, *responses):
        self.responses = list(responses)
        self.requests = []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            return
        body = (await receive())["body"]
        self.requests.append((scope["method"], scope["path"], dict(scope["headers"]), body))
        status, response = self.responses.pop(0)
        await JSONResponse(response, status)(scope, receive, send)


@pytest.fixture
def fetch(serve, make_settings):
    def run(app, **settings):
        return read_list(cas_client(make_settings(cas_url=serve(app), **settings)))

    return run


def test_the_call_is_the_one_of_the_contract(fetch):
    app = FakeCas((200, [VEHICLE]))
    assert fetch(app) == [VEHICLE]
    method, path, headers, body = app.requests[0]
    assert (method, path, body) == ("POST", "/v1/getVipVehicles", b"{}")
    assert headers[b"x-api-key"] == b"a-key-of-ocms"
    assert headers[b"content-type"] == b"application/json"


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_error_is_tried_again(fetch, status):
    app = FakeCas((status, {}), (status, {}), (200, [VEHICLE]))
    assert fetch(app, cas_attempts=3) == [VEHICLE]
    assert len(app.requests) == 3


def test_the_number_of_attempts_is_a_setting(fetch):
    app = FakeCas(*[(500, {})] * 4)
    with pytest.raises(CasStatusError):
        fetch(app, cas_attempts=3)
    assert len(app.requests) == 3


@pytest.mark.parametrize("status", [201, 202, 203, 204, 206, 226, 299, 300, 301, 302, 304, 400, 401, 403, 404, 429])
def test_any_other_response_is_a_failure_and_is_not_tried_again(fetch, status):
    app = FakeCas((status, None if status in (204, 304) else [VEHICLE]))
    with pytest.raises(CasStatusError, match=f"^CAS responded with HTTP status {status}"):
        fetch(app)
    assert len(app.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(fetch_from, status):
    asked = []

    def redirect(connection):
        asked.append(connection)
        connection.sendall(b"HTTP/1.1 %d X\r\nLocation: /v1/getVipVehicles\r\nContent-Length: 0\r\n\r\n" % status)

    with pytest.raises(CasStatusError, match=rf"HTTP status {status}, a redirect: check OCMS_CAS_URL"):
        fetch_from(redirect)
    assert len(asked) == 1


def test_a_page_instead_of_the_list_is_described(fetch_from):
    def page(connection):
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: br\r\n\r\n<html>Log in</html>"
        )

    with pytest.raises(NotJsonError) as raised:
        fetch_from(page)
    assert str(raised.value) == (
        "the response of CAS is not JSON: not JSON in UTF-8: JSON is malformed: invalid character (byte 0); "
        "its Content-Type is 'text/html'; its Content-Encoding is 'br'"
    )


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ({}, "is not an array"),
        ({"data": [VEHICLE]}, "is not an array"),
        (None, "is not an array"),
        ([VEHICLE, {}], "/1/vip_vehicle"),
        ([VEHICLE | {"vip_vehicle": ""}], "/0/vip_vehicle"),
        ([VEHICLE | {"vehicle_no": "x" * 51}], "/0/vehicle_no"),
        ([VEHICLE | {"status": None}], "/0/status"),
        ([VEHICLE | {"description": "x" * 256}], "/0/description"),
        ([VEHICLE | {"description": "a\x00b"}], "/0/description"),
    ],
)
def test_a_list_that_is_not_as_the_contract_says_is_refused(fetch, response, reason):
    with pytest.raises(RefreshError, match=reason):
        fetch(FakeCas((200, response)))


def test_the_error_counts_the_invalid_records_and_describes_the_first_three(fetch):
    wrong = [VEHICLE | {"vip_vehicle": f"V{i}", "status": None} for i in range(30)]
    with pytest.raises(InvalidListError) as raised:
        fetch(FakeCas((200, [VEHICLE, *wrong])))
    text = 'value is not of type "string"'
    assert str(raised.value) == (
        "30 of 31 records in the list of CAS do not conform to openapi/cas.yaml: "
        f"/1/status {text}; /2/status {text}; /3/status {text}"
    )


async def trickle(scope, receive, send):
    """Send a little, always in time, and never come to an end."""
    if scope["type"] == "lifespan":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    for _ in range(300):
        await send({"type": "http.response.body", "body": b" ", "more_body": True})
        await anyio.sleep(0.02)


def test_a_response_that_never_ends_is_given_up_at_the_deadline(fetch):
    with pytest.raises(DeadlineError, match=r"CAS took longer than 0\.3 seconds in all \(OCMS_CAS_DEADLINE\)"):
        fetch(trickle, cas_deadline=0.3, cas_timeout=5)


@contextmanager
def raw_cas(response):
    """A CAS of bare sockets: `response` gets each connection; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve_all():
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        received, part = b"", b"-"
                        while part and not received.endswith(b"{}"):  # unread bytes would reset the connection
                            part = connection.recv(4096)
                            received += part
                        response(connection)

        thread = threading.Thread(target=serve_all)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture
def fetch_from(make_settings):
    def run(response, **settings):
        with raw_cas(response) as url:
            return len(read_list(cas_client(make_settings(cas_url=url, **settings))))

    return run


def test_headers_that_never_end_are_given_up_at_the_deadline(fetch_from):
    def drip(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for number in range(400):
            connection.sendall(b"X-%d: y\r\n" % number)
            time.sleep(0.02)

    begun = time.monotonic()
    with pytest.raises(DeadlineError, match=r"CAS took longer than 0\.5 seconds in all"):
        fetch_from(drip, cas_deadline=0.5, cas_timeout=5)
    assert time.monotonic() - begun < 5


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
TEXT = json.dumps([VEHICLE | {"vip_vehicle": f"V{number}"} for number in range(5_000)]).encode()


def compressed(text, wbits=31):
    """gzip (31), deflate with zlib's header (15) or without (-15)."""
    compressor = zlib.compressobj(wbits=wbits)
    return compressor.compress(text) + compressor.flush()


@pytest.fixture
def fetch_coded(fetch_from):
    """Fetch a body that is sent with a Content-Encoding; returns the number of vehicles."""

    def run(coding, body, **settings):
        def send(connection):
            for start in range(0, len(body), 50_000):
                connection.sendall(body[start : start + 50_000] if start else head + body[:50_000])
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):  # closing with unread data would reset the connection
                pass

        head = HEAD + f"Content-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        return fetch_from(send, **settings)

    return run


MEMBERS = b"".join(compressed(TEXT[start : start + 90_000]) for start in range(0, len(TEXT), 90_000))


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", compressed(TEXT)),
        ("x-gzip", compressed(TEXT)),
        ("X-GZip", compressed(TEXT)),
        ("identity, gzip", compressed(TEXT)),
        ("gzip", MEMBERS),
        ("gzip", compressed(b"") + MEMBERS + compressed(b"") * 1000),
        ("gzip", MEMBERS + bytes(100_000)),
        ("gzip", b"".join(compressed(bytes([byte])) for byte in TEXT[:79]) + compressed(TEXT[79:])),
        ("deflate", compressed(TEXT, 15)),
        ("deflate", compressed(TEXT, -15)),
        ("identity", TEXT),
        ("utf-8", TEXT),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)}",
)
def test_a_compressed_list_is_read_to_its_end(fetch_coded, coding, body):
    assert fetch_coded(coding, body) == 5_000


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", compressed(TEXT)[:-1]),
        ("gzip", compressed(TEXT)[:1000]),
        ("gzip", compressed(TEXT)[:5]),
        ("gzip", MEMBERS + b"\x1f\x8b"),
        ("x-gzip", compressed(TEXT) + compressed(b"")[:-1]),
        ("deflate", compressed(TEXT, 15)[:-1]),
        ("deflate", compressed(TEXT, -15)[:-1]),
    ],
)
def test_a_compressed_list_that_ends_early_is_cut_off_and_tried_again(fetch_coded, logs, coding, body):
    with pytest.raises(CutOffError, match="CAS cut its response off"):
        fetch_coded(coding, body, cas_attempts=2)
    assert len(logs("stamina.retry_scheduled")) == 1


@pytest.mark.parametrize(
    ("coding", "body", "text"),
    [
        ("gzip", TEXT, "incorrect header check"),
        ("gzip", compressed(TEXT)[:-6] + b"wrong!", "incorrect data check"),
        ("gzip", compressed(TEXT) + b"garbage", "incorrect header check"),
        ("gzip", compressed(TEXT)[:100] + bytes(100) + compressed(TEXT)[200:], "invalid"),
        ("deflate", compressed(TEXT), "invalid"),
        ("deflate", compressed(TEXT, 15) + b"garbage", "invalid"),
        ("gzip, gzip", compressed(compressed(TEXT)), "content codings gzip, gzip instead of one"),
    ],
)
def test_a_body_that_cannot_be_decompressed_is_refused(fetch_coded, logs, coding, body, text):
    with pytest.raises(NotJsonError, match=f"CAS sent a response that cannot be decompressed: .*{text}"):
        fetch_coded(coding, body)
    assert logs("stamina.retry_scheduled") == []


@pytest.mark.parametrize("bomb", [compressed(b" " * 10**8), compressed(b" " * 10**6) * 100])
def test_the_size_of_a_compressed_list_counts_after_decompression(fetch_coded, bomb):
    with pytest.raises(TooLargeError, match="larger than 1000000 bytes"):
        fetch_coded("gzip", bomb, cas_max_bytes=10**6)
    assert fetch_coded("gzip", compressed(TEXT), cas_max_bytes=len(TEXT)) == 5_000


def test_empty_gzip_members_without_end_are_given_up_at_the_deadline(fetch_from):
    def send(connection):
        connection.sendall(HEAD + b"Content-Encoding: gzip\r\n\r\n")
        for _ in range(400):
            connection.sendall(compressed(b""))
            time.sleep(0.02)

    with pytest.raises(DeadlineError):
        fetch_from(send, cas_deadline=0.5, cas_timeout=5)


def test_only_codings_that_are_read_are_asked_for(fetch):
    app = FakeCas((200, [VEHICLE]))
    fetch(app)
    assert app.requests[0][2][b"accept-encoding"] == b"gzip, deflate"


def test_a_byte_order_mark_is_skipped(fetch_coded):
    assert fetch_coded("gzip", compressed(b"\xef\xbb\xbf" + TEXT)) == 5_000


def test_a_lone_surrogate_in_the_last_record_is_not_a_response_that_was_cut_off(fetch_coded, logs):
    with pytest.raises(NotJsonError, match="not JSON in UTF-8: a string has a lone surrogate"):
        fetch_coded("identity", TEXT[:-1] + rb', {"vip_vehicle": "\ud83d"}]')
    assert logs("stamina.retry_scheduled") == []


def test_the_place_of_an_error_counts_from_the_first_byte_of_the_response(fetch_coded):
    with pytest.raises(NotJsonError, match=rf"expected ',' or '\]' \(byte {len(TEXT)}\)"):
        fetch_coded("gzip", compressed(TEXT[:-1] + b" x]"))


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    "rest",
    [
        b'Content-Length: 100\r\n\r\n[{"vip_',
        b'Transfer-Encoding: chunked\r\n\r\n7\r\n[{"vip_\r\n',
        b'Connection: close\r\n\r\n[{"vip_',
    ],
)
@pytest.mark.parametrize("end", [lambda _: None, reset], ids=["closed", "reset"])
def test_a_response_that_ends_in_the_middle_is_cut_off_and_tried_again(fetch_from, logs, rest, end):
    def cut(connection):
        connection.sendall(HEAD + rest)
        time.sleep(0.05)
        end(connection)

    with pytest.raises(CutOffError, match="CAS cut its response off"):
        fetch_from(cut, cas_attempts=2)
    assert len(logs("stamina.retry_scheduled")) == 1


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b'Transfer-Encoding: chunked\r\n\r\n[{"vip_vehicle": "SGX1234A"}]\r\n',
        HEAD + b'Transfer-Encoding: chunked\r\n\r\n2\r\n[{"vip_vehicle": "SGX1234A"}]\r\n',
        b"SGX1234A\r\n\r\n",
        HEAD + b"Set-Cookie : SGX1234A\r\n\r\n",
        HEAD + b"Set-Cookie: SGX1234A\x00\r\n\r\n",
        HEAD + b"Content-Length: SGX1234A\r\n\r\n",
    ],
)
def test_the_bytes_of_a_response_that_is_not_http_are_not_shown(fetch_from, logs, sent):
    with pytest.raises((CutOffError, CasUnreachableError)) as raised:
        fetch_from(lambda connection: connection.sendall(sent), cas_attempts=2)
    assert "SGX1234A" not in str(raised.value) + logs.text()
    assert len(logs("stamina.retry_scheduled")) == 1


def test_a_page_of_a_gateway_after_a_json_value_is_not_json_and_not_tried_again(fetch_from, logs):
    page = HEAD + b'Connection: close\r\n\r\n{"error":"maintenance"}<!-- served by SGX1234A -->'
    with pytest.raises(NotJsonError, match=r"trailing characters \(byte 24\)") as raised:
        fetch_from(lambda connection: connection.sendall(page), cas_attempts=2)
    assert "SGX1234A" not in str(raised.value) + logs.text()
    assert not logs("stamina.retry_scheduled")


def test_a_lone_surrogate_before_the_cut_is_tried_again(fetch_from, logs):
    cut = HEAD + b'Connection: close\r\n\r\n[{"vip_vehicle": "\\ud83d", "vehicle_no": "S'
    with pytest.raises(CutOffError, match="ends before the array does"):
        fetch_from(lambda connection: connection.sendall(cut), cas_attempts=2)
    assert len(logs("stamina.retry_scheduled")) == 1


@pytest.mark.parametrize("end", [lambda _: None, reset], ids=["closed", "reset"])
def test_a_connection_that_breaks_before_the_response_is_unreachable(fetch_from, logs, end):
    with pytest.raises(CasUnreachableError, match="CAS cannot be reached"):
        fetch_from(end, cas_attempts=2)
    assert len(logs("stamina.retry_scheduled")) == 1


def test_a_broken_tls_connection_is_not_a_certificate_error(make_settings, logs):
    with raw_cas(lambda _: None) as url:
        client = cas_client(make_settings(cas_url=url.replace("http", "https"), cas_attempts=2))
        with pytest.raises(CasUnreachableError):
            read_list(client)
    assert len(logs("stamina.retry_scheduled")) == 1


def test_a_response_that_is_too_large_is_given_up(fetch):
    with pytest.raises(TooLargeError, match=r"larger than 40 bytes \(OCMS_CAS_MAX_BYTES\)"):
        fetch(FakeCas((200, [VEHICLE])), cas_max_bytes=40)
    assert fetch(FakeCas((200, [VEHICLE])), cas_max_bytes=100) == [VEHICLE]


def test_fields_that_are_not_known_yet_are_no_fault(fetch):
    vehicle = VEHICLE | {"description": None, "colour": "black"}
    assert fetch(FakeCas((200, [vehicle]))) == [vehicle]


def test_the_key_is_not_logged(fetch, logs):
    with pytest.raises(RefreshError):
        fetch(FakeCas((500, {}), (500, {})))
    assert logs()
    assert "a-key-of-ocms" not in logs.text()


@pytest.mark.parametrize("url", ["http://cas..gov.sg", "http://127.0.0.256:9", "http://" + "a" * 64 + ".test"])
def test_an_address_that_fails_only_when_it_is_called_is_a_cas_that_cannot_be_reached(make_settings, url):
    settings = make_settings().model_copy(update={"cas_url": url})
    with pytest.raises(CasUnreachableError, match=f"^CAS cannot be reached at {re.escape(url)}: "):
        read_list(cas_client(settings))
