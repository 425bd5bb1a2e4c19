"""The record of a job's runs, and the alerts about them: once per incident and once on recovery.

An incident lasts from the first failure to the next success. Whether the operators were told of it is in the record of
the runs, so that every replica and every run by hand knows; what cannot be recorded, this process keeps in mind.
"""

import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

import structlog

from db.dialect import job_lock
from db.engine import Database
from db.job_runs import (
    FAILED,
    INTERRUPTED,
    SUCCEEDED,
    close_abandoned_runs,
    finish_run,
    get_first_start,
    get_last_success,
    insert_missed,
    insert_run,
    is_missed_recorded,
    list_alerted,
    list_outcomes,
    set_alerted,
)
from jobs.failures import STOPPED, reason_of
from ocms.errors import DatabaseError, JobRunningError, OperatorError

MISSED_AFTER = timedelta(hours=25)
"""A daily job that has not succeeded for so long was missed."""
GUIDE = "docs/operations/vip-refresh.md"

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class SendAlert(Protocol):
    """Sends alerts."""

    def __call__(self, title: str, text: str, *, good: bool = False) -> int:
        """Send an alert, of good news or bad; return how many channels took it."""


def missed(last: datetime, now: datetime) -> str:
    """Return, in words, that a job has not succeeded for too long; nothing when it has."""
    hours = MISSED_AFTER // timedelta(hours=1)
    return (
        f"no refresh has succeeded for {hours} hours, since {last:%Y-%m-%d %H:%M}" if now >= last + MISSED_AFTER else ""
    )


class JobFailedError(OperatorError):
    """The job has failed for a reason that is not its own."""


class Recorder:
    """Keeps the record of one job. `subject` is what the job refreshes, in words."""

    def __init__(
        self, database: Database, job: str, subject: str, send_alert: SendAlert, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._job = job
        self._subject = subject
        self._send_alert = send_alert
        self._now = now
        self._host = socket.gethostname()
        self._settled: datetime | None = None
        self._good_until: datetime | None = None
        self._unrecorded: set[str] = set()

    def run(self, work: Callable[[int], T], *, due: datetime | None = None, again: bool = False) -> T | None:
        """Do the work of a run, whose number it is given, unless that is done; return what it returns, else None.

        A run by hand has no due time. One for a due time is done when a run that began at that time or later has
        succeeded, or has failed and is not to be tried `again`. On any failure the run is recorded as failed, it is
        logged, and the operators are told if they are not yet; OperatorError is raised. While another run goes on, here
        or on another machine, JobRunningError is raised and nothing else happens.
        """
        run_id, alerted = None, set[str]()
        try:
            if due and self._is_done(due, again=again):
                return None
            with job_lock(self._database, self._job):
                if due and self._is_done(due, again=again):  # by who held the lock meanwhile
                    return None
                alerted = self._database.read(list_alerted, self._job)
                with self._database.writing() as conn:  # once: done again, it would leave two runs
                    if abandoned := close_abandoned_runs(conn, self._job, self._now()):
                        _log.warning("abandoned_runs_closed", job=self._job, count=abandoned)
                    run_id = insert_run(conn, self._job, self._now(), host=self._host, due=due)
                result = work(run_id)
        except JobRunningError:
            raise
        except Exception as error:
            self._fail(run_id, error, alerted)
            if isinstance(error, OperatorError):
                raise
            raise JobFailedError(f"{self._subject} was not refreshed: {error}") from error
        except BaseException:
            _log.warning("job_stopped", job=self._job, run=run_id)
            self._record(run_id, INTERRUPTED, STOPPED, "told to stop; nothing was replaced")
            raise
        if alerted | self._unrecorded:
            self._recover()
        return result

    def check_missed(self, due: datetime) -> None:
        """Record and alert, once, that the job has not succeeded for `MISSED_AFTER`."""
        if self._good_until and self._now() < self._good_until:
            return
        try:
            with job_lock(self._database, f"{self._job}.watch"):
                last = self._database.read(get_last_success, self._job)
                last = last or self._database.read(get_first_start, self._job)
                self._good_until = last and last + MISSED_AFTER
                text = missed(last, self._now()) if last else ""
                if not text or self._database.read(is_missed_recorded, self._job):
                    return
                run_id = self._database.write(
                    insert_missed, self._job, self._now(), host=self._host, due=due, detail=text
                )
        except JobRunningError:  # another replica looks after it
            return
        except DatabaseError as error:
            _log.error("missed_not_checked", job=self._job, reason=str(error))
            return
        _log.error("job_missed", job=self._job, detail=text)
        self._tell(run_id, f"OCMS: {self._subject} is out of date", f"Of {self._subject}, {text}.")

    def _is_done(self, due: datetime, *, again: bool) -> bool:
        if due == self._settled:
            return True
        outcomes = self._database.read(list_outcomes, self._job, due)
        if SUCCEEDED in outcomes and self._unrecorded:
            self._recover()
        if SUCCEEDED in outcomes or (FAILED in outcomes and not again):
            self._settled = due
        return self._settled == due

    def _fail(self, run_id: int | None, error: Exception, alerted: set[str]) -> None:
        reason = reason_of(error)
        if isinstance(error, OperatorError):
            _log.error("job_failed", job=self._job, run=run_id, reason=reason, detail=str(error))
        else:
            _log.critical("job_failed", job=self._job, run=run_id, reason=reason, detail=str(error), exc_info=error)
        recorded = self._record(run_id, FAILED, reason, str(error))
        if reason in alerted | self._unrecorded:
            _log.info("alert_not_repeated", job=self._job, reason=reason)
            return
        text = f"{error}\n\nThe list of the last refresh stays in use."
        told = self._tell(run_id if recorded else None, f"OCMS: {self._subject} was not refreshed", text)
        if told and not recorded:
            self._unrecorded.add(reason)

    def _recover(self) -> None:
        _log.info("job_recovered", job=self._job)
        self._unrecorded.clear()
        self._send_alert(f"OCMS: {self._subject} is refreshed again", "The last refresh has succeeded.", good=True)

    def _tell(self, run_id: int | None, title: str, text: str) -> bool:
        where = "" if run_id is None else f"Run {run_id} on {self._host}; 'ocms jobs show {run_id}' tells more.\n"
        told = self._send_alert(title, f"{text}\n\n{where}What to do: {GUIDE}") > 0
        if told and run_id is not None:
            self._write(set_alerted, run_id, self._now())
        return told

    def _record(self, run_id: int | None, outcome: str, reason: str, detail: str) -> bool:
        return run_id is not None and self._write(
            finish_run, run_id, self._now(), outcome, reason=reason, detail=detail
        )

    def _write(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> bool:
        """Write to the record; tell whether the database took it."""
        try:
            self._database.write(work, *args, **kwargs)
        except DatabaseError as error:
            _log.critical("run_not_recorded", job=self._job, reason=str(error))
            return False
        return True
