"""The database of the demo, an SQLite file with a mark. The demo migrates and fills no other database.

The mark is SQLite's application id, which exists for this purpose and survives every change of the content.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from db.files import create_file
from domain.errors import OperatorError

MARK = b"OCMD"
_PLACE = 68
"""The offset of the application id in the header of an SQLite file, in bytes."""


def open_demo_file(path: Path) -> None:
    """Create the file with the mark, unless the demo created it earlier. Raises OperatorError if it has no mark.

    An empty file counts as missing. The header is read without SQLite, which could change a file that it opens.
    """
    if _is_empty(path):
        create_file(path)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA application_id = {int.from_bytes(MARK, 'big')}")
    elif _read_mark(path) != MARK:
        raise OperatorError(
            f"'ocms demo' did not create {path}, and changes only its own database: "
            "set OCMS_DATABASE_URL to a new file, or delete this one if an older demo made it"
        )


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
