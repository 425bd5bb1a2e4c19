"""API 2, updateCourtNotices: extreme records, full batches, and failures of the database (section 1.3)."""

import pytest
from fixtures.batches import failures, send

from db import tables

pytestmark = pytest.mark.usefixtures("after_dayend")

BROKEN = "Something went wrong. Please try again later."


def nested(depth):
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    "bad",
    [
        b'{"notice_no":"N2","amount_payable":1e9999999999999999999}',
        b'{"notice_no":"N2","amount_payable":1e-9999}',
        b'{"notice_no":"N2","amount_payable":' + b"9" * 4000 + b"}",
        b'{"notice_no":"N2","amount_payable":70.' + b"0" * 100_000 + b"1}",
        b'{"notice_no":' + nested(300) + b',"atoms_flag":"Y"}',
        b'{"notice_no":"a b","atoms_flag":' + nested(300) + b"}",
        b'{"notice_no":"' + b"x" * 120 + b'","atoms_flag":' + nested(300) + b"}",
        b'{"notice_no":true,"atoms_flag":' + nested(300) + b"}",
        b'{"notice_no":["N1"],"atoms_flag":"Y"}',
        b"null",
        b"[]",
        b'"N1"',
    ],
)
def test_an_extreme_record_never_fails_the_batch(cas, add_notice, row_of, bad):
    add_notice("N1")
    good = b'{"notice_no":"N1","atoms_flag":"Y"}'
    response = cas.post("/v1/updateCourtNotices", content=b"[" + bad + b"," + good + b"]")
    assert response.status_code == 207
    assert response.json()["data"]["succeeded"] == ["N1"]
    assert failures(response) == [(0, "N2" if b"N2" in bad else None, "OCMS-4022")]
    assert row_of(tables.valid_offence_notice, "N1")["atoms_flag"] == "Y"


@pytest.mark.parametrize("number", [b"1e-9999", b"1e9999", b"9" * 700, b"0." + b"3" * 700])
def test_extreme_numbers_are_validated_quickly(cas, number):
    """Validation that expands each digit would block all callers for minutes."""
    record = b'{"notice_no":"N1","amount_payable":' + number + b"}"
    response = cas.post("/v1/updateCourtNotices", content=b"[" + b",".join([record] * 10_000) + b"]", timeout=20)
    assert len(response.json()["data"]["failed"]) == 10_000


def test_nothing_is_reported_as_written_if_the_database_ends_the_transaction(cas, add_notice, rows, database):
    if database.path is None:
        pytest.skip("the triggers are written for SQLite")
    for notice_no in ("N0", "N1", "N2", "N3"):
        add_notice(notice_no)
    before = rows(tables.valid_offence_notice)
    with database.writing() as conn:
        for notice_no, what in (("N1", "ABORT"), ("N3", "ROLLBACK")):
            conn.exec_driver_sql(
                f"CREATE TRIGGER t{notice_no} BEFORE UPDATE ON ocms_valid_offence_notice "
                f"WHEN NEW.notice_no = '{notice_no}' BEGIN SELECT RAISE({what}, 'refused'); END"
            )
    response = send(cas, *({"notice_no": n, "atoms_flag": "Y"} for n in ("N0", "N1", "N2", "N3")))
    assert response.status_code == 500
    assert rows(tables.valid_offence_notice) == before


def test_a_failure_of_every_record_but_one_still_writes_that_one(cas, add_notice, database):
    if database.path is None:
        pytest.skip("the trigger is written for SQLite")
    add_notice("N0")
    with database.writing() as conn:
        for number in range(1, 2000):
            conn.exec_driver_sql(
                "INSERT INTO ocms_valid_offence_notice (notice_no, cre_date, cre_user_id) "
                f"VALUES ('N{number}', '2026-01-01 00:00:00.000000', 'test')"
            )
        conn.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE UPDATE ON ocms_valid_offence_notice WHEN NEW.notice_no <> 'N0' "
            "BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
    response = send(cas, *({"notice_no": f"N{number}", "atoms_flag": "Y"} for number in range(2000)))
    assert response.status_code == 207
    assert response.json()["data"]["succeeded"] == ["N0"]
    assert {f["appCode"] for f in response.json()["data"]["failed"]} == {"OCMS-5000"}


def test_the_other_records_are_written_if_one_cannot_be_written(cas, add_notice, row_of, refuse_writes, logs):
    for notice_no in ("N1", "N2", "N3", "N4"):
        add_notice(notice_no)
    refuse_writes(tables.offence_notice_detail, "N3")
    response = send(
        cas, *({"notice_no": n, "atoms_flag": "Y", "payment_allowance": "Y"} for n in ("N1", "N2", "N3", "N4"))
    )
    assert response.status_code == 207
    assert failures(response) == [(2, "N3", "OCMS-5000")]
    assert response.json()["data"]["failed"][0]["message"] == BROKEN
    assert response.json()["data"]["succeeded"] == ["N1", "N2", "N4"]
    flags = {n: row_of(tables.valid_offence_notice, n)["atoms_flag"] for n in ("N1", "N2", "N3", "N4")}
    assert flags == {"N1": "Y", "N2": "Y", "N3": None, "N4": "Y"}, "a record must be written completely or not at all"
    assert [line["notice_no"] for line in logs("not_updated")] == ["N3"]


def test_a_batch_may_have_ten_thousand_records_and_no_more(cas, add_notice):
    add_notice("N1")
    batch = [{"notice_no": f"N{number}", "atoms_flag": "Y"} for number in range(10_000)]
    response = send(cas, *batch)
    assert response.status_code == 207
    assert response.json()["data"]["succeeded"] == ["N1"]
    assert len(response.json()["data"]["failed"]) == 9_999
    assert send(cas, *batch, {"notice_no": "N10000", "atoms_flag": "Y"}).status_code == 400


@pytest.mark.source("1.3", "General Server Error OCMS-5000")
def test_a_database_failure_shows_no_internal_detail(cas, drop_table):
    drop_table(tables.dayend)
    response = send(cas, {"notice_no": "N1", "atoms_flag": "Y"})
    assert response.status_code == 500
    assert response.json()["data"]["message"] == BROKEN
    assert "dayend" not in response.text
