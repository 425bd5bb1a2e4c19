"""Serve an app the way `ocms serve` does, so that every server of a measurement has the same uvicorn settings."""

import sys
from functools import partial

from starlette.types import ASGIApp  # stays an ordinary import, as in ocms
from uvicorn.importer import import_from_string

from ocms.settings import DEFAULTS, Settings
from ocms.web.server import serve


def create(factory: str, _: Settings) -> ASGIApp:
    """Return the app of a factory, which reads the settings by itself."""
    app: ASGIApp = import_from_string(factory)()
    return app


if __name__ == "__main__":
    path, port, workers = sys.argv[1:]
    serve(create(path, DEFAULTS), partial(create, path), "127.0.0.1", int(port), int(workers))
