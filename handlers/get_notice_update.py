"""API 4, getNoticeUpdate: PLUS asks for notice details with the court payment due date (section 2.2)."""

from typing import Any, cast

from contract.call import Call, Response
from contract.errors import NoticesNotFoundError
from contract.types import NoticeQuery, NoticeUpdate, NoticeUpdateList
from db import court_cases, notices
from domain.rules import is_ps_wwp, page
from handlers.recording import record
from handlers.services import Services

PS_WWP_ONLY = ("suspension_type", "epr_reason_of_suspension")
"""The fields that the response has for a PS-WWP notice only."""


async def handle(services: Services, call: Call) -> Response:
    """Return one item for each requested notice, and record those with a due date on the returned page as court cases.

    Raises NoticesNotFoundError, before anything is written, if a notice does not exist.
    """
    query: NoticeQuery = call.body
    requested = list(dict.fromkeys(query["notice_nos"]))
    found, recorded = await services.read(notices.list_notice_updates, requested)
    call.counts.update(asked=len(requested), unknown=len(requested) - len(found))
    if unknown := [notice_no for notice_no in requested if notice_no not in found]:
        raise NoticesNotFoundError(notice_nos=unknown)
    items = [_item(found[notice_no]) for notice_no in requested]
    body: NoticeUpdateList = page(items, call.query["skip"], call.query.get("limit"))
    due_dates = {item["notice_no"]: due for item in body["data"] if (due := item["court_payment_due_date"])}
    changed = {notice_no: due for notice_no, due in due_dates.items() if due != recorded.get(notice_no)}
    failed = await record(services, court_cases.upsert, changed, call.caller)
    call.counts["recorded"] = len(changed) - len(failed)
    return Response(200, body)


def _item(notice: dict[str, Any]) -> NoticeUpdate:
    if not is_ps_wwp(notice):
        for name in PS_WWP_ONLY:
            del notice[name]
    return cast("NoticeUpdate", notice)
