"""When a daily job is due."""

from datetime import UTC, datetime, time, timedelta
from itertools import count
from zoneinfo import ZoneInfo


def last_due(now: datetime, at: time, zone: ZoneInfo) -> datetime:
    """Return the last time, not after `now`, when the clocks of a zone showed a time of day; as UTC.

    An hour that the clocks show twice counts once, the first time; of one that they leave out, the moment counts that
    it would have been.
    """
    today = now.astimezone(zone).date()
    days = (today - timedelta(days=back) for back in count())
    return next(due for day in days if (due := datetime.combine(day, at, zone).astimezone(UTC)) <= now)
