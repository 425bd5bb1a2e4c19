"""The client of CAS over TLS: the authorities that it trusts, and the certificate that it presents."""

import shutil
import ssl
import subprocess
from contextlib import ExitStack

import pytest
import trustme
from fixtures.refreshing import ListOfBytes, read_list

from domain.errors import OperatorError
from jobs.failures import CasTlsError, RefreshError
from ocms.scheduled_jobs import cas_client
from ocms.web.server import listen, serving


@pytest.fixture
def authority(tmp_path):
    """A private authority; `.file` is its certificate."""
    authority = trustme.CA()
    authority.file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(authority.file)
    return authority


@pytest.fixture
def secure_cas(authority, tmp_path):
    """Start a CAS with a certificate of the authority; returns its address. It can ask for one of OCMS."""
    with ExitStack() as stack:

        def start(*, ask=False, host="localhost"):
            authority.issue_cert(host).private_key_and_cert_chain_pem.write_to_path(tmp_path / "cas.pem")
            cas = ListOfBytes()
            cas.body = b'[{"vip_vehicle": "V1", "vehicle_no": "SBA1A", "status": "ACTIVE"}]'
            tls = {"ssl_certfile": tmp_path / "cas.pem"}
            if ask:
                tls |= {"ssl_ca_certs": str(authority.file), "ssl_cert_reqs": ssl.CERT_REQUIRED}
            listener = listen("127.0.0.1", 0)
            stack.enter_context(serving(cas, listener, **tls))
            return f"https://localhost:{listener.getsockname()[1]}"

        yield start


@pytest.fixture
def fetch(make_settings):
    """Fetch the list; returns how many vehicles it has."""

    def run(url, **settings):
        files = {name: str(file) for name, file in settings.items()}
        return len(read_list(cas_client(make_settings(cas_url=url, **files))))

    return run


def test_a_private_authority_is_a_setting(fetch, secure_cas, authority):
    assert fetch(secure_cas(), cas_ca_file=authority.file) == 1


def test_a_certificate_of_an_unknown_authority_is_refused_and_not_tried_again(fetch, secure_cas, logs):
    with pytest.raises(CasTlsError, match=r"no secure connection to CAS.*CERTIFICATE_VERIFY_FAILED.*OCMS_CAS_CA_FILE"):
        fetch(secure_cas())
    assert logs("stamina.retry_scheduled") == []


def test_a_call_over_tls_goes_through_the_tunnel_of_a_proxy(fetch, secure_cas, authority, proxy, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    url = secure_cas()
    assert fetch(url, cas_ca_file=authority.file) == 1
    assert [(method, f"https://{target}") for method, target, _ in proxy.asked] == [("CONNECT", url)]
    fault = rf"no secure connection to CAS at {url} through the proxy of HTTPS_PROXY at {proxy.address}: .*CERTIFICATE"
    with pytest.raises(CasTlsError, match=fault):
        fetch(url)


def test_the_environment_can_name_the_authority_unless_a_setting_ignores_it(
    fetch, secure_cas, authority, clean_proxies, monkeypatch, make_settings, tmp_path
):
    url = secure_cas()
    with pytest.raises(CasTlsError, match=r"OCMS_CAS_CLIENT_CERT_FILE$"):
        fetch(url)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    assert fetch(url) == 1
    with pytest.raises(CasTlsError):
        read_list(cas_client(make_settings(cas_url=url, trust_environment=False)))
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.pem"))
    with pytest.raises(CasTlsError, match=r"OCMS_CAS_CLIENT_CERT_FILE, and SSL_CERT_FILE$"):
        fetch(url)


@pytest.mark.parametrize("folder", ["", "none/"])
@pytest.mark.parametrize("source", ["setting", "SSL_CERT_FILE"])
def test_session_keys_are_written_nowhere(
    fetch, secure_cas, authority, clean_proxies, monkeypatch, tmp_path, folder, source
):
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / folder / "session-keys"))
    if source == "setting":
        assert fetch(secure_cas(), cas_ca_file=authority.file) == 1
    else:
        monkeypatch.setenv(source, str(authority.file))
        assert fetch(secure_cas()) == 1
    assert not (tmp_path / "session-keys").exists()
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with pytest.raises(CasTlsError, match="CERTIFICATE_VERIFY_FAILED"):
        fetch(secure_cas())


@pytest.mark.skipif(not shutil.which("openssl"), reason="the folder needs the command openssl")
def test_a_folder_of_authorities_is_trusted(fetch, secure_cas, authority, clean_proxies, monkeypatch, tmp_path):
    folder = tmp_path / "authorities"
    folder.mkdir()
    name = subprocess.run(
        ["openssl", "x509", "-noout", "-hash", "-in", authority.file], capture_output=True, text=True, check=True
    ).stdout.strip()
    (folder / f"{name}.0").write_bytes(authority.file.read_bytes())
    monkeypatch.setenv("SSL_CERT_DIR", f"none:{folder}")
    assert fetch(secure_cas()) == 1


def test_a_certificate_of_another_host_is_refused(fetch, secure_cas, authority):
    with pytest.raises(CasTlsError, match="Hostname mismatch"):
        fetch(secure_cas(host="other.test"), cas_ca_file=authority.file)


@pytest.mark.parametrize("password", ["", "secret"])
def test_the_certificate_of_ocms_is_shown(fetch, secure_cas, authority, tmp_path, password):
    ours = authority.issue_cert("ocms.test")
    certificate, key = tmp_path / "ocms.crt", tmp_path / "ocms.key"
    certificate.write_bytes(b"".join(part.bytes() for part in ours.cert_chain_pems))
    key.write_bytes(encrypted(ours.private_key_pem.bytes(), password))
    url = secure_cas(ask=True)
    files = {"cas_client_cert_file": certificate, "cas_client_key_file": key}
    assert fetch(url, cas_ca_file=authority.file, **files, cas_client_key_password=password) == 1


def test_one_file_can_hold_both_the_certificate_and_the_key(fetch, secure_cas, authority, tmp_path):
    authority.issue_cert("ocms.test").private_key_and_cert_chain_pem.write_to_path(tmp_path / "ocms.pem")
    url = secure_cas(ask=True)
    assert fetch(url, cas_ca_file=authority.file, cas_client_cert_file=tmp_path / "ocms.pem") == 1


def test_without_the_certificate_that_cas_asks_for_there_is_no_list(fetch, secure_cas, authority):
    with pytest.raises(RefreshError):  # some servers say why, others hang up
        fetch(secure_cas(ask=True), cas_ca_file=authority.file)


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"cas_ca_file": "none.pem"}, "OCMS_CAS_CA_FILE: none.pem cannot be used: No such file or directory"),
        ({"cas_ca_file": "empty.pem"}, "OCMS_CAS_CA_FILE: empty.pem cannot be used: "),
        ({"cas_client_cert_file": "none.pem"}, "OCMS_CAS_CLIENT_CERT_FILE: none.pem cannot be read: No such file"),
        ({"cas_client_cert_file": "ca.pem"}, "OCMS_CAS_CLIENT_CERT_FILE: ca.pem has no private key in PEM form"),
        ({"cas_client_cert_file": "ca.pem", "cas_client_key_file": "none.key"}, "OCMS_CAS_CLIENT_KEY_FILE: none.key"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start(make_settings, authority, tmp_path, files, text):
    (tmp_path / "empty.pem").touch()
    with pytest.raises(OperatorError, match=text):
        cas_client(make_settings(cas_url="https://cas.test", **files))


def test_without_the_key_that_cas_issued_there_is_no_client(make_settings):
    with pytest.raises(OperatorError, match="OCMS_CAS_API_KEY is not set: set it to the key that CAS issued"):
        cas_client(make_settings(cas_api_key=""))


def encrypted(key, password):
    """A key in PEM form, encrypted if there is a password."""
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415  # trustme brings it

    loaded = form.load_pem_private_key(key, None)
    kind = form.BestAvailableEncryption(password.encode()) if password else form.NoEncryption()
    return loaded.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, kind)
