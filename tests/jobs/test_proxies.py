"""What HTTP_PROXY and its relatives do to calls to CAS: they are obeyed, named in errors, and can be ignored."""

import pytest
import trustme
from fixtures.refreshing import read_list

from domain.errors import OperatorError
from jobs.failures import CasStatusError, CasUnreachableError, NotJsonError
from ocms.scheduled_jobs import cas_client

LIST = b'[{"vip_vehicle": "V1", "vehicle_no": "SBA1A", "status": "ACTIVE"}]'
NO_PORT = "127.0.0.1:9"
"""Nothing listens here."""


@pytest.fixture
def fetch(make_settings):
    """Fetch the list; returns how many vehicles it has."""
    return lambda url, **settings: len(read_list(cas_client(make_settings(cas_url=url, **settings))))


@pytest.fixture
def good_cas(plain_cas):
    plain_cas.body = LIST
    return plain_cas


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_the_list_comes_through_the_proxy_of_the_environment(fetch, proxy, good_cas, monkeypatch, name, scheme):
    monkeypatch.setenv(name, scheme + proxy.address)
    assert fetch(good_cas.url) == 1
    assert proxy.asked == [("POST", f"{good_cas.url}/v1/getVipVehicles", None)]


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize("hosts", ["*", "127.0.0.1", "127.0.0.0/8"])
def test_no_proxy_is_used_for_the_hosts_of_no_proxy(fetch, proxy, good_cas, monkeypatch, name, hosts):
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv(name, hosts)
    assert fetch(good_cas.url) == 1
    assert proxy.asked == []


@pytest.mark.parametrize("bad", [NO_PORT, "socks5://127.0.0.1:1080", "ftp://x", "http://:x"])
def test_a_setting_ignores_the_environment(fetch, good_cas, clean_proxies, monkeypatch, bad):
    for name in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, bad)
    monkeypatch.setenv("SSL_CERT_FILE", "none.pem")
    assert fetch(good_cas.url, trust_environment=False) == 1


def test_a_proxy_that_cannot_be_reached_is_named_without_its_password(
    fetch, good_cas, clean_proxies, monkeypatch, logs
):
    monkeypatch.setenv("HTTP_PROXY", f"http://user:secret@{NO_PORT}")
    with pytest.raises(CasUnreachableError) as raised:
        fetch(good_cas.url)
    start = f"CAS cannot be reached at {good_cas.url} through the proxy of HTTP_PROXY at {NO_PORT}: "
    assert str(raised.value).startswith(start)
    assert good_cas.calls == 0
    assert "secret" not in str(raised.value) + logs.text()


@pytest.mark.parametrize("status", [403, 407, 502])
def test_a_status_of_the_proxy_is_not_blamed_on_cas_or_its_key(fetch, proxy, good_cas, monkeypatch, status):
    monkeypatch.setenv("http_proxy", proxy.url)
    proxy.status = status
    with pytest.raises(CasStatusError) as raised:
        fetch(good_cas.url)
    assert str(raised.value) == (
        f"CAS or the proxy of http_proxy at {proxy.address} responded with HTTP status {status}: "
        "check the proxy, or ignore it with OCMS_TRUST_ENVIRONMENT=false"
    )
    assert good_cas.calls == 0


def test_a_page_of_the_proxy_is_shown_as_such(fetch, proxy, good_cas, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    proxy.status = 200
    with pytest.raises(NotJsonError, match=rf"its Content-Type is 'text/html'; it came through .* at {proxy.address}$"):
        fetch(good_cas.url)


@pytest.mark.parametrize("status", [403, 407, 503])
def test_a_tunnel_that_the_proxy_refuses_names_the_proxy(fetch, proxy, monkeypatch, status):
    monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//user:secret@"))
    proxy.status = status
    with pytest.raises(CasUnreachableError) as raised:
        fetch("https://cas.test")
    assert str(raised.value).startswith(
        f"CAS cannot be reached at https://cas.test through the proxy of HTTPS_PROXY at {proxy.address}: {status}"
    )
    assert "secret" not in str(raised.value)
    assert proxy.asked[0][:2] == ("CONNECT", "cas.test:443")


def test_the_proxy_of_the_other_scheme_is_not_used(fetch, proxy, good_cas, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    assert fetch(good_cas.url) == 1
    assert proxy.asked == []


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize(
    "address",
    [
        "socks5://user:secret@127.0.0.1:1080",
        "socks4://secret",
        "ftp://secret",
        "http://user:sec/ret@proxy.test:3128",
        "http://user:secret@proxy.test:port",
        "http://user:secret@proxy.test:99999",
        "http://",
        "http://:3128",
        "http://[secret",
        "http://sec\nret",
        "http://secret..test:9",
        "http://secret,test:3128",
        "http://<secret>:3128",
        "http://user:secret@${PROXY}:3128",
        "http://secret\\x:3128",
        "http://127.0.0.256:9",
        "secret..test:9",
        "\udcffsecret",
    ],
)
def test_an_unusable_proxy_stops_the_start_in_one_line(make_settings, clean_proxies, monkeypatch, name, address):
    monkeypatch.setenv(name, address)
    with pytest.raises(OperatorError) as raised:
        cas_client(make_settings())
    assert str(raised.value) == (
        f"{name} must be the address of an HTTP proxy such as http://proxy.example.gov.sg:3128; "
        "correct or unset it, or set OCMS_TRUST_ENVIRONMENT=false"
    )


@pytest.mark.parametrize(
    ("name", "path", "reason"),
    [
        ("SSL_CERT_FILE", "none.pem", "No such file or directory"),
        ("SSL_CERT_FILE", "empty.pem", "no certificate or crl found"),
        ("SSL_CERT_FILE", ".", "Is a directory"),
        ("SSL_CERT_DIR", "none", "No such folder"),
        ("SSL_CERT_DIR", "none:empty.pem", "No such folder"),
    ],
)
def test_authorities_that_cannot_be_read_stop_the_start_in_one_line(
    make_settings, clean_proxies, monkeypatch, tmp_path, name, path, reason
):
    (tmp_path / "empty.pem").touch()
    monkeypatch.setenv(name, path)
    with pytest.raises(OperatorError) as raised:
        cas_client(make_settings())
    assert str(raised.value).startswith(f"{name}: {path} cannot be used: {reason}; correct or unset it")
    cas_client(make_settings(trust_environment=False))


def test_authorities_that_only_a_proxy_over_tls_needs_are_checked_as_well(
    make_settings, clean_proxies, monkeypatch, tmp_path
):
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", "none.pem")
    settings = make_settings(cas_url="https://cas.test", cas_ca_file="ca.pem")
    cas_client(settings)
    monkeypatch.setenv("HTTPS_PROXY", "https://proxy.test:3128")
    with pytest.raises(OperatorError, match=r"^SSL_CERT_FILE: none\.pem cannot be used: No such file or directory"):
        cas_client(settings)


def test_a_command_reports_the_environment_in_one_line(ocms, database, clean_proxies):
    for variables in ({"ALL_PROXY": "socks5://127.0.0.1:1080"}, {"SSL_CERT_FILE": "none.pem"}):
        refused = ocms("jobs", "run", "refresh-vip-vehicles", **variables)
        assert refused.returncode == 1
        assert refused.stderr.count("\n") == 1
        assert refused.stderr.startswith(f"ocms: {next(iter(variables))}")
