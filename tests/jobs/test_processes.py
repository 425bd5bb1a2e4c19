"""The jobs as real processes: killed, stopped, two at once."""

import json
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from fixtures.commands import environment
from fixtures.refreshing import refresh
from fixtures.settings import OCMS_KEY
from sqlalchemy import select

from db.job_runs import list_runs
from db.sample_data import seed_vehicles
from db.tables import vip_vehicle
from jobs.refresh_vip_vehicles import NAME
from ocms.mock_cas.faults import Fault
from ocms.mock_cas.vehicles import vehicles
from ocms.scheduled_jobs import Runner

COLUMNS = [vip_vehicle.c[name] for name in ("vip_vehicle", "vehicle_no", "description", "status")]


def content(database):
    """The list as it can be read now."""
    with database.reading() as conn:
        return [tuple(row) for row in conn.execute(select(*COLUMNS).order_by(vip_vehicle.c.vip_vehicle))]


def listed(count, day):
    """The list of CAS on a day, as it will be read."""
    return [tuple(vehicle[column.name] for column in COLUMNS) for vehicle in vehicles(count, day)]


def runs(database):
    with database.reading() as conn:
        return list_runs(conn, 100)


def wait_until(condition, seconds=20):
    for _ in range(seconds * 50):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come true in time")


def test_a_refresh_that_is_killed_leaves_the_old_list_or_the_new_one_whole(
    database, make_settings, plain_cas, forks, logs
):
    """Fifty times, each at another moment; the next start closes the record."""
    size, lists = 100_000, {}
    for day in (0, 1):
        lists[day] = listed(size, day), msgspec.json.encode(list(vehicles(size, day)))
    settings = make_settings(cas_url=plain_cas.url)
    current = 0
    plain_cas.body = lists[current][1]
    begun = time.monotonic()
    whole = forks.Process(target=refresh, args=(settings,))
    whole.start()
    whole.join()
    longest = 1.2 * (time.monotonic() - begun)
    assert content(database) == lists[current][0]
    draw, seen = random.Random(), Counter()  # of real time, so that no seed would bring a moment back
    for _ in range(50):
        target = 1 - current
        plain_cas.body = lists[target][1]
        process = forks.Process(target=refresh, args=(settings,))
        process.start()
        process.join(draw.uniform(0, longest))
        process.kill()
        process.join()
        found = content(database)
        assert found in (lists[current][0], lists[target][0])
        replaced = found == lists[target][0]
        seen[replaced] += 1
        outcomes = Counter(run["outcome"] for run in runs(database))
        assert outcomes["succeeded"] == seen[True] + 1  # the record agrees with the table
        assert outcomes["running"] <= 1
        current = target if replaced else current
    assert min(seen[True], seen[False]) > 0, seen  # it was killed before and after the replacement
    Runner(database, settings).run(NAME)
    outcomes = Counter(run["outcome"] for run in runs(database))
    assert outcomes.keys() == {"succeeded", "interrupted"}
    assert outcomes["succeeded"] == seen[True] + 2
    assert {run["detail"] for run in runs(database) if run["outcome"] == "interrupted"} == {
        "the process ended during the run; nothing was replaced"
    }


def test_readers_see_the_old_list_or_the_new_one_and_never_a_part(database, make_settings, plain_cas, forks):
    size = 30_000
    lists = [listed(size, day) for day in (0, 1)]
    settings = make_settings(cas_url=plain_cas.url)
    seen, stop = Counter(), threading.Event()

    def read():
        while not stop.is_set():
            found = content(database)
            seen[lists.index(found) if found in lists else "a part"] += 1

    with database.writing() as conn:
        seed_vehicles(conn, vehicles(size))
    reader = threading.Thread(target=read)
    reader.start()
    for day in (1, 0, 1):
        plain_cas.body = msgspec.json.encode(list(vehicles(size, day)))
        process = forks.Process(target=refresh, args=(settings,))
        process.start()
        process.join()
    stop.set()
    reader.join()
    assert seen.keys() == {0, 1}


def started_in_the_middle(start, database, mock_cas, *command):
    """A refresh process that has begun to load a list which arrives slowly."""
    url = mock_cas(500, Fault.SLOW_DRIP)
    process = start(*command, OCMS_CAS_URL=url, OCMS_CAS_API_KEY=OCMS_KEY, OCMS_ALERT_URLS="json://127.0.0.1:9/")
    wait_until(lambda: runs(database) or process.poll() is not None)
    time.sleep(0.5)  # so that a part of the list has come; what is tested holds at any moment
    return process


@pytest.mark.parametrize(
    ("command", "number", "code"),
    [
        ("jobs loop", signal.SIGTERM, 0),
        ("jobs loop", signal.SIGINT, 0),
        (f"jobs run {NAME}", signal.SIGTERM, 130),
        (f"jobs run {NAME}", signal.SIGINT, 130),
    ],
)
def test_a_refresh_that_gets_a_signal_stops_within_five_seconds(start, database, mock_cas, command, number, code):
    with database.writing() as conn:
        seed_vehicles(conn, vehicles(4))
    old = content(database)
    process = started_in_the_middle(start, database, mock_cas, *command.split())
    stopped = time.monotonic()
    process.send_signal(number)
    _, log = process.communicate(timeout=10)
    assert time.monotonic() - stopped < 5
    assert process.returncode == code, log
    assert "Traceback" not in log
    assert content(database) == old
    (run,) = runs(database)
    assert (run["outcome"], run["reason"], run["detail"]) == (
        "interrupted",
        "stopped",
        "stopped by a signal; nothing was replaced",
    )
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert "job_stopped" in events
    assert "alert_failed" not in events  # a stop is not an incident, so no alert is attempted


def test_a_driver_that_does_not_return_holds_up_no_stop(tmp_path):
    """Such as SQLite's while it waits for a lock: Python raises nothing until it comes back."""
    wait = (
        "import os, sqlite3, sys, threading; from ocms.cli.stopping import stop_on_signals\n"
        "stop_on_signals()\n"
        "holder, waiter = (sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None) for _ in range(2))\n"
        "holder.execute('BEGIN IMMEDIATE')\n"
        "print('waiting', flush=True)\n"
        "waiter.execute('BEGIN IMMEDIATE')"
    )
    process = subprocess.Popen([sys.executable, "-c", wait, tmp_path / "x.db"], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"waiting\n"
    time.sleep(0.5)  # it says so before it waits, and an interrupt between the two ends it otherwise
    begun = time.monotonic()
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 1
    assert 3 < time.monotonic() - begun < 6


def test_two_loops_at_once_run_a_due_job_once(start, database, plain_cas):
    plain_cas.body = msgspec.json.encode(list(vehicles(20_000)))
    environment = {"OCMS_CAS_URL": plain_cas.url, "OCMS_CAS_API_KEY": OCMS_KEY}
    loops = [start("jobs", "loop", **environment) for _ in range(2)]
    wait_until(lambda: [run["outcome"] for run in runs(database)] == ["succeeded"])
    time.sleep(2)
    assert [run["outcome"] for run in runs(database)] == ["succeeded"]
    assert plain_cas.calls == 1
    for process in loops:
        process.terminate()
        _, log = process.communicate(timeout=10)
        assert process.returncode == 0
        assert "Traceback" not in log


def test_what_a_killed_loop_leaves_is_done_by_the_next_one(start, database, mock_cas, plain_cas):
    with database.writing() as conn:
        seed_vehicles(conn, vehicles(4))
    process = started_in_the_middle(start, database, mock_cas, "jobs", "loop")
    process.kill()
    process.communicate()
    assert [run["outcome"] for run in runs(database)] == ["running"]
    plain_cas.body = msgspec.json.encode(list(vehicles(5)))
    start("jobs", "loop", OCMS_CAS_URL=plain_cas.url, OCMS_CAS_API_KEY=OCMS_KEY)
    wait_until(lambda: [run["outcome"] for run in runs(database)] == ["succeeded", "interrupted"])
    assert len({run["due"] for run in runs(database)}) == 1
    assert content(database) == listed(5, 0)


def test_the_memory_of_a_refresh_does_not_grow_with_the_list(database, database_url, plain_cas):
    """A million vehicles may need 300 MB; here it is shown that ten times the list needs hardly more."""
    peak = {}
    for size in (30_000, 300_000):
        plain_cas.body = msgspec.json.encode(list(vehicles(size)))
        variables = {"OCMS_CAS_URL": plain_cas.url, "OCMS_CAS_API_KEY": OCMS_KEY}
        command = [sys.executable, "-m", "ocms", "jobs", "run", NAME]
        process = subprocess.Popen(command, env=environment(database_url, **variables), stderr=subprocess.DEVNULL)
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            if found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text()):  # the highest so far
                peak[size] = int(found[1]) / 1024
            time.sleep(0.02)
        assert process.returncode == 0
    assert peak[300_000] < 200, peak
    assert peak[300_000] - peak[30_000] < 40, peak
