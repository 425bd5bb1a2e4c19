"""Migrating the schema, with alembic."""

from io import SEEK_END, StringIO

from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from db.engine import Database
from db.files import create_file
from db.schema import MIGRATIONS, newest
from domain.errors import OperatorError

_SCRIPT_HEADER = """\
-- Run it in the database of OCMS so that it stops at the first error: sqlcmd -b -S HOST -d DATABASE -i upgrade.sql
-- The tables are created in the default schema of the user who runs it.

"""


def upgrade(database: Database) -> str:
    """Migrate a database to the newest schema, and return its revision. An SQLite file is created if it is missing.

    Raises DatabaseError, and OperatorError if the database was migrated by a newer version.
    """
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

    `since` is its current revision, "base" for an empty database. Raises OperatorError if the revision does not exist.
    """
    config = _config()
    config.output_buffer = StringIO(_SCRIPT_HEADER)
    config.output_buffer.seek(0, SEEK_END)
    try:
        command.upgrade(config, f"{since}:head", sql=True)
    except CommandError as error:
        raise OperatorError(f"there is no schema {since}: {error}") from error
    return config.output_buffer.getvalue()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
