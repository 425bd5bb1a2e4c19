"""Writing a set of items so that one that cannot be written holds up no other."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from sqlalchemy import Connection

from ocms.errors import DatabaseError, DatabaseUnavailableError

T = TypeVar("T")


def write_isolated(
    unit: Callable[[], AbstractContextManager[Connection]],
    write: Callable[[Connection, Sequence[T]], None],
    items: Sequence[T],
) -> list[tuple[T, DatabaseError]]:
    """Write all items in one unit; where that fails, write each half by itself, down to the single item.

    `unit` opens a transaction or a savepoint. Returns the items that could not be written, each with its error.
    When the database itself is unavailable, all that is left fails at once.
    """
    if not items:
        return []
    try:
        with unit() as conn:
            write(conn, items)
    except DatabaseError as error:
        if len(items) == 1 or isinstance(error, DatabaseUnavailableError):
            return [(item, error) for item in items]
        half = len(items) // 2
        return write_isolated(unit, write, items[:half]) + write_isolated(unit, write, items[half:])
    return []
