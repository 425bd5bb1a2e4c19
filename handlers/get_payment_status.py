"""API 1, getPaymentStatus: CAS asks for the status of court notices (section 1.2)."""

from typing import cast

import structlog

from contract.call import Call, Response
from contract.errors import NoticesNotFoundError, ServerError
from contract.types import NoticeQuery, PaymentStatus, PaymentStatusList
from db import cas_emcons, notices
from domain.rules import is_emcons, is_fully_paid, page
from handlers.recording import record
from handlers.services import Services

FILTERS = {"FP": is_fully_paid, "EMCONS": is_emcons}
"""The rule for each value of the contract's parameter `filter`."""
LISTED = 100
"""The number of unknown notices that a line of the log lists."""

_log = structlog.get_logger(__name__)


async def handle(services: Services, call: Call) -> Response:
    """Return one item for each requested notice, and record the EMCONS notices on the returned page."""
    query: NoticeQuery = call.body
    requested = list(dict.fromkeys(query["notice_nos"]))
    found, recorded = await services.read(notices.list_payment_statuses, requested)
    statuses = cast("dict[str, PaymentStatus]", found)
    items = [statuses.get(notice_no) or _unknown(call, notice_no) for notice_no in requested]
    selected = _filtered(items, call.query.get("filter"))
    body: PaymentStatusList = page(selected, call.query["skip"], call.query.get("limit"))
    emcons = {i["notice_no"]: str(i["emcons_flag"]) for i in body["data"] if "error" not in i and is_emcons(i)}
    changed = {notice_no: flag for notice_no, flag in emcons.items() if flag != recorded.get(notice_no)}
    failed = await record(services, cas_emcons.upsert, changed, call.caller)
    if unknown := [item["notice_no"] for item in body["data"] if "error" in item]:
        _log.warning("unknown_notices", notice_nos=unknown[:LISTED], count=len(unknown))
    call.counts.update(asked=len(requested), unknown=len(requested) - len(found), recorded=len(changed) - len(failed))
    for item in body["data"]:
        if item["notice_no"] in failed:
            item["error"] = call.contract.code_and_message(ServerError)
    return Response(200, body)


def _unknown(call: Call, notice_no: str) -> PaymentStatus:
    return {"notice_no": notice_no, "error": call.contract.code_and_message(NoticesNotFoundError)}


def _filtered(items: list[PaymentStatus], names: list[str] | None) -> list[PaymentStatus]:
    if not names:
        return items
    return [item for item in items if "error" in item or any(FILTERS[name](item) for name in names)]
