"""Each statement for SQL Server, as both drivers send it, equals the approved text in tests/db/approved/.

To renew a file, delete it. The test then writes it and fails once, so that the new text is reviewed.
"""

import inspect
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import sqlglot
from fixtures.tds import Done, Rows
from sqlglot import exp

from db import cas_emcons, court_cases, dayend, job_runs, notices, sample_data, tables, vip_vehicles
from db.dialect import empty
from db.engine import connect
from db.job_lock import job_lock
from ocms.mock_cas.vehicles import vehicles

APPROVED = Path(__file__).with_name("approved")
NOW = datetime(2026, 6, 30, 14, 30, tzinfo=UTC)
STORED = {"notice_no": "N1", "has_detail": None, "atoms_flag": None, "amount_payable": Decimal("70.00")}
CHANGES = {"N1": {"amount_payable": Decimal("185.50"), "atoms_flag": "Y", "last_eburar_update": "A"}}
JOB = "refresh-vip-vehicles"
CHANGED = job_runs.Changes(rows_before=3, rows=3, added=1, removed=1, changed=2)
VEHICLE = {"vip_vehicle": "V1", "vehicle_no": "SCB2E", "status": "ACTIVE"}


def replace_vip_vehicles(database):
    with database.private() as conn:
        staged = vip_vehicles.create_vip_staging(conn)
        vip_vehicles.stage_vip_vehicles(conn, staged, [VEHICLE])
        vip_vehicles.count_repeated_vip_vehicles(conn, staged, 3)
        vip_vehicles.compare_vip_vehicles(conn, staged)
        conn.commit()
        vip_vehicles.replace_vip_vehicles(conn, staged, "job", NOW)
        conn.commit()


def hold_job_lock(database):
    with job_lock(database, "refresh-vip-vehicles"):
        pass


def functions_with_sql():
    """Every public function of a module of queries that takes a connection, by its name."""
    modules = (cas_emcons, court_cases, dayend, job_runs, notices, sample_data, vip_vehicles)
    return {
        f"{module.__name__.removeprefix('db.')}.{name}": function
        for module in modules
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
        if next(iter(inspect.signature(function).parameters), None) == "conn"
    }


def reads_notices(function):
    return list(inspect.signature(function).parameters) == ["conn", "notice_nos"]


CASES = {
    **{
        name: lambda db, function=function: db.read(function, ["N1"])
        for name, function in functions_with_sql().items()
        if reads_notices(function)
    },
    "cas_emcons.upsert": lambda db: db.write(cas_emcons.upsert, [("N1", "Y")], "CAS", NOW),
    "court_cases.upsert": lambda db: db.write(court_cases.upsert, [("N1", NOW)], "PLUS", NOW),
    "dayend.get_dayend_flag": lambda db: db.read(dayend.get_dayend_flag, date(2026, 6, 30)),
    "dayend.set_dayend_flag": lambda db: db.write(dayend.set_dayend_flag, date(2026, 6, 30), "Y"),
    "dayend.set_dayend_flag_again": lambda db: db.write(dayend.set_dayend_flag, date(2026, 6, 30), "Y"),
    "dayend.list_dayend_flags": lambda db: db.read(dayend.list_dayend_flags, 5),
    "dialect.empty_by_delete": lambda db: db.write(empty, tables.vip_vehicle, "delete"),
    "job_lock.job_lock": hold_job_lock,
    "job_runs.insert_run": lambda db: db.write(job_runs.insert_run, JOB, NOW, host="a", due=NOW),
    "job_runs.insert_missed": lambda db: db.write(
        job_runs.insert_missed, JOB, NOW, host="a", due=NOW, reason="missed", detail="late"
    ),
    "job_runs.close_abandoned_runs": lambda db: db.write(
        job_runs.close_abandoned_runs, JOB, reason="killed", detail="it was killed"
    ),
    "job_runs.exclude_future_runs": lambda db: db.write(job_runs.exclude_future_runs, JOB, NOW, reason="clock"),
    "job_runs.has_open_runs": lambda db: db.read(job_runs.has_open_runs, JOB),
    "job_runs.finish_run": lambda db: db.write(job_runs.finish_run, 7, NOW, "succeeded", changes=CHANGED),
    "job_runs.set_alerted": lambda db: db.write(job_runs.set_alerted, 7, NOW),
    "job_runs.get_run": lambda db: db.read(job_runs.get_run, 7),
    "job_runs.list_runs": lambda db: db.read(job_runs.list_runs, 5),
    "job_runs.get_future_run": lambda db: db.read(job_runs.get_future_run, JOB, NOW),
    "job_runs.list_outcomes": lambda db: db.read(job_runs.list_outcomes, JOB, NOW, NOW),
    "job_runs.get_incident": lambda db: db.read(job_runs.get_incident, JOB, NOW),
    "job_runs.is_succeeded": lambda db: db.read(job_runs.is_succeeded, 7),
    "job_runs.get_last_success": lambda db: db.read(job_runs.get_last_success, JOB, NOW),
    "job_runs.get_first_start": lambda db: db.read(job_runs.get_first_start, JOB, NOW),
    "notices.update_court_notices": lambda db: db.write(notices.update_court_notices, CHANGES, "CAS", NOW),
    "sample_data.has_notices": lambda db: db.read(sample_data.has_notices),
    "sample_data.seed_notices": lambda db: db.write(sample_data.seed_notices, 1, lambda _: None),
    "sample_data.seed_vehicles": lambda db: db.write(sample_data.seed_vehicles, vehicles(1)),
    "vip_vehicles.count_vip_vehicles": lambda db: db.read(vip_vehicles.count_vip_vehicles),
    "vip_vehicles.replace_vip_vehicles": replace_vip_vehicles,
}


def response(statement):
    """Return a typical result for a statement."""
    sql = statement.sql
    if "sp_getapplock" in sql:
        return Rows({"granted": int}, [(0,)])
    if "sum(kept.changed)" in sql:
        return Rows({"kept": int, "changed": int}, [(5, 2)])
    if "OUTPUT inserted" in sql or "count(" in sql:
        return Rows({"number": int}, [(7,)])
    if "has_detail" in sql:
        kinds = {name: Decimal if name == "amount_payable" else str for name in STORED}
        return Rows({**kinds, "last_eburar_update": str}, [(*STORED.values(), None)])
    return Rows({"value": str}) if sql.startswith("SELECT") else Done()


def has_flag(statement):
    return Rows({"dayend_flag": str}, [("N",)]) if statement.sql.startswith("SELECT") else Done()


def written(sent):
    """Return the statements as a script. The types of the parameters are comments before each statement."""
    parts = []
    for statement in sent:
        types = [f"-- @P{i} {kind}\n" for i, kind in enumerate(statement.types, 1)]
        parts.append("".join(types) + "\n".join(line.rstrip() for line in statement.sql.splitlines()) + ";\n")
    return "\n".join(parts)


def work_of(sent):
    """Leave out the begin and end of a connection, in which the drivers differ."""
    return [s for s in sent if s.sql not in ("BEGIN TRANSACTION", "ROLLBACK")]


@pytest.mark.parametrize("case", CASES)
def test_each_statement_equals_its_approved_text(server_database, tds, case):
    tds.response = has_flag if case.endswith("_again") else response
    CASES[case](server_database)
    found = written(work_of(tds.sent))
    file = APPROVED / f"{case}.sql"
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        file.write_text(found)
        pytest.fail(f"{file} was written: review it")
    assert found == file.read_text()


def test_every_function_with_sql_has_an_approved_text():
    staging = ("create_vip_staging", "stage_vip_vehicles", "count_repeated_vip_vehicles", "compare_vip_vehicles")
    assert functions_with_sql().keys() <= {
        *CASES,
        *(f"vip_vehicles.{name}" for name in staging),
    }  # approved with replace_vip_vehicles
    assert {file.stem for file in APPROVED.glob("*.sql")} == set(CASES)


@pytest.mark.parametrize("file", sorted(APPROVED.glob("*.sql")), ids=lambda file: file.stem)
def test_each_approved_statement_is_valid_t_sql(file):
    for statement in file.read_text().split(";\n"):
        first = " ".join(line for line in statement.splitlines() if not line.startswith("--"))
        if first.startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "CREATE", "DROP")):
            (parsed,) = sqlglot.parse(first, read="tsql", error_level=sqlglot.ErrorLevel.RAISE)
            assert not isinstance(parsed, exp.Command), first
            for aggregate in parsed.find_all(exp.AggFunc):
                assert not aggregate.find(exp.Select), f"error 130 of SQL Server: {aggregate.sql()}"


def test_only_json_is_sent_as_nvarchar():
    kinds = {
        line
        for file in APPROVED.glob("*.sql")
        for line in file.read_text().splitlines()
        if line.startswith("-- @P") and "NVARCHAR" in line and file.stem != "job_lock.job_lock"
    }
    assert {line.partition(" ")[2].partition(" ")[2] for line in kinds} == {"NVARCHAR(max)"}


def test_a_set_of_notices_of_any_size_is_one_parameter(server_database, tds):
    tds.response = response
    notice_nos = [f"N{i:010}" for i in range(10_000)]
    server_database.read(notices.list_payment_statuses, notice_nos)
    server_database.read(notices.list_payment_statuses, notice_nos[:1])
    large, small = work_of(tds.sent)
    assert large.sql == small.sql
    assert large.types == small.types == ("NVARCHAR(max)",)
    assert large.values == ('["' + '","'.join(notice_nos) + '"]',)


def test_the_schema_of_the_url_is_in_each_statement_except_for_temporary_tables(server_url, tds):
    tds.response = response
    database = connect(f"{server_url}&schema=court")
    replace_vip_vehicles(database)
    database.read(notices.list_payment_statuses, ["N1"])
    sent = [" ".join(s.sql.split()) for s in work_of(tds.sent)]
    temporary = [sql for sql in sent if "#ocms_vip_vehicle_staging" in sql]
    assert [sql.split(" (")[0] for sql in temporary[:3]] == [
        "DROP TABLE IF EXISTS #ocms_vip_vehicle_staging",
        "CREATE TABLE #ocms_vip_vehicle_staging",
        "INSERT INTO [#ocms_vip_vehicle_staging]",
    ]
    assert not [sql for sql in sent if "court.#" in sql or "court.[#" in sql]
    assert "TRUNCATE TABLE court.ocms_vip_vehicle" in sent
    for start in (
        "INSERT INTO court.ocms_vip_vehicle WITH (TABLOCK) ",
        "SELECT count(*) AS count_1 FROM court.ocms_vip",
    ):
        assert [sql for sql in sent if sql.startswith(start)], start
    assert "JOIN court.ocms_valid_offence_notice ON" in sent[-1]
    database.close()
