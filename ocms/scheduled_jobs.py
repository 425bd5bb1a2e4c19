"""Every job by its name, built from the settings."""

from collections.abc import Callable
from datetime import datetime, time
from functools import partial
from zoneinfo import ZoneInfo

import structlog

from contract.document import Contract
from db.engine import Database
from db.job_runs import Changes
from domain.clock import utc_now
from domain.errors import OperatorError
from jobs.alerts import require_usable, send_alert
from jobs.cas_client import CasClient, CasOptions
from jobs.cas_tls import tls_context
from jobs.environment import require_usable_proxies
from jobs.incidents import Incidents
from jobs.recorder import Recorder
from jobs.refresh_vip_vehicles import NAME, VipRefresh
from jobs.schedule_loop import Daily
from ocms.settings import Settings

SUBJECTS = {NAME: "the VIP vehicle list"}
"""Every job, and what it refreshes."""

_log = structlog.get_logger(__name__)


class Runner:
    """Runs jobs, by hand or for a due time. Raises OperatorError if a setting is wrong."""

    def __init__(self, database: Database, settings: Settings, now: Callable[[], datetime] = utc_now) -> None:
        alert = partial(send_alert, settings.alert_urls)
        self._incidents = {job: Incidents(database, job, subject, alert, now) for job, subject in SUBJECTS.items()}
        self._recorders = {job: Recorder(database, job, self._incidents[job], now) for job in SUBJECTS}
        self._refresh = VipRefresh(database, cas_client(settings), now, settings.vip_min_share, settings.vip_empty_by)

    def run(self, job: str, *, force: bool = False, progress: Callable[[int], None] = lambda _: None) -> Changes:
        """Run a job by hand, and return what it changed. Raises OperatorError if it failed or is already running."""
        changes = self._recorders[job].run(partial(self._refresh.refresh, force=force, progress=progress))
        assert changes is not None  # noqa: S101  # only a due time can be done already
        return changes

    def run_if_due(self, job: str, due: datetime, *, again: bool) -> None:
        """Alert if a job is out of date, and run it for its due time unless that is done.

        With `again` a due time whose run failed is not done. Raises OperatorError and DatabaseError.
        """
        self._incidents[job].check(due)
        if self._recorders[job].run(self._refresh.refresh, due=due, again=again) is None:
            self._recorders[job].close_abandoned()


def schedule_of(settings: Settings) -> list[Daily]:
    """Return when each job runs. Log a warning if alerts have no channel; raise OperatorError if one is unusable."""
    if settings.alert_urls:
        require_usable(settings.alert_urls)
    else:
        _log.warning("alerts_go_nowhere", reason="OCMS_ALERT_URLS has no URL")
    return [Daily(NAME, time.fromisoformat(settings.vip_refresh_at), ZoneInfo(settings.timezone))]


def cas_client(settings: Settings) -> CasClient:
    """Return the client of CAS.

    Raises OperatorError if there is no API key, or if a certificate or a proxy cannot be used.
    """
    if settings.trust_environment:
        require_usable_proxies()
    options = CasOptions(
        url=settings.cas_url,
        api_key=settings.cas_api_key.get_secret_value(),
        connect_timeout=settings.cas_connect_timeout,
        timeout=settings.cas_timeout,
        attempts=settings.cas_attempts,
        retry_wait=settings.cas_retry_wait,
        deadline=settings.cas_deadline,
        max_bytes=settings.cas_max_bytes,
        trust_environment=settings.trust_environment,
        tls=tls_context(
            settings.cas_ca_file,
            settings.cas_client_cert_file,
            settings.cas_client_key_file,
            settings.cas_client_key_password.get_secret_value(),
            trust_environment=settings.trust_environment,
        ),
    )
    if not settings.cas_api_key.get_secret_value():
        raise OperatorError("OCMS_CAS_API_KEY is not set: set it to the key that CAS issued to OCMS")
    return CasClient(Contract.load("cas"), options)
