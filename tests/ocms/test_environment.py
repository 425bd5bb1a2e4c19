"""The variables of the settings: an unknown, doubtful or unreadable one stops the start with one line."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import OperatorError
from ocms.settings import Settings, load_settings


def refusal():
    with pytest.raises(OperatorError) as raised:
        load_settings()
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("OCMS_DAYEND_WINDO", "OCMS_DAYEND_WINDOW"),
        ("OCMS_DAYENDWINDOW", "OCMS_DAYEND_WINDOW"),
        ("OCMS__PORT", "OCMS_PORT"),
        ("OCMS_API_KEY", "OCMS_API_KEYS"),
        ("OCMS_CAS_APIKEY", "OCMS_CAS_API_KEY"),
        ("OCMS_DB_URL", "OCMS_DATABASE_URL"),
        ("OCMS_TLS_CERT", "OCMS_TLS_CERT_FILE"),
        ("ocms_dayend_windo", "OCMS_DAYEND_WINDOW"),
    ],
)
def test_an_unknown_name_is_refused_and_the_nearest_setting_named(monkeypatch, tmp_path, name, nearest):
    monkeypatch.setenv(name, "22:00-23:00")
    assert refusal() == f"{name} is not a setting; the nearest setting is {nearest}"
    monkeypatch.delenv(name)
    (tmp_path / ".env").write_text(f"# settings\n\nexport {name}=22:00-23:00\n")
    assert refusal() == f"{name} in line 3 of .env is not a setting; the nearest setting is {nearest}"


@pytest.mark.parametrize("setting", Settings.model_fields)
def test_each_setting_is_the_nearest_to_its_name_without_a_letter(monkeypatch, setting):
    name = f"OCMS_{setting}".upper()
    monkeypatch.setenv(name[:-2] + name[-1], "x")
    assert refusal().endswith(f" {name}")


def test_a_value_that_follows_an_unknown_name_is_not_shown(tmp_path):
    (tmp_path / ".env").write_text("OCMS_CAS_API_KEY:top-secret==\n")
    assert "secret" not in refusal()


def test_names_of_others_and_of_the_tests_are_ignored(monkeypatch, tmp_path):
    for name in ("OCMSX_PORT", "XOCMS_PORT", "OCMS", "PORT", "port", "OCMS_NIGHTLY", "OCMS_TEST_DATABASE_URL"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("OCMS_CONTRACT_CAS_KEY", "a key for ocms spec verify")
    (tmp_path / ".env").write_text("PORT=1\nDATABASE_URL=x\nOTHER='a\nb'\n")
    assert load_settings() == load_settings(port=8080)


def test_names_of_others_that_resemble_a_setting_only_a_little_are_ignored(monkeypatch, tmp_path):
    names = ("CMS_PORT", "OCM_PORT", "OCMSX_HOME", "OCMSDB_PASSWORD", "DATABASE_URL", "API_KEYS", "TIMEZONE")
    for name in names:
        monkeypatch.setenv(name, "1")
    (tmp_path / ".env").write_text("".join(f"{name}=1\n" for name in names) + "NOTE='OCMS is\na=service'\n")
    assert load_settings() == load_settings(port=8080)


MISSPELT = [
    "OCSM_DAYEND_WINDOW",
    "OCM_DAYEND_WINDOW",
    "OMCS_DAYEND_WINDOW",
    "CMS_DAYEND_WINDOW",
    "XOCMS_DAYEND_WINDOW",
    "OCMSDAYEND_WINDOW",
    "OCMSS_DAYEND_WINDOW",
    "OC_MS_DAYEND_WINDOW",
    "_OCMS_DAYEND_WINDOW",
    "ocsm_dayend_windo",
]
ODD = [
    "\ufeffOCMS_DAYEND_WINDOW",
    "\u200bOCMS_DAYEND_WINDOW",
    "OCMS_\u200bDAYEND_WINDOW",
    "OCMS_DAYEND_WINDOW\u200b",
    "O\u0421MS_DAYEND_WINDOW",  # a Cyrillic letter that looks like C
    "OCMS-DAYEND_WINDOW",
    "OCMS.DAYEND_WINDOW",
    "OCMS-UNKNOWN",
    "$env:OCMS_DAYEND_WINDOW",
]
ODD_IN_ONE_PLACE = [" OCMS_DAYEND_WINDOW", "OCMS DAYEND_WINDOW", "OCMS_DAYEND_WINDOW "]


@pytest.mark.parametrize("setting", [name for name in Settings.model_fields if "_" in name])
@pytest.mark.parametrize("prefix", ["OCSM", "OCM", "0CMS", "OCMSS"])
def test_each_setting_with_a_misspelt_prefix_is_refused(monkeypatch, setting, prefix):
    name = f"{prefix}_{setting}".upper()
    monkeypatch.setenv(name, "x")
    assert refusal().startswith(f"{name} is not a setting; the nearest setting is OCMS_")


@pytest.mark.parametrize("name", MISSPELT)
def test_a_misspelt_name_is_refused_in_both_places(monkeypatch, tmp_path, name):
    monkeypatch.setenv(name, "22:00-02:00")
    assert refusal() == f"{name} is not a setting; the nearest setting is OCMS_DAYEND_WINDOW"
    monkeypatch.delenv(name)
    (tmp_path / ".env").write_text(f"A=1\n{name}=22:00-02:00\n")
    assert refusal() == f"{name} in line 2 of .env is not a setting; the nearest setting is OCMS_DAYEND_WINDOW"


@pytest.mark.parametrize("name", ODD + ODD_IN_ONE_PLACE)
def test_a_name_of_ours_with_a_character_that_no_setting_has_is_refused(monkeypatch, name):
    monkeypatch.setenv(name, "22:00-02:00")
    refused = refusal()
    assert refused.startswith(
        "a variable with other characters than letters, digits and '_' in its name is not a setting"
    )
    assert "OCMS_" in refused


@pytest.mark.parametrize(
    "name", [*ODD, '"OCMS_DAYEND_WINDOW"', "'\nOCMS_PORT'", "my.other", "other-name", "0CMS_PORT", "é"]
)
def test_a_line_of_the_file_whose_name_has_another_character_is_refused(tmp_path, name):
    (tmp_path / ".env").write_text(f"A=1\n{name}=22:00-02:00\n")
    refused = refusal()
    assert refused.startswith("the name in line 2 of .env must have only the letters A to Z, digits and '_'")
    assert "02:00" not in refused


@pytest.mark.parametrize(
    "line",
    [
        "OCMS_DAYEND_WINDOW=22:00-02:00",
        "  export OCMS_DAYEND_WINDOW = 22:00-02:00",
        "set OCMS_DAYEND_WINDOW=22:00-02:00",
        "$env:OCMS_DAYEND_WINDOW=22:00-02:00",
        "\ufeffOCMS_DAYEND_WINDOW=22:00-02:00",
        "'OCMS_DAYEND_WINDOW'=22:00-02:00",
        "ocms_dayend_windo=22:00-02:00",
        "OCSM_DAYEND_WINDOW=22:00-02:00",
    ],
)
@pytest.mark.parametrize(
    "around",
    [
        'NOTE="first line\n{}\nEND=done"\n',
        'NOTE="first line\r\n{}\r\n"\r\n',
        'NOTE="\n{}"\n',
        'OCMS_TLS_KEY_PASSWORD="first\n{}\n"\n',
        "NOTE=first\u2028{}\n",
        "# a comment\x0b{}\n",
        "NOTE=first\x85{}\n",
    ],
)
def test_a_value_that_swallows_a_setting_is_refused(tmp_path, around, line):
    (tmp_path / ".env").write_bytes(("\nA=1\n" + around.format(line)).encode())
    refused = refusal()
    assert refused.startswith("the value in line 3 of .env contains the setting OCMS_DAYEND_WINDOW: close its quotes")
    assert "first" not in refused


@pytest.mark.parametrize("line", ["{}={}", "export {}={}"])
@pytest.mark.parametrize(
    "value", ["1 OCMS_PORT=9001", "1; OCMS_PORT=9001", "1 && export ocms_port=9001", "1\tOCMSPORT=1"]
)
def test_a_second_setting_on_a_line_is_refused(tmp_path, line, value):
    (tmp_path / ".env").write_text(line.format("OTHER", value))
    assert refusal().startswith("the value in line 1 of .env contains the setting OCMS_PORT: ")


def test_a_value_in_single_quotes_that_swallows_a_setting_is_refused(tmp_path):
    (tmp_path / ".env").write_text("NOTE='first line\nOCMS_DAYEND_WINDOW=22:00-02:00\nEND=done'\n")
    assert refusal().startswith("the value in line 1 of .env contains the setting OCMS_DAYEND_WINDOW")


SERVICES = ["OCMS", "OCMS_CAS", "OCMS_API", "OCMS_SOMETHING_ELSE", "OCMS_PORT"]


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("host", ["10.0.0.1", "[fd00::1]"])
@pytest.mark.parametrize("protocol", ["tcp", "udp", "sctp"])
def test_what_kubernetes_sets_for_a_service_is_ignored(monkeypatch, service, host, protocol):
    link = f"{protocol}://{host}:8080"
    port = f"{service}_PORT_8080_{protocol.upper()}"
    injected = {
        f"{service}_SERVICE_HOST": host,
        f"{service}_SERVICE_PORT": "8080",
        f"{service}_SERVICE_PORT_HTTP": "8080",
        f"{service}_SERVICE_PORT_WEB_UI": "8080",
        f"{service}_PORT": link,
        port: link,
        f"{port}_PROTO": protocol,
        f"{port}_PORT": "8080",
        f"{port}_ADDR": host,
    }
    for name, value in injected.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert (settings.port, settings.cas_port) == (8080, 8090)


def test_beside_the_variables_of_a_service_a_port_of_ours_is_used(monkeypatch, tmp_path):
    monkeypatch.setenv("OCMS_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("OCMS_PORT", "9001")
    assert load_settings().port == 9001
    monkeypatch.setenv("OCMS_PORT", "tcp://10.0.0.1:8080")
    (tmp_path / ".env").write_text("OCMS_PORT=9002\n")
    assert load_settings().port == 9002


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OCMS_PORT", "tcp://10.0.0.1"),
        ("OCMS_PORT", "http://10.0.0.1:8080"),
        ("OCMS_PROT", "tcp://10.0.0.1:8080"),
        ("OCMS_CAS_URL", "tcp://10.0.0.1:8080"),
        ("OCMS_API_PORT", "8080"),
        ("OCMS_PORT_TCP", "8080"),
        ("OCMS_PORT_8080", "8080"),
    ],
)
def test_what_kubernetes_does_not_set_is_not_ignored(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert refusal().startswith(name)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("OCMS_PORT=1\n".encode("utf-16"), ".env is not in UTF-8"),
        ("OCMS_PORT=1\n".encode("utf-16-le"), ".env is not in UTF-8"),
        ("OCMS_PORT=1\n".encode("utf-32"), ".env is not in UTF-8"),
        ("# Büro\nOCMS_PORT=1\n".encode("latin-1"), ".env is not in UTF-8"),
        (b"\x00", ".env is not in UTF-8"),
        (b"\nOCMS_PORT 8080\n", "line 2 of .env is not NAME=value"),
        (b"OCMS_PORT: 8080\r\n", "line 1 of .env is not NAME=value"),
        (b"# a\r\n\r\nOCMS_PORT\r\n", "line 3 of .env is not NAME=value"),
        (b"set OCMS_PORT=1\n", "line 1 of .env is not NAME=value"),
        (b"=1\n", "line 1 of .env is not NAME=value"),
        (b"[ocms]\nOCMS_PORT=1\n", "line 1 of .env is not NAME=value"),
        (b"garbage\n", "line 1 of .env is not NAME=value"),
        (b'A=1\nOCMS_CAS_API_KEY="secret\nOCMS_PORT=1\n', "line 2 of .env is not NAME=value, or its quotes are not"),
        (b"OCMS_TOKEN_CLAIM='a\nOCMS_PORT='\n", "the value in line 1 of .env contains the setting OCMS_PORT"),
        (b"OCMS_TOKEN_CLAIM='a\nb'\n", "OCMS_TOKEN_CLAIM in line 1 of .env has a blank"),
        (b"OCMS_PORT=1\nOCMS_PORT=2\n", "OCMS_PORT in line 2 of .env is set twice"),
        (b"OCMS_PORT=1\nocms_port=1\n", "OCMS_PORT in line 2 of .env is set twice"),
        (b"OCMS_PORT=\n", "OCMS_PORT in line 1 of .env is empty"),
        (b"A=1\nOCMS_CAS_API_KEY=secret${NOT_SET_ANYWHERE}\n", "line 2 of .env refers to a variable that is not set"),
        (b"OCMS_CAS_API_KEY='${LATER}'\nLATER=1\n", "line 1 of .env refers to a variable that is not set"),
        (b"OCMS_CAS_API_KEY=${NOT_SET_ANYWHERE:-}\n", "OCMS_CAS_API_KEY in line 1 of .env is empty"),
        (b"OCMS_DATABASE_URL='\"sqlite:///x.db\"'\n", "OCMS_DATABASE_URL in line 1 of .env is in quotes"),
    ],
)
def test_a_file_that_would_be_misread_is_refused(tmp_path, content, text):
    (tmp_path / ".env").write_bytes(content)
    refused = refusal()
    assert refused.startswith(text)
    assert "secret" not in refused


PIECES = [
    "OCMS_PORT",
    "ocms_port",
    "OTHER",
    "=",
    " ",
    "\t",
    "\n",
    "\r\n",
    "\f",
    '"',
    "'",
    "#",
    "\\",
    "${",
    "}",
    ":-",
    "9001",
]
TEXTS = st.lists(st.sampled_from([*PIECES, "export ", "\ufeff", "\0", "\u2028", "é"])).map("".join)


@given(st.binary() | TEXTS.map(str.encode) | TEXTS.map(lambda text: text.encode("utf-16")))
def test_any_file_gives_settings_or_one_line(content):
    Path(".env").write_bytes(content)
    try:
        shown = f"port {load_settings().port}"
    except OperatorError as error:
        shown = str(error)
    assert len(shown.splitlines()) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfOCMS_PORT=9001\n",
        b"OCMS_PORT=9001",
        b"\r\n# a comment\r\nOCMS_PORT=9001\r\n",
        b"  export OCMS_PORT = '9001'  # a comment\n",
        b'ocms_port="9001"\n',
        b"PREFIX=90\nOCMS_PORT=${PREFIX}01\n",
        b"OTHER='env OCMS_PORT=1 ocms serve'\nANOTHER=-DOCMS_CAS_URL=x  # and OCMS_PORT=1\nOCMS_PORT=9001\n",
        b"OTHER=https://x.test/?a=1&ocms_port=2\nOCMS_PORT=9001\n",
        b"OTHER='-----BEGIN CERTIFICATE-----\nMIIBOCMS+=\n=\n'\nOCMS_PORT=9001\n",
        b"OTHER=${NOT_SET_ANYWHERE}\nOCMS_PORT=${NOT_SET_ANYWHERE:-9001}\n",
    ],
)
def test_the_usual_forms_of_the_file_are_read(tmp_path, content):
    (tmp_path / ".env").write_bytes(content)
    assert load_settings().port == 9001


def bind(path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path: path.mkdir(), ".env cannot be read: it is not a regular file"),
        (lambda path: path.symlink_to("."), ".env cannot be read: it is not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), ".env cannot be read: it is not a regular file"),
        (os.mkfifo, ".env cannot be read: it is not a regular file"),
        (bind, ".env cannot be read: it is not a regular file"),
        (lambda path: path.symlink_to("gone"), ".env cannot be read: No such file or directory"),
        (lambda path: path.symlink_to(".env"), ".env cannot be read: Too many levels of symbolic links"),
        pytest.param(
            lambda path: (path.write_text(""), path.chmod(0)),
            ".env cannot be read: Permission denied",
            marks=pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file"),
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path, make, text):
    make(tmp_path / ".env")
    assert refusal() == text


def test_without_a_file_or_with_an_empty_one_the_environment_is_used(monkeypatch, tmp_path):
    monkeypatch.setenv("OCMS_PORT", "9001")
    assert load_settings().port == 9001
    (tmp_path / ".env").symlink_to("/dev/null")
    assert load_settings().port == 9001


def test_a_name_in_two_spellings_is_refused(monkeypatch):
    monkeypatch.setenv("OCMS_PORT", "9001")
    monkeypatch.setenv("ocms_port", "9002")
    assert refusal() == "OCMS_PORT is set twice; remove one of the two"


@pytest.mark.parametrize("setting", Settings.model_fields)
@pytest.mark.parametrize("value", ["", " ", "\n"])
def test_an_empty_setting_is_refused(monkeypatch, setting, value):
    name = f"OCMS_{setting}".upper()
    monkeypatch.setenv(name, value)
    assert refusal() == f"{name} is empty; remove it, or give it a value"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OCMS_PORT", "9001\n"),
        ("OCMS_PORT", " 9001"),
        ("OCMS_PORT", '"9001"'),
        ("OCMS_PORT", "٩٠٠١"),
        ("OCMS_MAX_WAIT", "nan"),
        ("OCMS_DATABASE_URL", "sqlite:///x.db\n"),
        ("OCMS_DATABASE_URL", '"sqlite:///x.db"'),
        ("OCMS_DATABASE_URL", "sqlite:///x\u200b.db"),
        ("OCMS_DATABASE_URL", "sqlite:///x\udcff.db"),
        ("OCMS_TLS_CERT_FILE", "/etc/cert.pem\r"),
        ("OCMS_TLS_CERT_FILE", "'/etc/cert.pem'"),
        ("OCMS_TOKEN_KEYS", "/etc/keys.json\n"),
        ("OCMS_TOKEN_AUDIENCE", " ocms"),
        ("OCMS_TOKEN_CALLERS", '"CAS:cas"'),
        ("OCMS_CAS_URL", "http://cas.test\n"),
        ("OCMS_CAS_URL", "http://cas.test/#part"),
        ("OCMS_CAS_API_KEY", "'secret'"),
        ("OCMS_CAS_API_KEY", "secret\n"),
        ("OCMS_ALERT_URLS", '"json://a json://b"'),
        ("OCMS_LOG_FORMAT", "json\t"),
        ("OCMS_VALIDATE_RESPONSES", "2"),
    ],
)
def test_a_value_with_what_a_file_or_a_shell_left_in_it_is_refused(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    refused = refusal()
    assert refused.startswith(f"{name} ")
    assert "secret" not in refused


def test_the_items_of_a_list_may_stand_on_several_lines(monkeypatch):
    keys = [f"{caller}:{digit * 64}" for caller, digit in (("CAS", "0"), ("PLUS", "1"))]
    monkeypatch.setenv("OCMS_API_KEYS", "\n" + ",\n  ".join(keys) + "\n")
    monkeypatch.setenv("OCMS_CORS_ORIGINS", "https://a.test\n  https://b.test\n")
    settings = load_settings()
    assert [str(key) for key in settings.api_keys] == keys
    assert settings.cors_origins == ["https://a.test", "https://b.test"]


COMMANDS = [
    "serve",
    "demo",
    "mock-cas",
    "jobs loop",
    "jobs check",
    "db upgrade",
    "db check",
    "dayend set Y",
    "keys list",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_reads_settings_refuses_an_unknown_one_and_does_nothing(ocms, tmp_path, command):
    url = f"sqlite:///{tmp_path}/new/ocms.db"

    result = ocms(*command.split(), OCMS_DATABASE_URL=url, OCMS_DAYEND_WINDO="22:00-23:00", timeout=20)

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "ocms: OCMS_DAYEND_WINDO is not a setting; the nearest setting is OCMS_DAYEND_WINDOW\n"
    assert not (tmp_path / "new").exists()


def test_a_command_does_not_wait_for_a_pipe(ocms, tmp_path):
    os.mkfifo(tmp_path / ".env")
    result = ocms("db", "upgrade", OCMS_DATABASE_URL=f"sqlite:///{tmp_path}/new/ocms.db", timeout=20)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "ocms: .env cannot be read: it is not a regular file\n"
    assert not (tmp_path / "new").exists()


def test_a_command_prints_one_line_for_a_file_that_it_cannot_read(ocms, tmp_path):
    (tmp_path / ".env").write_bytes("OCMS_PORT=1".encode("utf-16"))
    result = ocms("db", "upgrade", OCMS_DATABASE_URL=f"sqlite:///{tmp_path}/new/ocms.db")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "ocms: .env is not in UTF-8: save it in this encoding\n"
    assert not (tmp_path / "new").exists()
