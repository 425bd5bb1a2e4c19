"""Opening the database that the settings name."""

import structlog

from db.demo_database import has_mark, remove_mark
from db.engine import Database, connect
from db.errors import DatabaseUnavailableError
from db.schema import require_current
from ocms.settings import Settings

_TAKEN = "'ocms demo' created this database and refuses it from now on, since it would overwrite data"

_log = structlog.get_logger(__name__)


def open_database(settings: Settings) -> Database:
    """Return the database of the settings. No connection is made yet. Raises OperatorError."""
    return connect(
        settings.database_url,
        connect_timeout=settings.database_connect_timeout,
        statement_timeout=settings.database_timeout,
    )


def prepare_database(settings: Settings) -> None:
    """Raise OperatorError if the schema is not the current one. Remove the mark of the demo, if there is one.

    The demo then refuses the database. A database that cannot be reached is only logged: the service starts, and
    responds with 503 until the database is reachable.
    """
    database = open_database(settings)
    try:
        require_current(database)
        if has_mark(database):
            database.write(remove_mark)
            _log.warning("demo_database_served", database=str(database), reason=_TAKEN)
    except DatabaseUnavailableError as error:
        _log.warning("database_unavailable", error=str(error))
    finally:
        database.close()
