"""The peer: the same operations with FastAPI, pydantic and SQLAlchemy's ORM, as their documentation shows them."""

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, ValidationError, model_validator
from sqlalchemy.orm import Session

from benchmarks.peers.models import SINGAPORE, CasEmcons, CourtCase, Dayend, Detail, find, new_session, upsert

NoticeNo = Annotated[str, Field(min_length=1, max_length=50, pattern=r"^[^\x00-\x20\x7f]+$")]
Code = Annotated[str | None, Field(min_length=1, max_length=50)]
Amount = Annotated[Decimal | None, PlainSerializer(lambda value: None if value is None else float(value))]
Instant = Annotated[
    datetime | None, PlainSerializer(lambda value: value and value.replace(tzinfo=SINGAPORE).isoformat())
]


class NoticeQuery(BaseModel):
    """Which notices."""

    model_config = ConfigDict(extra="forbid")
    notice_nos: list[NoticeNo] = Field(min_length=1, max_length=10_000)


class Coded(BaseModel):
    """An error of one notice."""

    appCode: str  # noqa: N815  # a name of the contract
    message: str


class PaymentStatus(BaseModel):
    """A notice in the response to CAS."""

    notice_no: str
    last_processing_stage: str | None = None
    last_processing_date: Instant = None
    next_processing_stage: str | None = None
    emcons_flag: str | None = None
    suspension_type: str | None = None
    crs_reason_of_suspension: str | None = None
    epr_reason_of_suspension: str | None = None
    payment_status: str | None = None
    amount_payable: Amount = None
    amount_paid: Amount = None
    payment_allowance_flag: str | None = None
    error: Coded | None = None


class NoticeUpdate(BaseModel):
    """A notice in the response to PLUS."""

    notice_no: str
    amount_payable: Amount = None
    payment_allowance_flag: str | None = None
    court_payment_due_date: Instant = None
    suspension_type: str | None = None
    epr_reason_of_suspension: str | None = None


class Statuses(BaseModel):
    """A page of notices for CAS."""

    total: int
    limit: int
    skip: int
    data: list[PaymentStatus]


class Updates(BaseModel):
    """A page of notices for PLUS."""

    total: int
    limit: int
    skip: int
    data: list[NoticeUpdate]


class CourtNotice(BaseModel):
    """A record of a batch."""

    model_config = ConfigDict(extra="forbid", strict=True)
    notice_no: NoticeNo
    suspension_type: Literal["TS", "PS"] | None = None
    last_eburar_update: Code = None
    atoms_flag: Code = None
    last_processing_date: Annotated[datetime | None, Field(strict=False)] = None
    next_processing_stage: Code = None
    amount_payable: Annotated[Decimal | None, Field(strict=False, ge=0, max_digits=10, decimal_places=2)] = None
    payment_allowance: Code = None
    epr_reason_of_suspension: Code = None

    @model_validator(mode="after")
    def _require_a_change(self) -> "CourtNotice":
        if len(self.model_fields_set) < 2:  # noqa: PLR2004  # the number and one more
            raise ValueError("nothing to change")
        return self


keys = dict(pair.split(":")[::-1] for pair in os.environ["PEER_API_KEYS"].split(","))
app = FastAPI()


def session() -> Iterator[Session]:
    """Open a session for a call."""
    with new_session() as opened:
        yield opened


def caller(name: str) -> Callable[..., str]:
    """Return what requires the key of a caller."""

    def check(key: Annotated[str | None, Depends(APIKeyHeader(name="X-API-Key", auto_error=False))]) -> str:
        known = keys.get(sha256((key or "").encode()).hexdigest())
        if known is None:
            raise HTTPException(401, {"appCode": "OCMS-4001", "message": "A valid API key is required."})
        if known != name:
            raise HTTPException(403, {"appCode": "OCMS-4003", "message": "Forbidden."})
        return known

    return check


@app.exception_handler(RequestValidationError)
def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
    """Response a request that is wrong."""
    faults = [{"field": "/".join(map(str, fault["loc"])), "message": fault["msg"]} for fault in error.errors()[:20]]
    body = {"appCode": "OCMS-4000", "message": "Invalid request. Please check and try again.", "errors": faults}
    return JSONResponse({"data": body}, 400)


@app.exception_handler(HTTPException)
def failed(_: Request, error: HTTPException) -> JSONResponse:
    """Response another error."""
    return JSONResponse({"data": error.detail}, error.status_code)


Skip = Annotated[int, Query(ge=0, le=10_000)]
Limit = Annotated[int | None, Query(ge=1, le=10_000)]
Filter = Annotated[list[Literal["FP", "EMCONS"]] | None, Query()]
Db = Annotated[Session, Depends(session)]


def _page(items: list[Any], skip: int, limit: int | None) -> dict[str, Any]:
    limit = limit or len(items)
    return {"total": len(items), "limit": limit, "skip": skip, "data": items[skip : skip + limit]}


@app.post("/v1/getPaymentStatus")
def get_payment_status(  # noqa: PLR0913, PLR0917  # FastAPI's way
    query: NoticeQuery,
    user: Annotated[str, Depends(caller("CAS"))],
    db: Db,
    skip: Skip = 0,
    limit: Limit = None,
    filter: Filter = None,  # noqa: A002  # a name of the contract
) -> Statuses:
    """Serve API 1."""
    asked = list(dict.fromkeys(query.notice_nos))
    found = find(db, asked)
    items = []
    for no in asked:
        if no not in found:
            error = Coded(appCode="OCMS-4004", message="One or more notice numbers could not be found.")
            items.append(PaymentStatus(notice_no=no, error=error))
            continue
        notice, detail = found[no]
        columns = {name: getattr(notice, name) for name in PaymentStatus.model_fields if hasattr(notice, name)}
        if detail:
            columns |= {"emcons_flag": detail.emcons_flag, "payment_allowance_flag": detail.payment_allowance_flag}
        items.append(PaymentStatus(**columns))
    if filter:
        items = [
            item
            for item in items
            if item.error
            or ("FP" in filter and item.payment_status == "FP")
            or ("EMCONS" in filter and item.emcons_flag not in (None, "N"))
        ]
    page = _page(items, skip, limit)
    flags = {item.notice_no: item.emcons_flag for item in page["data"] if item.emcons_flag not in (None, "", "N")}
    upsert(db, CasEmcons, "emcons_flag", flags, user)
    return Statuses(**page)


@app.post("/v1/getNoticeUpdate", response_model_exclude_unset=True)
def get_notice_update(
    query: NoticeQuery, user: Annotated[str, Depends(caller("PLUS"))], db: Db, skip: Skip = 0, limit: Limit = None
) -> Updates:
    """Serve API 4."""
    asked = list(dict.fromkeys(query.notice_nos))
    found = find(db, asked)
    if unknown := [no for no in asked if no not in found]:
        raise HTTPException(404, {"appCode": "OCMS-4004", "message": "Not found.", "notice_nos": unknown})
    items, dates = [], {}
    for no in asked:
        notice, detail = found[no]
        columns: dict[str, Any] = {"notice_no": no, "amount_payable": notice.amount_payable}
        columns["payment_allowance_flag"] = detail.payment_allowance_flag if detail else None
        columns["court_payment_due_date"] = due = detail.court_payment_due_date if detail else None
        if notice.suspension_type == "PS" and notice.epr_reason_of_suspension == "WWP":
            columns |= {"suspension_type": "PS", "epr_reason_of_suspension": "WWP"}
        items.append(NoticeUpdate(**columns))
        if due:
            dates[no] = due
    page = _page(items, skip, limit)
    upsert(db, CourtCase, "court_payment_due_date", dates, user)
    return Updates(**page)


@app.post("/v1/updateCourtNotices")
def update_court_notices(batch: list[Any], user: Annotated[str, Depends(caller("CAS"))], db: Db) -> Any:
    """Serve API 2."""
    now = datetime.now(SINGAPORE).replace(tzinfo=None)
    flag = db.get(Dayend, now.date().isoformat())
    if flag is None or flag.dayend_flag != "Y":
        raise HTTPException(409, {"appCode": "OCMS-4009", "message": "Day-end has not been reached."})
    good, bad = {}, {}
    numbers = [record.get("notice_no") for record in batch if isinstance(record, dict)]
    twice = (
        {no for no in numbers if isinstance(no, str) and numbers.count(no) > 1}
        if len({*map(str, numbers)}) < len(numbers)
        else set()
    )
    for index, record in enumerate(batch):
        try:
            good[index] = CourtNotice.model_validate(record)
        except ValidationError as error:
            bad[index] = [
                {"field": "/".join(map(str, fault["loc"])), "message": fault["msg"]} for fault in error.errors()
            ]
        else:
            if good[index].notice_no in twice:
                del good[index]
                bad[index] = [{"field": "/notice_no", "message": "more than once"}]
    found = find(db, [record.notice_no for record in good.values()])
    for index, record in list(good.items()):
        if record.notice_no not in found:
            del good[index]
            bad[index] = []
            continue
        notice, detail = found[record.notice_no]
        if detail is None:
            detail = Detail(notice_no=record.notice_no, cre_date=now, cre_user_id=user)
            db.add(detail)
        for name, value in record.model_dump(exclude_unset=True, exclude={"notice_no"}).items():
            column = {"payment_allowance": "payment_allowance_flag"}.get(name, name)
            if isinstance(value, Decimal):
                value = str(value.quantize(Decimal("0.01")))  # noqa: PLW2901  # the stored form
            if isinstance(value, datetime):
                value = value.astimezone(SINGAPORE).replace(tzinfo=None)  # noqa: PLW2901  # the same
            owner = notice if hasattr(notice, column) else detail
            if getattr(owner, column) != value:
                setattr(owner, column, value)
                owner.upd_date, owner.upd_user_id = now, user
    db.commit()
    if not bad:
        return {"data": {"appCode": "OCMS-2000", "message": "Success"}}
    entries = [
        {
            "index": index,
            "notice_no": _number(batch[index]),
            "appCode": "OCMS-4022" if faults else "OCMS-4004",
            "errors": faults,
        }
        for index, faults in sorted(bad.items())
    ]
    body = {"appCode": "OCMS-4022", "succeeded": [record.notice_no for record in good.values()], "failed": entries}
    return JSONResponse({"data": body}, 207 if good else 422)


def _number(record: Any) -> str | None:
    return record.get("notice_no") if isinstance(record, dict) else None


def create_app() -> FastAPI:
    """Return the app."""
    return app
