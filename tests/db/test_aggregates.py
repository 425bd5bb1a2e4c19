"""Day-end flags, job runs, and sample data."""

from datetime import date, timedelta

import pytest

from db import tables
from db.dayend import get_dayend_flag, list_dayend_flags, set_dayend_flag
from db.job_runs import FAILED, finish_run, insert_run, list_runs
from db.sample_data import FIRST_NOTICE, notice_number, seed_notices
from domain.rules import is_emcons, is_fully_paid, is_ps_wwp
from ocms.mock_cas.vehicles import vehicles


def test_the_dayend_flag_of_a_date_is_set_and_changed(database):
    with database.writing() as conn:
        assert get_dayend_flag(conn, date(2026, 6, 30)) is None
        for day, flag in ((30, "N"), (29, "Y"), (30, "Y")):
            set_dayend_flag(conn, date(2026, 6, day), flag)
        assert list_dayend_flags(conn, 10) == [(date(2026, 6, 30), "Y"), (date(2026, 6, 29), "Y")]


def test_runs_are_listed_newest_first_and_a_long_detail_is_cut(database, clock):
    with database.writing() as conn:
        first = insert_run(conn, "a", clock(), host="here")
        second = insert_run(conn, "a", clock() + timedelta(hours=1), host="here" * 100)
        finish_run(conn, first, clock(), FAILED, detail="x" * 1000)
        assert [run["run_id"] for run in list_runs(conn, 5)] == [second, first]
        assert [run["outcome"] for run in list_runs(conn, 5)] == ["running", "failed"]
        assert list_runs(conn, 5)[1]["detail"] == "x" * 500
        assert len(list_runs(conn, 1)) == 1


def test_sample_notices_are_the_same_each_time(database, rows):
    seen = []
    for _ in range(2):
        with database.writing() as conn:
            conn.execute(tables.valid_offence_notice.delete())
            conn.execute(tables.offence_notice_detail.delete())
            assert seed_notices(conn, 50, lambda _: None) == 50
        seen.append((rows(tables.valid_offence_notice), rows(tables.offence_notice_detail)))
    assert seen[0] == seen[1]


def test_a_thousand_sample_notices_show_every_case(database, rows):
    sizes = []
    with database.writing() as conn:
        seed_notices(conn, 1000, sizes.append)
    assert sum(sizes) == 1000
    details = {row["notice_no"]: row for row in rows(tables.offence_notice_detail)}
    joined = [details[row["notice_no"]] | row for row in rows(tables.valid_offence_notice)]
    assert len(joined) == 1000
    assert joined[0]["notice_no"] == notice_number(FIRST_NOTICE)
    cases = {
        "paid": is_fully_paid,
        "EMCONS": is_emcons,
        "PS-WWP": is_ps_wwp,
        "in part": lambda n: 0 < n["amount_paid"] < n["amount_payable"],
        "suspended": lambda n: n["suspension_type"] == "TS",
        "in court": lambda n: n["court_payment_due_date"] is not None,
        "odd amount": lambda n: n["amount_payable"] * 100 % 10 != 0,
    }
    for name, case in cases.items():
        assert 20 < len([n for n in joined if case(n)]) < 950, name
    assert len({n["next_processing_stage"] for n in joined}) > 10
    assert all(n["amount_paid"] <= n["amount_payable"] for n in joined)


def test_sample_vehicles_are_distinct():
    listed = list(vehicles(2000))
    assert len({v["vip_vehicle"] for v in listed}) == 2000
    assert {v["status"] for v in listed} == {"ACTIVE", "INACTIVE"}
    assert {v["description"] for v in listed} > {None}


@pytest.mark.parametrize(("serial", "number"), [(541_000_001, "541000001D"), (541_000_002, "541000002E")])
def test_a_notice_number_ends_in_a_check_letter(serial, number):
    assert notice_number(serial) == number
