"""The engine and the units of work. Errors of drivers are translated on the way out, see `db.driver_errors`."""

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
from db.sql_server import POOL, sql_server_engine
from domain.errors import OperatorError

LOCK_TIMEOUT = 5
"""Seconds that a writer waits for another one on SQLite."""
ATTEMPTS = 4
"""How often a unit of work is tried whose failure may pass."""
RETRY_WITHIN = 45.0
"""Seconds after which it is not tried again: its caller has gone by then."""

P = ParamSpec("P")
T = TypeVar("T")


class Database:
    """A database, and the ways to work with it.

    `reading` and `writing` open a unit of work, each one transaction. `read` and `write` call a function with a unit of
    work, and call it again from the start when that has failed for a reason that passes, such as a deadlock.
    """

    def __init__(self, engine: Engine, path: Path | None = None) -> None:
        self.engine = engine
        self.path = path
        """The file of an SQLite database."""

    @property
    def is_embedded(self) -> bool:
        """Whether a read is done within this process and waits for hardly anything, never for those who write."""
        return self.path is not None

    def __str__(self) -> str:
        return str(self.path or self.engine.url)  # which hides the password

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a unit of work that only reads: SQLite on one state of the data, SQL Server each statement on its own.

        Raises DatabaseError.
        """
        with translated(), self.engine.connect() as conn:
            if self.is_embedded:
                conn.connection.cursor().execute("BEGIN")  # cannot fail; SQLAlchemy's way takes longer than a read
            yield conn

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a unit of work that writes; leaving by an exception rolls back. Raises DatabaseError.

        SQLite takes its write lock at the start, so that nothing that was read can change before it is written.
        """
        with translated(), self.engine.connect() as conn, begin_write(conn):
            yield conn

    @contextmanager
    def private(self) -> Iterator[Connection]:
        """Open a connection that is closed afterwards, with its temporary tables and locks. Raises DatabaseError."""
        with translated(), self.engine.connect() as conn:
            conn.detach()
            yield conn

    def read(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function with a unit of work that only reads. Raises DatabaseError."""

        def attempt() -> T:
            with self.reading() as conn:
                return work(conn, *args, **kwargs)

        return retry(attempt)

    def write(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function with a unit of work that writes. Raises DatabaseError."""

        def attempt() -> T:
            with self.writing() as conn:
                return work(conn, *args, **kwargs)

        return retry(attempt)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def retry(work: Callable[[], T], within: float | None = RETRY_WITHIN) -> T:
    """Call a function again while it fails for a reason that passes, but not after `within` seconds.

    Raises DatabaseError after some attempts.
    """
    try:
        return work()  # mostly the only attempt, which is spared the cost of the following
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
    """Open a transaction that writes, on a connection that has none; leaving by an exception rolls back.

    SQLite has no other transactions: a plain `begin` leaves each statement on its own there.
    """
    with conn.begin():
        if conn.dialect.name == "sqlite":
            conn.exec_driver_sql("BEGIN IMMEDIATE")
        yield


def in_savepoint(conn: Connection, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function as a part of a unit of work that can fail by itself.

    Raises DatabaseError, and TransactionLostError when the whole unit of work is gone with it.
    """
    part = conn.begin_nested()
    try:
        with translated():
            result = work(*args, **kwargs)
            part.commit()
            return result
    except BaseException as cause:
        try:
            part.rollback()
        except SQLAlchemyError as error:
            if not isinstance(cause, DatabaseUnavailableError):  # which is of the whole unit of work anyway
                raise TransactionLostError(str(cause)) from error
        raise


def connect(url: str, *, connect_timeout: int = 5, statement_timeout: int = 30) -> Database:
    """Return the database at a URL; no connection is made yet, and no SQLite file is ever made by connecting.

    The time-outs are seconds, for SQL Server. Raises OperatorError when it is no such URL.
    """
    try:
        parsed = make_url(url)
        dialect = parsed.get_backend_name()
        if dialect == "mssql" and parsed.get_driver_name() == "pyodbc":
            return Database(
                sql_server_engine(parsed, connect_timeout=connect_timeout, statement_timeout=statement_timeout)
            )
    except (ArgumentError, ModuleNotFoundError, TypeError, ValueError) as error:
        raise OperatorError(
            "OCMS_DATABASE_URL must be an SQLAlchemy URL such as sqlite:///var/ocms.db or mssql+pyodbc://…"
        ) from error
    except ImportError as error:
        raise OperatorError(f"the system's ODBC library is missing, install unixodbc: {error}") from error
    if dialect != "sqlite":
        raise OperatorError(f"OCMS_DATABASE_URL: {dialect} is not supported, only sqlite and mssql+pyodbc")
    path = sqlite_path(url)
    if path is None:
        raise OperatorError("OCMS_DATABASE_URL must name a file, such as sqlite:///var/ocms.db")
    return Database(_sqlite_engine(url, path), path)


def sqlite_path(url: str) -> Path | None:
    """Return the file of an SQLite URL; None for any other database."""
    match = re.fullmatch(r"sqlite(?:\+\w+)?:///([^?]+)(?:\?.*)?", url)
    return Path(match.group(1)) if match else None


def _sqlite_engine(url: str, path: Path) -> Engine:
    pool = {name: size for name, size in POOL.items() if name != "pool_pre_ping"}
    pool["max_overflow"] += 1  # for reads, which are not in a thread and must not wait for writers
    engine = create_engine(url, hide_parameters=True, creator=partial(_open_existing, path), **pool)
    event.listen(engine, "connect", _open_sqlite)
    event.listen(engine, "checkout", partial(_require_same_file, path))
    return engine


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
    connection.isolation_level = None  # we say BEGIN ourselves, see begin_write
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


@contextmanager
def translated() -> Iterator[None]:
    """Turn what SQLAlchemy and the drivers raise into DatabaseError."""
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
