"""The lock of a job: only one process at a time runs it."""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from db.driver_errors import of_odbc
from db.engine import Database
from db.errors import DatabaseError, DatabaseUnavailableError
from db.files import create_private
from domain.errors import JobRunningError

_LOCK = """\
SET NOCOUNT ON;
DECLARE @granted INT;
EXEC @granted = sp_getapplock @Resource = ?, @LockMode = 'Exclusive', @LockOwner = 'Session', @LockTimeout = 0;
SET NOCOUNT OFF;
SELECT @granted"""
"""Requests the lock without waiting. NOCOUNT suppresses a row count that would come before the result."""
_HELD_BY_ANOTHER = -1
_OPENINGS = 5
"""The maximum number of attempts to lock the file, if another program removes it between opening and locking."""
_ADVICE = {
    errno.ELOOP: "; it is a symbolic link, remove it",
    errno.EACCES: "; give it and its directory to the owner of the database",
}


@contextmanager
def job_lock(database: Database, job: str) -> Iterator[None]:
    """Hold the lock of a job; it is also released when the process that holds it dies.

    On SQL Server it is an application lock of the database, which all replicas share. An SQLite database is used on one
    machine only, so there it is a lock on a file next to the database.

    Raises JobRunningError if the lock is held, and DatabaseError if it cannot be taken.
    """
    if database.path is None:
        with database.private() as conn:
            _lock_application(conn, job)
            yield
    else:
        with _locked_file(database.path, job):
            yield


@contextmanager
def _locked_file(database: Path, job: str) -> Iterator[None]:
    real = Path(os.path.realpath(database))  # symbolic links to a database share its lock
    path = real.with_name(f"{real.name}.{job}.lock")
    for _ in range(_OPENINGS):
        with _open_lock(path, real) as file:
            _lock(file, path, job)
            if _is_at(path, file):
                yield
                return
    raise DatabaseUnavailableError(f"cannot lock {path}: another program removes it again and again")


def _lock(file: int, path: Path, job: str) -> None:
    kind = os.fstat(file).st_mode
    if not stat.S_ISREG(kind):
        reason = "Is a directory" if stat.S_ISDIR(kind) else "it is not a regular file"
        raise DatabaseUnavailableError(f"cannot lock {path}: {reason}, remove it")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise JobRunningError(f"{job} is running already") from None


def _is_at(path: Path, file: int) -> bool:
    """Return whether an open file still has its name. If it was removed, another process can lock a new one."""
    try:
        return os.path.samestat(os.fstat(file), path.lstat())
    except OSError:
        return False


@contextmanager
def _open_lock(path: Path, database: Path) -> Iterator[int]:
    try:
        file = _open_or_create(path, database)
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "")
        raise DatabaseUnavailableError(f"cannot lock {path}: {error.strerror}{advice}") from error
    try:
        yield file
    finally:
        os.close(file)


def _open_or_create(path: Path, database: Path) -> int:
    """Open or create a lock file. flock needs read access only, so the file may belong to another user.

    If the group of the database may write it, that group may read, and thus lock, the lock file.
    """
    with suppress(FileExistsError):
        file = create_private(path, database)
        with suppress(FileNotFoundError, PermissionError):
            if (found := database.stat()).st_mode & stat.S_IWGRP:
                os.fchown(file, -1, found.st_gid)
                os.fchmod(file, 0o640)
        return file
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # opening a named pipe would wait for a writer


def _lock_application(conn: Connection, job: str) -> None:
    cursor: Any = conn.connection.cursor()
    try:
        cursor.execute(_LOCK, f"ocms:{job}")
        # If the lock is refused, an empty result may come before the number.
        while cursor.description is None or (row := cursor.fetchone()) is None:
            if not cursor.nextset():
                raise DatabaseError("sp_getapplock returned no result")
        cursor.commit()  # the session keeps the lock; without a commit the connection would stay in a transaction
    except conn.dialect.dbapi.Error as error:  # type: ignore[union-attr]  # a connection has a driver
        raise of_odbc(error) from error
    finally:
        cursor.close()
    if row[0] == _HELD_BY_ANOTHER:
        raise JobRunningError(f"{job} is running already, on this machine or another one")
    if row[0] < 0:
        raise DatabaseError(f"sp_getapplock returned {row[0]}")
