"""Idle connections, and the time limits that a gateway needs."""

import re
import time
from pathlib import Path

import pytest
from fixtures.commands import free_port, wait_for
from fixtures.replicas import KEYS
from fixtures.sockets import Connection, request

from ocms.settings import DEFAULTS

GATEWAY = (Path(__file__).parents[3] / "docs" / "partners" / "gateway.md").read_text()


def limit(name):
    """The seconds of a row of the gateway's limits."""
    (row,) = (line for line in GATEWAY.splitlines() if line.startswith(f"| {name} |"))
    return [int(seconds) for seconds in re.findall(r"(\d+) seconds", row)]


def test_the_gateways_time_out_is_longer_than_all_limits_of_a_call_together():
    a_write_in_progress = DEFAULTS.database_timeout
    longest = DEFAULTS.body_timeout + DEFAULTS.max_wait + DEFAULTS.request_timeout + a_write_in_progress
    assert limit("time-out to the backend")[0] > longest


def test_the_gateway_closes_idle_connections_before_the_service_does():
    gateway, ours = limit("idle connections to the backend")
    assert ours == DEFAULTS.keep_alive
    assert gateway + 10 <= ours


@pytest.mark.parametrize("first", [b"", request()], ids=["a new connection", "after a call"])
def test_an_idle_connection_stays_open_for_its_own_limit_and_not_for_that_of_a_body(connect_to, first):
    connection = connect_to(keep_alive=3, body_timeout=0.5)().send(first)
    assert not first or connection.response().status == 200
    begun = time.monotonic()
    time.sleep(2)
    assert connection.send(request()).response().status == 200
    idle = time.monotonic()
    assert connection.is_closed()
    assert 2.5 < time.monotonic() - idle < 5
    assert time.monotonic() - begun > 4.5


def test_the_served_process_uses_the_setting(start, database):
    port = free_port()
    wait_for(port, start("serve", "--port", port, OCMS_API_KEYS=KEYS, OCMS_KEEP_ALIVE="0.5"))
    with Connection(("127.0.0.1", port)) as connection:
        assert connection.send(request()).response().status == 200
        idle = time.monotonic()
        assert connection.is_closed()
        assert time.monotonic() - idle < 3


def test_by_default_a_connection_outlives_what_was_too_short_for_gateways(connect_to):
    connection = connect_to()()
    assert connection.send(request()).response().status == 200
    time.sleep(5.5)
    assert connection.send(request()).response().status == 200
