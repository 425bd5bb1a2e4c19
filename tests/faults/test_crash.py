"""A server that is killed at any moment loses nothing that it has acknowledged, and leaves no record half written."""

import random
import threading
import time
from contextlib import suppress
from decimal import Decimal

import httpx2
import pytest
from fixtures.effort import effort

from db import tables

CLIENTS, NOTICES = 4, 20
KILLS = effort(10, 100)


class Sender(threading.Thread):
    """Sends batches that number themselves, and notes for each what became of it."""

    def __init__(self, replica, notices):
        super().__init__(daemon=True)
        self._replica, self._notices = replica, notices
        self.sent = self.acknowledged = 0
        self.done = threading.Event()
        self.refused = []

    def run(self):
        while not self.done.is_set():
            with suppress(httpx2.HTTPError), self._replica.client() as client:
                while not self.done.is_set():
                    self.sent += 1
                    number = self.sent
                    response = client.post("/v1/updateCourtNotices", json=[self._record(no) for no in self._notices])
                    if response.status_code == 200:
                        self.acknowledged = number
                    elif response.status_code != 503:
                        self.refused.append(response.text)
            time.sleep(0.01)

    def _record(self, notice_no):
        return {"notice_no": notice_no, "amount_payable": self.sent, "payment_allowance": str(self.sent)}


@pytest.mark.timeout(effort(600, 3_600))
def test_killed_at_random_nothing_acknowledged_is_lost_and_nothing_is_half_written(replica, seeded, rows):
    numbers, server, chance = seeded(CLIENTS * NOTICES), replica(), random.Random(7)
    senders = [Sender(server, numbers[n::CLIENTS]) for n in range(CLIENTS)]
    for sender in senders:
        sender.start()
    acknowledged = []
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.05, 0.8))
        server.kill()
        time.sleep(0.05)  # what the clients have received by now they have noted
        acknowledged.append([sender.acknowledged for sender in senders])
        amounts = {row["notice_no"]: row["amount_payable"] for row in rows(tables.valid_offence_notice)}
        flags = {row["notice_no"]: row["payment_allowance_flag"] for row in rows(tables.offence_notice_detail)}
        for sender, known in zip(senders, acknowledged[-1], strict=True):
            for notice_no in sender._notices:
                written = int(flags[notice_no] or 0)
                assert amounts[notice_no] == Decimal(written or 70), "a record is half written"
                assert known <= written <= sender.sent, "a record is lost, or was never sent"
        server.start()
    for sender in senders:
        sender.done.set()
    for sender in senders:
        sender.join(30)
        assert sender.refused == []
    assert all(later > sooner for sooner, later in zip(acknowledged[0], acknowledged[-1], strict=True))
    assert server.recovers()
