"""The column types: case-sensitive keys, times in Singapore, exact amounts."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import VARCHAR, DateTime, Dialect, Numeric, TypeDecorator
from sqlalchemy.dialects.mssql import DATETIME2
from sqlalchemy.types import TypeEngine

from domain.clock import SINGAPORE

OFFSET = str(SINGAPORE).removeprefix("UTC")
"""The offset of every stored time, in the form of RFC 3339: +08:00."""
CENT = Decimal("0.01")
EXACT = "Latin1_General_BIN2"
"""The collation of the keys of our own tables on SQL Server: two texts are equal only if their characters are."""


class Key(TypeDecorator[str]):
    """VARCHAR for a key of our own tables, case-sensitive on every database."""

    impl = VARCHAR
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return VARCHAR with a binary collation for SQL Server."""
        length = self.impl_instance.length  # type: ignore[attr-defined]  # VARCHAR has a length
        return dialect.type_descriptor(VARCHAR(length, EXACT if dialect.name == "mssql" else None))


class Instant(TypeDecorator[datetime]):
    """A time: DATETIME2 in Singapore local time in the database, a datetime with its offset in Python."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return DATETIME2 for SQL Server, and DATETIME, which is stored as text, for SQLite."""
        return dialect.type_descriptor(DATETIME2(precision=6) if dialect.name == "mssql" else DateTime())  # type: ignore[no-untyped-call]  # SQLAlchemy does not type it

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], Any]:
        """Return a function from a datetime to the stored value: local time, as text for SQLite."""
        if dialect.name == "sqlite":
            return lambda time: None if time is None else time.astimezone(SINGAPORE).isoformat(" ", "microseconds")[:26]
        return lambda time: None if time is None else time.astimezone(SINGAPORE).replace(tzinfo=None)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        """Return a function from the stored value to a datetime. It must be fast: a response has up to 10,000 times."""
        del coltype
        if dialect.name == "sqlite":
            return _read_instant
        return lambda local: None if local is None else local.replace(tzinfo=SINGAPORE)


class Money(TypeDecorator[Decimal]):
    """An exact amount: DECIMAL(10, 2). SQLite has no decimals, so there it is text such as 70.00."""

    impl = Numeric(10, 2)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return VARCHAR for SQLite, and DECIMAL(10, 2) for SQL Server."""
        return dialect.type_descriptor(VARCHAR(12) if dialect.name == "sqlite" else Numeric(10, 2))

    def bind_processor(self, dialect: Dialect) -> Callable[[Decimal | None], Any]:
        """Return a function from an amount to the stored value, with two decimals, as text for SQLite."""
        store: Callable[[Decimal], Any] = str if dialect.name == "sqlite" else Decimal
        zero = Decimal(0)  # added to each amount, since it turns -0.00 into 0.00
        return lambda amount: None if amount is None else store(Decimal(amount).quantize(CENT) + zero)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Decimal | None]:
        """Return a function from the stored value to a Decimal with two decimals."""
        del dialect, coltype
        return lambda stored: None if stored is None else Decimal(stored)


def _read_instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    return datetime.fromisoformat(text + OFFSET if " " in text else f"{text} 00:00{OFFSET}")
