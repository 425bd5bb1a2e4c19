"""The settings: each wrong value stops the start with one line that names it."""

import ast
import inspect
from datetime import time

import pytest

from domain.errors import OperatorError
from ocms.settings import Settings, load_settings


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        (
            "OCMS_API_KEYS",
            "CAS",
            "OCMS_API_KEYS must be CALLER:HASH,CALLER:HASH:YYYY-MM-DD, with hashes from 'ocms keys create CALLER'",
        ),
        ("OCMS_API_KEYS", "cas:" + "0" * 64, "OCMS_API_KEYS must be CALLER:HASH"),
        ("OCMS_CAS_URL", "cas.example.gov.sg", "OCMS_CAS_URL must be a web address such as https://cas.example.gov.sg"),
        ("OCMS_CAS_URL", "http://127.0.0.1:99999", "OCMS_CAS_URL must be a web address"),
        ("OCMS_CAS_URL", "http://:80", "OCMS_CAS_URL must be a web address"),
        ("OCMS_CAS_URL", "https://user:s3cret@cas.example", "OCMS_CAS_URL must not have a user or password"),
        ("OCMS_CAS_URL", "https://s3cret@cas.example", "OCMS_CAS_URL must not have a user or password"),
        ("OCMS_TOKEN_KEYS", "https://user:s3cret@issuer.example/jwks", "OCMS_TOKEN_KEYS must not have a user"),
        ("OCMS_CAS_API_KEY", "a\nb", "OCMS_CAS_API_KEY must be printable ASCII characters without blanks"),
        ("OCMS_CAS_API_KEY", "ключ", "OCMS_CAS_API_KEY must be printable ASCII"),
        ("OCMS_ALERT_URLS", "json://a/ garbage", "OCMS_ALERT_URLS must be Apprise URLs"),
        ("OCMS_PORT", "0", "OCMS_PORT must be greater than or equal to 1"),
        ("OCMS_CAS_TIMEOUT", "inf", "OCMS_CAS_TIMEOUT must be a finite number"),
        ("OCMS_CAS_TIMEOUT", "0", "OCMS_CAS_TIMEOUT must be greater than 0"),
        ("OCMS_CAS_ATTEMPTS", "many", "OCMS_CAS_ATTEMPTS must be a valid integer"),
        ("OCMS_VIP_REFRESH_AT", "2am", "OCMS_VIP_REFRESH_AT must be a time of day as HH:MM, such as 02:00"),
        ("OCMS_VIP_REFRESH_AT", "24:00", "OCMS_VIP_REFRESH_AT must be a time of day"),
        ("OCMS_VIP_MIN_SHARE", "50", "OCMS_VIP_MIN_SHARE must be less than or equal to 1"),
        ("OCMS_TIMEZONE", "Singapore Time", "OCMS_TIMEZONE must be a time zone such as Asia/Singapore"),
        ("OCMS_TIMEZONE", "../../etc/passwd", "OCMS_TIMEZONE must be a time zone"),
        ("OCMS_TIMEZONE", "Asia", "OCMS_TIMEZONE must be a time zone"),
        ("OCMS_TIMEZONE", "localtime", "OCMS_TIMEZONE must be a time zone"),
        ("OCMS_DAYEND_WINDOW", "22:00", "OCMS_DAYEND_WINDOW must be two different times as HH:MM-HH:MM"),
        ("OCMS_DAYEND_WINDOW", "22:00-22:00", "OCMS_DAYEND_WINDOW must be two different times"),
        ("OCMS_DAYEND_WINDOW", "22:00-25:00", "OCMS_DAYEND_WINDOW must be a time of day"),
        ("OCMS_LOG_FORMAT", "xml", "OCMS_LOG_FORMAT must be 'json' or 'console'"),
    ],
)
def test_an_invalid_value_is_reported_in_one_line_that_names_it(monkeypatch, name, value, text):
    monkeypatch.setenv(name, value)
    with pytest.raises(OperatorError) as raised:
        load_settings()
    assert str(raised.value).startswith(text)
    assert "\n" not in str(raised.value)
    assert "s3cret" not in str(raised.value)


HOSTS = [
    "cas..gov.sg",
    ".",
    "..",
    ".cas.gov.sg",
    "cas.gov.sg..",
    "a" * 64 + ".gov.sg",
    "127.0.0.256:9",
    "[v1.x]",
    "[::1",
    "[::g]",
    "${CAS}",
    "cas example",
    "<cas>",
    "cas.gov\\x",
    "cas,gov",
    "cas*",
    "cas%2egov",
    "cas|gov",
    '"cas"',
    "cas;gov",
    "\u2603.test",
    "",
    ":443",
    "cas:0",
    "cas:99999",
    "cas:port",
]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_address_that_no_client_could_call_is_refused_at_the_start(monkeypatch, host, scheme):
    monkeypatch.setenv("OCMS_CAS_URL", f"{scheme}://{host}")
    with pytest.raises(OperatorError, match=r"^OCMS_CAS_URL must be a web address such as [^\n]*$"):
        load_settings()
    monkeypatch.setenv("OCMS_CAS_URL", f"{scheme}://{host}/path")
    with pytest.raises(OperatorError, match=r"^OCMS_CAS_URL must be a web address such as [^\n]*$"):
        load_settings()


@pytest.mark.parametrize("host", HOSTS)
def test_an_address_of_the_keys_that_no_client_could_call_is_refused_at_the_start(monkeypatch, host):
    for name, value in TOKENS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OCMS_TOKEN_KEYS", f"https://{host}/keys?version=1")
    with pytest.raises(OperatorError, match=r"^OCMS_TOKEN_KEYS must be a file or an https address [^\n]*$"):
        load_settings()


@pytest.mark.parametrize(
    "host",
    [
        "cas",
        "cas.gov.sg",
        "cas.gov.sg.:443",
        "CAS-1.gov.sg",
        "mock_cas:8090",
        "127.0.0.1",
        "[::1]:8090",
        "[fe80::1%eth0]",
        "b\u00fccher.test",
        "xn--bcher-kva.test",
        "a" * 63 + ".test",
    ],
)
def test_the_usual_addresses_are_accepted(monkeypatch, host):
    for name, value in TOKENS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OCMS_CAS_URL", f"https://{host}/path/")
    monkeypatch.setenv("OCMS_TOKEN_KEYS", f"https://{host}/keys?version=1")
    settings = load_settings()
    assert (settings.cas_url, settings.token_keys) == (f"https://{host}/path", f"https://{host}/keys?version=1")


@pytest.mark.parametrize("end", ["?", "#", "/?", "?a=1", "/#", "/x#y"])
def test_an_address_to_which_no_path_can_be_added_is_refused(monkeypatch, end):
    monkeypatch.setenv("OCMS_CAS_URL", f"https://cas.test{end}")
    with pytest.raises(OperatorError, match=r"^OCMS_CAS_URL must be a web address"):
        load_settings()


TOKENS = {
    "OCMS_TOKEN_KEYS": "jwks.json",
    "OCMS_TOKEN_ISSUER": "https://issuer.test/",
    "OCMS_TOKEN_AUDIENCE": "api://ocms",
    "OCMS_TOKEN_CALLERS": "CAS:client-1",
}
HTTPS = {"OCMS_CAS_URL": "https://cas.test"}
SAME = "a" * 64


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({"OCMS_TLS_KEY_FILE": "x.key"}, "OCMS_TLS_KEY_FILE has no effect without OCMS_TLS_CERT_FILE"),
        ({"OCMS_TLS_KEY_PASSWORD": "p"}, "OCMS_TLS_KEY_PASSWORD has no effect without OCMS_TLS_CERT_FILE"),
        (
            {"OCMS_CAS_CLIENT_KEY_FILE": "x.key"} | HTTPS,
            "OCMS_CAS_CLIENT_KEY_FILE has no effect without OCMS_CAS_CLIENT_CERT_FILE",
        ),
        (
            {"OCMS_CAS_CLIENT_KEY_PASSWORD": "p"} | HTTPS,
            "OCMS_CAS_CLIENT_KEY_PASSWORD has no effect without OCMS_CAS_CLIENT_CERT_FILE",
        ),
        ({"OCMS_CAS_CA_FILE": "ca.pem"}, "OCMS_CAS_CA_FILE has no effect without TLS: OCMS_CAS_URL must begin"),
        ({"OCMS_CAS_CLIENT_CERT_FILE": "x.pem"}, "OCMS_CAS_CLIENT_CERT_FILE has no effect without TLS"),
        *(
            ({name: value}, f"{name} has no effect without OCMS_TOKEN_KEYS")
            for name, value in (TOKENS | {"OCMS_TOKEN_CLAIM": "azp", "OCMS_TOKEN_MAX_LIFETIME": "60"}).items()
            if name != "OCMS_TOKEN_KEYS"
        ),
        *(
            (
                {other: value for other, value in TOKENS.items() if other != name},
                f"{name} is missing: set it, since OCMS_TOKEN_KEYS is set",
            )
            for name in TOKENS
            if name != "OCMS_TOKEN_KEYS"
        ),
        ({"OCMS_API_KEYS": f"CAS:{SAME},PLUS:{SAME}"}, "OCMS_API_KEYS has the same hash twice"),
        ({"OCMS_API_KEYS": f"CAS:{SAME},CAS:{SAME}:2099-01-01"}, "OCMS_API_KEYS has the same hash twice"),
        ({"OCMS_KEEP_ALIVE": "0"}, "OCMS_KEEP_ALIVE must be greater than 0"),
        ({"OCMS_TOKEN_MAX_LIFETIME": "0"}, "OCMS_TOKEN_MAX_LIFETIME must be greater than or equal to 1"),
    ],
)
def test_half_a_setting_an_empty_one_and_one_without_effect_are_refused_in_one_line(monkeypatch, variables, text):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OperatorError) as raised:
        load_settings()
    assert str(raised.value).startswith(text)
    assert "\n" not in str(raised.value)


def test_a_whole_group_of_settings_is_accepted(monkeypatch):
    tls = {"CERT_FILE": "x.pem", "KEY_FILE": "x.key", "KEY_PASSWORD": "p"}
    groups = {f"OCMS_{group}_{name}": value for group in ("TLS", "CAS_CLIENT") for name, value in tls.items()}
    for name, value in (groups | TOKENS | HTTPS | {"OCMS_CAS_CA_FILE": "ca.pem"}).items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert (settings.tls_key_file, settings.token_audience) == ("x.key", "api://ocms")


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "console.test",
        "//console.test",
        "https://",
        "https://console.test/",
        "https://console.test/app",
        "https://console.test?",
        "https://console.test#part",
        "https://Console.test",
        "HTTPS://console.test",
        "https://console.test:443",
        "http://console.test:80",
        "https://console.test:",
        "https://console.test:99999",
        "https://console.test:port",
        "https://user@console.test",
        "https://user:word@console.test",
        "https://*.console.test",
        "https://bücher.test",
        "https://[::1",
        "https://[0:0:0:0:0:0:0:1]",
        "https://127.1",
        "ftp://console.test",
        "file://",
        "https://a.test,https://b.test",
        "https://a.test; https://b.test",
    ],
)
@pytest.mark.parametrize("before", ["", "https://good.test "])
def test_an_origin_that_no_browser_sends_is_refused(monkeypatch, origin, before):
    monkeypatch.setenv("OCMS_CORS_ORIGINS", before + origin)
    with pytest.raises(OperatorError, match=r"^OCMS_CORS_ORIGINS must be origins such as https://[^\n]*$"):
        load_settings()


def test_origins_as_browsers_send_them_are_accepted(monkeypatch):
    origins = "https://console.test http://localhost:3000 https://xn--bcher-kva.test http://[::1]:8443 http://127.0.0.1"
    monkeypatch.setenv("OCMS_CORS_ORIGINS", origins)
    assert load_settings().cors_origins == origins.split()


def test_the_settings_of_the_design_have_these_defaults():
    settings = load_settings()
    assert settings.database_url == "sqlite:///var/ocms.db"
    assert settings.vip_refresh_at == "02:00"
    assert settings.timezone == "Asia/Singapore"
    assert settings.dayend_window is None
    assert settings.vip_min_share == 0.5
    assert (settings.api_keys, settings.alert_urls, settings.log_format) == ([], [], "json")


def test_settings_come_from_the_environment_or_a_file(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("OCMS_TIMEZONE=Asia/Tokyo\nOCMS_VIP_REFRESH_AT=03:15\nPATH_OF_ANOTHER=x\n")
    monkeypatch.setenv("OCMS_VIP_REFRESH_AT", "04:30")
    monkeypatch.setenv("OCMS_DAYEND_WINDOW", "22:00-06:00")
    monkeypatch.setenv("OCMS_ALERT_URLS", "json://a/ json://b/")
    monkeypatch.setenv("OCMS_CAS_URL", "https://cas.example.gov.sg/")
    settings = load_settings()
    assert (settings.timezone, settings.vip_refresh_at) == ("Asia/Tokyo", "04:30")
    assert settings.dayend_window == (time(22), time(6))
    assert settings.alert_urls == ["json://a/", "json://b/"]
    assert settings.cas_url == "https://cas.example.gov.sg"


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("", []),
        (" , ", []),
        ("json://a/", ["json://a/"]),
        ("json://a/,json://b/", ["json://a/", "json://b/"]),
        ("json://a/, json://b/ ;xml://c/,", ["json://a/", "json://b/", "xml://c/"]),
        (
            "json://a/\nmailto://x?to=a@x.test,b@x.test json://b/",
            ["json://a/", "mailto://x?to=a@x.test,b@x.test", "json://b/"],
        ),
        ("json://a/?:link=https://x.test/", ["json://a/?:link=https://x.test/"]),
    ],
)
def test_each_alert_url_is_counted_by_itself(text, urls):
    assert load_settings(alert_urls=text).alert_urls == urls


def test_the_key_of_cas_is_never_shown(monkeypatch):
    monkeypatch.setenv("OCMS_CAS_API_KEY", "top-secret")
    assert "top-secret" not in repr(load_settings())


def test_each_setting_says_what_it_is():
    body = ast.parse(inspect.getsource(Settings)).body[0].body
    for field, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign):
            assert isinstance(after, ast.Expr), f"{field.target.id} has no description"
