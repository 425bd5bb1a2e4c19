"""A request whose end could be disputed is refused, and the request hidden in or behind it does not run."""

import h11
import pytest
from fixtures.settings import OCMS_KEY
from fixtures.sockets import BODY, Connection, head, request

from db import tables
from ocms.mock_cas.app import MockCas, create_mock_cas
from ocms.web.strict_http import StrictConnection

pytestmark = pytest.mark.usefixtures("after_dayend")

CHUNKED = "Transfer-Encoding: chunked"
HIDDEN = request(b'[{"notice_no": "N1", "atoms_flag": "Y"}]', path="/v1/updateCourtNotices")
ONE_CHUNK = b"%x\r\n%b\r\n" % (len(BODY), BODY)
LENGTH = f"Content-Length: {len(BODY)}"


def first_line(line):
    return request().replace(b"POST /v1/getPaymentStatus HTTP/1.1", line, 1)


def of_version(version, *lines):
    return head(*lines).replace(b"HTTP/1.1", version, 1)


def chunked(*parts, trailers=b"\r\n"):
    return head(CHUNKED) + b"".join(parts) + b"0\r\n" + trailers


HEADS = {
    "a length and chunks": head("Content-Length: 5", CHUNKED) + b"0\r\n\r\n",
    "chunks and a length": head(CHUNKED, "Content-Length: 5") + b"0\r\n\r\n",
    "a length over all, and chunks": head(f"Content-Length: {5 + len(HIDDEN)}", CHUNKED) + b"0\r\n\r\n",
    "a length of zero and chunks": head("content-length:0", "TRANSFER-ENCODING:CHUNKED") + b"0\r\n\r\n",
    "chunks behind a bare line feed": head(f"{LENGTH}\nX-A: b") + BODY,
    "chunks hidden behind a bare line feed": head(f"X-A: b\n{CHUNKED}", "Content-Length: 5") + b"0\r\n\r\n",
    "chunks in a folded line": head("Content-Length: 5", "X-A: b\r\n " + CHUNKED) + b"12345",
    "a folded length": head("Content-Length:\r\n 5") + b"12345",
    "a folded coding": head("Transfer-Encoding:\r\n chunked") + b"0\r\n\r\n",
    "a folded line": request(BODY, "X-A: b\r\n\tc"),
    "a folded line of blanks": request(BODY, "X-A: b\r\n "),
    "a blank before the first header": request().replace(b"Host: x", b" Host: x", 1),
    "a line of blanks before the first header": request().replace(b"Host: x", b" \r\nHost: x", 1),
    "a bare line feed after the request line": request().replace(b"1.1\r\n", b"1.1\n", 1),
    "a bare line feed after a header": request().replace(b"Host: x\r\n", b"Host: x\n", 1),
    "a bare line feed at the end of the head": head("Content-Length: 0")[:-2] + b"\n",
    "only bare line feeds": request().replace(b"\r\n", b"\n"),
    "a second line feed": request().replace(b"Host: x\r\n", b"Host: x\r\n\n", 1),
    "a carriage return before the end of a line": request().replace(b"Host: x\r\n", b"Host: x\r\r\n", 1),
    "a bare carriage return in a value": request(BODY, "X-A: b\rContent-Length: 5"),
    "a bare carriage return in the request line": request().replace(b"POST ", b"POST\r", 1),
    "a blank before the colon": request(BODY, "X-A : b"),
    "a tab before the colon": request(BODY, "X-A\t: b"),
    "a blank in a coding's name": head(LENGTH, f"Transfer-Encoding : {CHUNKED[19:]}") + BODY,
    "no colon": request(BODY, "X-A"),
    "no name": request(BODY, ": b"),
    "a NUL in a value": request(BODY, "X-A: b\0c"),
    "a control character in a value": request(BODY, "X-A: b\x01c"),
    "a delete character in a value": request(BODY, "X-A: b\x7fc"),
    "a vertical tab in a value": request(BODY, "X-A: b\x0bc"),
    "two differing lengths": head("Content-Length: 0", LENGTH) + BODY,
    "two equal lengths": head(LENGTH, LENGTH) + BODY,
    "two lengths in one line": head(f"{LENGTH}, {len(BODY)}") + BODY,
    "two differing lengths in one line": head(f"{LENGTH}, 0") + BODY,
    "a length and a comma": head(f"{LENGTH},") + BODY,
    "an empty length": head("Content-Length:") + BODY,
    "a length with a sign": head(f"Content-Length: +{len(BODY)}") + BODY,
    "a negative length": head("Content-Length: -0") + BODY,
    "a length with a blank": head("Content-Length: 2 2") + BODY,
    "a length with an underscore": head("Content-Length: 2_2") + BODY,
    "a hexadecimal length": head("Content-Length: 0x16") + BODY,
    "a length with a fraction": head("Content-Length: 22.0") + BODY,
    "a length of other digits": head("Content-Length: \uff12\uff12".encode()) + BODY,
    "an endless length": head("Content-Length: " + "0" * 30 + "22") + BODY,
    "the coding identity": head(LENGTH, "Transfer-Encoding: identity") + BODY,
    "an empty coding": head(LENGTH, "Transfer-Encoding:") + BODY,
    "chunked twice": head("Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n",
    "chunked in two lines": head(CHUNKED, CHUNKED) + b"0\r\n\r\n",
    "chunked and identity": head(CHUNKED, "Transfer-Encoding: identity") + b"0\r\n\r\n",
    "chunked and another coding": head("Transfer-Encoding: chunked, identity") + b"0\r\n\r\n",
    "another coding and chunked": head("Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",
    "nearly chunked": head("Transfer-Encoding: xchunked") + b"0\r\n\r\n",
    "chunked and a vertical tab": head(b"Transfer-Encoding: chunked\x0b") + b"0\r\n\r\n",
    "chunked and a no-break space": head(b"Transfer-Encoding: chunked\xa0") + b"0\r\n\r\n",
    "a control character and chunked": head(b"Transfer-Encoding: \x01chunked") + b"0\r\n\r\n",
    "a parameter of chunked": head("Transfer-Encoding: chunked;q=1") + b"0\r\n\r\n",
    "quoted chunked": head('Transfer-Encoding: "chunked"') + b"0\r\n\r\n",
    "chunks in HTTP/1.0": of_version(b"HTTP/1.0", CHUNKED) + b"0\r\n\r\n",
    "no host": request().replace(b"Host: x\r\n", b"", 1),
    "two hosts": request(BODY, "Host: x"),
    "a second host in lower case": request(BODY, "host: y"),
    "HTTP/2.0": of_version(b"HTTP/2.0", LENGTH) + BODY,
    "HTTP/1.2": of_version(b"HTTP/1.2", LENGTH) + BODY,
    "HTTP/0.9": of_version(b"HTTP/0.9", LENGTH) + BODY,
    "HTTP/3.0": of_version(b"HTTP/3.0", LENGTH) + BODY,
    "HTTP/1.10": of_version(b"HTTP/1.10", LENGTH) + BODY,
    "http/1.1": of_version(b"http/1.1", LENGTH) + BODY,
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no version": first_line(b"POST /v1/getPaymentStatus"),
    "two blanks in the request line": first_line(b"POST  /v1/getPaymentStatus HTTP/1.1"),
    "a tab in the request line": first_line(b"POST\t/v1/getPaymentStatus HTTP/1.1"),
    "a blank after the version": first_line(b"POST /v1/getPaymentStatus HTTP/1.1 "),
    "a blank before the method": first_line(b" POST /v1/getPaymentStatus HTTP/1.1"),
    "a blank in the target": first_line(b"POST /v1/getPayment Status HTTP/1.1"),
    "a line feed before the request": b"\n" + request(),
}

CHUNKS = {
    "a bare line feed after a size": chunked(ONE_CHUNK.replace(b"\r\n", b"\n", 1)),
    "a bare carriage return after a size": chunked(ONE_CHUNK.replace(b"\r\n", b"\r", 1)),
    "a bare line feed after the data": chunked(ONE_CHUNK[:-2] + b"\n"),
    "nothing after the data": chunked(ONE_CHUNK[:-2]),
    "more data than its size": chunked(ONE_CHUNK[:-2] + b"x\r\n"),
    "a bare line feed in an extension": chunked(ONE_CHUNK.replace(b"\r\n", b";a\nb\r\n", 1)),
    "a bare carriage return in an extension": chunked(ONE_CHUNK.replace(b"\r\n", b";a\rb\r\n", 1)),
    "a control character in an extension": chunked(ONE_CHUNK.replace(b"\r\n", b";a\0b\r\n", 1)),
    "a blank before a size": chunked(b" " + ONE_CHUNK),
    "a blank after a size": chunked(ONE_CHUNK.replace(b"\r\n", b" \r\n", 1)),
    "a tab after a size": chunked(ONE_CHUNK.replace(b"\r\n", b"\t\r\n", 1)),
    "a size with a sign": chunked(b"+" + ONE_CHUNK),
    "a negative size": chunked(b"-" + ONE_CHUNK),
    "a size with a prefix": chunked(b"0x" + ONE_CHUNK),
    "a size with an underscore": chunked(b"0_" + ONE_CHUNK),
    "a size of other digits": chunked("\uff11\uff16\r\n".encode() + BODY + b"\r\n"),
    "an overlong size": chunked(b"0" * 15 + ONE_CHUNK),
    "a size that overflows 64 bits": chunked(b"1" + b"0" * 14 + ONE_CHUNK),
    "endless extensions": chunked(*[b"1;%b\r\n \r\n" % (b"x" * 1_000)] * 17),
    "an empty size": chunked(ONE_CHUNK, b"\r\n"),
    "an empty line before the first chunk": head(CHUNKED) + b"\r\n0\r\n\r\n",
    "a bare line feed after the last chunk": chunked(ONE_CHUNK, trailers=b"\n"),
    "a bare line feed after the last size": head(CHUNKED) + ONE_CHUNK + b"0\n\r\n",
    "a bare line feed after a trailer": chunked(ONE_CHUNK, trailers=b"X-A: b\n\r\n"),
    "a bare line feed after the trailers": chunked(ONE_CHUNK, trailers=b"X-A: b\r\n\n"),
    "a folded trailer": chunked(ONE_CHUNK, trailers=b"X-A: b\r\n c\r\n\r\n"),
    "a folded first trailer": chunked(ONE_CHUNK, trailers=b" X-A: b\r\n\r\n"),
    "a bare carriage return in a trailer": chunked(ONE_CHUNK, trailers=b"X-A: b\rc\r\n\r\n"),
    "a control character in a trailer": chunked(ONE_CHUNK, trailers=b"X-A: b\x01c\r\n\r\n"),
    "a blank before a trailer's colon": chunked(ONE_CHUNK, trailers=b"X-A : b\r\n\r\n"),
}


def assert_refused(connection, logs, before=0, code=b"OCMS-4000"):
    """The connection gets one response, a 400, and is closed; the log has one line for it."""
    received = connection.rest()
    assert received.count(b"HTTP/1.1 ") == 1
    assert received.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nconnection: close\r\n" in received.lower()
    assert b'"appCode":"%b"' % code in received
    assert [line["status"] for line in logs("call")[before:]] == [400]


@pytest.mark.parametrize("cases", [HEADS, CHUNKS], ids=["heads", "chunks"])
def test_a_request_whose_end_could_be_disputed_is_refused_and_what_follows_does_not_run(
    connect_to, add_notice, row_of, logs, subtests, cases
):
    add_notice("N1", atoms_flag="N")
    connect = connect_to()
    for case, sent in cases.items():
        with subtests.test(case):
            before = len(logs("call"))
            assert_refused(connect().send(sent + HIDDEN), logs, before)
            assert row_of(tables.valid_offence_notice, "N1")["atoms_flag"] == "N"
    assert not logs("unexpected_error")
    connection = connect().send(request() + HIDDEN)  # behind a good request, the same bytes are a request
    assert [connection.response().status, connection.response().status] == [200, 200]
    assert row_of(tables.valid_offence_notice, "N1")["atoms_flag"] == "Y"


@pytest.mark.parametrize(
    "case",
    [
        "a length and chunks",
        "chunks hidden behind a bare line feed",
        "a folded coding",
        "two equal lengths",
        "HTTP/2.0",
    ],
)
def test_a_head_behind_another_request_is_refused_too(connect_to, add_notice, row_of, logs, case):
    add_notice("N1", atoms_flag="N")
    connection = connect_to()().send(request() + HEADS[case] + HIDDEN)
    assert connection.response().status == 200
    assert_refused(connection, logs, before=1)
    assert row_of(tables.valid_offence_notice, "N1")["atoms_flag"] == "N"


def test_a_head_and_a_body_that_arrive_in_pieces_are_refused_too(connect_to, add_notice, row_of, logs, subtests):
    add_notice("N1", atoms_flag="N")
    connect = connect_to()
    for case, sent in {
        "a head": HEADS["chunks hidden behind a bare line feed"],
        "trailers": CHUNKS["a bare line feed after the trailers"],
    }.items():
        with subtests.test(case):
            before = len(logs("call"))
            end = sent.rindex(b"\n") if case == "trailers" else sent.index(b"\r\n\r\n") + 3
            assert_refused(connect().drip(sent[:end]).send(sent[end:] + HIDDEN), logs, before)
            assert row_of(tables.valid_offence_notice, "N1")["atoms_flag"] == "N"


def requests_in(pieces):
    """How many requests a connection reads from pieces, and whether it then refuses the rest."""
    connection, found = StrictConnection(), 0
    for piece in pieces:
        connection.receive_data(piece)
        event = None
        while event is not h11.NEED_DATA:
            try:
                event = connection.next_event()
            except h11.RemoteProtocolError:
                return found, True
            if isinstance(event, h11.EndOfMessage):
                found += 1
                connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                connection.send(h11.EndOfMessage())
                connection.start_next_cycle()
    return found, False


def test_the_pieces_in_which_a_request_arrives_do_not_matter(subtests):
    for expected, cases in {(0, True): HEADS | CHUNKS, (2, False): GOOD}.items():
        for case, sent in cases.items():
            with subtests.test(case):
                every = sent + HIDDEN
                assert requests_in([every]) == expected
                assert requests_in([bytes([byte]) for byte in every]) == expected
                assert requests_in([every[:-1], every[-1:]]) == expected


def test_a_disputed_body_of_a_call_that_was_refused_already_ends_the_connection(connect_to, add_notice, row_of):
    add_notice("N1", atoms_flag="N")
    connection = connect_to()().send(head(CHUNKED, key="wrong"))
    assert connection.response().status == 401
    connection.send(b"0\r\n\n" + HIDDEN)
    assert connection.rest() == b""
    assert row_of(tables.valid_offence_notice, "N1")["atoms_flag"] == "N"


GOOD = {
    "a length": request(),
    "a length with zeros": head(f"Content-Length: 0{len(BODY)}") + BODY,
    "a length with blanks around it": head(f"Content-Length: \t {len(BODY)} \t") + BODY,
    "a length without a blank": head(f"CONTENT-LENGTH:{len(BODY)}") + BODY,
    "a header without a value": request(BODY, "X-A:"),
    "bytes beyond ASCII in a value": request(BODY, "X-A: \u00e9".encode()),
    "a tab in a value": request(BODY, "X-A: b\tc"),
    "a header that only resembles a length": request(BODY, "X-Content-Length: 5, 6", "Content-Length-X: 7"),
    "a value that only resembles a length": request(BODY, "X-A: Content-Length: 5"),
    "chunks": chunked(ONE_CHUNK),
    "chunks in capitals": head("transfer-encoding:CHUNKED") + ONE_CHUNK + b"0\r\n\r\n",
    "small chunks": chunked(*(b"1\r\n%c\r\n" % byte for byte in BODY)),
    "a size with zeros": chunked(b"000" + ONE_CHUNK),
    "extensions": chunked(ONE_CHUNK.replace(b"\r\n", b';a=b;c="d e"\r\n', 1)),
    "long extensions": chunked(*(b"1;%b\r\n%c\r\n" % (b"x" * 500, byte) for byte in BODY)),
    "trailers": chunked(ONE_CHUNK, trailers=b"X-A: b\r\nX-C:\r\n\r\n"),
    "trailers that look like framing": chunked(ONE_CHUNK, trailers=b"Content-Length: 5\r\n\r\n"),
    "an empty line before it": b"\r\n" + request(),
    "several empty lines before it": b"\r\n" * 5 + request(),
}


def test_what_rfc_9112_allows_is_served(connect_to, subtests):
    connection = connect_to()()
    for case, sent in GOOD.items():
        with subtests.test(case):
            assert connection.send(sent).response().status == 200


def test_pipelined_requests_may_have_empty_lines_between_them(connect_to):
    connection = connect_to()().send(b"\r\n".join([request(), chunked(ONE_CHUNK), request()]) + b"\r\n")
    assert [connection.response().status for _ in range(3)] == [200, 200, 200]
    assert connection.send(b"\r\n" + request()).response().status == 200
    assert connection.drip(b"\r\n\r\n" + request()).response().status == 200


def test_empty_lines_do_not_keep_a_connection_open(connect_to):
    connection = connect_to(body_timeout=0.5, keep_alive=0.5)()
    connection.socket.settimeout(0.2)
    received = None
    for _ in range(25):  # five seconds
        try:
            received = connection.send(b"\r\n").socket.recv(1)
        except TimeoutError:
            continue
        except ConnectionError:
            received = b""
        break
    assert received == b""


def test_the_mock_cas_refuses_them_too(serve, logs):
    url = serve(create_mock_cas(MockCas(), OCMS_KEY))
    hidden = request(b"", path="/v1/getVipVehicles", key=OCMS_KEY)
    with Connection(("127.0.0.1", int(url.rpartition(":")[2]))) as connection:
        sent = head("Content-Length: 5", CHUNKED, path="/v1/getVipVehicles", key=OCMS_KEY) + b"0\r\n\r\n" + hidden
        assert_refused(connection.send(sent), logs, code=b"CAS-4000")
