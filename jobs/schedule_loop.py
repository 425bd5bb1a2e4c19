"""The schedule: which job runs when, and the loop that starts them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time
from itertools import count
from typing import Protocol
from zoneinfo import ZoneInfo

import schedule
import structlog

from jobs import refresh_vip_vehicles
from jobs.due import last_due
from ocms.errors import DatabaseError, JobRunningError, OperatorError
from ocms.settings import Settings

NAP = 1.0
"""Seconds between two looks at the clock, so that a stop is heard soon."""
NAPS_TO_A_LOOK = 60
"""After so many, a run that is due is looked for whatever the scheduler says: the host may have slept, or another
replica may have died in the middle of its run."""

_log = structlog.get_logger(__name__)


class Look(Protocol):
    """Runs a job for its due time unless that is done; `again` says to try also after a failure."""

    def __call__(self, job: str, due: datetime, *, again: bool) -> object:
        """Look at a job. Raises OperatorError when it has failed."""


@dataclass(frozen=True, slots=True)
class Daily:
    """A job that runs once a day, at a time of the configured zone."""

    job: str
    at: Callable[[Settings], str]


SCHEDULE = [Daily(refresh_vip_vehicles.NAME, lambda settings: settings.vip_refresh_at)]
"""Every job that runs by the clock."""


class Loop:
    """Starts each job when it is due, on one replica. A job that fails stops nothing."""

    def __init__(self, settings: Settings, look: Look, now: Callable[[], datetime]) -> None:
        self._settings = settings
        self._look = look
        self._now = now

    def run(self, wait: Callable[[float], bool]) -> None:
        """Run until `wait`, which is given seconds, returns true. What was missed while no loop ran is made up for."""
        scheduler = self.plan()
        if not self._settings.alert_urls:
            _log.warning("alerts_go_nowhere", reason="OCMS_ALERT_URLS is empty")
        self.look_at_all(again=True)
        for naps in count(1):
            if wait(NAP):
                break
            scheduler.run_pending()
            if naps % NAPS_TO_A_LOOK == 0:
                self.look_at_all()

    def plan(self) -> schedule.Scheduler:
        """Return a scheduler that looks at each job when it is due."""
        scheduler = schedule.Scheduler()
        for daily in SCHEDULE:
            at, zone = daily.at(self._settings), self._settings.timezone
            scheduler.every().day.at(at, zone).do(self._look_at, daily)
            _log.info("scheduled", job=daily.job, at=at, zone=zone)
        return scheduler

    def look_at_all(self, *, again: bool = False) -> None:
        """Run each job whose last due time is not done."""
        for daily in SCHEDULE:
            self._look_at(daily, again=again)

    def _look_at(self, daily: Daily, *, again: bool = False) -> None:
        at = time.fromisoformat(daily.at(self._settings))
        due = last_due(self._now(), at, ZoneInfo(self._settings.timezone))
        try:
            self._look(daily.job, due, again=again)
        except JobRunningError as error:
            _log.info("job_not_started", job=daily.job, reason=str(error))
        except OperatorError:  # the record and the log have it
            pass
        except DatabaseError as error:
            _log.error("job_not_looked_at", job=daily.job, reason=str(error))
        except Exception:  # noqa: BLE001  # whatever it was, the next job still runs
            _log.exception("job_broken", job=daily.job)
