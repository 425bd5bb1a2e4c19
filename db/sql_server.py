"""Connecting to SQL Server: which ODBC driver, with which options."""

import platform
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, ExceptionContext, UnicodeText, create_engine, event

from db.driver_errors import MOVED, numbers_of
from domain.errors import OperatorError

POOL: dict[str, Any] = {"pool_pre_ping": True, "pool_size": 10, "max_overflow": 30, "pool_timeout": 10}
"""As many connections as there are worker threads; each is tried before it is used."""
MICROSOFT = "ODBC Driver 18 for SQL Server"
FREETDS = "FreeTDS"
NO_DRIVER = (
    "there is no ODBC driver for SQL Server: install Microsoft's (the extra 'sqlserver' brings it) or Debian's tdsodbc"
)


def sql_server_engine(url: URL, *, connect_timeout: int, statement_timeout: int) -> Engine:
    """Return an engine; `connect_timeout` and `statement_timeout` are seconds. Raises OperatorError.

    An option `schema` of the URL names the schema of the tables; else it is the default one of the login.
    """
    import pyodbc  # noqa: PLC0415  # SQLite needs no ODBC library

    pyodbc.pooling = False  # SQLAlchemy's own pool is the only one
    schema = url.query.get("schema")
    engine = create_engine(
        with_driver(url.difference_update_query(["schema"])),
        hide_parameters=True,
        connect_args={"timeout": connect_timeout},
        execution_options={"schema_translate_map": {None: schema}} if schema else {},
        **POOL,
    )

    @event.listens_for(engine, "connect")
    def limit_statements(connection: Any, _: Any) -> None:
        connection.timeout = statement_timeout

    @event.listens_for(engine, "handle_error")
    def give_up_what_is_of_no_use(context: ExceptionContext) -> None:
        # of a ping anything counts: FreeTDS says no more than "Unknown error" of a connection that is dead
        if context.is_pre_ping or numbers_of(context.original_exception) & MOVED:
            context.is_disconnect = True

    @event.listens_for(engine, "do_setinputsizes")
    def send_as_nvarchar_max(sizes: dict[Any, Any], cursor: Any, *_: Any) -> None:
        for parameter in sizes:
            if isinstance(parameter.type, UnicodeText):
                freetds = "tds" in cursor.connection.getinfo(pyodbc.SQL_DRIVER_NAME)
                # FreeTDS cuts WVARCHAR at 4,000 characters without a word, and Microsoft's refuses WLONGVARCHAR
                sizes[parameter] = (pyodbc.SQL_WLONGVARCHAR if freetds else pyodbc.SQL_WVARCHAR, 0, 0)

    return engine


def with_driver(url: URL) -> URL:
    """Name the driver, unless the URL does, and put FreeTDS's options where it looks for them. Raises OperatorError."""
    if "odbc_connect" in url.query or (url.host is None and url.database is None):
        return url
    if url.host and url.database and "driver" not in url.query:  # else it names a data source
        url = url.update_query_dict({"driver": find_driver()})
    options = {"APP": "ocms-integration"}
    if "tds" in str(url.query.get("driver", "")).lower():
        options["TDS_Version"] = "7.4"  # an older one has no DATETIME2
        if url.port:
            options["port"] = str(url.port)
            url = url._replace(port=None)
    given = {name.lower() for name in url.query}
    return url.update_query_dict({name: value for name, value in options.items() if name.lower() not in given})


def find_driver() -> str:
    """Return the name or path of a driver: Microsoft's, the one that the extra brings, or FreeTDS.

    Raises OperatorError when there is none.
    """
    import pyodbc  # noqa: PLC0415

    registered: list[str] = pyodbc.drivers()
    if MICROSOFT in registered:
        return MICROSOFT
    if found := bundled_driver() or (FREETDS if FREETDS in registered else None):
        return found
    raise OperatorError(NO_DRIVER)


@cache
def bundled_driver() -> str | None:
    """Return the path of the driver in the package `mssql-python-odbc`; None without it, or on another system."""
    if find_spec("mssql_python_odbc") is None:
        return None
    libraries = Path(import_module("mssql_python_odbc").get_libs_dir(), "linux")
    system = next(
        (
            name
            for name, mark in {"alpine": "/etc/alpine-release", "rhel": "/etc/redhat-release"}.items()
            if Path(mark).exists()
        ),
        "debian_ubuntu",
    )
    found = sorted((libraries / system / platform.machine() / "lib").glob("libmsodbcsql-*.so*"))
    return str(found[-1]) if found else None
