"""SIGHUP: the keys and the certificate change while the server goes on."""

import json
import os
import re
import signal
import socket
import ssl
import threading
import time
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import httpx2
import pytest
import trustme
from fixtures.commands import eventually, free_port, wait_for
from fixtures.settings import CAS_KEY, PLUS_KEY

from db.dayend import set_dayend_flag
from domain.clock import business_date, utc_now
from ocms.keys import DEMO_KEYS, ApiKey, create_key, hash_key

BODY = {"notice_nos": ["N1"]}
NEW_KEY = create_key()
OLD, NEW, PLUS = (
    f"{caller}:{hash_key(key)}" for caller, key in (("CAS", CAS_KEY), ("CAS", NEW_KEY), ("PLUS", PLUS_KEY))
)


def certify(folder, authority, start=None):
    """Put a new certificate with its key into the files of the settings; returns its fingerprint."""
    issued = authority.issue_cert("localhost", not_before=start)
    issued.cert_chain_pems[0].write_to_path(folder / "server.crt")
    issued.private_key_pem.write_to_path(folder / "server.key")
    return sha256(ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())).hexdigest()


class Server:
    """A server over TLS, with its settings in a file."""

    def __init__(self, start, folder, workers):
        self.folder, self.port, self.lines = folder, free_port(), []
        self.authority = trustme.CA()
        self.fingerprint = certify(folder, self.authority)
        self.trust = ssl.create_default_context()
        self.authority.configure_trust(self.trust)
        self.configure(f"{OLD},{PLUS}")
        self.process = start("serve", "--port", self.port, "--workers", workers)
        threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True).start()
        wait_for(self.port, self.process)
        assert eventually(lambda: self.status(CAS_KEY) == 200)

    def _read(self, stream):
        with suppress(ValueError):  # it is closed with the test
            self.lines.extend(map(json.loads, stream))

    def configure(self, keys, more=""):
        tls = "OCMS_TLS_CERT_FILE=server.crt\nOCMS_TLS_KEY_FILE=server.key\n"
        (self.folder / ".env").write_text(f"{tls}OCMS_API_KEYS={keys}\n{more}")

    def reload(self, event="reloaded"):
        before = len(self.logged(event))
        self.process.send_signal(signal.SIGHUP)
        assert eventually(lambda: len(self.logged(event)) > before), self.lines
        return self.logged(event)[-1]

    def logged(self, event):
        return [line for line in self.lines if line["event"] == event]

    def client(self):
        return httpx2.Client(base_url=f"https://localhost:{self.port}", verify=self.trust, timeout=20)

    def status(self, key):
        with suppress(httpx2.HTTPError), self.client() as client:
            return client.post("/v1/getPaymentStatus", json=BODY, headers={"X-API-Key": key}).status_code

    def presented(self, server_name="localhost"):
        """The fingerprint of the certificate in a new handshake."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        plain = socket.create_connection(("127.0.0.1", self.port))
        with plain, context.wrap_socket(plain, server_hostname=server_name) as secure:
            return sha256(secure.getpeercert(binary_form=True)).hexdigest()

    def always(self, condition, times=8):
        """Whether it holds for so many connections, so that each of two workers was asked."""
        return all(condition() for _ in range(times))


@pytest.fixture
def server(start, database, tmp_path):
    return lambda workers=1: Server(start, tmp_path, workers)


@pytest.mark.parametrize("workers", [1, 2])
def test_keys_and_certificate_change_without_a_restart_and_the_log_says_how(server, workers):
    server = server(workers)
    with server.client() as open_before:
        headers = {"X-API-Key": CAS_KEY}
        assert open_before.post("/v1/getPaymentStatus", json=BODY, headers=headers).status_code == 200
        old = server.fingerprint
        assert server.always(lambda: server.presented() == old, 3)
        new = certify(server.folder, server.authority)
        server.configure(f"{NEW},{PLUS}")
        line = server.reload()
        assert eventually(lambda: server.status(NEW_KEY) == 200)
        assert eventually(lambda: server.always(lambda: server.status(CAS_KEY) == 401))
        assert server.always(lambda: server.status(NEW_KEY) == 200)
        assert server.always(lambda: server.presented() == new)
        assert server.always(lambda: server.presented(None) == new)
        headers["X-API-Key"] = NEW_KEY
        assert open_before.post("/v1/getPaymentStatus", json=BODY, headers=headers).status_code == 200
    assert line["keys_added"] == [f"CAS:{hash_key(NEW_KEY)[:8]}"]
    assert line["keys_removed"] == [f"CAS:{hash_key(CAS_KEY)[:8]}"]
    assert line["certificate"]["fingerprint"] == new[:16]
    assert line["certificate_before"]["fingerprint"] == old[:16]
    assert line["settings"] == ["OCMS_API_KEYS"]
    assert len(server.logged("reloaded")) == 1
    assert server.process.poll() is None
    assert hash_key(NEW_KEY) not in json.dumps(server.lines)


INVALID = {
    "no keys": (lambda server: server.configure(""), "OCMS_API_KEYS in line 3 of .env is empty"),
    "a key that has expired": (
        lambda server: server.configure(f"{NEW}:2020-01-01"),
        "OCMS_API_KEYS names only keys that have expired",
    ),
    "an unknown setting": (
        lambda server: server.configure(NEW, "OCMS_API_KEY=x\n"),
        "OCMS_API_KEY in line 4 of .env is not a setting",
    ),
    "no hash": (lambda server: server.configure("CAS:x"), "OCMS_API_KEYS must be CALLER:HASH"),
    "an unknown caller": (lambda server: server.configure(f"LTA:{'0' * 64}"), "OCMS_API_KEYS names LTA"),
    "a key of the demo": (
        lambda server: server.configure(f"CAS:{hash_key(DEMO_KEYS['CAS'])}"),
        "OCMS_API_KEYS has a key of CAS that everybody knows",
    ),
    "half a setting": (
        lambda server: server.configure(NEW, "OCMS_TOKEN_ISSUER=https://issuer.test/\n"),
        "OCMS_TOKEN_ISSUER has no effect without OCMS_TOKEN_KEYS",
    ),
    "no certificate": (
        lambda server: (server.configure(NEW), (server.folder / "server.crt").unlink()),
        "OCMS_TLS_CERT_FILE: server.crt cannot be read: No such file",
    ),
    "the key of another certificate": (
        lambda server: (
            server.configure(NEW),
            trustme.CA().issue_cert("x.test").private_key_pem.write_to_path(server.folder / "server.key"),
        ),
        "OCMS_TLS_KEY_FILE: server.key is not the key of the certificate in server.crt",
    ),
    "a certificate of the future": (
        lambda server: (server.configure(NEW), certify(server.folder, server.authority, utc_now() + timedelta(days=2))),
        "OCMS_TLS_CERT_FILE: server.crt is not valid yet, it will be from ",
    ),
    "no TLS at all": (
        lambda server: (server.folder / ".env").write_text(f"OCMS_API_KEYS={NEW}\n"),
        "TLS begins or ends with a restart only",
    ),
    "an unreadable file": (
        lambda server: (server.folder / ".env").write_bytes(b"OCMS_API_KEYS=\xff\n"),
        "",
    ),
}


@pytest.mark.parametrize("workers", [1, 2])
def test_an_invalid_setting_leaves_the_old_ones_in_force_with_one_line(server, subtests, workers):
    server = server(workers)
    for count, (name, (break_it, text)) in enumerate(INVALID.items(), 1):
        with subtests.test(name):
            break_it(server)
            line = server.reload("not_reloaded")
            assert text in line["error"]
            assert "\n" not in line["error"]
            assert line["level"] == "error"
            assert server.always(lambda: server.status(CAS_KEY) == 200, workers)
            assert server.always(lambda: server.status(NEW_KEY) == 401, workers)
            assert server.presented() == server.fingerprint
            assert len(server.logged("not_reloaded")) == count
            certify(server.folder, server.authority)
    assert not server.logged("reloaded")
    server.configure(NEW)
    server.reload()
    assert eventually(lambda: server.always(lambda: server.status(NEW_KEY) == 200))


def test_a_call_in_progress_gets_its_response(server, database, add_notice):
    add_notice("N1")
    with database.writing() as conn:
        set_dayend_flag(conn, business_date(utc_now()), "Y")
    server, done = server(), []

    def update():
        batch = [{"notice_no": "N1", "atoms_flag": "Y"}]
        with server.client() as client:
            done.append(client.post("/v1/updateCourtNotices", json=batch, headers={"X-API-Key": CAS_KEY}))

    with database.writing():  # the call waits for this lock
        call = threading.Thread(target=update)
        call.start()
        time.sleep(0.5)
        server.configure(NEW)
        server.reload()
        assert not done
    call.join(20)
    assert [response.status_code for response in done] == [200]


def test_no_call_fails_while_the_settings_are_reloaded(server):
    server, statuses, stop = server(2), [], threading.Event()

    def call():
        with server.client() as client:
            while not stop.is_set():
                sent = client.post("/v1/getPaymentStatus", json=BODY, headers={"X-API-Key": CAS_KEY})
                statuses.append(sent.status_code)

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    for extra in ("", PLUS, "", PLUS):
        server.configure(f"{OLD},{extra}")
        server.reload()
        time.sleep(0.2)
    stop.set()
    for caller in callers:
        caller.join()
    assert set(statuses) == {200}
    assert len(server.logged("reloaded")) == 4


def test_a_reload_while_the_workers_start_reaches_them(start, database, tmp_path):
    (tmp_path / ".env").write_text(f"OCMS_API_KEYS={OLD}\n")
    port = free_port()
    process = start("serve", "--port", port, "--workers", 2)
    url = wait_for(port, process)  # the parent listens before its workers have started
    (tmp_path / ".env").write_text(f"OCMS_API_KEYS={NEW}\n")
    process.send_signal(signal.SIGHUP)
    for line in process.stderr:
        if '"reloaded"' in line:
            break
    with httpx2.Client(base_url=url, timeout=20) as client:
        for key, status in ((NEW_KEY, 200), (CAS_KEY, 401)):
            for _ in range(4):
                headers = {"X-API-Key": key, "Connection": "close"}
                assert client.post("/v1/getPaymentStatus", json=BODY, headers=headers).status_code == status
    assert process.poll() is None


def test_other_settings_that_changed_are_named_since_they_need_a_restart(server):
    server = server()
    server.configure(f"{OLD},{PLUS}", "OCMS_MAX_WAIT=2\nOCMS_CAS_API_KEY=x\n")
    line = server.reload("restart_needed")
    assert line["settings"] == ["OCMS_MAX_WAIT", "OCMS_CAS_API_KEY"]
    assert server.logged("reloaded")[-1]["settings"] == []


def test_a_worker_that_is_started_after_a_reload_has_the_new_settings(server):
    server = server(2)
    server.configure(NEW)
    server.reload()
    server.configure("invalid")
    server.reload("not_reloaded")
    for child in children_of(server.process.pid):
        os.kill(child, signal.SIGKILL)
    assert eventually(lambda: server.status(NEW_KEY) == 200)
    assert server.status(CAS_KEY) == 401
    assert "Traceback" not in json.dumps(server.lines)


def children_of(pid):
    """The processes that serve, of several."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def test_a_signal_during_the_start_is_not_lost_and_ends_nothing(start, database, tmp_path):
    (tmp_path / ".env").write_text(f"OCMS_API_KEYS={ApiKey('CAS', hash_key(CAS_KEY))}\n")
    port = free_port()
    process = start("serve", "--port", port)
    status = Path(f"/proc/{process.pid}/status")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:  # it holds the signal back soon after its start
        blocked = int(re.search(r"SigBlk:\s+(\w+)", status.read_text())[1], 16)
        if blocked >> (signal.SIGHUP - 1) & 1:
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGHUP)
    wait_for(port, process)
    for line in process.stderr:
        if json.loads(line)["event"] == "reloaded":
            break
    assert process.poll() is None
