"""More load than the service can take: it responds in time to what it can, refuses the rest, and recovers."""

import json
import threading
import time

import pytest
from fixtures.effort import effort
from fixtures.open_loop import offer
from fixtures.sockets import Connection, head, request

pytestmark = pytest.mark.alone

SECONDS = effort(10, 600)
WAIT = 0.5


def sustainable_rate(replica, data, seconds=3, callers=4):
    """Calls per second of a few callers, each of which sends its next call after the response."""
    counts, until = [0] * callers, time.monotonic() + seconds

    def call(number):
        with Connection(("127.0.0.1", replica.port)) as connection:
            while time.monotonic() < until:
                assert connection.send(data).response().status == 200
                counts[number] += 1

    threads = [threading.Thread(target=call, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


@pytest.mark.timeout(effort(600, 3_600))
def test_twice_the_load_it_can_take(replica, seeded):
    body = json.dumps({"notice_nos": seeded(300)}).encode()
    data, server = request(body), replica(OCMS_MAX_WAIT=str(WAIT))
    rate = sustainable_rate(server, data)
    before = server.memory()
    outcomes = offer(server.port, data, 2 * rate, SECONDS)
    p99 = sorted(outcomes[200])[int(len(outcomes[200]) * 0.99)]
    counts = ", ".join(f"{status}: {len(taken)}" for status, taken in sorted(outcomes.items()))
    print(f"{rate:.0f} calls/s sustained; of twice that {counts}; p99 of the served ones {p99:.2f} s")  # noqa: T201
    assert outcomes.keys() == {200, 503}
    assert len(outcomes[200]) > rate * SECONDS / 10
    assert p99 < WAIT + 5  # it waits, it works, and the machine does other things as well
    assert server.recovers(5)
    assert server.memory() < before + 100


def test_500_slow_callers_do_not_stop_fast_ones(replica, seeded):
    seeded(1)
    server = replica(OCMS_BODY_TIMEOUT="30")
    slow = [Connection(("127.0.0.1", server.port)) for _ in range(500)]
    for number, connection in enumerate(slow):
        connection.send(
            [b"", b"POST /v1/", head("Content-Length: 1000"), head("Content-Length: 1000") + b"{"][number % 4]
        )
    with Connection(("127.0.0.1", server.port)) as fast:
        for _ in range(100):
            for connection in slow[2:500:50]:
                connection.send(b"x")
            assert fast.send(request()).response().status == 200
    for connection in slow:
        connection.socket.close()
    assert server.recovers()
