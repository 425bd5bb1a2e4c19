"""API 3 (section 1.4 of the source document), against the mock CAS on a real socket."""

import socket
import sqlite3
import subprocess
import sys
from contextlib import contextmanager, nullcontext, suppress
from datetime import date

import pytest
import stamina
from fixtures.refreshing import ListAtHand
from sqlalchemy import event, text

from db import tables
from db.dayend import set_dayend_flag
from db.job_runs import close_abandoned_runs, finish_run, insert_run, list_runs
from db.sample_data import seed_vehicles
from db.vip_vehicles import create_vip_staging, replace_vip_vehicles, stage_vip_vehicles
from domain.clock import SINGAPORE
from domain.errors import JobRunningError
from jobs.failures import RefreshError, TakenOverError
from jobs.recorder import JobFailedError, Run
from jobs.refresh_vip_vehicles import NAME, VipRefresh
from ocms.mock_cas.faults import Fault
from ocms.mock_cas.vehicles import vehicles
from ocms.scheduled_jobs import Runner

TITLE = "OCMS: the VIP vehicle list was not refreshed"


@pytest.fixture
def refresh(database, make_settings, clock, webhook):
    """Run one refresh against an address; alerts go to the web hook."""

    def run(url, *, force=False, **settings):
        settings = make_settings(cas_url=url, alert_urls=webhook.url, cas_timeout=2, cas_deadline=5, **settings)
        return Runner(database, settings, clock).run(NAME, force=force).rows

    return run


@pytest.fixture
def refresh_from(database, clock):
    """Refresh from a source of the list, as a run; `before` is called when the run has started."""

    def refresh(source, before=lambda _: None):
        run = Run(database, NAME, clock)
        with run.recorded(None):
            before(run)
            return VipRefresh(database, source, clock, min_share=0.5).refresh(run)

    return refresh


@pytest.fixture
def replace(refresh_from):
    """Refresh from a list that is at hand, in two parts."""

    def run(vehicles):
        half = len(vehicles) // 2
        return refresh_from(ListAtHand([vehicles[:half], vehicles[half:]]))

    return run


@pytest.fixture
def old_list(database, rows):
    """A list of four vehicles from the last refresh."""
    with database.writing() as conn:
        seed_vehicles(conn, vehicles(4))
    return rows(tables.vip_vehicle)


def last_run(database):
    with database.reading() as conn:
        return list_runs(conn, 1)[0]


@pytest.mark.source("1.4", "Success: the complete list is received")
@pytest.mark.source("1.4", "Success: the table is truncated")
@pytest.mark.source("1.4", "Success: the table is filled with the fresh data")
def test_the_list_is_replaced_by_the_one_of_cas(refresh, mock_cas, old_list, rows, database, clock, webhook):
    assert refresh(mock_cas(3)) == 3
    new = rows(tables.vip_vehicle)
    assert [vehicle["vip_vehicle"] for vehicle in new] == ["VIP-0000001", "VIP-0000002", "VIP-0000003"]
    assert {vehicle["cre_user_id"] for vehicle in new} == {NAME}
    assert {vehicle["cre_date"] for vehicle in new} == {clock.now.astimezone(SINGAPORE)}
    assert new[0] == new[0] | {"vehicle_no": "SCB2E", "description": "Embassy vehicle", "status": "ACTIVE"}
    run = last_run(database)
    assert run == run | {
        "job": NAME,
        "outcome": "succeeded",
        "rows_before": 4,
        "rows": 3,
        "added": 0,
        "removed": 1,
        "changed": 0,
        "started": clock.now,
        "finished": clock.now,
        "due": None,
        "reason": None,
        "host": socket.gethostname(),
    }
    assert webhook.alerts == []


def test_the_first_list_is_taken_whatever_its_size(refresh, mock_cas):
    assert refresh(mock_cas(1)) == 1


def assert_refused(refresh, url, reason, *, old_list, rows, database, webhook, logs):
    """The refresh fails for a reason that is logged, alerted and recorded, and the old list stays."""
    with pytest.raises(RefreshError, match=reason) as raised:
        refresh(url)
    assert rows(tables.vip_vehicle) == old_list
    assert [line["level"] for line in logs("job_failed")] == ["error"]
    assert [line["detail"] for line in logs("job_failed")] == [str(raised.value)]
    assert [alert["title"] for alert in webhook.alerts] == [TITLE]
    assert str(raised.value) in webhook.alerts[0]["message"]
    run = last_run(database)
    assert (run["outcome"], run["detail"], run["rows"]) == ("failed", str(raised.value), None)


@pytest.mark.source("1.4", "CAS API Unreachable")
def test_when_cas_is_unreachable_the_old_list_stays(refresh, old_list, rows, database, webhook, logs):
    closed = "http://127.0.0.1:9"
    reason = "CAS cannot be reached at http://127.0.0.1:9"
    assert_refused(refresh, closed, reason, old_list=old_list, rows=rows, database=database, webhook=webhook, logs=logs)


@pytest.mark.source("1.4", "Empty Response from CAS")
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.SLOW, "CAS did not respond within 2 seconds"),
        (Fault.HTTP_500, "CAS responded with HTTP status 500"),
        (Fault.EMPTY, "the list of CAS is empty"),
        (Fault.NOT_JSON, "the response of CAS is not JSON"),
        (Fault.INVALID, "1 of 4 records in the list of CAS do not conform to openapi/cas.yaml: /0/vehicle_no value"),
        (Fault.DUPLICATE, "the list of CAS has 1 vehicles more than once: VIP-0000001"),
        (Fault.TRUNCATED, "CAS cut its response off"),
        (Fault.HALF_CLOSED, "CAS cut its response off: the JSON text ends before the array does"),
        (Fault.SLOW_DRIP, "CAS took longer than 5 seconds in all"),
    ],
)
def test_a_bad_response_leaves_the_old_list(refresh, mock_cas, old_list, rows, database, webhook, logs, fault, reason):
    url = mock_cas(4, fault)
    assert_refused(refresh, url, reason, old_list=old_list, rows=rows, database=database, webhook=webhook, logs=logs)


def test_a_wrong_key_is_told_as_the_status_of_cas(refresh, mock_cas, old_list, rows):
    with pytest.raises(RefreshError, match="HTTP status 401"):
        refresh(mock_cas(), cas_api_key="wrong")
    assert rows(tables.vip_vehicle) == old_list


def test_a_list_that_has_shrunk_is_refused_unless_forced(refresh, mock_cas, old_list, rows, database):
    url = mock_cas(1)
    with pytest.raises(RefreshError, match="has 1 vehicles instead of 4, less than 50%"):
        refresh(url)
    assert rows(tables.vip_vehicle) == old_list
    assert refresh(url, force=True) == 1
    assert last_run(database)["outcome"] == "succeeded"


@pytest.mark.parametrize(("share", "accepted"), [(0.75, True), (0.76, False), (0, True)])
def test_the_share_that_must_remain_is_a_setting(refresh, mock_cas, old_list, rows, share, accepted):
    url = mock_cas(3)
    if accepted:
        assert refresh(url, vip_min_share=share) == 3
    else:
        with pytest.raises(RefreshError):
            refresh(url, vip_min_share=share)
        assert rows(tables.vip_vehicle) == old_list


@pytest.mark.source("1.4", "Database Failure")
def test_a_failure_of_the_database_rolls_back_and_is_critical(
    refresh, mock_cas, old_list, rows, database, webhook, logs
):
    if database.engine.dialect.name != "sqlite":
        pytest.skip("the trigger below is SQLite's")
    with database.writing() as conn:
        conn.execute(
            text(
                "CREATE TRIGGER refuse BEFORE INSERT ON ocms_vip_vehicle WHEN NEW.vip_vehicle = 'VIP-0000005' "
                "BEGIN SELECT RAISE(ABORT, 'refused'); END"
            )
        )
    with pytest.raises(JobFailedError, match="refresh-vip-vehicles has failed: refused"):
        refresh(mock_cas(6))
    assert rows(tables.vip_vehicle) == old_list
    assert [line["level"] for line in logs("job_failed")] == ["critical"]
    assert [alert["title"] for alert in webhook.alerts] == [TITLE]
    assert last_run(database)["outcome"] == "failed"


def test_a_locked_database_is_critical_as_well(refresh, mock_cas, old_list, rows, database, webhook, logs, tmp_path):
    if database.engine.dialect.name != "sqlite":
        pytest.skip("only SQLite has one lock for all writers")
    other = sqlite3.connect(tmp_path / "ocms.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JobFailedError, match="database is locked"):
        refresh(mock_cas(4))
    other.close()
    assert rows(tables.vip_vehicle) == old_list
    assert [line["level"] for line in logs("job_failed")] == ["critical"]
    assert len(webhook.alerts) == 1


def test_an_alert_that_cannot_be_sent_changes_nothing(refresh, old_list, rows, database, webhook, logs):
    webhook.url = "json://127.0.0.1:9/"
    with pytest.raises(RefreshError, match="CAS cannot be reached"):
        refresh("http://127.0.0.1:9")
    assert rows(tables.vip_vehicle) == old_list
    assert last_run(database)["outcome"] == "failed"
    assert [line["channel"] for line in logs("alert_failed")] == [1]


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


def test_a_full_disk_rolls_back_and_is_critical(refresh, mock_cas, old_list, rows, database, webhook, logs):
    """SQLite's own bound of the file's size gives the error that a full disk gives."""
    if database.engine.dialect.name != "sqlite":
        pytest.skip("only SQLite's file has a bound that a test can set")
    pages = database.read(lambda conn: conn.execute(text("PRAGMA page_count")).scalar())
    event.listen(database.engine, "connect", lambda conn, _: conn.execute(f"PRAGMA max_page_count = {pages + 20}"))
    database.engine.dispose()
    with pytest.raises(JobFailedError, match="database or disk is full"):
        refresh(mock_cas(20_000))
    assert rows(tables.vip_vehicle) == old_list
    assert [line["level"] for line in logs("job_failed")] == ["critical"]
    assert [alert["title"] for alert in webhook.alerts] == [TITLE]
    assert last_run(database)["reason"] == "database"


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
