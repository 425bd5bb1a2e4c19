"""What belongs to the demo only: its keys and its database."""

import json
import re
import signal
import ssl
from contextlib import closing
from sqlite3 import connect

import httpx2
import pytest
import trustme
from fixtures.commands import free_port, wait_for

from db.demo_database import has_mark
from db.engine import connect as connect_database
from ocms.keys import DEMO_KEYS, hash_key


def one_line(done):
    assert done.returncode == 1, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("key", ["", *DEMO_KEYS.values()], ids=["empty", *DEMO_KEYS])
def test_the_server_refuses_a_key_that_everybody_knows(ocms, database, key, workers):
    port = free_port()
    keys = f"CAS:{hash_key('a')},PLUS:{hash_key(key)}:2099-12-31"
    line = one_line(ocms("serve", "--port", port, "--workers", workers, OCMS_API_KEYS=keys))
    assert line.startswith("ocms: OCMS_API_KEYS has a key of PLUS that everybody knows")
    assert "ocms keys create PLUS" in line


def test_a_key_that_everybody_knows_is_listed_as_such(ocms):
    listed = ocms("keys", "list", OCMS_API_KEYS=f"CAS:{hash_key(DEMO_KEYS['CAS'])},PLUS:{hash_key('b')}")
    assert listed.returncode == 1
    assert "known to all" in listed.stdout
    assert listed.stdout.endswith("No valid key: CAS.\n")


def snapshot(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def refused(ocms, tmp_path):
    """Run the demo on a database; it must be refused in one line and leave every file as it is."""

    def run(path):
        before = snapshot(path.parent)
        done = ocms(
            "demo", "--port", free_port(), "--cas-port", free_port(), OCMS_DATABASE_URL=f"sqlite:///{path}", timeout=30
        )
        assert snapshot(path.parent) == before
        return one_line(done)

    return run


def test_the_demo_refuses_a_database_that_it_did_not_create(ocms, refused, tmp_path):
    url = f"sqlite:///{tmp_path}/other/x.db"
    assert ocms("db", "upgrade", OCMS_DATABASE_URL=url).returncode == 0
    assert "'ocms demo' did not create" in refused(tmp_path / "other" / "x.db")
    assert ocms("db", "seed", "--notices", 5, "--vehicles", 5, OCMS_DATABASE_URL=url).returncode == 0
    line = refused(tmp_path / "other" / "x.db")
    assert "set OCMS_DATABASE_URL to a new file, or delete this one if an older demo made it" in line
    assert ocms("dayend", "show", OCMS_DATABASE_URL=url).stdout.splitlines()[-1].endswith(": not set.")


def test_the_demo_refuses_a_file_of_another_program(refused, tmp_path):
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "text").write_text("hello")
    with closing(connect(folder / "notes.db")) as other:
        other.execute("PRAGMA application_id = 7")
        other.execute("CREATE TABLE t (a)")
    (folder / "link.db").symlink_to(folder / "notes.db")
    for name in ("text", "notes.db", "link.db"):
        assert "'ocms demo' did not create" in refused(folder / name)
    (folder / "folder").mkdir()
    assert "folder: Is a directory" in refused(folder / "folder")


def stop(process):
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 0


REAL_KEYS = f"CAS:{hash_key('a' * 43)},PLUS:{hash_key('b' * 43)}"


@pytest.mark.parametrize("demo_is_running", [False, True])
def test_a_database_that_was_served_for_real_is_no_longer_the_demo_s(demo, start, ocms, demo_is_running):
    process, _, _, url, _ = demo
    if not demo_is_running:
        stop(process)
    assert ocms("dayend", "set", "N", OCMS_DATABASE_URL=url).returncode == 0
    ports = free_port(), free_port()
    for events in (["demo_database_served", "serving"], ["serving"]):
        server = start("serve", "--port", ports[0], OCMS_DATABASE_URL=url, OCMS_API_KEYS=REAL_KEYS)
        lines = [json.loads(server.stderr.readline()) for _ in events]
        assert [line["event"] for line in lines] == events
        wait_for(ports[0], server)
        if len(lines) > 1:
            assert lines[0]["level"] == "warning"
            assert lines[0]["database"] == url.removeprefix("sqlite:///")
            assert "'ocms demo' created this database and refuses it from now on" in lines[0]["reason"]
        stop(server)
    again = ocms("demo", "--port", ports[0], "--cas-port", ports[1], OCMS_DATABASE_URL=url, timeout=30)
    assert "'ocms demo' did not create" in one_line(again)
    assert ocms("dayend", "show", OCMS_DATABASE_URL=url).stdout.splitlines()[-1].endswith(": N.")
    if demo_is_running:
        assert process.poll() is None
        stop(process)
        assert ocms("db", "check", OCMS_DATABASE_URL=url).returncode == 0


def test_a_server_that_cannot_start_leaves_the_database_to_the_demo(demo, ocms):
    process, port, _, url, _ = demo
    done = ocms("serve", "--port", port, OCMS_DATABASE_URL=url, OCMS_API_KEYS=REAL_KEYS)
    assert "Address already in use" in one_line(done)
    assert has_mark(connect_database(url))
    stop(process)


def started(process):
    """Return the output of a demo that has started."""
    output = ""
    while "Ctrl-C" not in output:
        line = process.stdout.readline()
        assert line, process.communicate()
        output += line
    return output


@pytest.mark.parametrize("in_file", [True, False])
def test_the_demo_with_a_certificate_shows_addresses_that_work(start, tmp_path, in_file):
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    variables = {"OCMS_TLS_CERT_FILE": "server.pem"}
    if in_file:
        (tmp_path / ".env").write_text("OCMS_TLS_CERT_FILE=server.pem\n")
    ports = free_port(), free_port()
    process = start(
        *("demo", "--port", ports[0], "--cas-port", ports[1]),
        **{"OCMS_DATABASE_URL": f"sqlite:///{tmp_path}/demo.db", **({} if in_file else variables)},
    )
    shown = re.findall(r"(https?://\S+/docs)", started(process))
    assert shown == [f"https://127.0.0.1:{ports[0]}/docs", f"http://127.0.0.1:{ports[1]}/docs"]
    for address in shown:
        assert httpx2.get(address, verify=trust, follow_redirects=True).status_code == 200
    stop(process)


@pytest.mark.parametrize("in_file", [True, False])
@pytest.mark.parametrize("variable", ["OCMS_CAS_CA_FILE", "OCMS_CAS_CLIENT_CERT_FILE"])
def test_the_demo_refuses_settings_of_the_connection_to_a_real_cas(ocms, tmp_path, variable, in_file):
    variables = {variable: "cas.pem", "OCMS_CAS_URL": "https://cas.example.gov.sg"}
    if in_file:
        (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    database = {"OCMS_DATABASE_URL": f"sqlite:///{tmp_path}/demo.db"}
    ports = "--port", free_port(), "--cas-port", free_port()
    line = one_line(ocms("demo", *ports, timeout=30, **database, **({} if in_file else variables)))
    assert line == f"ocms: 'ocms demo' calls a mock CAS without TLS: remove {variable} from the environment and .env"
    assert not (tmp_path / "demo.db").exists()


def test_the_demo_runs_again_on_its_own_database_even_after_it_was_killed(demo, start):
    process, port, _, url, _ = demo
    batch = [{"notice_no": "541000001D", "amount_payable": 1}]
    headers = {"X-API-Key": DEMO_KEYS["CAS"]}
    assert httpx2.post(f"http://127.0.0.1:{port}/v1/updateCourtNotices", json=batch, headers=headers).status_code == 200
    process.kill()
    process.wait()
    ports = free_port(), free_port()
    again = start("demo", "--port", ports[0], "--cas-port", ports[1], OCMS_DATABASE_URL=url)
    started(again)
    asked = {"notice_nos": ["541000001D"]}
    found = httpx2.post(f"http://127.0.0.1:{ports[0]}/v1/getPaymentStatus", json=asked, headers=headers)
    assert found.json()["data"][0]["amount_payable"] == 1
    again.send_signal(signal.SIGTERM)
    again.communicate(timeout=10)
    assert again.returncode == 0
