"""API 3: the daily refresh of the VIP vehicles from CAS (section 1.4)."""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import structlog

from db.engine import Database
from db.job_runs import FAILED, SUCCEEDED, finish_run, insert_run
from db.vip_vehicles import count_vip_vehicles, replace_vip_vehicles
from jobs.failures import DuplicateVehicleError, RefreshError, ShrunkenListError
from ocms.errors import DatabaseError
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
    force: bool = False,
) -> int:
    """Fetch the list and replace the table with it in one transaction; return how many vehicles it has now.

    A list smaller than `min_share` (0 to 1) of the old one is refused unless forced. On any failure the old list stays,
    the failure is logged and alerted, the run is recorded as failed, and RefreshError is raised.
    """
    run_id = None
    try:
        with database.writing() as conn:
            run_id = insert_run(conn, NAME, now())
        vehicles = fetch()
        _require_unique(vehicles)
        with database.writing() as conn:
            if not force:
                _require_size(len(vehicles), count_vip_vehicles(conn), min_share)
            count = replace_vip_vehicles(conn, vehicles, NAME, now())
            finish_run(conn, run_id, now(), SUCCEEDED, rows=count)
    except Exception as error:
        _record_failure(database, run_id, error, now())
        _tell(error, alert)
        if isinstance(error, RefreshError):
            raise
        raise RefreshError(f"the VIP list was not replaced: {error}") from error
    _log.info("vip_vehicles_refreshed", rows=count)
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
        with database.writing() as conn:
            finish_run(conn, run_id, finished, FAILED, detail=str(error))
    except DatabaseError as second:
        _log.critical("run_not_recorded", run=run_id, reason=str(second))
