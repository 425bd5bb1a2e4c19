"""``ocms dayend``: which date it sets and shows, also after midnight."""

from datetime import datetime

import pytest
import time_machine

from db.dayend import get_dayend_flag, list_dayend_flags
from domain.clock import SINGAPORE
from domain.errors import OperatorError
from ocms.cli import app


@pytest.fixture
def dayend_at(monkeypatch, database_url, capsys):
    """Run `ocms dayend` at a time in Singapore; returns its output."""

    def run(moment, *arguments, window=None):
        monkeypatch.setenv("OCMS_DATABASE_URL", database_url)
        monkeypatch.delenv("OCMS_DAYEND_WINDOW", raising=False)
        if window:
            monkeypatch.setenv("OCMS_DAYEND_WINDOW", window)
        with time_machine.travel(datetime.fromisoformat(moment).replace(tzinfo=SINGAPORE), tick=False):
            app(["dayend", *arguments], standalone_mode=False)
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize(
    ("moment", "window", "day", "remark"),
    [
        ("2026-07-01T22:30", "22:00-02:00", "2026-07-01", ""),
        ("2026-07-02T00:30", "22:00-02:00", "2026-07-01", ""),
        ("2026-07-02T02:00", "22:00-02:00", "2026-07-01", " Its window is over."),
        ("2026-07-02T02:00:30", "22:00-02:00", "2026-07-01", " Its window is over."),
        ("2026-07-02T00:00:30", "22:00-23:59", "2026-07-01", " Its window is over."),
        ("2026-07-02T10:59", "22:00-23:59", "2026-07-01", " Its window is over."),
        ("2026-07-02T11:00", "22:00-23:59", "2026-07-02", ""),
        ("2026-07-02T21:30", "22:00-23:59", "2026-07-02", ""),
        ("2026-07-01T23:59:30", "22:00-23:59", "2026-07-01", " Its window is over."),
        ("2026-07-02T22:00", "22:00-23:59", "2026-07-02", ""),
        ("2026-07-02T00:00", "00:00-02:00", "2026-07-02", ""),
        ("2026-07-02T00:30", None, "2026-07-02", ""),
    ],
)
def test_the_flag_that_is_set_by_default_is_that_of_the_nearest_window(
    dayend_at, database, moment, window, day, remark
):
    assert dayend_at(moment, "set", "y", window=window) == f"Day-end of {day} is Y.{remark}\n"
    assert [(str(date), flag) for date, flag in database.read(list_dayend_flags, 10)] == [(day, "Y")]
    shown = dayend_at(moment, "show", window=window).splitlines()[-1]
    assert shown.endswith(": Y.")
    assert day in shown


def test_the_flag_of_the_window_is_shown(dayend_at):
    dayend_at("2026-07-01T22:30", "set", "Y")
    shown = dayend_at("2026-07-02T00:30", "show", window="22:00-02:00")
    assert shown.splitlines()[-1] == "Until 02:00 the flag of 2026-07-01 counts: Y."
    shown = dayend_at("2026-07-02T02:00", "show", window="22:00-02:00")
    assert shown.splitlines()[-1] == "The window of 2026-07-01 is over; its flag: Y."
    shown = dayend_at("2026-07-01T21:30", "show", window="22:00-02:00")
    assert shown.splitlines()[-1] == "The window of 2026-07-01 is not open yet; its flag: Y."
    assert dayend_at("2026-07-02T00:30", "show").splitlines()[-1] == "Today, 2026-07-02: not set."


@pytest.mark.parametrize("window", [None, "22:00-02:00"])
def test_only_a_date_in_the_future_cannot_have_its_dayend_yet(dayend_at, database, window):
    def flags():
        return [(str(date), flag) for date, flag in database.read(list_dayend_flags, 10)]

    with pytest.raises(OperatorError, match=r"^2026-07-03 is in the future: its day-end cannot have been reached$"):
        dayend_at("2026-07-02T23:59:59", "set", "Y", "--date", "2026-07-03", window=window)
    assert flags() == []
    dayend_at("2026-07-02T23:59:59", "set", "N", "--date", "2026-07-03", window=window)
    dayend_at("2026-07-02T00:00", "set", "Y", "--date", "2026-07-02", window=window)
    dayend_at("2026-07-02T00:00", "set", "Y", "--date", "2026-06-02", window=window)
    assert flags() == [("2026-07-03", "N"), ("2026-07-02", "Y"), ("2026-06-02", "Y")]


def test_a_given_date_is_set_whatever_the_window(dayend_at, database):
    output = dayend_at("2026-07-02T00:30", "set", "N", "--date", "2026-07-02", window="22:00-02:00")
    assert output == "Day-end of 2026-07-02 is N.\n"
    assert database.read(get_dayend_flag, datetime(2026, 7, 1, tzinfo=SINGAPORE).date()) is None
    output = dayend_at("2026-07-02T00:30", "set", "Y", "--date", "2026-06-30", window="22:00-02:00")
    assert output == "Day-end of 2026-06-30 is Y. Its window is over.\n"
