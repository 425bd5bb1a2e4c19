"""Sets of notice numbers and of rows, each passed to the database as one JSON parameter."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import VARCHAR, Column, ColumnClause, Connection, Dialect, String, Subquery, UnicodeText, bindparam
from sqlalchemy import text as sql
from sqlalchemy.sql.selectable import TextualSelect

from db.column_types import Key


def notice_set(dialect: str) -> Subquery:
    """Return the notice numbers of the parameter `notice_nos`, a JSON array of strings, as a table."""
    text = {
        "sqlite": "SELECT value AS notice_no FROM json_each(:notice_nos)",
        "mssql": "SELECT notice_no FROM OPENJSON(:notice_nos) WITH (notice_no VARCHAR(50) '$')",
    }[dialect]
    return _from_json(text, "notice_nos", Column("notice_no", VARCHAR(50))).subquery("asked")


def row_set(conn: Connection, columns: Sequence[ColumnClause[Any]]) -> Subquery:
    """Return the rows of the parameter `rows`, a JSON array of arrays (see `to_json_rows`), as a table."""
    if conn.dialect.name == "sqlite":
        names = ", ".join(f"json_extract(value, '$[{place}]') AS {c.name}" for place, c in enumerate(columns))
        text = f"SELECT {names} FROM json_each(:rows)"  # noqa: S608  # column names of our own tables
    else:
        types = ", ".join(f"{c.name} {_json_type(c, conn.dialect)} '$[{i}]'" for i, c in enumerate(columns))
        text = f"SELECT * FROM OPENJSON(:rows) WITH ({types})"  # noqa: S608  # column names of our own tables
    return _from_json(text, "rows", *(Column(column.name, column.type) for column in columns)).subquery("given")


def _from_json(text: str, parameter: str, *columns: Column[Any]) -> TextualSelect:
    # UnicodeText is sent as NVARCHAR(max), whatever its length, so SQL Server caches one plan.
    return sql(text).bindparams(bindparam(parameter, type_=UnicodeText())).columns(*columns)


def _json_type(column: ColumnClause[Any], dialect: Dialect) -> str:
    kind: Any = column.type
    return f"VARCHAR({kind.length})" if isinstance(kind, String | Key) else column.type.compile(dialect)


def to_json_set(values: Iterable[str]) -> str:
    """Return notice numbers as the parameter of `notice_set`."""
    return msgspec.json.encode(list(values)).decode()


def to_json_rows(conn: Connection, columns: Sequence[ColumnClause[Any]], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as the parameter of `row_set`, with each value in the form in which the database stores it.

    A row may omit columns that are NULL. Keys that are not in `columns` are ignored.
    """
    values = (stored_values(column, conn.dialect, rows) for column in columns)
    return msgspec.json.encode(list(zip(*values, strict=True))).decode()


def stored_values(column: ColumnClause[Any], dialect: Dialect, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return the values of a column in the form in which the database stores them, or None if a row omits it."""
    name, store = column.name, column.type.dialect_impl(dialect).bind_processor(dialect)
    if store is None:
        return [row.get(name) for row in rows]
    return [store(row.get(name)) for row in rows]
