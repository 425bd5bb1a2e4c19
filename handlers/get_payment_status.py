"""API 1, getPaymentStatus: CAS asks for the status of court notices (section 1.2)."""

from typing import Any

import structlog

from db import cas_emcons, notices
from handlers import Services
from handlers.recording import record
from ocms.call import Call, Reply
from ocms.errors import NoticesNotFoundError, ServerError
from ocms.rules import is_emcons, is_fully_paid, page

FILTERS = {"FP": is_fully_paid, "EMCONS": is_emcons}
"""What each value of the contract's `filter` means."""

_log = structlog.get_logger(__name__)


def handle(services: Services, call: Call) -> Reply:
    """Answer one item for each requested notice, and record the EMCONS notices among them."""
    asked = list(dict.fromkeys(call.body["notice_nos"]))
    with services.database.reading() as conn:
        found = notices.list_payment_statuses(conn, asked)
    unknown = {"error": call.contract.coded(NoticesNotFoundError)}
    items = [found.get(notice_no) or {"notice_no": notice_no, **unknown} for notice_no in asked]
    reply = page(_filtered(items, call.query.get("filter")), call.query["skip"], call.query.get("limit"))
    flags = {
        item["notice_no"]: item["emcons_flag"] for item in reply["data"] if "error" not in item and is_emcons(item)
    }
    failed = record(services.database, cas_emcons, flags, call.caller, services.now())
    for item in reply["data"]:
        if item["notice_no"] in failed:
            item["error"] = call.contract.coded(ServerError)
        elif "error" in item:
            _log.warning("unknown_notice", notice_no=item["notice_no"])
    return Reply(200, reply)


def _filtered(items: list[dict[str, Any]], names: list[str] | None) -> list[dict[str, Any]]:
    if not names:
        return items
    return [item for item in items if "error" in item or any(FILTERS[name](item) for name in names)]
