"""The schedule: which job runs when, and the loop that starts them."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import schedule
import structlog

from jobs import refresh_vip_vehicles
from ocms.errors import JobRunningError
from ocms.settings import Settings

LONGEST_NAP = 1.0
"""Seconds between two looks at the clock, so that a stop is heard soon."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Daily:
    """A job that runs once a day, at a time of the configured zone."""

    job: str
    at: Callable[[Settings], str]


SCHEDULE = [Daily(refresh_vip_vehicles.NAME, lambda settings: settings.vip_refresh_at)]
"""Every job that runs by the clock."""


def plan(settings: Settings, run: Callable[[str], object]) -> schedule.Scheduler:
    """Return a scheduler that calls `run` with the name of each job when it is due."""
    scheduler = schedule.Scheduler()
    for daily in SCHEDULE:
        scheduler.every().day.at(daily.at(settings), settings.timezone).do(_survive, run, daily.job)
    return scheduler


def run_loop(settings: Settings, run: Callable[[str], object], stop: threading.Event) -> None:
    """Run each job when it is due, until `stop` is set. A job that fails stops nothing."""
    scheduler = plan(settings, run)
    for job in scheduler.get_jobs():
        _log.info("scheduled", job=job.job_func.args[1], at=job.at_time.isoformat(), zone=settings.timezone)  # type: ignore[union-attr]  # `do` and `at` have set both
    while not stop.wait(LONGEST_NAP):
        scheduler.run_pending()


def _survive(run: Callable[[str], object], job: str) -> None:
    try:
        run(job)
    except JobRunningError as error:
        _log.info("job_not_started", job=job, reason=str(error))
    except Exception:  # noqa: BLE001  # whatever it was, the next job still runs
        _log.exception("job_failed", job=job)
