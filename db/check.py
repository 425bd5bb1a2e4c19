"""Compare a database with what the service needs, for `ocms db check`."""

import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import CHAR, NCHAR, NVARCHAR, Column, Connection, Inspector, Table, inspect, text
from sqlalchemy.dialects.mssql import DATETIME2
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.types import DateTime, Numeric, String, TypeEngine

from db import tables
from db.column_types import EXACT, Instant, Key, Money
from db.dialect import EmptyBy
from db.engine import Database
from db.grants import GRANTS, WRITTEN
from db.schema import get_revision, newest, schema_of

Types = dict[Table, dict[str, TypeEngine[Any]]]

CENTS, DIGITS = 2, 10
"""The scale and the least precision of an amount in Singapore dollars."""
MICROSECONDS = 6
"""The number of decimals of the seconds that the service writes."""
OPENJSON_LEVEL = 130
"""The lowest compatibility level of SQL Server that has OPENJSON."""

_SETTINGS = text(
    "SELECT is_read_committed_snapshot_on, compatibility_level, "
    "CAST(DATABASEPROPERTYEX(DB_NAME(), 'Collation') AS VARCHAR(128)) FROM sys.databases WHERE database_id = DB_ID()"
)
_ROUNDED = text(
    "SELECT TABLE_NAME, COLUMN_NAME, DATETIME_PRECISION FROM INFORMATION_SCHEMA.COLUMNS WHERE DATA_TYPE = 'datetime2' "
    "AND DATETIME_PRECISION < :microseconds AND TABLE_SCHEMA = COALESCE(:schema, SCHEMA_NAME())"
)
_GRANTED = text("SELECT HAS_PERMS_BY_NAME(:name, 'OBJECT', :permission)")
_COLUMN_GRANTED = text("SELECT HAS_PERMS_BY_NAME(:name, 'OBJECT', :permission, :column, 'COLUMN')")


def list_differences(database: Database, empty_by: EmptyBy) -> list[str]:
    """Return what is missing or unsuitable, one line for each difference. Raises DatabaseError."""
    with database.private() as conn:
        found = _columns(conn)
        differences = [*_schema(conn), *_tables(conn, found), *_mode(database.path)]
        if conn.dialect.name == "mssql":
            differences += [*_rounded(conn), *_settings(conn, found), *_permissions(conn, empty_by)]
        return differences


def _mode(path: Path | None) -> Iterator[str]:
    if path and path.stat().st_mode & stat.S_IROTH:
        yield f"every user of this machine can read {path}: run 'chmod o= {path}*'"


def _columns(conn: Connection) -> Types:
    """Return the types of the columns that exist, by table and name."""
    inspector, types = inspect(conn), {}
    for table in tables.metadata.sorted_tables:
        with suppress(NoSuchTableError):
            columns = inspector.get_columns(table.name, schema_of(conn))
            types[table] = {column["name"]: column["type"] for column in columns}
    return types


def _schema(conn: Connection) -> Iterator[str]:
    revision = get_revision(conn)
    if revision != newest():
        yield f"the schema is at {revision or 'none'} instead of {newest()}: run 'ocms db upgrade'"


def _tables(conn: Connection, types: Types) -> Iterator[str]:
    inspector = inspect(conn)
    for table in tables.metadata.sorted_tables:
        if not (found := types.get(table)):
            yield f"table {table.name} is missing, or the login may not see it"
            continue
        for column in table.columns:
            if column.name not in found:
                yield f"column {table.name}.{column.name} is missing"
            elif wrong := _wrong_type(table, column, found[column.name], conn.dialect.name):
                yield f"column {table.name}.{column.name} {wrong}"
        if not _has_key_index(inspector, table, schema_of(conn)):
            names = ", ".join(column.name for column in table.primary_key)
            yield f"table {table.name} has no primary key or unique index on {names}: each request would scan it"


def _wrong_type(table: Table, column: Column[Any], found: TypeEngine[Any], dialect: str) -> str:
    """Return what is wrong with the type of a column, or an empty text."""
    sqlite, needed, shown = dialect == "sqlite", column.type, str(found)
    if isinstance(needed, Instant):  # DATETIME and SMALLDATETIME round
        return "" if isinstance(found, DateTime if sqlite else DATETIME2) else f"is {shown}, needs DATETIME2"
    if isinstance(needed, Money):
        cents = isinstance(found, Numeric) and found.scale == CENTS and (found.precision or 0) >= DIGITS
        return "" if cents or (sqlite and isinstance(found, String)) else f"is {shown}, needs DECIMAL(10, 2)"
    return _wrong_text(table, column, found, dialect) if isinstance(needed, String | Key) else ""


def _wrong_text(table: Table, column: Column[Any], found: TypeEngine[Any], dialect: str) -> str:
    needed, shown = column.type, str(found)
    padded = isinstance(found, CHAR | NCHAR) and not isinstance(needed, CHAR)
    wide = column.primary_key and isinstance(found, NVARCHAR)
    if not isinstance(found, String) or padded or wide:
        return f"is {shown}, needs VARCHAR"
    if isinstance(needed, Key) and dialect == "mssql" and found.collation != EXACT:
        return f"has the collation {found.collation}, needs {EXACT}"
    least = _least_length(table, column)
    if found.length is not None and found.length < least:
        return f"is {shown}, needs VARCHAR({least}): longer values would be refused"
    return ""


def _least_length(table: Table, column: Column[Any]) -> int:
    """Return the length of the longest value that the service may write, or 0 if it writes none."""
    if column is tables.valid_offence_notice.c.suspension_type:
        return 2  # TS or PS
    ours = table not in WRITTEN
    return int(column.type.length) if ours or column.name in WRITTEN[table] else 0  # type: ignore[attr-defined]  # the type is a text


def _has_key_index(inspector: Inspector, table: Table, schema: str | None) -> bool:
    key = {column.name for column in table.primary_key}
    if set(inspector.get_pk_constraint(table.name, schema)["constrained_columns"]) == key:
        return True
    return any(i["unique"] and set(i["column_names"]) == key for i in inspector.get_indexes(table.name, schema))


def _settings(conn: Connection, found: Types) -> Iterator[str]:
    versioned, level, collation = conn.execute(_SETTINGS).one()
    if not versioned:
        yield "READ_COMMITTED_SNAPSHOT is off, so readers wait for writers: see docs/sql-server.md"
    if level < OPENJSON_LEVEL:
        yield (
            f"the compatibility level is {level}, and OPENJSON needs {OPENJSON_LEVEL}: "
            f"ALTER DATABASE CURRENT SET COMPATIBILITY_LEVEL = {OPENJSON_LEVEL}"
        )
    for table in WRITTEN:
        own = getattr(found.get(table, {}).get("notice_no"), "collation", None)
        if own and own != collation:
            yield (
                f"column {table.name}.notice_no has the collation {own} and the database {collation}: "
                "its index cannot be used"
            )


def _rounded(conn: Connection) -> Iterator[str]:
    """Yield the columns that would round the times that the service writes, possibly up to the next day."""
    given = {"microseconds": MICROSECONDS, "schema": schema_of(conn)}
    for table_name, column_name, precision in conn.execute(_ROUNDED, given):
        table = tables.metadata.tables.get(table_name)
        if table is not None and column_name in WRITTEN.get(table, table.columns):
            needed = f"needs DATETIME2({MICROSECONDS}): times would be rounded"
            yield f"column {table_name}.{column_name} is DATETIME2({precision}), {needed}"


def _permissions(conn: Connection, empty_by: EmptyBy) -> Iterator[str]:
    prefix = f"{schema}." if (schema := schema_of(conn)) else ""
    for table, permissions in GRANTS.items():
        for listed in permissions:
            permission = "DELETE" if (listed, empty_by) == ("ALTER", "delete") else listed
            key = {"name": prefix + table.name, "permission": permission}
            columns = WRITTEN.get(table, []) if permission == "UPDATE" else []
            lacking = [c for c in columns if conn.execute(_COLUMN_GRANTED, key | {"column": c}).scalar() == 0]
            if lacking:
                yield f"the login lacks UPDATE on {table.name} ({', '.join(lacking)}): see docs/sql/grants.sql"
            elif not columns and conn.execute(_GRANTED, key).scalar() == 0:
                yield f"the login lacks {permission} on {table.name}: see docs/sql/grants.sql"
