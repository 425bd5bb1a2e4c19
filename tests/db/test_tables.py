"""The new tables, column by column as the source document says (section 3)."""

import pytest
from sqlalchemy.dialects import mssql

from db import tables

AUDIT = {
    "cre_date": ("DATETIME2(6)", False),
    "cre_user_id": ("VARCHAR(50)", False),
    "upd_date": ("DATETIME2(6)", True),
    "upd_user_id": ("VARCHAR(50)", True),
}


EXACT = " COLLATE Latin1_General_BIN2"
"""What tells upper from lower case in the keys of our own tables on SQL Server."""


def described(table):
    return {c.name: (c.type.compile(mssql.dialect()), c.nullable) for c in table.columns}


def keys(table):
    return [column.name for column in table.primary_key]


@pytest.mark.source("3.2", "Table ocms_vip_vehicle")
def test_vip_vehicle():
    assert keys(tables.vip_vehicle) == ["vip_vehicle"]
    assert described(tables.vip_vehicle) == {
        "vip_vehicle": ("VARCHAR(255)" + EXACT, False),
        "vehicle_no": ("VARCHAR(50)", False),
        "description": ("VARCHAR(255)", True),
        "status": ("VARCHAR(50)", False),
        **AUDIT,
    }


@pytest.mark.source("3.3", "Table ocms_cas_emcons")
def test_cas_emcons():
    assert keys(tables.cas_emcons) == ["notice_no"]
    assert described(tables.cas_emcons) == {
        "notice_no": ("VARCHAR(50)" + EXACT, False),
        "emcons_flag": ("VARCHAR(50)", True),
        **AUDIT,
    }


@pytest.mark.source("3.4", "Table ocms_court_case")
def test_court_case():
    assert keys(tables.court_case) == ["notice_no"]
    assert described(tables.court_case) == {
        "notice_no": ("VARCHAR(50)" + EXACT, False),
        "court_payment_due_date": ("DATETIME2(6)", True),
        **AUDIT,
    }
