"""The notices of OCMS: `ocms_valid_offence_notice` and `ocms_offence_notice_detail`."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Column, Connection, Select, select

from db.bulk import chunks, insert_rows, update_rows
from db.dialect import equals
from db.engine import in_savepoint, translated
from db.errors import DatabaseError, DuplicateKeyError
from db.isolation import write_isolated
from db.json_sets import notice_set, to_json_set
from db.tables import cas_emcons, court_case
from db.tables import offence_notice_detail as detail
from db.tables import valid_offence_notice as notice

Columns = tuple[Any, ...]
"""Columns of one or both tables. Those that a response returns are in its order."""

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
"""New values of a notice, by column name."""


class Update(NamedTuple):
    """A notice to write: its stored values, and the new values that differ from them."""

    notice_no: str
    stored: Mapping[str, Any]
    change: Change


_log = structlog.get_logger(__name__)


def list_payment_statuses(
    conn: Connection, notice_nos: Collection[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Return the columns for API 1 of each notice that exists, and the recorded EMCONS flags (section 1.2).

    Both are by notice number. Only notices with a recorded flag are in the second one. Raises DatabaseError.
    """
    return _get_with_record(conn, PAYMENT_STATUS, cas_emcons.c.emcons_flag, notice_nos)


def list_notice_updates(
    conn: Connection, notice_nos: Collection[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, datetime]]:
    """Return the columns for API 4 of each notice that exists, and the recorded due dates (section 2.2).

    Both are by notice number. Only notices with a recorded date are in the second one. Raises DatabaseError.
    """
    return _get_with_record(conn, NOTICE_UPDATE, court_case.c.court_payment_due_date, notice_nos)


def update_court_notices(
    conn: Connection, changes: Mapping[str, Change], user: str, now: datetime
) -> tuple[set[str], dict[str, DatabaseError]]:
    """Write the changes of court notices, where a value differs (section 1.3). One failure does not affect the others.

    `changes` is by notice number. Returns the notice numbers that do not exist, and the error of each notice that could
    not be written. Raises DatabaseUnavailableError and TransactionLostError.
    """
    updated, created = {"upd_date": now, "upd_user_id": user}, {"cre_date": now, "cre_user_id": user}

    def write(part: Sequence[Update]) -> None:
        update_rows(conn, notice, _rows(part, COURT_NOTICE), updated)
        update_rows(conn, detail, _rows([u for u in part if u.stored["has_detail"]], COURT_DETAIL), updated)
        insert_rows(conn, detail, _rows([u for u in part if not u.stored["has_detail"]], COURT_DETAIL), created)

    def write_updates(updates: Mapping[str, Update]) -> dict[str, DatabaseError]:
        pending = [update for update in updates.values() if update.change]
        failed = write_isolated(lambda part: in_savepoint(conn, write, part), pending)
        return {update.notice_no: error for update, error in failed}

    updates = _read_updates(conn, changes)
    failed = write_updates(updates)
    # If another writer has inserted the detail row since it was read, read again and update it.
    if conflicts := {no: changes[no] for no, error in failed.items() if isinstance(error, DuplicateKeyError)}:
        failed = {no: error for no, error in failed.items() if no not in conflicts}
        failed |= write_updates(_read_updates(conn, conflicts))
    return changes.keys() - updates.keys(), failed


def _read_updates(conn: Connection, changes: Mapping[str, Change]) -> dict[str, Update]:
    """Return the updates of the notices that exist, by notice number. Other writers cannot change these rows."""
    changed = {name for change in changes.values() for name in change}
    columns = (notice.c.notice_no, HAS_DETAIL, *(c for c in (*COURT_NOTICE, *COURT_DETAIL) if c.name in changed))
    stored: dict[str, dict[str, Any]] = {}
    for chunk in chunks(sorted(changes)):  # sorted: two batches lock their rows in the same order
        stored |= _get(conn, columns, chunk, lock=True)
    return {no: Update(no, row, _differing(row, changes[no])) for no, row in stored.items()}


def _differing(stored: Mapping[str, Any], change: Change) -> Change:
    """Return the new values that differ from the stored ones."""
    return {name: value for name, value in change.items() if value != stored[name]}


def _get(
    conn: Connection, columns: Columns, notice_nos: Collection[str], *, lock: bool = False
) -> dict[str, dict[str, Any]]:
    """Return columns of the notices that exist, by notice number.

    `lock` takes update locks on SQL Server. On SQLite a transaction that writes has the only write lock already.
    """
    result = conn.execute(_select(columns, conn.dialect.name, lock=lock), {"notice_nos": to_json_set(notice_nos)})
    names = list(result.keys())
    return {row[0]: dict(zip(names, row, strict=True)) for row in result.all()}


def _get_with_record(
    conn: Connection, columns: Columns, recorded: Column[Any], notice_nos: Collection[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Return columns of the notices that exist, and the values of the column `recorded`, both by notice number.

    If the table of `recorded` cannot be read, its values are empty, since the response must not depend on it. A
    transient error or a lost connection is raised.
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
    found = {row[0]: dict(zip(names, row, strict=False)) for row in rows}  # the last value is that of `recorded`
    return found, {row[0]: row[-1] for row in rows if row[-1] is not None}


@cache
def _select(columns: Columns, dialect: str, *, lock: bool = False, recorded: Column[Any] | None = None) -> Select[Any]:
    """Return the statement that reads columns for a set of notices. Building it takes longer than running it.

    `recorded`, a column of another table, comes last.
    """
    requested = notice_set(dialect)
    statement = (
        select(*columns)
        .select_from(requested)
        .join(notice, equals(dialect, notice.c.notice_no, requested.c.notice_no))
        .outerjoin(detail, equals(dialect, detail.c.notice_no, requested.c.notice_no))
    )
    if recorded is not None:
        table = recorded.table
        statement = statement.add_columns(recorded.label("recorded")).outerjoin(
            table, equals(dialect, table.c.notice_no, requested.c.notice_no)
        )
    if lock:
        for table in (notice, detail):
            statement = statement.with_hint(table, "WITH (UPDLOCK)", "mssql")
    return statement


def _rows(updates: Sequence[Update], columns: Columns) -> list[dict[str, Any]]:
    """Return a row for each update of any of the columns. The rows omit columns that no update changes."""
    changed = {name for update in updates for name in update.change}
    names = [column.name for column in columns if column.name in changed]
    return [
        {"notice_no": update.notice_no, **{name: update.change.get(name, update.stored[name]) for name in names}}
        for update in updates
        if not update.change.keys().isdisjoint(names)
    ]
