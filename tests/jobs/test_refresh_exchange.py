"""The exchange of the old VIP list for the new one: staging, one transaction, one run at a time."""

import subprocess
import sys
from contextlib import contextmanager, nullcontext, suppress
from datetime import date

import pytest
import stamina
from fixtures.refreshing import ListAtHand

from db import tables
from db.dayend import set_dayend_flag
from db.job_runs import close_abandoned_runs, finish_run, insert_run, list_runs
from db.vip_vehicles import create_vip_staging, replace_vip_vehicles, stage_vip_vehicles
from domain.errors import JobRunningError
from jobs.failures import TakenOverError
from jobs.refresh_vip_vehicles import NAME
from ocms.mock_cas.vehicles import vehicles
from ocms.scheduled_jobs import Runner


def test_readers_see_the_old_list_until_the_new_one_is_whole(old_list, database, rows, clock):
    with database.writing() as conn:
        staged = create_vip_staging(conn)
        stage_vip_vehicles(conn, staged, vehicles(12_000))
        replace_vip_vehicles(conn, staged, "test", clock())
        if conn.dialect.name == "sqlite":
            assert rows(tables.vip_vehicle) == old_list
    assert len(rows(tables.vip_vehicle)) == 12_000


def test_nobody_waits_while_the_new_list_is_loaded(database, refresh_from, rows, old_list):
    """Others read the old list and write until the short transaction at the end."""
    seen = []

    def parts():
        for start in range(0, 10_000, 2_500):
            seen.append(rows(tables.vip_vehicle))
            with database.writing() as conn:
                set_dayend_flag(conn, date(2026, 6, len(seen)), "Y")
            yield new[start : start + 2_500]

    new = list(vehicles(10_000))
    changes = refresh_from(ListAtHand(parts()))
    assert changes.rows == len(rows(tables.vip_vehicle)) == 10_000
    assert seen == [old_list] * 4


def test_it_is_counted_what_has_changed(replace, old_list):
    kept, other, remark, _ = vehicles(4)
    new = [kept, other | {"vehicle_no": other["vehicle_no"].lower()}, remark | {"description": None}]
    changes = replace([*new, {"vip_vehicle": "vip-0000001", "vehicle_no": "X", "status": "ACTIVE"}])
    assert changes == (4, 4, 1, 1, 2)
    assert replace([*new, {"vip_vehicle": "vip-0000001", "vehicle_no": "X", "status": "ACTIVE"}]) == (4, 4, 0, 0, 0)


def test_a_list_that_fails_in_the_middle_is_loaded_again_from_its_beginning(refresh_from, rows, old_list):
    class TwoAttempts:
        def attempts(self):
            yield suppress_and_yield(1 // (number - 2) and [vehicle] for number, vehicle in enumerate(vehicles(9)))
            yield nullcontext([list(vehicles(5))])

    @contextmanager
    def suppress_and_yield(parts):
        with suppress(ZeroDivisionError):
            yield parts

    assert refresh_from(TwoAttempts()).rows == 5
    assert len(rows(tables.vip_vehicle)) == 5


def test_a_run_that_another_process_has_taken_over_replaces_nothing(database, refresh_from, rows, old_list):
    def take_over(_):
        with database.writing() as conn:
            close_abandoned_runs(conn, NAME, reason="killed", detail="")

    with pytest.raises(TakenOverError):
        refresh_from(ListAtHand([list(vehicles(5))]), take_over)
    assert rows(tables.vip_vehicle) == old_list


def test_a_replacement_whose_commit_got_no_response_is_a_success(database, refresh_from, rows, clock, old_list):
    """The connection broke after the database had committed: the second attempt finds the run recorded."""

    def commit(run):
        with database.writing() as conn:
            finish_run(conn, run.run_id, clock(), "succeeded")

    changes = refresh_from(ListAtHand([list(vehicles(5))]), commit)
    assert changes.rows == len(rows(tables.vip_vehicle)) == 5


def test_a_second_refresh_does_not_start_while_one_runs(database, clock, mock_cas, make_settings, old_list, webhook):
    settings = make_settings(cas_url=mock_cas(5), alert_urls=webhook.url)
    runner, second = Runner(database, settings, clock), Runner(database, settings, clock)

    def start_another(count):
        with pytest.raises(JobRunningError, match="is running already"):
            second.run(NAME)

    assert runner.run(NAME, progress=start_another).rows == 5
    with database.reading() as conn:
        assert [run["outcome"] for run in list_runs(conn, 5)] == ["succeeded"]
    assert webhook.alerts == []


def test_the_lock_of_a_refresh_goes_with_its_holder(database, database_url, refresh, mock_cas, old_list):
    """A process that is killed in the middle of a refresh leaves no lock behind."""
    hold = (
        "import sys, time; from db.engine import connect; from db.job_lock import job_lock\n"
        f"with job_lock(connect(sys.argv[1]), '{NAME}'): print('held', flush=True); time.sleep(60)"
    )
    url = mock_cas(5)
    holder = subprocess.Popen([sys.executable, "-c", hold, database_url], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(JobRunningError):
        refresh(url)
    holder.kill()
    holder.communicate()
    for attempt in stamina.retry_context(JobRunningError, wait_initial=0.05):  # a server sees it a little later
        with attempt:
            assert refresh(url) == 5


def test_a_run_that_was_killed_is_closed_by_the_next_one(database, clock, refresh, mock_cas, old_list, logs):
    with database.writing() as conn:
        insert_run(conn, NAME, clock(), host="test")
        insert_run(conn, "another-job", clock(), host="test")
    refresh(mock_cas(5))
    with database.reading() as conn:
        runs = [(run["job"], run["outcome"], run["detail"]) for run in list_runs(conn, 5)]
    assert runs == [
        (NAME, "succeeded", ""),
        ("another-job", "running", None),
        (NAME, "interrupted", "the process ended during the run; nothing was replaced"),
    ]
    assert logs("abandoned_runs_closed")[0]["count"] == 1
