"""Writing a set of items so that one that cannot be written holds up no other."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from ocms.errors import DatabaseError, DatabaseUnavailableError, TransactionLostError

MOST_FAILURES = 50
"""Failed items after which the fault is taken to be in more than single items, and no more of them are singled out."""

T = TypeVar("T")
Write = Callable[[Connection, Sequence[T]], None]


class Unit(Protocol):
    """Calls a function within a transaction, or within a savepoint."""

    def __call__(self, write: Write[T], items: Sequence[T], /) -> None:
        """Write items as a whole, or none of them."""


def write_isolated(unit: Unit, write: Write[T], items: Sequence[T]) -> list[tuple[T, DatabaseError]]:
    """Write all items in one unit; where that fails, write each half by itself, down to the single item.

    Returns the items that were not written, each with its error. Raises DatabaseUnavailableError and
    TransactionLostError, which are of no single item.
    """
    failed: list[tuple[T, DatabaseError]] = []
    parts = [items] if items else []
    while parts:
        part = parts.pop()
        try:
            unit(write, part)
        except (DatabaseUnavailableError, TransactionLostError):
            raise
        except DatabaseError as error:
            if len(part) == 1 or len(failed) >= MOST_FAILURES:
                failed += [(item, error) for item in part]
            else:
                half = len(part) // 2
                parts += [part[half:], part[:half]]
    return failed
