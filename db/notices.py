"""The notices of OCMS: `ocms_valid_offence_notice` and `ocms_offence_notice_detail`."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Column, Connection, Select, select

from db.bulk import chunks, insert_rows, update_rows
from db.dialect import same
from db.engine import in_savepoint, translated
from db.errors import DatabaseError, DuplicateKeyError
from db.isolation import write_isolated
from db.json_sets import notice_set, to_json_set
from db.tables import cas_emcons, court_case
from db.tables import offence_notice_detail as detail
from db.tables import valid_offence_notice as notice

Columns = tuple[Any, ...]
"""Columns of one or both tables, in the order in which they are told."""

PAYMENT_STATUS: Columns = (
    notice.c.notice_no,
    notice.c.last_processing_stage,
    notice.c.last_processing_date,
    notice.c.next_processing_stage,
    detail.c.emcons_flag,
    notice.c.suspension_type,
    notice.c.crs_reason_of_suspension,
    notice.c.epr_reason_of_suspension,
    notice.c.payment_status,
    notice.c.amount_payable,
    notice.c.amount_paid,
    detail.c.payment_allowance_flag,
)
NOTICE_UPDATE: Columns = (
    notice.c.notice_no,
    notice.c.amount_payable,
    detail.c.payment_allowance_flag,
    detail.c.court_payment_due_date,
    notice.c.suspension_type,
    notice.c.epr_reason_of_suspension,
)
COURT_NOTICE: Columns = (
    notice.c.suspension_type,
    notice.c.atoms_flag,
    notice.c.last_processing_date,
    notice.c.next_processing_stage,
    notice.c.amount_payable,
    notice.c.epr_reason_of_suspension,
)
COURT_DETAIL: Columns = (detail.c.last_eburar_update, detail.c.payment_allowance_flag)
HAS_DETAIL = detail.c.notice_no.label("has_detail")

Change = Mapping[str, Any]
"""The columns of a notice that change, with their new values."""


class Update(NamedTuple):
    """A notice to write: its stored columns, and those that change."""

    notice_no: str
    stored: Mapping[str, Any]
    change: Change


_log = structlog.get_logger(__name__)


def list_payment_statuses(
    conn: Connection, notice_nos: Collection[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Return what API 1 tells of each notice that exists, and the EMCONS flag that is recorded (section 1.2).

    Both are by notice number; what is not recorded is not in the second one.
    """
    return _get_with_record(conn, PAYMENT_STATUS, cas_emcons.c.emcons_flag, notice_nos)


def list_notice_updates(
    conn: Connection, notice_nos: Collection[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, datetime]]:
    """Return what API 4 tells of each notice that exists, and the due date that is recorded (section 2.2).

    Both are by notice number; what is not recorded is not in the second one.
    """
    return _get_with_record(conn, NOTICE_UPDATE, court_case.c.court_payment_due_date, notice_nos)


def update_court_notices(
    conn: Connection, changes: Mapping[str, Change], user: str, now: datetime
) -> tuple[set[str], dict[str, DatabaseError]]:
    """Write the changes of court notices, each notice separately; equal values are not written (section 1.3).

    `changes` is by notice number. Returns the notice numbers that do not exist, and the error of each notice that could
    not be written.
    """
    unknown, failed = _update_court_notices(conn, changes, user, now)
    # If another writer has inserted the detail row since it was read, read again and update it.
    if conflicts := {no: changes[no] for no, error in failed.items() if isinstance(error, DuplicateKeyError)}:
        _, again = _update_court_notices(conn, conflicts, user, now)
        failed = {no: error for no, error in failed.items() if no not in conflicts} | again
    return unknown, failed


def _update_court_notices(
    conn: Connection, changes: Mapping[str, Change], user: str, now: datetime
) -> tuple[set[str], dict[str, DatabaseError]]:
    changed = {name for change in changes.values() for name in change}
    columns = (notice.c.notice_no, HAS_DETAIL, *(c for c in (*COURT_NOTICE, *COURT_DETAIL) if c.name in changed))
    stored: dict[str, dict[str, Any]] = {}
    for chunk in chunks(sorted(changes)):  # sorted, so that two batches lock rows in the same order
        stored |= _get(conn, columns, chunk, lock=True)
    updates = [Update(no, row, _differing(row, changes[no])) for no, row in stored.items()]
    updated, created = {"upd_date": now, "upd_user_id": user}, {"cre_date": now, "cre_user_id": user}

    def write(part: Sequence[Update]) -> None:
        update_rows(conn, notice, _rows(part, COURT_NOTICE), updated)
        update_rows(conn, detail, _rows([u for u in part if u.stored["has_detail"]], COURT_DETAIL), updated)
        insert_rows(conn, detail, _rows([u for u in part if not u.stored["has_detail"]], COURT_DETAIL), created)

    pending = [update for update in updates if update.change]
    failed = write_isolated(lambda part: in_savepoint(conn, write, part), pending)
    return changes.keys() - stored.keys(), {update.notice_no: error for update, error in failed}


def _differing(stored: Mapping[str, Any], change: Change) -> Change:
    """Return what a change would change."""
    return {name: value for name, value in change.items() if value != stored[name]}


def _get(
    conn: Connection, columns: Columns, notice_nos: Collection[str], *, lock: bool = False
) -> dict[str, dict[str, Any]]:
    """Return columns of the notices that exist, by notice number; `lock` keeps others from changing them meanwhile."""
    result = conn.execute(_select(columns, conn.dialect.name, lock=lock), {"notice_nos": to_json_set(notice_nos)})
    names = list(result.keys())
    return {row[0]: dict(zip(names, row, strict=True)) for row in result.all()}


def _get_with_record(
    conn: Connection, columns: Columns, recorded: Column[Any], notice_nos: Collection[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Return columns of the notices that exist, and what a table has recorded of them, both by notice number.

    Where that table cannot be read, nothing counts as recorded, since that must not spoil the response.
    """
    statement = _select(columns, conn.dialect.name, recorded=recorded)
    try:
        with translated():
            rows = conn.execute(statement, {"notice_nos": to_json_set(notice_nos)}).all()
    except DatabaseError as error:
        if error.transient or conn.invalidated:
            raise
        _log.error("record_not_readable", table=recorded.table.name, error=str(error))
        return _get(conn, columns, notice_nos), {}
    names = [column.name for column in columns]
    found = {row[0]: dict(zip(names, row, strict=False)) for row in rows}  # the last value is what is recorded
    return found, {row[0]: row[-1] for row in rows if row[-1] is not None}


@cache
def _select(columns: Columns, dialect: str, *, lock: bool = False, recorded: Column[Any] | None = None) -> Select[Any]:
    """Return the statement that reads columns of a set of notices; building it costs more than running it.

    `recorded`, a column of another table, comes last.
    """
    asked = notice_set(dialect)
    statement = (
        select(*columns)
        .select_from(asked)
        .join(notice, same(dialect, notice.c.notice_no, asked.c.notice_no))
        .outerjoin(detail, same(dialect, detail.c.notice_no, asked.c.notice_no))
    )
    if recorded is not None:
        table = recorded.table
        statement = statement.add_columns(recorded.label("recorded")).outerjoin(
            table, same(dialect, table.c.notice_no, asked.c.notice_no)
        )
    if lock:
        for table in (notice, detail):
            statement = statement.with_hint(table, "WITH (UPDLOCK)", "mssql")
    return statement


def _rows(updates: Sequence[Update], columns: Columns) -> list[dict[str, Any]]:
    """Return a row for each update of any of the columns. A column that no update changes is left out."""
    changed = {name for update in updates for name in update.change}
    names = [column.name for column in columns if column.name in changed]
    return [
        {"notice_no": update.notice_no, **{name: update.change.get(name, update.stored[name]) for name in names}}
        for update in updates
        if not update.change.keys().isdisjoint(names)
    ]
