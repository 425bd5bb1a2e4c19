"""The commands, as others script against them: real processes, their output and exit codes."""

import json
import os
import signal
import socket
import time

import httpx2
import pytest
import trustme
import typer
import yaml
from fixtures.commands import free_port, wait_for
from fixtures.refreshing import ListOfBytes

from ocms.cli import app
from ocms.keys import create_key, hash_key
from ocms.web.server import listen, serving


def assert_one_line(result, code, text):
    assert result.returncode == code, result.stderr
    assert result.stderr.startswith("ocms: ")
    assert result.stderr.count("\n") == 1
    assert text in result.stderr


COMMANDS = [
    "demo",
    "serve",
    "mock-cas",
    "jobs run",
    "jobs loop",
    "jobs check",
    "jobs history",
    "jobs show",
    "db upgrade",
    "db check",
    "db seed",
    "dayend show",
    "dayend set",
    "spec check",
    "spec export",
    "spec verify",
    "keys create",
    "keys list",
    "keys check",
    "alerts test",
]


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_each_command_explains_itself(ocms, command):
    result = ocms(*command.split(), "--help")
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) > 5


def test_no_command_takes_a_secret_as_an_argument(ocms):
    refused = ocms("spec", "verify", "--url", "http://127.0.0.1:9", "--key", "CAS:secret")
    assert refused.returncode == 2
    assert "secret" not in refused.stderr
    group = typer.main.get_command(app)
    commands = [group, *group.commands.values()]
    commands += [command for outer in group.commands.values() for command in getattr(outer, "commands", {}).values()]
    options = {name for command in commands for parameter in command.params for name in parameter.opts}
    assert "--url" in options
    assert not [name for name in options if any(word in name for word in ("key", "secret", "password", "token"))]


def test_without_a_command_the_commands_are_listed(ocms):
    result = ocms()
    assert result.returncode == 0
    for command in COMMANDS:
        assert command.split()[0] in result.stdout


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["jobs"], "Missing command; see 'ocms jobs --help'"),
        (["serve", "--prot", "1"], "No such option: --prot"),
        (["serve", "--port", "0"], "Invalid value for '--port'"),
        (["serve", "--workers", "none"], "Invalid value for '--workers'"),
        (["jobs", "run", "nonsense"], "the job must be one of refresh-vip-vehicles"),
        (["dayend", "set", "maybe"], "the flag must be Y or N"),
        (["dayend", "set", "Y", "--date", "yesterday"], "'--date': 'yesterday' does not match the format"),
        (["keys", "create", "LTA"], "the caller must be one of CAS, PLUS"),
        (["spec", "export", "plus"], "'plus' is not one of"),
        (["mock-cas", "--fault", "fire"], "'fire' is not one of"),
    ],
)
def test_an_invalid_command_is_reported_in_one_line_with_exit_code_2(ocms, arguments, text):
    assert_one_line(ocms(*arguments), 2, text)


@pytest.mark.parametrize(
    "command", ["serve", "jobs run refresh-vip-vehicles", "jobs history", "dayend show", "db seed"]
)
def test_without_a_migrated_database_a_command_says_what_to_do(ocms, tmp_path, command):
    keys = f"CAS:{hash_key('x')}"
    result = ocms(*command.split(), OCMS_DATABASE_URL=f"sqlite:///{tmp_path}/new.db", OCMS_API_KEYS=keys)
    assert_one_line(result, 1, f"there is no database {tmp_path}/new.db: run 'ocms db upgrade' first")
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize("command", ["serve", "demo", "jobs check", "db upgrade", "db check", "db seed", "dayend show"])
def test_a_database_in_memory_is_refused_and_no_file_is_made(ocms, tmp_path, command):
    keys = f"CAS:{hash_key('x')},PLUS:{hash_key('y')}"
    variables = {"OCMS_PORT": str(free_port()), "OCMS_CAS_PORT": str(free_port())}
    before = set(tmp_path.rglob("*"))
    result = ocms(*command.split(), OCMS_DATABASE_URL="sqlite:///:memory:", OCMS_API_KEYS=keys, **variables)
    assert_one_line(result, 1, "OCMS_DATABASE_URL must name a file, such as sqlite:///var/ocms.db")
    assert set(tmp_path.rglob("*")) == before


def test_the_demo_needs_two_ports(ocms, tmp_path):
    port = str(free_port())
    url = f"sqlite:///{tmp_path}/new/ocms.db"
    result = ocms("demo", OCMS_PORT=port, OCMS_CAS_PORT=port, OCMS_DATABASE_URL=url)
    assert_one_line(result, 1, f"the API and the mock CAS cannot both use port {port}")
    assert not (tmp_path / "new").exists()


def test_the_server_does_not_start_without_keys(ocms):
    assert_one_line(ocms("serve"), 1, "OCMS_API_KEYS has no key")


def test_the_server_does_not_start_with_a_wrong_setting(ocms):
    assert_one_line(ocms("serve", OCMS_TIMEZONE="Mars"), 1, "OCMS_TIMEZONE must be a time zone")


def test_the_server_says_when_its_port_is_taken(ocms):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = ocms("serve", "--port", port, OCMS_API_KEYS=f"CAS:{hash_key('x')}")
    assert_one_line(result, 1, f"cannot listen on 127.0.0.1:{port}: Address already in use; choose another port")


def test_the_database_is_migrated_and_seeded(ocms, tmp_path):
    url = f"sqlite:///{tmp_path}/deep/new.db"
    result = ocms("db", "upgrade", OCMS_DATABASE_URL=url)
    assert (result.returncode, result.stdout) == (0, "The schema is at revision 0002.\n")
    result = ocms("db", "seed", "--notices", 30, "--vehicles", 7, OCMS_DATABASE_URL=url)
    assert (result.returncode, result.stdout) == (0, "Inserted 30 notices and 7 VIP vehicles.\n")
    assert "30/30" in result.stderr
    again = ocms("db", "seed", OCMS_DATABASE_URL=url)
    assert again.returncode == 1
    assert "sample data needs an empty database" in again.stderr
    vehicles = ocms("db", "seed", "--notices", 0, OCMS_DATABASE_URL=url)
    assert vehicles.returncode == 1


def test_the_dayend_flag_is_set_and_shown(ocms):
    result = ocms("dayend", "set", "Y", "--date", "2026-06-30")
    assert (result.returncode, result.stdout) == (0, "Day-end of 2026-06-30 is Y.\n")
    assert ocms("dayend", "set", "N").returncode == 0
    shown = ocms("dayend", "show").stdout
    assert "2026-06-30" in shown
    assert shown.splitlines()[-1].endswith(": N.")


def test_a_key_is_made_that_works(ocms):
    result = ocms("keys", "create", "PLUS")
    assert result.returncode == 0
    first, second = result.stdout.splitlines()
    assert second.split()[-1] == f"PLUS:{hash_key(first.split()[-1])}"


def test_a_key_can_have_a_last_day(ocms):
    made = ocms("keys", "create", "CAS", "--expires", "2099-12-31").stdout
    key, configured = (line.split()[-1] for line in made.splitlines())
    assert configured == f"CAS:{hash_key(key)}:2099-12-31"
    assert_one_line(ocms("keys", "create", "CAS", "--expires", "2020-01-01"), 2, "the last day is in the past")


def test_the_configured_keys_are_listed(ocms):
    keys = f"CAS:{hash_key('a')}:2099-12-31,PLUS:{hash_key('b')}:2020-01-01"
    listed = ocms("keys", "list", OCMS_API_KEYS=keys)
    assert listed.returncode == 1
    shown = [line.replace("│", " ").split() for line in listed.stdout.splitlines()]
    assert ["CAS", hash_key("a")[:8], "2099-12-31", "valid"] in shown
    assert ["PLUS", hash_key("b")[:8], "2020-01-01", "expired"] in shown
    assert listed.stdout.endswith("No valid key: PLUS.\n")
    assert hash_key("a") not in listed.stdout
    assert ocms("keys", "list", OCMS_API_KEYS=f"CAS:{hash_key('a')},PLUS:{hash_key('b')}").returncode == 0


def test_a_key_is_checked_without_being_an_argument(ocms):
    current, old = create_key(), create_key()
    keys = f"CAS:{hash_key(current)},PLUS:{hash_key(old)}:2020-01-01"
    good = ocms("keys", "check", text=f"{current}\n", OCMS_API_KEYS=keys)
    assert (good.returncode, good.stdout) == (0, f"The key of CAS, hash {hash_key(current)[:8]}…, valid for ever.\n")
    expired = ocms("keys", "check", text=f"{old}\n", OCMS_API_KEYS=keys)
    assert_one_line(expired, 1, "the key of PLUS has expired, its last day was 2020-01-01")
    other = ocms("keys", "check", text=f"{create_key()}\n", OCMS_API_KEYS=keys)
    assert_one_line(other, 1, "OCMS_API_KEYS does not have the hash of this key")


def test_a_key_that_is_too_short_to_be_random_is_refused_even_if_it_is_configured(ocms):
    short = create_key()[:-1]
    result = ocms("keys", "check", text=f"{short}\n", OCMS_API_KEYS=f"CAS:{hash_key(short)}")
    assert_one_line(result, 1, "the key is too short to be safe: make one with 'ocms keys create CALLER'")


def test_the_contracts_are_checked(ocms):
    result = ocms("spec", "check")
    assert (result.returncode, result.stdout) == (0, "Both contracts are valid, and so are their examples.\n")


@pytest.mark.parametrize("contract", ["ocms", "cas"])
def test_a_contract_is_exported_the_same_in_both_formats(ocms, tmp_path, contract):
    assert ocms("spec", "export", contract, "--format", "json", "-o", tmp_path / "x.json").returncode == 0
    assert ocms("spec", "export", contract, "--format", "yaml", "-o", tmp_path / "x.yaml").returncode == 0
    written = (tmp_path / "x.yaml").read_text()
    assert yaml.safe_load(written) == json.loads((tmp_path / "x.json").read_text())
    assert "x-ocms-" not in written
    assert "&id" not in written
    assert ocms("spec", "export", contract).stdout == written


def test_an_export_that_cannot_be_written_is_reported(ocms):
    assert_one_line(ocms("spec", "export", "-o", "/nowhere/x.yaml"), 1, "cannot write /nowhere/x.yaml: No such file")


@pytest.mark.parametrize("workers", [1, 2])
def test_the_server_serves_and_stops_within_five_seconds(start, workers, database):
    port = free_port()
    process = start("serve", "--port", port, "--workers", workers, OCMS_API_KEYS=f"CAS:{hash_key('x')}")
    url = wait_for(port, process)
    response = httpx2.post(
        f"{url}/v1/getPaymentStatus", json={"notice_nos": ["X1"]}, headers={"X-API-Key": "x"}, timeout=20
    )
    assert response.json()["data"][0]["error"]["appCode"] == "OCMS-4004"
    assert "server" not in response.headers
    stopped = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=10)
    assert time.monotonic() - stopped < 5
    assert "Traceback" not in log
    assert {json.loads(line)["event"] for line in log.splitlines()} >= {"serving", "call"}


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(lambda process: os.killpg(process.pid, signal.SIGINT), id="Ctrl-C"),
        pytest.param(lambda process: process.terminate(), id="SIGTERM"),
    ],
)
def test_the_demo_runs_every_flow_and_stops_within_five_seconds(demo, ocms, stop):
    process, port, cas_port, url, output = demo
    assert "The VIP list was replaced; it has 500 vehicles now.\nAdded: 0, removed: 0, changed: 0.\n" in output
    for shown in (f"http://127.0.0.1:{port}/docs", f"http://127.0.0.1:{cas_port}", "demo-cas-key", "demo-plus-key"):
        assert shown in output
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client:
        cas, plus = {"X-API-Key": "demo-cas-key"}, {"X-API-Key": "demo-plus-key"}
        asked = {"notice_nos": ["541000003F"]}
        assert client.post("/v1/getPaymentStatus", json=asked, headers=cas).json()["data"][0]["emcons_flag"] == "Y"
        assert client.post("/v1/getNoticeUpdate", json=asked, headers=plus).json()["total"] == 1
        batch = [{"notice_no": "541000003F", "atoms_flag": "Y"}]
        assert client.post("/v1/updateCourtNotices", json=batch, headers=cas).status_code == 200
    stopped = time.monotonic()
    stop(process)
    _, log = process.communicate(timeout=10)
    assert time.monotonic() - stopped < 5
    assert process.returncode == 0
    assert "Traceback" not in log
    for freed in (port, cas_port):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", freed)) != 0
    assert "succeeded" in ocms("jobs", "history", OCMS_DATABASE_URL=url).stdout


def test_the_demo_says_when_a_part_of_it_cannot_start(start, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start(
            "demo", "--port", port, "--cas-port", free_port(), OCMS_DATABASE_URL=f"sqlite:///{tmp_path}/d.db"
        )
        _, log = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in log
    assert "Traceback" not in log


def test_a_test_alert_arrives_or_the_command_says_why_not(ocms, webhook):
    done = ocms("alerts", "test", OCMS_ALERT_URLS=webhook.url)
    assert (done.returncode, done.stdout) == (0, "1 channels accepted the alert.\n")
    assert [alert["title"] for alert in webhook.alerts] == ["OCMS: a test alert"]
    assert_one_line(ocms("alerts", "test"), 1, "OCMS_ALERT_URLS has no URL")
    broken = ocms("alerts", "test", OCMS_ALERT_URLS=f"{webhook.url} json://127.0.0.1:9/")
    assert broken.returncode == 1
    assert "not every channel accepted the alert" in broken.stderr
    assert '"channel":2' in broken.stderr


@pytest.mark.parametrize("folder", ["", "none/"])
def test_an_alert_over_tls_arrives_and_session_keys_are_written_nowhere(ocms, tmp_path, folder):
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "hook.pem")
    hook = ListOfBytes()
    listener = listen("127.0.0.1", 0)
    with serving(hook, listener, ssl_certfile=tmp_path / "hook.pem"):
        url = f"jsons://localhost:{listener.getsockname()[1]}/?verify=no"
        done = ocms("alerts", "test", OCMS_ALERT_URLS=url, SSLKEYLOGFILE=str(tmp_path / folder / "session-keys"))
    assert (done.returncode, hook.calls) == (0, 1), done.stderr
    assert not (tmp_path / "session-keys").exists()
