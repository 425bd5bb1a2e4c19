"""The schedule, across zones and hosts, and what it makes up for."""

import itertools
import time
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from db.job_runs import FAILED, INTERRUPTED, finish_run, insert_run, list_runs
from domain.clock import utc_now
from domain.errors import JobRunningError
from jobs.refresh_vip_vehicles import NAME
from jobs.schedule_loop import Loop
from ocms.mock_cas.faults import Fault
from ocms.scheduled_jobs import SUBJECTS, Runner, schedule_of

DAY = timedelta(days=1)


@pytest.fixture
def host_zone(monkeypatch):
    """Put the host into a time zone."""

    def move(zone):
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield move
    monkeypatch.undo()
    time.tzset()


def ignore(job, due, *, again):
    """Look at a job, and do nothing."""


def next_run(settings):
    return Loop(schedule_of(settings), ignore, utc_now).plan().next_run.astimezone(UTC)


@pytest.mark.parametrize("host", ["UTC", "Asia/Singapore", "America/New_York", "Pacific/Auckland"])
@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-06-30T17:59:00+00:00", "2026-06-30T18:00:00+00:00"),
        ("2026-06-30T18:01:00+00:00", "2026-07-01T18:00:00+00:00"),
        ("2026-12-31T20:00:00+00:00", "2027-01-01T18:00:00+00:00"),
        ("2028-02-28T18:30:00+00:00", "2028-02-29T18:00:00+00:00"),
    ],
)
def test_the_refresh_is_due_at_two_in_singapore_wherever_the_host_is(make_settings, host_zone, host, now, due):
    host_zone(host)
    with time_machine.travel(datetime.fromisoformat(now), tick=False):
        assert next_run(make_settings()) == datetime.fromisoformat(due)


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-03-28T22:00:00+00:00", "2026-03-29T03:30:00+00:00"),  # the night when the clocks of Berlin go forward
        ("2026-10-24T22:00:00+00:00", "2026-10-25T04:30:00+00:00"),  # and back
    ],
)
def test_a_zone_with_daylight_saving_keeps_its_local_time(make_settings, host_zone, now, due):
    host_zone("UTC")
    with time_machine.travel(datetime.fromisoformat(now), tick=False):
        assert next_run(make_settings(timezone="Europe/Berlin", vip_refresh_at="05:30")) == datetime.fromisoformat(due)


def run_for(loop, duration, step=timedelta(seconds=60)):
    """Run a loop through a time that flies; the clock is the one of the host, which the scheduler reads."""
    with time_machine.travel(loop.start, tick=False) as traveller:
        end = loop.start + duration

        def wait(_seconds):
            traveller.shift(step)
            return utc_now() >= end

        Loop(schedule_of(loop.settings), loop.run_if_due, utc_now).run(wait)
        loop.start = end


class Started:
    """What a loop needs: its settings, the function that runs a job, and the time of its start."""

    def __init__(self, settings, run_if_due, start):
        self.settings, self.run_if_due, self.start = settings, run_if_due, start


@pytest.mark.parametrize("host", ["UTC", "Asia/Singapore", "America/New_York"])
def test_a_job_runs_once_a_day_and_a_failure_stops_nothing(make_settings, host_zone, logs, host):
    host_zone(host)
    looks = []

    def fail(job, due, *, again):
        looks.append((job, due))
        raise RuntimeError("broken")

    start = datetime(2026, 6, 30, 12, tzinfo=UTC)
    run_for(Started(make_settings(), fail, start), 3 * DAY)
    dues = [datetime(2026, 6, 29, 18, tzinfo=UTC) + DAY * number for number in range(4)]
    assert sorted(set(looks)) == [(NAME, due) for due in dues]
    assert len(logs("job_broken")) == len(looks)


@pytest.fixture
def loop(database, make_settings, mock_cas, webhook, host_zone):
    """A loop with a real runner on a real database and the mock CAS; `.runs()` returns its runs, the oldest first."""
    host_zone("UTC")
    settings = make_settings(cas_url=mock_cas(5), alert_urls=webhook.url)
    loop = Started(settings, Runner(database, settings).run_if_due, datetime(2026, 6, 30, 12, tzinfo=UTC))

    def runs():
        with database.reading() as conn:
            listed = list_runs(conn, 50)[::-1]
        return [(run["outcome"], run["due"].astimezone(UTC), run["started"] - run["due"]) for run in listed]

    loop.runs, loop.database = runs, database
    return loop


def restart(loop):
    """A new process: it keeps nothing in mind."""
    loop.run_if_due = Runner(loop.database, loop.settings).run_if_due


def at(day, hour=18, minute=0):
    return datetime(2026, 6, day, hour, minute, tzinfo=UTC)


def test_a_start_makes_up_for_what_was_missed_and_then_each_day_has_one_run(loop):
    run_for(loop, 3 * DAY)
    lateness = [delay for _, _, delay in loop.runs()]
    assert [due for _, due, _ in loop.runs()] == [at(29) + DAY * number for number in range(4)]
    assert lateness[0] == timedelta(hours=18)
    assert max(lateness[1:]) <= timedelta(minutes=1)


def test_restarts_repeat_nothing_that_has_succeeded(loop):
    for _ in range(10):
        run_for(loop, timedelta(minutes=7), step=timedelta(seconds=1))
        restart(loop)
    assert [due for _, due, _ in loop.runs()] == [at(29)]


def test_a_start_after_a_downtime_runs_once_for_all_the_days(loop, webhook):
    run_for(loop, DAY)
    loop.start += 5 * DAY
    restart(loop)
    run_for(loop, timedelta(hours=1))
    assert [(outcome, due) for outcome, due, _ in loop.runs()] == [
        ("succeeded", at(29)),
        ("succeeded", at(30)),
        ("missed", at(30) + 5 * DAY),
        ("succeeded", at(30) + 5 * DAY),
    ]
    assert [alert["title"] for alert in webhook.alerts] == [
        "OCMS: the VIP vehicle list is out of date",
        "OCMS: the VIP vehicle list is refreshed again",
    ]


def test_a_failed_run_is_not_repeated_but_by_a_restart(loop, serve, mock_cas, make_settings):
    bad = make_settings(cas_url=mock_cas(5, Fault.EMPTY))
    loop.run_if_due = Runner(loop.database, bad).run_if_due
    run_for(loop, timedelta(hours=3))
    assert [outcome for outcome, _, _ in loop.runs()] == ["failed"]
    restart(loop)
    run_for(loop, timedelta(hours=1))
    assert [(outcome, due) for outcome, due, _ in loop.runs()] == [("failed", at(29)), ("succeeded", at(29))]


def test_a_success_by_hand_counts_for_the_due_time_before_it(loop, clock):
    clock.now = at(30, 18, 30)
    Runner(loop.database, loop.settings, clock).run(NAME)
    loop.start = at(30, 19)
    run_for(loop, timedelta(hours=2))
    with loop.database.reading() as conn:
        assert [run["due"] for run in list_runs(conn, 5)] == [None]


@pytest.mark.parametrize("ended", [True, False])
def test_a_run_whose_process_ended_is_taken_over_by_another_replica(loop, ended):
    """The run was stopped, or killed. A killed run has an open record, but no process holds its lock."""
    run_for(loop, timedelta(minutes=1))
    with loop.database.writing() as conn:
        run_id = insert_run(conn, NAME, at(30), host="other", due=at(30))
        if ended:
            finish_run(conn, run_id, at(30), INTERRUPTED)
    loop.start = at(30, 18, 2)
    run_for(loop, timedelta(minutes=2), step=timedelta(seconds=1))
    assert [(outcome, due) for outcome, due, _ in loop.runs()] == [
        ("succeeded", at(29)),
        ("interrupted", at(30)),
        ("succeeded", at(30)),
    ]


def test_a_run_that_failed_elsewhere_is_not_repeated(loop):
    run_for(loop, timedelta(minutes=1))
    with loop.database.writing() as conn:
        finish_run(conn, insert_run(conn, NAME, at(30), host="other", due=at(30)), at(30), FAILED, reason="empty")
    loop.start = at(30, 17, 57)  # a loop that starts later would repeat the failed run
    run_for(loop, timedelta(hours=8))
    assert [outcome for outcome, _, _ in loop.runs()] == ["succeeded", "failed"]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("month", [3, 4, 10, 11])
def test_each_local_day_has_one_run_while_the_clocks_change(loop, host_zone, make_settings, zone, month):
    host_zone(zone)
    settings = make_settings(cas_url=loop.settings.cas_url, timezone=zone, vip_refresh_at="02:15")
    loop.run_if_due, loop.settings = Runner(loop.database, settings).run_if_due, settings
    loop.start = datetime(2026, month, 1, 12, tzinfo=UTC)
    run_for(loop, 31 * DAY, step=timedelta(minutes=30))
    dues = [due for outcome, due, _ in loop.runs() if outcome == "succeeded"]
    assert len(set(dues)) == len(dues) == 32
    assert {after - before for before, after in itertools.pairwise(dues)} <= {
        DAY,
        *(DAY + sign * timedelta(minutes=minutes) for sign in (1, -1) for minutes in (30, 60)),
    }


def test_a_job_that_another_replica_runs_is_no_failure(make_settings, host_zone, logs):
    host_zone("UTC")

    def refuse(job, due, *, again):
        raise JobRunningError(f"{job} is running already")

    run_for(Started(make_settings(), refuse, at(30)), timedelta(minutes=1))
    assert {line["level"] for line in logs("job_not_started")} == {"info"}
    assert logs("job_broken") == []


def test_every_scheduled_job_exists(make_settings):
    assert {daily.job for daily in schedule_of(make_settings())} == set(SUBJECTS)


def test_a_missing_database_sends_one_alert_and_the_run_follows_when_it_is_back(loop, webhook, logs):
    if loop.database.path is None:
        pytest.skip("a server cannot be moved away by a test")
    run_for(loop, timedelta(minutes=1))
    path = loop.database.path
    path.rename(f"{path}.away")
    loop.start = at(30, 17, 59)
    run_for(loop, timedelta(minutes=30), step=timedelta(seconds=5))
    assert len(logs("job_failed")) > 2
    assert {line["level"] for line in logs("job_failed")} == {"critical"}
    path.with_name(f"{path.name}.away").rename(path)
    run_for(loop, timedelta(minutes=30), step=timedelta(seconds=5))
    assert [(outcome, due) for outcome, due, _ in loop.runs()] == [("succeeded", at(29)), ("succeeded", at(30))]
    assert [alert["title"].removeprefix("OCMS: the VIP vehicle list ") for alert in webhook.alerts] == [
        "was not refreshed",
        "is refreshed again",
    ]
