"""API 3 (section 1.4 of the source document), against the mock CAS on a real socket."""

import sqlite3
import subprocess
import sys
from datetime import date
from functools import partial

import pytest
import stamina
from sqlalchemy import text

from db import tables
from db.dayend import set_dayend_flag
from db.job_runs import insert_run, list_runs
from db.sample_data import seed_vehicles, vehicles
from db.vip_vehicles import replace_vip_vehicles, stage_vip_vehicles
from jobs.alerts import send_alert
from jobs.cas_client import fetch_vip_vehicles
from jobs.failures import RefreshError
from jobs.refresh_vip_vehicles import NAME, refresh_vip_vehicles
from ocms.contract import Contract
from ocms.errors import JobRunningError
from ocms.faults import Fault
from ocms.rules import SINGAPORE

CONTRACT = Contract.load("cas")
TITLE = "OCMS: the VIP vehicle list was not refreshed"


@pytest.fixture
def refresh(database, make_settings, clock, webhook):
    """Run one refresh against an address; alerts go to the web hook."""

    def run(url, *, force=False, **settings):
        settings = make_settings(cas_url=url, alert_urls=webhook.url, cas_timeout=2, **settings)
        fetch = partial(fetch_vip_vehicles, CONTRACT, settings)
        alert = partial(send_alert, settings.alert_urls)
        return refresh_vip_vehicles(database, fetch, alert, clock, min_share=settings.vip_min_share, force=force)

    return run


@pytest.fixture
def old_list(database, rows):
    """A list of four vehicles from the last refresh."""
    with database.writing() as conn:
        seed_vehicles(conn, 4)
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
        "rows": 3,
        "started": clock.now,
        "finished": clock.now,
    }
    assert webhook.alerts == []


def test_the_first_list_is_taken_whatever_its_size(refresh, mock_cas):
    assert refresh(mock_cas(1)) == 1


def assert_refused(refresh, url, reason, *, old_list, rows, database, webhook, logs):
    """The refresh fails for a reason that is logged, alerted and recorded, and the old list stays."""
    with pytest.raises(RefreshError, match=reason) as raised:
        refresh(url)
    assert rows(tables.vip_vehicle) == old_list
    assert [line["level"] for line in logs("vip_refresh_failed")] == ["error"]
    assert [line["reason"] for line in logs("vip_refresh_failed")] == [str(raised.value)]
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
        (Fault.SLOW, "CAS did not answer within 2 seconds"),
        (Fault.HTTP_500, "CAS answered with HTTP status 500"),
        (Fault.EMPTY, "the list of CAS is empty"),
        (Fault.NOT_JSON, "CAS answered something that is not JSON"),
        (Fault.INVALID, "1 of 4 records in the list of CAS are not as openapi/cas.yaml says: /0/vehicle_no value"),
        (Fault.DUPLICATE, "the list of CAS has 1 vehicles more than once: VIP-0000001"),
        (Fault.TRUNCATED, "CAS cut its answer off"),
    ],
)
def test_a_bad_answer_leaves_the_old_list(refresh, mock_cas, old_list, rows, database, webhook, logs, fault, reason):
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
    with pytest.raises(RefreshError, match="the VIP list was not replaced: refused"):
        refresh(mock_cas(6))
    assert rows(tables.vip_vehicle) == old_list
    assert [line["level"] for line in logs("vip_refresh_failed")] == ["critical"]
    assert [alert["title"] for alert in webhook.alerts] == [TITLE]
    assert last_run(database)["outcome"] == "failed"


def test_a_locked_database_is_critical_as_well(refresh, mock_cas, old_list, rows, database, webhook, logs, tmp_path):
    if database.engine.dialect.name != "sqlite":
        pytest.skip("only SQLite has one lock for all writers")
    other = sqlite3.connect(tmp_path / "ocms.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(RefreshError, match="database is locked"):
        refresh(mock_cas(4))
    other.close()
    assert rows(tables.vip_vehicle) == old_list
    assert [line["level"] for line in logs("vip_refresh_failed")] == ["critical"]
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
        replace_vip_vehicles(conn, stage_vip_vehicles(conn, vehicles(12_000), "test", clock()))
        if conn.dialect.name == "sqlite":
            assert rows(tables.vip_vehicle) == old_list
    assert len(rows(tables.vip_vehicle)) == 12_000


class Interrupted(list):
    """A list that calls a function in the middle of being read."""

    def __init__(self, items, interrupt):
        super().__init__(items)
        self._interrupt = interrupt

    def __iter__(self):
        for number, item in enumerate(super().__iter__()):
            if number == 5000:
                self._interrupt()
            yield item


def test_nobody_waits_while_the_new_list_is_loaded(database, rows, clock, old_list):
    """Others read the old list and write until the short transaction at the end."""
    seen = []

    def work_of_others():
        seen.append(rows(tables.vip_vehicle))
        with database.writing() as conn:
            set_dayend_flag(conn, date(2026, 6, len(seen)), "Y")

    new = Interrupted(vehicles(10_000), work_of_others)
    count = refresh_vip_vehicles(database, lambda: new, pytest.fail, clock, min_share=0.5)
    assert count == len(rows(tables.vip_vehicle)) == 10_000
    assert seen == [old_list] * len(seen)
    assert len(seen) >= 2  # once for the duplicates, once for the load


def test_a_second_refresh_does_not_start_while_one_runs(database, clock, old_list, rows, logs):
    def fetch():
        with pytest.raises(JobRunningError, match="is running already"):
            refresh_vip_vehicles(database, pytest.fail, pytest.fail, clock, min_share=0.5)
        return list(vehicles(5))

    assert refresh_vip_vehicles(database, fetch, pytest.fail, clock, min_share=0.5) == 5
    with database.reading() as conn:
        assert [run["outcome"] for run in list_runs(conn, 5)] == ["succeeded"]


def test_the_lock_of_a_refresh_goes_with_its_holder(database, database_url, clock, old_list):
    """A process that is killed in the middle of a refresh leaves no lock behind."""
    hold = (
        "import sys, time; from db.engine import connect; from db.dialect import job_lock\n"
        f"with job_lock(connect(sys.argv[1]), '{NAME}'): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", hold, database_url], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(JobRunningError):
        refresh_vip_vehicles(database, pytest.fail, pytest.fail, clock, min_share=0.5)
    holder.kill()
    holder.communicate()
    for attempt in stamina.retry_context(JobRunningError, wait_initial=0.05):  # a server sees it a little later
        with attempt:
            assert refresh_vip_vehicles(database, lambda: list(vehicles(5)), pytest.fail, clock, min_share=0.5) == 5


def test_a_run_that_was_killed_is_closed_by_the_next_one(database, clock, old_list, logs):
    with database.writing() as conn:
        insert_run(conn, NAME, clock())
        insert_run(conn, "another-job", clock())
    refresh_vip_vehicles(database, lambda: list(vehicles(5)), pytest.fail, clock, min_share=0.5)
    with database.reading() as conn:
        runs = [(run["job"], run["outcome"], run["detail"]) for run in list_runs(conn, 5)]
    assert runs == [
        (NAME, "succeeded", ""),
        ("another-job", "running", None),
        (NAME, "failed", "the process ended in the middle of it; nothing was replaced"),
    ]
    assert logs("abandoned_runs_closed")[0]["count"] == 1
