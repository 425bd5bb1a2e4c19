"""The new tables have the columns of section 3 of the source document."""

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
"""The case-sensitive collation of the keys of our own tables on SQL Server."""


def described(table):
    return {c.name: (c.type.compile(mssql.dialect()), c.nullable) for c in table.columns}


def keys(table):
    return [column.name for column in table.primary_key]


@pytest.mark.source("3.2", "Table ocms_vip_vehicle")
def test_the_vip_vehicle_table_has_the_documented_columns():
    assert keys(tables.vip_vehicle) == ["vip_vehicle"]
    assert described(tables.vip_vehicle) == {
        "vip_vehicle": ("VARCHAR(255)" + EXACT, False),
        "vehicle_no": ("VARCHAR(50)", False),
        "description": ("VARCHAR(255)", True),
        "status": ("VARCHAR(50)", False),
        **AUDIT,
    }


@pytest.mark.source("3.3", "Table ocms_cas_emcons")
def test_the_emcons_table_has_the_documented_columns():
    assert keys(tables.cas_emcons) == ["notice_no"]
    assert described(tables.cas_emcons) == {
        "notice_no": ("VARCHAR(50)" + EXACT, False),
        "emcons_flag": ("VARCHAR(50)", True),
        **AUDIT,
    }


@pytest.mark.source("3.4", "Table ocms_court_case")
def test_the_court_case_table_has_the_documented_columns():
    assert keys(tables.court_case) == ["notice_no"]
    assert described(tables.court_case) == {
        "notice_no": ("VARCHAR(50)" + EXACT, False),
        "court_payment_due_date": ("DATETIME2(6)", True),
        **AUDIT,
    }
