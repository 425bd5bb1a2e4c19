"""Connecting to SQL Server: the ODBC driver and its options."""

import platform
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, ExceptionContext, UnicodeText, create_engine, event

from db.driver_errors import MOVED, numbers_of
from domain.errors import OperatorError

CONNECT_TIMEOUT = 5
"""Default time limit for connecting, in seconds."""
STATEMENT_TIMEOUT = 30
"""Default time limit for a statement, in seconds."""
CONNECTIONS = 40
"""The maximum number of connections of a worker."""
KEPT_OPEN = 10
"""The number of idle connections that the pool keeps open."""
POOL: dict[str, Any] = {
    "pool_pre_ping": True,
    "pool_size": KEPT_OPEN,
    "max_overflow": CONNECTIONS - KEPT_OPEN,
    "pool_timeout": 10,
}
"""The pool: one connection for each worker thread, each checked before use; `pool_timeout` is in seconds."""
MICROSOFT = "ODBC Driver 18 for SQL Server"
FREETDS = "FreeTDS"
NO_DRIVER = (
    "no ODBC driver for SQL Server is installed: install the extra 'sqlserver' (Microsoft's) or Debian's tdsodbc"
)


def sql_server_engine(url: URL, *, connect_timeout: int, statement_timeout: int) -> Engine:
    """Return an engine; `connect_timeout` and `statement_timeout` are in seconds. Raises OperatorError.

    The option `schema` of the URL names the schema of the tables. Without it, the login's default schema is used.
    """
    import pyodbc  # noqa: PLC0415  # SQLite needs no ODBC library

    pyodbc.pooling = False  # SQLAlchemy has its own pool
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
    def discard_useless_connection(context: ExceptionContext) -> None:
        # Any error of a ping counts: for a lost connection FreeTDS only says "Unknown error".
        if context.is_pre_ping or numbers_of(context.original_exception) & MOVED:
            context.is_disconnect = True

    @event.listens_for(engine, "do_setinputsizes")
    def send_as_nvarchar_max(sizes: dict[Any, Any], cursor: Any, *_: Any) -> None:
        for parameter in sizes:
            if isinstance(parameter.type, UnicodeText):
                freetds = "tds" in cursor.connection.getinfo(pyodbc.SQL_DRIVER_NAME)
                # FreeTDS silently cuts WVARCHAR at 4,000 characters; Microsoft's driver refuses WLONGVARCHAR.
                sizes[parameter] = (pyodbc.SQL_WLONGVARCHAR if freetds else pyodbc.SQL_WVARCHAR, 0, 0)

    return engine


def with_driver(url: URL) -> URL:
    """Return the URL with a driver, if it names none, and with the options in the form that FreeTDS reads.

    Raises OperatorError if no driver is installed.
    """
    if "odbc_connect" in url.query or (url.host is None and url.database is None):
        return url
    if url.host and url.database and "driver" not in url.query:  # otherwise the URL names a data source
        url = url.update_query_dict({"driver": find_driver()})
    options = {"APP": "ocms-integration"}
    if "tds" in str(url.query.get("driver", "")).lower():
        options["TDS_Version"] = "7.4"  # older versions have no DATETIME2
        if url.port:
            options["port"] = str(url.port)
            url = url._replace(port=None)
    given = {name.lower() for name in url.query}
    return url.update_query_dict({name: value for name, value in options.items() if name.lower() not in given})


def find_driver() -> str:
    """Return the name or path of a driver: Microsoft's, the one of the extra `sqlserver`, or FreeTDS, in this order.

    Raises OperatorError if none is installed.
    """
    import pyodbc  # noqa: PLC0415  # SQLite needs no ODBC library

    registered: list[str] = pyodbc.drivers()
    if MICROSOFT in registered:
        return MICROSOFT
    if found := bundled_driver() or (FREETDS if FREETDS in registered else None):
        return found
    raise OperatorError(NO_DRIVER)


@cache
def bundled_driver() -> str | None:
    """Return the path of the driver in the package `mssql-python-odbc`; None if it has none for this system."""
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
