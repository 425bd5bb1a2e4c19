"""CORS: which web pages may call the API from a browser."""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from contract.errors import InvalidRequestError
from ocms.web.envelope import CORRELATION_HEADER
from ocms.web.request_state import request_state


class Cors(CORSMiddleware):
    """Allows calls by web pages of `origins`. A preflight that is refused gets the usual error body."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        super().__init__(app, origins, ["POST"], ["*"], expose_headers=[CORRELATION_HEADER])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            headers = Headers(scope=scope)
            if "origin" in headers and "access-control-request-method" in headers:
                response = self.preflight_response(headers)
                if response.status_code != 200:  # noqa: PLR2004  # the status of a preflight that is allowed
                    request_state(scope).refusal = InvalidRequestError(bytes(response.body).decode())
                    await self.simple_response(scope, receive, send, request_headers=headers)
                    return
        await super().__call__(scope, receive, send)
