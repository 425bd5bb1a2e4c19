"""The schedule, across zones and hosts."""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from jobs.runner import JOBS
from jobs.schedule_loop import SCHEDULE, plan, run_loop
from ocms.errors import JobRunningError


@pytest.fixture
def host_zone(monkeypatch):
    """Put the host into a time zone."""

    def move(zone):
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield move
    monkeypatch.undo()
    time.tzset()


def next_run(scheduler):
    return scheduler.next_run.astimezone(UTC)


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
        scheduler = plan(make_settings(), lambda _: None)
        assert next_run(scheduler) == datetime.fromisoformat(due)


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
        scheduler = plan(make_settings(timezone="Europe/Berlin", vip_refresh_at="05:30"), lambda _: None)
        assert next_run(scheduler) == datetime.fromisoformat(due)


def test_a_job_runs_once_a_day_and_a_failure_stops_nothing(make_settings, host_zone, logs):
    host_zone("UTC")
    runs = []

    def fail(job):
        runs.append(job)
        raise RuntimeError("broken")

    with time_machine.travel(datetime(2026, 6, 30, 12, tzinfo=UTC), tick=False) as traveller:
        scheduler = plan(make_settings(), fail)
        for _ in range(3 * 24 * 4):
            traveller.shift(timedelta(minutes=15))
            scheduler.run_pending()
    assert runs == ["refresh-vip-vehicles"] * 3
    assert len(logs("job_failed")) == 3


def test_a_job_that_another_replica_runs_is_no_failure(make_settings, host_zone, logs):
    host_zone("UTC")

    def refuse(job):
        raise JobRunningError(f"{job} is running already")

    with time_machine.travel(datetime(2026, 6, 30, 12, tzinfo=UTC), tick=False) as traveller:
        scheduler = plan(make_settings(), refuse)
        traveller.shift(timedelta(days=1))
        scheduler.run_pending()
    assert [line["level"] for line in logs("job_not_started")] == ["info"]
    assert logs("job_failed") == []


def test_every_scheduled_job_exists():
    assert {daily.job for daily in SCHEDULE} <= set(JOBS)


def test_the_loop_runs_what_is_due_and_stops_when_told(make_settings, host_zone):
    host_zone("UTC")
    stop, runs = threading.Event(), []

    def run(job):
        runs.append(job)
        stop.set()

    with time_machine.travel(datetime(2026, 6, 30, 17, 59, 59, 900_000, tzinfo=UTC)):
        run_loop(make_settings(), run, stop)
    assert runs == ["refresh-vip-vehicles"]
