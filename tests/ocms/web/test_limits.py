"""The limits of a worker, each as its setting says."""

import threading
import time

import pytest
from fixtures.contracts import each_operation, good_bytes
from fixtures.sockets import request

BATCH = b'[{"notice_no": "N1", "atoms_flag": "Y"}]'


@pytest.fixture
def held(database):
    """Hold what a batch needs for the time of a block."""
    if database.path is None:
        pytest.skip("only SQLite has one lock for all writers")
    return database.writing


def write(connection):
    return connection.send(request(BATCH, path="/v1/updateCourtNotices"))


def until_refused(connect):
    """Send calls until one is refused; returns the refusal."""
    while (response := connect().send(request()).response()).status == 200:
        pass
    return response


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"max_waiting": 0}, "too many calls are waiting"), ({"max_wait": 0.3}, "a call waited longer than 0.3 s")],
)
def test_a_call_that_finds_no_place_is_503_and_the_others_are_served(
    connect_to, held, add_notice, logs, settings, reason
):
    add_notice("N1")
    connect = connect_to(max_requests=1, **settings)
    first = connect()
    with held():
        write(first)
        refused = until_refused(connect)
        assert (refused.status, refused.code) == (503, "OCMS-5000")
        assert int(refused.headers["retry-after"]) > 0
    assert first.response().status == 409  # what the database says, now that it can
    assert connect().send(request()).response().status == 200
    assert reason in {line.get("reason") for line in logs("call")}


def test_a_read_does_not_wait_for_a_writer_unless_every_place_is_taken(connect_to, held, add_notice):
    add_notice("N1")
    connect = connect_to(max_requests=2)
    first = connect()
    with held():
        write(first)
        assert connect().send(request()).response().status == 200
    assert first.response().status == 409


def test_what_is_being_written_is_finished_before_anything_is_answered(connect_to, held, add_notice):
    add_notice("N1")
    connection = connect_to(request_timeout=0.3)()
    with held():
        write(connection)
        time.sleep(1)
    assert connection.response().status == 409  # the truth, and no time-out


@each_operation
def test_a_body_that_does_not_arrive_in_time_is_408(clients_of, operation):
    body = good_bytes(operation)

    def drip():
        yield body[:10]
        time.sleep(1.5)
        yield body[10:]

    client, _ = clients_of(operation, body_timeout=0.5)
    response = client.post(operation.path, content=drip())
    assert (response.status_code, response.headers["Connection"]) == (408, "close")
    assert response.json()["data"]["errors"] == [{"field": "", "message": "Request Timeout"}]


def test_a_caller_too_many_is_503_until_another_one_leaves(connect_to):
    connect = connect_to(max_connections=3)
    some = [connect() for _ in range(3)]
    for connection in some:
        assert connection.send(request()).response().status == 200
    one_more = connect()
    response = one_more.response()  # at once: it may never ask
    assert (response.status, response.headers["connection"]) == (503, "close")
    assert one_more.is_closed()
    for connection in some:
        connection.socket.close()
    deadline = time.monotonic() + 5
    while connect().send(request()).response().status != 200:
        assert time.monotonic() < deadline


def test_many_threads_of_callers_get_places_in_turn(connect_to, add_notice):
    add_notice("N1")
    connect = connect_to(max_requests=1, max_wait=20)
    statuses = []

    def call():
        connection = connect()
        statuses.extend(write(connection).response().status for _ in range(3))

    threads = [threading.Thread(target=call) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [409] * 60
