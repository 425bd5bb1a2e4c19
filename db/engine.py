"""The engine and the units of work. Driver errors are translated here and nowhere else."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from ocms.errors import DatabaseError, DatabaseUnavailableError, OperatorError, TransactionLostError
from ocms.settings import sqlite_path

LOCK_TIMEOUT = 5
"""Seconds that a writer waits for another one on SQLite."""
POOL: dict[str, Any] = {"pool_size": 10, "max_overflow": 30, "pool_timeout": 10}
"""As many connections as there are worker threads; more than 10 are closed when they are idle."""

_UNAVAILABLE_SQLITE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_NOMEM,
}
_UNAVAILABLE_SQLSTATES = ("08", "28", "HYT", "HY000", "IM")
"""Connection, login, time-out and driver errors of ODBC."""


class Database:
    """A database, and the two ways to work with it: reading and writing, each one transaction."""

    def __init__(self, engine: Engine, path: Path | None = None) -> None:
        self.engine = engine
        self.path = path
        """The file of an SQLite database."""

    def __str__(self) -> str:
        return str(self.path or self.engine.url)  # which hides the password

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a unit of work that only reads, on one state of the data. Raises DatabaseError."""
        with _translated(), self.engine.connect() as conn:
            yield conn

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a unit of work that writes; leaving by an exception rolls back. Raises DatabaseError.

        SQLite takes its write lock at the start, so that nothing that was read can change before it is written.
        """
        with _translated(), self.engine.connect() as conn:
            conn.execution_options(ocms_write=True)
            with conn.begin():
                yield conn

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


@contextmanager
def savepoint(conn: Connection) -> Iterator[Connection]:
    """Open a part of a unit of work that can fail by itself.

    Raises DatabaseError, and TransactionLostError when the whole unit of work is gone with it.
    """
    with _translated():
        part = conn.begin_nested()
        try:
            yield conn
            part.commit()
        except BaseException:
            try:
                part.rollback()
            except SQLAlchemyError as error:
                raise TransactionLostError from error
            raise


def connect(url: str) -> Database:
    """Return the database at a URL; no connection is made yet, and no SQLite file is ever made by connecting.

    Raises OperatorError when it is no such URL.
    """
    path = sqlite_path(url)
    if url.startswith("sqlite") and path is None:
        raise OperatorError("OCMS_DATABASE_URL must name a file, such as sqlite:///var/ocms.db")
    try:
        options = {"pool_pre_ping": True} if path is None else {"creator": partial(_open_existing, path)}
        engine = create_engine(url, hide_parameters=True, **POOL, **options)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, TypeError) as error:
        raise OperatorError(
            "OCMS_DATABASE_URL must be an SQLAlchemy URL such as sqlite:///var/ocms.db or mssql+pyodbc://…"
        ) from error
    except ImportError as error:
        raise OperatorError(f"the system's ODBC library is missing, install unixodbc: {error}") from error
    if path is not None:
        event.listen(engine, "connect", _open_sqlite)
        event.listen(engine, "checkout", partial(_require_same_file, path))
        event.listen(engine, "begin", _begin_sqlite)
    elif engine.dialect.name == "mssql":
        engine.dialect.dbapi.pooling = False  # type: ignore[union-attr]  # pyodbc: SQLAlchemy's own pool is the only one
    else:
        raise OperatorError(f"OCMS_DATABASE_URL: {engine.dialect.name} is not supported, only sqlite and mssql+pyodbc")
    return Database(engine, path)


def create_file(path: Path) -> None:
    """Make an empty SQLite file unless there is one. Raises OperatorError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise OperatorError(f"OCMS_DATABASE_URL: cannot create {path}: {error.strerror}") from None


def _open_existing(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, check_same_thread=False)


def _open_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, see _begin_sqlite
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {LOCK_TIMEOUT * 1000}")
    cursor.execute("PRAGMA journal_mode = WAL")  # readers never wait for a writer
    cursor.execute("PRAGMA synchronous = FULL")  # what is acknowledged survives a loss of power
    cursor.close()


def _require_same_file(path: Path, connection: sqlite3.Connection, record: Any, _: Any) -> None:
    """Give up a connection whose file is gone or another one: what it writes would be lost."""
    del connection
    try:
        found = path.stat().st_ino
    except OSError:
        found = 0
    if found != record.info.setdefault("file", found):
        raise DisconnectionError(f"{path} is gone or has been replaced")


def _begin_sqlite(conn: Connection) -> None:
    write = conn.get_execution_options().get("ocms_write", False)
    conn.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except PoolTimeoutError as error:
        raise DatabaseUnavailableError("no free database connection") from error
    except DBAPIError as error:
        kind = DatabaseUnavailableError if error.connection_invalidated or _is_unavailable(error) else DatabaseError
        raise kind(str(error.orig)) from error
    except SQLAlchemyError as error:
        raise DatabaseError(str(error)) from error


def _is_unavailable(error: DBAPIError) -> bool:
    driver_error: Any = error.orig
    if isinstance(driver_error, sqlite3.Error):
        return getattr(driver_error, "sqlite_errorcode", 0) & 0xFF in _UNAVAILABLE_SQLITE
    sqlstate = str(driver_error.args[0]) if driver_error is not None and driver_error.args else ""
    return sqlstate.startswith(_UNAVAILABLE_SQLSTATES)
