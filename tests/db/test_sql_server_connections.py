"""What goes wrong between the service and SQL Server, with real drivers: each has one clear line, HTTP 503, and retries
only where they help."""

import socket
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import repeat

import httpx2
import pytest
from fixtures.settings import CAS_KEY
from fixtures.tds import DROP, HANG, Done, Refusal, Rows
from sqlalchemy import make_url

from db import cas_emcons, dayend, notices, tables
from db.dialect import empty, job_lock
from db.driver_errors import MOVED, PASSING
from db.engine import ATTEMPTS, connect
from db.isolation import write_isolated
from db.sql_server import find_driver, with_driver
from ocms.app import create_app
from ocms.errors import DatabaseError, DatabaseUnavailableError, JobRunningError, TransactionLostError

NOW = datetime(2026, 6, 30, 14, 30, tzinfo=UTC)


def read(database):
    return database.read(notices.list_payment_statuses, ["N1"])


def upsert(database):
    database.write(cas_emcons.upsert, [("N1", "Y")], "CAS", NOW)


def selects(tds):
    return len([sql for sql in tds.statements if sql.startswith("SELECT")])


@pytest.fixture
def silent_port():
    """A server that accepts connections and says nothing."""
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
    tds.answer = lambda statement: HANG if statement.sql.startswith("SELECT") else Done()
    return url


def broken_connection(url, tds, silent):
    tds.answer = lambda statement: DROP if statement.sql.startswith("SELECT") else Done()
    return url


def deadlock(url, tds, silent):
    tds.answer = lambda statement: Refusal(1205, "deadlock") if statement.sql.startswith("SELECT") else Done()
    return url


ACCIDENTS = {
    refused: "check host and port, and that the server runs",
    silent_server: "check host and port, and that the server runs",
    wrong_driver: "the ODBC driver No Such Driver is not installed; see docs/sql-server.md",
    wrong_password: "Login failed for user 'ocms_login': check user and password",
    wrong_database: "check its name, and that the login may use it",
    hanging_statement: "a statement took longer than OCMS_DATABASE_TIMEOUT says",
    broken_connection: "",
    deadlock: "deadlock",
}


@pytest.mark.parametrize("accident", ACCIDENTS)
def test_an_accident_is_one_clear_line_and_503(server_url, tds, silent_port, accident, serve, make_settings, logs):
    url = accident(make_url(server_url), tds, silent_port).render_as_string(hide_password=False)
    settings = make_settings(database_url=url, database_connect_timeout=1, database_timeout=1)
    with pytest.raises(DatabaseUnavailableError) as raised:
        read(connect(url, connect_timeout=1, statement_timeout=1))
    text = str(raised.value)
    assert ACCIDENTS[accident] in text
    assert "\n" not in text
    assert "secret" not in text
    answer = httpx2.post(
        f"{serve(create_app(settings))}/v1/getPaymentStatus",
        json={"notice_nos": ["N1"]},
        headers={"X-API-Key": CAS_KEY},
        timeout=30,
    )
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.json()["data"]["message"] == "Something went wrong. Please try again later."
    assert "secret" not in logs.text()


def test_a_command_says_it_in_one_line(ocms, server_url, tds):
    tds.login = Refusal(18456, "Login failed for user 'ocms_login'.", 14)
    done = ocms("db", "check", OCMS_DATABASE_URL=server_url)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Login failed for user 'ocms_login': check user and password" in done.stderr


def test_a_server_without_tls_is_told_from_one_that_is_away(tds, driver):
    if driver == "driver=FreeTDS":
        pytest.skip("FreeTDS does not ask for encryption unless it is told to")
    database = connect(f"mssql+pyodbc://a:b@127.0.0.1:{tds.port}/ocms?{driver.replace('Encrypt=no', 'Encrypt=yes')}")
    with pytest.raises(DatabaseUnavailableError, match="for a test server add Encrypt=no"):
        read(database)


def test_the_live_connection_has_the_options_of_the_settings(server_url, tds):
    import pyodbc  # noqa: PLC0415  # the tests above have skipped without it

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


def failing_once(failure, answer=Done()):  # noqa: B008  # it holds no state
    """Fail at the first SELECT, then answer well."""
    failures = iter([failure])
    return lambda statement: next(failures, answer) if statement.sql.startswith("SELECT") else Done()


@pytest.mark.parametrize("number", sorted(PASSING))
def test_what_passes_is_tried_again_from_the_start_of_the_unit_of_work(server_database, tds, number):
    tds.answer = failing_once(Refusal(number), Rows({"notice_no": str}))
    assert read(server_database) == {}
    assert selects(tds) == 2


def test_a_broken_connection_is_replaced_and_the_unit_of_work_done_again(server_database, tds):
    tds.answer = failing_once(DROP, Rows({"notice_no": str}))
    assert read(server_database) == {}
    assert len(tds.logins) == 2


def test_a_connection_that_broke_while_it_was_idle_is_never_used(server_database, tds):
    tds.answer = lambda statement: Rows({"notice_no": str}) if statement.sql.startswith("SELECT") else Done()
    read(server_database)
    tds.break_connections()
    assert read(server_database) == {}
    assert (selects(tds), len(tds.logins)) == (2, 2)


@pytest.mark.parametrize("when", ["before a statement", "before the commit"])
def test_a_connection_that_breaks_within_a_unit_of_work_leaves_it_undone_and_tried_again(server_database, tds, when):
    tds.answer = lambda statement: Rows({"notice_no": str}) if statement.sql.startswith("SELECT") else Done()
    attempts = []

    def write(conn):
        attempts.append(conn)
        dayend.get_dayend_flag(conn, date(2026, 6, 30))
        if len(attempts) == 1:
            tds.break_connections()
        if when == "before a statement":
            dayend.get_dayend_flag(conn, date(2026, 6, 30))

    server_database.write(write)
    assert len(attempts) == 2
    assert tds.statements.count("COMMIT") == 1


def test_attempts_end(server_database, tds):
    tds.answer = lambda statement: Refusal(1205, "deadlock") if statement.sql.startswith("SELECT") else Done()
    with pytest.raises(DatabaseUnavailableError, match="deadlock"):
        read(server_database)
    assert selects(tds) == ATTEMPTS


@pytest.mark.parametrize("number", [102, 207, 208, 229, 245, 515, 547, 1222, 8152, 9002])
def test_what_does_not_pass_is_never_tried_again(server_database, tds, number):
    tds.answer = lambda statement: Refusal(number) if statement.sql.startswith("SELECT") else Done()
    with pytest.raises(DatabaseError):
        read(server_database)
    assert selects(tds) == 1


def ending_the_transaction(updates):
    """Answer each UPDATE with the next of `updates`; there is no savepoint to return to."""

    def answer(statement):
        if statement.sql.startswith("UPDATE"):
            return next(updates)
        if statement.sql.startswith("ROLLBACK TRANSACTION"):
            return Refusal(3903, "no corresponding BEGIN TRANSACTION")
        return Rows({"a": str, "b": str}) if statement.sql.startswith("SELECT") else Done()

    return answer


def test_a_deadlock_in_a_savepoint_starts_the_whole_unit_of_work_again(server_database, tds):
    """SQL Server has rolled the transaction back, so that there is no savepoint to return to."""
    tds.answer = ending_the_transaction(iter([Refusal(1205, "deadlock"), Done(1)]))
    upsert(server_database)
    assert [sql[:6] for sql in tds.statements if sql[:6] in ("UPDATE", "INSERT", "COMMIT")] == [
        "UPDATE",
        "UPDATE",
        "INSERT",
        "COMMIT",
    ]


def test_a_deadlock_in_a_savepoint_that_stays_is_503(server_database, tds):
    tds.answer = ending_the_transaction(repeat(Refusal(1205, "deadlock")))
    with pytest.raises(DatabaseUnavailableError, match="deadlock"):
        upsert(server_database)
    assert len([sql for sql in tds.statements if sql.startswith("UPDATE")]) == ATTEMPTS


@pytest.mark.parametrize("number", [596, 701, 976, 978, 983, 1105, 1222, 3906, 6005, 9002])
def test_a_server_that_cannot_work_is_unavailable_and_a_moved_one_is_connected_anew(server_database, tds, number):
    tds.answer = failing_once(Refusal(number, "not now"), Rows({"notice_no": str}))
    with pytest.raises(DatabaseUnavailableError, match="not now"):
        read(server_database)
    read(server_database)
    assert len(tds.logins) == (2 if number in MOVED else 1)


def test_a_detail_that_another_program_has_inserted_meanwhile_is_updated(server_database, tds):
    """The row was not there when it was looked for, and is when it is inserted: it is looked for again."""
    inserted = []

    def answer(statement):
        if statement.sql.startswith("INSERT"):
            inserted.append(statement)
            return Refusal(2627, "duplicate", 14)
        if "has_detail" not in statement.sql:
            return Done(1)
        kinds = [str, str, str, datetime, str, Decimal, str, str, str, str]
        detail = ("N1", "OLD", "Y") if inserted else (None, None, None)
        stored = ("N1", None, None, None, None, None, None, *detail)
        return Rows({f"c{i}": kind for i, kind in enumerate(kinds)}, [stored])

    tds.answer = answer
    change = {"N1": {"last_eburar_update": "NEW"}}
    assert server_database.write(notices.update_court_notices, change, "CAS", NOW) == (set(), {})
    (update,) = [statement for statement in tds.sent if statement.sql.startswith("UPDATE ocms_offence_notice_detail")]
    assert '"last_eburar_update":"NEW","payment_allowance_flag":"Y"' in update.values[0]


def test_a_transaction_that_is_gone_for_good_is_not_tried_again(server_database, tds):
    tds.answer = ending_the_transaction(repeat(Refusal(245, "conversion failed")))
    with pytest.raises(TransactionLostError, match="conversion failed"):
        upsert(server_database)
    assert len([sql for sql in tds.statements if sql.startswith("UPDATE")]) == 1


def test_a_duplicate_key_means_that_the_other_one_was_first(server_database, tds):
    """Another replica has inserted the same notice meanwhile: its row is found, and there is nothing left to do."""
    inserted = []

    def answer(statement):
        if statement.sql.startswith("INSERT"):
            inserted.append(statement)
            return Refusal(2627, "Violation of PRIMARY KEY constraint. The duplicate key value is (N1).", 14)
        found = [("N1", "Y")] if inserted else []
        return Rows({"notice_no": str, "emcons_flag": str}, found) if statement.sql.startswith("SELECT") else Done()

    tds.answer = answer
    upsert(server_database)
    assert len(inserted) == 1
    assert "COMMIT" in tds.statements
    assert [sql.partition(" sa_")[0] for sql in tds.statements if "TRANSACTION sa_" in sql] == [
        "SAVE TRANSACTION",
        "ROLLBACK TRANSACTION",
        "SAVE TRANSACTION",
    ]


def test_a_duplicate_key_that_stays_is_an_error_of_that_notice_only(server_database, tds):
    def answer(statement):
        if statement.sql.startswith("INSERT") and '"N2"' in statement.values[0]:
            return Refusal(2627, "duplicate", 14)
        kinds = {"notice_no": str, "emcons_flag": str}
        return Rows(kinds) if statement.sql.startswith("SELECT") else Done()

    def write(conn, items):
        cas_emcons.upsert(conn, items, "CAS", NOW)

    tds.answer = answer
    failed = write_isolated(server_database.write, write, [("N1", "Y"), ("N2", "Y"), ("N3", "Y")])
    assert [item for item, _ in failed] == [("N2", "Y")]


def test_a_login_that_may_not_truncate_is_told_what_to_do(server_database, tds):
    tds.answer = lambda statement: Refusal(1088, "Cannot find the object") if "TRUNCATE" in statement.sql else Done()
    with pytest.raises(DatabaseError, match=r"grant it ALTER on ocms_vip_vehicle .* or set OCMS_VIP_EMPTY_BY=delete"):
        server_database.write(empty, tables.vip_vehicle, "truncate")
    server_database.write(empty, tables.vip_vehicle, "delete")
    assert "DELETE FROM ocms_vip_vehicle" in tds.statements


@pytest.mark.parametrize("before", [[], [Rows({"nothing": int})], [Done(0)]], ids=["plain", "empty result", "count"])
@pytest.mark.parametrize("number", [0, 1, -1, -2, -3, -999])
def test_the_lock_of_a_job_is_held_by_one(server_database, tds, before, number):
    tds.answer = lambda s: [*before, Rows({"granted": int}, [(number,)])] if "sp_getapplock" in s.sql else Done()
    ran = []
    if number < 0:
        refused = JobRunningError if number == -1 else DatabaseError  # cancelled, a deadlock, a wrong call
        with pytest.raises(refused), job_lock(server_database, "refresh"):
            ran.append("never")
    else:
        with job_lock(server_database, "refresh"):
            ran.append("once")
    assert ran == ([] if number < 0 else ["once"])
    (lock,) = [statement for statement in tds.sent if "sp_getapplock" in statement.sql]
    assert lock.values == ("ocms:refresh",)
    assert tds.statements[tds.statements.index(lock.sql) + 1] == "COMMIT"  # or it would sit in a transaction
    assert lock.sql.index("SET NOCOUNT ON") < lock.sql.index("sp_getapplock") < lock.sql.index("SET NOCOUNT OFF")
    assert tds.is_left()  # the connection is closed, and the lock with it


def test_the_driver_is_found_when_the_url_names_none(driver):
    assert find_driver() in with_driver(make_url("mssql+pyodbc://a:b@h/d")).query["driver"]


def test_freetds_gets_its_port_and_protocol_where_it_looks_for_them():
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
def test_a_data_source_or_a_connection_string_names_its_own_driver(url):
    assert "driver" not in with_driver(make_url(url)).query
