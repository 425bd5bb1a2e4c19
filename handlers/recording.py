"""Recording what an answer tells, so that a failure never spoils the answer."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import structlog
from anyio.to_thread import run_sync

from db.engine import Database
from db.isolation import write_isolated
from handlers import Services
from ocms.errors import DatabaseError

V = TypeVar("V")
Upsert = Callable[[Any, Sequence[tuple[str, V]], str, datetime], None]
"""Stores a value for each notice number: connection, notice numbers with their values, user, time."""

_log = structlog.get_logger(__name__)


async def record(services: Services, upsert: Upsert[V], values: Mapping[str, V], user: str) -> set[str]:
    """Store a value for each notice number that has another one or none; return those for which that failed.

    Each failure is logged.
    """
    if not values:
        return set()
    return await run_sync(_record, services.database, upsert, values, user, services.now())


def _record(database: Database, upsert: Upsert[V], values: Mapping[str, V], user: str, now: datetime) -> set[str]:
    def write(conn: object, items: Sequence[tuple[str, V]]) -> None:
        upsert(conn, items, user, now)

    try:
        failed = write_isolated(database.write, write, list(values.items()))
    except DatabaseError as error:
        return _failed((notice_no, error) for notice_no in values)
    return _failed((notice_no, error) for (notice_no, _), error in failed)


def _failed(failures: Iterable[tuple[str, DatabaseError]]) -> set[str]:
    failed = dict(failures)
    for notice_no, error in failed.items():
        _log.error("not_recorded", notice_no=notice_no, error=str(error))
    return set(failed)
