"""Recording what an answer tells, so that a failure never spoils the answer."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

import structlog

from db.engine import Database
from db.isolation import write_isolated
from ocms.errors import DatabaseError

V = TypeVar("V")
_log = structlog.get_logger(__name__)


class Aggregate(Protocol[V]):
    """A table that holds one value for each notice number."""

    list_unrecorded: Callable[..., dict[str, V]]
    upsert: Callable[..., None]


def record(database: Database, aggregate: Aggregate[V], values: Mapping[str, V], user: str, now: datetime) -> set[str]:
    """Store a value for each notice number; return the notice numbers for which that failed.

    What is stored already is not written again. Each failure is logged.
    """
    if not values:
        return set()

    def upsert(conn: object, items: Sequence[tuple[str, V]]) -> None:
        aggregate.upsert(conn, items, user, now)

    try:
        pending = list(database.read(aggregate.list_unrecorded, values).items())
        failed = write_isolated(database.write, upsert, pending)
    except DatabaseError as error:
        return _failed((notice_no, error) for notice_no in values)
    return _failed((notice_no, error) for (notice_no, _), error in failed)


def _failed(failures: Iterable[tuple[str, DatabaseError]]) -> set[str]:
    failed = dict(failures)
    for notice_no, error in failed.items():
        _log.error("not_recorded", notice_no=notice_no, error=str(error))
    return set(failed)
