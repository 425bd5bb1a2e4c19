"""Units of work, connection options, the translation of driver errors, and isolated writing."""

import os
import re
import threading
from datetime import date, datetime

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, select

from db import migration, schema, tables
from db.engine import connect, in_savepoint
from db.errors import DatabaseError, DatabaseUnavailableError, DuplicateKeyError
from db.isolation import write_isolated
from db.notices import list_payment_statuses
from domain.clock import SINGAPORE
from domain.errors import OperatorError

sqlite_only = pytest.mark.skipif("OCMS_TEST_DATABASE_URL" in os.environ, reason="tests behaviour of SQLite only")


def add_flag(conn, day, flag="Y"):
    conn.execute(insert(tables.dayend).values(business_date=date(2026, 6, day), dayend_flag=flag))


def count(database):
    with database.reading() as conn:
        return len(conn.execute(select(tables.dayend)).all())


@sqlite_only
def test_an_sqlite_connection_has_the_options_that_keep_data_safe(database):
    with database.reading() as conn:
        options = {name: conn.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")}
        assert options == {"journal_mode": "wal", "synchronous": 2}
        assert conn.exec_driver_sql("PRAGMA busy_timeout").scalar() == 5000


def test_leaving_a_unit_of_work_commits_it_and_an_exception_rolls_it_back(database):
    with database.writing() as conn:
        add_flag(conn, 1)
    with pytest.raises(ZeroDivisionError), database.writing() as conn:
        add_flag(conn, 2)
        raise ZeroDivisionError
    assert count(database) == 1


def test_a_failure_in_a_savepoint_leaves_the_rest_of_the_unit_of_work(database):
    with database.writing() as conn:
        add_flag(conn, 1)
        with pytest.raises(DuplicateKeyError):
            in_savepoint(conn, lambda: [add_flag(conn, 2), add_flag(conn, 1)])
        add_flag(conn, 3)
    assert count(database) == 2


@sqlite_only
def test_a_reader_sees_one_snapshot(database):
    with database.writing() as conn:
        add_flag(conn, 1)
    with database.reading() as reader:
        assert len(reader.execute(select(tables.dayend)).all()) == 1
        with database.writing() as conn:
            add_flag(conn, 2)
        assert len(reader.execute(select(tables.dayend)).all()) == 1
    assert count(database) == 2


@sqlite_only
def test_writers_wait_for_each_other(database):
    def write(day):
        with database.writing() as conn:
            seen = len(conn.execute(select(tables.dayend)).all())
            add_flag(conn, day, "Y" if seen % 2 else "N")

    threads = [threading.Thread(target=write, args=(day,)) for day in range(1, 21)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as conn:
        flags = [row.dayend_flag for row in conn.execute(select(tables.dayend))]
    assert sorted(flags) == ["N"] * 10 + ["Y"] * 10


def test_a_refused_statement_raises_database_error(database):
    with pytest.raises(DatabaseError) as raised, database.writing() as conn:
        conn.execute(insert(tables.dayend).values(business_date=None, dayend_flag="Y"))
    assert not isinstance(raised.value, DatabaseUnavailableError)


@sqlite_only
def test_a_file_that_is_not_a_database_raises_database_error(tmp_path):
    (tmp_path / "x.db").write_bytes(b"nonsense" * 1000)
    with pytest.raises(DatabaseError), connect(f"sqlite:///{tmp_path}/x.db").reading() as conn:
        conn.execute(select(tables.dayend))


@sqlite_only
def test_a_file_that_cannot_be_opened_raises_database_unavailable_error(tmp_path):
    (tmp_path / "x.db").mkdir()
    with pytest.raises(DatabaseUnavailableError), connect(f"sqlite:///{tmp_path}/x.db").reading() as conn:
        conn.execute(select(tables.dayend))


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("nonsense", "OCMS_DATABASE_URL must be an SQLAlchemy URL"),
        ("oracle:///x", "OCMS_DATABASE_URL"),
        ("sqlite://", "OCMS_DATABASE_URL must name a file"),
        ("sqlite:///", "OCMS_DATABASE_URL must name a file"),
        ("sqlite:///:memory:", "OCMS_DATABASE_URL must name a file"),
        ("sqlite+pysqlite:///:memory:", "OCMS_DATABASE_URL must name a file"),
        ("sqlite:///file::memory:", "OCMS_DATABASE_URL must name a file"),
        ("sqlite:///file:shared", "OCMS_DATABASE_URL must name a file"),
        ("sqlite:///file::memory:?cache=shared&uri=true", "OCMS_DATABASE_URL"),
        ("sqlite:///file:shared?mode=memory&uri=true", "OCMS_DATABASE_URL"),
    ],
)
def test_a_wrong_url_is_reported_in_one_line(url, text):
    with pytest.raises(OperatorError) as raised:
        connect(url)
    assert str(raised.value).startswith(text)
    assert "\n" not in str(raised.value)


@sqlite_only
def test_a_database_without_a_current_schema_is_reported_with_what_to_do(tmp_path):
    with pytest.raises(OperatorError, match=r"there is no database .*/new.db: run 'ocms db upgrade' first"):
        schema.require_current(connect(f"sqlite:///{tmp_path}/new.db"))
    (tmp_path / "new.db").touch()
    with pytest.raises(OperatorError, match=r"new.db is at schema none instead of 0002: run 'ocms db upgrade' first"):
        schema.require_current(connect(f"sqlite:///{tmp_path}/new.db"))


@sqlite_only
def test_only_a_migration_creates_the_database_file(tmp_path):
    database = connect(f"sqlite:///{tmp_path}/deep/new%25.db")
    with pytest.raises(DatabaseUnavailableError), database.reading() as conn:
        conn.execute(select(tables.dayend))
    assert not (tmp_path / "deep").exists()
    migration.upgrade(database)
    assert [path.name for path in (tmp_path / "deep").glob("*.db")] == ["new%25.db"]
    with pytest.raises(OperatorError, match=r"OCMS_DATABASE_URL: cannot create /proc/nowhere/x.db: No such file"):
        migration.upgrade(connect("sqlite:////proc/nowhere/x.db"))


@sqlite_only  # on a server `ocms db check` compares them
def test_the_migrations_build_the_tables_of_the_code(database):
    with database.reading() as conn:
        context = MigrationContext.configure(conn, opts={"version_table": schema.VERSION_TABLE})
        assert compare_metadata(context, tables.metadata) == []


def test_migrating_again_changes_nothing(database):
    newest = ScriptDirectory(str(schema.MIGRATIONS)).get_current_head()
    assert migration.upgrade(database) == newest
    with database.reading() as conn:
        assert schema.get_revision(conn) == newest


@pytest.mark.parametrize("bad", [set(), {0}, {6}, {2, 3}, set(range(7))])
def test_isolated_writing_leaves_out_only_the_bad_items(database, bad):
    calls = []

    def write(conn, items):
        calls.append(len(items))
        for item in items:
            add_flag(conn, item + 1, "X" if item in bad else "Y")

    failed = write_isolated(lambda items: database.write(write, items), list(range(7)))
    assert {item for item, _ in failed} == bad
    assert count(database) == 7 - len(bad)
    assert (len(calls) == 1) is not bool(bad)


def test_isolated_writing_stops_if_the_database_is_unavailable(database):
    calls = []

    def write(conn, items):
        calls.append(len(items))
        raise DatabaseUnavailableError("gone")

    with pytest.raises(DatabaseUnavailableError):
        write_isolated(lambda items: database.write(write, items), list(range(100)))
    assert calls == [100]


def test_isolated_writing_stops_bisecting_if_every_item_fails(database):
    calls = []

    def write(conn, items):
        calls.append(len(items))
        raise DatabaseError("refused")

    assert len(write_isolated(lambda items: database.write(write, items), list(range(10_000)))) == 10_000
    assert len(calls) < 500


@sqlite_only
def test_a_date_without_a_time_is_midnight_in_singapore(database):
    with database.writing() as conn:
        conn.exec_driver_sql(
            "INSERT INTO ocms_valid_offence_notice (notice_no, last_processing_date, cre_date, cre_user_id) "
            "VALUES ('N1', '2026-06-30', '2026-06-30', 'dba')"
        )
        found, _ = list_payment_statuses(conn, ["N1"])
    assert found["N1"]["last_processing_date"] == datetime(2026, 6, 30, tzinfo=SINGAPORE)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("sqlite:///{}?mode=ro", "options after '?' have no effect on SQLite"),
        ("sqlite:///file:{}?mode=ro&uri=true", "options after '?' have no effect on SQLite"),
        ("sqlite:///{}?uri=true", "options after '?' have no effect on SQLite"),
        ("sqlite:///{}?immutable", "options after '?' have no effect on SQLite"),
        ("sqlite:///{}?", "options after '?' have no effect on SQLite"),
        ("sqlite+pysqlcipher:///{}", "is not supported, only sqlite and mssql"),
        ("sqlite+aiosqlite:///{}", "is not supported, only sqlite and mssql"),
        ("sqlite://:password@/{}", "must name a file"),
        ("", "must be an SQLAlchemy URL"),
    ],
)
def test_a_database_url_with_a_part_that_has_no_effect_is_refused_and_nothing_is_written(tmp_path, url, text):
    file = tmp_path / "x.db"
    migration.upgrade(connect(f"sqlite:///{file}"))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(OperatorError, match=re.escape(text)):
        connect(url.format(file))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
