"""Translating the errors of the database drivers: each becomes an error of `db.errors` with a text of one line."""

import re
import sqlite3
from typing import Any

from sqlalchemy.exc import DBAPIError

from db.errors import DatabaseError, DatabaseUnavailableError, DuplicateKeyError
from domain.redaction import redacted

TRANSIENT = frozenset(
    {
        1205,  # the victim of a deadlock
        *(
            40613,
            40501,
            40197,
            10928,
            10929,
            49918,
            49919,
            49920,
            4060,
        ),  # Azure SQL is busy, or moves the database to another server
        *(10053, 10054, 10060, 233, 64),  # the connection broke
    }
)
"""Error numbers of SQL Server that are transient: the whole unit of work is worth a retry."""

MOVED = frozenset({596, 976, 978, 983, 3906, 6005})
"""Error numbers of SQL Server for an ended session or an unusable replica: the connection must be discarded."""

_DUPLICATE_KEY = {2601, 2627}
_UNAVAILABLE_NUMBERS = MOVED | {701, 1105, 1222, 9002}
"""Error numbers of SQL Server if the database as a whole cannot work: moved, no memory, no space, locked too long."""
_UNAVAILABLE_SQLITE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_NOMEM,
}
_BROKEN_STATES = ("08S01", "08S02", "08003", "08007")
"""SQLSTATEs of a lost connection."""
_SILENT = re.compile(r"did not supply an error|\]Unknown error")
"""The texts of FreeTDS for a lost connection that it did not detect."""
_UNAVAILABLE_STATES = ("08", "28", "HYT", "IM")
"""Beginnings of SQLSTATEs: the connection, the login, a time-out, and the driver itself."""
_NUMBER = re.compile(r"\((-?\d+)\)(?= \(SQL|;|$)")
_NOISE = re.compile(r"^(\[[^\]]*\] ?)+|\s*\(-?\d+\)(?: \(SQL\w+\))?$")
_NO_DRIVER = "the ODBC driver {} is not installed; see docs/sql-server.md for the drivers and how to name one"
_HINTS = {
    "certificate verify failed": "install its authority; for a test server add TrustServerCertificate=yes",
    "Encryption not supported": "the server does not support TLS; for a test server add Encrypt=no",
    "annot open database": "check its name, and that the login may use it",
    "ogin failed": "check user and password",
    "[08": "check host and port, and that the server runs",
    "[HYT": "check host and port, and that the server runs",
}
"""What to do about an error of connecting, by a part of its text; the first that matches counts."""


def translate(error: DBAPIError) -> DatabaseError:
    """Return the DatabaseError for an error of a driver."""
    driver_error: Any = error.orig
    if isinstance(driver_error, sqlite3.Error):
        return _of_sqlite(driver_error)
    translated = of_odbc(driver_error)
    if error.connection_invalidated and not isinstance(translated, DatabaseUnavailableError):
        translated = DatabaseUnavailableError(str(translated))
        translated.transient = True
    return translated


def of_odbc(error: Any) -> DatabaseError:
    """Return the DatabaseError for an error of pyodbc. Its arguments are a SQLSTATE and a text."""
    state, text = str(error.args[0]), str(error.args[-1])
    if missing := re.search(r"Can't open lib '(.+?)'|Data source name not found", text):
        return DatabaseUnavailableError(_NO_DRIVER.format(redacted(missing[1] or "of OCMS_DATABASE_URL")))
    numbers = numbers_of(error)
    connecting = "(SQLDriverConnect)" in text
    broken = state in _BROKEN_STATES or bool(_SILENT.search(text))
    transient = bool(numbers & TRANSIENT) or (broken and not connecting)
    message = redacted(_NOISE.sub("", text.partition("; [")[0])).rstrip(".")
    kind: type[DatabaseError] = DuplicateKeyError if numbers & _DUPLICATE_KEY else DatabaseError
    if transient or connecting or numbers & _UNAVAILABLE_NUMBERS or state.startswith(_UNAVAILABLE_STATES):
        kind = DatabaseUnavailableError
    hint = next((hint for part, hint in _HINTS.items() if connecting and part in text), "")
    if state.startswith("HYT") and not connecting:
        hint = "a statement took longer than OCMS_DATABASE_TIMEOUT"
    translated = kind(f"{message}: {hint}" if hint else message)
    translated.transient = transient
    return translated


def numbers_of(error: Any) -> set[int]:
    """Return the error numbers of SQL Server that an error of pyodbc contains."""
    return {int(number) for number in _NUMBER.findall(str(error.args[-1] if error.args else ""))}


def _of_sqlite(error: sqlite3.Error) -> DatabaseError:
    code = getattr(error, "sqlite_errorcode", 0)
    if code & 0xFF in _UNAVAILABLE_SQLITE:
        return DatabaseUnavailableError(str(error))
    duplicate = code in (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE)
    return (DuplicateKeyError if duplicate else DatabaseError)(str(error))
