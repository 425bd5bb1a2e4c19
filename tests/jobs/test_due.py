"""When a daily job is due, in every zone."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.due import last_due


@pytest.mark.parametrize(
    ("now", "at", "zone", "due"),
    [
        ("2026-06-30T17:59:59", "02:00", "Asia/Singapore", "2026-06-29T18:00:00"),
        ("2026-06-30T18:00:00", "02:00", "Asia/Singapore", "2026-06-30T18:00:00"),  # due at the very moment
        ("2026-06-30T18:00:00.000001", "02:00", "Asia/Singapore", "2026-06-30T18:00:00"),
        ("2028-03-01T01:00:00", "10:00", "Asia/Singapore", "2028-02-29T02:00:00"),  # the day before is a leap day
        ("2027-01-01T00:00:00", "02:00", "Asia/Singapore", "2026-12-31T18:00:00"),  # over the end of the year
        ("2026-03-29T00:59:00", "02:30", "Europe/Berlin", "2026-03-28T01:30:00"),  # the clocks leave out 02:00 to 03:00
        ("2026-03-29T01:30:00", "02:30", "Europe/Berlin", "2026-03-29T01:30:00"),  # so it is due at 03:30
        ("2026-10-25T00:30:00", "02:30", "Europe/Berlin", "2026-10-25T00:30:00"),  # the clocks show 02:30 twice
        ("2026-10-25T01:30:00", "02:30", "Europe/Berlin", "2026-10-25T00:30:00"),  # the second time is not due
        ("2026-11-01T06:30:00", "01:30", "America/New_York", "2026-11-01T05:30:00"),
        ("2026-10-03T15:45:00", "02:15", "Australia/Lord_Howe", "2026-10-03T15:45:00"),  # they go forward half an hour
        ("2011-12-30T15:00:00", "10:00", "Pacific/Apia", "2011-12-29T20:00:00"),  # a day that Samoa left out
    ],
)
def test_the_last_time_that_the_clocks_of_the_zone_showed(now, at, zone, due):
    now, due = (datetime.fromisoformat(moment).replace(tzinfo=UTC) for moment in (now, due))
    assert last_due(now, time.fromisoformat(at), ZoneInfo(zone)) == due


@given(
    now=st.datetimes(datetime(2005, 1, 1), datetime(2040, 1, 1)),  # noqa: DTZ001  # its zone is drawn as well
    offset=st.integers(-12, 14),
    at=st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    zone=st.sampled_from(
        [
            "Asia/Singapore",
            "Europe/Berlin",
            "America/New_York",
            "Australia/Lord_Howe",
            "Pacific/Apia",
            "Africa/Casablanca",
        ]
    ),
)
@example(now=datetime(2011, 12, 30, 12), offset=0, at=time(10), zone="Pacific/Apia")  # noqa: DTZ001  # the same
def test_a_due_time_is_past_less_than_two_days_old_and_stays_until_the_next(now, offset, at, zone):
    moment = now.replace(tzinfo=UTC) - timedelta(hours=offset)
    due = last_due(moment, at, ZoneInfo(zone))
    assert due <= moment < due + timedelta(hours=49)
    assert last_due(due, at, ZoneInfo(zone)) == due
    assert last_due(due - timedelta(microseconds=1), at, ZoneInfo(zone)) < due
    assert last_due(moment + timedelta(minutes=1), at, ZoneInfo(zone)) >= due
    shown = due.astimezone(ZoneInfo(zone))
    left_out = shown.replace(tzinfo=None) != datetime.combine(shown.date(), at)
    assert not left_out or shown.utcoffset() != (due - timedelta(hours=1)).astimezone(ZoneInfo(zone)).utcoffset()
