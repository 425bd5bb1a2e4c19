"""When a daily job is due."""

from datetime import UTC, datetime, time, timedelta
from itertools import count
from zoneinfo import ZoneInfo


def last_due(now: datetime, at: time, zone: ZoneInfo) -> datetime:
    """Return, in UTC, the last instant not after `now` at which clocks in a zone showed a time of day.

    A repeated hour counts at its first occurrence, a skipped hour at the instant it would have been.
    """
    today = now.astimezone(zone).date()
    days = (today - timedelta(days=back) for back in count())
    return next(due for day in days if (due := datetime.combine(day, at, zone).astimezone(UTC)) <= now)
