"""Run a job under its lock, once for each due time across all machines, and record each run in the database."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TypeVar

import structlog

from db.engine import Connection, Database
from db.errors import DatabaseError
from db.job_lock import job_lock
from db.job_runs import (
    FAILED,
    INTERRUPTED,
    SUCCEEDED,
    Changes,
    close_abandoned_runs,
    exclude_future_runs,
    finish_run,
    get_future_run,
    has_open_runs,
    insert_run,
    is_succeeded,
    list_outcomes,
)
from domain.errors import JobRunningError, OperatorError
from jobs.failures import CLOCK, KILLED, TakenOverError, detail_of, reason_of
from jobs.incidents import HOST, Incidents, in_future

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class JobFailedError(OperatorError):
    """The job failed with an unexpected error or a database error."""


class Run:
    """A run of a job. `recorded` records its start and its failure; the job itself calls `succeed`."""

    def __init__(self, database: Database, job: str, now: Callable[[], datetime]) -> None:
        self._database = database
        self._job = job
        self._now = now
        self.run_id: int | None = None
        """The number of the run; None until it has started."""
        self.failure_recorded = False

    @contextmanager
    def recorded(self, due: datetime | None) -> Iterator[None]:
        """Record the start of the run, and its failure if the block raises. `due` is None for a run by hand."""
        self._start(due)
        try:
            yield
        except BaseException as error:
            self._fail(error)
            raise

    def succeed(self, conn: Connection, changes: Changes) -> None:
        """Record success in the transaction that makes the changes, so that both are committed or neither is.

        Raises TakenOverError if another process has closed the record.
        """
        open_until_now = finish_run(conn, self._number(), self._now(), SUCCEEDED, changes=changes)
        # Closed already: we committed but lost the response (fine), or another process took over (abort).
        if not open_until_now and not is_succeeded(conn, self._number()):
            raise TakenOverError("another process has taken over this refresh; this one replaced nothing")

    def _number(self) -> int:
        assert self.run_id is not None  # noqa: S101  # the work runs inside `recorded`
        return self.run_id

    def _start(self, due: datetime | None) -> None:
        # No retry: if only the response to COMMIT was lost, a retry would record this run as killed.
        with self._database.writing() as conn:
            _close_abandoned(conn, self._job)
            self.run_id = insert_run(conn, self._job, self._now(), host=HOST, due=due)
        _log.info("job_started", job=self._job, run=self.run_id, due=due and due.isoformat())

    def _fail(self, error: BaseException) -> None:
        outcome, detail = FAILED, detail_of(error)
        if not isinstance(error, Exception):
            outcome, detail = INTERRUPTED, "stopped by a signal; nothing was replaced"
            _log.warning("job_stopped", job=self._job, run=self.run_id)
        reason = reason_of(error)
        try:
            self._database.write(finish_run, self._number(), self._now(), outcome, reason=reason, detail=detail)
        except DatabaseError as second:
            _log.critical("run_not_recorded", job=self._job, run=self.run_id, reason=str(second))
        else:
            self.failure_recorded = True


class Recorder:
    """Runs one job under its lock, records each run, and alerts the operators."""

    def __init__(self, database: Database, job: str, incidents: Incidents, now: Callable[[], datetime]) -> None:
        self._database = database
        self._job = job
        self._incidents = incidents
        self._now = now
        self._done: datetime | None = None

    def run(self, work: Callable[[Run], T], *, due: datetime | None = None, again: bool = False) -> T | None:
        """Call `work` as a run of the job, and return its result; return None if the due time is already done.

        A run by hand has no due time. A due time is done if a run that started at that time or later has succeeded,
        or has failed and `again` is false. A failure is recorded and logged, and the operators get one alert for each
        reason; an interruption is recorded and logged only.

        Raises OperatorError if the job failed, and JobRunningError, which is neither recorded nor alerted, if it is
        already running here or on another machine.
        """
        run = Run(self._database, self._job, self._now)
        try:
            if self._is_done(due, again=again):
                return None
            with job_lock(self._database, self._job):
                if self._is_done(due, again=again):  # another process may have run it since the first check
                    return None
                with run.recorded(due):
                    result = work(run)
        except JobRunningError:
            raise
        except Exception as error:
            self._report(error, run)
            if isinstance(error, OperatorError):
                raise
            raise JobFailedError(f"{self._job} has failed: {error}") from error
        self._incidents.send_alerts()
        return result

    def close_abandoned(self) -> None:
        """Close the records of runs whose process was killed. Raises DatabaseError."""
        if self._database.read(has_open_runs, self._job):
            with suppress(JobRunningError), job_lock(self._database, self._job):
                self._database.write(_close_abandoned, self._job)

    def _is_done(self, due: datetime | None, *, again: bool) -> bool:
        if due is None:
            self._exclude_future_runs()
            return False
        if due != self._done:
            self._exclude_future_runs()
            outcomes = self._database.read(list_outcomes, self._job, due, self._now())
            if SUCCEEDED in outcomes or (FAILED in outcomes and not again):
                self._done = due
        return due == self._done

    def _exclude_future_runs(self) -> None:
        """Change the records of ended runs in the future, so that they never count, and log that."""
        now = self._now()
        run = self._database.read(get_future_run, self._job, now)
        if run and (count := self._database.write(exclude_future_runs, self._job, now, reason=CLOCK)):
            _log.error("run_in_future", job=self._job, run=run["run_id"], count=count, detail=in_future(run))

    def _report(self, error: Exception, run: Run) -> None:
        expected = isinstance(error, OperatorError)
        log = _log.error if expected else _log.critical
        trace = {} if expected else {"exc_info": error}
        log("job_failed", job=self._job, run=run.run_id, reason=reason_of(error), detail=str(error), **trace)
        if run.failure_recorded:
            self._incidents.send_alerts()
        else:
            self._incidents.alert_unrecorded(error)


def _close_abandoned(conn: Connection, job: str) -> None:
    detail = "the process ended during the run; nothing was replaced"
    if count := close_abandoned_runs(conn, job, reason=KILLED, detail=detail):
        _log.warning("abandoned_runs_closed", job=job, count=count)
