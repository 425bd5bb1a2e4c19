"""A Python client, generated from the exported contract by openapi-python-client, run against a live server."""

import datetime as dt
import importlib
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from fixtures.settings import CAS_KEY, PLUS_KEY

from contract.document import Contract
from contract.export import export
from db import tables

NAME = "ocms_client"


@pytest.fixture(scope="module")
def client_folder(tmp_path_factory):
    """The generated package; generating it must give no warning of its own."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "ocms.yaml").write_bytes(export(Contract.load("ocms"), "yaml"))
    (folder / "config.yaml").write_text("literal_enums: true\npost_hooks: []\n")
    generator = Path(sys.executable).with_name("openapi-python-client")
    done = subprocess.run(
        [generator, "generate", "--path=ocms.yaml", f"--output-path={NAME}", "--meta=none", "--config=config.yaml"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in (done.stdout + done.stderr).lower()
    return folder


@pytest.fixture
def client(client_folder, monkeypatch):
    """Import a part of the generated client."""
    monkeypatch.syspath_prepend(client_folder)
    return lambda part: importlib.import_module(f"{NAME}.{part}" if part else NAME)


@pytest.fixture
def caller(client, sample_server):
    """A generated client with a key."""
    with ExitStack() as stack:

        def with_key(key):
            made = client("").AuthenticatedClient(
                base_url=sample_server, token=key, prefix="", auth_header_name="X-API-Key"
            )
            return stack.enter_context(made)

        yield with_key


def test_every_outcome_of_get_payment_status(client, caller):
    operation, models = client("api.cas.get_payment_status"), client("models")
    query = models.NoticeQuery(notice_nos=["541000002E", "541000003F", "540000000N"])

    response = operation.sync_detailed(client=caller(CAS_KEY), body=query, limit=10)
    assert response.status_code == 200
    assert isinstance(response.parsed, models.PaymentStatusList)
    paid, _, unknown = response.parsed.data
    assert (paid.payment_status, paid.amount_payable) == ("FP", 120.0)
    assert paid.last_processing_date.utcoffset() == dt.timedelta(hours=8)
    assert paid.next_processing_stage is None
    assert unknown.error.app_code == "OCMS-4004"

    wrong = operation.sync(client=caller(CAS_KEY), body=query, limit=0)
    assert isinstance(wrong, models.InvalidRequestError)
    assert [(error.field, bool(error.message)) for error in wrong.data.errors] == [("limit", True)]
    assert isinstance(operation.sync(client=caller("none"), body=query), models.UnauthorizedError)
    assert isinstance(operation.sync(client=caller(PLUS_KEY), body=query), models.ForbiddenError)


def test_every_outcome_of_update_court_notices(client, caller, database):
    operation, models = client("api.cas.update_court_notices"), client("models")
    when = dt.datetime(2026, 6, 30, 23, 15, tzinfo=dt.timezone(dt.timedelta(hours=8)))
    good = models.CourtNotice(
        notice_no="541000001D", amount_payable=185.5, last_processing_date=when, suspension_type="TS", atoms_flag=None
    )
    bad = models.CourtNotice(notice_no="540000000N", next_processing_stage="CRC")

    accepted = operation.sync(client=caller(CAS_KEY), body=[good])
    assert accepted.data.app_code == "OCMS-2000"
    partial = operation.sync_detailed(client=caller(CAS_KEY), body=[good, bad])
    assert partial.status_code == 207
    assert partial.parsed.data.succeeded == ["541000001D"]
    assert [(f.index, f.app_code) for f in partial.parsed.data.failed] == [(1, "OCMS-4004")]
    rejected = operation.sync_detailed(client=caller(CAS_KEY), body=[bad])
    assert (rejected.status_code, rejected.parsed.data.app_code) == (422, "OCMS-4022")
    assert isinstance(operation.sync(client=caller(CAS_KEY), body=[]), models.InvalidRequestError)
    assert isinstance(operation.sync(client=caller("none"), body=[good]), models.UnauthorizedError)
    assert isinstance(operation.sync(client=caller(PLUS_KEY), body=[good]), models.ForbiddenError)
    with database.writing() as conn:
        conn.execute(tables.dayend.delete())
    assert isinstance(operation.sync(client=caller(CAS_KEY), body=[good]), models.DayendError)


def test_every_outcome_of_get_notice_update(client, caller):
    operation, models = client("api.plus.get_notice_update"), client("models")

    found = operation.sync(client=caller(PLUS_KEY), body=models.NoticeQuery(notice_nos=["541000004G", "541000003F"]))
    assert isinstance(found, models.NoticeUpdateList)
    first, second = found.data
    assert first.court_payment_due_date.isoformat() == "2026-07-31T23:59:59+08:00"
    assert (first.suspension_type, first.epr_reason_of_suspension) == ("PS", "WWP")
    assert not second.suspension_type
    assert second.court_payment_due_date is None

    missing = operation.sync(client=caller(PLUS_KEY), body=models.NoticeQuery(notice_nos=["540000000N"]))
    assert isinstance(missing, models.NoticesNotFoundError)
    assert missing.data.notice_nos == ["540000000N"]
    wrong = operation.sync(client=caller(PLUS_KEY), body=models.NoticeQuery(notice_nos=[]))
    assert isinstance(wrong, models.InvalidRequestError)
    nobody = operation.sync(client=caller("none"), body=models.NoticeQuery(notice_nos=["A"]))
    assert isinstance(nobody, models.UnauthorizedError)
    other = operation.sync(client=caller(CAS_KEY), body=models.NoticeQuery(notice_nos=["A"]))
    assert isinstance(other, models.ForbiddenError)
