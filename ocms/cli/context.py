"""The first steps of most commands: settings, logging, database."""

from collections.abc import Iterator
from contextlib import contextmanager

from db.engine import Database
from db.schema import require_current
from ocms.database import open_database
from ocms.logs import configure_logging
from ocms.settings import Settings, load_settings


def configured() -> Settings:
    """Read the settings and set up logging. Raises OperatorError."""
    settings = load_settings()
    configure_logging(settings.log_format)
    return settings


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """Open the database until the block ends. Raises OperatorError if its schema is not current."""
    database = open_database(settings)
    try:
        require_current(database)
        yield database
    finally:
        database.close()
