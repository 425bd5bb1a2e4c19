"""Every job by its name, with what it needs taken from the settings."""

from collections.abc import Callable
from datetime import datetime
from functools import partial

from db.engine import Database
from db.job_runs import Changes
from jobs.alerts import send_alert
from jobs.cas_client import CasClient
from jobs.incidents import Incidents
from jobs.recorder import Recorder
from jobs.refresh_vip_vehicles import NAME, refresh_vip_vehicles
from ocms.contract import Contract
from ocms.rules import utc_now
from ocms.settings import Settings

SUBJECTS = {NAME: "the VIP vehicle list"}
"""Every job, and what it refreshes."""


class Runner:
    """Runs jobs, by hand or by the clock. Raises OperatorError when the settings are wrong."""

    def __init__(self, database: Database, settings: Settings, now: Callable[[], datetime] = utc_now) -> None:
        self._cas = CasClient(Contract.load("cas"), settings)
        alert = partial(send_alert, settings.alert_urls)
        self._incidents = {job: Incidents(database, job, subject, alert, now) for job, subject in SUBJECTS.items()}
        self._recorders = {job: Recorder(database, job, self._incidents[job], now) for job in SUBJECTS}
        self._refresh = partial(
            refresh_vip_vehicles,
            database,
            fetch=self._cas.fetch_vip_vehicles,
            now=now,
            min_share=settings.vip_min_share,
            empty_by=settings.vip_empty_by,
        )

    def run(self, job: str, *, force: bool = False, progress: Callable[[int], None] = lambda _: None) -> Changes:
        """Run a job by hand; return what it has changed. Raises OperatorError when it has failed or runs already."""
        forced = {"min_share": 0.0} if force else {}
        changes = self._recorders[job].run(partial(self._refresh, progress=progress, **forced))
        assert changes is not None  # noqa: S101  # a run by hand is never done before
        return changes

    def look(self, job: str, due: datetime, *, again: bool) -> None:
        """Alert if a job has not succeeded for too long, and run it for its due time unless that is done.

        `again` says to try also after a failure. Raises OperatorError and DatabaseError.
        """
        self._incidents[job].look(due)
        if self._recorders[job].run(self._refresh, due=due, again=again) is None:
            self._recorders[job].close_abandoned()
