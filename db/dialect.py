"""What differs between the databases: SQLite is the embedded default, SQL Server (`mssql`) is production.

Column types, exact comparison, sets passed as one JSON parameter, emptying a table, temporary tables, a job's lock.
"""

import fcntl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from itertools import chain
from typing import Any, Literal

import msgspec
from sqlalchemy import (
    VARBINARY,
    VARCHAR,
    Column,
    ColumnClause,
    ColumnElement,
    Connection,
    DateTime,
    Dialect,
    Numeric,
    String,
    Subquery,
    Table,
    TableClause,
    TypeDecorator,
    UnicodeText,
    and_,
    bindparam,
    cast,
    column,
    delete,
    insert,
    literal_column,
    select,
    table,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.mssql import DATETIME2
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.ddl import ExecutableDDLElement
from sqlalchemy.sql.selectable import TextualSelect
from sqlalchemy.types import TypeEngine

from db.driver_errors import numbers_of, of_odbc
from db.engine import Database, translated
from ocms.errors import DatabaseError, DatabaseUnavailableError, JobRunningError
from ocms.rules import SINGAPORE

OFFSET = str(SINGAPORE).removeprefix("UTC")
"""Of every stored time, as RFC 3339 writes it: +08:00."""
CENT = Decimal("0.01")
EmptyBy = Literal["truncate", "delete"]
"""How a table is emptied on SQL Server; SQLite knows one way only."""

EXACT = "Latin1_General_BIN2"
"""The collation of keys of our own tables on SQL Server: it tells every two characters apart."""
_LOCK = """\
SET NOCOUNT ON;
DECLARE @granted INT;
EXEC @granted = sp_getapplock @Resource = ?, @LockMode = 'Exclusive', @LockOwner = 'Session', @LockTimeout = 0;
SET NOCOUNT OFF;
SELECT @granted"""
"""Counting is on again when it ends, else every later statement of the connection would tell no row count."""
_HELD_BY_ANOTHER = -1
_MAY_NOT_TRUNCATE = {229, 1088, 4701}
_TRUNCATE_REFUSED = (
    "the login may not truncate {0}: grant it ALTER on {0} (docs/sql/grants.sql) or set OCMS_VIP_EMPTY_BY=delete ({1})"
)


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
        """Return what adds the offset to a stored time, in one step: a large answer has ten thousands of them."""
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


def same(dialect: str, key: ColumnClause[Any], given: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return a comparison of a key column with a given value, exact on every database.

    SQL Server compares by the collation, which may ignore case, and never looks at trailing blanks. So the first part
    of the comparison finds the row by the index, and the second one tells whether it is the right one.
    """
    if dialect == "sqlite":
        return key == given
    collation = EXACT if isinstance(key.type, Key) else "DATABASE_DEFAULT"
    binary = VARBINARY(key.type.length)  # type: ignore[attr-defined]  # keys are VARCHAR
    return and_(key == given.op("COLLATE")(literal_column(collation)), cast(key, binary) == cast(given, binary))


def is_other(dialect: str, old: ColumnElement[Any], new: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return whether two values of text differ, NULL being a value, whatever the collation of the database."""
    if dialect == "sqlite":
        return old.is_distinct_from(new)
    binary = VARBINARY(old.type.length)  # type: ignore[attr-defined]  # text is VARCHAR
    return cast(old, binary).is_distinct_from(cast(new, binary))


def notice_set(dialect: str) -> Subquery:
    """Return the set of notice numbers that the parameter `notice_nos` (a JSON array) holds, as a table."""
    text = {
        "sqlite": "SELECT value AS notice_no FROM json_each(:notice_nos)",
        "mssql": "SELECT notice_no FROM OPENJSON(:notice_nos) WITH (notice_no VARCHAR(50) '$')",
    }[dialect]
    return _from_json(text, "notice_nos", Column("notice_no", VARCHAR(50))).subquery("asked")


def row_set(conn: Connection, columns: Sequence[ColumnClause[Any]]) -> Subquery:
    """Return the rows that the parameter `rows` (a JSON array of arrays, see `to_json_rows`) holds, as a table."""
    if conn.dialect.name == "sqlite":
        names = ", ".join(f"json_extract(value, '$[{place}]') AS {c.name}" for place, c in enumerate(columns))
        text = f"SELECT {names} FROM json_each(:rows)"  # noqa: S608  # column names of our own tables
    else:
        types = ", ".join(f"{c.name} {_json_type(c, conn.dialect)} '$[{i}]'" for i, c in enumerate(columns))
        text = f"SELECT * FROM OPENJSON(:rows) WITH ({types})"  # noqa: S608  # the same
    return _from_json(text, "rows", *(Column(column.name, column.type) for column in columns)).subquery("given")


def _from_json(text: str, parameter: str, *columns: Column[Any]) -> TextualSelect:
    # UnicodeText is NVARCHAR(max) whatever its length, so that there is one plan
    return sql(text).bindparams(bindparam(parameter, type_=UnicodeText())).columns(*columns)


def _json_type(column: ColumnClause[Any], dialect: Dialect) -> str:
    kind: Any = column.type
    return f"VARCHAR({kind.length})" if isinstance(kind, String | Key) else column.type.compile(dialect)


def to_json_set(values: Iterable[str]) -> str:
    """Return the value of the parameter of `notice_set`."""
    return msgspec.json.encode(list(values)).decode()


def to_json_rows(conn: Connection, columns: Sequence[ColumnClause[Any]], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the value of the parameter of `row_set`: each value as the database stores it.

    A row may lack what is NULL, and have more, which is not read.
    """
    values = (_stored(column, conn.dialect, rows) for column in columns)
    return msgspec.json.encode(list(zip(*values, strict=True))).decode()


def fill(conn: Connection, table: TableClause, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows into a table, which is the quickest way on each database; a row may lack what is NULL."""
    columns = list(table.columns)
    if conn.dialect.name == "sqlite":  # which takes a list of values in half the time of a JSON parameter
        places = ", ".join([f"({', '.join('?' * len(columns))})"] * len(rows))
        values = zip(*(_stored(column, conn.dialect, rows) for column in columns), strict=True)
        conn.exec_driver_sql(f"INSERT INTO {table.name} VALUES {places}", tuple(chain.from_iterable(values)))  # noqa: S608  # names of ours
        return
    given = row_set(conn, columns)
    statement = insert(table).from_select([column.name for column in columns], select(*given.c))
    conn.execute(statement, {"rows": to_json_rows(conn, columns, rows)})


def _stored(column: ColumnClause[Any], dialect: Dialect, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    name, store = column.name, column.type.dialect_impl(dialect).bind_processor(dialect)
    if store is None:
        return [row.get(name) for row in rows]
    return [store(row.get(name)) for row in rows]


class _Truncate(ExecutableDDLElement):
    def __init__(self, table: Table) -> None:
        self.table = table


@compiles(_Truncate)
def _truncate(element: _Truncate, compiler: Any, **_: Any) -> str:
    return f"TRUNCATE TABLE {compiler.preparer.format_table(element.table)}"


def empty(conn: Connection, table: Table, by: EmptyBy) -> None:
    """Empty a table within the transaction. Raises DatabaseError, which says what to do when the login may not."""
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
    """Return a new temporary table with some columns of another one; it is gone when the connection is closed.

    An earlier one of this connection is replaced.
    """
    name, temporary = f"{original.name}_staging", "TEMPORARY "
    if conn.dialect.name == "mssql":
        name, temporary = f"#{name}", ""
    columns = ", ".join(f"{n} {_temporary_type(original.c[n].type, conn.dialect)} NULL" for n in names)
    conn.execute(sql(f"DROP TABLE IF EXISTS {name}"))
    conn.execute(sql(f"CREATE {temporary}TABLE {name} ({columns})"))
    return table(name, *(column(n, original.c[n].type) for n in names))


def _temporary_type(kind: TypeEngine[Any], dialect: Dialect) -> str:
    """Return a type as DDL; text that names no collation gets the database's, not the one of tempdb."""
    plain = isinstance(kind, String) and dialect.name == "mssql"
    return kind.compile(dialect) + (" COLLATE DATABASE_DEFAULT" if plain else "")


@contextmanager
def job_lock(database: Database, job: str) -> Iterator[None]:
    """Hold the lock of a job, which one holder has at a time; it is free again when its holder is gone.

    On SQL Server it is an application lock of the database, so that it holds for all replicas. An SQLite database is of
    one machine, and so is its lock, of a file beside it. Raises JobRunningError and DatabaseError.
    """
    if database.path is None:
        with database.private() as conn:
            _lock_application(conn, job)
            yield
        return
    path = database.path.with_name(f"{database.path.name}.{job}.lock")
    try:
        file = path.open("w")
    except OSError as error:
        raise DatabaseUnavailableError(f"cannot lock {path}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JobRunningError(f"{job} is running already") from None
        yield


def _lock_application(conn: Connection, job: str) -> None:
    cursor: Any = conn.connection.cursor()
    try:
        cursor.execute(_LOCK, f"ocms:{job}")
        # a refusal may bring an empty result first
        while cursor.description is None or (row := cursor.fetchone()) is None:
            if not cursor.nextset():
                raise DatabaseError("sp_getapplock gave no result")
        cursor.commit()  # the lock is of the session, which else would sit in a transaction meanwhile
    except conn.dialect.dbapi.Error as error:  # type: ignore[union-attr]  # there is a driver where there is a connection
        raise of_odbc(error) from error
    finally:
        cursor.close()
    if row[0] == _HELD_BY_ANOTHER:
        raise JobRunningError(f"{job} is running already, on this machine or another one")
    if row[0] < 0:
        raise DatabaseError(f"sp_getapplock answered {row[0]}")
