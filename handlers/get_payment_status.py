"""API 1, getPaymentStatus: CAS asks for the status of court notices (section 1.2)."""

import structlog

from db import cas_emcons, notices
from handlers import Services
from handlers.recording import record
from ocms.call import Call, Reply
from ocms.contract_types import NoticeQuery, PaymentStatus, PaymentStatusList
from ocms.errors import NoticesNotFoundError, ServerError
from ocms.rules import is_emcons, is_fully_paid, page

FILTERS = {"FP": is_fully_paid, "EMCONS": is_emcons}
"""What each value of the contract's `filter` means."""

_log = structlog.get_logger(__name__)


async def handle(services: Services, call: Call) -> Reply:
    """Answer one item for each requested notice, and record the EMCONS notices among them."""
    query: NoticeQuery = call.body
    asked = list(dict.fromkeys(query["notice_nos"]))
    found, recorded = await services.read(notices.list_payment_statuses, asked)
    items = [found.get(notice_no) or _unknown(call, notice_no) for notice_no in asked]
    wanted = _filtered(items, call.query.get("filter"))
    reply: PaymentStatusList = page(wanted, call.query["skip"], call.query.get("limit"))
    emcons = [item for item in reply["data"] if "error" not in item and is_emcons(item)]
    flags = {i["notice_no"]: str(i["emcons_flag"]) for i in emcons if i["emcons_flag"] != recorded.get(i["notice_no"])}
    failed = await record(services, cas_emcons.upsert, flags, call.caller)
    if unknown := [item["notice_no"] for item in reply["data"] if "error" in item]:
        _log.warning("unknown_notices", notice_nos=unknown)
    call.counts.update(asked=len(asked), unknown=len(asked) - len(found), recorded=len(flags) - len(failed))
    for item in reply["data"]:
        if item["notice_no"] in failed:
            item["error"] = call.contract.coded(ServerError)
    return Reply(200, reply)


def _unknown(call: Call, notice_no: str) -> PaymentStatus:
    return {"notice_no": notice_no, "error": call.contract.coded(NoticesNotFoundError)}


def _filtered(items: list[PaymentStatus], names: list[str] | None) -> list[PaymentStatus]:
    if not names:
        return items
    return [item for item in items if "error" in item or any(FILTERS[name](item) for name in names)]
