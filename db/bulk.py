"""Bulk inserts, updates and upserts: each chunk of rows is one statement with one JSON parameter."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import chain, islice
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, Select, Table, TableClause, exists, insert, literal, select, update

from db.dialect import same
from db.engine import in_savepoint
from db.errors import DuplicateKeyError
from db.json_sets import notice_set, row_set, stored_values, to_json_rows, to_json_set

CHUNK = 2_000
"""Rows in one statement: few enough that memory does not grow with the set, and that SQL Server does not lock the whole
table, as it does from 5,000 locks of rows and pages on."""
ATTEMPTS = 3
"""How often an upsert looks again after another writer was first."""

Row = Mapping[str, Any]
NOTHING: Row = {}
T = TypeVar("T")


def insert_rows(
    conn: Connection, table: Table, rows: Iterable[Row], shared: Row = NOTHING, *, only_new: bool = False
) -> int:
    """Insert rows, each with the same keys and with the `shared` values besides; return how many were given.

    `only_new` leaves out those whose `notice_no` the table has already.
    """
    count = 0
    for chunk in chunks(rows):
        columns = [table.c[name] for name in chunk[0]]
        given = row_set(conn, columns)
        new = select(*given.c, *shared_values(table, shared).values())
        if only_new:
            new = new.where(~exists().where(same(conn.dialect.name, table.c.notice_no, given.c.notice_no)))
        statement = insert(table).from_select([*(c.name for c in columns), *shared], new)
        conn.execute(statement, {"rows": to_json_rows(conn, columns, chunk)})
        count += len(chunk)
    return count


def update_rows(conn: Connection, table: Table, rows: Iterable[Row], shared: Row = NOTHING) -> None:
    """Update rows by their `notice_no`; each has the same keys, and gets the `shared` values besides."""
    for chunk in chunks(rows):
        columns = [table.c[name] for name in chunk[0]]
        given = row_set(conn, columns)
        changed = {c.name: given.c[c.name] for c in columns if c.name != "notice_no"} | shared_values(table, shared)
        statement = update(table).values(changed).where(same(conn.dialect.name, table.c.notice_no, given.c.notice_no))
        conn.execute(statement, {"rows": to_json_rows(conn, columns, chunk)})


def shared_values(table: TableClause, shared: Row) -> dict[str, Any]:
    """Return the values that all rows get, each as a column of a SELECT."""
    return {name: literal(value, table.c[name].type).label(name) for name, value in shared.items()}


def list_changed(conn: Connection, column: Column[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of `values` (notice number to value) that the column does not hold yet."""
    statement = _select_values(column, conn.dialect.name)
    stored = {row[0]: row[1] for row in conn.execute(statement, {"notice_nos": to_json_set(values)})}
    return {key: value for key, value in values.items() if key not in stored or stored[key] != value}


@cache
def _select_values(column: Column[Any], dialect: str) -> Select[Any]:
    """Return the statement that reads a column for a set of notices; building it costs more than running it."""
    table, asked = column.table, notice_set(dialect)
    return select(table.c.notice_no, column).join_from(
        asked, table, same(dialect, table.c.notice_no, asked.c.notice_no)
    )


def fill(conn: Connection, table: TableClause, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows into a table, which is the quickest way on each database; a row may lack what is NULL."""
    columns = list(table.columns)
    if conn.dialect.name == "sqlite":  # which takes a list of values in half the time of a JSON parameter
        places = ", ".join([f"({', '.join('?' * len(columns))})"] * len(rows))
        values = zip(*(stored_values(column, conn.dialect, rows) for column in columns), strict=True)
        conn.exec_driver_sql(f"INSERT INTO {table.name} VALUES {places}", tuple(chain.from_iterable(values)))  # noqa: S608  # names of ours
        return
    given = row_set(conn, columns)
    statement = insert(table).from_select([column.name for column in columns], select(*given.c))
    conn.execute(statement, {"rows": to_json_rows(conn, columns, rows)})


def upsert_values(
    conn: Connection, column: Column[Any], items: Sequence[tuple[str, Any]], user: str, now: datetime
) -> None:
    """Store a value for each notice number: update those that exist, insert the others.

    Where another writer inserts the same number meanwhile, that one was first and is updated, if there is need.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            in_savepoint(conn, _upsert_values, conn, column, dict(items), user, now)
        except DuplicateKeyError:
            if attempt == ATTEMPTS:
                raise
        else:
            break


def _upsert_values(conn: Connection, column: Column[Any], values: Mapping[str, Any], user: str, now: datetime) -> None:
    pending = list_changed(conn, column, values)
    rows = [{"notice_no": no, column.name: value} for no, value in pending.items()]
    update_rows(conn, column.table, rows, {"upd_date": now, "upd_user_id": user})
    insert_rows(conn, column.table, rows, {"cre_date": now, "cre_user_id": user}, only_new=True)


def chunks(rows: Iterable[T]) -> Iterator[list[T]]:
    """Cut rows into parts of one statement each."""
    iterator = iter(rows)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk
