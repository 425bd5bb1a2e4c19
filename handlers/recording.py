"""Storing values that a response contains. A failure does not fail the call: the numbers that failed are returned."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

import structlog

from db.engine import Connection, Database
from db.errors import DatabaseError
from db.isolation import write_isolated
from handlers.large_calls import in_thread
from handlers.services import Services

V = TypeVar("V")
Upsert = Callable[[Connection, Sequence[tuple[str, V]], str, datetime], None]
"""A function of `db` that stores values: connection, pairs of notice number and value, user, time."""

_log = structlog.get_logger(__name__)


async def record(services: Services, upsert: Upsert[V], values: Mapping[str, V], user: str) -> set[str]:
    """Store a value for each notice number, and return the numbers for which that failed. Failures are logged."""
    if not values:
        return set()
    return await in_thread(partial(_record, services.database, upsert, list(values.items()), user, services.now()))


def _record(database: Database, upsert: Upsert[V], pairs: list[tuple[str, V]], user: str, now: datetime) -> set[str]:
    try:
        failed = write_isolated(lambda part: database.write(upsert, part, user, now), pairs)
    except DatabaseError as error:
        failed = [(pair, error) for pair in pairs]
    for (notice_no, _), cause in failed:
        _log.error("not_recorded", notice_no=notice_no, error=str(cause))
    return {notice_no for (notice_no, _), _ in failed}
