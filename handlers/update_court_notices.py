"""API 2, updateCourtNotices: CAS updates court notices in a batch, after day-end (section 1.3)."""

from typing import Any

import structlog

from db import notices
from db.dayend import get_dayend_flag
from handlers import Services
from ocms.call import Call, Reply
from ocms.contract_types import BatchAccepted, CourtNotice, FailedRecord, FieldError
from ocms.errors import BatchError, DatabaseError, DayendError, NoticesNotFoundError, OcmsError, ServerError
from ocms.rules import business_date, is_dayend, parse_instant, repeated
from ocms.validation import Record

RENAMED = {"payment_allowance": "payment_allowance_flag"}
"""Fields of the contract that have another name in the database."""

_log = structlog.get_logger(__name__)


async def handle(services: Services, call: Call) -> Reply:
    """Update each notice of the batch by itself; answer which succeeded and which failed, and why."""
    records: list[Record] = call.body
    call.counts["records"] = len(records)
    failed = _faulty(call, records)
    sound = {record.value["notice_no"]: record for record in records if record.index not in failed}
    changes = {notice_no: _change(record.value) for notice_no, record in sound.items()}
    unknown, unwritten = await services.write(_update, services, changes, call.caller)
    for notice_no in unknown:
        failed[sound[notice_no].index] = _failure(call, sound[notice_no], NoticesNotFoundError)
    for notice_no, error in unwritten.items():
        _log.error("not_updated", notice_no=notice_no, error=str(error))
        failed[sound[notice_no].index] = _failure(call, sound[notice_no], ServerError)
    call.counts["failed"] = len(failed)
    return _reply(call, records, [failed[index] for index in sorted(failed)])


def _update(
    conn: Any,  # a connection of `db`, which handlers do not look into
    services: Services,
    changes: dict[str, dict[str, Any]],
    caller: str,
) -> tuple[set[str], dict[str, DatabaseError]]:
    now = services.now()
    if not is_dayend(get_dayend_flag(conn, business_date(now)), now, services.settings.dayend_window):
        raise DayendError
    return notices.update_court_notices(conn, changes, caller, now)


def _faulty(call: Call, records: list[Record]) -> dict[int, FailedRecord]:
    """Return the records that cannot be written whatever the database holds, by their index."""
    notice_nos = [_notice_no(call, record) for record in records]
    twice = repeated(filter(None, notice_nos))
    failed = {}
    for record, notice_no in zip(records, notice_nos, strict=True):
        if record.faults:
            failed[record.index] = _failure(call, record, BatchError, record.faults)
        elif notice_no in twice:
            fault: FieldError = {"field": "/notice_no", "message": "this notice is in the batch more than once"}
            failed[record.index] = _failure(call, record, BatchError, [fault])
    return failed


def _notice_no(call: Call, record: Record) -> str | None:
    """Return the notice number of a record; None when it has no usable one."""
    notice_no = record.value.get("notice_no") if isinstance(record.value, dict) else None
    usable = not record.faults or (
        isinstance(notice_no, str) and call.contract.validator("NoticeNo").is_valid(notice_no)
    )
    return notice_no if usable else None


def _change(record: CourtNotice) -> dict[str, Any]:
    """Return the columns that a record changes."""
    change: dict[str, Any] = {RENAMED.get(name, name): value for name, value in record.items() if name != "notice_no"}
    if (processed := record.get("last_processing_date")) is not None:
        change["last_processing_date"] = parse_instant(processed)
    return change


def _failure(
    call: Call, record: Record, error: type[OcmsError], faults: list[FieldError] | None = None
) -> FailedRecord:
    coded = call.contract.coded(error)
    notice_no = _notice_no(call, record)
    return {"index": record.index, "notice_no": notice_no, **coded, "errors": faults or []}  # type: ignore[typeddict-item]  # a code of the contract


def _reply(call: Call, records: list[Record], failed: list[FailedRecord]) -> Reply:
    if not failed:
        accepted: BatchAccepted = {"data": call.contract.fixed("BatchAccepted")}
        return Reply(200, accepted)
    without = {failure["index"] for failure in failed}
    succeeded = [record.value["notice_no"] for record in records if record.index not in without]
    error = BatchError(succeeded=succeeded, failed=failed)
    if not succeeded:
        raise error
    return Reply(207, call.contract.error_body(error, call.correlation_id))
