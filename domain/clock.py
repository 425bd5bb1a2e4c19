"""The current time, business dates and date-times. Every date is stored and sent in Singapore time."""

import re
from datetime import UTC, date, datetime, timedelta, timezone

import msgspec

SINGAPORE = timezone(timedelta(hours=8))
"""Singapore's time zone: UTC+8 without daylight saving time, unchanged since 1982."""
CLOCK_SKEW = timedelta(minutes=5)
"""The tolerated difference between two machines' clocks. A stored time later than now plus this is in the future."""
_BEYOND_MICROSECONDS = re.compile(r"(?<=\.[0-9]{6})[0-9]+")


def utc_now() -> datetime:
    """Return the current time. This is the default clock; tests pass another one."""
    return datetime.now(UTC)


def business_date(instant: datetime) -> date:
    """Return the business date of an instant: the date in Singapore."""
    return instant.astimezone(SINGAPORE).date()


def parse_instant(text: str) -> datetime:
    """Parse an RFC 3339 date-time with an offset, and return it in Singapore time.

    A fraction is cut to microseconds: if it were rounded, the end of a day as .NET writes it, 23:59:59.9999999, would
    become the next day. Also accepts an offset without a colon, such as +0800, which RFC 3339 does not allow.

    Raises ValueError if the text is not such a date-time, or if it is outside the years 1 to 9999 in Singapore.
    """
    if "." in text:  # faster than the regular expression; most date-times have no fraction
        text = _BEYOND_MICROSECONDS.sub("", text)
    try:
        instant = msgspec.convert(text, datetime)
        if instant.tzinfo is None:
            raise ValueError(f"{text!r} has no offset")
        return instant.astimezone(SINGAPORE)
    except (msgspec.ValidationError, OverflowError) as error:
        raise ValueError(f"{text!r} is not a date-time that can be stored") from error
