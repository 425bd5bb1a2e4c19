"""A certificate and its key: each fault names the file and what is wrong with it."""

import os
import ssl
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from domain.clock import CLOCK_SKEW, utc_now
from domain.errors import OperatorError
from jobs.key_pair import KeyPair

TRADITIONAL = PrivateFormat.TraditionalOpenSSL


def pem(key, password="", form=PrivateFormat.PKCS8):
    return key.private_bytes(
        Encoding.PEM, form, BestAvailableEncryption(password.encode()) if password else NoEncryption()
    )


def issued_from(start):
    """A certificate that is valid from `start`, with its key."""
    issued = trustme.CA().issue_cert("ocms.test", not_before=start, not_after=start + timedelta(days=9))
    return issued.private_key_and_cert_chain_pem.bytes()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of certificates and keys; `.key` is the right one."""
    folder = tmp_path_factory.mktemp("pem")
    issued = trustme.CA().issue_cert("ocms.test")
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
    contents = {
        "good.crt": chain,
        "good.key": pem(key),
        "traditional.key": pem(key, form=TRADITIONAL),
        "parameters.key": b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
        + pem(key, form=TRADITIONAL),
        "locked.key": pem(key, "secret"),
        "locked-traditional.key": pem(key, "secret", TRADITIONAL),
        "both.pem": chain + pem(key),
        "both-locked.pem": pem(key, "secret") + chain,
        "other.key": pem(ec.generate_private_key(ec.SECP256R1())),
        "rsa.key": pem(rsa.generate_private_key(65537, 2048)),
        "expired.pem": trustme.CA()
        .issue_cert("ocms.test", not_after=datetime.now(UTC) - timedelta(days=1))
        .private_key_and_cert_chain_pem.bytes(),
        "early.pem": issued_from(datetime.now(UTC) + timedelta(days=2)),
        "empty": b"",
        "text": b"hello",
        "binary": bytes(range(256)),
        "damaged.crt": chain.replace(b"\nMII", b"\nXXX", 1),
        "cut.crt": chain[:300],
        "damaged.key": pem(key)[:60] + b"\n-----END PRIVATE KEY-----\n",
        "der.crt": ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode()),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "folder").mkdir()
    return folder


def load(files, cert, key=None, password=""):
    names = [None if name is None else str(files / name) for name in (cert, key)]
    return KeyPair("OCMS_TLS", *names, password).load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), utc_now)


@pytest.mark.parametrize(
    ("cert", "key", "password"),
    [
        ("good.crt", "good.key", ""),
        ("good.crt", "traditional.key", ""),
        ("good.crt", "parameters.key", ""),
        ("good.crt", "locked.key", "secret"),
        ("good.crt", "locked-traditional.key", "secret"),
        ("both.pem", None, ""),
        ("both.pem", "", ""),
        ("both-locked.pem", None, "secret"),
    ],
)
def test_a_certificate_with_its_key_is_loaded(files, cert, key, password):
    shown = load(files, cert, key or None, password)
    assert len(shown["fingerprint"]) == 16
    assert shown["expires"] >= f"{utc_now():%Y-%m-%d}"


@pytest.mark.parametrize(
    ("cert", "key", "password", "setting", "text"),
    [
        ("none.crt", "good.key", "", "CERT_FILE", "none.crt cannot be read: No such file or directory"),
        ("folder", "good.key", "", "CERT_FILE", "folder cannot be read: Is a directory"),
        ("good.crt/x", "good.key", "", "CERT_FILE", "good.crt/x cannot be read: Not a directory"),
        ("empty", "good.key", "", "CERT_FILE", "empty has no certificate in PEM form"),
        ("text", "good.key", "", "CERT_FILE", "text has no certificate in PEM form"),
        ("binary", "good.key", "", "CERT_FILE", "binary has no certificate in PEM form"),
        ("der.crt", "good.key", "", "CERT_FILE", "der.crt has no certificate in PEM form"),
        ("damaged.crt", "good.key", "", "CERT_FILE", "damaged.crt has no certificate in PEM form, or a damaged one"),
        ("cut.crt", "good.key", "", "CERT_FILE", "cut.crt has no certificate in PEM form, or a damaged one"),
        ("good.key", "good.crt", "", "CERT_FILE", "good.key has no certificate in PEM form"),
        ("good.crt", "none.key", "", "KEY_FILE", "none.key cannot be read: No such file or directory"),
        ("good.crt", "folder", "", "KEY_FILE", "folder cannot be read: Is a directory"),
        ("good.crt", "empty", "", "KEY_FILE", "empty has no private key in PEM form"),
        ("good.crt", "good.crt", "", "KEY_FILE", "good.crt has no private key in PEM form"),
        ("good.crt", None, "", "CERT_FILE", "good.crt has no private key in PEM form"),
        ("good.crt", "damaged.key", "", "KEY_FILE", "damaged.key is damaged"),
        ("good.crt", "other.key", "", "KEY_FILE", "other.key is not the key of the certificate in "),
        ("good.crt", "rsa.key", "", "KEY_FILE", "rsa.key is not the key of the certificate in "),
        ("good.crt", "locked.key", "", "KEY_FILE", "locked.key is encrypted: set OCMS_TLS_KEY_PASSWORD"),
        ("good.crt", "locked-traditional.key", "", "KEY_FILE", "is encrypted: set OCMS_TLS_KEY_PASSWORD"),
        ("both-locked.pem", None, "", "CERT_FILE", "both-locked.pem is encrypted: set OCMS_TLS_KEY_PASSWORD"),
        ("good.crt", "locked.key", "wrong", "KEY_FILE", "locked.key cannot be read: OCMS_TLS_KEY_PASSWORD is wrong"),
        ("good.crt", "locked-traditional.key", "wrong", "KEY_FILE", "OCMS_TLS_KEY_PASSWORD is wrong"),
        ("good.crt", "good.key", "p", "KEY_PASSWORD", "good.key is not encrypted"),
        ("both.pem", None, "p", "KEY_PASSWORD", "both.pem is not encrypted"),
        ("expired.pem", None, "", "CERT_FILE", "expired.pem has expired, it was valid until "),
        ("early.pem", None, "", "CERT_FILE", "early.pem is not valid yet, it will be from "),
    ],
)
def test_a_fault_names_its_setting_its_file_and_what_is_wrong(files, cert, key, password, setting, text):
    with pytest.raises(OperatorError) as raised:
        load(files, cert, key, password)
    assert str(raised.value).startswith(f"OCMS_TLS_{setting}")
    assert text in str(raised.value)
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("ahead", "loads"), [(CLOCK_SKEW, True), (CLOCK_SKEW + timedelta(seconds=1), False)])
def test_the_start_of_a_certificate_may_be_ahead_by_the_difference_of_two_clocks(tmp_path, ahead, loads):
    now = datetime(2026, 6, 30, 14, tzinfo=UTC)
    (tmp_path / "new.pem").write_bytes(issued_from(now + ahead))
    pair = KeyPair("OCMS_TLS", str(tmp_path / "new.pem"), None, "")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if loads:
        assert pair.load_into(context, lambda: now)["expires"] == "2026-07-09"
    else:
        with pytest.raises(OperatorError, match=r"new\.pem is not valid yet, it will be from 2026-06-30 14:05 UTC"):
            pair.load_into(context, lambda: now)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
@pytest.mark.parametrize(("closed", "setting"), [("good.crt", "CERT_FILE"), ("good.key", "KEY_FILE")])
def test_a_file_that_may_not_be_read_is_named(files, closed, setting):
    (files / closed).chmod(0)
    try:
        with pytest.raises(OperatorError, match=f"OCMS_TLS_{setting}: .*{closed} cannot be read: Permission denied"):
            load(files, "good.crt", "good.key")
    finally:
        (files / closed).chmod(0o600)
