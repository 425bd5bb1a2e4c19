"""Comparing a database with what the service needs, for `ocms db check`."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from sqlalchemy import Column, Connection, Inspector, Table, inspect, text
from sqlalchemy.dialects.mssql import DATETIMEOFFSET
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.types import DateTime, Numeric, String, TypeEngine

from db.dialect import EmptyBy, Instant, Money
from db.engine import Database
from db.grants import GRANTS, WRITTEN
from db.schema import migration_context, newest, schema_of
from db.tables import metadata

Types = dict[Table, dict[str, TypeEngine[Any]]]

KEY_LENGTH = 50
"""Characters of a notice number, and of a code that CAS may send."""

OPENJSON_LEVEL = 130
"""The compatibility level from which SQL Server knows OPENJSON."""

_SETTINGS = text(
    "SELECT is_read_committed_snapshot_on, compatibility_level, "
    "CAST(DATABASEPROPERTYEX(DB_NAME(), 'Collation') AS VARCHAR(128)) FROM sys.databases WHERE database_id = DB_ID()"
)
_GRANTED = text("SELECT HAS_PERMS_BY_NAME(:name, 'OBJECT', :permission)")
_COLUMN_GRANTED = text("SELECT HAS_PERMS_BY_NAME(:name, 'OBJECT', :permission, :column, 'COLUMN')")


def list_differences(database: Database, empty_by: EmptyBy) -> list[str]:
    """Return what is missing or other than the service needs, each in one line. Raises DatabaseError."""
    with database.private() as conn:
        found = _columns(conn)
        differences = [*_schema(conn), *_tables(conn, found)]
        if conn.dialect.name == "mssql":
            differences += [*_settings(conn, found), *_permissions(conn, empty_by)]
        return differences


def _columns(conn: Connection) -> Types:
    """Return the types of the columns that there are, by table and name."""
    inspector, types = inspect(conn), {}
    for table in metadata.sorted_tables:
        with suppress(NoSuchTableError):
            columns = inspector.get_columns(table.name, schema_of(conn))
            types[table] = {column["name"]: column["type"] for column in columns}
    return types


def _schema(conn: Connection) -> Iterator[str]:
    revision = migration_context(conn).get_current_revision()
    if revision != newest():
        yield f"the schema is at {revision or 'none'} instead of {newest()}: run 'ocms db upgrade'"


def _tables(conn: Connection, types: Types) -> Iterator[str]:
    inspector = inspect(conn)
    for table in metadata.sorted_tables:
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
            yield f"table {table.name} has no primary key or unique index on {names}: each call would read all of it"


def _wrong_type(table: Table, column: Column[Any], found: TypeEngine[Any], dialect: str) -> str:
    """Return what is wrong with a column's type; empty when it serves."""
    shown = str(found)
    if isinstance(column.type, Instant):
        local = isinstance(found, DateTime) and not isinstance(found, DATETIMEOFFSET)
        return "" if local else f"is {shown}, needs DATETIME2"
    if isinstance(column.type, Money):
        exact = isinstance(found, Numeric) and found.scale == 2  # noqa: PLR2004  # cents
        return (
            "" if exact or (dialect == "sqlite" and isinstance(found, String)) else f"is {shown}, needs DECIMAL(10, 2)"
        )
    if not isinstance(column.type, String):
        return ""
    if not isinstance(found, String) or (column.primary_key and "NVARCHAR" in shown.upper()):
        return f"is {shown}, needs VARCHAR"
    written = column.primary_key or column.name in WRITTEN.get(table, ())
    if written and found.length is not None and found.length < KEY_LENGTH:
        return f"is {shown}, needs VARCHAR({KEY_LENGTH}): longer values would be refused"
    return ""


def _has_key_index(inspector: Inspector, table: Table, schema: str | None) -> bool:
    key = {column.name for column in table.primary_key}
    if set(inspector.get_pk_constraint(table.name, schema)["constrained_columns"]) == key:
        return True
    return any(i["unique"] and set(i["column_names"]) == key for i in inspector.get_indexes(table.name, schema))


def _settings(conn: Connection, found: Types) -> Iterator[str]:
    versioned, level, collation = conn.execute(_SETTINGS).one()
    if not versioned:
        yield (
            "READ_COMMITTED_SNAPSHOT is off, so that readers wait for writers: "
            "ALTER DATABASE CURRENT SET READ_COMMITTED_SNAPSHOT ON WITH ROLLBACK IMMEDIATE"
        )
    if level < OPENJSON_LEVEL:
        yield (
            f"the compatibility level is {level}, and OPENJSON needs {OPENJSON_LEVEL}: "
            f"ALTER DATABASE CURRENT SET COMPATIBILITY_LEVEL = {OPENJSON_LEVEL}"
        )
    for table in WRITTEN:
        other = getattr(found.get(table, {}).get("notice_no"), "collation", None)
        if other and other != collation:
            yield (
                f"column {table.name}.notice_no has the collation {other} and the database {collation}: "
                "its index cannot be used"
            )


def _permissions(conn: Connection, empty_by: EmptyBy) -> Iterator[str]:
    prefix = f"{schema}." if (schema := schema_of(conn)) else ""
    for table, permissions in GRANTS.items():
        for listed in permissions:
            permission = "DELETE" if (listed, empty_by) == ("ALTER", "delete") else listed
            asked = {"name": prefix + table.name, "permission": permission}
            columns = WRITTEN.get(table, []) if permission == "UPDATE" else []
            lacking = [c for c in columns if conn.execute(_COLUMN_GRANTED, asked | {"column": c}).scalar() == 0]
            if lacking:
                yield f"the login lacks UPDATE on {table.name} ({', '.join(lacking)}): see docs/sql/grants.sql"
            elif not columns and conn.execute(_GRANTED, asked).scalar() == 0:
                yield f"the login lacks {permission} on {table.name}: see docs/sql/grants.sql"
