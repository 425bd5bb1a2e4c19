"""API 4, getNoticeUpdate: PLUS asks for notice details with the court payment due date (section 2.2)."""

from typing import Any, cast

from db import court_cases, notices
from handlers import Services
from handlers.recording import record
from ocms.call import Call, Reply
from ocms.contract_types import NoticeQuery, NoticeUpdate, NoticeUpdateList
from ocms.errors import NoticesNotFoundError
from ocms.rules import is_ps_wwp, page

PS_WWP_ONLY = ("suspension_type", "epr_reason_of_suspension")
"""What is told of a PS-WWP notice only."""


async def handle(services: Services, call: Call) -> Reply:
    """Answer one item for each requested notice, and record those with a due date as court cases.

    Raises NoticesNotFoundError, before anything is written, when a notice does not exist.
    """
    query: NoticeQuery = call.body
    asked = list(dict.fromkeys(query["notice_nos"]))
    found, recorded = await services.read(notices.list_notice_updates, asked)
    call.counts.update(asked=len(asked), unknown=len(asked) - len(found))
    if unknown := [notice_no for notice_no in asked if notice_no not in found]:
        raise NoticesNotFoundError(notice_nos=unknown)
    items = [_item(found[notice_no]) for notice_no in asked]
    reply: NoticeUpdateList = page(items, call.query["skip"], call.query.get("limit"))
    dates = {item["notice_no"]: due for item in reply["data"] if (due := item["court_payment_due_date"])}
    dates = {notice_no: due for notice_no, due in dates.items() if due != recorded.get(notice_no)}
    failed = await record(services, court_cases.upsert, dates, call.caller)
    call.counts["recorded"] = len(dates) - len(failed)
    return Reply(200, reply)


def _item(notice: dict[str, Any]) -> NoticeUpdate:
    if not is_ps_wwp(notice):
        for name in PS_WWP_ONLY:
            del notice[name]
    return cast("NoticeUpdate", notice)
