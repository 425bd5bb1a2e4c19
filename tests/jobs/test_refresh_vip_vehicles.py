"""API 3 (section 1.4 of the source document), against the mock CAS on a real socket."""

import socket
import sqlite3

import pytest
from fixtures.vip_lists import last_run
from sqlalchemy import event, text

from db import tables
from domain.clock import SINGAPORE
from jobs.failures import RefreshError
from jobs.recorder import JobFailedError
from jobs.refresh_vip_vehicles import NAME
from ocms.mock_cas.faults import Fault

TITLE = "OCMS: the VIP vehicle list was not refreshed"


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
    assert (run["outcome"], run["detail"].partition("\n")[0], run["rows"]) == ("failed", str(raised.value), None)


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
        (Fault.PARTIAL, "CAS responded with HTTP status 206, part of a list"),
        (Fault.EMPTY, "the list of CAS is empty"),
        (Fault.NOT_JSON, "the response of CAS is not JSON"),
        (Fault.INVALID, "1 of 4 records in the list of CAS do not conform to openapi/cas.yaml: /0/vehicle_no value"),
        (Fault.DUPLICATE, "the list of CAS has 1 vehicles more than once$"),
        (Fault.TRUNCATED, "CAS cut its response off"),
        (Fault.HALF_CLOSED, "CAS cut its response off: the JSON text ends before the array does"),
        (Fault.SLOW_DRIP, "CAS took longer than 5 seconds in all"),
    ],
)
def test_a_bad_response_leaves_the_old_list(refresh, mock_cas, old_list, rows, database, webhook, logs, fault, reason):
    url = mock_cas(4, fault)
    assert_refused(refresh, url, reason, old_list=old_list, rows=rows, database=database, webhook=webhook, logs=logs)


def test_a_wrong_key_is_reported_as_the_status_of_cas(refresh, mock_cas, old_list, rows):
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
