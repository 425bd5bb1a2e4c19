"""Every job by its name, with what it needs taken from the settings."""

from functools import partial

from db.engine import Database
from jobs.alerts import send_alert
from jobs.cas_client import fetch_vip_vehicles
from jobs.refresh_vip_vehicles import NAME, refresh_vip_vehicles
from ocms.contract import Contract
from ocms.rules import utc_now
from ocms.settings import Settings


def _refresh_vip_vehicles(database: Database, settings: Settings, *, force: bool) -> str:
    count = refresh_vip_vehicles(
        database,
        partial(fetch_vip_vehicles, Contract.load("cas"), settings),
        partial(send_alert, settings.alert_urls),
        utc_now,
        min_share=settings.vip_min_share,
        empty_by=settings.vip_empty_by,
        force=force,
    )
    return f"The VIP list was replaced; it has {count} vehicles now."


JOBS = {NAME: _refresh_vip_vehicles}


def run_job(job: str, database: Database, settings: Settings, *, force: bool = False) -> str:
    """Run a job; return its summary in one line. Raises RefreshError when it has failed."""
    return JOBS[job](database, settings, force=force)
