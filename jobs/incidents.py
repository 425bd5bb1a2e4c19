"""What the operators are told of a job: each reason of an incident once, and its end once.

An incident lasts from the first failure to the next success. What was told is in the record of the runs, so that every
replica and every run by hand knows, and so that what nobody took is told again. What cannot be recorded, this process
keeps in mind.
"""

import socket
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from db.dialect import job_lock
from db.engine import Database
from db.job_runs import (
    MISSED,
    Incident,
    Run,
    get_first_start,
    get_incident,
    get_last_success,
    insert_missed,
    set_alerted,
)
from jobs import failures
from ocms.errors import DatabaseError, JobRunningError

MISSED_AFTER = timedelta(hours=25)
"""A daily job that has not succeeded for so long was missed."""
GRACE = timedelta(hours=1)
"""How long the run of a due time may take before the job counts as missed, on a day of 25 hours, too."""
TELL_AGAIN_AFTER = timedelta(hours=1)
"""When no channel took an alert, it is sent again after so long."""
GUIDE = "docs/operations/vip-refresh.md"
HOST = socket.gethostname()

_log = structlog.get_logger(__name__)


class SendAlert(Protocol):
    """Sends alerts."""

    def __call__(self, title: str, text: str, *, good: bool = False) -> int:
        """Send an alert, of good news or bad; return how many channels took it."""


class Incidents:
    """Tells the operators of one job. `subject` is what the job refreshes, in words."""

    def __init__(
        self, database: Database, job: str, subject: str, send_alert: SendAlert, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._job = job
        self._subject = subject
        self._send_alert = send_alert
        self._now = now
        self._good_until: datetime | None = None
        self._quiet_until: datetime | None = None
        self._unrecorded: dict[str, datetime] = {}

    def look(self, due: datetime) -> None:
        """Record it if the job has not succeeded for too long, and tell what could not be told when it happened."""
        self._guarded(self._look, due)

    def tell(self) -> None:
        """Tell what the record has that is not told."""
        self._guarded(self._tell)

    def tell_unrecorded(self, error: Exception) -> None:
        """Tell a failure that the database could not take, once in this process."""
        reason = failures.reason_of(error)
        if reason in self._unrecorded:
            _log.info("alert_not_repeated", job=self._job, reason=reason)
        elif self._send(f"{self._subject} was not refreshed", f"{error}\n\nOn {HOST}, not in the record.", reason):
            self._unrecorded[reason] = self._now()

    def _guarded(self, work: Callable[..., None], *args: datetime) -> None:
        try:
            with job_lock(self._database, f"{self._job}.alerts"):
                work(*args)
        except JobRunningError as error:  # another process tells it
            _log.info("alerts_left_to_another", job=self._job, reason=str(error))
        except DatabaseError as error:
            _log.error("alerts_not_looked_at", job=self._job, reason=str(error))

    def _look(self, due: datetime) -> None:
        now = self._now()
        if self._good_until is None or now >= self._good_until:
            last = self._database.read(get_last_success, self._job)
            last = last or self._database.read(get_first_start, self._job)
            self._good_until = last and max(last + MISSED_AFTER, due + GRACE)
            if last and self._good_until and now >= self._good_until:
                self._miss(last, due)
        if self._quiet_until is None or now >= self._quiet_until:
            self._tell()

    def _miss(self, last: datetime, due: datetime) -> None:
        if any(run["outcome"] == MISSED for run in self._database.read(get_incident, self._job).after):
            return
        told = {"reason": failures.MISSED, "detail": missed(last)}
        self._database.write(insert_missed, self._job, self._now(), host=HOST, due=due, **told)
        _log.error("job_missed", job=self._job, detail=missed(last))

    def _tell(self) -> None:
        incident = self._database.read(get_incident, self._job)
        everything_told = True
        if success := self._recovery(incident):
            _log.info("job_recovered", job=self._job)
            everything_told &= self._tell_run(success, "is refreshed again", _counts(success))
        since = f"{incident.success['finished']:%Y-%m-%d %H:%M}" if incident.success else "the last refresh"
        for run in _untold(incident):
            what = "is out of date" if run["outcome"] == MISSED else "was not refreshed"
            text = f"{run['detail']}\n\nThe list of {since} stays in use."
            everything_told &= self._tell_run(run, what, text)
        self._quiet_until = None if everything_told else self._now() + TELL_AGAIN_AFTER

    def _recovery(self, incident: Incident) -> Run | None:
        """Return the last success if it ends an incident that was told, and is not told itself."""
        success = incident.success
        if success is None or success["alerted"]:
            return None
        mended = [reason for reason, when in self._unrecorded.items() if when <= success["finished"]]
        for reason in mended:
            del self._unrecorded[reason]
        return success if mended or any(run["alerted"] for run in incident.before) else None

    def _tell_run(self, run: Run, what: str, text: str) -> bool:
        where = f"Run {run['run_id']} on {run['host']}; 'ocms jobs show {run['run_id']}' tells more."
        told = self._send(f"{self._subject} {what}", f"{text}\n\n{where}", run["reason"])
        if told:
            self._database.write(set_alerted, run["run_id"], self._now())
        return told

    def _send(self, title: str, text: str, reason: str | None) -> bool:
        """Send an alert, of good news when there is no reason."""
        text = f"{text}\nWhat to do: {GUIDE}, under {reason}" if reason else text
        return self._send_alert(f"OCMS: {title}", text, good=reason is None) > 0


def missed(last: datetime) -> str:
    """Say that a job has not succeeded since a time."""
    return f"no refresh has succeeded for {MISSED_AFTER // timedelta(hours=1)} hours, since {last:%Y-%m-%d %H:%M}"


def _counts(run: Run) -> str:
    return f"It has {run['rows']} vehicles: {run['added']} added, {run['removed']} removed, {run['changed']} changed."


def _untold(incident: Incident) -> Iterator[Run]:
    """Return the last run of each reason that nobody was told of since the last success."""
    told = {run["reason"] for run in incident.after if run["alerted"]}
    last = {run["reason"]: run for run in incident.after}
    yield from (run for reason, run in last.items() if reason not in told)
