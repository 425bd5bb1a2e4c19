"""`ocms db check`, and the T-SQL scripts for a DBA."""

from pathlib import Path

import pytest
import sqlglot
from fixtures.tds import Done, Rows
from sqlalchemy import CHAR, NVARCHAR, VARCHAR, text
from sqlalchemy.dialects.mssql import DATETIME2, DATETIMEOFFSET, NUMERIC, SMALLDATETIME

from db import migration, schema, tables
from db.check import _permissions, _rounded, _settings, _wrong_type, list_differences
from db.column_types import EXACT
from db.grants import WRITTEN, grant_script

SCRIPTS = Path(__file__).parents[2] / "docs" / "sql"
NOTICE, VIP = tables.valid_offence_notice, tables.vip_vehicle


def test_a_migrated_database_has_no_differences(database):
    assert list_differences(database, "truncate") == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("DROP TABLE ocms_court_case", "table ocms_court_case is missing, or the login may not see it"),
        (
            "ALTER TABLE ocms_valid_offence_notice DROP COLUMN atoms_flag",
            "column ocms_valid_offence_notice.atoms_flag is missing",
        ),
        ("DROP TABLE ocms_schema_version", "the schema is at none instead of 0002: run 'ocms db upgrade'"),
    ],
)
def test_each_difference_is_one_line(database, change, expected):
    if database.path is None:
        pytest.skip("changes the schema, which all tests on a server share")
    with database.writing() as conn:
        conn.execute(text(change))
    assert list_differences(database, "truncate") == [expected]


def test_a_table_without_an_index_on_its_key_is_a_difference(database):
    if database.path is None:
        pytest.skip("changes the schema, which all tests on a server share")
    with database.writing() as conn:
        conn.execute(text("CREATE TABLE other AS SELECT * FROM ocms_offence_notice_detail"))
        conn.execute(text("DROP TABLE ocms_offence_notice_detail"))
        conn.execute(text("ALTER TABLE other RENAME TO ocms_offence_notice_detail"))
    missing = "table ocms_offence_notice_detail has no primary key or unique index on notice_no"
    assert [line for line in list_differences(database, "truncate") if line.startswith(missing)]
    with database.writing() as conn:
        conn.execute(text("CREATE UNIQUE INDEX one ON ocms_offence_notice_detail (notice_no)"))
    assert not [line for line in list_differences(database, "truncate") if line.startswith(missing)]


@pytest.mark.parametrize(
    ("column", "found", "expected"),
    [
        (NOTICE.c.notice_no, VARCHAR(10), ""),
        (NOTICE.c.notice_no, CHAR(50), "is CHAR(50), needs VARCHAR"),
        (NOTICE.c.notice_no, NVARCHAR(50), "is NVARCHAR(50), needs VARCHAR"),
        (NOTICE.c.suspension_type, VARCHAR(2), ""),
        (NOTICE.c.suspension_type, VARCHAR(1), "is VARCHAR(1), needs VARCHAR(2): longer values would be refused"),
        (NOTICE.c.atoms_flag, VARCHAR(1), "is VARCHAR(1), needs VARCHAR(50): longer values would be refused"),
        (NOTICE.c.atoms_flag, NVARCHAR(50), ""),
        (NOTICE.c.payment_status, VARCHAR(2), ""),
        (NOTICE.c.payment_status, CHAR(10), "is CHAR(10), needs VARCHAR"),
        (NOTICE.c.payment_status, NUMERIC(10, 2), "is NUMERIC(10, 2), needs VARCHAR"),
        (NOTICE.c.last_processing_date, DATETIME2(7), ""),
        (NOTICE.c.last_processing_date, SMALLDATETIME(), "is SMALLDATETIME, needs DATETIME2"),
        (NOTICE.c.last_processing_date, DATETIMEOFFSET(7), "is DATETIMEOFFSET, needs DATETIME2"),
        (NOTICE.c.last_processing_date, VARCHAR(30), "is VARCHAR(30), needs DATETIME2"),
        (NOTICE.c.amount_payable, NUMERIC(12, 2), ""),
        (NOTICE.c.amount_payable, NUMERIC(5, 2), "is NUMERIC(5, 2), needs DECIMAL(10, 2)"),
        (NOTICE.c.amount_payable, NUMERIC(10, 0), "is NUMERIC(10, 0), needs DECIMAL(10, 2)"),
        (NOTICE.c.amount_payable, VARCHAR(12), "is VARCHAR(12), needs DECIMAL(10, 2)"),
        (VIP.c.vip_vehicle, VARCHAR(255, EXACT), ""),
        (VIP.c.vip_vehicle, VARCHAR(50, EXACT), "needs VARCHAR(255): longer values would be refused"),
        (VIP.c.vip_vehicle, VARCHAR(255, "X_CI_AS"), "has the collation X_CI_AS, needs Latin1_General_BIN2"),
        (VIP.c.vip_vehicle, NVARCHAR(255, EXACT), "needs VARCHAR"),
        (tables.dayend.c.dayend_flag, CHAR(1), ""),
    ],
)
def test_a_column_type_is_a_difference_only_if_it_does_harm(column, found, expected):
    wrong = _wrong_type(column.table, column, found, "mssql")
    assert wrong.endswith(expected)
    assert bool(wrong) is bool(expected)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((1, 160), []),
        ((0, 160), ["READ_COMMITTED_SNAPSHOT is off"]),
        ((1, 120), ["the compatibility level is 120, and OPENJSON needs 130"]),
    ],
)
def test_an_unsuitable_setting_of_the_database_is_a_difference(server_database, tds, found, expected):
    kinds = {"versioned": int, "level": int, "collation": str}
    settings = Rows(kinds, [(*found, "SQL_Latin1_General_CP1_CI_AS")])
    tds.response = lambda statement: settings if "is_read_committed" in statement.sql else Done()
    with server_database.reading() as conn:
        found = list(_settings(conn, {}))
    assert len(found) == len(expected)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True))


def test_a_key_with_another_collation_is_a_difference(server_database, tds):
    kinds = {"versioned": int, "level": int, "collation": str}
    tds.response = lambda statement: (
        Rows(kinds, [(1, 160, "Latin1_General_CI_AS")]) if "is_read_committed" in statement.sql else Done()
    )
    with server_database.reading() as conn:
        (line,) = _settings(conn, {NOTICE: {"notice_no": VARCHAR(50, "French_CI_AS")}})
    assert line.startswith("column ocms_valid_offence_notice.notice_no has the collation French_CI_AS")


def test_a_column_that_would_round_a_written_time_to_the_next_day_is_a_difference(server_database, tds):
    kinds = {"table_name": str, "column_name": str, "datetime_precision": int}
    columns = [
        (NOTICE.name, "last_processing_date", 0),
        (NOTICE.name, "a_column_of_others", 3),
        ("a_table_of_others", "upd_date", 3),
        ("ocms_offence_notice_detail", "court_payment_due_date", 0),  # the service only reads it
        ("ocms_job_run", "due", 3),
    ]
    tds.response = lambda statement: Rows(kinds, columns) if "DATETIME_PRECISION < " in statement.sql else Done()
    needed = "needs DATETIME2(6): times would be rounded"
    with server_database.reading() as conn:
        assert list(_rounded(conn)) == [
            f"column ocms_valid_offence_notice.last_processing_date is DATETIME2(0), {needed}",
            f"column ocms_job_run.due is DATETIME2(3), {needed}",
        ]


def test_each_missing_permission_is_a_difference(server_database, tds):
    refused = {("ocms_vip_vehicle", "ALTER"), ("ocms_cas_emcons", "INSERT"), ("ocms_valid_offence_notice", "UPDATE")}
    tds.response = lambda statement: (
        Rows({"granted": int}, [(int(statement.values[:2] not in refused),)])
        if "HAS_PERMS" in statement.sql
        else Done()
    )
    with server_database.reading() as conn:
        found = list(_permissions(conn, "truncate"))
        assert not [line for line in _permissions(conn, "delete") if "vip" in line]
    columns = ", ".join(WRITTEN[NOTICE])
    assert found == [
        f"the login lacks UPDATE on ocms_valid_offence_notice ({columns}): see docs/sql/grants.sql",
        "the login lacks ALTER on ocms_vip_vehicle: see docs/sql/grants.sql",
        "the login lacks INSERT on ocms_cas_emcons: see docs/sql/grants.sql",
    ]


def test_the_command_prints_each_difference_and_fails(ocms, database):
    good = ocms("db", "check")
    assert (good.returncode, good.stderr) == (0, "")
    assert "has everything that the service needs" in good.stdout
    if database.path is None:
        return
    with database.writing() as conn:
        conn.execute(text("DROP TABLE ocms_dayend"))
    bad = ocms("db", "check")
    assert (bad.returncode, bad.stderr) == (1, "")
    assert bad.stdout == "table ocms_dayend is missing, or the login may not see it\n"
    database.path.unlink()
    none = ocms("db", "check")
    assert none.returncode == 1
    assert "run 'ocms db upgrade' first" in none.stderr


def test_the_published_migration_script_is_current(ocms):
    done = ocms("db", "upgrade", "--sql", OCMS_DATABASE_URL="mssql+pyodbc://nobody@nowhere/none")
    assert done.returncode == 0
    assert done.stdout == migration.upgrade_script()
    assert (SCRIPTS / "upgrade.sql").read_text() == done.stdout, "run 'ocms db upgrade --sql > docs/sql/upgrade.sql'"


def test_the_migration_script_creates_only_our_own_tables():
    script = migration.upgrade_script()
    for batch in script.split("\nGO\n"):
        sqlglot.parse(batch, read="tsql", error_level=sqlglot.ErrorLevel.RAISE)
    own = set(tables.metadata.tables) - {NOTICE.name, tables.offence_notice_detail.name}
    assert {line.split()[2] for line in script.splitlines() if line.startswith("CREATE TABLE")} == {
        *own,
        schema.VERSION_TABLE,
    }
    assert NOTICE.name not in script
    assert "NVARCHAR" not in script
    assert "DATETIME2(6)" in script


def test_the_published_grants_are_current_and_minimal():
    assert (SCRIPTS / "grants.sql").read_text() == grant_script(), "write docs/sql/grants.sql again from db/grants.py"
    for statement in grant_script().split(";\n"):
        sqlglot.parse(statement, read="tsql", error_level=sqlglot.ErrorLevel.RAISE)
    assert "DELETE" not in grant_script().partition("CREATE ROLE")[2]
