"""The pages beside the operations: the published contract, and Swagger UI to read and try it."""

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router
from starlette.staticfiles import StaticFiles

from contract.document import MEDIA_TYPE, Contract

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)

PAGES = ("/openapi.json", "/docs", "/docs/docs.js", "/docs/ui")
"""The paths of the pages; files of Swagger UI are below the last one."""


def contract_pages(contract: Contract) -> Router:
    """Return the pages of a contract; any other path raises Starlette's 404."""
    document = msgspec.json.encode(contract.published())
    own = files("ocms.web").joinpath("docs")

    async def get_document(_: Request) -> Response:
        return Response(document, media_type=MEDIA_TYPE)

    async def get_page(_: Request) -> Response:
        return Response(
            own.joinpath("index.html").read_bytes(),
            media_type="text/html",
            headers={"Content-Security-Policy": POLICY},
        )

    async def get_script(_: Request) -> Response:
        return Response(own.joinpath("docs.js").read_bytes(), media_type="text/javascript")

    return Router(
        [
            *map(Route, PAGES, (get_document, get_page, get_script)),
            Mount(PAGES[-1], StaticFiles(directory=_swagger_ui())),
        ],
        redirect_slashes=False,
    )


def _swagger_ui() -> Path:
    """Return the folder of Swagger UI's files, without importing the Flask extension that carries them."""
    spec = find_spec("flask_swagger_ui")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("flask_swagger_ui")
    return Path(spec.origin).parent / "dist"
