"""API 2, updateCourtNotices: CAS updates court notices in a batch, after day-end (section 1.3)."""

from typing import Any

import structlog

from contract.body import Record
from contract.call import Call, Response
from contract.errors import BatchError, NoticesNotFoundError, OcmsError, ServerError
from contract.types import BatchAccepted, CourtNotice, FailedRecord, FieldError
from contract.validation import described
from db import notices
from db.dayend import get_dayend_flag
from db.engine import Connection
from db.errors import DatabaseError
from domain.clock import parse_instant
from domain.rules import dayend_date, repeated, require_dayend
from handlers.services import Services

RENAMED = {"payment_allowance": "payment_allowance_flag"}
"""Fields of the contract whose column has another name."""

_log = structlog.get_logger(__name__)


async def handle(services: Services, call: Call) -> Response:
    """Update each notice of the batch separately. The response lists the records that failed, with the reasons.

    Raises DayendNotReachedError, and BatchError if every record failed.
    """
    records: list[Record] = call.body
    call.counts["records"] = len(records)
    failed = _invalid(call, records)
    valid = {record.value["notice_no"]: record for record in records if record.index not in failed}
    changes = {notice_no: _change(record.value) for notice_no, record in valid.items()}
    unknown, not_written = await services.write(_update, services, changes, call.caller)
    for notice_no in unknown:
        failed[valid[notice_no].index] = _failure(call, valid[notice_no], NoticesNotFoundError)
    for notice_no, error in not_written.items():
        _log.error("not_updated", notice_no=notice_no, error=str(error))
        failed[valid[notice_no].index] = _failure(call, valid[notice_no], ServerError)
    call.counts["failed"] = len(failed)
    return _response(call, records, [failed[index] for index in sorted(failed)])


def _update(
    conn: Connection, services: Services, changes: dict[str, dict[str, Any]], caller: str
) -> tuple[set[str], dict[str, DatabaseError]]:
    now, window = services.now(), services.dayend_window
    require_dayend(get_dayend_flag(conn, dayend_date(now, window)), now, window)
    return notices.update_court_notices(conn, changes, caller, now)


def _invalid(call: Call, records: list[Record]) -> dict[int, FailedRecord]:
    """Return the failures that do not depend on the database, by the index of the record."""
    notice_nos = [_notice_no(call, record) for record in records]
    twice = repeated(filter(None, notice_nos))
    failed = {}
    for record, notice_no in zip(records, notice_nos, strict=True):
        if record.faults:
            failed[record.index] = _failure(call, record, BatchError, record.faults)
        elif notice_no in twice:
            fault: FieldError = {"field": "/notice_no", "message": "this notice is in the batch more than once"}
            failed[record.index] = _failure(call, record, BatchError, [described(fault, "/notice_no repeated")])
    return failed


def _notice_no(call: Call, record: Record) -> str | None:
    """Return the notice number of a record; None if it has no valid one."""
    notice_no = record.value.get("notice_no") if isinstance(record.value, dict) else None
    valid = not record.faults or (
        isinstance(notice_no, str) and call.contract.validator("NoticeNo").is_valid(notice_no)
    )
    return notice_no if valid else None


def _change(record: CourtNotice) -> dict[str, Any]:
    """Return the columns that a record changes, with their new values."""
    change: dict[str, Any] = {RENAMED.get(name, name): value for name, value in record.items() if name != "notice_no"}
    if (processed := record.get("last_processing_date")) is not None:
        change["last_processing_date"] = parse_instant(processed)
    return change


def _failure(
    call: Call, record: Record, error: type[OcmsError], faults: list[FieldError] | None = None
) -> FailedRecord:
    coded = call.contract.code_and_message(error)
    notice_no = _notice_no(call, record)
    return {"index": record.index, "notice_no": notice_no, **coded, "errors": faults or []}  # type: ignore[typeddict-item]  # the code comes from the contract


def _response(call: Call, records: list[Record], failed: list[FailedRecord]) -> Response:
    if not failed:
        accepted: BatchAccepted = {"data": call.contract.constants("BatchAccepted")}
        return Response(200, accepted)
    failed_indexes = {failure["index"] for failure in failed}
    succeeded = [record.value["notice_no"] for record in records if record.index not in failed_indexes]
    error = BatchError(succeeded=succeeded, failed=failed)
    if not succeeded:
        raise error
    return Response(207, call.contract.error_body(error, call.correlation_id))
