"""Serve an app the way `ocms serve` does, so that every server of a measurement has the same uvicorn settings."""

import sys

from ocms.web.server import serve

if __name__ == "__main__":
    factory, port, workers = sys.argv[1:]
    serve(factory, "127.0.0.1", int(port), int(workers))
