"""The checks before a server is timed: its responses, and the rows in its database."""

import sqlite3
from typing import Any

import httpx2

from db.sample_data import FIRST_NOTICE, notice_number

KEYS = {"CAS": "bench-key-of-cas", "PLUS": "bench-key-of-plus"}
CALLERS = {"getPaymentStatus": "CAS", "updateCourtNotices": "CAS", "getNoticeUpdate": "PLUS"}


def numbers(count: int) -> list[str]:
    """Return the first notice numbers of the sample data."""
    return [notice_number(FIRST_NOTICE + index) for index in range(count)]


def check(port: int, database: str) -> None:
    """Raise AssertionError if the server does not do the complete work."""
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}/v1/", timeout=60) as client:
        check_refusals(client)
        check_statuses(client, database)
        check_updates(client, database)
        check_batches(client, database)


def call(client: httpx2.Client, operation: str, body: Any, key: str | None = None) -> tuple[int, Any]:
    """Call an operation with the key of its caller, or another one."""
    headers = {"X-API-Key": KEYS[CALLERS[operation]] if key is None else key}
    response = client.post(operation, json=body, headers=headers)
    return response.status_code, response.json()


def check_refusals(client: httpx2.Client) -> None:
    """Require a key of the right caller, and the right shape of a request."""
    for operation in CALLERS:
        body = [] if operation == "updateCourtNotices" else {"notice_nos": ["A"]}
        require(call(client, operation, body, "wrong")[0], 401)
    require(call(client, "getPaymentStatus", {"notice_nos": ["A"]}, KEYS["PLUS"])[0], 403)
    for wrong in ({}, {"notice_nos": []}, {"notice_nos": ["a b"]}, {"notice_nos": ["A"], "page": 1}):
        status, response = call(client, "getPaymentStatus", wrong)
        require((status, response["data"]["appCode"]), (400, "OCMS-4000"))


def check_statuses(client: httpx2.Client, database: str) -> None:
    """Require of API 1 the order, an unknown notice, exact amounts, local times, EMCONS notices recorded."""
    asked = [*numbers(4)[::-1], "X1", numbers(1)[0]]
    status, response = call(client, "getPaymentStatus", {"notice_nos": asked})
    items = response["data"]
    require((status, response["total"], response["limit"]), (200, 5, 5))
    require([item["notice_no"] for item in items], asked[:5])
    require((items[3]["amount_payable"], items[3]["last_processing_date"]), (210.35, "2026-05-18T09:30:00+08:00"))
    require(items[4]["error"]["appCode"], "OCMS-4004")
    require(stored(database, "SELECT notice_no, emcons_flag FROM ocms_cas_emcons"), [(numbers(3)[2], "Y")])


def check_updates(client: httpx2.Client, database: str) -> None:
    """Require of API 4 PS-WWP only where it applies, court cases recorded, an unknown notice."""
    status, response = call(client, "getNoticeUpdate", {"notice_nos": numbers(5)[2:]})
    emcons, wwp, _ = response["data"]
    require((status, wwp["suspension_type"], "suspension_type" in emcons), (200, "PS", False))
    require(wwp["court_payment_due_date"], "2026-07-31T23:59:59+08:00")
    due = "2026-07-31 23:59:59.000000"
    recorded = stored(database, "SELECT notice_no, court_payment_due_date FROM ocms_court_case ORDER BY 1")
    require(recorded, [(number, due) for number in numbers(5)[3:]])
    status, response = call(client, "getNoticeUpdate", {"notice_nos": ["X1"]})
    require((status, response["data"]["notice_nos"]), (404, ["X1"]))


def check_batches(client: httpx2.Client, database: str) -> None:
    """Require of API 2 that all good, some bad and all bad records are distinguished, and written or not."""
    good = {"notice_no": numbers(1)[0], "amount_payable": 12.5, "payment_allowance": "Y"}
    require(call(client, "updateCourtNotices", [good])[0], 200)
    batch = [
        good | {"amount_payable": 13.25, "last_processing_date": "2026-06-30T01:02:03Z"},
        {"notice_no": numbers(2)[1], "amount_payable": 1.005},
        {"notice_no": "X1", "atoms_flag": "Y"},
        {"notice_no": numbers(2)[1], "atoms": "Y"},
        {"notice_no": numbers(2)[1]},
        *[{"notice_no": numbers(3)[2], "atoms_flag": flag} for flag in "YN"],
        "nonsense",
    ]
    status, response = call(client, "updateCourtNotices", batch)
    failed = [(failure["index"], failure["appCode"]) for failure in response["data"]["failed"]]
    require((status, response["data"]["succeeded"]), (207, numbers(1)))
    require(failed, [(index, "OCMS-4004" if index == 2 else "OCMS-4022") for index in range(1, 8)])  # noqa: PLR2004
    rows = stored(database, "SELECT notice_no, amount_payable, last_processing_date FROM ocms_valid_offence_notice")
    require([row[1:] for row in rows if row[0] == numbers(1)[0]], [("13.25", "2026-06-30 09:02:03.000000")])
    require(call(client, "updateCourtNotices", batch[1:3])[0], 422)


def stored(database: str, select: str) -> list[Any]:
    """Return what a database holds."""
    with sqlite3.connect(database) as conn:
        return conn.execute(select).fetchall()


def require(found: Any, expected: Any) -> None:
    """Stop unless two values are the same."""
    if found != expected:
        raise AssertionError(f"{found} instead of {expected}")
