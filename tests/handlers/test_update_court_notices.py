"""API 2, updateCourtNotices (section 1.3 of the source document)."""

from datetime import date, datetime
from decimal import Decimal

import msgspec
import pytest
from fixtures.batches import TODAY, failures, send

from db import tables
from db.dayend import set_dayend_flag
from domain.clock import SINGAPORE

pytestmark = pytest.mark.usefixtures("after_dayend")

SUCCESS = {"data": {"appCode": "OCMS-2000", "message": "Success"}}
INVALID = "Invalid data provided for one or more notices."
UNKNOWN = "One or more notice numbers could not be found."


@pytest.mark.source("1.3", "Success: the batch is received and validated")
@pytest.mark.source("1.3", "Success: all notices are updated")
@pytest.mark.source("1.3", "Success: CAS receives a success response")
def test_a_good_batch_updates_every_field_of_every_notice(cas, add_notice, row_of, clock):
    add_notice("N1", last_processing_stage="CRT")
    add_notice("N2", atoms_flag="Y", amount_payable=Decimal("12.50"))
    response = send(
        cas,
        {
            "notice_no": "N1",
            "suspension_type": "TS",
            "last_eburar_update": "20260630-A",
            "atoms_flag": "Y",
            "last_processing_date": "2026-06-30T15:15:00Z",
            "next_processing_stage": "CRC",
            "amount_payable": 185.5,
            "payment_allowance": "Y",
            "epr_reason_of_suspension": "APP",
        },
        {"notice_no": "N2", "next_processing_stage": "CRC"},
    )
    assert (response.status_code, response.json()) == (200, SUCCESS)
    now = clock.now.astimezone(SINGAPORE)
    first = row_of(tables.valid_offence_notice, "N1")
    assert first == first | {
        "suspension_type": "TS",
        "atoms_flag": "Y",
        "last_processing_stage": "CRT",
        "last_processing_date": datetime(2026, 6, 30, 23, 15, tzinfo=SINGAPORE),
        "next_processing_stage": "CRC",
        "amount_payable": Decimal("185.50"),
        "epr_reason_of_suspension": "APP",
        "cre_user_id": "test",
        "upd_date": now,
        "upd_user_id": "CAS",
    }
    detail = row_of(tables.offence_notice_detail, "N1")
    assert detail == detail | {"last_eburar_update": "20260630-A", "payment_allowance_flag": "Y", "upd_user_id": "CAS"}
    second = row_of(tables.valid_offence_notice, "N2")
    assert second == second | {"next_processing_stage": "CRC", "atoms_flag": "Y", "amount_payable": Decimal("12.50")}
    assert row_of(tables.offence_notice_detail, "N2")["upd_date"] is None


def test_an_absent_field_is_kept_and_null_clears_a_field(cas, add_notice, row_of):
    add_notice("N1", suspension_type="TS", atoms_flag="Y", last_processing_date=datetime(2026, 5, 1, tzinfo=SINGAPORE))
    assert send(cas, {"notice_no": "N1", "suspension_type": None, "last_processing_date": None}).status_code == 200
    stored = row_of(tables.valid_offence_notice, "N1")
    assert (stored["suspension_type"], stored["last_processing_date"], stored["atoms_flag"]) == (None, None, "Y")


@pytest.mark.parametrize("text", ["0.01", "99999999.99", "70", "70.0", "7e1", "70.00", "0", "4.35", "1.1E2"])
def test_an_amount_in_any_notation_is_stored_exactly(cas, add_notice, row_of, text):
    add_notice("N1", amount_payable=Decimal("1.00"))
    response = cas.post("/v1/updateCourtNotices", content=f'[{{"notice_no":"N1","amount_payable":{text}}}]')
    assert response.status_code == 200, response.text
    assert str(row_of(tables.valid_offence_notice, "N1")["amount_payable"]) == f"{Decimal(text):.2f}"


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("2026-06-30T23:15:00+08:00", datetime(2026, 6, 30, 23, 15, tzinfo=SINGAPORE)),
        ("2026-06-30T15:15:00Z", datetime(2026, 6, 30, 23, 15, tzinfo=SINGAPORE)),
        ("2026-06-30t15:15:00.5z", datetime(2026, 6, 30, 23, 15, 0, 500_000, tzinfo=SINGAPORE)),
        ("2026-06-30T10:15:00-05:00", datetime(2026, 6, 30, 23, 15, tzinfo=SINGAPORE)),
        ("0001-01-01T08:00:00+08:00", datetime(1, 1, 1, 8, tzinfo=SINGAPORE)),
        ("2026-06-30T23:59:59.9999999+08:00", datetime(2026, 6, 30, 23, 59, 59, 999_999, tzinfo=SINGAPORE)),
        ("2026-06-30T15:59:59.9999999Z", datetime(2026, 6, 30, 23, 59, 59, 999_999, tzinfo=SINGAPORE)),
        ("9999-12-31T23:59:59.9999999+08:00", datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=SINGAPORE)),
    ],
)
def test_a_time_with_any_offset_is_accepted(cas, add_notice, row_of, text, local):
    add_notice("N1")
    assert send(cas, {"notice_no": "N1", "last_processing_date": text}).status_code == 200
    assert row_of(tables.valid_offence_notice, "N1")["last_processing_date"] == local


def test_a_missing_detail_row_is_inserted_if_the_record_needs_it(cas, add_notice, row_of, rows):
    add_notice("N1", detail=False)
    add_notice("N2", detail=False)
    assert send(cas, {"notice_no": "N1", "payment_allowance": "Y"}, {"notice_no": "N2", "atoms_flag": "Y"}).is_success
    detail = row_of(tables.offence_notice_detail, "N1")
    assert (detail["payment_allowance_flag"], detail["cre_user_id"]) == ("Y", "CAS")
    assert len(rows(tables.offence_notice_detail)) == 1


def test_a_repeated_batch_changes_nothing(cas, add_notice, rows, clock):
    add_notice("N1")
    batch = [{"notice_no": "N1", "atoms_flag": "Y", "amount_payable": 10, "payment_allowance": "N"}]
    assert send(cas, *batch).json() == SUCCESS
    before = rows(tables.valid_offence_notice), rows(tables.offence_notice_detail)
    clock.move(hours=1)
    assert send(cas, *batch).json() == SUCCESS
    assert (rows(tables.valid_offence_notice), rows(tables.offence_notice_detail)) == before


@pytest.mark.source("1.3", "Partial Batch Failure")
@pytest.mark.source("1.3", "Validation Error OCMS-4022")
def test_a_bad_record_never_fails_the_batch(cas, add_notice, row_of):
    add_notice("N1")
    add_notice("N2")
    response = send(
        cas,
        {"notice_no": "N1", "atoms_flag": "Y"},
        {"notice_no": "N2", "amount_payable": 70.005},
        {"notice_no": "X1", "atoms_flag": "Y"},
        {"notice_no": "N 1", "atoms_flag": "Y"},
        "N1",
    )
    assert response.status_code == 207
    data = response.json()["data"]
    assert (data["appCode"], data["message"], data["succeeded"]) == ("OCMS-4022", INVALID, ["N1"])
    assert data["correlationId"] == response.headers["X-Correlation-ID"]
    assert failures(response) == [
        (1, "N2", "OCMS-4022"),
        (2, "X1", "OCMS-4004"),
        (3, None, "OCMS-4022"),
        (4, None, "OCMS-4022"),
    ]
    assert [f["message"] for f in data["failed"]] == [INVALID, UNKNOWN, INVALID, INVALID]
    assert data["failed"][0]["errors"] == [{"field": "/amount_payable", "message": "value is not a multiple of 0.01"}]
    assert row_of(tables.valid_offence_notice, "N1")["atoms_flag"] == "Y"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({}, ""),
        ({"suspension_type": "XX"}, "/suspension_type"),
        ({"suspension_type": "ts"}, "/suspension_type"),
        ({"suspension_type": 1}, "/suspension_type"),
        ({"last_processing_date": 20260630}, "/last_processing_date"),
        ({"amount_payable": None}, "/amount_payable"),
        ({"amount_payable": "70.00"}, "/amount_payable"),
        ({"amount_payable": -0.01}, "/amount_payable"),
        ({"amount_payable": 100000000}, "/amount_payable"),
        ({"amount_payable": 70.001}, "/amount_payable"),
        ({"last_processing_date": "2026-06-30"}, "/last_processing_date"),
        ({"last_processing_date": "2026-06-30T23:15:00"}, "/last_processing_date"),
        ({"last_processing_date": "2026-02-30T23:15:00Z"}, "/last_processing_date"),
        ({"last_processing_date": "2026-06-30 23:15:00Z"}, "/last_processing_date"),
        ({"last_processing_date": "9999-12-31T23:00:00Z"}, "/last_processing_date"),
        ({"atoms_flag": ""}, "/atoms_flag"),
        ({"atoms_flag": "é"}, "/atoms_flag"),
        ({"atoms_flag": "Y\x00"}, "/atoms_flag"),
        ({"atoms_flag": "Y" * 51}, "/atoms_flag"),
        ({"atoms_flag": True}, "/atoms_flag"),
        ({"payment_allowance_flag": "Y"}, "/payment_allowance_flag"),
        ({"amount_paid": 70}, "/amount_paid"),
        ({"a/b~c": 1}, "/a~1b~0c"),
    ],
)
def test_an_invalid_field_of_a_record_is_named(cas, add_notice, rows, change, field):
    add_notice("N1")
    before = rows(tables.valid_offence_notice)
    response = send(cas, {"notice_no": "N1", **change})
    assert response.status_code == 422
    (failed,) = response.json()["data"]["failed"]
    assert failed["notice_no"] == "N1"
    assert field in [fault["field"] for fault in failed["errors"]]
    assert rows(tables.valid_offence_notice) == before


@pytest.mark.parametrize(
    "inside",
    [
        b'"atoms_flag": "\\ud800"',
        b'"atoms_flag": "\\udc00\\ud800"',
        b'"atoms_flag": "Y", "atoms_flag": "N"',
        b'"atoms_flag": "Y", "atoms\\u005fflag": "N"',
        b'"atoms_flag": {"a": 1, "a": 2}',
        b'"amount_payable": ' + b"1" * 5_000,
        b'"amount_payable": ' + b"1" * 4_000,
        b'"amount_payable": 1e999999999',
        b'"amount_payable": 1e-999999999',
        b'"atoms_flag": "caf\xe9"',
        b'"atoms_flag": "\xed\xa0\x80"',
        b'"atoms_flag": ' + b"[" * 300 + b"]" * 300,
        b'"atoms_flag": ' + b"[" * 50_000 + b"]" * 50_000,
        b'"atoms_flag": ' + b'{"a":' * 5_000 + b'"]}"' + b"}" * 5_000,
        b'"\\ud800": 1',
        b'"' + b"x" * 100_000 + b'": 1',
        b'"atoms_flag": "' + b"Y" * 100_000 + b'"',
        b",".join(b'"%d": 1' % number for number in range(5_000)),
    ],
    ids=lambda inside: ascii(inside[:40]),
)
def test_what_is_wrong_inside_a_record_fails_only_that_record(cas, add_notice, row_of, inside):
    for notice_no in ("N1", "N2", "N3"):
        add_notice(notice_no)
    good = b'{"notice_no": "N%d", "atoms_flag": "]},{"}'
    bad = b'{"notice_no": "N2", %b}' % inside
    batch = b"[ %b ,\n%b, %b ]" % (good % 1, bad, good % 3)
    response = cas.post("/v1/updateCourtNotices", content=batch, headers={"Content-Type": "application/json"})
    data = response.json()["data"]
    assert (response.status_code, data["succeeded"]) == (207, ["N1", "N3"])
    assert [(failure["index"], failure["appCode"]) for failure in data["failed"]] == [(1, "OCMS-4022")]
    assert data["failed"][0]["errors"][0]["message"]
    assert [row_of(tables.valid_offence_notice, no)["atoms_flag"] for no in ("N1", "N2", "N3")] == [
        "]},{",
        None,
        "]},{",
    ]


def test_a_notice_that_is_also_in_a_record_that_cannot_be_parsed_fails_both_times(cas, add_notice, row_of):
    add_notice("N1")
    add_notice("N2")
    batch = b"""[{"notice_no": "N1", "atoms_flag": "Y"}, {"notice_no": "N1", "atoms_flag": "\\ud800"},
        {"notice_no": "N2", "notice_no": "N3", "atoms_flag": "Y"}, {"notice_no": "N2", "atoms_flag": "Y"}]"""
    response = cas.post("/v1/updateCourtNotices", content=batch, headers={"Content-Type": "application/json"})
    assert failures(response) == [(0, "N1", "OCMS-4022"), (1, "N1", "OCMS-4022"), (2, None, "OCMS-4022")]
    assert row_of(tables.valid_offence_notice, "N1")["atoms_flag"] is None
    assert row_of(tables.valid_offence_notice, "N2")["atoms_flag"] == "Y"


@pytest.mark.parametrize(
    "batch",
    [
        b'[{"notice_no": "N1", "atoms_flag": "\\ud800"}, {"notice_no": "N2", "atoms_flag": "Y"}',
        b'[{"notice_no": "N1", "atoms_flag": "\\ud800"}, {"notice_no": "N2", "atoms_flag": "Y"},]',
        b'[{"notice_no": "N1", "atoms_flag": "\\ud800"} {"notice_no": "N2", "atoms_flag": "Y"}]',
        b'[{"notice_no": "N1", "atoms_flag": "\\ud800"}, {"notice_no": "N2", "atoms_flag": "Y"}] 1',
        b'[{"notice_no": "N1", "atoms_flag": nul}, {"notice_no": "N2", "atoms_flag": "Y"}]',
        b'[{"notice_no": "N1", "atoms_flag": NaN}, {"notice_no": "N2", "atoms_flag": "Y"}]',
        b'[{"notice_no": "N1", "atoms_flag": "\x01"}, {"notice_no": "N2", "atoms_flag": "Y"}]',
        b'[{"notice_no": "N1", "atoms_flag": "\\x"}, {"notice_no": "N2", "atoms_flag": "Y"}]',
        b'[{"a": "x}, {"notice_no": "N2", "atoms_flag": "Y"}, {"a": "x}]',
    ],
    ids=ascii,
)
def test_a_batch_that_is_not_json_is_refused_as_a_whole(cas, add_notice, row_of, batch):
    add_notice("N2")
    response = cas.post("/v1/updateCourtNotices", content=batch, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert row_of(tables.valid_offence_notice, "N2")["atoms_flag"] is None


def test_a_batch_of_too_many_records_is_refused_also_if_one_cannot_be_parsed(cas):
    record = b'{"notice_no": "N1", "atoms_flag": "\\ud800"}'
    batch = b"[" + b",".join([record] * 10_001) + b"]"
    response = cas.post("/v1/updateCourtNotices", content=batch, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["data"]["errors"][0]["message"]) == (
        400,
        "value has more than 10000 items",
    )


def test_a_negative_zero_is_stored_as_zero(cas, add_notice, row_of):
    add_notice("N1", amount_payable=Decimal("5.00"))
    cas.post("/v1/updateCourtNotices", content=b'[{"notice_no":"N1","amount_payable":-0.0}]')
    assert str(row_of(tables.valid_offence_notice, "N1")["amount_payable"]) == "0.00"


def test_the_response_is_422_if_every_record_fails(cas, add_notice):
    add_notice("N1")
    response = send(cas, {"notice_no": "N1"}, {"atoms_flag": "Y"}, {"notice_no": "X1", "atoms_flag": "Y"})
    assert response.status_code == 422
    assert response.json()["data"]["succeeded"] == []
    assert failures(response) == [(0, "N1", "OCMS-4022"), (1, None, "OCMS-4022"), (2, "X1", "OCMS-4004")]


def test_a_notice_that_is_twice_in_a_batch_fails_both_times(cas, add_notice, row_of):
    add_notice("N1")
    add_notice("N2")
    response = send(
        cas,
        {"notice_no": "N1", "atoms_flag": "Y"},
        {"notice_no": "N2", "atoms_flag": "Y"},
        {"notice_no": "N1", "atoms_flag": "XX", "amount_payable": -1},
    )
    assert failures(response) == [(0, "N1", "OCMS-4022"), (2, "N1", "OCMS-4022")]
    assert response.json()["data"]["succeeded"] == ["N2"]
    assert row_of(tables.valid_offence_notice, "N1")["atoms_flag"] is None


@pytest.mark.source("1.3", '"Dayend" Flag Condition Not Met')
@pytest.mark.parametrize("flag", [None, "N"])
def test_before_dayend_nothing_is_written(cas, add_notice, rows, database, flag):
    add_notice("N1")
    with database.writing() as conn:
        conn.execute(tables.dayend.delete())
        set_dayend_flag(conn, date(2026, 6, 29), "Y")
        if flag:
            set_dayend_flag(conn, TODAY, flag)
    before = rows(tables.valid_offence_notice)
    response = send(cas, {"notice_no": "N1", "atoms_flag": "Y"})
    assert response.status_code == 409
    data = response.json()["data"]
    assert data["appCode"] == "OCMS-4009"
    assert data["message"] == "Court notices can be updated only after day-end. Please try again later."
    assert rows(tables.valid_offence_notice) == before


def test_before_dayend_an_invalid_batch_gets_the_same_response(cas, database):
    with database.writing() as conn:
        set_dayend_flag(conn, TODAY, "N")
    assert send(cas, {"notice_no": "N1"}).status_code == 409


def test_the_business_date_is_that_of_singapore(cas, add_notice, clock):
    add_notice("N1")
    clock.move(hours=2)  # 16:30 on 30 June in London, half past midnight on 1 July in Singapore
    assert send(cas, {"notice_no": "N1", "atoms_flag": "Y"}).status_code == 409


@pytest.mark.parametrize(
    ("window", "status"),
    [
        ("22:00-23:00", 200),
        ("22:30-22:31", 200),
        ("22:00-22:30", 409),
        ("23:00-23:59", 409),
        ("22:00-06:00", 200),
        ("23:00-06:00", 409),
    ],
)
def test_outside_its_window_a_batch_is_refused(callers, add_notice, window, status):
    add_notice("N1")
    cas, _ = callers(dayend_window=window)
    assert send(cas, {"notice_no": "N1", "atoms_flag": "Y"}).status_code == status


@pytest.mark.parametrize(
    ("hours", "flags", "status"),
    [
        (2, {30: "Y"}, 200),
        (2, {30: "Y", 1: "N"}, 200),
        (2, {1: "Y"}, 409),
        (2, {30: "N", 1: "Y"}, 409),
        (3.5, {30: "Y", 1: "Y"}, 409),
        (24, {30: "Y"}, 409),
        (24, {1: "Y"}, 200),
    ],
)
def test_after_midnight_the_flag_of_the_day_on_which_the_window_began_counts(
    callers, add_notice, row_of, database, clock, hours, flags, status
):
    add_notice("N1")
    with database.writing() as conn:
        conn.execute(tables.dayend.delete())
        for day, flag in flags.items():
            set_dayend_flag(conn, date(2026, 6 if day == 30 else 7, day), flag)
    cas, _ = callers(dayend_window="22:00-02:00")
    clock.move(hours=hours)  # from 22:30 on 30 June
    assert send(cas, {"notice_no": "N1", "atoms_flag": "Y"}).status_code == status
    assert row_of(tables.valid_offence_notice, "N1")["atoms_flag"] == ("Y" if status == 200 else None)


@pytest.mark.parametrize(
    "body", [{}, [], "N1", 1, None, {"notice_no": "N1", "atoms_flag": "Y"}, [1, "N1"], [[{"notice_no": "N1"}]]]
)
def test_a_body_that_is_not_an_array_of_objects_is_a_bad_request(cas, body):
    response = cas.post("/v1/updateCourtNotices", content=msgspec.json.encode(body))
    assert response.status_code == 400
    assert response.json()["data"]["appCode"] == "OCMS-4000"
