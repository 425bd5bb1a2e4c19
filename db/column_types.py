"""The column types: exact keys, times in Singapore, exact amounts."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import VARCHAR, DateTime, Dialect, Numeric, TypeDecorator
from sqlalchemy.dialects.mssql import DATETIME2
from sqlalchemy.types import TypeEngine

from domain.clock import SINGAPORE

OFFSET = str(SINGAPORE).removeprefix("UTC")
"""Of every stored time, as RFC 3339 writes it: +08:00."""
CENT = Decimal("0.01")
EXACT = "Latin1_General_BIN2"
"""The collation of keys of our own tables on SQL Server: it tells every two characters apart."""


class Key(TypeDecorator[str]):
    """VARCHAR for a key of our own tables, which tells upper from lower case on every database."""

    impl = VARCHAR
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return VARCHAR with a binary collation for SQL Server."""
        length = self.impl_instance.length  # type: ignore[attr-defined]  # of VARCHAR
        return dialect.type_descriptor(VARCHAR(length, EXACT if dialect.name == "mssql" else None))


class Instant(TypeDecorator[datetime]):
    """DATETIME2 in Singapore local time; in Python a datetime with its offset."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return DATETIME2 for SQL Server; SQLite stores the same as text."""
        return dialect.type_descriptor(DATETIME2(precision=6) if dialect.name == "mssql" else DateTime())  # type: ignore[no-untyped-call]  # SQLAlchemy's own

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], Any]:
        """Return what makes local time of a time, as text for SQLite."""
        if dialect.name == "sqlite":
            return lambda time: None if time is None else time.astimezone(SINGAPORE).isoformat(" ", "microseconds")[:26]
        return lambda time: None if time is None else time.astimezone(SINGAPORE).replace(tzinfo=None)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        """Return what adds the offset to a stored time, in one step: a large response has ten thousands of them."""
        del coltype
        if dialect.name == "sqlite":
            return _read_instant
        return lambda local: None if local is None else local.replace(tzinfo=SINGAPORE)


class Money(TypeDecorator[Decimal]):
    """DECIMAL(10,2), exact. SQLite has no decimals, so there it is text such as 70.00."""

    impl = Numeric(10, 2)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return text for SQLite."""
        return dialect.type_descriptor(VARCHAR(12) if dialect.name == "sqlite" else Numeric(10, 2))

    def bind_processor(self, dialect: Dialect) -> Callable[[Decimal | None], Any]:
        """Return what makes exactly two decimals of an amount, as text for SQLite."""
        store: Callable[[Decimal], Any] = str if dialect.name == "sqlite" else Decimal
        zero = Decimal(0)  # to which a negative zero is added
        return lambda amount: None if amount is None else store(Decimal(amount).quantize(CENT) + zero)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Decimal | None]:
        """Return what makes a decimal with two places of what is stored."""
        del dialect, coltype
        return lambda stored: None if stored is None else Decimal(stored)


def _read_instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    return datetime.fromisoformat(text + OFFSET if " " in text else f"{text} 00:00{OFFSET}")
