"""What a browser, a proxy and a scanner see."""

import json
import socket
import ssl

import httpx2
import pytest
import trustme
from fixtures.commands import free_port, wait_for
from fixtures.replicas import KEYS
from fixtures.settings import CAS_KEY

ORIGIN = "https://pages.test"
BODY = {"notice_nos": ["N1"]}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/getPaymentStatus"),
        ("GET", "/v1/getPaymentStatus"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
        ("GET", "/docs/docs.js"),
        ("GET", "/docs/ui/swagger-ui.css"),
        ("GET", "/nowhere"),
    ],
)
def test_every_response_has_the_secure_headers_and_no_banner(cas, method, path):
    headers = cas.request(method, path, json=BODY if method == "POST" else None).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"]
    assert headers["X-Correlation-ID"]
    assert headers.keys().isdisjoint({"server", "x-powered-by", "strict-transport-security"})
    assert not any(name.startswith("access-control-") for name in headers)


def preflight(client, origin):
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    return httpx2.options(client.base_url.join("/v1/getPaymentStatus"), headers=headers)


def test_no_page_of_another_origin_may_call_unless_it_is_set(callers):
    closed, opened = callers()[0], callers(cors_origins=ORIGIN)[0]
    assert preflight(closed, ORIGIN).status_code == 405
    assert preflight(opened, ORIGIN).headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Access-Control-Allow-Origin" not in preflight(opened, "https://other.test").headers
    for headers, status in (({}, 200), ({"X-API-Key": "wrong"}, 401)):
        response = opened.post("/v1/getPaymentStatus", json=BODY, headers={"Origin": ORIGIN} | headers)
        assert response.status_code == status
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize(
    ("trusted", "client"), [("", "127.0.0.1"), ("10.0.0.0/8", "127.0.0.1"), ("127.0.0.0/8", "192.0.2.7")]
)
def test_a_proxy_is_believed_only_when_it_is_trusted(callers, logs, trusted, client):
    cas, _ = callers(trusted_proxies=trusted)
    cas.post("/v1/getPaymentStatus", json=BODY, headers={"X-Forwarded-For": "192.0.2.7"})
    cas.get("/openapi.json")  # a call is logged after its response, and before the next one
    assert logs("call")[0]["client"] == client


@pytest.fixture
def certificate(tmp_path):
    """A certificate of localhost with its key, in files; and what trusts it."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "server.crt")
    issued.private_key_pem.write_to_path(tmp_path / "server.key")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return {"OCMS_TLS_CERT_FILE": "server.crt", "OCMS_TLS_KEY_FILE": "server.key"}, context


def test_tls_is_a_setting_and_old_versions_are_refused(start, certificate, database):
    settings, context = certificate
    port = free_port()
    wait_for(port, start("serve", "--port", port, OCMS_API_KEYS=KEYS, **settings))
    response = httpx2.post(
        f"https://localhost:{port}/v1/getPaymentStatus", json=BODY, headers={"X-API-Key": CAS_KEY}, verify=context
    )
    assert response.status_code == 200
    assert response.headers["Strict-Transport-Security"].startswith("max-age=")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match=r"TLSv1_1 is deprecated"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", port)) as plain, pytest.raises(OSError, match=r"(?i)version|protocol"):
        old.wrap_socket(plain)


@pytest.mark.parametrize("missing", ["OCMS_TLS_CERT_FILE", "OCMS_TLS_KEY_FILE"])
def test_a_certificate_that_cannot_be_used_stops_the_start_in_one_line(ocms, certificate, database, missing):
    settings, _ = certificate
    settings |= {missing: "nowhere.pem"}
    done = ocms("serve", "--port", free_port(), OCMS_API_KEYS=KEYS, **settings)
    assert done.returncode == 1
    assert done.stderr == f"ocms: {missing}: nowhere.pem cannot be read: No such file or directory\n"


def test_a_key_without_its_certificate_does_not_serve_plain_http(ocms, certificate, database):
    settings, _ = certificate
    port = free_port()
    name = "OCMS_TLS_KEY_FILE"
    for half, text in (
        ({"OCMS_TLS_CERT_FILE": ""}, "OCMS_TLS_CERT_FILE is empty; remove it, or give it a value"),
        ({}, f"{name} has no effect without OCMS_TLS_CERT_FILE: set both or neither"),
    ):
        done = ocms("serve", "--port", port, OCMS_API_KEYS=KEYS, **half, **{name: settings[name]})
        assert (done.returncode, done.stderr) == (1, f"ocms: {text}\n")
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_what_a_caller_sends_cannot_forge_a_line_of_the_log(cas, logs):
    forged = '\n{"event":"call","caller":"CAS","status":200}\r\n\x1b[31m'
    cas.get("/" + forged.encode().hex() + "%0a%7b%22event%22%3a%22forged%22%7d%0d%1b%5b31m")
    cas.post("/v1/getPaymentStatus", json=BODY, headers={"X-Correlation-ID": "a b"})
    cas.get("/openapi.json")
    assert not logs("forged")
    assert all("\x1b" not in line and json.loads(line) for line in logs.text().splitlines())


def test_the_console_cannot_be_forged_either(start, database):
    port = free_port()
    process = start("serve", "--port", port, OCMS_API_KEYS=KEYS, OCMS_LOG_FORMAT="console")
    url = wait_for(port, process)
    httpx2.get(f"{url}/x%0aforged%1b[31m")
    process.terminate()
    _, output = process.communicate(timeout=10)
    assert not any(line.startswith("forged") for line in output.splitlines())
    assert "\x1b" not in output
