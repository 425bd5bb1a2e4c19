"""The record of a job's runs: one at a time on all machines, one for each due time."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar

import structlog

from db.dialect import job_lock
from db.engine import Database
from db.job_runs import (
    FAILED,
    INTERRUPTED,
    SUCCEEDED,
    close_abandoned_runs,
    finish_run,
    has_open_runs,
    insert_run,
    list_outcomes,
)
from jobs.failures import KILLED, reason_of
from jobs.incidents import HOST, Incidents
from ocms.errors import DatabaseError, JobRunningError, OperatorError

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class JobFailedError(OperatorError):
    """The job has failed for a reason that is not its own."""


class Recorder:
    """Keeps the record of one job, and has its incidents told."""

    def __init__(self, database: Database, job: str, incidents: Incidents, now: Callable[[], datetime]) -> None:
        self._database = database
        self._job = job
        self._incidents = incidents
        self._now = now
        self._settled: datetime | None = None

    def run(self, work: Callable[[int], T], *, due: datetime | None = None, again: bool = False) -> T | None:
        """Do the work of a run, whose number it is given, unless that is done; return what it returns, else None.

        A run by hand has no due time. One for a due time is done when a run that began at that time or later has
        succeeded, or has failed and is not to be tried `again`. On any failure the run is recorded as failed, it is
        logged, and the operators are told if they are not yet; OperatorError is raised. While another run goes on, here
        or on another machine, JobRunningError is raised and nothing else happens.
        """
        run_id, recorded = None, False
        try:
            if due and self._is_done(due, again=again):
                return None
            with job_lock(self._database, self._job):
                if due and self._is_done(due, again=again):  # by who held the lock meanwhile
                    return None
                run_id = self._start(due)
                try:
                    result = work(run_id)
                except BaseException as error:
                    recorded = self._end(run_id, error)  # before another process may take the lock
                    raise
        except JobRunningError:
            raise
        except Exception as error:
            known = isinstance(error, OperatorError)
            log = _log.error if known else _log.critical
            details = {} if known else {"exc_info": error}
            log("job_failed", job=self._job, run=run_id, reason=reason_of(error), detail=str(error), **details)
            if recorded:
                self._incidents.tell()
            else:
                self._incidents.tell_unrecorded(error)
            if known:
                raise
            raise JobFailedError(f"{self._job} has failed: {error}") from error
        self._incidents.tell()
        return result

    def close_abandoned(self) -> None:
        """Close the records of runs that were killed, such as one by hand. Raises DatabaseError."""
        if self._database.read(has_open_runs, self._job):
            with suppress(JobRunningError), job_lock(self._database, self._job):
                self._database.write(self._close)

    def _is_done(self, due: datetime, *, again: bool) -> bool:
        if due != self._settled:
            outcomes = self._database.read(list_outcomes, self._job, due)
            if SUCCEEDED in outcomes or (FAILED in outcomes and not again):
                self._settled = due
        return due == self._settled

    def _start(self, due: datetime | None) -> int:
        with self._database.writing() as conn:  # once: done again, it would leave two runs
            self._close(conn)
            run_id = insert_run(conn, self._job, self._now(), host=HOST, due=due)
        _log.info("job_started", job=self._job, run=run_id, due=due and due.isoformat())
        return run_id

    def _close(self, conn: Any) -> None:
        ended = {"reason": KILLED, "detail": "the process ended in the middle of it; nothing was replaced"}
        if abandoned := close_abandoned_runs(conn, self._job, **ended):
            _log.warning("abandoned_runs_closed", job=self._job, count=abandoned)

    def _end(self, run_id: int, error: BaseException) -> bool:
        """Record how a run has ended that has not succeeded; tell whether the database took it."""
        outcome, detail = FAILED, str(error)
        if not isinstance(error, Exception):
            outcome, detail = INTERRUPTED, "told to stop; nothing was replaced"
            _log.warning("job_stopped", job=self._job, run=run_id)
        try:
            self._database.write(finish_run, run_id, self._now(), outcome, reason=reason_of(error), detail=detail)
        except DatabaseError as second:
            _log.critical("run_not_recorded", job=self._job, run=run_id, reason=str(second))
            return False
        return True
