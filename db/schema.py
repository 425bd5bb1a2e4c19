"""The schema revision of a database, and whether it is the newest one.

Only `db.migration` imports alembic: the import takes a tenth of a second, which every start would pay.
"""

from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

from db.engine import Database
from domain.errors import OperatorError

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE = "ocms_schema_version"

_version = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32)))  # as alembic creates it


def require_current(database: Database) -> None:
    """Raise OperatorError if the schema is not the newest one. Raises DatabaseError if it cannot be read."""
    require_file(database)
    with database.reading() as conn:
        revision = get_revision(conn)
    if revision != newest():
        found = revision or "none"
        raise OperatorError(f"{database} is at schema {found} instead of {newest()}: run 'ocms db upgrade' first")


def require_file(database: Database) -> None:
    """Raise OperatorError if the file of an SQLite database does not exist, or if its directory may not be read."""
    if database.path is None:
        return
    try:
        database.path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise OperatorError(f"there is no database {database}: run 'ocms db upgrade' first") from None
    except OSError as error:
        raise OperatorError(f"OCMS_DATABASE_URL: cannot open {database}: {error.strerror}") from None


def get_revision(conn: Connection) -> str | None:
    """Return the schema revision of a database; None if it was never migrated."""
    if not inspect(conn).has_table(VERSION_TABLE, schema_of(conn)):
        return None
    return conn.execute(select(_version.c.version_num)).scalar_one_or_none()


def schema_of(conn: Connection) -> str | None:
    """Return the name of the schema of the tables; None for the login's default schema."""
    names: dict[str | None, str | None] = conn.get_execution_options().get("schema_translate_map", {})
    return names.get(None)


def newest() -> str:
    """Return the newest revision. The file name of a migration begins with its revision."""
    return max(path.name for path in MIGRATIONS.glob("versions/*.py")).partition("_")[0]
