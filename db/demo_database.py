"""The database of the demo, an SQLite file with a mark. The demo migrates and fills no other database.

The mark is SQLite's application id, which exists for this purpose and survives every change of the content.
`ocms serve` removes it, because the demo must not overwrite data that were served.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection

from db.engine import Database
from db.files import create_file
from domain.errors import OperatorError

MARK = b"OCMD"
_PLACE = 68
"""The offset of the application id in the header of an SQLite file, in bytes."""


def open_demo_file(database: Database) -> None:
    """Create the file with the mark, unless the demo created it earlier.

    An empty file counts as missing. Raises OperatorError if the file has no mark, or if the database is not SQLite.
    """
    path = database.path
    if path is None:
        raise OperatorError("the demo migrates and fills its database: set OCMS_DATABASE_URL to an SQLite file")
    if _is_empty(path):
        create_file(path)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA application_id = {int.from_bytes(MARK, 'big')}")
    elif not has_mark(database):
        raise OperatorError(
            f"'ocms demo' did not create {path}, or 'ocms serve' has used it since. The demo changes only its own "
            "database: set OCMS_DATABASE_URL to a new file, or delete this one if an older demo made it"
        )


def has_mark(database: Database) -> bool:
    """Return whether a database is that of the demo. Raises OperatorError and DatabaseError if it cannot be read.

    The header is read first, without SQLite, because SQLite could change a file of another program. Then SQLite reads
    the mark too: while the removal of the mark is in the write-ahead log only, the header is out of date.
    """
    return database.path is not None and _read_mark(database.path) == MARK and database.read(_get_mark) == MARK


def remove_mark(conn: Connection) -> None:
    """Remove the mark, so that the demo refuses the database."""
    conn.exec_driver_sql("PRAGMA application_id = 0")


def _get_mark(conn: Connection) -> bytes:
    number = conn.exec_driver_sql("PRAGMA application_id").scalar_one()
    return int(number).to_bytes(len(MARK), "big", signed=True)


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except FileNotFoundError:
        return True
    except OSError as error:
        raise OperatorError(f"OCMS_DATABASE_URL: cannot read {path}: {error.strerror}") from None


def _read_mark(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(_PLACE)
            return file.read(len(MARK))
    except OSError as error:
        raise OperatorError(f"OCMS_DATABASE_URL: cannot read {path}: {error.strerror}") from None
