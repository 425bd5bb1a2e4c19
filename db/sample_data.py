"""Deterministic sample notices and vehicles, realistic enough for trials.

The first notices are those of the examples in the contract, so each example can be sent without changes.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

from sqlalchemy import Connection, select

from db.bulk import CHUNK, insert_rows
from db.dialect import EMPTY_BY, EmptyBy
from db.tables import offence_notice_detail, valid_offence_notice
from db.vip_vehicles import create_vip_staging, replace_vip_vehicles, stage_vip_vehicles
from domain.clock import SINGAPORE

USER = "ocms-seed"
FIRST_NOTICE = 541_000_001

_CREATED = datetime(2026, 1, 5, 8, 0, tzinfo=SINGAPORE)
_STAGED = datetime(2026, 5, 18, 9, 30, tzinfo=SINGAPORE)
_DUE = datetime(2026, 7, 31, 23, 59, 59, tzinfo=SINGAPORE)
_STAGES = ["NPA", "ROV", "ENA", "RD1", "RD2", "RR3", "DN1", "DN2", "DR3", "CPC", "CFC", "CRT", "CRC", None]
_CHECK_LETTERS = "ABCDEFGHJKLMNPRSTUVXYZ"

_EXAMPLES: list[dict[str, Any]] = [
    {"payment_allowance_flag": "N", "amount_payable": Decimal("210.35")},
    {
        "suspension_type": "PS",
        "epr_reason_of_suspension": "FP",
        "payment_status": "FP",
        "amount_payable": Decimal("120.00"),
        "amount_paid": Decimal("120.00"),
        "next_processing_stage": None,
        "payment_allowance_flag": "N",
    },
    {
        "emcons_flag": "Y",
        "suspension_type": "TS",
        "crs_reason_of_suspension": "CAS",
        "amount_payable": Decimal("210.35"),
        "payment_allowance_flag": "Y",
    },
    {
        "suspension_type": "PS",
        "epr_reason_of_suspension": "WWP",
        "amount_payable": Decimal("305.05"),
        "payment_allowance_flag": "Y",
        "court_payment_due_date": _DUE,
    },
    {"amount_payable": Decimal("70.00"), "payment_allowance_flag": "N", "court_payment_due_date": _DUE},
]


def notice_number(serial: int) -> str:
    """Return the notice number for a serial number of nine digits: its digits and a check letter."""
    return f"{serial}{_CHECK_LETTERS[serial % len(_CHECK_LETTERS)]}"


def seed_notices(conn: Connection, count: int, advance: Callable[[int], None]) -> int:
    """Insert `count` sample notices, and return their number. `advance` is called with the size of each chunk."""
    notices = _notices(count)
    inserted = 0
    while chunk := list(islice(notices, CHUNK)):
        for table in (valid_offence_notice, offence_notice_detail):
            insert_rows(conn, table, [{c.name: row.get(c.name) for c in table.columns} for row in chunk])
        inserted += len(chunk)
        advance(len(chunk))
    return inserted


def seed_vehicles(conn: Connection, vehicles: Iterable[Mapping[str, Any]], empty_by: EmptyBy = EMPTY_BY) -> int:
    """Replace the VIP list with sample vehicles, and return their number."""
    staged = create_vip_staging(conn)
    stage_vip_vehicles(conn, staged, vehicles)
    return replace_vip_vehicles(conn, staged, USER, _CREATED, empty_by)


def has_notices(conn: Connection) -> bool:
    """Return whether the database has a notice."""
    return conn.execute(select(valid_offence_notice.c.notice_no).limit(1)).first() is not None


def _notices(count: int) -> Iterator[dict[str, Any]]:
    for index in range(count):
        special = _EXAMPLES[index] if index < len(_EXAMPLES) else _drawn(random.Random(index))  # noqa: S311  # sample data needs no secure random numbers
        yield {
            "notice_no": notice_number(FIRST_NOTICE + index),
            "last_processing_stage": "CRT",
            "last_processing_date": _STAGED,
            "next_processing_stage": "CRC",
            "amount_paid": Decimal("0.00"),
            "atoms_flag": "N",
            "last_eburar_update": None,
            "cre_date": _CREATED,
            "cre_user_id": USER,
            **special,
        }


def _drawn(draw: random.Random) -> dict[str, Any]:
    payable = Decimal(draw.randint(1_00, 650_00)) / 100
    stage = draw.randrange(len(_STAGES) - 1)
    notice: dict[str, Any] = {
        "last_processing_stage": _STAGES[stage],
        "next_processing_stage": _STAGES[stage + 1],
        "last_processing_date": _STAGED + timedelta(minutes=draw.randrange(60 * 24 * 40)),
        "amount_payable": payable,
        "atoms_flag": draw.choice("YN"),
        "payment_allowance_flag": draw.choice("YN"),
    }
    match draw.choices(["open", "paid", "part", "emcons", "suspended", "wwp"], [50, 15, 5, 8, 12, 10])[0]:
        case "paid":
            notice |= {"payment_status": "FP", "amount_paid": payable, "next_processing_stage": None}
            notice |= {"suspension_type": "PS", "epr_reason_of_suspension": "FP"}
        case "part":
            notice |= {"payment_status": "PP", "amount_paid": (payable / 2).quantize(Decimal("0.01"))}
        case "emcons":
            notice |= {"emcons_flag": "Y", "suspension_type": "TS", "crs_reason_of_suspension": "CAS"}
        case "suspended":
            notice |= {"suspension_type": "TS", "epr_reason_of_suspension": draw.choice(["APP", "PRI", "INS"])}
        case "wwp":
            notice |= {"suspension_type": "PS", "epr_reason_of_suspension": "WWP"}
    if draw.random() < 0.3:  # noqa: PLR2004  # the share of notices with a due date
        notice["court_payment_due_date"] = _DUE + timedelta(days=draw.randrange(1, 120))
    return notice
