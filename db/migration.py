"""Bringing the schema up to date."""

from io import SEEK_END, StringIO

from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from db.engine import Database, create_file
from db.schema import MIGRATIONS, newest
from domain.errors import OperatorError

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


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
