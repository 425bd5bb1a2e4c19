"""API 3: the daily refresh of the VIP vehicles from CAS (section 1.4)."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any

import structlog

from db.dialect import EmptyBy, job_lock
from db.engine import Database, begin_write, retry
from db.job_runs import FAILED, SUCCEEDED, close_abandoned_runs, finish_run, insert_run
from db.vip_vehicles import count_vip_vehicles, replace_vip_vehicles, stage_vip_vehicles
from jobs.failures import DuplicateVehicleError, RefreshError, ShrunkenListError
from ocms.errors import DatabaseError, JobRunningError
from ocms.rules import repeated

NAME = "refresh-vip-vehicles"

Vehicles = Sequence[dict[str, Any]]
_log = structlog.get_logger(__name__)


def refresh_vip_vehicles(  # noqa: PLR0913  # what the job needs, each given once
    database: Database,
    fetch: Callable[[], Vehicles],
    alert: Callable[[str, str], object],
    now: Callable[[], datetime],
    *,
    min_share: float,
    empty_by: EmptyBy = "truncate",
    force: bool = False,
) -> int:
    """Fetch the list and replace the table with it in one transaction; return how many vehicles it has now.

    A list smaller than `min_share` (0 to 1) of the old one is refused unless forced. On any failure the old list stays,
    the failure is logged and alerted, the run is recorded as failed, and RefreshError is raised. While another refresh
    runs, here or on another machine, JobRunningError is raised and nothing else happens.
    """
    run_id = None
    try:
        with job_lock(database, NAME):
            with database.writing() as conn:  # once: done again, it would leave two runs
                if abandoned := close_abandoned_runs(conn, NAME, now()):
                    _log.warning("abandoned_runs_closed", count=abandoned)
                run_id = insert_run(conn, NAME, now())
            vehicles = fetch()
            _require_unique(vehicles)
            least = 0 if force else min_share
            count = retry(partial(_replace, database, run_id, vehicles, now, min_share=least, empty_by=empty_by))
    except JobRunningError:
        raise
    except Exception as error:
        _record_failure(database, run_id, error, now())
        _tell(error, alert)
        if isinstance(error, RefreshError):
            raise
        raise RefreshError(f"the VIP list was not replaced: {error}") from error
    _log.info("vip_vehicles_refreshed", rows=count)
    return count


def _replace(  # noqa: PLR0913  # the same
    database: Database,
    run_id: int,
    vehicles: Vehicles,
    now: Callable[[], datetime],
    *,
    min_share: float,
    empty_by: EmptyBy,
) -> int:
    """Load the list beside the old one, then exchange them in a short transaction."""
    with database.private() as conn:
        with conn.begin():
            staged = stage_vip_vehicles(conn, vehicles, NAME, now())
        with begin_write(conn):
            _require_size(len(vehicles), count_vip_vehicles(conn), min_share)
            count = replace_vip_vehicles(conn, staged, empty_by)
            finish_run(conn, run_id, now(), SUCCEEDED, rows=count)
    return count


def _require_unique(vehicles: Vehicles) -> None:
    if twice := repeated(vehicle["vip_vehicle"] for vehicle in vehicles):
        shown = ", ".join(islice(sorted(twice), 3))
        raise DuplicateVehicleError(f"the list of CAS has {len(twice)} vehicles more than once: {shown}")


def _require_size(new: int, old: int, min_share: float) -> None:
    if new < old * min_share:
        raise ShrunkenListError(
            f"the list of CAS has {new} vehicles instead of {old}, less than {min_share:.0%}; "
            f"if that is right, run 'ocms jobs run {NAME} --force'"
        )


def _tell(error: Exception, alert: Callable[[str, str], object]) -> None:
    if isinstance(error, RefreshError):
        _log.error("vip_refresh_failed", reason=str(error))
    else:
        _log.critical("vip_refresh_failed", reason=str(error), exc_info=error)
    alert("OCMS: the VIP vehicle list was not refreshed", f"{error}\n\nThe list of the last refresh stays in use.")


def _record_failure(database: Database, run_id: int | None, error: Exception, finished: datetime) -> None:
    if run_id is None:
        return
    try:
        database.write(finish_run, run_id, finished, FAILED, detail=str(error))
    except DatabaseError as second:
        _log.critical("run_not_recorded", run=run_id, reason=str(second))
