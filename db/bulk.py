"""Bulk inserts, updates and upserts. Rows are sent in chunks, usually as one JSON parameter per statement."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import chain, islice
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, Select, Table, TableClause, exists, insert, literal, select, update

from db.dialect import equals
from db.engine import in_savepoint
from db.errors import DuplicateKeyError
from db.json_sets import notice_set, row_set, stored_values, to_json_rows, to_json_set

CHUNK = 2_000
"""Rows in one statement. It bounds memory, and is below the 5,000 row locks at which SQL Server locks the table."""
UPSERT_ATTEMPTS = 3
"""The maximum number of runs of an upsert while other writers insert its keys."""

Row = Mapping[str, Any]
NO_VALUES: Row = {}
T = TypeVar("T")


def insert_rows(
    conn: Connection, table: Table, rows: Iterable[Row], shared: Row = NO_VALUES, *, only_new: bool = False
) -> int:
    """Insert rows, and return how many were given. All rows have the same keys; `shared` is added to each.

    `only_new` skips rows whose `notice_no` is in the table already.
    """
    count = 0
    for chunk in chunks(rows):
        columns = [table.c[name] for name in chunk[0]]
        given = row_set(conn, columns)
        new = select(*given.c, *shared_values(table, shared).values())
        if only_new:
            new = new.where(~exists().where(equals(conn.dialect.name, table.c.notice_no, given.c.notice_no)))
        statement = insert(table).from_select([*(c.name for c in columns), *shared], new)
        conn.execute(statement, {"rows": to_json_rows(conn, columns, chunk)})
        count += len(chunk)
    return count


def update_rows(conn: Connection, table: Table, rows: Iterable[Row], shared: Row = NO_VALUES) -> None:
    """Update rows by their `notice_no`. All rows have the same keys; `shared` is added to each."""
    for chunk in chunks(rows):
        columns = [table.c[name] for name in chunk[0]]
        given = row_set(conn, columns)
        changed = {c.name: given.c[c.name] for c in columns if c.name != "notice_no"} | shared_values(table, shared)
        statement = update(table).values(changed).where(equals(conn.dialect.name, table.c.notice_no, given.c.notice_no))
        conn.execute(statement, {"rows": to_json_rows(conn, columns, chunk)})


def shared_values(table: TableClause, shared: Row) -> dict[str, Any]:
    """Return values that all rows have, each as a column for a SELECT."""
    return {name: literal(value, table.c[name].type).label(name) for name, value in shared.items()}


def list_changed(conn: Connection, column: Column[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those `values` (by notice number) that differ from the stored value, or have no row."""
    statement = _select_values(column, conn.dialect.name)
    stored = {row[0]: row[1] for row in conn.execute(statement, {"notice_nos": to_json_set(values)})}
    return {key: value for key, value in values.items() if key not in stored or stored[key] != value}


@cache
def _select_values(column: Column[Any], dialect: str) -> Select[Any]:
    """Return the statement that reads a column for a set of notices. Building it takes longer than running it."""
    table, requested = column.table, notice_set(dialect)
    return select(table.c.notice_no, column).join_from(
        requested, table, equals(dialect, table.c.notice_no, requested.c.notice_no)
    )


def fill(conn: Connection, table: TableClause, rows: Sequence[Row]) -> None:
    """Insert rows into a table in the fastest way for the database. A row may omit columns that are NULL."""
    columns = list(table.columns)
    if conn.dialect.name == "sqlite":  # a list of values takes half the time of a JSON parameter
        places = ", ".join([f"({', '.join('?' * len(columns))})"] * len(rows))
        values = zip(*(stored_values(column, conn.dialect, rows) for column in columns), strict=True)
        conn.exec_driver_sql(f"INSERT INTO {table.name} VALUES {places}", tuple(chain.from_iterable(values)))  # noqa: S608  # the name of our own table
        return
    given = row_set(conn, columns)
    statement = insert(table).from_select([column.name for column in columns], select(*given.c))
    conn.execute(statement, {"rows": to_json_rows(conn, columns, rows)})


def upsert_values(
    conn: Connection, column: Column[Any], items: Sequence[tuple[str, Any]], user: str, now: datetime
) -> None:
    """Store a value for each notice number: update the rows that exist, and insert the others.

    If another writer inserts the key first, read again and update where the value differs. Raises DatabaseError.
    """
    for attempt in range(1, UPSERT_ATTEMPTS + 1):
        try:
            in_savepoint(conn, _upsert_values, conn, column, dict(items), user, now)
        except DuplicateKeyError:
            if attempt == UPSERT_ATTEMPTS:
                raise
        else:
            break


def _upsert_values(conn: Connection, column: Column[Any], values: Mapping[str, Any], user: str, now: datetime) -> None:
    pending = list_changed(conn, column, values)
    rows = [{"notice_no": no, column.name: value} for no, value in pending.items()]
    update_rows(conn, column.table, rows, {"upd_date": now, "upd_user_id": user})
    insert_rows(conn, column.table, rows, {"cre_date": now, "cre_user_id": user}, only_new=True)


def chunks(rows: Iterable[T]) -> Iterator[list[T]]:
    """Yield the rows in lists of at most `CHUNK`, each for one statement."""
    iterator = iter(rows)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk
