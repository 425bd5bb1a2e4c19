"""The business rules and the clock."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from domain.clock import SINGAPORE, business_date, parse_instant
from domain.errors import DayendNotReachedError
from domain.rules import (
    dayend_date,
    in_window,
    is_emcons,
    is_fully_paid,
    is_over,
    is_ps_wwp,
    nearest_dayend_date,
    page,
    repeated,
    require_dayend,
)


def test_a_time_is_parsed_with_its_offset():
    assert parse_instant("2026-06-30T15:15:00Z") == datetime(2026, 6, 30, 23, 15, tzinfo=SINGAPORE)
    assert parse_instant("2026-06-30T15:15:00Z").isoformat() == "2026-06-30T23:15:00+08:00"


@pytest.mark.parametrize(
    ("fraction", "microsecond"),
    [
        ("", 0),
        (".5", 500_000),
        (".999999", 999_999),
        (".9999994", 999_999),
        (".9999995", 999_999),
        (".9999999", 999_999),
        (".1234567", 123_456),
        (".0000009", 0),
        (".999999500", 999_999),
        ("." + "9" * 30, 999_999),
    ],
)
@pytest.mark.parametrize("offset", ["+08:00", "Z", "z", "-00:00", "-23:59"])
def test_a_fraction_beyond_microseconds_is_cut_and_never_reaches_the_next_day(fraction, microsecond, offset):
    whole = parse_instant(f"2026-06-30T23:59:59{offset}")
    instant = parse_instant(f"2026-06-30T23:59:59{fraction}{offset}")
    assert instant == whole.replace(microsecond=microsecond)
    assert business_date(instant) == business_date(whole)


def test_the_last_instant_of_dotnet_is_stored():
    last = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=SINGAPORE)
    assert parse_instant("9999-12-31T23:59:59.9999999+08:00") == last


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-06-30",
        "2026-06-30T15:15:00",
        "2026-06-30T15:15:00.9999999",
        "2026-13-01T00:00:00Z",
        "9999-12-31T23:59:59-01:00",
        "9999-12-31T16:00:00.0000001Z",
        "now",
        "2016-12-31T23:59:60Z",  # a leap second, which no database stores
        "2026-06-30T24:00:00Z",
        "2026-06-30T00:00:00+24:00",
        "2026-06-30T00:00:00+08:60",
        "2026-06-30T23:59:59,9999999Z",
        "2026-06-30T23:59:59.Z",
        "2026-06-30T23:59:59.999999٩Z",
    ],
)
def test_a_text_that_is_not_a_storable_time_is_refused(text):
    with pytest.raises(ValueError, match=r"offset|not a date-time"):
        parse_instant(text)


@pytest.mark.parametrize(
    ("flag", "expected"),
    [("Y", True), ("1", True), ("EMCONS", True), (None, False), ("", False), (" ", False), ("N", False)],
)
def test_a_notice_is_emcons_unless_its_flag_is_empty_or_n(flag, expected):
    assert is_emcons({"emcons_flag": flag}) is expected


def test_only_the_status_fp_means_fully_paid():
    assert [is_fully_paid({"payment_status": status}) for status in ("FP", "PP", None)] == [True, False, False]


def test_ps_wwp_needs_both_the_suspension_and_the_reason():
    assert is_ps_wwp({"suspension_type": "PS", "epr_reason_of_suspension": "WWP"})
    assert not is_ps_wwp({"suspension_type": "TS", "epr_reason_of_suspension": "WWP"})
    assert not is_ps_wwp({"suspension_type": "PS", "epr_reason_of_suspension": "APP"})


def test_repeated_returns_values_that_occur_more_than_once():
    assert repeated("abcab") == {"a", "b"}
    assert repeated([]) == set()


def test_a_page_has_its_items_and_the_total():
    assert page("abcd", 1, 2) == {"total": 4, "limit": 2, "skip": 1, "data": ["b", "c"]}
    assert page("abcd", 1, None) == {"total": 4, "limit": 4, "skip": 1, "data": ["b", "c", "d"]}
    assert page("", 0, None) == {"total": 0, "limit": 0, "skip": 0, "data": []}


def test_the_business_date_is_that_of_singapore():
    assert business_date(datetime(2026, 6, 30, 15, 59, tzinfo=UTC)).isoformat() == "2026-06-30"
    assert business_date(datetime(2026, 6, 30, 16, 0, tzinfo=UTC)).isoformat() == "2026-07-01"


def test_updates_need_the_dayend_flag_and_the_window():
    now = datetime(2026, 6, 30, 14, 30, tzinfo=UTC)
    window = (time(22), time(23))
    require_dayend("Y", now, None)
    require_dayend("Y", now, window)
    for flag, closed in [("Y", (time(14), time(15))), ("N", window), (None, None)]:  # the window is in Singapore time
        with pytest.raises(DayendNotReachedError):
            require_dayend(flag, now, closed)


@pytest.mark.parametrize(
    ("moment", "window", "inside"),
    [
        ("12:00", None, True),
        ("21:59", ("22:00", "23:00"), False),
        ("22:00", ("22:00", "23:00"), True),
        ("23:00", ("22:00", "23:00"), False),
        ("23:30", ("22:00", "02:00"), True),
        ("01:59", ("22:00", "02:00"), True),
        ("02:00", ("22:00", "02:00"), False),
    ],
)
def test_a_window_includes_its_start_excludes_its_end_and_may_pass_midnight(moment, window, inside):
    times = window and tuple(map(time.fromisoformat, window))
    assert in_window(time.fromisoformat(moment), times) is inside


@pytest.mark.parametrize(
    ("moment", "window", "day"),
    [
        ("2026-07-02T00:30", None, 2),
        ("2026-07-01T23:59:59.999999", ("22:00", "02:00"), 1),
        ("2026-07-02T00:00", ("22:00", "02:00"), 1),
        ("2026-07-02T00:30", ("22:00", "02:00"), 1),
        ("2026-07-02T01:59:59.999999", ("22:00", "02:00"), 1),
        ("2026-07-02T02:00", ("22:00", "02:00"), 2),
        ("2026-07-02T12:00", ("22:00", "02:00"), 2),
        ("2026-07-02T22:00", ("22:00", "02:00"), 2),
        ("2026-07-02T00:00", ("22:00", "00:00"), 2),  # it ends at midnight, so it never reaches the next day
        ("2026-07-02T00:00", ("00:00", "02:00"), 2),
        ("2026-07-02T00:30", ("22:00", "23:59"), 2),
        ("2026-07-02T11:59", ("12:01", "12:00"), 1),
        ("2026-07-02T12:00", ("12:01", "12:00"), 2),
        ("2027-01-01T00:30", ("22:00", "02:00"), date(2026, 12, 31)),
    ],
)
def test_the_flag_that_counts_is_that_of_the_day_on_which_the_window_begins(moment, window, day):
    instant = datetime.fromisoformat(moment).replace(tzinfo=SINGAPORE).astimezone(UTC)
    times = window and tuple(map(time.fromisoformat, window))
    assert dayend_date(instant, times) == (day if isinstance(day, date) else date(2026, 7, day))


MINUTES = st.integers(0, 24 * 60 - 1)
A_DAY = timedelta(days=1)
INSTANTS = st.timedeltas(timedelta(), timedelta(days=366)).map(lambda since: datetime(2026, 1, 1, tzinfo=UTC) + since)


@given(start=MINUTES, end=MINUTES, instant=INSTANTS)
@example(start=22 * 60, end=2 * 60, instant=datetime(2026, 7, 1, 16, tzinfo=UTC))
@example(start=22 * 60, end=2 * 60, instant=datetime(2026, 7, 1, 18, tzinfo=UTC))
@example(start=22 * 60, end=0, instant=datetime(2026, 7, 1, 16, tzinfo=UTC))
def test_a_batch_is_accepted_exactly_while_the_window_of_a_day_with_dayend_is_open(start, end, instant):
    assume(start != end)
    window = tuple(time(*divmod(minute, 60)) for minute in (start, end))
    length = timedelta(minutes=(end - start) % (24 * 60))
    today = datetime.combine(business_date(instant), time(), SINGAPORE)
    opened = {
        midnight.date()
        for midnight in (today - A_DAY, today)
        if (opening := midnight + timedelta(minutes=start)) <= instant < opening + length
    }
    for flagged in (today.date() - A_DAY, today.date(), today.date() + A_DAY):  # the only day with day-end
        flag = "Y" if dayend_date(instant, window) == flagged else None
        if flagged in opened:
            require_dayend(flag, instant, window)
        else:
            with pytest.raises(DayendNotReachedError):
                require_dayend(flag, instant, window)


@given(start=MINUTES, end=MINUTES, instant=INSTANTS)
@example(start=22 * 60, end=23 * 60 + 59, instant=datetime(2026, 7, 1, 16, 0, 30, tzinfo=UTC))
@example(start=22 * 60, end=2 * 60, instant=datetime(2026, 7, 1, 18, 0, 30, tzinfo=UTC))
@example(start=0, end=2 * 60, instant=datetime(2026, 7, 1, 16, tzinfo=UTC))
def test_the_nearest_window_is_the_open_one_or_else_the_one_with_the_nearest_end_or_beginning(start, end, instant):
    assume(start != end)
    window = tuple(time(*divmod(minute, 60)) for minute in (start, end))
    length = timedelta(minutes=(end - start) % (24 * 60))
    today = instant.astimezone(SINGAPORE).date()

    def distance(day):
        opening = datetime.combine(day, window[0], SINGAPORE)
        return max(opening - instant, instant - opening - length, timedelta(0))

    day = nearest_dayend_date(instant, window)
    assert day in (today - A_DAY, today)  # never a day in the future
    assert distance(day) == min(distance(today - A_DAY), distance(today))
    assert is_over(day, instant, window) == (instant >= datetime.combine(day, window[0], SINGAPORE) + length)
    if in_window(instant.astimezone(SINGAPORE).time(), window):
        assert day == dayend_date(instant, window)


@given(INSTANTS)
def test_without_a_window_the_nearest_window_is_today(instant):
    assert nearest_dayend_date(instant, None) == business_date(instant)
