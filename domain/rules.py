"""The business rules that handlers apply to notices, batches and lists. Sections are those of the source document."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, TypeVar

from domain.clock import SINGAPORE
from domain.errors import DayendNotReachedError

T = TypeVar("T")
Window = tuple[time, time]
"""A start and an end as times of day in Singapore. If the end is earlier than the start, the window spans midnight.

A window belongs to the day on which it begins.
"""


def is_emcons(notice: Mapping[str, Any]) -> bool:
    """Return whether a notice is an EMCONS notice: its `emcons_flag` is set and is not N (section 1.2)."""
    return (notice["emcons_flag"] or "").strip() not in ("", "N")


def is_fully_paid(notice: Mapping[str, Any]) -> bool:
    """Return whether a notice is fully paid: its `payment_status` is FP (section 1.2)."""
    return bool(notice["payment_status"] == "FP")


def is_ps_wwp(notice: Mapping[str, Any]) -> bool:
    """Return whether a notice is a PS-WWP case: suspension type PS for the reason WWP (section 2.2)."""
    return bool(notice["suspension_type"] == "PS" and notice["epr_reason_of_suspension"] == "WWP")


def require_dayend(flag: str | None, instant: datetime, window: Window | None) -> None:
    """Raise DayendNotReachedError unless court notices may be updated at an instant (section 1.3).

    `flag` is the day-end flag of the date that `dayend_date` returns. If `window` is None, updates are accepted at any
    time of day.
    """
    if flag != "Y" or not in_window(instant.astimezone(SINGAPORE).time(), window):
        raise DayendNotReachedError


def dayend_date(instant: datetime, window: Window | None) -> date:
    """Return the business date whose day-end flag applies at an instant.

    This is the current date, or the previous one after midnight in a window that spans midnight.
    """
    local = instant.astimezone(SINGAPORE)
    began_yesterday = window is not None and local.time() < window[1] < window[0]
    return local.date() - timedelta(days=1) if began_yesterday else local.date()


def nearest_dayend_date(instant: datetime, window: Window | None) -> date:
    """Return the business date whose window is open or nearest at an instant, but never a future date.

    A day-end that is set shortly after a window belongs to it: the flag of the next date would open the next window
    before its own day-end. Without a window, or once the window of today has begun, this is the current date.
    """
    now = instant.astimezone(SINGAPORE).replace(tzinfo=None)
    today, yesterday = now.date(), now.date() - timedelta(days=1)
    if window is None or now.time() >= window[0]:
        return today
    start, end = window
    closed = datetime.combine(today if end < start else yesterday, end)
    opens = datetime.combine(today, start)
    return yesterday if now - closed < opens - now else today


def is_over(day: date, instant: datetime, window: Window | None) -> bool:
    """Return whether the window that begins on a day has ended at an instant. False if there is no window."""
    if window is None:
        return False
    start, end = window
    last_day = day + timedelta(days=1) if end < start else day
    return instant >= datetime.combine(last_day, end, SINGAPORE)


def in_window(moment: time, window: Window | None) -> bool:
    """Return whether a time of day is inside a window. The start is inside, the end is not."""
    if window is None:
        return True
    start, end = window
    return start <= moment < end if start <= end else moment >= start or moment < end


def repeated(values: Iterable[T]) -> set[T]:
    """Return the values that occur more than once."""
    return {value for value, count in Counter(values).items() if count > 1}


def page(items: Sequence[Any], skip: int, limit: int | None) -> Any:
    """Return one page of `items` in the form of the contract: `total`, `limit`, `skip` and `data`.

    The page omits the first `skip` items. If `limit` is None, the page has all others, and its `limit` is `total`.
    """
    total = len(items)
    limit = total if limit is None else limit
    return {"total": total, "limit": limit, "skip": skip, "data": list(items[skip : skip + limit])}
