"""The server of a measurement that is our service."""

from ocms.app import create_service
from ocms.settings import load_settings
from ocms.web.service import Service


def create_app() -> Service:
    """Return the service with the settings of the environment."""
    return create_service(load_settings())
