"""Writing many items in such a way that an item that cannot be written does not prevent the others."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from db.errors import DatabaseError, DatabaseUnavailableError, TransactionLostError

MAX_FAILURES = 50
"""Stop bisecting after this many failures: the cause is not single items."""

T = TypeVar("T")


def write_isolated(write: Callable[[Sequence[T]], None], items: Sequence[T]) -> list[tuple[T, DatabaseError]]:
    """Write all items with one call of `write`; if it fails, write each half separately, down to single items.

    `write` writes all of its items or none, and raises DatabaseError. Returns the items that were not written, each
    with its error. Raises DatabaseUnavailableError and TransactionLostError, which concern the whole transaction.
    """
    failed: list[tuple[T, DatabaseError]] = []
    parts = [items] if items else []
    while parts:
        part = parts.pop()
        try:
            write(part)
        except (DatabaseUnavailableError, TransactionLostError):
            raise
        except DatabaseError as error:
            if len(part) == 1 or len(failed) >= MAX_FAILURES:
                failed += [(item, error) for item in part]
            else:
                half = len(part) // 2
                parts += [part[half:], part[:half]]
    return failed
