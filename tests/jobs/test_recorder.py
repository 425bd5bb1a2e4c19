"""The record of the runs: one at a time, one for each due time."""

from datetime import timedelta

import pytest
from fixtures.recorder import BAD, DUE, GOOD, JOB, Process, fail, failing, last_run, titles

from db.job_lock import job_lock
from db.job_runs import FAILED, SUCCEEDED, Changes, finish_run, get_last_success, get_run, insert_run, list_runs
from domain.errors import JobRunningError
from jobs.recorder import JobFailedError


def test_the_record_says_how_a_run_ended_and_when_its_alert_was_sent(recorder, database, clock, succeed):
    fail(recorder, due=DUE)
    run = last_run(database)
    expected = {"outcome": "failed", "reason": "empty", "detail": "the list is empty", "due": DUE, "alerted": clock.now}
    assert run == run | expected
    fail(recorder)
    assert last_run(database)["alerted"] is None
    recorder.run(succeed)
    assert last_run(database) == last_run(database) | {"outcome": "succeeded", "reason": None, "rows": 1, "added": 1}


def test_an_unexpected_error_is_critical_and_sends_an_alert(recorder, webhook, logs, database):
    with pytest.raises(JobFailedError, match="refresh-vip-vehicles has failed: division by zero"):
        recorder.run(failing(ZeroDivisionError("division by zero")))
    (line,) = logs("job_failed")
    assert (line["level"], line["reason"]) == ("critical", "unexpected")
    assert line["exception"][0]["exc_type"] == "ZeroDivisionError"
    assert last_run(database)["reason"] == "unexpected"
    assert titles(webhook) == [BAD]


def test_a_due_time_has_one_run(new_recorder, succeed, database):
    assert new_recorder().run(succeed, due=DUE) == "done"
    for _ in range(2):
        assert new_recorder().run(succeed, due=DUE, again=True) is None
    with database.reading() as conn:
        assert len(list_runs(conn, 9)) == 1


def test_a_failed_due_time_is_tried_again_only_when_asked(new_recorder, succeed):
    fail(new_recorder(), due=DUE)
    recorder = new_recorder()
    assert recorder.run(succeed, due=DUE) is None
    assert new_recorder().run(succeed, due=DUE, again=True) == "done"


def test_a_process_that_waited_for_the_lock_sees_that_the_due_time_is_done(
    database, clock, new_recorder, succeed, webhook
):
    """Two replicas check at one moment; the second gets the lock after the first has finished."""
    other = new_recorder()

    class Late(type(database)):
        def read(self, work, *args):
            found = super().read(work, *args)
            if not self.waited:
                self.waited = True
                other.run(succeed, due=DUE)
            return found

    late = Late(database.engine, database.path)
    late.waited = False
    assert Process(late, clock, [webhook.url]).run(succeed, due=DUE) is None
    with database.reading() as conn:
        assert len(list_runs(conn, 9)) == 1


def test_a_failure_is_recorded_before_another_process_can_start(database, clock, new_recorder, succeed, webhook):
    """Otherwise the other process would find an open run that nobody holds, and would repeat it."""
    attempts = []

    def attempt():
        try:
            return new_recorder().run(succeed, due=DUE)
        except JobRunningError:
            return "locked"

    class Watched(type(database)):
        """A database on which another process tries to start at the moment when a failure is recorded."""

        def write(self, work, *args, **options):
            if work is finish_run:
                attempts.append(attempt())
            return super().write(work, *args, **options)

    fail(Process(Watched(database.engine, database.path), clock, [webhook.url]), due=DUE)
    assert attempts == ["locked"]
    assert attempt() is None, "the failure has settled the due time"
    assert last_run(database)["outcome"] == "failed"
    assert titles(webhook) == [BAD]


def test_a_run_that_finds_the_lock_taken_is_not_an_incident(new_recorder, succeed, webhook):
    other = new_recorder()

    def work(run):
        with pytest.raises(JobRunningError):
            other.run(succeed, due=DUE)
        return succeed(run)

    assert new_recorder().run(work) == "done"
    assert webhook.alerts == []


def test_a_stop_is_recorded_and_is_not_an_incident(recorder, database, webhook):
    with pytest.raises(KeyboardInterrupt):
        recorder.run(failing(KeyboardInterrupt()), due=DUE)
    assert (last_run(database)["outcome"], last_run(database)["reason"]) == ("interrupted", "stopped")
    assert webhook.alerts == []


def test_a_stop_after_the_replacement_leaves_the_record_of_its_success(recorder, database, succeed):
    def work(run):
        succeed(run)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recorder.run(work)
    assert last_run(database)["outcome"] == "succeeded"


def test_a_run_by_hand_that_was_killed_is_closed_by_the_next_look(database, new_recorder, clock):
    with database.writing() as conn:
        insert_run(conn, JOB, clock(), host="here")
    with job_lock(database, JOB):
        new_recorder().close_abandoned()
        assert last_run(database)["outcome"] == "running"
    new_recorder().close_abandoned()
    run = last_run(database)
    assert (run["outcome"], run["reason"], run["finished"]) == ("interrupted", "killed", None)


def test_a_run_that_was_killed_does_not_make_its_due_time_done(database, new_recorder, succeed, clock):
    with database.writing() as conn:
        insert_run(conn, JOB, clock(), host="here", due=DUE)
    assert new_recorder().run(succeed, due=DUE) == "done"
    with database.reading() as conn:
        assert [run["outcome"] for run in list_runs(conn, 9)] == ["succeeded", "interrupted"]


YEAR = timedelta(days=365)


@pytest.mark.parametrize("outcome", [SUCCEEDED, FAILED])
def test_a_run_in_the_future_settles_no_due_time_and_is_logged_once(
    database, recorder, new_recorder, succeed, clock, logs, outcome
):
    with database.writing() as conn:
        later = clock() + YEAR
        run_id = insert_run(conn, JOB, later, host="here", due=later)
        finish_run(conn, run_id, later, outcome, reason="empty")
    assert recorder.run(succeed, due=DUE) == "done"
    clock.move(days=1)
    assert recorder.run(succeed, due=DUE + timedelta(days=1)) == "done"
    (line,) = logs("run_in_future")
    assert (line["level"], line["run"]) == ("error", run_id)
    assert line["detail"] == f"run {run_id} does not count, because its time is in the future, 2027-06-30 22:30"
    assert new_recorder().run(succeed, due=DUE + timedelta(days=1)) is None, "the run of the present counts"


def test_a_run_that_ended_in_the_future_settles_no_due_time_either(database, recorder, succeed, clock, logs):
    with database.writing() as conn:
        finish_run(conn, insert_run(conn, JOB, clock(), host="here", due=DUE), clock() + YEAR, SUCCEEDED)
    assert recorder.run(succeed, due=DUE) == "done"
    assert len(logs("run_in_future")) == 1


@pytest.mark.parametrize("outcome", [SUCCEEDED, FAILED])
def test_a_run_in_the_future_does_not_count_when_its_time_has_come(database, clock, new_recorder, succeed, outcome):
    assert new_recorder().run(succeed, due=DUE) == "done"
    later = DUE + timedelta(days=3)
    with database.writing() as conn:
        run_id = insert_run(conn, JOB, later, host="here", due=later)
        finish_run(conn, run_id, later, outcome, reason="empty", detail="as it was", changes=Changes(5, 5, 0, 0, 0))
    assert new_recorder().run(succeed, due=DUE) is None, "a look at a due time that is done finds the record"
    before = last_run(database)
    found = {name: before[name] for name in ("outcome", "reason", "detail", "rows", "started", "finished", "due")}
    kept = {"detail": "as it was", "rows": 5, "started": later, "finished": later, "due": later}
    assert found == {"outcome": "interrupted", "reason": "clock", **kept}
    clock.move(days=3, minutes=1)
    assert database.read(get_last_success, JOB, clock()) < later
    assert new_recorder().run(succeed, due=later) == "done"


def test_no_good_news_is_sent_for_a_success_in_the_future(database, clock, new_recorder, succeed, webhook):
    """A clock is three days ahead for a moment. On the following days the job fails."""
    start = clock()
    new_recorder().run(succeed, due=DUE)
    clock.now = start + timedelta(days=3)
    new_recorder().run(succeed, due=DUE + timedelta(days=3))
    for day in (1, 2):
        clock.now = start + timedelta(days=day)
        fail(new_recorder(), due=DUE + timedelta(days=day))
    clock.now = start + timedelta(days=3, minutes=1)
    process = new_recorder()
    process.check(DUE + timedelta(days=3))
    assert GOOD not in titles(webhook)
    fail(process, due=DUE + timedelta(days=3))
    assert database.read(get_last_success, JOB, clock()) < start + timedelta(hours=1)
    process.run(succeed)
    assert titles(webhook)[-1] == GOOD


def test_a_run_by_hand_finds_a_run_in_the_future_too(database, clock, recorder, succeed):
    later = clock() + YEAR
    with database.writing() as conn:
        run_id = insert_run(conn, JOB, later, host="here")
        finish_run(conn, run_id, later, SUCCEEDED)
    recorder.run(succeed)
    assert database.read(get_run, run_id)["reason"] == "clock"


def test_a_run_in_progress_whose_start_is_in_the_future_can_still_end(database, clock, new_recorder, succeed, logs):
    """The clock returns during a run. The run holds the lock, so nothing is closed before it has ended."""

    def work(run):
        clock.move(days=-3)
        with pytest.raises(JobRunningError):
            new_recorder().run(succeed)
        assert last_run(database)["outcome"] == "running"
        return succeed(run)

    clock.move(days=3)
    recorder = new_recorder()
    assert recorder.run(work, due=DUE + timedelta(days=3)) == "done"
    assert last_run(database)["outcome"] == "succeeded"
    assert recorder.run(succeed, due=DUE) == "done", "its start is not of this day"
    with database.reading() as conn:
        assert [(run["outcome"], run["reason"]) for run in list_runs(conn, 9)] == [
            ("succeeded", None),
            ("interrupted", "clock"),
        ]
    assert len(logs("run_in_future")) == 1


def test_one_look_disowns_every_run_in_the_future_and_no_other(database, clock, recorder, succeed):
    """The last of them is disowned already, so that it must not hide the others."""
    later = [clock() + timedelta(days=days) for days in (3, 2, 1)]
    for when in (*later, clock() - timedelta(days=1)):
        with database.writing() as conn:
            finish_run(conn, insert_run(conn, JOB, when, host="here"), when, SUCCEEDED)
            finish_run(conn, insert_run(conn, "another", when, host="here"), when, SUCCEEDED)
        if when is later[0]:
            recorder.run(succeed, due=DUE)
    recorder.run(succeed, due=DUE)
    with database.reading() as conn:
        runs = list_runs(conn, 20)
    assert {run["started"] for run in runs if run["reason"] == "clock"} == set(later)
    assert {run["outcome"] for run in runs if run["reason"] != "clock"} == {"succeeded"}


def test_a_clock_that_jumps_and_returns_costs_no_run(recorder, succeed, clock, database):
    assert recorder.run(succeed, due=DUE) == "done"
    clock.move(days=365)
    assert recorder.run(succeed, due=DUE + YEAR) == "done"
    clock.move(days=-364)
    assert recorder.run(succeed, due=DUE + timedelta(days=1)) == "done"
    assert recorder.run(succeed, due=DUE + timedelta(days=1)) is None


@pytest.mark.parametrize(("ahead", "counts"), [(timedelta(minutes=5), True), (timedelta(minutes=5, seconds=1), False)])
def test_clocks_of_replicas_may_differ_by_minutes(database, recorder, succeed, clock, logs, ahead, counts):
    with database.writing() as conn:
        finish_run(conn, insert_run(conn, JOB, clock() + ahead, host="there", due=DUE), clock() + ahead, SUCCEEDED)
    assert (recorder.run(succeed, due=DUE) is None) == counts
    assert bool(logs("run_in_future")) != counts
