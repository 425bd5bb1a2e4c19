"""The limit: a bare ASGI function with sqlite3 and msgspec, no framework, nothing configurable, one connection."""

import os
import re
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from hashlib import sha256
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs

import msgspec

SINGAPORE = timezone(timedelta(hours=8))
NoticeNo = Annotated[str, msgspec.Meta(min_length=1, max_length=50, pattern=r"^[^\x00-\x20\x7f]+$")]
Code = Annotated[str, msgspec.Meta(min_length=1, max_length=50)] | None | msgspec.UnsetType


class NoticeQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which notices."""

    notice_nos: Annotated[list[NoticeNo], msgspec.Meta(min_length=1, max_length=10_000)]


class CourtNotice(msgspec.Struct, forbid_unknown_fields=True):
    """A record of a batch."""

    notice_no: NoticeNo
    suspension_type: Literal["TS", "PS"] | msgspec.UnsetType | None = msgspec.UNSET
    last_eburar_update: Code = msgspec.UNSET
    atoms_flag: Code = msgspec.UNSET
    last_processing_date: datetime | msgspec.UnsetType | None = msgspec.UNSET
    next_processing_stage: Code = msgspec.UNSET
    amount_payable: Decimal | msgspec.UnsetType | None = msgspec.UNSET
    payment_allowance: Code = msgspec.UNSET
    epr_reason_of_suspension: Code = msgspec.UNSET


STATUS = (
    *("notice_no", "last_processing_stage", "last_processing_date", "next_processing_stage", "emcons_flag"),
    *("suspension_type", "crs_reason_of_suspension", "epr_reason_of_suspension", "payment_status"),
    *("amount_payable", "amount_paid", "payment_allowance_flag"),
)
UPDATE = (
    *("notice_no", "amount_payable", "payment_allowance_flag", "court_payment_due_date"),
    *("suspension_type", "epr_reason_of_suspension"),
)
NOTICE = (
    *("suspension_type", "atoms_flag", "last_processing_date", "next_processing_stage", "amount_payable"),
    "epr_reason_of_suspension",
)
DETAIL = ("last_eburar_update", "payment_allowance_flag")
OF_DETAIL = {"emcons_flag", "payment_allowance_flag", "court_payment_due_date", "last_eburar_update"}
CALLERS = {"getPaymentStatus": "CAS", "updateCourtNotices": "CAS", "getNoticeUpdate": "PLUS"}
UNKNOWN = {"appCode": "OCMS-4004", "message": "One or more notice numbers could not be found."}
KEYS = dict(pair.split(":")[::-1] for pair in os.environ["PEER_API_KEYS"].split(","))
DECODE_QUERY = msgspec.json.Decoder(NoticeQuery).decode
DECODE_BATCH = msgspec.json.Decoder(list[Any], float_hook=Decimal).decode
ENCODE = msgspec.json.Encoder(decimal_format="number").encode

conn = sqlite3.connect(os.environ["OCMS_DATABASE_URL"].removeprefix("sqlite:///"), isolation_level=None)
conn.execute("PRAGMA journal_mode = WAL")
conn.execute("PRAGMA synchronous = FULL")


def _select(names: Sequence[str]) -> str:
    columns = ", ".join(f"{'d' if name in OF_DETAIL else 'n'}.{name}" for name in names)
    return (
        f"SELECT {columns} FROM json_each(?) a JOIN ocms_valid_offence_notice n ON n.notice_no = a.value "  # noqa: S608
        "LEFT JOIN ocms_offence_notice_detail d ON d.notice_no = a.value"
    )


SELECT_STATUS, SELECT_UPDATE = _select(STATUS), _select(UPDATE)
SELECT_STORED = _select(("notice_no", *NOTICE, *DETAIL)).replace(" FROM json_each", ", d.notice_no FROM json_each")


def _sent(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name.startswith("amount"):
        return Decimal(value)
    if name.endswith("_date"):
        return f"{value[:10]}T{value[11:19]}+08:00"
    return value


def _now() -> str:
    return datetime.now(SINGAPORE).replace(tzinfo=None).isoformat(" ")


def _find(statement: str, names: Sequence[str], asked: list[str]) -> dict[str, dict[str, Any]]:
    rows = conn.execute(statement, (msgspec.json.encode(asked).decode(),))
    return {row[0]: {name: _sent(name, value) for name, value in zip(names, row, strict=True)} for row in rows}


def _record(table: str, column: str, values: dict[str, str], user: str) -> None:
    known = dict(
        conn.execute(
            f"SELECT notice_no, {column} FROM {table} WHERE notice_no IN (SELECT value FROM json_each(?))",  # noqa: S608
            (msgspec.json.encode(list(values)).decode(),),
        )
    )
    if new := [(no, value, _now(), user) for no, value in values.items() if known.get(no) != value]:
        conn.execute("BEGIN IMMEDIATE")
        conn.executemany(
            f"INSERT INTO {table} (notice_no, {column}, cre_date, cre_user_id) VALUES (?, ?, ?, ?) "  # noqa: S608
            f"ON CONFLICT (notice_no) DO UPDATE SET {column} = excluded.{column}",
            new,
        )
        conn.execute("COMMIT")


def _page(items: list[Any], query: dict[str, list[str]]) -> dict[str, Any]:
    skip = int(query.get("skip", ["0"])[0])
    limit = int(query["limit"][0]) if "limit" in query else len(items)
    return {"total": len(items), "limit": limit, "skip": skip, "data": items[skip : skip + limit]}


def get_payment_status(body: bytes, query: dict[str, list[str]]) -> tuple[int, Any]:
    """Serve API 1."""
    asked = list(dict.fromkeys(DECODE_QUERY(body).notice_nos))
    found = _find(SELECT_STATUS, STATUS, asked)
    items = [found.get(no) or {"notice_no": no, "error": UNKNOWN} for no in asked]
    page = _page(items, query)
    flags = {i["notice_no"]: i["emcons_flag"] for i in page["data"] if i.get("emcons_flag") not in (None, "", "N")}
    if flags:
        _record("ocms_cas_emcons", "emcons_flag", flags, "CAS")
    return 200, page


def get_notice_update(body: bytes, query: dict[str, list[str]]) -> tuple[int, Any]:
    """Serve API 4."""
    asked = list(dict.fromkeys(DECODE_QUERY(body).notice_nos))
    found = _find(SELECT_UPDATE, UPDATE, asked)
    if unknown := [no for no in asked if no not in found]:
        return 404, {"data": {**UNKNOWN, "notice_nos": unknown}}
    items, dates = [], {}
    for no in asked:
        item = found[no]
        if (item["suspension_type"], item["epr_reason_of_suspension"]) != ("PS", "WWP"):
            del item["suspension_type"], item["epr_reason_of_suspension"]
        items.append(item)
        if due := item["court_payment_due_date"]:
            dates[no] = f"{due[:10]} {due[11:19]}.000000"
    page = _page(items, query)
    if dates:
        _record("ocms_court_case", "court_payment_due_date", dates, "PLUS")
    return 200, page


def update_court_notices(body: bytes, _: dict[str, list[str]]) -> tuple[int, Any]:
    """Serve API 2."""
    batch = DECODE_BATCH(body)
    now = _now()
    if conn.execute("SELECT dayend_flag FROM ocms_dayend WHERE business_date = ?", (now[:10],)).fetchone() != ("Y",):
        return 409, {"data": {"appCode": "OCMS-4009", "message": "Day-end has not been reached."}}
    good: dict[int, CourtNotice] = {}
    bad: dict[int, tuple[str, list[Any]]] = {}
    for index, record in enumerate(batch):
        try:
            good[index] = notice = msgspec.convert(record, CourtNotice)
            if len(record) == 1 or not _is_amount(notice.amount_payable):
                raise msgspec.ValidationError("nothing to change, or no amount")  # noqa: TRY301  # one way to fail
        except msgspec.ValidationError as error:
            good.pop(index, None)
            bad[index] = "OCMS-4022", [{"field": "", "message": str(error)}]
    counts = Counter(record.notice_no for record in good.values())
    for index in [index for index, record in good.items() if counts[record.notice_no] > 1]:
        del good[index]
        bad[index] = "OCMS-4022", [{"field": "/notice_no", "message": "more than once"}]
    conn.execute("BEGIN IMMEDIATE")
    asked = msgspec.json.encode([record.notice_no for record in good.values()]).decode()
    stored = {row[0]: row for row in conn.execute(SELECT_STORED, (asked,))}
    notices, details, created = [], [], []
    for index, record in list(good.items()):
        row = stored.get(record.notice_no)
        if row is None:
            del good[index]
            bad[index] = "OCMS-4004", []
            continue
        new = [_stored(getattr(record, name), old) for name, old in zip(NOTICE, row[1:7], strict=True)]
        if new != list(row[1:7]):
            notices.append((*new, now, record.notice_no))
        fields = (record.last_eburar_update, record.payment_allowance)
        new = [_stored(value, old) for value, old in zip(fields, row[7:9], strict=True)]
        if new != list(row[7:9]):
            (created if row[9] is None else details).append((*new, now, record.notice_no))
    sets = ", ".join(f"{name} = ?" for name in NOTICE)
    conn.executemany(
        f"UPDATE ocms_valid_offence_notice SET {sets}, upd_date = ?, upd_user_id = 'CAS' WHERE notice_no = ?",  # noqa: S608
        notices,
    )
    conn.executemany(
        "UPDATE ocms_offence_notice_detail SET last_eburar_update = ?, payment_allowance_flag = ?, upd_date = ?, "
        "upd_user_id = 'CAS' WHERE notice_no = ?",
        details,
    )
    conn.executemany(
        "INSERT INTO ocms_offence_notice_detail (last_eburar_update, payment_allowance_flag, cre_date, notice_no, "
        "cre_user_id) VALUES (?, ?, ?, ?, 'CAS')",
        created,
    )
    conn.execute("COMMIT")
    if not bad:
        return 200, {"data": {"appCode": "OCMS-2000", "message": "Success"}}
    failed = [
        {
            "index": i,
            "notice_no": b.get("notice_no") if isinstance(b := batch[i], dict) else None,
            "appCode": c,
            "errors": e,
        }
        for i, (c, e) in sorted(bad.items())
    ]
    succeeded = [record.notice_no for record in good.values()]
    return (207 if good else 422), {"data": {"appCode": "OCMS-4022", "succeeded": succeeded, "failed": failed}}


def _is_amount(value: Any) -> bool:
    return not isinstance(value, Decimal) or (value >= 0 and value == round(value, 2))


def _stored(value: Any, old: Any) -> Any:
    if value is msgspec.UNSET:
        return old
    if isinstance(value, Decimal):
        return f"{value:.2f}"
    if isinstance(value, datetime):
        return value.astimezone(SINGAPORE).replace(tzinfo=None).isoformat(" ", "microseconds")
    return value


OPERATIONS = {
    "/v1/" + re.sub(r"_(.)", lambda match: match[1].upper(), handle.__name__): handle
    for handle in (get_payment_status, update_court_notices, get_notice_update)
}


def create_app() -> Callable[..., Awaitable[None]]:
    """Return the app."""
    return app


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Serve a request."""
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    handle = OPERATIONS[scope["path"]]
    key = dict(scope["headers"]).get(b"x-api-key", b"")
    caller = KEYS.get(sha256(key).hexdigest())
    if caller is None:
        status, response = 401, {"data": {"appCode": "OCMS-4001", "message": "A valid API key is required."}}
    elif caller != CALLERS[scope["path"][4:]]:
        status, response = 403, {"data": {"appCode": "OCMS-4003", "message": "Forbidden."}}
    else:
        try:
            status, response = handle(body, parse_qs(scope["query_string"].decode()))
        except msgspec.DecodeError as error:
            status, response = 400, {"data": {"appCode": "OCMS-4000", "errors": [{"field": "", "message": str(error)}]}}
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": ENCODE(response)})
