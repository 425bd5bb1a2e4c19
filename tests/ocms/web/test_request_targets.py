"""The forms of a request target, the Host, and the spellings of a path (RFC 9112, section 3.2; RFC 3986, section 6)."""

import json

import pytest
from fixtures.sockets import Connection, head, request

PATH = "/v1/getPaymentStatus"


def sent_to(target, *, method="POST", host="x"):
    return request(path=target, method=method).replace(b"Host: x", b"Host: " + host.encode("latin-1"), 1)


NAMING = [
    f"http://ocms.test{PATH}",
    f"http://ocms.test:8080{PATH}",
    f"HTTP://OCMS.test{PATH}",
    f"https://ocms.test{PATH}",
    f"http://127.0.0.1{PATH}",
    f"http://[::1]:8080{PATH}",
    f"http://ocms.test:{PATH}",
    f"http://ocms.test{PATH}?limit=1",
    f"{PATH}?limit=1",
    "/v1/getPayment%53tatus",
]


def test_a_target_that_names_an_operation_reaches_it(connect_to, logs, subtests):
    connection = connect_to()()
    for target in NAMING:
        with subtests.test(target):
            response = connection.send(sent_to(target)).response()
            assert response.status == 200
            assert json.loads(response.body)["total"] == 1
    assert connection.send(request()).response().status == 200  # a call is logged before the next one
    assert {line["path"] for line in logs("call")[: len(NAMING)]} == {PATH}


def test_a_target_of_the_whole_server_is_not_found(connect_to, subtests):
    connection = connect_to()()
    for target in ["http://ocms.test", "http://ocms.test/", "http://ocms.test?a=b", "*"]:
        with subtests.test(target):
            response = connection.send(sent_to(target, method="OPTIONS")).response()
            assert (response.status, response.code) == (404, "OCMS-4000")
    assert connection.send(request()).response().status == 200


OTHER_FORMS = [
    ("POST", f"http://user@ocms.test{PATH}"),
    ("POST", f"http://user:secret@ocms.test{PATH}"),
    ("POST", f"http://{PATH}"),
    ("POST", f"http://:80{PATH}"),
    ("POST", f"http:{PATH}"),
    ("POST", f"http://ocms.test:x{PATH}"),
    ("POST", f"http://ocms.test\\@other.test{PATH}"),
    ("POST", f"http://ocms.test#{PATH}"),
    ("POST", f"http://[::1{PATH}"),
    ("POST", f"ftp://ocms.test{PATH}"),
    ("POST", f"file://{PATH}"),
    ("POST", f"httpx://ocms.test{PATH}"),
    ("POST", PATH[1:]),
    ("POST", f"ocms.test{PATH}"),
    ("POST", f"?{PATH}"),
    ("POST", "*"),
    ("GET", "ocms.test:443"),
    ("CONNECT", "ocms.test:443"),
    ("CONNECT", PATH),
    ("CONNECT", f"http://ocms.test{PATH}"),
    ("OPTIONS", "**"),
]


def test_any_other_form_is_refused_and_the_connection_closes(connect_to, logs, subtests):
    connect = connect_to()
    for method, target in OTHER_FORMS:
        with subtests.test(f"{method} {target}"):
            connection = connect().send(sent_to(target, method=method))
            response = connection.response()
            assert (response.status, response.code) == (400, "OCMS-4000")
            assert response.headers["connection"] == "close"
            assert connection.is_closed()
            line = logs("call")[-1]
            assert (line["status"], line["correlation_id"]) == (400, response.headers["x-correlation-id"])
    assert len(logs("call")) == len(OTHER_FORMS)
    assert "secret" not in logs.text()


BAD_HOSTS = [
    "a b",
    "a, b",
    "a\tb",
    "x/",
    "x?",
    "x#",
    "user@x",
    "x:80:80",
    "x:a",
    ":80",
    "[::1",
    "[x]",
    "\xe9",
    'x"',
    "<x>",
    "x\\",
]
GOOD_HOSTS = ["", "x", "x:80", "x:", "127.0.0.1:8080", "[::1]", "[2001:db8::1]:80", "a_b.c-d~e", "%41"]


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
def test_an_invalid_host_is_refused(connect_to, logs, subtests, version):
    connect = connect_to()
    for host in BAD_HOSTS:
        with subtests.test(host):
            connection = connect().send(sent_to(PATH, host=host).replace(b"HTTP/1.1", version, 1))
            response = connection.response()
            assert (response.status, response.code) == (400, "OCMS-4000")
            assert connection.is_closed()
    assert all("operation" not in line for line in logs("call"))


def test_a_valid_host_is_served(connect_to, subtests):
    connection = connect_to()()
    for host in GOOD_HOSTS:
        with subtests.test(host):
            assert connection.send(sent_to(PATH, host=host)).response().status == 200


async def show_target(scope, receive, send):
    """An application that sends back what it was asked for."""
    if scope["type"] != "http":
        return
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": repr((scope["raw_path"], scope["query_string"], hosts)).encode()})


@pytest.mark.parametrize(
    ("target", "seen"),
    [
        ("/a?b", (b"/a", b"b", [b"x"])),
        ("http://ocms.test:80/a?b?c", (b"/a", b"b?c", [b"ocms.test:80"])),
        ("HTTPS://OCMS.test/http://other.test/", (b"/http://other.test/", b"", [b"OCMS.test"])),
        ("http://ocms.test?b/c", (b"/", b"b/c", [b"ocms.test"])),
    ],
)
def test_the_host_of_a_target_replaces_that_of_the_header(serve, target, seen):
    url = serve(show_target)
    with Connection(("127.0.0.1", int(url.rpartition(":")[2]))) as connection:
        assert connection.send(sent_to(target)).response().body == repr(seen).encode()


def test_the_header_must_be_valid_beside_the_host_of_a_target(connect_to):
    connect = connect_to()
    assert connect().send(sent_to(f"http://ocms.test{PATH}", host="a b")).response().status == 400
    without = sent_to(f"http://ocms.test{PATH}").replace(b"Host: x\r\n", b"", 1)
    assert connect().send(without).response().status == 400
    assert connect().send(without.replace(b"HTTP/1.1", b"HTTP/1.0", 1)).response().status == 200


SPELLINGS = [
    "/v1%2FgetPaymentStatus",
    "/v1%2fgetPaymentStatus",
    "%2Fv1/getPaymentStatus",
    "/%2Fv1/getPaymentStatus",
    "/v1/%2FgetPaymentStatus",
    "/v1%252FgetPaymentStatus",
    "/v1%5CgetPaymentStatus",
    "/v1\\getPaymentStatus",
    "//v1/getPaymentStatus",
    "/v1//getPaymentStatus",
    "/v1/./getPaymentStatus",
    "/./v1/getPaymentStatus",
    "/v1/x/../getPaymentStatus",
    "/v1/%2e/getPaymentStatus",
    "/v1/x/%2E%2e/getPaymentStatus",
    "/docs/../v1/getPaymentStatus",
    "/v1/getPaymentStatus%00",
    "/v1/getPaymentStatus%0A",
    "/v1/getPaymentStatus%0D%0A",
    "/v1/getPaymentStatus%20",
    "/v1/getPaymentStatus%09",
    "/v1/getPaymentStatus%7F",
    "/v1/getPaymentStatus%3Flimit=1",
    "/v1/getPaymentStatus%23",
    "/v1/getPaymentStatus#x",
    "/v1/getPaymentStatus;x=1",
    "/v1/getPaymentStatus.",
    "/v1/getPaymentStatus%",
    "/v1/getPaymentStatus%E2%80%8B",
    "/v1%C0%AFgetPaymentStatus",
    "/v1%EF%BC%8FgetPaymentStatus",
    "/v1/GETPAYMENTSTATUS",
    "/v1/getPaymentStatu%u0073",
]


def test_another_spelling_of_a_path_does_not_reach_the_operation(connect_to, logs, subtests):
    connection = connect_to()()
    for spelling in SPELLINGS:
        for target in [spelling, f"http://ocms.test{spelling}"]:
            with subtests.test(target):
                response = connection.send(sent_to(target)).response()
                assert response.status in (400, 404)
                assert response.code == "OCMS-4000"
                if response.status == 400:
                    connection = connect_to()()
    assert all("operation" not in line for line in logs("call"))


PAGES = [
    "/docs%2Fui/swagger-ui.css",
    "/docs/ui%2Fswagger-ui.css",
    "/docs/ui//swagger-ui.css",
    "/docs/ui/./swagger-ui.css",
    "/docs/ui/x/../swagger-ui.css",
    "/docs/ui/%2e%2e/dist/swagger-ui.css",
    "/docs/ui/swagger-ui.css%00",
    "/docs/ui/..%2f..%2f..%2fetc/passwd",
    "/openapi.json%0A",
]


def test_another_spelling_of_a_page_is_not_found(connect_to, subtests):
    connection = connect_to()()
    assert connection.send(head(path="/docs/ui/swagger-ui.css", method="GET")).response().status == 200
    for target in PAGES:
        with subtests.test(target):
            response = connection.send(head(path=target, method="GET")).response()
            assert (response.status, response.code) == (404, "OCMS-4000")
