"""The lock of a job."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

from db.driver_errors import of_odbc
from db.engine import Database
from db.errors import DatabaseError, DatabaseUnavailableError
from domain.errors import JobRunningError

_LOCK = """\
SET NOCOUNT ON;
DECLARE @granted INT;
EXEC @granted = sp_getapplock @Resource = ?, @LockMode = 'Exclusive', @LockOwner = 'Session', @LockTimeout = 0;
SET NOCOUNT OFF;
SELECT @granted"""
"""Counting is on again when it ends, else every later statement of the connection would tell no row count."""
_HELD_BY_ANOTHER = -1


@contextmanager
def job_lock(database: Database, job: str) -> Iterator[None]:
    """Hold the lock of a job, which one holder has at a time; it is free again when its holder is gone.

    On SQL Server it is an application lock of the database, so that it holds for all replicas. An SQLite database is of
    one machine, and so is its lock, of a file beside it. Raises JobRunningError and DatabaseError.
    """
    if database.path is None:
        with database.private() as conn:
            _lock_application(conn, job)
            yield
        return
    path = database.path.with_name(f"{database.path.name}.{job}.lock")
    try:
        file = path.open("w")
    except OSError as error:
        raise DatabaseUnavailableError(f"cannot lock {path}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JobRunningError(f"{job} is running already") from None
        yield


def _lock_application(conn: Connection, job: str) -> None:
    cursor: Any = conn.connection.cursor()
    try:
        cursor.execute(_LOCK, f"ocms:{job}")
        # a refusal may bring an empty result first
        while cursor.description is None or (row := cursor.fetchone()) is None:
            if not cursor.nextset():
                raise DatabaseError("sp_getapplock gave no result")
        cursor.commit()  # the lock is of the session, which else would sit in a transaction meanwhile
    except conn.dialect.dbapi.Error as error:  # type: ignore[union-attr]  # there is a driver where there is a connection
        raise of_odbc(error) from error
    finally:
        cursor.close()
    if row[0] == _HELD_BY_ANOTHER:
        raise JobRunningError(f"{job} is running already, on this machine or another one")
    if row[0] < 0:
        raise DatabaseError(f"sp_getapplock answered {row[0]}")
