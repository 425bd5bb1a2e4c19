"""The alerts: once per incident and once on recovery."""

import sqlite3
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from fixtures.recorder import BAD, DUE, GOOD, JOB, LATE, NOWHERE, fail, last_run, titles

from db.job_runs import FAILED, MISSED, SUCCEEDED, finish_run, insert_run, set_alerted
from jobs.failures import InvalidListError
from jobs.recorder import JobFailedError


@contextmanager
def away(database):
    """Move the file of the database away for the time of a block."""
    if database.path is None:
        pytest.skip("a server cannot be moved away by a test")
    place = database.path.with_name("away")
    database.path.rename(place)
    yield
    place.rename(database.path)


def test_an_incident_sends_one_alert_and_its_end_another(new_recorder, succeed, webhook, clock):
    for _ in range(3):
        fail(new_recorder())
        clock.move(days=1)
    assert titles(webhook) == [BAD]
    for _ in range(2):
        assert new_recorder().run(succeed) == "done"
    assert titles(webhook) == [BAD, GOOD]
    assert [alert["type"] for alert in webhook.alerts] == ["failure", "success"]
    fail(new_recorder())
    assert titles(webhook) == [BAD, GOOD, BAD]


def test_another_reason_in_an_incident_sends_another_alert(recorder, webhook):
    fail(recorder)
    fail(recorder, InvalidListError("the list is wrong"))
    fail(recorder)
    assert titles(webhook) == [BAD, BAD]
    assert "the list is wrong" in webhook.alerts[1]["message"]


def test_an_alert_says_what_happened_where_and_what_to_do(recorder, webhook, database, succeed):
    recorder.run(succeed)
    fail(recorder)
    run = last_run(database)
    assert webhook.alerts[0]["message"] == (
        "the list is empty\n\nThe list of 2026-06-30 22:30 stays in use.\n\n"
        f"Run {run['run_id']} on {run['host']}; 'ocms jobs show {run['run_id']}' shows more.\n"
        "What to do: docs/operations/vip-refresh.md, under empty"
    )
    recorder.run(succeed)
    run = last_run(database)
    assert webhook.alerts[1]["message"] == (
        "It has 1 vehicles: 1 added, 0 removed, 0 changed.\n\n"
        f"Run {run['run_id']} on {run['host']}; 'ocms jobs show {run['run_id']}' shows more."
    )


def test_an_alert_that_nobody_took_is_sent_again_by_the_next_failure(new_recorder, webhook, database):
    fail(new_recorder(NOWHERE))
    assert last_run(database)["alerted"] is None
    fail(new_recorder())
    assert titles(webhook) == [BAD]


def test_an_alert_that_nobody_took_is_sent_again_each_hour(new_recorder, webhook, database, clock, logs):
    """The network was away, with CAS and the mail server behind it."""
    process = new_recorder(NOWHERE)
    fail(process)
    for _ in range(59):
        clock.move(minutes=1)
        process.check(DUE)
    assert len(logs("alert_failed")) == 1
    clock.move(minutes=1)
    process.check(DUE)
    assert len(logs("alert_failed")) == 2
    new_recorder().check(DUE)
    assert titles(webhook) == [BAD]
    new_recorder().check(DUE)
    assert titles(webhook) == [BAD]


def test_an_end_that_no_channel_accepted_is_sent_again(new_recorder, succeed, webhook):
    fail(new_recorder())
    new_recorder(NOWHERE).run(succeed)
    assert titles(webhook) == [BAD]
    for _ in range(2):
        new_recorder().check(DUE)
    assert titles(webhook) == [BAD, GOOD]


def test_an_incident_without_an_accepted_alert_sends_none_at_its_end(new_recorder, succeed, webhook):
    fail(new_recorder(NOWHERE))
    new_recorder().run(succeed)
    assert titles(webhook) == []


def test_a_missed_run_sends_one_alert_after_25_hours(new_recorder, recorder, succeed, webhook, clock, database):
    recorder.run(succeed)
    clock.move(hours=24, minutes=59)
    recorder.check(DUE)
    assert titles(webhook) == []
    clock.move(minutes=1)
    for _ in range(3):
        new_recorder().check(DUE)
        recorder.check(DUE)
        clock.move(hours=30)
    assert titles(webhook) == [LATE]
    assert "no refresh has succeeded for 25 hours, since 2026-06-30 22:30" in webhook.alerts[0]["message"]
    run = last_run(database)
    assert (run["outcome"], run["reason"], run["due"]) == ("missed", "missed", DUE)
    new_recorder().run(succeed)
    assert titles(webhook) == [LATE, GOOD]
    clock.move(hours=26)
    recorder.check(DUE + timedelta(days=5))
    assert titles(webhook) == [LATE, GOOD, LATE]


def test_what_never_succeeded_is_missed_25_hours_after_its_first_start(new_recorder, webhook, clock):
    new_recorder().check(DUE)
    fail(new_recorder())
    clock.move(hours=25)
    new_recorder().check(DUE)
    assert titles(webhook) == [BAD, LATE]


def test_a_missed_run_is_noticed_while_a_run_holds_the_lock(new_recorder, recorder, succeed, webhook, clock):
    """A process that hangs in the middle of a refresh does not hide it; and each incident has its own."""
    for _ in range(2):
        recorder.run(succeed)

        def hang(run_id):
            clock.move(hours=26)
            new_recorder().check(DUE)
            return succeed(run_id)

        new_recorder().run(hang)
    assert titles(webhook) == [LATE, GOOD, LATE, GOOD]


def test_on_a_day_of_25_hours_the_run_in_time_is_not_missed(recorder, new_recorder, succeed, webhook, clock):
    """The clocks of Berlin go back in the night."""
    due = datetime(2026, 10, 24, 0, 0, tzinfo=UTC)
    clock.now = due
    recorder.run(succeed, due=due)
    clock.now = due = datetime(2026, 10, 25, 1, 0, tzinfo=UTC)
    new_recorder().check(due)
    clock.move(minutes=59)
    new_recorder().check(due)
    assert webhook.alerts == []
    clock.move(minutes=1)
    new_recorder().check(due)
    assert titles(webhook) == [LATE]


def test_the_day_has_no_missed_run_when_a_run_by_hand_has_succeeded(recorder, new_recorder, succeed, webhook, clock):
    recorder.run(succeed)
    clock.move(hours=20)
    new_recorder().run(succeed)
    clock.move(hours=10)
    recorder.check(DUE)
    assert webhook.alerts == []


def test_a_database_that_cannot_be_written_sends_one_alert_per_process(recorder, database, webhook, succeed, logs):
    if database.path is None:
        pytest.skip("only SQLite has one lock for all writers")
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for _ in range(2):
        with pytest.raises(JobFailedError, match="database is locked"):
            recorder.run(succeed, due=DUE)
    other.close()
    assert titles(webhook) == [BAD]
    assert {line["level"] for line in logs("job_failed")} == {"critical"}
    assert recorder.run(succeed, due=DUE) == "done"
    assert titles(webhook) == [BAD, GOOD]


def test_a_recovery_by_another_process_is_announced_by_the_process_that_sent_the_alert(
    recorder, new_recorder, database, webhook, succeed, clock
):
    """Only the process that sent the alert remembers a failure that could not be recorded."""
    with away(database):
        fail(recorder, due=DUE)
    assert new_recorder().run(succeed, due=DUE) == "done"
    assert titles(webhook) == [BAD]
    assert recorder.run(succeed, due=DUE) is None
    recorder.check(DUE)
    assert titles(webhook) == [BAD, GOOD]


def test_a_recovery_after_an_unrecorded_failure_is_sent_again_until_a_channel_accepts_it(
    recorder, new_recorder, database, webhook, succeed, clock
):
    with away(database):
        fail(recorder, due=DUE)
    webhook.status = 500
    assert recorder.run(succeed, due=DUE) == "done"
    assert titles(webhook) == [BAD, GOOD]
    webhook.status = 200
    clock.move(minutes=59)
    recorder.check(DUE)
    assert titles(webhook) == [BAD, GOOD]
    clock.move(minutes=1)
    recorder.check(DUE)
    assert titles(webhook) == [BAD, GOOD, GOOD]
    clock.move(hours=2)
    recorder.check(DUE)
    assert titles(webhook) == [BAD, GOOD, GOOD], "an accepted alert is not repeated"


def test_a_lock_that_cannot_be_made_is_a_failure_of_the_database(recorder, database, webhook, logs):
    if database.path is None:
        pytest.skip("only SQLite's lock is a file")
    database.path.with_name(f"{database.path.name}.{JOB}.lock").mkdir()
    database.path.with_name(f"{database.path.name}.{JOB}.alerts.lock").mkdir()
    recorder.check(DUE)
    assert "cannot lock" in logs("alerts_not_checked")[0]["reason"]
    with pytest.raises(JobFailedError, match=r"cannot lock .*: Is a directory"):
        recorder.run(pytest.fail, due=DUE)
    assert titles(webhook) == [BAD]


def in_the_future(database, clock, outcome, reason=None):
    """Record a run that another process made while its clock was a year ahead."""
    with database.writing() as conn:
        later = clock() + timedelta(days=365)
        run_id = insert_run(conn, JOB, later, host="there")
        finish_run(conn, run_id, later, outcome, reason=reason)
        return run_id


def test_a_success_in_the_future_does_not_hide_that_none_has_succeeded(
    recorder, new_recorder, succeed, webhook, clock, database
):
    recorder.run(succeed)
    in_the_future(database, clock, SUCCEEDED)
    clock.move(hours=25)
    new_recorder().check(DUE)
    assert titles(webhook) == [LATE]
    assert "since 2026-06-30 22:30" in webhook.alerts[0]["message"]
    new_recorder().run(succeed)
    assert titles(webhook) == [LATE, GOOD]


@pytest.mark.parametrize(("outcome", "reason"), [(FAILED, "empty"), (MISSED, "missed")])
def test_an_alerted_failure_in_the_future_keeps_back_no_alert(
    recorder, new_recorder, succeed, webhook, clock, database, outcome, reason
):
    recorder.run(succeed)
    run_id = in_the_future(database, clock, outcome, reason)
    with database.writing() as conn:
        set_alerted(conn, run_id, clock() + timedelta(days=365))
    fail(new_recorder())
    clock.move(hours=25)
    new_recorder().check(DUE)
    assert titles(webhook) == [BAD, LATE]


def test_a_clock_that_jumps_and_returns_silences_no_process(recorder, succeed, webhook, clock):
    recorder.run(succeed)
    clock.move(days=365)
    recorder.check(DUE + timedelta(days=365, minutes=30))
    assert titles(webhook) == [], "the due time has just come"
    clock.move(days=-365, hours=25)
    recorder.check(DUE)
    assert titles(webhook) == [LATE]


def test_a_clock_that_jumps_and_returns_puts_off_no_repetition(recorder, new_recorder, webhook, clock):
    webhook.status = 500
    clock.move(days=365)
    fail(recorder)
    clock.move(days=-365)
    fail(new_recorder(NOWHERE))
    webhook.status = 200
    webhook.alerts.clear()
    recorder.check(DUE)
    assert titles(webhook) == [BAD]


def test_a_recovery_is_announced_though_the_clock_was_ahead_at_the_failure(
    recorder, new_recorder, database, webhook, succeed, clock
):
    with away(database):
        clock.move(days=365)
        fail(recorder, due=DUE)
        clock.move(days=-365)
    recorder.check(DUE)
    clock.move(minutes=1)
    assert recorder.run(succeed, due=DUE) == "done"
    assert titles(webhook) == [BAD, GOOD]
