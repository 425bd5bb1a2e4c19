"""Bringing the schema up to date, and telling whether it is."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from db.engine import Database, create_file
from ocms.errors import OperatorError

VERSION_TABLE = "ocms_schema_version"


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


def require_current(database: Database) -> None:
    """Raise OperatorError unless the schema is the newest one. Raises DatabaseError when it cannot be told."""
    if database.path and not database.path.exists():
        raise OperatorError(f"there is no database {database}: run 'ocms db upgrade' first")
    with database.reading() as conn:
        revision = MigrationContext.configure(conn, opts={"version_table": VERSION_TABLE}).get_current_revision()
    if revision != newest():
        found = revision or "none"
        raise OperatorError(f"{database} is at schema {found} instead of {newest()}: run 'ocms db upgrade' first")


def newest() -> str:
    """Return the revision of the newest schema."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config
