"""What can happen to a machine: the service says so, loses nothing, and goes on when it is over.

A database that is locked or gone, and a record table that is missing, are in tests/ocms and tests/handlers.
"""

import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from decimal import Decimal

import pytest
from fixtures.commands import free_port, wait_for
from fixtures.replicas import KEYS
from fixtures.settings import CAS_KEY
from fixtures.sockets import Connection, request

from db import tables
from db.dayend import set_dayend_flag
from domain.clock import business_date


def batch(numbers, amount):
    return [{"notice_no": no, "amount_payable": amount, "payment_allowance": str(amount)} for no in numbers]


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 4 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"this machine mounts no disk: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_503_and_what_was_acknowledged_stays(small_disk, database, seeded, replica, tmp_path):
    if database.path is None:
        pytest.skip("the disk of a server is its own")
    numbers = seeded(100)
    database.close()
    path = small_disk / "ocms.db"
    path.write_bytes(database.path.read_bytes())
    server, acknowledged = replica(OCMS_DATABASE_URL=f"sqlite:///{path}"), 0
    filler = small_disk / "filler"
    with server.client() as client, suppress(OSError), filler.open("wb") as file:
        assert client.post("/v1/updateCourtNotices", json=batch(numbers, 1)).status_code == 200
        while True:
            file.write(b"x" * 4096)
            file.flush()
    statuses = set()
    with server.client() as client:
        for amount in range(2, 200):
            status = client.post("/v1/updateCourtNotices", json=batch(numbers, amount)).status_code
            statuses.add(status)
            acknowledged = amount if status == 200 else acknowledged
            if status == 503:
                break
        assert status == 503
        data = client.post("/v1/getPaymentStatus", json={"notice_nos": numbers}).json()["data"]
        assert {item["amount_payable"] for item in data} == {acknowledged or 1}
        filler.unlink()
        assert client.post("/v1/updateCourtNotices", json=batch(numbers, 200)).status_code == 200
        data = client.post("/v1/getPaymentStatus", json={"notice_nos": numbers}).json()["data"]
        assert {(item["amount_payable"], item["payment_allowance_flag"]) for item in data} == {(200, "200")}
    assert statuses <= {200, 503}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_that_is_stopped_answers_each_call_that_it_has(replica, seeded, rows, workers):
    numbers, server = seeded(400), replica(workers=workers)
    responses, ready = [], threading.Barrier(21, timeout=30)

    def call(number):
        mine = numbers[number * 20 : number * 20 + 20]
        body = repr(batch(mine, number + 1)).replace("'", '"').encode()
        with Connection(("127.0.0.1", server.port)) as connection:
            assert connection.send(request()).response().status == 200  # so that it is connected
            ready.wait()
            connection.send(request(body, path="/v1/updateCourtNotices"))
            ready.wait()
            responses.append((number, mine, connection.response()))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    ready.wait()
    ready.wait()  # all have sent their calls
    server.process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join(20)
    assert server.process.wait(10) == 0
    assert len(responses) == 20
    amounts = {row["notice_no"]: row["amount_payable"] for row in rows(tables.valid_offence_notice)}
    for number, mine, response in responses:
        assert response is not None, "a call was cut"
        assert response.status in (200, 503)
        written = {amounts[no] for no in mine}
        assert written == {Decimal(number + 1)} if response.status == 200 else len(written) == 1


def test_a_log_that_nobody_reads_any_more_costs_no_call(start, database, seeded, tmp_path):
    port = free_port()
    process = start("serve", "--port", port, OCMS_API_KEYS=KEYS)
    wait_for(port, process)
    process.stderr.close()
    for _ in range(20):
        with Connection(("127.0.0.1", port)) as connection:
            for _ in range(3):
                assert connection.send(request()).response().status == 200
    assert process.poll() is None
    process.stderr = None


def test_a_clock_that_is_set_back_applies_the_day_end_of_its_own_date(callers, add_notice, database, clock):
    add_notice("N1")
    with database.writing() as conn:
        set_dayend_flag(conn, business_date(clock.now), "Y")
    cas, _ = callers()
    for moved, amount, status in (({}, 1, 200), ({"days": -1}, 2, 409), ({"days": 1, "hours": -1}, 3, 200)):
        clock.move(**moved)
        assert cas.call("updateCourtNotices", batch(["N1"], amount)).status_code == status
    assert cas.call("getPaymentStatus", {"notice_nos": ["N1"]}).json()["data"][0]["amount_payable"] == 3


def test_a_database_that_is_locked_for_longer_than_anybody_waits(replica, seeded, database, rows):
    if database.path is None:
        pytest.skip("only SQLite has one lock for all writers")
    numbers, server = seeded(5), replica()
    with server.client() as client:
        with database.writing():
            began = time.monotonic()
            assert client.post("/v1/updateCourtNotices", json=batch(numbers, 1)).status_code == 503
            assert time.monotonic() - began < 40
            assert client.post("/v1/getPaymentStatus", json={"notice_nos": numbers}).status_code == 200
        assert {row["amount_payable"] for row in rows(tables.valid_offence_notice)} == {Decimal(70)}
        assert client.post("/v1/updateCourtNotices", json=batch(numbers, 2)).status_code == 200
    assert {row["amount_payable"] for row in rows(tables.valid_offence_notice)} == {Decimal(2)}


def test_a_worker_that_is_killed_is_replaced(replica, seeded):
    seeded(1)
    server = replica(workers=2)
    workers = server.workers()
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    assert server.recovers()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with suppress(OSError), Connection(("127.0.0.1", server.port), 5) as connection:
            if all(connection.send(request(key=CAS_KEY)).response().status == 200 for _ in range(20)):
                return
    pytest.fail("the server did not recover")
