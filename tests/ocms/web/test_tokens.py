"""Bearer tokens: what a gateway forwards is believed only when the issuer has signed it for us."""

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from contextlib import ExitStack, suppress

import jwt
import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fixtures.commands import eventually
from fixtures.contracts import CONTRACT, caller_of, each_operation
from fixtures.refreshing import ListOfBytes
from fixtures.settings import CAS_KEY
from starlette.responses import Response

from domain.clock import utc_now
from domain.errors import OperatorError
from ocms.app import create_app
from ocms.settings import load_settings
from ocms.web.server import listen, serving
from ocms.web.tokens import PublishedKeys

ISSUER, AUDIENCE = "https://issuer.test/", "api://ocms"
RSA_KEY, OTHER_KEY = (rsa.generate_private_key(65537, 2048) for _ in range(2))
EC_KEY = ec.generate_private_key(ec.SECP256R1())
PEM = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwk(key, key_id, **members):
    algorithm = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    return algorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": key_id} | members


KEYS = {"keys": [jwk(RSA_KEY, "rsa", alg="RS256", use="sig"), jwk(EC_KEY, "ec")]}


@pytest.fixture
def token_settings(tmp_path):
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(KEYS))
    return {
        "token_keys": str(file),
        "token_issuer": ISSUER,
        "token_audience": AUDIENCE,
        "token_claim": "azp",
        "token_callers": "CAS:client-1,PLUS:client-2",
    }


@pytest.fixture
def post_with(callers, token_settings):
    """Start OCMS with some settings; returns a function that calls an operation with some headers.

    The function returns the status and the code.
    """

    def start(**settings):
        client, _ = callers(**token_settings | settings)
        del client.headers["X-API-Key"]

        def call(operation, *headers):
            response = client.post(operation.path, content=b"{", headers=list(headers))
            return response.status_code, response.json()["data"]["appCode"]

        return call

    return start


@pytest.fixture
def post(post_with):
    return post_with()


def bearer(token):
    return ("Authorization", f"Bearer {token}")


def token(key=RSA_KEY, algorithm="RS256", key_id="rsa", header=None, without=(), **claims):
    """A token of CAS's client, good unless something is said of it."""
    now = time.time()
    all_claims = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 300, "azp": "client-1", **claims}
    kept = {name: value for name, value in all_claims.items() if name not in without}
    return jwt.encode(kept, key, algorithm, headers=({"kid": key_id} if key_id else {}) | (header or {}))


def unsigned(header, signature=b""):
    """A token made by hand, which no library would make."""
    claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": time.time() + 300, "azp": "client-1"}
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def confused():
    """A token whose signature is an HMAC with the public key as the secret."""
    head = unsigned({"alg": "HS256", "kid": "rsa"}).rpartition(".")[0]
    mac = hmac.digest(PEM, head.encode(), hashlib.sha256)
    return f"{head}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


DEFECTS = {
    "expired": lambda: token(exp=time.time() - 60),
    "of too long a life": lambda: token(exp=time.time() + 7300),
    "of too long a life, near its end": lambda: token(iat=time.time() - 7300),
    "of too long a life, without its start": lambda: token(exp=time.time() + 7300, without=["iat"]),
    "issued in the future": lambda: token(iat=time.time() + 3600, exp=time.time() + 3900),
    "of an endless life": lambda: token(exp=1e999),
    "of a start that is no number": lambda: token(iat="soon"),
    "not yet valid": lambda: token(nbf=time.time() + 300),
    "without expiry": lambda: token(without=["exp"]),
    "of another issuer": lambda: token(iss="https://other.test/"),
    "without issuer": lambda: token(without=["iss"]),
    "for another audience": lambda: token(aud="api://other"),
    "without audience": lambda: token(without=["aud"]),
    "without the caller": lambda: token(without=["azp"]),
    "of an unknown caller": lambda: token(azp="client-3"),
    "of a caller that is a list": lambda: token(azp=["client-1"]),
    "of a caller by its name": lambda: token(azp="CAS"),
    "signed by another key": lambda: token(OTHER_KEY),
    "of an unknown key": lambda: token(OTHER_KEY, key_id="other"),
    "of a key that brings itself": lambda: token(OTHER_KEY, header={"jwk": jwk(OTHER_KEY, "rsa")}),
    "of another key's algorithm": lambda: token(EC_KEY, "ES256", key_id="rsa"),
    "of an algorithm that is not pinned": lambda: token(algorithm="RS512"),
    "without algorithm": lambda: unsigned({"alg": "none", "kid": "rsa"}),
    "without algorithm, spelt otherwise": lambda: unsigned({"alg": "NoNe", "kid": "rsa"}),
    "with the public key as secret": confused,
    "without signature": lambda: token().rpartition(".")[0] + ".",
    "changed": lambda: token()[:-8] + "AAAAAAAA",
    "cut": lambda: token()[: len(token()) // 2],
    "with a critical extension": lambda: token(header={"crit": ["x"], "x": 1}),
    "dots": lambda: "..",
    "no token": lambda: "a.b.c",
    "huge": lambda: "x" * 30_000,
    "an API key": lambda: CAS_KEY,
}


@each_operation
def test_a_token_is_taken_for_the_operations_of_its_caller_only(post, operation):
    for client, caller in (("client-1", "CAS"), ("client-2", "PLUS")):
        wanted = (400, "OCMS-4000") if caller == caller_of(operation) else (403, "OCMS-4003")
        assert post(operation, bearer(token(azp=client))) == wanted
        assert post(operation, ("authorization", f"bearer  {token(EC_KEY, 'ES256', 'ec', azp=client)}")) == wanted


@each_operation
def test_a_token_with_a_defect_is_refused(post, operation, subtests):
    for defect, make in DEFECTS.items():
        with subtests.test(defect):
            assert post(operation, bearer(make())) == (401, "OCMS-4001")


@each_operation
def test_one_identity_at_a_time(post, operation):
    good, key = bearer(token()), ("X-API-Key", CAS_KEY)
    for headers in ([good, key], [bearer("x"), key], [good, ("X-API-Key", "x")], [good, good]):
        assert post(operation, *headers) == (401, "OCMS-4001")


@each_operation
def test_a_token_in_another_header_is_ignored(post, operation):
    for headers in (
        [("Authorization", f"Basic {token()}")],
        [("Authorization", token())],
        [("X-Authorization", f"Bearer {token()}")],
        [("Cookie", f"Authorization=Bearer {token()}")],
    ):
        assert post(operation, *headers) == (401, "OCMS-4001")


def test_the_longest_life_of_a_token_is_a_setting(callers, token_settings, logs):
    client, _ = callers(**token_settings, token_max_lifetime=60)
    del client.headers["X-API-Key"]
    body = {"notice_nos": ["N1"]}
    short = [token(exp=time.time() + 59), token(exp=time.time() + 59, without=["iat"])]
    long = [token(exp=time.time() + 120), token(exp=time.time() + 120, without=["iat"])]
    statuses = [
        client.post("/v1/getPaymentStatus", json=body, headers=[bearer(each)]).status_code for each in [*short, *long]
    ]
    assert statuses == [200, 200, 401, 401]
    assert all("longer than OCMS_TOKEN_MAX_LIFETIME" in line["reason"] for line in logs("token_refused"))
    assert len(logs("token_refused")) == 2


def test_where_tokens_are_not_set_a_gateway_may_pass_its_own_on(cas):
    body = {"notice_nos": ["N1"]}
    assert cas.call("getPaymentStatus", body).status_code == 200
    response = cas.post("/v1/getPaymentStatus", json=body, headers=[bearer("of the gateway")])
    assert response.status_code == 200
    del cas.headers["X-API-Key"]
    assert cas.post("/v1/getPaymentStatus", json=body, headers=[bearer(token())]).status_code == 401


def test_a_refused_token_is_logged_with_the_reason_and_never_itself(post, logs):
    bad = token(aud="api://other")
    post(CONTRACT.operations["getPaymentStatus"], bearer(bad))
    assert [line["reason"] for line in logs("token_refused")] == ["Audience doesn't match"]
    assert bad.rpartition(".")[2] not in logs.text()


SHOWN_NOWHERE = "S3CR3T"
WITH_A_SECRET = {
    "no token": lambda: SHOWN_NOWHERE,
    "three parts": lambda: ".".join([SHOWN_NOWHERE] * 3),
    "an unknown extension": lambda: unsigned({"alg": "RS256", "kid": "rsa", "crit": [SHOWN_NOWHERE]}),
    "an extension that is missing": lambda: unsigned(
        {"alg": "RS256", "kid": "rsa", "crit": ["b64"], "x": SHOWN_NOWHERE}
    ),
    "an unknown key": lambda: token(key_id=SHOWN_NOWHERE),
    "an unknown algorithm": lambda: unsigned({"alg": SHOWN_NOWHERE, "kid": "rsa"}),
    "an audience": lambda: token(aud=SHOWN_NOWHERE),
    "an issuer": lambda: token(iss=SHOWN_NOWHERE),
    "an expiry": lambda: token(exp=SHOWN_NOWHERE),
    "a caller": lambda: token(azp=SHOWN_NOWHERE),
}


@pytest.mark.parametrize("case", WITH_A_SECRET)
def test_no_part_of_a_refused_token_is_logged(post, logs, case):
    assert post(CONTRACT.operations["getPaymentStatus"], bearer(WITH_A_SECRET[case]()))[0] == 401
    assert len(logs("token_refused")) == 1
    assert SHOWN_NOWHERE not in logs.text()


class Issuer:
    """An issuer that publishes its keys on a real socket, counts the requests, and can fail."""

    def __init__(self):
        self.keys, self.asked, self.answered, self.status, self.wait = KEYS, 0, 0, 200, 0
        self.before, self.headers = "", {}

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            raise NotImplementedError  # uvicorn asks whether there is a lifespan
        self.asked += 1
        await asyncio.sleep(self.wait)
        text = self.before + json.dumps(self.keys)
        await Response(text, self.status, self.headers)(scope, receive, send)
        self.answered += 1


@pytest.fixture
def endless():
    """Serve a chunked response that repeats its parts until the client is gone; returns its address."""
    with ExitStack() as stack:

        def serve(part):
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def send():
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.recv(2**16)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    for _ in range(300):
                        connection.sendall(part)
                        time.sleep(0.1 if len(part) < 10 else 0)

            thread = threading.Thread(target=send)
            thread.start()
            stack.callback(thread.join)
            return f"http://127.0.0.1:{listener.getsockname()[1]}"

        yield serve


@pytest.fixture
def issuer(serve, token_settings):
    issuer = Issuer()
    token_settings["token_keys"] = serve(issuer)
    return issuer


def test_published_keys_are_fetched_once_and_a_new_one_is_found(issuer, post, clock):
    operation = CONTRACT.operations["getPaymentStatus"]
    for _ in range(3):
        assert post(operation, bearer(token()))[0] == 400
    assert issuer.asked == 1
    issuer.keys = {"keys": [jwk(OTHER_KEY, "new")]}
    rotated = token(OTHER_KEY, key_id="new")
    for _ in range(3):
        assert post(operation, bearer(rotated))[0] == 401  # an unknown key causes another request only after 30 seconds
    assert issuer.asked == 1
    clock.move(seconds=31)
    assert post(operation, bearer(rotated))[0] == 400
    assert post(operation, bearer(token()))[0] == 401  # the old one is no longer published
    assert issuer.asked == 2
    clock.move(minutes=-10)
    assert post(operation, bearer(rotated))[0] == 400
    assert eventually(lambda: issuer.asked == 3)  # a clock that jumps back does not keep old keys for ever


def test_calls_with_a_known_key_never_wait_for_the_issuer(issuer, post, clock):
    operation = CONTRACT.operations["getPaymentStatus"]
    assert post(operation, bearer(token()))[0] == 400
    clock.move(minutes=6)
    issuer.wait = 3
    for _ in range(3):
        assert post(operation, bearer(token()))[0] == 400
    assert issuer.answered == 1  # the second read is still in progress
    assert eventually(lambda: issuer.answered == 2)
    assert issuer.asked == 2


@pytest.mark.parametrize("parts", [b"1\r\n \r\n", b"10000\r\n" + b" " * 2**16 + b"\r\n"], ids=["slow", "endless"])
def test_keys_that_never_end_are_given_up(post_with, endless, parts, logs):
    post = post_with(token_keys=endless(parts))
    begun = time.monotonic()
    assert post(CONTRACT.operations["getPaymentStatus"], bearer(token())) == (503, "OCMS-5000")
    assert time.monotonic() - begun < 10
    (line,) = logs("token_keys_not_readable")
    assert "5 seconds" in line["error"] or "larger than 1048576 bytes" in line["error"]


def test_a_set_without_keys_for_signatures_leaves_the_previous_keys_in_use(issuer, post, clock, logs):
    operation = CONTRACT.operations["getPaymentStatus"]
    assert post(operation, bearer(token()))[0] == 400
    issuer.keys = {"keys": [jwk(RSA_KEY, "rsa", use="enc")]}
    clock.move(minutes=6)
    assert post(operation, bearer(token()))[0] == 400
    assert eventually(lambda: logs("token_keys_not_readable"))
    assert post(operation, bearer(token()))[0] == 400


def test_a_token_without_a_key_id_causes_no_more_reads_than_another(issuer, post, clock):
    operation = CONTRACT.operations["getPaymentStatus"]
    issuer.keys = {"keys": [jwk(RSA_KEY, "rsa")]}
    anonymous = token(key_id=None)
    assert post(operation, bearer(anonymous))[0] == 400
    clock.move(seconds=60)
    assert post(operation, bearer(anonymous))[0] == 400
    assert issuer.asked == 1


def test_all_first_calls_wait_for_the_keys(issuer, callers, token_settings):
    issuer.wait = 0.5
    client, _ = callers(**token_settings)
    del client.headers["X-API-Key"]
    good, statuses = bearer(token()), []

    def call():
        statuses.append(client.post("/v1/getPaymentStatus", content=b"{", headers=[good]).status_code)

    threads = [threading.Thread(target=call) for _ in range(5)]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    for thread in threads:
        thread.join()
    assert statuses == [400] * 5
    assert issuer.asked == 1


def test_an_issuer_that_is_away_is_503_at_first_and_no_matter_later(issuer, post, clock, logs):
    operation = CONTRACT.operations["getPaymentStatus"]
    issuer.status = 500
    assert post(operation, bearer(token())) == (503, "OCMS-5000")
    assert logs("token_keys_not_readable")
    clock.move(seconds=31)
    issuer.status = 200
    assert post(operation, bearer(token()))[0] == 400
    issuer.status = 500
    clock.move(minutes=6)
    assert post(operation, bearer(token()))[0] == 400


@pytest.mark.parametrize("status", [201, 202, 203, 206, 302, 404])
def test_keys_with_another_status_than_200_are_not_used(issuer, post, logs, status):
    issuer.status = status
    issuer.headers = {"Location": "/login"} if status == 302 else {}
    assert post(CONTRACT.operations["getPaymentStatus"], bearer(token())) == (503, "OCMS-5000")
    assert logs("token_keys_not_readable")[0]["error"] == f"the HTTP status is {status} instead of 200"
    assert issuer.asked == 1


def test_a_byte_order_mark_before_the_keys_is_skipped(issuer, post, make_settings, token_settings, tmp_path):
    issuer.before = "\ufeff"
    assert post(CONTRACT.operations["getPaymentStatus"], bearer(token()))[0] == 400
    (tmp_path / "keys.json").write_text("\ufeff" + json.dumps(KEYS))
    create_app(make_settings(**token_settings | {"token_keys": "keys.json"}))


def test_keys_come_through_the_proxy_unless_the_environment_is_ignored(issuer, token_settings, proxy, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    url = token_settings["token_keys"]
    for trusted, asked in ((True, [("GET", f"{url}/", None)]), (False, [])):
        proxy.asked.clear()
        keys = PublishedKeys(url, utc_now, trust_environment=trusted)
        asyncio.run(keys.read())
        assert len(keys) == 2
        assert proxy.asked == asked


@pytest.mark.parametrize("folder", ["", "none/"])
def test_keys_over_tls_are_read_and_session_keys_written_nowhere(clean_proxies, monkeypatch, tmp_path, folder):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "issuer.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / folder / "session-keys"))
    source = ListOfBytes()
    source.body = json.dumps(KEYS).encode()
    listener = listen("127.0.0.1", 0)
    with serving(source, listener, ssl_certfile=tmp_path / "issuer.pem"):
        keys = PublishedKeys(f"https://localhost:{listener.getsockname()[1]}/keys", utc_now)
        asyncio.run(keys.read())
    assert len(keys) == 2
    assert not (tmp_path / "session-keys").exists()


@pytest.mark.parametrize("host", ["issuer..test", "127.0.0.256", "a" * 64 + ".test"])
def test_an_address_of_the_keys_that_fails_only_when_it_is_called_is_logged(logs, clean_proxies, host):
    keys = PublishedKeys(f"https://{host}/keys", utc_now)
    asyncio.run(keys.read())
    assert [line["source"] for line in logs("token_keys_not_readable")] == [f"https://{host}/keys"]


def test_a_proxy_that_refuses_the_keys_is_named_without_its_password(proxy, monkeypatch, logs):
    monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//user:secret@"))
    proxy.status = 407
    keys = PublishedKeys("https://issuer.test/keys", utc_now)
    asyncio.run(keys.read())
    assert len(keys) == 0
    (line,) = logs("token_keys_not_readable")
    assert line["error"].endswith(f" through the proxy of HTTPS_PROXY at {proxy.address}")
    assert "secret" not in logs.text()


@pytest.mark.parametrize(
    ("name", "value"), [("SSL_CERT_FILE", "none.pem"), ("HTTPS_PROXY", "socks5://x"), ("ALL_PROXY", "http://x:port")]
)
def test_an_environment_that_cannot_be_used_stops_the_start(
    make_settings, token_settings, clean_proxies, monkeypatch, name, value
):
    monkeypatch.setenv(name, value)
    token_settings["token_keys"] = "https://issuer.test/keys"
    with pytest.raises(OperatorError, match=rf"^{name}.*; correct or unset it, or set OCMS_TRUST_ENVIRONMENT=false$"):
        create_app(make_settings(**token_settings))
    create_app(make_settings(**token_settings, trust_environment=False))


def test_the_query_of_the_address_of_the_keys_is_not_logged(issuer, callers, token_settings, logs):
    issuer.status = 500
    client, _ = callers(**token_settings | {"token_keys": f"{token_settings['token_keys']}?sig=S3CR3T"})
    del client.headers["X-API-Key"]
    assert client.post("/v1/getPaymentStatus", content=b"{", headers=[bearer(token())]).status_code == 503
    assert [line["source"] for line in logs("token_keys_not_readable")] == [token_settings["token_keys"]]
    assert "S3CR3T" not in logs.text()


@pytest.mark.parametrize(
    "text", ["", "{}", "no JSON", "[]", '{"keys": 1}', '{"keys": []}', '{"keys": [{"kty": "oct", "k": "x"}]}', None]
)
def test_a_file_without_usable_keys_stops_the_start(make_settings, token_settings, tmp_path, text):
    file = tmp_path / "bad.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(OperatorError, match=r"OCMS_TOKEN_KEYS: .*bad.json is not a readable file with a JWK set"):
        create_app(make_settings(**token_settings | {"token_keys": str(file)}))


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("token_keys", "http://issuer.test/jwks", "OCMS_TOKEN_KEYS must be a file or an https address of a JWK set"),
        ("token_keys", "ftp://issuer.test/jwks", "OCMS_TOKEN_KEYS must be a file or an https address of a JWK set"),
        ("token_callers", "CAS", "OCMS_TOKEN_CALLERS must be CALLER:CLAIM,CALLER:CLAIM, with each"),
        ("token_callers", "CAS:a,PLUS:a", "OCMS_TOKEN_CALLERS must be CALLER:CLAIM,CALLER:CLAIM, with each"),
        ("token_callers", "CAS:a,CAS:b", "OCMS_TOKEN_CALLERS must be CALLER:CLAIM,CALLER:CLAIM, with each"),
    ],
)
def test_an_invalid_setting_is_reported_in_one_line(name, value, text):
    with pytest.raises(OperatorError) as raised:
        load_settings(**{name: value})
    assert str(raised.value).startswith(text)


def test_callers_that_the_contract_does_not_know_stop_the_start(make_settings, token_settings):
    with pytest.raises(OperatorError, match="OCMS_TOKEN_CALLERS names LTA; the contract has only CAS, PLUS"):
        create_app(make_settings(**token_settings | {"token_callers": "LTA:x"}))
