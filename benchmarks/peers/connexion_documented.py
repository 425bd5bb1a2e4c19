"""The peer: the same operations with connexion's AsyncApp, its stock validators and SQLAlchemy's ORM, as documented."""

import json
import os
from collections import Counter
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import connexion
import yaml
from connexion.exceptions import Forbidden, ProblemException
from connexion.lifecycle import ConnexionRequest, ConnexionResponse
from connexion.resolver import RelativeResolver
from jsonschema import Draft4Validator

from benchmarks.peers.models import SINGAPORE, CasEmcons, CourtCase, Dayend, Detail, find, new_session, upsert

CONTRACT = yaml.safe_load((Path(__file__).parents[2] / "openapi" / "ocms.yaml").read_text())
BATCH = CONTRACT["components"]["schemas"]["CourtNoticeBatch"]
KEYS = dict(pair.split(":")[::-1] for pair in os.environ["PEER_API_KEYS"].split(","))
OF_NOTICE = (
    *("notice_no", "last_processing_stage", "last_processing_date", "next_processing_stage", "suspension_type"),
    *("crs_reason_of_suspension", "epr_reason_of_suspension", "payment_status", "amount_payable", "amount_paid"),
)
UNKNOWN = {"appCode": "OCMS-4004", "message": "One or more notice numbers could not be found."}
Response = tuple[Any, int]


def get_payment_status(
    body: Any,
    user: str,
    skip: int = 0,
    limit: int | None = None,
    filter: list[str] | None = None,  # noqa: A002  # a name of the contract
) -> Response:
    """Serve API 1."""
    asked = list(dict.fromkeys(body["notice_nos"]))
    with new_session() as db:
        found = find(db, asked)
        items: list[dict[str, Any]] = []
        for no in asked:
            if no not in found:
                items.append({"notice_no": no, "error": UNKNOWN})
                continue
            notice, detail = found[no]
            item = {name: _sent(name, getattr(notice, name)) for name in OF_NOTICE}
            item["emcons_flag"] = detail.emcons_flag if detail else None
            item["payment_allowance_flag"] = detail.payment_allowance_flag if detail else None
            items.append(item)
        if filter:
            items = [item for item in items if "error" in item or _wanted(item, filter)]
        page = _page(items, skip, limit)
        flags = {i["notice_no"]: i["emcons_flag"] for i in page["data"] if i.get("emcons_flag") not in (None, "", "N")}
        upsert(db, CasEmcons, "emcons_flag", flags, user)
    return page, 200


def get_notice_update(body: Any, user: str, skip: int = 0, limit: int | None = None) -> Response:
    """Serve API 4."""
    asked = list(dict.fromkeys(body["notice_nos"]))
    with new_session() as db:
        found = find(db, asked)
        if unknown := [no for no in asked if no not in found]:
            return {"data": {**UNKNOWN, "notice_nos": unknown}}, 404
        items, dates = [], {}
        for no in asked:
            notice, detail = found[no]
            due = detail.court_payment_due_date if detail else None
            item = {
                "notice_no": no,
                "amount_payable": _sent("amount_payable", notice.amount_payable),
                "payment_allowance_flag": detail.payment_allowance_flag if detail else None,
                "court_payment_due_date": _sent("court_payment_due_date", due),
            }
            if notice.suspension_type == "PS" and notice.epr_reason_of_suspension == "WWP":
                item |= {"suspension_type": "PS", "epr_reason_of_suspension": "WWP"}
            items.append(item)
            if due:
                dates[no] = due
        page = _page(items, skip, limit)
        upsert(db, CourtCase, "court_payment_due_date", dates, user)
    return page, 200


def update_court_notices(body: Any, user: str) -> Response:
    """Serve API 2."""
    now = datetime.now(SINGAPORE).replace(tzinfo=None)
    counts = Counter(record["notice_no"] for record in body if isinstance(record, dict) and "notice_no" in record)
    failed = {}
    with new_session() as db:
        flag = db.get(Dayend, now.date().isoformat())
        if flag is None or flag.dayend_flag != "Y":
            return {"data": {"appCode": "OCMS-4009", "message": "Day-end has not been reached."}}, 409
        for index, record in enumerate(body):
            if faults := [{"field": _field(e), "message": e.message} for e in RECORD.iter_errors(record)]:
                failed[index] = ("OCMS-4022", faults)
            elif counts[record["notice_no"]] > 1:
                failed[index] = ("OCMS-4022", [{"field": "/notice_no", "message": "more than once"}])
        good = [(index, record) for index, record in enumerate(body) if index not in failed]
        found = find(db, [record["notice_no"] for _, record in good])
        for index, record in good:
            if record["notice_no"] not in found:
                failed[index] = ("OCMS-4004", [])
                continue
            notice, detail = found[record["notice_no"]]
            if detail is None:
                detail = Detail(notice_no=record["notice_no"], cre_date=now, cre_user_id=user)
                db.add(detail)
            for name, given in record.items():
                column, value = {"payment_allowance": "payment_allowance_flag"}.get(name, name), _stored(name, given)
                owner = notice if hasattr(notice, column) else detail
                if getattr(owner, column) != value:
                    setattr(owner, column, value)
                    owner.upd_date, owner.upd_user_id = now, user
        db.commit()
    if not failed:
        return {"data": {"appCode": "OCMS-2000", "message": "Success"}}, 200
    entries = [
        {"index": index, "notice_no": _number(body[index]), "appCode": code, "errors": faults}
        for index, (code, faults) in sorted(failed.items())
    ]
    succeeded = [record["notice_no"] for index, record in good if index not in failed]
    data = {"appCode": "OCMS-4022", "succeeded": succeeded, "failed": entries}
    return {"data": data}, 207 if succeeded else 422


def _page(items: list[Any], skip: int, limit: int | None) -> dict[str, Any]:
    limit = limit or len(items)
    return {"total": len(items), "limit": limit, "skip": skip, "data": items[skip : skip + limit]}


def _wanted(item: dict[str, Any], names: list[str]) -> bool:
    is_emcons = item["emcons_flag"] not in (None, "", "N")
    return ("FP" in names and item["payment_status"] == "FP") or ("EMCONS" in names and is_emcons)


def _sent(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name.startswith("amount"):
        return float(value)
    return value.replace(tzinfo=SINGAPORE).isoformat() if name.endswith("_date") else value


def _stored(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name.startswith("amount"):
        return str(Decimal(str(value)).quantize(Decimal("0.01")))
    return datetime.fromisoformat(value).astimezone(SINGAPORE).replace(tzinfo=None) if name.endswith("_date") else value


def _number(record: Any) -> str | None:
    return record.get("notice_no") if isinstance(record, dict) else None


def _field(error: Any) -> str:
    return "".join(f"/{part}" for part in error.absolute_path)


def check_cas_key(apikey: str) -> dict[str, Any] | None:
    """Tell connexion whether a key is one of CAS."""
    return _check("CAS", apikey)


def check_plus_key(apikey: str) -> dict[str, Any] | None:
    """Tell connexion whether a key is one of PLUS."""
    return _check("PLUS", apikey)


def _check(expected: str, apikey: str) -> dict[str, Any] | None:
    caller = KEYS.get(sha256(apikey.encode()).hexdigest())
    if caller not in (None, expected):
        raise Forbidden
    return {"sub": caller} if caller else None


def answer_problem(_: ConnexionRequest, error: ProblemException) -> ConnexionResponse:
    """Response a request that is wrong."""
    data = {"appCode": f"OCMS-{error.status}0"[:9], "message": error.title, "errors": [{"message": error.detail}]}
    return ConnexionResponse(error.status, body=json.dumps({"data": data}), content_type="application/json")


def _json_schema(node: Any) -> Any:
    """Translate `nullable`, which JSON Schema does not have."""
    if isinstance(node, list):
        return [_json_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    schema = {key: _json_schema(value) for key, value in node.items() if key != "example"}
    return schema | {"type": [schema["type"], "null"]} if schema.pop("nullable", False) else schema


RECORD = Draft4Validator(
    _json_schema(BATCH["items"] | {"components": CONTRACT["components"]}),
    format_checker=Draft4Validator.FORMAT_CHECKER,
)


class SnakeCaseResolver(RelativeResolver):  # type: ignore[misc]  # connexion has no types
    """Finds `get_payment_status` for getPaymentStatus."""

    def resolve_operation_id(self, operation: Any) -> str:
        """Return the name of the function."""
        name = operation.operation_id
        return f"{__name__}." + "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def create_app() -> connexion.AsyncApp:
    """Return the app."""
    for name, scheme in CONTRACT["components"]["securitySchemes"].items():
        check = check_cas_key if name.startswith("Cas") else check_plus_key
        scheme["x-apikeyInfoFunc"] = f"{__name__}.{check.__name__}"
    BATCH["items"] = {}  # each record is validated by itself, in the function
    app = connexion.AsyncApp(__name__)
    app.add_error_handler(ProblemException, answer_problem)
    app.add_api(CONTRACT, resolver=SnakeCaseResolver(__name__))
    return app
