"""Failures of connections to SQL Server, with real drivers, and the options of these connections."""

import socket
import time

import httpx2
import pytest
from fixtures.settings import CAS_KEY
from fixtures.tds import DROP, HANG, Done, Refusal, Rows
from sqlalchemy import make_url

from db import notices, tables
from db.dialect import empty
from db.engine import connect
from db.errors import DatabaseError, DatabaseUnavailableError
from db.job_lock import job_lock
from db.sql_server import find_driver, with_driver
from domain.errors import JobRunningError
from ocms.app import create_app


def read(database):
    return database.read(notices.list_payment_statuses, ["N1"])[0]


def post(url):
    body, key = {"notice_nos": ["N1"]}, {"X-API-Key": CAS_KEY}
    return httpx2.post(f"{url}/v1/getPaymentStatus", json=body, headers=key, timeout=30)


@pytest.fixture
def silent_port():
    """The port of a server that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def refused(url, tds, silent):
    return url.set(port=1)


def silent_server(url, tds, silent):
    return url.set(port=silent)


def wrong_driver(url, tds, silent):
    return url.update_query_dict({"driver": "No Such Driver"})


def wrong_password(url, tds, silent):
    tds.login = Refusal(18456, "Login failed for user 'ocms_login'.", 14)
    return url


def wrong_database(url, tds, silent):
    tds.login = Refusal(4060, 'Cannot open database "ocms" requested by the login. The login failed.', 11)
    return url


def hanging_statement(url, tds, silent):
    tds.response = lambda statement: HANG if statement.sql.startswith("SELECT") else Done()
    return url


def broken_connection(url, tds, silent):
    tds.response = lambda statement: DROP if statement.sql.startswith("SELECT") else Done()
    return url


def deadlock(url, tds, silent):
    tds.response = lambda statement: Refusal(1205, "deadlock") if statement.sql.startswith("SELECT") else Done()
    return url


FAILURES = {
    refused: "check host and port, and that the server runs",
    silent_server: "check host and port, and that the server runs",
    wrong_driver: "the ODBC driver No Such Driver is not installed; see docs/sql-server.md",
    wrong_password: "Login failed for user 'ocms_login': check user and password",
    wrong_database: "check its name, and that the login may use it",
    hanging_statement: "a statement took longer than OCMS_DATABASE_TIMEOUT",
    broken_connection: "",
    deadlock: "deadlock",
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_of_the_server_has_a_clear_text_and_status_503(
    server_url, tds, silent_port, failure, serve, make_settings, logs
):
    url = failure(make_url(server_url), tds, silent_port).render_as_string(hide_password=False)
    settings = make_settings(database_url=url, database_connect_timeout=1, database_timeout=1)
    with pytest.raises(DatabaseUnavailableError) as raised:
        read(connect(url, connect_timeout=1, statement_timeout=1))
    text = str(raised.value)
    assert FAILURES[failure] in text
    assert "\n" not in text
    assert "secret" not in text
    response = post(serve(create_app(settings)))
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) >= 1
    assert response.json()["data"]["message"] == "Something went wrong. Please try again later."
    assert "secret" not in logs.text()


def test_a_read_that_takes_too_long_is_abandoned(server_url, tds, serve, make_settings, logs):
    settings = make_settings(
        database_url=hanging_statement(server_url, tds, None), database_timeout=3, request_timeout=0.3
    )
    begun = time.monotonic()
    response = post(serve(create_app(settings)))
    assert response.status_code == 503
    assert time.monotonic() - begun < 2.5  # the statement itself would take 3 s
    httpx2.get(
        str(response.url.join("/openapi.json"))
    )  # a call is logged after its response is sent and before the next call
    assert logs("call")[0]["reason"] == "a call took longer than 0.3 s"


def test_a_command_reports_a_failed_login_in_one_line(ocms, server_url, tds):
    tds.login = Refusal(18456, "Login failed for user 'ocms_login'.", 14)
    done = ocms("db", "check", OCMS_DATABASE_URL=server_url)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Login failed for user 'ocms_login': check user and password" in done.stderr


def test_a_server_without_tls_is_reported_with_what_to_do(tds, driver):
    if driver == "driver=FreeTDS":
        pytest.skip("FreeTDS requests encryption only if configured")
    database = connect(f"mssql+pyodbc://a:b@127.0.0.1:{tds.port}/ocms?{driver.replace('Encrypt=no', 'Encrypt=yes')}")
    with pytest.raises(DatabaseUnavailableError, match="for a test server add Encrypt=no"):
        read(database)


def test_a_connection_to_sql_server_has_the_configured_options(server_url, tds):
    import pyodbc  # noqa: PLC0415  # the fixture of the driver skips the test without it

    database = connect(server_url, connect_timeout=3, statement_timeout=7)
    with database.reading() as conn:
        assert conn.connection.timeout == 7
        assert conn.connection.getinfo(pyodbc.SQL_DATABASE_NAME) == "ocms"
        assert conn.connection.autocommit is False
    pool = database.engine.pool
    assert (pool.size(), pool._max_overflow, pool._timeout, pool._pre_ping) == (10, 30, 10, True)
    assert pyodbc.pooling is False
    assert database.engine.dialect.fast_executemany is False
    assert tds.logins == [["ocms_login", "ocms-integration", "ocms"]]
    database.close()


def test_a_login_without_permission_to_truncate_is_reported_with_what_to_do(server_database, tds):
    tds.response = lambda statement: Refusal(1088, "Cannot find the object") if "TRUNCATE" in statement.sql else Done()
    with pytest.raises(DatabaseError, match=r"grant it ALTER on ocms_vip_vehicle .* or set OCMS_VIP_EMPTY_BY=delete"):
        server_database.write(empty, tables.vip_vehicle, "truncate")
    server_database.write(empty, tables.vip_vehicle, "delete")
    assert "DELETE FROM ocms_vip_vehicle" in tds.statements


@pytest.mark.parametrize("before", [[], [Rows({"nothing": int})], [Done(0)]], ids=["plain", "empty result", "count"])
@pytest.mark.parametrize("number", [0, 1, -1, -2, -3, -999])
def test_the_lock_of_a_job_has_one_holder(server_database, tds, before, number):
    tds.response = lambda s: [*before, Rows({"granted": int}, [(number,)])] if "sp_getapplock" in s.sql else Done()
    ran = []
    if number < 0:
        refused = JobRunningError if number == -1 else DatabaseError  # timed out; cancelled, deadlock, invalid call
        with pytest.raises(refused), job_lock(server_database, "refresh"):
            ran.append("unexpected")
    else:
        with job_lock(server_database, "refresh"):
            ran.append("once")
    assert ran == ([] if number < 0 else ["once"])
    (lock,) = [statement for statement in tds.sent if "sp_getapplock" in statement.sql]
    assert lock.values == ("ocms:refresh",)
    assert (
        tds.statements[tds.statements.index(lock.sql) + 1] == "COMMIT"
    )  # otherwise the session would stay in a transaction
    assert lock.sql.index("SET NOCOUNT ON") < lock.sql.index("sp_getapplock") < lock.sql.index("SET NOCOUNT OFF")
    assert tds.is_closed()  # closing the connection releases the lock


def test_a_url_without_a_driver_gets_an_installed_one(driver):
    assert find_driver() in with_driver(make_url("mssql+pyodbc://a:b@h/d")).query["driver"]


def test_freetds_gets_its_port_and_protocol_as_options():
    url = with_driver(make_url("mssql+pyodbc://a:b@h:1433/d?driver=FreeTDS"))
    assert url.port is None
    assert dict(url.query) == {
        "driver": "FreeTDS",
        "port": "1433",
        "TDS_Version": "7.4",
        "APP": "ocms-integration",
    }
    given = with_driver(make_url("mssql+pyodbc://a:b@h/d?driver=FreeTDS&port=1&tds_version=7.3&app=x"))
    assert dict(given.query) == {"driver": "FreeTDS", "port": "1", "tds_version": "7.3", "app": "x"}


@pytest.mark.parametrize("url", ["mssql+pyodbc://?odbc_connect=DSN%3Docms", "mssql+pyodbc://a:b@a_data_source"])
def test_a_data_source_or_a_connection_string_keeps_its_own_driver(url):
    assert "driver" not in with_driver(make_url(url)).query
