"""Bringing the schema up to date, and telling whether it is."""

from io import SEEK_END, StringIO
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from db.engine import Database, create_file
from ocms.errors import OperatorError

VERSION_TABLE = "ocms_schema_version"

_SCRIPT_HEADER = """\
-- Run it in the database of OCMS so that it stops at the first error: sqlcmd -b -S HOST -d DATABASE -i upgrade.sql
-- The tables are made in the default schema of who runs it.

"""


def upgrade(database: Database) -> str:
    """Migrate to the newest schema; return its revision. Raises DatabaseError."""
    if database.path:
        create_file(database.path)
    config = _config()
    with database.writing() as conn:
        config.attributes["connection"] = conn
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise OperatorError(f"{database} was migrated by a newer version of this service: {error}") from error
    return newest()


def upgrade_script(since: str = "base") -> str:
    """Return the T-SQL that migrates a SQL Server database, for a DBA to review and run.

    `since` is the revision that it has; an empty one has "base". Raises OperatorError when there is no such revision.
    """
    config = _config()
    config.output_buffer = StringIO(_SCRIPT_HEADER)
    config.output_buffer.seek(0, SEEK_END)
    try:
        command.upgrade(config, f"{since}:head", sql=True)
    except CommandError as error:
        raise OperatorError(f"there is no schema {since}: {error}") from error
    return config.output_buffer.getvalue()


def require_current(database: Database) -> None:
    """Raise OperatorError unless the schema is the newest one. Raises DatabaseError when it cannot be told."""
    require_file(database)
    with database.reading() as conn:
        revision = migration_context(conn).get_current_revision()
    if revision != newest():
        found = revision or "none"
        raise OperatorError(f"{database} is at schema {found} instead of {newest()}: run 'ocms db upgrade' first")


def require_file(database: Database) -> None:
    """Raise OperatorError when an SQLite database does not exist."""
    if database.path and not database.path.exists():
        raise OperatorError(f"there is no database {database}: run 'ocms db upgrade' first")


def migration_context(conn: Connection) -> MigrationContext:
    """Return what alembic knows of the database."""
    options = {"version_table": VERSION_TABLE, "version_table_schema": schema_of(conn)}
    return MigrationContext.configure(conn, opts=options)


def schema_of(conn: Connection) -> str | None:
    """Return the schema of the tables; None for the default one of the login."""
    names: dict[str | None, str | None] = conn.get_execution_options().get("schema_translate_map", {})
    return names.get(None)


def newest() -> str:
    """Return the revision of the newest schema."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config
