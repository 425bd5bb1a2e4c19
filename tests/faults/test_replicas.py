"""Two replicas on one database: whatever arrives at once is there once, and no caller learns of the other."""

import random
import threading
import time
from collections import Counter
from datetime import datetime
from functools import partial

from fixtures.effort import effort
from fixtures.settings import CAS_KEY, PLUS_KEY
from sqlalchemy import update

from db import tables
from db.dayend import set_dayend_flag
from domain.clock import business_date, utc_now

ROUNDS = effort(10, 200)
CALLERS = 8


def at_once(work, count=CALLERS):
    """Call a function in `count` threads that start together; returns their results."""
    barrier, results = threading.Barrier(count), []

    def run(number):
        barrier.wait()
        results.append(work(number))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == count
    return results


def status_of(callers, operation, body, number):
    return callers[number].post(f"/v1/{operation}", json=body).status_code


def test_the_same_calls_at_once_on_two_replicas(replica, clients, seeded, rows, database):
    replicas = [replica(), replica()]
    due = "2026-07-31T23:59:59+08:00"
    numbers = seeded(40, emcons_flag="Y")
    with replicas[0].client() as client:
        response = client.post("/v1/updateCourtNotices", json=[{"notice_no": no, "atoms_flag": "A"} for no in numbers])
        assert response.status_code == 200
    set_due_date(database, due)
    callers = {key: clients(replicas, CALLERS, key) for key in (CAS_KEY, PLUS_KEY)}
    for turn in range(ROUNDS):
        asked = {"notice_nos": [numbers[turn % 40], numbers[(turn + 1) % 40]]}
        batch = [{"notice_no": no, "atoms_flag": str(turn), "payment_allowance": str(turn)} for no in numbers]
        for key, operation, body in (
            (CAS_KEY, "getPaymentStatus", asked),
            (PLUS_KEY, "getNoticeUpdate", asked),
            (CAS_KEY, "updateCourtNotices", batch),
        ):
            assert Counter(at_once(partial(status_of, callers[key], operation, body))) == {200: CALLERS}
        assert {row["atoms_flag"] for row in rows(tables.valid_offence_notice)} == {str(turn)}
    for table in (tables.cas_emcons, tables.court_case):
        recorded = Counter(row["notice_no"] for row in rows(table))
        assert recorded == Counter(numbers[: min(ROUNDS + 1, 40)])
    assert not [line for each in replicas for line in each.lines if line["level"] == "error"]


def test_dayend_that_is_taken_back_between_leaves_each_batch_whole_or_refused(replica, clients, seeded, rows, database):
    replicas, numbers = [replica(), replica()], seeded(20)
    callers, chance = clients(replicas, CALLERS), random.Random(7)

    def work(number):
        if number == CALLERS - 1:
            time.sleep(chance.uniform(0, 0.1))
            with database.writing() as conn:
                set_dayend_flag(conn, business_date(utc_now()), "N")
            return None
        batch = [{"notice_no": no, "atoms_flag": str(number), "payment_allowance": str(number)} for no in numbers]
        return number, callers[number].post("/v1/updateCourtNotices", json=batch).status_code

    seen = Counter()
    for _ in range(ROUNDS):
        with database.writing() as conn:
            set_dayend_flag(conn, business_date(utc_now()), "Y")
        before = {row["atoms_flag"] for row in rows(tables.valid_offence_notice)}
        outcomes = dict(filter(None, at_once(work)))
        assert set(outcomes.values()) <= {200, 409}
        seen += Counter(outcomes.values())
        written = {str(number) for number, status in outcomes.items() if status == 200} or before
        (value,) = {row["atoms_flag"] for row in rows(tables.valid_offence_notice)}
        assert value in written
        details = {row["payment_allowance_flag"] for row in rows(tables.offence_notice_detail)}
        assert details == {value}
    assert seen[200]
    assert seen[409]


def set_due_date(database, due):
    with database.writing() as conn:
        conn.execute(update(tables.offence_notice_detail).values(court_payment_due_date=datetime.fromisoformat(due)))
