"""API 1, getPaymentStatus (section 1.2 of the source document)."""

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from sqlalchemy import update

from db import tables
from domain.clock import SINGAPORE

NOT_FOUND = {"appCode": "OCMS-4004", "message": "One or more notice numbers could not be found."}
NOT_RECORDED = {"appCode": "OCMS-5000", "message": "Something went wrong. Please try again later."}


def numbers(response):
    assert response.status_code == 200, response.text
    return [item["notice_no"] for item in response.json()["data"]]


@pytest.mark.source("1.2", "Success: CAS receives a success response")
@pytest.mark.source("1.2", "Success: the requested details are returned")
def test_the_response_has_the_details_of_each_requested_notice(cas, add_notice):
    add_notice(
        "N001",
        last_processing_stage="CRT",
        last_processing_date=datetime(2026, 5, 18, 1, 30, tzinfo=UTC),
        next_processing_stage="CRC",
        suspension_type="TS",
        crs_reason_of_suspension="CAS",
        payment_status="PP",
        amount_payable=Decimal("210.35"),
        amount_paid=Decimal("70.00"),
        payment_allowance_flag="Y",
    )
    response = cas.call("getPaymentStatus", {"notice_nos": ["N001"]})
    assert response.status_code == 200
    assert response.json() == {
        "total": 1,
        "limit": 1,
        "skip": 0,
        "data": [
            {
                "notice_no": "N001",
                "last_processing_stage": "CRT",
                "last_processing_date": "2026-05-18T09:30:00+08:00",
                "next_processing_stage": "CRC",
                "emcons_flag": None,
                "suspension_type": "TS",
                "crs_reason_of_suspension": "CAS",
                "epr_reason_of_suspension": None,
                "payment_status": "PP",
                "amount_payable": 210.35,
                "amount_paid": 70.0,
                "payment_allowance_flag": "Y",
            }
        ],
    }


def test_amounts_are_sent_exactly_as_they_are_stored(cas, add_notice):
    add_notice("N001", amount_payable=Decimal("99999999.99"), amount_paid=Decimal("70.00"))
    text = cas.call("getPaymentStatus", {"notice_nos": ["N001"]}).text
    assert '"amount_payable":99999999.99,' in text
    assert '"amount_paid":70.00,' in text


def test_items_are_in_request_order_and_each_notice_is_there_once(cas, add_notice):
    for notice_no in ("A", "B", "C"):
        add_notice(notice_no)
    response = cas.call("getPaymentStatus", {"notice_nos": ["C", "A", "X", "C", "B", "A"]})
    assert numbers(response) == ["C", "A", "X", "B"]
    assert response.json()["total"] == 4


def test_notice_numbers_are_compared_exactly(cas, add_notice):
    add_notice("n1")
    data = cas.call("getPaymentStatus", {"notice_nos": ["N1", "n1", "n1'"]}).json()["data"]
    assert ["error" in item for item in data] == [True, False, True]


def test_a_notice_without_a_detail_row_has_null_details(cas, add_notice):
    add_notice("N1", detail=False)
    (item,) = cas.call("getPaymentStatus", {"notice_nos": ["N1"]}).json()["data"]
    assert item["emcons_flag"] is None
    assert "error" not in item


@pytest.mark.source("1.2", "Invalid Notice Number")
def test_an_unknown_notice_is_marked_and_logged_and_the_others_are_returned(cas, add_notice, logs):
    add_notice("N1")
    data = cas.call("getPaymentStatus", {"notice_nos": ["X1", "N1"]}).json()["data"]
    assert data[0] == {"notice_no": "X1", "error": NOT_FOUND}
    assert data[1]["amount_payable"] == 70
    assert [line["notice_nos"] for line in logs("unknown_notices")] == [["X1"]]


def test_of_many_unknown_notices_the_log_has_the_first_ones_and_their_number(cas, logs):
    numbers = [f"{number:020}" for number in range(10_000)]
    assert cas.call("getPaymentStatus", {"notice_nos": numbers}).status_code == 200
    (line,) = logs("unknown_notices")
    assert (line["notice_nos"], line["count"]) == (numbers[:100], 10_000)
    assert all(len(text.encode()) < 16 * 1024 for text in logs.text().splitlines())


@pytest.mark.source("1.2", "Success: EMCON notices are recorded")
def test_an_emcons_notice_is_recorded_with_its_caller(cas, add_notice, rows, clock):
    add_notice("E1", emcons_flag="Y")
    add_notice("N1")
    cas.call("getPaymentStatus", {"notice_nos": ["E1", "N1"]})
    assert rows(tables.cas_emcons) == [
        {
            "notice_no": "E1",
            "emcons_flag": "Y",
            "cre_date": clock.now.astimezone(SINGAPORE),
            "cre_user_id": "CAS",
            "upd_date": None,
            "upd_user_id": None,
        }
    ]


@pytest.mark.parametrize("flag", [None, "N"])
def test_a_notice_without_the_flag_is_not_recorded(cas, add_notice, rows, flag):
    add_notice("N1", emcons_flag=flag)
    cas.call("getPaymentStatus", {"notice_nos": ["N1"]})
    assert rows(tables.cas_emcons) == []


def test_a_repeated_request_changes_the_record_only_if_the_flag_has_changed(cas, add_notice, row_of, database, clock):
    add_notice("E1", emcons_flag="Y")
    created = clock.now.astimezone(SINGAPORE)
    for _ in range(2):
        cas.call("getPaymentStatus", {"notice_nos": ["E1"]})
        clock.move(hours=1)
    assert row_of(tables.cas_emcons, "E1")["upd_date"] is None
    with database.writing() as conn:
        conn.execute(update(tables.offence_notice_detail).values(emcons_flag="Z"))
    cas.call("getPaymentStatus", {"notice_nos": ["E1"]})
    recorded = row_of(tables.cas_emcons, "E1")
    assert (recorded["emcons_flag"], recorded["cre_date"]) == ("Z", created)
    assert (recorded["upd_date"], recorded["upd_user_id"]) == (clock.now.astimezone(SINGAPORE), "CAS")


@pytest.mark.source("1.2", "Database Error")
def test_a_notice_that_cannot_be_recorded_is_marked_and_logged_and_the_others_are_recorded(
    cas, add_notice, rows, refuse_writes, logs
):
    for notice_no in ("E1", "E2", "E3", "E4", "E5"):
        add_notice(notice_no, emcons_flag="Y")
    refuse_writes(tables.cas_emcons, "E3")
    data = cas.call("getPaymentStatus", {"notice_nos": ["E1", "E2", "E3", "E4", "E5"]}).json()["data"]
    assert [item.get("error") for item in data] == [None, None, NOT_RECORDED, None, None]
    assert data[2]["amount_payable"] == 70
    assert [row["notice_no"] for row in rows(tables.cas_emcons)] == ["E1", "E2", "E4", "E5"]
    assert [line["notice_no"] for line in logs("not_recorded")] == ["E3"]


def test_the_response_is_sent_even_if_the_emcons_table_is_missing(cas, add_notice, drop_table):
    add_notice("E1", emcons_flag="Y")
    add_notice("N1")
    drop_table(tables.cas_emcons)
    data = cas.call("getPaymentStatus", {"notice_nos": ["E1", "N1"]}).json()["data"]
    assert [item.get("error") for item in data] == [NOT_RECORDED, None]


@pytest.mark.parametrize(
    ("query", "expected", "limit"),
    [
        ({}, ["A", "B", "C", "X"], 4),
        ({"limit": 2}, ["A", "B"], 2),
        ({"skip": 1}, ["B", "C", "X"], 4),
        ({"skip": 1, "limit": 2}, ["B", "C"], 2),
        ({"skip": 4}, [], 4),
        ({"limit": 10000}, ["A", "B", "C", "X"], 10000),
    ],
)
def test_a_page_has_a_part_of_the_items_and_the_total_of_all(cas, add_notice, query, expected, limit):
    for notice_no in ("A", "B", "C"):
        add_notice(notice_no)
    response = cas.call("getPaymentStatus", {"notice_nos": ["A", "B", "C", "X"]}, **query)
    assert numbers(response) == expected
    described = response.json()
    assert (described["total"], described["limit"], described["skip"]) == (4, limit, query.get("skip", 0))


@pytest.mark.parametrize(
    ("names", "expected"),
    [("FP", ["P", "X"]), ("EMCONS", ["E", "X"]), (["FP", "EMCONS"], ["P", "E", "X"])],
)
@pytest.mark.source("1.2", "Process Request: FP and EMCONS notices are filtered")
def test_a_filter_keeps_matching_notices_and_unknown_ones(cas, add_notice, names, expected):
    add_notice("P", payment_status="FP")
    add_notice("E", emcons_flag="Y")
    add_notice("O", payment_status="PP")
    response = cas.call("getPaymentStatus", {"notice_nos": ["P", "E", "O", "X"]}, filter=names)
    assert numbers(response) == expected
    assert response.json()["total"] == len(expected)


def test_only_emcons_notices_on_the_returned_page_are_recorded(cas, add_notice, rows):
    add_notice("E1", emcons_flag="Y")
    add_notice("E2", emcons_flag="Y")
    cas.call("getPaymentStatus", {"notice_nos": ["E1", "E2"]}, skip=1)
    assert [row["notice_no"] for row in rows(tables.cas_emcons)] == ["E2"]


def test_one_request_may_have_ten_thousand_notices(cas, add_notice):
    add_notice("N9999")
    notice_nos = [f"N{number}" for number in range(10_000)]
    response = cas.call("getPaymentStatus", {"notice_nos": notice_nos})
    assert numbers(response) == notice_nos
    assert "error" not in response.json()["data"][-1]
    assert cas.call("getPaymentStatus", {"notice_nos": [*notice_nos, "N10000"]}).status_code == 400


@pytest.mark.source("1.2", "Bad Request OCMS-4000")
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "/notice_nos"),
        ({"notice_nos": []}, "/notice_nos"),
        ({"notice_nos": "N1"}, "/notice_nos"),
        ({"notice_nos": ["N1", "N 2"]}, "/notice_nos/1"),
        ({"notice_nos": ["N1\n"]}, "/notice_nos/0"),
        ({"notice_nos": ["N" * 51]}, "/notice_nos/0"),
        ({"notice_nos": [""]}, "/notice_nos/0"),
        ({"notice_nos": [1]}, "/notice_nos/0"),
        ({"notice_nos": ["N1"], "notice_no": ["N2"]}, "/notice_no"),
        ([], ""),
        (None, ""),
    ],
)
def test_an_invalid_field_of_the_request_is_named(cas, body, field):
    response = cas.post("/v1/getPaymentStatus", content=msgspec.json.encode(body))
    assert response.status_code == 400
    data = response.json()["data"]
    assert data["appCode"] == "OCMS-4000"
    assert data["message"] == "Invalid request. Please check and try again."
    assert field in [fault["field"] for fault in data["errors"]]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("limit=1&limit=2", "limit"),
        ("limit=99999999999999999999999", "limit"),
        ("skip=-1", "skip"),
        ("skip=10001", "skip"),
        ("skip=two", "skip"),
        ("filter=PP", "filter/0"),
        ("filter=FP&filter=FP&filter=FP", "filter"),
        ("Limit=1", "Limit"),
        ("page=1", "page"),
        ("%ff=1", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_an_invalid_query_parameter_is_named(cas, query, field):
    response = cas.post(f"/v1/getPaymentStatus?{query}", json={"notice_nos": ["N1"]})
    assert response.status_code == 400
    assert [fault["field"] for fault in response.json()["data"]["errors"]] == [field]


@pytest.mark.source("1.2", "General Server Error OCMS-5000")
def test_a_database_failure_shows_no_internal_detail(cas, drop_table):
    drop_table(tables.valid_offence_notice)
    response = cas.call("getPaymentStatus", {"notice_nos": ["N1"]})
    assert response.status_code == 500
    data = response.json()["data"]
    assert (data["appCode"], data["message"]) == ("OCMS-5000", "Something went wrong. Please try again later.")
    assert "ocms_valid" not in response.text
