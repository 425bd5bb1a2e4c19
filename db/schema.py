"""Which schema a database has, and whether it is the newest one.

Without alembic, which `db.migration` needs, since it takes a tenth of a second of each start.
"""

from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

from db.engine import Database
from domain.errors import OperatorError

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE = "ocms_schema_version"

_version = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32)))  # alembic's


def require_current(database: Database) -> None:
    """Raise OperatorError unless the schema is the newest one. Raises DatabaseError when it cannot be told."""
    require_file(database)
    with database.reading() as conn:
        revision = get_revision(conn)
    if revision != newest():
        found = revision or "none"
        raise OperatorError(f"{database} is at schema {found} instead of {newest()}: run 'ocms db upgrade' first")


def require_file(database: Database) -> None:
    """Raise OperatorError when an SQLite database does not exist."""
    if database.path and not database.path.exists():
        raise OperatorError(f"there is no database {database}: run 'ocms db upgrade' first")


def get_revision(conn: Connection) -> str | None:
    """Return the revision of the schema of a database; None when it was never migrated."""
    if not inspect(conn).has_table(VERSION_TABLE, schema_of(conn)):
        return None
    return conn.execute(select(_version.c.version_num)).scalar_one_or_none()


def schema_of(conn: Connection) -> str | None:
    """Return the schema of the tables; None for the default one of the login."""
    names: dict[str | None, str | None] = conn.get_execution_options().get("schema_translate_map", {})
    return names.get(None)


def newest() -> str:
    """Return the revision of the newest schema, which the name of its migration begins with."""
    return max(path.name for path in MIGRATIONS.glob("versions/*.py")).partition("_")[0]
