"""What differs between the databases: column types, sets passed as one JSON parameter, and emptying a table.

SQLite is the embedded default, SQL Server (`mssql`) is production.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import VARCHAR, Column, Connection, DateTime, Dialect, Numeric, Subquery, Table, TypeDecorator, delete
from sqlalchemy import text as sql
from sqlalchemy.dialects.mssql import DATETIME2
from sqlalchemy.types import TypeEngine

from ocms.rules import SINGAPORE

CENT = Decimal("0.01")


class Instant(TypeDecorator[datetime]):
    """DATETIME2 in Singapore local time; in Python a datetime with its offset."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return DATETIME2 for SQL Server; SQLite stores the same as text."""
        return dialect.type_descriptor(DATETIME2(precision=6) if dialect.name == "mssql" else DateTime())  # type: ignore[no-untyped-call]  # SQLAlchemy's own

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store local time."""
        del dialect
        return None if value is None else value.astimezone(SINGAPORE).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the time with its offset."""
        del dialect
        return None if value is None else value.replace(tzinfo=SINGAPORE)


class Money(TypeDecorator[Decimal]):
    """DECIMAL(10,2), exact. SQLite has no decimals, so there it is text such as 70.00."""

    impl = Numeric(10, 2)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return text for SQLite."""
        return dialect.type_descriptor(VARCHAR(12) if dialect.name == "sqlite" else Numeric(10, 2))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """Store exactly two decimals."""
        if value is None:
            return None
        exact = Decimal(value).quantize(CENT) + 0  # a negative zero becomes zero
        return str(exact) if dialect.name == "sqlite" else exact

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Return a decimal with two places."""
        del dialect
        return None if value is None else Decimal(value)


def notice_set(dialect: str) -> Subquery:
    """Return the set of notice numbers that the parameter `notice_nos` (a JSON array) holds, as a table."""
    text = {
        "sqlite": "SELECT value AS notice_no FROM json_each(:notice_nos)",
        "mssql": "SELECT notice_no FROM OPENJSON(:notice_nos) WITH (notice_no VARCHAR(50) '$')",
    }[dialect]
    return sql(text).columns(Column("notice_no", VARCHAR(50))).subquery("asked")


def row_set(conn: Connection, columns: Sequence[Column[Any]]) -> Subquery:
    """Return the rows that the parameter `rows` (a JSON array of objects, see `to_json_rows`) holds, as a table."""
    if conn.dialect.name == "sqlite":
        names = ", ".join(f"json_extract(value, '$.{column.name}') AS {column.name}" for column in columns)
        text = f"SELECT {names} FROM json_each(:rows)"  # noqa: S608  # column names of our own tables
    else:
        types = ", ".join(f"{c.name} {c.type.compile(conn.dialect)} '$.{c.name}'" for c in columns)
        text = f"SELECT * FROM OPENJSON(:rows) WITH ({types})"  # noqa: S608  # the same
    return sql(text).columns(*(Column(column.name, column.type) for column in columns)).subquery("given")


def to_json_set(values: Iterable[str]) -> str:
    """Return the value of the parameter of `notice_set`."""
    return msgspec.json.encode(list(values)).decode()


def to_json_rows(conn: Connection, columns: Sequence[Column[Any]], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the value of the parameter of `row_set`: each value as the database stores it."""
    stores = [(c.name, c.type.dialect_impl(conn.dialect).bind_processor(conn.dialect)) for c in columns]
    return msgspec.json.encode(
        [{name: store(row[name]) if store else row[name] for name, store in stores} for row in rows]
    ).decode()


def truncate(conn: Connection, table: Table) -> None:
    """Empty a table within the transaction."""
    if conn.dialect.name == "mssql":
        conn.execute(sql(f"TRUNCATE TABLE {table.name}"))
    else:
        conn.execute(delete(table))
