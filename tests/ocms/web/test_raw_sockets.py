"""Invalid HTTP: each request gets the error body or a closed connection, and the next caller is served."""

import json
import socket
import time
from contextlib import suppress

import pytest
from fixtures.contracts import each_operation, key_of
from fixtures.sockets import BODY, head, request

CHUNKED = "Transfer-Encoding: chunked"
PREFIX = head().removesuffix(b"\r\n")


def chunked(*chunks):
    return head(CHUNKED) + b"".join(chunks)


BROKEN = {
    "no HTTP": b"hello\r\n\r\n",
    "binary": bytes(range(256)) + b"\r\n\r\n",
    "TLS where there is none": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n",
    "no host": PREFIX.replace(b"Host: x\r\n", b"") + b"\r\n",
    "two hosts": head("Host: y"),
    "a blank before the colon": head("X-A : b"),
    "a folded name": head("X\u00e9: b".encode()),
    "a NUL in a header": head(b"X-A: a\x00b"),
    "a line feed in a header": head(b"X-A: a\rb"),
    "a NUL in the path": PREFIX.replace(b"/v1/", b"/v1\x00/") + b"\r\n",
    "a length that is no number": head("Content-Length: x") + BODY,
    "a negative length": head("Content-Length: -1") + BODY,
    "two lengths": head("Content-Length: 1", "Content-Length: 2") + BODY,
    "a length of 5,000 digits": head("Content-Length: " + "9" * 5_000) + BODY,
    "an unknown coding": head("Transfer-Encoding: gzip") + BODY,
    "two codings": head("Transfer-Encoding: gzip, chunked") + BODY,
    "a chunk without a size": chunked(b"\r\n"),
    "a chunk of no hex size": chunked(b"zz\r\n"),
    "a chunk of negative size": chunked(b"-1\r\n"),
    "a chunk that is longer than its size": chunked(b"2\r\nabcdef\r\n"),
    "a chunk of endless size": chunked(b"f" * 40 + b"\r\n"),
    "a broken second chunk": chunked(b"5\r\n12345\r\n", b"zz\r\n"),
    "a broken trailer": chunked(b"0\r\n", b"no trailer\r\n\r\n"),
    "one endless header": PREFIX + b"X-A: " + b"y" * 200_000,
    "an endless path": b"GET /" + b"a" * 200_000,
}


def test_bytes_that_are_not_http_get_the_error_body_and_the_connection_closes(connect_to, logs, capfd, subtests):
    connect = connect_to()
    for case, sent in BROKEN.items():
        with subtests.test(case):
            connection = connect()
            with suppress(ConnectionError):  # when it is answered before the end
                connection.send(sent)
            response = connection.response()
            assert response.status in (400, 431)
            assert response.code == "OCMS-4000"
            assert response.headers["x-content-type-options"] == "nosniff"
            assert "server" not in response.headers
            assert connection.is_closed()
            assert connect().send(request()).response().status == 200
            named = [line for line in logs("call") if line["correlation_id"] == response.headers["x-correlation-id"]]
            assert [line["status"] for line in named] == [response.status]
    assert "Traceback" not in logs.text() + capfd.readouterr().err
    assert not logs("unexpected_error")


@pytest.mark.parametrize(
    "sent",
    [
        head("Content-Length: 0").replace(b"HTTP/1.1", b"HTTP/3.0"),
        head("Content-Length: 0", *(f"X-{n}: {'y' * 50}" for n in range(2_000))),
    ],
    ids=["another version", "2,000 headers"],
)
def test_what_is_odd_and_still_http_is_answered(connect_to, sent):
    response = connect_to()().send(sent).response()
    assert response.status in (400, 431)
    assert response.code == "OCMS-4000"


def test_too_large_a_head_is_431(connect_to):
    response = connect_to()().send(BROKEN["one endless header"]).response()
    assert response.status == 431


HOSTILE = {
    "no body": b"",
    "a NUL": b"\x00",
    "invalid UTF-8": b'{"notice_nos": ["\xff\xfe"]}',
    "an overlong encoding": b'{"notice_nos": ["\xc0\xaf"]}',
    "a UTF-16 body": '{"notice_nos": ["N1"]}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + BODY,
    "a lone surrogate": b'{"notice_nos": ["\\ud800"]}',
    "an escaped NUL": b'{"notice_nos": ["\\u0000"]}',
    "NaN": b'{"notice_nos": [NaN]}',
    "infinity": b"[Infinity, -Infinity]",
    "a huge number": b'{"notice_nos": [1e999999999]}',
    "a number of many digits": b'{"notice_nos": [' + b"9" * 1_000_000 + b"]}",
    "deep arrays": b"[" * 500_000 + b"]" * 500_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "an unclosed array": b"[" * 1_000_000,
    "a long string": b'{"notice_nos": ["' + b"x" * 1_000_000 + b'"]}',
    "many members": b"{" + b",".join(b'"k%d":1' % n for n in range(100_000)) + b"}",
    "two values": BODY + BODY,
    "a comment": b"/* */" + BODY,
    "single quotes": b"{'notice_nos': ['N1']}",
    "a duplicate member": b'{"notice_nos": ["N1"], "notice_nos": ["N2"]}',
    "a hidden duplicate member": b'{"notice_nos": ["N1"], "notice\\u005fnos": ["N:2"]}',
    "a duplicate member behind deep nesting": b"[[" + b"[" * 300 + b"]" * 300 + b', {"x": 1, "\\u0078": 2}]]',
    "a duplicate member behind an extreme number": b'[[1e9999999999999999999, {"x": 1, "x": 2}]]',
}


@each_operation
def test_a_hostile_body_is_400(connect_to, operation, logs, subtests):
    to = {"path": operation.path, "key": key_of(operation)}
    connection = connect_to()()
    for case, body in HOSTILE.items():
        with subtests.test(case):
            response = connection.send(request(body, "Content-Type: application/json", **to)).response()
            assert (response.status, response.code) == (400, "OCMS-4000")
    assert not logs("unexpected_error")


MEDIA_TYPES = [
    "text/plain",
    "application/xml",
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded",
    "x",
    "application/json; charset=utf-16",
    "application/json; charset=latin-1",
    "application/json/x",
    "*/*",
    ";",
    "é",
]


def test_another_media_type_is_415(connect_to, subtests):
    connection = connect_to()()
    for media_type in MEDIA_TYPES:
        with subtests.test(media_type):
            response = connection.send(request(BODY, f"Content-Type: {media_type}".encode())).response()
            assert (response.status, response.code) == (415, "OCMS-4000")


def test_pipelined_calls_are_answered_in_order(connect_to):
    connection = connect_to()()
    connection.send(b"".join(request(b'{"notice_nos": ["N%d"]}' % n) for n in range(20)))
    asked = [json.loads(connection.response().body)["data"][0]["notice_no"] for _ in range(20)]
    assert asked == [f"N{n}" for n in range(20)]


def test_what_follows_a_good_call_does_not_spoil_it(connect_to, logs):
    connection = connect_to()().send(request() + b"hello\r\n\r\n")
    assert connection.response().status == 200
    second = connection.response()
    assert second is None or second.status == 400
    assert connection.is_closed()
    assert not logs("unexpected_error")


def test_a_body_smuggled_behind_a_length_is_no_call(connect_to, logs):
    hidden = request(path="/v1/updateCourtNotices")
    connection = connect_to()().send(head("Content-Length: 0") + hidden)
    assert connection.response().status == 400
    assert connection.response().status == 400  # a call of its own, seen and logged as such
    connection.send(request())
    assert connection.response().status == 200
    assert [line["path"] for line in logs("call")][:2] == ["/v1/getPaymentStatus", "/v1/updateCourtNotices"]


def test_callers_that_hang_up_at_any_byte_do_no_harm(connect_to, logs):
    connect = connect_to()
    whole = request(BODY, "Content-Type: application/json")
    for end in range(0, len(whole), 3):
        with connect() as connection:
            connection.send(whole[:end])
    assert connect().send(whole).response().status == 200
    assert not logs("unexpected_error")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", None),
        (b"\r\n", None),
        (PREFIX, 408),
        (head("Content-Length: 100") + BODY, 408),
        (head(CHUNKED) + b"5\r\n123", 408),
        (head("Content-Length: 100", key="wrong") + BODY, 401),
        (head("Content-Length: 100", path="/nowhere") + BODY, 404),
    ],
)
def test_a_caller_that_stops_sending_gets_an_error_and_the_connection_closes(connect_to, sent, status):
    connection = connect_to(body_timeout=0.5, keep_alive=0.5)().send(sent)
    begun = time.monotonic()
    response = connection.response()
    assert (response.status if response else None) == status
    assert connection.is_closed()
    assert time.monotonic() - begun < 8


def test_a_caller_that_drips_is_cut_all_the_same(connect_to):
    connection = connect_to(body_timeout=1)()
    begun = time.monotonic()
    try:
        for byte in head("Content-Length: 100000") + b"x" * 10_000:
            connection.send(bytes([byte]))
            time.sleep(0.02)
    except ConnectionError:
        pass
    assert time.monotonic() - begun < 10


def test_a_caller_that_does_not_read_is_cut(connect_to):
    numbers = [f"N{n:049}" for n in range(10_000)]
    body = json.dumps({"notice_nos": numbers}).encode()
    connect = connect_to(body_timeout=1)
    connection = connect()
    begun = time.monotonic()
    with pytest.raises((ConnectionError, TimeoutError)):
        while time.monotonic() - begun < 15:
            connection.socket.settimeout(5)
            connection.send(request(body))
            time.sleep(0.2)
    assert time.monotonic() - begun < 15


def test_what_follows_the_last_call_of_a_connection_does_not_take_its_response(connect_to):
    connection = connect_to()().send(request(BODY, "Connection: close") + b"\r\n")
    assert connection.response().status == 200
    assert connection.is_closed()


def test_a_late_body_of_a_refused_call_is_no_part_of_the_next_one(connect_to):
    connection = connect_to(body_timeout=2)()
    assert connection.send(head(f"Content-Length: {len(BODY)}", key="wrong")).response().status == 401
    time.sleep(0.2)
    connection.send(BODY)
    time.sleep(1.5)
    whole = request()
    connection.send(whole[:-5])
    time.sleep(1.5)  # longer than the time of a body since the first call, not since this one
    assert connection.send(whole[-5:]).response().status == 200


def test_a_body_of_the_smallest_chunks_is_refused_before_it_costs(connect_to):
    connection = connect_to()()
    connection.send(head(CHUNKED) + b"1\r\n{\r\n" * 12_500)
    response = connection.response()
    assert (response.status, response.headers["connection"]) == (400, "close")
    assert connection.is_closed()


def test_small_chunks_are_accepted_up_to_a_number_and_beyond_it_by_their_average(connect_to, add_notice):
    add_notice("N1")
    connect = connect_to()
    for body, size in ((BODY.ljust(12_000), 1), (BODY.ljust(1_000_000), 64)):
        parts = (body[start : start + size] for start in range(0, len(body), size))
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        assert connect().send(head(CHUNKED) + chunks + b"0\r\n\r\n").response().status == 200


def test_a_caller_that_ends_its_side_within_a_request_is_disconnected(connect_to):
    for part in (b"", request()[:20], request()[:-5]):
        connection = connect_to()().send(part)
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.is_closed()


def test_an_offer_of_http_2_is_served_without_a_word_in_the_log(connect_to, add_notice, logs):
    add_notice("N1")
    offer = request(BODY, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    assert connect_to()().send(offer).response().status == 200
    assert [line["event"] for line in logs() if line["level"] == "warning"] == []


def test_after_a_refusal_the_body_that_a_client_held_back_is_not_taken_for_a_request(connect_to):
    connection = connect_to()()
    connection.send(head(f"Content-Length: {len(BODY)}", "Expect: 100-continue", key="wrong"))
    response = connection.response()
    assert (response.status, response.headers["connection"]) == (401, "close")
    assert connection.is_closed()
