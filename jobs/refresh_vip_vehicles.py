"""API 3 of the source document: the daily refresh of the VIP vehicles from CAS (section 1.4)."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, Protocol

import structlog

from db.bulk import chunks
from db.dialect import EMPTY_BY, EmptyBy
from db.engine import Connection, Database, begin_write, retry, translated
from db.errors import DuplicateKeyError
from db.job_runs import Changes
from db.vip_vehicles import (
    Staged,
    compare_vip_vehicles,
    count_repeated_vip_vehicles,
    create_vip_staging,
    replace_vip_vehicles,
    stage_vip_vehicles,
)
from jobs.failures import DuplicateVehicleError, ShrunkenListError
from jobs.recorder import Run

NAME = "refresh-vip-vehicles"
SHOWN = 3
"""The number of repeated vehicles that the record of a run names."""

Parts = Iterable[list[dict[str, Any]]]
"""The list of CAS in parts, so that memory does not grow with it."""

_log = structlog.get_logger(__name__)


class VipVehicleSource(Protocol):
    """A source of the list: CAS."""

    def attempts(self) -> Iterator[AbstractContextManager[Parts]]:
        """Yield attempts to read the list from its beginning; use the first one whose block ends without an error.

        A context manager suppresses an error if another attempt follows.
        """


@dataclass(frozen=True, slots=True)
class VipRefresh:
    """The refresh. It refuses a list smaller than `min_share` (0 to 1) of the previous one."""

    database: Database
    cas: VipVehicleSource
    now: Callable[[], datetime]
    min_share: float
    empty_by: EmptyBy = EMPTY_BY

    def refresh(self, run: Run, *, force: bool = False, progress: Callable[[int], None] = lambda _: None) -> Changes:
        """Stage the list of CAS; then replace the table and record the success in one transaction.

        `force` accepts a list of any size except an empty one; `progress` is called with the number of vehicles staged
        so far. A transient database error repeats all of it, including the call of CAS. Raises RefreshError and
        DatabaseError; the previous list then stays in use.
        """
        changes = retry(lambda: self._refresh(run, 0.0 if force else self.min_share, progress), within=None)
        _log.info("vip_vehicles_refreshed", run=run.run_id, **changes._asdict())
        return changes

    def _refresh(self, run: Run, min_share: float, progress: Callable[[int], None]) -> Changes:
        with self.database.private() as conn:
            staged = self._fetch(conn, progress)
            with conn.begin():
                changes = compare_vip_vehicles(conn, staged)
            _require_size(changes, min_share)
            try:
                with translated(), begin_write(conn):
                    replace_vip_vehicles(conn, staged, NAME, self.now(), self.empty_by)
                    run.succeed(conn, changes)
            except DuplicateKeyError as error:
                raise _duplicates(conn, staged) from error
        return changes

    def _fetch(self, conn: Connection, progress: Callable[[int], None]) -> Staged:
        """Read the list of CAS into a staging table. The table in use does not change."""
        for attempt in self.cas.attempts():
            with attempt as parts:
                return _stage(conn, parts, progress)
        raise AssertionError  # the last attempt has returned or raised


def _stage(conn: Connection, parts: Parts, progress: Callable[[int], None]) -> Staged:
    with conn.begin():
        staged = create_vip_staging(conn)
    count = 0
    for chunk in chunks(chain.from_iterable(parts)):
        with conn.begin():  # one short transaction for each chunk: none stays open while CAS sends slowly
            count += stage_vip_vehicles(conn, staged, chunk)
        progress(count)
    return staged


def _require_size(changes: Changes, min_share: float) -> None:
    if changes.rows < changes.rows_before * min_share:
        raise ShrunkenListError(
            f"the list of CAS has {changes.rows} vehicles instead of {changes.rows_before}, less than {min_share:.0%}; "
            f"if that is right, run 'ocms jobs run {NAME} --force'"
        )


def _duplicates(conn: Connection, staged: Staged) -> DuplicateVehicleError:
    """Return the error that lists repeated vehicles.

    The primary key detects duplicates; listing them takes half as long as the replacement, so it is
    done only on failure.
    """
    with conn.begin():
        count, first = count_repeated_vip_vehicles(conn, staged, SHOWN)
    return DuplicateVehicleError(f"the list of CAS has {count} vehicles more than once", ", ".join(first))
