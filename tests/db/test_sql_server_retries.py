"""Retries on SQL Server: which errors are transient, lost connections, and writers that insert the same key."""

from contextlib import nullcontext
from datetime import UTC, date, datetime
from itertools import repeat

import pytest
from fixtures.tds import DROP, Done, Refusal, Rows

from db import cas_emcons, dayend, notices
from db.driver_errors import MOVED, TRANSIENT
from db.engine import ATTEMPTS
from db.errors import DatabaseError, DatabaseUnavailableError, TransactionLostError
from db.isolation import write_isolated

NOW = datetime(2026, 6, 30, 14, 30, tzinfo=UTC)


def read(database):
    return database.read(notices.list_payment_statuses, ["N1"])[0]


def upsert(database):
    database.write(cas_emcons.upsert, [("N1", "Y")], "CAS", NOW)


def selects(tds):
    return len([sql for sql in tds.statements if sql.startswith("SELECT")])


def failing_once(failure, response=Done()):  # noqa: B008  # Done has no state
    """Return responses of a server that fails at the first SELECT only."""
    failures = iter([failure])
    return lambda statement: next(failures, response) if statement.sql.startswith("SELECT") else Done()


@pytest.mark.parametrize("number", sorted(TRANSIENT))
def test_a_transient_error_repeats_the_whole_unit_of_work(server_database, tds, number):
    tds.response = failing_once(Refusal(number), Rows({"notice_no": str}))
    assert read(server_database) == {}
    assert selects(tds) == 2


def test_a_broken_connection_is_replaced_and_the_unit_of_work_repeated(server_database, tds):
    tds.response = failing_once(DROP, Rows({"notice_no": str}))
    assert read(server_database) == {}
    assert len(tds.logins) == 2


def test_a_connection_that_broke_while_idle_is_replaced_before_use(server_database, tds):
    tds.response = lambda statement: Rows({"notice_no": str}) if statement.sql.startswith("SELECT") else Done()
    read(server_database)
    tds.break_connections()
    assert read(server_database) == {}
    assert (selects(tds), len(tds.logins)) == (2, 2)


@pytest.mark.parametrize("when", ["before a statement", "before the commit"])
def test_a_connection_that_breaks_within_a_unit_of_work_rolls_it_back_and_repeats_it(server_database, tds, when):
    tds.response = lambda statement: Rows({"notice_no": str}) if statement.sql.startswith("SELECT") else Done()
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


def test_retries_end_after_the_last_attempt(server_database, tds):
    tds.response = lambda statement: Refusal(1205, "deadlock") if statement.sql.startswith("SELECT") else Done()
    with pytest.raises(DatabaseUnavailableError, match="deadlock"):
        read(server_database)
    assert selects(tds) == ATTEMPTS


@pytest.mark.parametrize("number", [102, 207, 208, 229, 245, 515, 547, 1222, 8152, 9002])
def test_a_permanent_error_is_never_retried(server_database, tds, number):
    tds.response = lambda statement: Refusal(number) if statement.sql.startswith("SELECT") else Done()
    with pytest.raises(DatabaseError):
        server_database.read(dayend.get_dayend_flag, date(2026, 6, 30))
    assert selects(tds) == 1


@pytest.mark.parametrize("number", [229, 208, 1222])
def test_notices_are_read_even_if_the_record_cannot_be_read(server_database, tds, logs, number):
    names = [column.name for column in notices.PAYMENT_STATUS]
    notice = Rows(dict.fromkeys(names, str), [("N1", *[None] * (len(names) - 1))])

    def response(statement):
        if "ocms_cas_emcons" in statement.sql:
            return Refusal(number)
        return notice if statement.sql.startswith("SELECT ocms") else Done()

    tds.response = response
    assert list(read(server_database)) == ["N1"]
    assert selects(tds) == 2
    assert [line["table"] for line in logs("record_not_readable")] == ["ocms_cas_emcons"]


def ending_the_transaction(updates):
    """Return responses of a server that has lost its savepoints; each UPDATE gets the next of `updates`."""

    def response(statement):
        if statement.sql.startswith("UPDATE"):
            return next(updates)
        if statement.sql.startswith("ROLLBACK TRANSACTION"):
            return Refusal(3903, "no corresponding BEGIN TRANSACTION")
        return Rows({"a": str, "b": str}) if statement.sql.startswith("SELECT") else Done()

    return response


def test_a_deadlock_in_a_savepoint_repeats_the_whole_unit_of_work(server_database, tds):
    """SQL Server rolls back the whole transaction of a deadlock victim, and with it the savepoint."""
    tds.response = ending_the_transaction(iter([Refusal(1205, "deadlock"), Done(1)]))
    upsert(server_database)
    assert [sql[:6] for sql in tds.statements if sql[:6] in ("UPDATE", "INSERT", "COMMIT")] == [
        "UPDATE",
        "UPDATE",
        "INSERT",
        "COMMIT",
    ]


def test_a_lasting_deadlock_in_a_savepoint_raises_database_unavailable_error(server_database, tds):
    tds.response = ending_the_transaction(repeat(Refusal(1205, "deadlock")))
    with pytest.raises(DatabaseUnavailableError, match="deadlock"):
        upsert(server_database)
    assert len([sql for sql in tds.statements if sql.startswith("UPDATE")]) == ATTEMPTS


@pytest.mark.parametrize("number", [596, 701, 976, 978, 983, 1105, 1222, 3906, 6005, 9002])
def test_an_unavailable_server_is_an_error_and_a_moved_one_gets_a_new_connection(server_database, tds, number):
    tds.response = failing_once(Refusal(number, "not now"), Rows({"notice_no": str}))
    for refused in (True, False):
        with pytest.raises(DatabaseUnavailableError, match="not now") if refused else nullcontext():
            server_database.read(dayend.get_dayend_flag, date(2026, 6, 30))
    assert len(tds.logins) == (2 if number in MOVED else 1)


def test_a_detail_row_that_another_writer_inserts_first_is_updated(server_database, tds):
    """The row is missing when it is read, and exists when it is inserted. Then it is read again."""
    inserted = []

    def response(statement):
        if statement.sql.startswith("INSERT"):
            inserted.append(statement)
            return Refusal(2627, "duplicate", 14)
        if "has_detail" not in statement.sql:
            return Done(1)
        detail = ("N1", "OLD") if inserted else (None, None)
        return Rows({"notice_no": str, "has_detail": str, "last_eburar_update": str}, [("N1", *detail)])

    tds.response = response
    change = {"N1": {"last_eburar_update": "NEW"}}
    assert server_database.write(notices.update_court_notices, change, "CAS", NOW) == (set(), {})
    (update,) = [statement for statement in tds.sent if statement.sql.startswith("UPDATE ocms_offence_notice_detail")]
    assert update.values[-1] == '[["N1","NEW"]]'


def test_a_lost_transaction_is_not_retried_after_a_permanent_error(server_database, tds):
    tds.response = ending_the_transaction(repeat(Refusal(245, "conversion failed")))
    with pytest.raises(TransactionLostError, match="conversion failed"):
        upsert(server_database)
    assert len([sql for sql in tds.statements if sql.startswith("UPDATE")]) == 1


def test_a_row_that_another_writer_inserts_first_is_read_again(server_database, tds):
    """Another replica inserts the same notice. Its row has the value already, so no statement is left to run."""
    inserted = []

    def response(statement):
        if statement.sql.startswith("INSERT"):
            inserted.append(statement)
            return Refusal(2627, "Violation of PRIMARY KEY constraint. The duplicate key value is (N1).", 14)
        found = [("N1", "Y")] if inserted else []
        return Rows({"notice_no": str, "emcons_flag": str}, found) if statement.sql.startswith("SELECT") else Done()

    tds.response = response
    upsert(server_database)
    assert len(inserted) == 1
    assert "COMMIT" in tds.statements
    assert [sql.partition(" sa_")[0] for sql in tds.statements if "TRANSACTION sa_" in sql] == [
        "SAVE TRANSACTION",
        "ROLLBACK TRANSACTION",
        "SAVE TRANSACTION",
    ]


def test_a_lasting_duplicate_key_fails_only_its_own_notice(server_database, tds):
    def response(statement):
        if statement.sql.startswith("INSERT") and '"N2"' in statement.values[-1]:
            return Refusal(2627, "duplicate", 14)
        kinds = {"notice_no": str, "emcons_flag": str}
        return Rows(kinds) if statement.sql.startswith("SELECT") else Done()

    def write(conn, items):
        cas_emcons.upsert(conn, items, "CAS", NOW)

    tds.response = response
    failed = write_isolated(lambda items: server_database.write(write, items), [("N1", "Y"), ("N2", "Y"), ("N3", "Y")])
    assert [item for item, _ in failed] == [("N2", "Y")]
