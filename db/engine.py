"""Connections and transactions. Errors of SQLAlchemy and of the drivers become errors of `db.errors`."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import quote

import stamina
from sqlalchemy import Connection as Connection  # noqa: PLC0414  # handlers and jobs take the type from here
from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from db.driver_errors import translate
from db.errors import DatabaseError, DatabaseUnavailableError, TransactionLostError
from db.sql_server import CONNECT_TIMEOUT, POOL, STATEMENT_TIMEOUT, sql_server_engine
from domain.errors import OperatorError

LOCK_TIMEOUT = 5
"""Seconds for which a writer on SQLite waits for the lock of another writer."""
ATTEMPTS = 4
"""The maximum number of attempts at a unit of work that fails with transient errors."""
RETRY_WITHIN = 45.0
"""No retry begins later than this many seconds after the first failure: the caller has given up by then."""

P = ParamSpec("P")
T = TypeVar("T")


class Database:
    """A database and its connections. A unit of work is what one transaction does.

    `reading` and `writing` are context managers for one unit of work, without retries. `read` and `write` call a
    function in such a unit of work, and call it again if it fails with a transient error, such as a deadlock.
    `private` gives a connection that no other unit of work uses, for temporary tables and locks of the session.
    """

    def __init__(self, engine: Engine, path: Path | None = None) -> None:
        self.engine = engine
        self.path = path
        """The file of an SQLite database; None for SQL Server."""

    @property
    def is_embedded(self) -> bool:
        """Whether the database is SQLite: reads run in-process and never wait for writers."""
        return self.path is not None

    def __str__(self) -> str:
        """Return the file, or the URL without password and options, since `odbc_connect` may contain a password."""
        url = self.engine.url.set(query={})
        return str(self.path or (url if url.host else "the database of OCMS_DATABASE_URL"))

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a unit of work that only reads. Raises DatabaseError.

        On SQLite all statements read one snapshot. On SQL Server each statement reads what is committed when it starts.
        """
        with translated(), self.engine.connect() as conn:
            if self.is_embedded:
                conn.connection.cursor().execute("BEGIN")  # cannot fail; conn.begin() takes longer than a read
            yield conn

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a unit of work that writes; an exception rolls it back. Raises DatabaseError.

        SQLite takes its write lock at the start, so no other writer changes a row between its read and its update.
        """
        with translated(), self.engine.connect() as conn, begin_write(conn):
            yield conn

    @contextmanager
    def private(self) -> Iterator[Connection]:
        """Open a connection that is closed afterwards, which removes its temporary tables and releases its locks.

        No transaction is open; `begin_write` opens one. Raises DatabaseError.
        """
        with translated(), self.engine.connect() as conn:
            conn.detach()
            yield conn

    def read(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `work(conn, …)` in a unit of work that only reads; retry transient errors. Raises DatabaseError."""

        def attempt() -> T:
            with self.reading() as conn:
                return work(conn, *args, **kwargs)

        return retry(attempt)

    def write(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `work(conn, …)` in a unit of work that writes; retry transient errors. Raises DatabaseError."""

        def attempt() -> T:
            with self.writing() as conn:
                return work(conn, *args, **kwargs)

        return retry(attempt)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def retry(work: Callable[[], T], within: float | None = RETRY_WITHIN) -> T:
    """Call a function, and call it again if it fails with a transient DatabaseError.

    Raises the error after `ATTEMPTS` calls, or if `within` seconds have passed since the first failure (None for no
    limit).
    """
    try:
        return work()  # the first attempt is usually the only one, so it avoids the cost of stamina
    except DatabaseError as error:
        if not error.transient:
            raise
    for attempt in stamina.retry_context(
        _is_transient, attempts=ATTEMPTS - 1, timeout=within, wait_initial=0.05, wait_max=1, wait_jitter=0.1
    ):
        with attempt:
            return work()
    raise AssertionError  # the last attempt has returned or raised


@contextmanager
def begin_write(conn: Connection) -> Iterator[None]:
    """Open a transaction that writes, on a connection without one; an exception rolls it back.

    On SQLite `conn.begin()` alone sends no BEGIN, so each statement would be its own transaction.
    """
    with conn.begin():
        if conn.dialect.name == "sqlite":
            conn.exec_driver_sql("BEGIN IMMEDIATE")
        yield


def in_savepoint(conn: Connection, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a savepoint: if it fails, only its own statements are rolled back.

    Raises DatabaseError, and TransactionLostError if the database has rolled back the whole transaction.
    """
    savepoint = conn.begin_nested()
    try:
        with translated():
            result = work(*args, **kwargs)
            savepoint.commit()
            return result
    except BaseException as cause:
        try:
            savepoint.rollback()
        except SQLAlchemyError as error:
            if not isinstance(cause, DatabaseUnavailableError):  # already a failure of the whole transaction
                raise TransactionLostError(str(cause)) from error
        raise


def connect(
    url: str, *, connect_timeout: int = CONNECT_TIMEOUT, statement_timeout: int = STATEMENT_TIMEOUT
) -> Database:
    """Return the database at a URL. Nothing is opened yet, and opening never creates an SQLite file.

    The time-outs are in seconds and apply to SQL Server. Raises OperatorError if the URL cannot be used.
    """
    try:
        parsed = make_url(url)
        # What follows an '@' in a password is parsed as part of the host, which is shown.
        if "@" in f"{parsed.host}{parsed.database}" and parsed.host:
            raise OperatorError("OCMS_DATABASE_URL: write '@' in a user name or password as %40")
        if parsed.get_backend_name() == "mssql" and parsed.get_driver_name() == "pyodbc":
            return Database(
                sql_server_engine(parsed, connect_timeout=connect_timeout, statement_timeout=statement_timeout)
            )
    except (ArgumentError, ModuleNotFoundError, TypeError, ValueError):
        raise OperatorError(
            "OCMS_DATABASE_URL must be an SQLAlchemy URL such as sqlite:///var/ocms.db or mssql+pyodbc://…"
        ) from None  # the message of the cause may contain part of the password
    except ImportError as error:
        raise OperatorError(f"the system's ODBC library is missing, install unixodbc: {error}") from error
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise OperatorError(f"OCMS_DATABASE_URL: {parsed.drivername} is not supported, only sqlite and mssql+pyodbc")
    if "?" in url:
        raise OperatorError("OCMS_DATABASE_URL: options after '?' have no effect on SQLite: remove them")
    path = sqlite_path(url)
    if path is None or str(path).startswith((":memory:", "file:")):  # a database in memory belongs to one process
        raise OperatorError("OCMS_DATABASE_URL must name a file, such as sqlite:///var/ocms.db")
    return Database(_sqlite_engine(url, path), path)


def sqlite_path(url: str) -> Path | None:
    """Return the file of an SQLite URL; None for another URL."""
    match = re.fullmatch(r"sqlite(?:\+pysqlite)?:///(.+)", url)
    return Path(match.group(1)) if match else None


def _sqlite_engine(url: str, path: Path) -> Engine:
    pool = {name: size for name, size in POOL.items() if name != "pool_pre_ping"}
    pool["max_overflow"] += 1  # for the event loop: its reads must not wait until a writing thread returns a connection
    engine = create_engine(url, hide_parameters=True, creator=partial(_open_existing, path), **pool)
    event.listen(engine, "connect", _open_sqlite)
    event.listen(engine, "checkout", partial(_require_same_file, path))
    return engine


def _open_existing(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(bytes(path))}?mode=rw", uri=True, check_same_thread=False)


def _open_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver sends no BEGIN of its own; see begin_write
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {LOCK_TIMEOUT * 1000}")
    cursor.execute("PRAGMA journal_mode = WAL")  # readers never wait for a writer
    cursor.execute("PRAGMA synchronous = FULL")  # what is committed survives a power failure
    cursor.close()


def _require_same_file(path: Path, connection: sqlite3.Connection, record: Any, _: Any) -> None:
    """Discard a connection whose file was deleted or replaced: what it writes would be lost."""
    del connection
    try:
        found = path.stat().st_ino
    except OSError:
        found = 0
    if found != record.info.setdefault("file", found):
        raise DisconnectionError(f"{path} is gone or has been replaced")


@contextmanager
def translated() -> Iterator[None]:
    """Convert errors of SQLAlchemy, including the driver errors inside them, to DatabaseError."""
    try:
        yield
    except PoolTimeoutError as error:
        raise DatabaseUnavailableError("no free database connection") from error
    except DBAPIError as error:
        raise translate(error) from error
    except SQLAlchemyError as error:
        raise DatabaseError(str(error)) from error


def _is_transient(error: Exception) -> bool:
    return isinstance(error, DatabaseError) and error.transient
