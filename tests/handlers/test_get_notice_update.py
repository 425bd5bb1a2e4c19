"""API 4, getNoticeUpdate (section 2.2 of the source document)."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import update

from db import tables
from domain.clock import SINGAPORE

DUE = datetime(2026, 7, 31, 15, 59, 59, tzinfo=UTC)


@pytest.mark.source("2.2", "Success: the request is received from PLUS")
@pytest.mark.source("2.2", "Success: the requested details are returned")
def test_the_response_has_the_details_of_each_requested_notice(plus, add_notice):
    add_notice("N003", amount_payable=Decimal("305.05"), payment_allowance_flag="Y", court_payment_due_date=DUE)
    add_notice("N004", payment_allowance_flag="N")
    response = plus.call("getNoticeUpdate", {"notice_nos": ["N004", "N003", "N004"]})
    assert response.status_code == 200
    assert response.json() == {
        "total": 2,
        "limit": 2,
        "skip": 0,
        "data": [
            {
                "notice_no": "N004",
                "amount_payable": 70.0,
                "payment_allowance_flag": "N",
                "court_payment_due_date": None,
            },
            {
                "notice_no": "N003",
                "amount_payable": 305.05,
                "payment_allowance_flag": "Y",
                "court_payment_due_date": "2026-07-31T23:59:59+08:00",
            },
        ],
    }


@pytest.mark.source("2.2", "PS-WWP Condition Not Met")
@pytest.mark.parametrize(
    ("suspension", "reason", "shown"),
    [
        ("PS", "WWP", True),
        ("TS", "WWP", False),
        ("PS", "FP", False),
        ("PS", None, False),
        (None, "WWP", False),
        ("ps", "wwp", False),
    ],
)
def test_only_a_ps_wwp_notice_has_suspension_and_reason(plus, add_notice, suspension, reason, shown):
    add_notice("N1", suspension_type=suspension, epr_reason_of_suspension=reason)
    (item,) = plus.call("getNoticeUpdate", {"notice_nos": ["N1"]}).json()["data"]
    if shown:
        assert (item["suspension_type"], item["epr_reason_of_suspension"]) == ("PS", "WWP")
    else:
        assert not {"suspension_type", "epr_reason_of_suspension"} & item.keys()


@pytest.mark.source("2.2", "Success: a court case is recorded")
def test_a_notice_with_a_due_date_is_recorded_as_a_court_case(plus, add_notice, rows, clock):
    add_notice("C1", court_payment_due_date=DUE)
    add_notice("N1")
    plus.call("getNoticeUpdate", {"notice_nos": ["C1", "N1"]})
    assert rows(tables.court_case) == [
        {
            "notice_no": "C1",
            "court_payment_due_date": DUE,
            "cre_date": clock.now.astimezone(SINGAPORE),
            "cre_user_id": "PLUS",
            "upd_date": None,
            "upd_user_id": None,
        }
    ]


def test_a_new_due_date_replaces_the_recorded_one(plus, add_notice, row_of, database, clock):
    add_notice("C1", court_payment_due_date=DUE)
    plus.call("getNoticeUpdate", {"notice_nos": ["C1"]})
    later = datetime(2026, 8, 31, tzinfo=SINGAPORE)
    with database.writing() as conn:
        conn.execute(update(tables.offence_notice_detail).values(court_payment_due_date=later))
    clock.move(days=1)
    plus.call("getNoticeUpdate", {"notice_nos": ["C1"]})
    recorded = row_of(tables.court_case, "C1")
    assert (recorded["court_payment_due_date"], recorded["upd_date"]) == (later, clock.now)


@pytest.mark.source("2.2", "Database Error")
@pytest.mark.parametrize("failure", ["row", "table"])
def test_the_response_is_sent_even_if_the_court_case_cannot_be_recorded(
    plus, add_notice, rows, refuse_writes, drop_table, logs, failure
):
    add_notice("C1", court_payment_due_date=DUE)
    add_notice("C2", court_payment_due_date=DUE)
    if failure == "row":
        refuse_writes(tables.court_case, "C1")
    else:
        drop_table(tables.court_case)
    response = plus.call("getNoticeUpdate", {"notice_nos": ["C1", "C2"]})
    assert response.status_code == 200
    assert [item["notice_no"] for item in response.json()["data"]] == ["C1", "C2"]
    assert "error" not in response.text
    failed = [line["notice_no"] for line in logs("not_recorded")]
    if failure == "row":
        assert failed == ["C1"]
        assert [row["notice_no"] for row in rows(tables.court_case)] == ["C2"]
    else:
        assert failed == ["C1", "C2"]


@pytest.mark.source("2.2", "Not Found OCMS-4004")
def test_an_unknown_notice_fails_the_call_and_nothing_is_written(plus, add_notice, rows):
    add_notice("C1", court_payment_due_date=DUE)
    response = plus.call("getNoticeUpdate", {"notice_nos": ["X2", "C1", "X1", "X2"]})
    assert response.status_code == 404
    data = response.json()["data"]
    assert (data["appCode"], data["message"]) == ("OCMS-4004", "One or more notice numbers could not be found.")
    assert data["notice_nos"] == ["X2", "X1"]
    assert rows(tables.court_case) == []


def test_a_page_has_a_part_of_the_items_and_the_total_of_all(plus, add_notice):
    for notice_no in ("A", "B", "C"):
        add_notice(notice_no)
    page = plus.call("getNoticeUpdate", {"notice_nos": ["A", "B", "C"]}, skip=1, limit=1).json()
    assert [item["notice_no"] for item in page["data"]] == ["B"]
    assert (page["total"], page["limit"], page["skip"]) == (3, 1, 1)


def test_a_page_does_not_hide_an_unknown_notice(plus, add_notice):
    add_notice("A")
    assert plus.call("getNoticeUpdate", {"notice_nos": ["A", "X"]}, limit=1).status_code == 404


@pytest.mark.parametrize("value", [-1, 10001, "two"])
@pytest.mark.parametrize("name", ["skip", "limit"])
def test_an_invalid_paging_parameter_is_named(plus, name, value):
    response = plus.call("getNoticeUpdate", {"notice_nos": ["A"]}, **{name: value})
    assert response.status_code == 400
    assert [fault["field"] for fault in response.json()["data"]["errors"]] == [name]


def test_an_unknown_amount_is_null(plus, add_notice):
    add_notice("A", amount_payable=None)
    (item,) = plus.call("getNoticeUpdate", {"notice_nos": ["A"]}).json()["data"]
    assert item["amount_payable"] is None


def test_the_filter_parameter_of_api_1_is_refused(plus):
    response = plus.call("getNoticeUpdate", {"notice_nos": ["A"]}, filter="FP")
    assert response.json()["data"]["errors"] == [{"field": "filter", "message": "unknown parameter"}]


@pytest.mark.source("2.2", "General Server Error OCMS-5000")
def test_a_database_failure_shows_no_internal_detail(plus, drop_table):
    drop_table(tables.offence_notice_detail)
    response = plus.call("getNoticeUpdate", {"notice_nos": ["N1"]})
    assert response.status_code == 500
    data = response.json()["data"]
    assert (data["appCode"], data["message"]) == ("OCMS-5000", "Something went wrong. Please try again later.")
    assert "ocms_offence" not in response.text
