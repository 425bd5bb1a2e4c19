"""The limits of a worker, each as its setting says."""

import gc
import json
import re
import select
import socket
import struct
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from functools import partial
from itertools import islice
from pathlib import Path

import anyio
import pytest
from anyio.to_thread import run_sync
from fixtures.contracts import CONTRACT, each_operation, good_bytes
from fixtures.cost import MiB
from fixtures.settings import PLUS_KEY
from fixtures.sockets import BODY, request

from contract.errors import BusyError
from db import tables
from domain.errors import OperatorError
from handlers.large_calls import in_thread, run_in_turn
from ocms.app import SWITCH_SECONDS, create_app
from ocms.web.dispatcher import LARGE_AT_A_TIME
from ocms.web.limits import Gate
from ocms.web.request_state import RequestState

BATCH = b'[{"notice_no": "N1", "atoms_flag": "Y"}]'


@pytest.fixture
def held(database):
    """Hold what a batch needs for the time of a block."""
    if database.path is None:
        pytest.skip("only SQLite has one lock for all writers")
    return database.writing


@pytest.fixture
def switch_as_served():
    """Let threads take turns as in a process that only serves."""
    previous = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    yield
    sys.setswitchinterval(previous)


def memory():
    """The resident size of this process, in bytes."""
    gc.collect()
    return int(re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024


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
    connect = connect_to(max_requests=3)
    first = connect()
    with held():
        write(first)
        assert connect().send(request()).response().status == 200
    assert first.response().status == 409


def test_one_caller_leaves_room_for_the_others(callers, held, add_notice, logs):
    add_notice("N1")
    cas, plus = callers(max_requests=4, max_waiting=4, caller_share=0.5, max_wait=30)
    with ThreadPoolExecutor() as pool, held():
        batches = [
            pool.submit(cas.post, "/v1/updateCourtNotices", content=BATCH, headers={"Content-Type": "application/json"})
            for _ in range(10)
        ]  # two are served, two wait
        refused = [done.result() for done in islice(as_completed(batches), 6)]
        assert plus.call("getNoticeUpdate", {"notice_nos": ["N1"]}).status_code == 200
        assert not all(batch.done() for batch in batches)
    assert {response.status_code for response in refused} == {503}
    assert sorted(batch.result().status_code for batch in batches) == [409] * 4 + [503] * 6
    assert {line["reason"] for line in logs("call") if line["status"] == 503} == {"too many calls are waiting"}


def test_bodies_have_a_common_limit_and_each_caller_a_share_of_it(connect_to, add_notice, logs):
    add_notice("N1")
    connect = connect_to(max_received_bytes=16 * MiB, caller_share=0.5)
    body = BODY.ljust(6 * MiB)

    def begin(**to):
        return connect().send(request(body, **to)[:-1])

    pair = begin(), begin()
    answered = select.select([connection.socket for connection in pair], [], [], 20)[0]
    first, second = sorted(pair, key=lambda connection: connection.socket in answered)
    assert second.response().status == 503  # whichever came last, beyond the share of CAS
    third = begin(path="/v1/getNoticeUpdate", key=PLUS_KEY)
    assert connect().send(request(path="/v1/getNoticeUpdate", key=PLUS_KEY)).response().status == 200
    assert [c.send(body[-1:]).response().status for c in (first, third)] == [200, 200]
    assert {line["reason"] for line in logs("call") if line["status"] == 503} == {
        "too many bytes of bodies are in memory"
    }
    for ending, status in ((b"", 200), (b"x", 400), (b"", 200)):  # all is released, whatever the response is
        assert connect().send(request(BODY.ljust(8 * MiB - 1) + ending)).response().status == status


def test_the_common_limit_of_bodies_holds_for_all_callers_together(connect_to, add_notice):
    add_notice("N1")
    connect = connect_to(max_received_bytes=10 * MiB, caller_share=0.8)
    connect().send(request(BODY.ljust(6 * MiB))[:-1])
    to = {"path": "/v1/getNoticeUpdate", "key": PLUS_KEY}
    assert connect().send(request(BODY.ljust(5 * MiB), **to)).response().status == 503
    assert connect().send(request(BODY.ljust(3 * MiB), **to)).response().status == 200


def test_a_limit_without_room_for_a_body_of_the_contract_is_refused(make_settings, clock):
    with pytest.raises(OperatorError, match="OCMS_MAX_RECEIVED_BYTES must be at least 11184811"):
        create_app(make_settings(max_received_bytes=8 * MiB), clock)


def test_the_time_that_a_caller_takes_to_send_is_not_waiting(connect_to, held, add_notice):
    add_notice("N1")
    connect = connect_to(max_requests=1, max_wait=3)
    slow, batch = connect(), connect()
    slow.send(request()[:-5])
    time.sleep(3.5)
    with held():
        write(batch)
        time.sleep(0.5)
        slow.send(request()[-5:])
        time.sleep(0.5)
    assert slow.response().status == 200


@pytest.mark.alone
def test_small_calls_are_served_while_a_large_body_is_parsed(connect_to, add_notice):
    add_notice("N1")
    connect = connect_to()
    record = b'{"notice_no": "N1", "amount_payable": ' + b"1" * 4_000 + b"}"
    large = connect().send(request(b"[" + b",".join([record] * 2_000) + b"]", path="/v1/updateCourtNotices"))
    small, served = connect(), 0
    while not select.select([large.socket], [], [], 0)[0]:
        assert small.send(request()).response().status == 200
        served += 1
    assert large.response().status == 409
    assert served > 10  # on the event loop, it would be one or two


@pytest.mark.alone
def test_small_calls_are_served_beside_small_bodies_of_many_records(connect_to, add_notice, switch_as_served):
    add_notice("N1")
    connect = connect_to()
    body = b"[" + b",".join([b"{}"] * 5_000) + b"]"
    costly = [connect().send(request(body, path="/v1/updateCourtNotices")) for _ in range(24)]
    small, served = connect(), 0
    while len(select.select([connection.socket for connection in costly], [], [], 0)[0]) < len(costly):
        assert small.send(request()).response().status == 200
        served += 1
    assert served > 24  # on the event loop, at most one between two of them


@pytest.mark.alone
def test_the_large_calls_of_one_caller_do_not_delay_those_of_another(connect_to, held, add_notice):
    add_notice("N1")
    connect = connect_to()
    batch = json.dumps([{"notice_no": f"N{number}", "atoms_flag": "Y"} for number in range(1_000)]).encode()
    large = json.dumps({"notice_nos": ["N1"] * 3_000}).encode()
    with held():
        waiting = [connect().send(request(batch, path="/v1/updateCourtNotices")) for _ in range(8)]
        response = connect().send(request(large, path="/v1/getNoticeUpdate", key=PLUS_KEY)).response()
        assert response.status == 200
        assert not select.select([connection.socket for connection in waiting], [], [], 0)[0]


def test_a_large_call_that_finds_no_thread_in_time_is_503_and_nothing_of_it_runs(
    connect_to, held, after_dayend, add_notice, row_of
):
    add_notice("N1")
    connect = connect_to(request_timeout=0.5)
    others = [{"notice_no": f"X{number}", "atoms_flag": "Y"} for number in range(1_000)]
    batch = json.dumps([{"notice_no": "N1", "atoms_flag": "Y"}, *others]).encode()
    with held():
        waiting = [
            connect().send(request(json.dumps(others).encode(), path="/v1/updateCourtNotices"))
            for _ in range(LARGE_AT_A_TIME)
        ]
        assert connect().send(request(batch, path="/v1/updateCourtNotices")).response().status == 503
    assert [connection.response().status for connection in waiting] == [422] * LARGE_AT_A_TIME
    gc.collect()  # a handler that was called and never awaited would warn here
    assert row_of(tables.valid_offence_notice, "N1")["atoms_flag"] is None
    assert connect().send(request(batch, path="/v1/updateCourtNotices")).response().status == 207
    assert row_of(tables.valid_offence_notice, "N1")["atoms_flag"] == "Y"


@pytest.mark.parametrize(("abandon", "ends_in_time"), [(True, True), (False, False)])
def test_the_time_limit_of_a_large_call_abandons_a_read_and_awaits_a_write(make_settings, abandon, ends_in_time):
    async def handle():
        return await in_thread(partial(time.sleep, 1), abandon_on_cancel=abandon)

    async def serve():
        work = partial(run_sync, partial(run_in_turn, handle, threading.Lock()))
        await Gate(make_settings(request_timeout=0.2)).serve(RequestState(), work)

    with pytest.raises(BusyError) if ends_in_time else nullcontext():
        anyio.run(serve)


def test_the_body_of_a_finished_call_is_not_kept(connect_to, add_notice):
    add_notice("N1")
    connect = connect_to()
    connections = [connect() for _ in range(10)]

    def call_all():
        for connection in connections:
            assert connection.send(request(BODY.ljust(4 * MiB))).response().status == 200

    call_all()
    before = memory()
    for _ in range(3):
        call_all()
        for connection in connections:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.socket.close()  # with a reset
        connections = [connect() for _ in range(10)]
    assert memory() - before < 40 * MiB  # each round sends 40 MiB


def test_responses_that_are_not_read_count_as_bodies_in_memory(connect_to, after_dayend):
    connect = connect_to(max_received_bytes=16 * MiB, caller_share=0.5)
    record = json.dumps({name: [] for name in CONTRACT.components["schemas"]["CourtNotice"]["properties"]})
    batch = f"[{','.join([record] * 10_000)}]".encode()
    unread = connect().send(request(batch, path="/v1/updateCourtNotices"))
    select.select([unread.socket], [], [], 20)
    refused = connect().send(request(BODY.ljust(6 * MiB)))
    assert refused.response().status == 503
    assert unread.response().status == 422  # it is never refused, and complete
    assert connect().send(request(BODY.ljust(6 * MiB))).response().status == 200


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
