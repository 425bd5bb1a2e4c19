"""Live servers with the sample data, after day-end."""

from datetime import date

import pytest

from db.dayend import set_dayend_flag
from db.sample_data import seed_notices
from ocms.app import create_app


@pytest.fixture
def sample_server(serve, make_settings, clock, database):
    with database.writing() as conn:
        seed_notices(conn, 10, lambda _: None)
        set_dayend_flag(conn, date(2026, 6, 30), "Y")
    return serve(create_app(make_settings(), clock))


@pytest.fixture
def closed_server(sample_server, serve, make_settings, clock):
    """A second server on this database whose window for updates is over."""
    return serve(create_app(make_settings(dayend_window="00:00-01:00"), clock))
