"""The alerts about one job: one for each reason during an incident, and one when the incident ends.

An incident lasts from the first failure to the next success. Sent alerts are recorded with the run in the database, so
replicas and runs by hand do not repeat them. An alert that no channel accepted is sent again. If the database cannot
record a failure, only this process remembers that it sent the alert; if no channel accepted it, the next failure of
the same kind sends it again.
"""

import socket
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from db.engine import Database
from db.errors import DatabaseError
from db.job_lock import job_lock
from db.job_runs import (
    MISSED,
    Incident,
    RunRow,
    get_first_start,
    get_incident,
    get_last_success,
    insert_missed,
    set_alerted,
)
from domain.clock import CLOCK_SKEW
from domain.errors import JobRunningError
from jobs import failures

MISSED_AFTER = timedelta(hours=25)
"""A daily job is out of date if its last success is older than this."""
GRACE = timedelta(hours=1)
"""A job is never out of date sooner than this after its due time, even if clocks went back and the day had 25 hours."""
RESEND_AFTER = timedelta(hours=1)
"""An alert that no channel accepted is sent again after this time."""
GUIDE = "docs/operations/vip-refresh.md"
"""The page that alerts refer to."""
HOST = socket.gethostname()
"""The name of this machine, for alerts and the record of the runs."""

_log = structlog.get_logger(__name__)


class SendAlert(Protocol):
    """Sends an alert."""

    def __call__(self, title: str, text: str, *, good: bool = False) -> int:
        """Send an alert, and return how many channels accepted it. `good` marks good news."""


class Incidents:
    """Alerts the operators about one job. `subject` names what the job refreshes, for the texts of the alerts."""

    def __init__(
        self, database: Database, job: str, subject: str, send_alert: SendAlert, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._job = job
        self._subject = subject
        self._send_alert = send_alert
        self._now = now
        self._current_until: datetime | None = None
        """The job is not out of date before this time, so the database is not queried until then."""
        self._resend_at: datetime | None = None
        """When to send the alerts again that no channel accepted."""
        self._unrecorded: dict[str, datetime] = {}
        """When this process sent an alert about a failure that the database could not record, by reason."""

    def check(self, due: datetime) -> None:
        """Record that the job is out of date, if it is, and send the alerts that are pending."""
        self._with_lock(self._check, due)

    def send_alerts(self) -> None:
        """Send the alerts about recorded runs that were not sent yet."""
        self._with_lock(self._send_alerts)

    def alert_unrecorded(self, error: Exception) -> None:
        """Send an alert about a failure that the database could not record, once for each reason in this process."""
        reason = failures.reason_of(error)
        if reason in self._unrecorded:
            _log.info("alert_not_repeated", job=self._job, reason=reason)
        elif self._send(f"{self._subject} was not refreshed", f"{error}\n\nOn {HOST}, not in the record.", reason):
            self._unrecorded[reason] = self._now()

    def _with_lock(self, work: Callable[..., None], *args: datetime) -> None:
        try:
            with job_lock(self._database, f"{self._job}.alerts"):
                work(*args)
        except JobRunningError as error:  # the process that holds the lock sends the alerts
            _log.info("alerts_left_to_another", job=self._job, reason=str(error))
        except DatabaseError as error:
            _log.error("alerts_not_checked", job=self._job, reason=str(error))

    def _check(self, due: datetime) -> None:
        now = self._now()
        if not _is_ahead(self._current_until, now, MISSED_AFTER):
            last = self._database.read(get_last_success, self._job, now)
            last = last or self._database.read(get_first_start, self._job, now)
            self._current_until = last and max(last + MISSED_AFTER, due + GRACE)
            if last and self._current_until and now >= self._current_until:
                self._record_missed(last, due)
        if not _is_ahead(self._resend_at, now, RESEND_AFTER):
            self._send_alerts()

    def _record_missed(self, last: datetime, due: datetime) -> None:
        if any(run["outcome"] == MISSED for run in self._database.read(get_incident, self._job, self._now()).after):
            return
        text = missed(last)
        self._database.write(
            insert_missed, self._job, self._now(), host=HOST, due=due, reason=failures.MISSED, detail=text
        )
        _log.error("job_missed", job=self._job, detail=text)

    def _send_alerts(self) -> None:
        now = self._now()
        self._unrecorded = {reason: min(sent, now) for reason, sent in self._unrecorded.items()}
        incident = self._database.read(get_incident, self._job, now)
        all_accepted = True
        if success := self._unannounced_recovery(incident):
            _log.info("job_recovered", job=self._job)
            if self._alert_run(success, "is refreshed again", _counts(success)):
                self._unrecorded = {
                    reason: sent for reason, sent in self._unrecorded.items() if sent > success["finished"]
                }
            else:
                all_accepted = False
        since = f"{incident.success['finished']:%Y-%m-%d %H:%M}" if incident.success else "the last refresh"
        for run in _without_alert(incident):
            what = "is out of date" if run["outcome"] == MISSED else "was not refreshed"
            text = f"{failures.without_vehicles(run['detail'])}\n\nThe list of {since} stays in use."
            all_accepted &= self._alert_run(run, what, text)
        self._resend_at = None if all_accepted else self._now() + RESEND_AFTER

    def _unannounced_recovery(self, incident: Incident) -> RunRow | None:
        """Return the last success if it ends an incident that had an alert, and has no alert itself."""
        success = incident.success
        if success is None or success["alerted"]:
            return None
        unrecorded = any(sent <= success["finished"] for sent in self._unrecorded.values())
        return success if unrecorded or any(run["alerted"] for run in incident.before) else None

    def _alert_run(self, run: RunRow, what: str, text: str) -> bool:
        run_id = run["run_id"]
        source = f"Run {run_id} on {run['host']}; 'ocms jobs show {run_id}' shows more."
        accepted = self._send(f"{self._subject} {what}", f"{text}\n\n{source}", run["reason"])
        if accepted:
            self._database.write(set_alerted, run_id, self._now())
        return accepted

    def _send(self, title: str, text: str, reason: str | None) -> bool:
        """Send an alert, and return whether any channel accepted it. An alert without a reason is good news."""
        text = f"{text}\nWhat to do: {GUIDE}, under {reason}" if reason else text
        return self._send_alert(f"OCMS: {title}", text, good=reason is None) > 0


def missed(last: datetime) -> str:
    """Return the text of the alert that a job has not succeeded since `last`."""
    return f"no refresh has succeeded for {MISSED_AFTER // timedelta(hours=1)} hours, since {last:%Y-%m-%d %H:%M}"


def in_future(run: RunRow) -> str:
    """Return the text that reports a run in the future."""
    when = max(run["started"], run["finished"] or run["started"])
    return f"run {run['run_id']} does not count, because its time is in the future, {when:%Y-%m-%d %H:%M}"


def _is_ahead(instant: datetime | None, now: datetime, most: timedelta) -> bool:
    """Return whether an instant is ahead by at most `most`. One further ahead means that the clock was set back."""
    return instant is not None and now < instant <= now + most + CLOCK_SKEW


def _counts(run: RunRow) -> str:
    return f"It has {run['rows']} vehicles: {run['added']} added, {run['removed']} removed, {run['changed']} changed."


def _without_alert(incident: Incident) -> Iterator[RunRow]:
    """Yield the last run of each reason for which no alert was sent since the last success."""
    alerted = {run["reason"] for run in incident.after if run["alerted"]}
    last = {run["reason"]: run for run in incident.after}
    yield from (run for reason, run in last.items() if reason not in alerted)
