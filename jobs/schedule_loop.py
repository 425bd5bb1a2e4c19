"""The loop that starts each daily job when it is due."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from itertools import count
from typing import Protocol
from zoneinfo import ZoneInfo

import schedule
import structlog

from db.errors import DatabaseError
from domain.errors import JobRunningError, OperatorError
from jobs.due import last_due

PAUSE = 1.0
"""Seconds between two checks of the clock."""
PAUSES_PER_CHECK = 60
"""After this many pauses each job is checked, even if the scheduler starts none: the host may have been suspended at
the due time, or another replica may have died during its run."""

_log = structlog.get_logger(__name__)


class RunIfDue(Protocol):
    """Runs a job for its due time, unless a run for that time is done."""

    def __call__(self, job: str, due: datetime, *, again: bool) -> object:
        """Run a job. With `again`, a failed run does not count as done. Raises OperatorError and DatabaseError."""


@dataclass(frozen=True, slots=True)
class Daily:
    """A job that runs once a day, at a time of day in a time zone."""

    job: str
    at: time
    zone: ZoneInfo


class Loop:
    """Starts each job when it is due. The record of the runs ensures that only one replica runs it."""

    def __init__(self, jobs: Sequence[Daily], run_if_due: RunIfDue, now: Callable[[], datetime]) -> None:
        self._jobs = jobs
        self._run_if_due = run_if_due
        self._now = now

    def run(self, wait: Callable[[float], bool]) -> None:
        """Run until `wait`, which gets a number of seconds, returns true.

        The loop begins with the runs that are due and not done. Here a failed run does not count as done.
        """
        scheduler = self.plan()
        self.check_all(again=True)
        for pauses in count(1):
            if wait(PAUSE):
                break
            scheduler.run_pending()
            if pauses % PAUSES_PER_CHECK == 0:
                self.check_all()

    def plan(self) -> schedule.Scheduler:
        """Return a scheduler with every job."""
        scheduler = schedule.Scheduler()
        for daily in self._jobs:
            at, zone = f"{daily.at:%H:%M}", daily.zone.key
            scheduler.every().day.at(at, zone).do(self._check, daily)
            _log.info("scheduled", job=daily.job, at=at, zone=zone)
        return scheduler

    def check_all(self, *, again: bool = False) -> None:
        """Run each job whose last due time is not done. With `again`, a failed run does not count as done."""
        for daily in self._jobs:
            self._check(daily, again=again)

    def _check(self, daily: Daily, *, again: bool = False) -> None:
        due = last_due(self._now(), daily.at, daily.zone)
        try:
            self._run_if_due(daily.job, due, again=again)
        except JobRunningError as error:
            _log.info("job_not_started", job=daily.job, reason=str(error))
        except OperatorError:  # the recorder has logged it
            pass
        except DatabaseError as error:
            _log.error("job_not_checked", job=daily.job, reason=str(error))
        except Exception:  # noqa: BLE001  # a defect in one job must not stop the others
            _log.exception("job_broken", job=daily.job)
