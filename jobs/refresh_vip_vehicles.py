"""API 3: the daily refresh of the VIP vehicles from CAS (section 1.4)."""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any

import structlog

from db.bulk import chunks
from db.dialect import EmptyBy
from db.engine import Database, begin_write, retry, translated
from db.job_runs import SUCCEEDED, Changes, finish_run, is_succeeded
from db.vip_vehicles import (
    Staged,
    compare_vip_vehicles,
    count_repeated_vip_vehicles,
    create_vip_staging,
    replace_vip_vehicles,
    stage_vip_vehicles,
)
from jobs.failures import DuplicateVehicleError, ShrunkenListError, TakenOverError
from ocms.errors import DuplicateKeyError

NAME = "refresh-vip-vehicles"
SHOWN = 3
"""Of so many repeated vehicles an alert tells the name."""

Parts = Iterable[list[dict[str, Any]]]
Fetch = Callable[[Callable[[Parts], Staged]], Staged]
"""Hands the list of CAS, part by part, to a function; again from its beginning when CAS has failed in the middle."""

_log = structlog.get_logger(__name__)


def refresh_vip_vehicles(  # noqa: PLR0913  # what the job needs, each given once
    database: Database,
    run_id: int,
    fetch: Fetch,
    now: Callable[[], datetime],
    *,
    min_share: float,
    empty_by: EmptyBy = "truncate",
    progress: Callable[[int], None] = lambda _: None,
) -> Changes:
    """Fetch the list and replace the table with it in one transaction, in which the run is recorded as succeeded.

    A list smaller than `min_share` (0 to 1) of the old one is refused. `progress` is told how many vehicles are loaded.
    Raises RefreshError and DatabaseError; then the old list stays.
    """
    work = partial(_refresh, database, run_id, fetch, now, min_share=min_share, empty_by=empty_by, progress=progress)
    changes = retry(work, within=None)
    _log.info("vip_vehicles_refreshed", run=run_id, **changes._asdict())
    return changes


def _refresh(  # noqa: PLR0913  # the same
    database: Database,
    run_id: int,
    fetch: Fetch,
    now: Callable[[], datetime],
    *,
    min_share: float,
    empty_by: EmptyBy,
    progress: Callable[[int], None],
) -> Changes:
    with database.private() as conn:

        def stage(parts: Parts) -> Staged:
            """Load a list beside the old one, in transactions (SQL Server's) that are short however slowly it comes."""
            with conn.begin():
                staged = create_vip_staging(conn)
            count = 0
            for chunk in chunks(chain.from_iterable(parts)):
                with conn.begin():
                    count += stage_vip_vehicles(conn, staged, chunk)
                progress(count)
            return staged

        staged = fetch(stage)
        with conn.begin():
            changes = compare_vip_vehicles(conn, staged)
        _require_size(changes, min_share)
        try:
            with translated(), begin_write(conn):
                replace_vip_vehicles(conn, staged, NAME, now(), empty_by)
                open_until_now = finish_run(conn, run_id, now(), SUCCEEDED, changes=changes)
                # else it has succeeded before, when the answer to COMMIT was lost, or it is no longer ours
                if not open_until_now and not is_succeeded(conn, run_id):
                    raise TakenOverError(
                        "another process has taken this refresh over; nothing was replaced by this one"
                    )
        except DuplicateKeyError as error:  # looked for only then, since looking takes half as long as replacing
            with conn.begin():
                count, first = count_repeated_vip_vehicles(conn, staged, SHOWN)
            text = f"the list of CAS has {count} vehicles more than once: {', '.join(first)}"
            raise DuplicateVehicleError(text) from error
    return changes


def _require_size(changes: Changes, min_share: float) -> None:
    if changes.rows < changes.rows_before * min_share:
        raise ShrunkenListError(
            f"the list of CAS has {changes.rows} vehicles instead of {changes.rows_before}, less than {min_share:.0%}; "
            f"if that is right, run 'ocms jobs run {NAME} --force'"
        )
