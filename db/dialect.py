"""SQL that differs between SQLite, the embedded default, and SQL Server (`mssql`), which is used in production.

Exact comparison, emptying a table, and temporary tables.
"""

from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import (
    VARBINARY,
    ColumnClause,
    ColumnElement,
    Connection,
    Dialect,
    String,
    Table,
    TableClause,
    and_,
    cast,
    column,
    delete,
    literal_column,
    table,
)
from sqlalchemy import text as sql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.ddl import ExecutableDDLElement
from sqlalchemy.types import TypeEngine

from db.column_types import EXACT, Key
from db.driver_errors import numbers_of
from db.engine import translated
from db.errors import DatabaseError

EmptyBy = Literal["truncate", "delete"]
"""How a table is emptied on SQL Server. SQLite has only DELETE."""
EMPTY_BY: EmptyBy = "truncate"
"""The default."""

_MAY_NOT_TRUNCATE = {229, 1088, 4701}
"""Error numbers of SQL Server if the login lacks the permission."""
_TRUNCATE_REFUSED = (
    "the login may not truncate {0}: grant it ALTER on {0} (docs/sql/grants.sql) or set OCMS_VIP_EMPTY_BY=delete ({1})"
)


def equals(dialect: str, key: ColumnClause[Any], value: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that a key column has exactly a value, on every database and collation.

    SQL Server compares by collation, which may ignore case, and ignores trailing blanks. There, the first comparison
    finds the row by the index, and the second one compares the bytes.
    """
    if dialect == "sqlite":
        return key == value
    collation = EXACT if isinstance(key.type, Key) else "DATABASE_DEFAULT"
    binary = VARBINARY(key.type.length)  # type: ignore[attr-defined]  # keys are VARCHAR
    return and_(key == value.op("COLLATE")(literal_column(collation)), cast(key, binary) == cast(value, binary))


def differs(dialect: str, old: ColumnElement[Any], new: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that two texts differ, on every database and collation. NULL differs from every text."""
    if dialect == "sqlite":
        return old.is_distinct_from(new)
    binary = VARBINARY(old.type.length)  # type: ignore[attr-defined]  # text is VARCHAR
    return cast(old, binary).is_distinct_from(cast(new, binary))


class _Truncate(ExecutableDDLElement):
    def __init__(self, table: Table) -> None:
        self.table = table


@compiles(_Truncate)
def _truncate(element: _Truncate, compiler: Any, **_: Any) -> str:
    return f"TRUNCATE TABLE {compiler.preparer.format_table(element.table)}"


def empty(conn: Connection, table: Table, by: EmptyBy) -> None:
    """Delete all rows of a table within the transaction.

    Raises DatabaseError. If the login lacks the permission, its text says what to grant or set.
    """
    if by == "delete" or conn.dialect.name == "sqlite":
        conn.execute(delete(table))
        return
    try:
        with translated():
            conn.execute(_Truncate(table))
    except DatabaseError as error:
        if not numbers_of(getattr(error.__cause__, "orig", error)) & _MAY_NOT_TRUNCATE:
            raise
        raise DatabaseError(_TRUNCATE_REFUSED.format(table.name, error)) from error


def temporary_copy(conn: Connection, original: Table, names: Sequence[str]) -> TableClause:
    """Return a new, empty temporary table with the columns `names` of another table.

    It exists until the connection is closed, or until this function is called again for the same original.
    """
    name, temporary = f"{original.name}_staging", "TEMPORARY "
    if conn.dialect.name == "mssql":
        name, temporary = f"#{name}", ""
    columns = ", ".join(f"{n} {_temporary_type(original.c[n].type, conn.dialect)} NULL" for n in names)
    conn.execute(sql(f"DROP TABLE IF EXISTS {name}"))
    conn.execute(sql(f"CREATE {temporary}TABLE {name} ({columns})"))
    return table(name, *(column(n, original.c[n].type) for n in names))


def _temporary_type(kind: TypeEngine[Any], dialect: Dialect) -> str:
    """Return a type as DDL. Text without a collation gets that of the database; the default is that of tempdb."""
    plain = isinstance(kind, String) and dialect.name == "mssql"
    return kind.compile(dialect) + (" COLLATE DATABASE_DEFAULT" if plain else "")
