"""``ocms dayend``: which date it sets and shows, also after midnight."""

from datetime import datetime

import pytest
import time_machine

from db.dayend import get_dayend_flag, list_dayend_flags
from domain.clock import SINGAPORE
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
    ("moment", "window", "day"),
    [
        ("2026-07-01T22:30", "22:00-02:00", "2026-07-01"),
        ("2026-07-02T00:30", "22:00-02:00", "2026-07-01"),
        ("2026-07-02T02:00", "22:00-02:00", "2026-07-02"),
        ("2026-07-02T00:30", "22:00-23:59", "2026-07-02"),
        ("2026-07-02T00:30", None, "2026-07-02"),
    ],
)
def test_the_flag_that_is_set_by_default_is_the_one_that_counts_now(dayend_at, database, moment, window, day):
    assert dayend_at(moment, "set", "y", window=window) == f"Day-end of {day} is Y.\n"
    assert [(str(date), flag) for date, flag in database.read(list_dayend_flags, 10)] == [(day, "Y")]
    assert dayend_at(moment, "show", window=window).splitlines()[-1].endswith(": Y.")


def test_after_midnight_the_flag_of_the_window_is_shown(dayend_at):
    dayend_at("2026-07-01T22:30", "set", "Y")
    shown = dayend_at("2026-07-02T00:30", "show", window="22:00-02:00")
    assert shown.splitlines()[-1] == "Until 02:00 the flag of 2026-07-01 counts: Y."
    assert dayend_at("2026-07-02T00:30", "show").splitlines()[-1] == "Today, 2026-07-02: not set."


def test_a_given_date_is_set_whatever_the_window(dayend_at, database):
    output = dayend_at("2026-07-02T00:30", "set", "N", "--date", "2026-07-02", window="22:00-02:00")
    assert output == "Day-end of 2026-07-02 is N.\n"
    assert database.read(get_dayend_flag, datetime(2026, 7, 1, tzinfo=SINGAPORE).date()) is None
