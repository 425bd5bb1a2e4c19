"""Bulk statements, and column types whose values must be read as they were written."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import VARCHAR, cast, event, select
from sqlalchemy.dialects import mssql

from db import bulk, notices, tables
from db.bulk import CHUNK, insert_rows, list_changed, update_rows, upsert_values
from db.column_types import Instant, Money
from db.json_sets import notice_set, row_set
from domain.clock import SINGAPORE

NOW = datetime(2026, 6, 30, 14, 30, tzinfo=UTC)


def notice(notice_no, **columns):
    return {"notice_no": notice_no, "cre_date": NOW, "cre_user_id": "test", **columns}


@pytest.mark.parametrize("amount", ["0.00", "0.01", "0.10", "4.35", "0.29", "1.10", "99999999.99", "70.00"])
def test_an_amount_is_read_exactly_as_it_was_written(database, rows, amount):
    with database.writing() as conn:
        insert_rows(conn, tables.valid_offence_notice, [notice("N1", amount_payable=Decimal(amount))])
    (stored,) = rows(tables.valid_offence_notice)
    assert str(stored["amount_payable"]) == amount
    assert isinstance(stored["amount_payable"], Decimal)


@pytest.mark.parametrize(
    "instant",
    [
        datetime(2026, 6, 30, 14, 30, 15, 123456, tzinfo=UTC),
        datetime(2026, 6, 30, 22, 30, tzinfo=SINGAPORE),
        datetime(1, 1, 1, 0, 0, tzinfo=SINGAPORE),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=SINGAPORE),
    ],
)
def test_a_time_is_read_in_singapore_time(database, rows, instant):
    with database.writing() as conn:
        insert_rows(conn, tables.valid_offence_notice, [notice("N1", last_processing_date=instant)])
    (stored,) = rows(tables.valid_offence_notice)
    assert stored["last_processing_date"] == instant
    assert stored["last_processing_date"].utcoffset() == SINGAPORE.utcoffset(None)


def test_a_time_is_stored_as_singapore_local_time(database):
    with database.writing() as conn:
        insert_rows(conn, tables.valid_offence_notice, [notice("N1", last_processing_date=NOW)])
        stored = conn.execute(select(cast(tables.valid_offence_notice.c.last_processing_date, VARCHAR(30)))).scalar()
    assert str(stored).startswith("2026-06-30 22:30:00")


@pytest.mark.parametrize("text", ["'", '"', "\\", "a'b\"c\\d", "--", "[]", "{}", "$", "%s", ":x", "?", "~!@#$%^&*()"])
def test_a_notice_number_may_have_any_printable_character(database, text):
    with database.writing() as conn:
        insert_rows(conn, tables.valid_offence_notice, [notice(text, atoms_flag=text)])
        found, _ = notices.list_payment_statuses(conn, [text])
    assert list(found) == [text]


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, 2 * CHUNK + 3])
def test_any_number_of_rows_can_be_inserted_and_updated(database, rows, size):
    with database.writing() as conn:
        new = ({"notice_no": f"N{i}", "emcons_flag": "Y", "cre_date": NOW, "cre_user_id": "a"} for i in range(size))
        assert insert_rows(conn, tables.cas_emcons, new) == size
        update_rows(conn, tables.cas_emcons, ({"notice_no": f"N{i}", "emcons_flag": str(i)} for i in range(size)))
    assert {row["notice_no"]: row["emcons_flag"] for row in rows(tables.cas_emcons)} == {
        f"N{i}": str(i) for i in range(size)
    }


def test_an_upsert_updates_existing_rows_and_inserts_the_others(database, rows):
    column = tables.cas_emcons.c.emcons_flag
    with database.writing() as conn:
        upsert_values(conn, column, [("A", "1"), ("B", "1")], "CAS", NOW)
        assert list_changed(conn, column, {"A": "1", "B": "2", "C": "1"}) == {"B": "2", "C": "1"}
        upsert_values(conn, column, [("B", "2"), ("C", "1")], "PLUS", NOW)
    assert [
        (r["notice_no"], r["emcons_flag"], r["cre_user_id"], r["upd_user_id"]) for r in rows(tables.cas_emcons)
    ] == [
        ("A", "1", "CAS", None),
        ("B", "2", "CAS", "PLUS"),
        ("C", "1", "PLUS", None),
    ]


def test_a_set_of_notices_is_found_by_the_index(database, add_notice):
    if database.engine.dialect.name != "sqlite":
        pytest.skip("reads SQLite's query plan")
    add_notice("N1")
    statements = []

    def collect(_conn, _cursor, statement, parameters, *_):
        statements.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", collect)
    with database.reading() as conn:
        notices.list_payment_statuses(conn, ["N1"])
        (statement, parameters) = next(s for s in statements if "json_each" in s[0])
        assert len([s for s in statements if "json_each" in s[0]]) == 1
        plan = [row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    assert not [step for step in plan if step.startswith("SCAN") and "json_each" not in step], plan


class SqlServer:
    """The part of a connection to SQL Server that building a statement needs."""

    dialect = mssql.dialect()


def test_a_set_is_one_typed_json_parameter_on_sql_server():
    statement = str(notice_set("mssql").select().compile(dialect=SqlServer.dialect))
    assert "OPENJSON(:notice_nos) WITH (notice_no VARCHAR(50) '$')" in statement
    columns = [tables.valid_offence_notice.c.notice_no, tables.valid_offence_notice.c.amount_payable]
    given = str(row_set(SqlServer, columns).select().compile(dialect=SqlServer.dialect))
    assert "WITH (notice_no VARCHAR(50) '$[0]', amount_payable NUMERIC(10, 2) '$[1]')" in given


def test_times_are_datetime2_and_amounts_are_numeric_on_sql_server():
    assert Instant().compile(SqlServer.dialect) == "DATETIME2(6)"
    assert Money().compile(SqlServer.dialect) == "NUMERIC(10, 2)"
    assert bulk.CHUNK <= 10_000
