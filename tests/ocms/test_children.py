"""Processes that the service starts end with the process that started them."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx2
import pytest
from fixtures.commands import eventually, free_port
from fixtures.replicas import KEYS
from fixtures.settings import CAS_KEY

BATCH = [{"notice_no": "N1", "atoms_flag": "Y"}]


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def in_session(leader):
    """The processes of a session that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue  # it has just ended
        if int(session) == leader and state != "Z":
            found.append(int(path.parent.name))
    return found


def test_workers_end_with_their_parent_and_free_the_port(replica):
    server = replica(workers=2)
    assert len(server.workers()) == 2
    server.process.kill()
    server.process.wait()
    assert eventually(lambda: is_free(server.port))
    assert eventually(lambda: not in_session(server.process.pid))


def test_workers_that_are_still_starting_end_with_their_parent(start, database):
    port = free_port()
    process = start("serve", "--port", port, "--workers", 2, OCMS_API_KEYS=KEYS)
    assert eventually(lambda: not is_free(port), 20)
    process.kill()
    process.wait()
    assert eventually(lambda: is_free(port))
    assert eventually(lambda: not in_session(process.pid))


def test_a_call_in_progress_gets_its_response_when_the_parent_is_killed(replica, database, seeded):
    seeded(1)
    server, done = replica(workers=2), []

    def update():
        with server.client(CAS_KEY) as client:
            done.append(client.post("/v1/updateCourtNotices", json=BATCH).status_code)

    with database.writing():  # the call waits for this lock
        call = threading.Thread(target=update)
        call.start()
        time.sleep(0.5)
        server.process.kill()
        server.process.wait()
        time.sleep(0.5)
    call.join(20)
    assert done == [200]
    assert eventually(lambda: not in_session(server.process.pid))


def test_the_processes_of_the_demo_end_with_it(demo):
    process, port, cas_port, _, _ = demo
    assert len(in_session(process.pid)) >= 4
    process.kill()
    process.wait()
    assert eventually(lambda: is_free(port) and is_free(cas_port))
    assert eventually(lambda: not in_session(process.pid))


def test_a_child_that_ignores_the_signal_ends_all_the_same(tmp_path):
    child = (
        "import signal, sys, time, multiprocessing as m\n"
        "import ocms.children as c\n"
        "def work():\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    c.STOP_SECONDS = 0.5\n"
        "    c.end_with_parent()\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
        "if __name__ == '__main__':\n"
        "    p = m.get_context('spawn').Process(target=work)\n"
        "    p.start()\n"
        "    p.join()\n"
    )
    (tmp_path / "parent.py").write_text(child)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "parent.py"], stdout=subprocess.PIPE, start_new_session=True, text=True
    )
    try:
        assert process.stdout.readline() == "ready\n"
        process.kill()
        process.wait()
        assert eventually(lambda: not in_session(process.pid))
    finally:
        process.stdout.close()
        for pid in in_session(process.pid):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("workers", [1, 2])
def test_without_a_parent_that_ends_nothing_changes(replica, workers):
    server = replica(workers=workers)
    time.sleep(1)
    assert server.process.poll() is None
    with server.client() as client:
        assert client.post("/v1/getPaymentStatus", json={"notice_nos": ["N1"]}).status_code == 200
    assert httpx2.get(f"{server.url}/openapi.json").status_code == 200
