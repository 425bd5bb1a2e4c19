"""The rules of the business that handlers and jobs share: plain functions, no input or output."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any, TypeVar

import msgspec

SINGAPORE = timezone(timedelta(hours=8))
"""The offset in which OCMS stores and sends every date; it has not changed since 1982."""

T = TypeVar("T")


def utc_now() -> datetime:
    """Return the time: the clock wherever no other one is given."""
    return datetime.now(UTC)


def parse_instant(text: str) -> datetime:
    """Read an RFC 3339 date-time with an offset; return it in Singapore time.

    Raises ValueError when it is none, or when it falls outside the years 1 to 9999 in Singapore.
    """
    try:
        instant = msgspec.convert(text, datetime)
        if instant.tzinfo is None:
            raise ValueError(f"{text!r} has no offset")
        return instant.astimezone(SINGAPORE)
    except (msgspec.ValidationError, OverflowError) as error:
        raise ValueError(f"{text!r} is no date-time that can be stored") from error


def is_emcons(notice: Mapping[str, Any]) -> bool:
    """Tell whether a notice is an EMCONS notice: its flag is set to something other than N (section 1.2)."""
    return (notice["emcons_flag"] or "").strip() not in ("", "N")


def is_fully_paid(notice: Mapping[str, Any]) -> bool:
    """Tell whether a notice is fully paid (section 1.2)."""
    return bool(notice["payment_status"] == "FP")


def is_ps_wwp(notice: Mapping[str, Any]) -> bool:
    """Tell whether a notice is a PS-WWP case (section 2.2)."""
    return bool(notice["suspension_type"] == "PS" and notice["epr_reason_of_suspension"] == "WWP")


def repeated(values: Iterable[T]) -> set[T]:
    """Return the values that occur more than once."""
    return {value for value, count in Counter(values).items() if count > 1}


def page(items: Sequence[Any], skip: int, limit: int | None) -> Any:
    """Cut a page out of `items` and describe it: total, limit, skip, data.

    Without a limit everything after `skip` is returned, and `limit` tells how many items there are.
    """
    total = len(items)
    limit = total if limit is None else limit
    return {"total": total, "limit": limit, "skip": skip, "data": list(items[skip : skip + limit])}


def business_date(instant: datetime) -> date:
    """Return the business date, which is Singapore's."""
    return instant.astimezone(SINGAPORE).date()


def is_dayend(flag: str | None, instant: datetime, window: tuple[time, time] | None) -> bool:
    """Tell whether court notices may be updated: the flag of the business date is Y, and it is time (section 1.3)."""
    return flag == "Y" and in_window(instant.astimezone(SINGAPORE).time(), window)


def in_window(moment: time, window: tuple[time, time] | None) -> bool:
    """Tell whether a time of day lies in a window; one that ends before it starts goes over midnight."""
    if window is None:
        return True
    start, end = window
    return start <= moment < end if start <= end else moment >= start or moment < end
