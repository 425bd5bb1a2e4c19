"""Checks API keys and tokens the way connexion calls it, for the security schemes of the contract."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connexion.lifecycle import ConnexionRequest
from connexion.security import NO_VALUE, ApiKeySecurityHandler, BearerSecurityHandler

from ocms.contract import EXTENSION
from ocms.errors import ForbiddenError, UnauthorizedError
from ocms.keys import KeyRing

if TYPE_CHECKING:
    from ocms.tokens import TokenVerifier  # which imports cryptography

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What callers identify themselves by: keys, and tokens where they are accepted."""

    keys: KeyRing
    tokens: "TokenVerifier | None" = None

    def handlers(self) -> dict[str, Callable[[], Any]]:
        """Return the handler of each kind of security scheme, as connexion takes them."""
        return {"apiKey": lambda: CallerKeyHandler(self), "bearer": lambda: CallerTokenHandler(self)}

    def token_in(self, request: ConnexionRequest) -> str | None:
        """Return the bearer token of a request; None without one, or where none is accepted.

        Raises UnauthorizedError when there is more than one.
        """
        if self.tokens is None:
            return None
        presented = [value for value in request.headers.getlist("Authorization") if value[:7].lower() == "bearer "]
        if len(presented) > 1:
            raise UnauthorizedError
        return presented[0][7:].strip() if presented else None


class CallerKeyHandler(ApiKeySecurityHandler):  # type: ignore[misc]  # connexion has no types
    """Checks the API key of a security scheme, and that it belongs to the scheme's caller."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def get_fn(self, security_scheme: Schema, required_scopes: list[str]) -> Callable[[ConnexionRequest], Any]:
        """Return the check of one security scheme."""
        del required_scopes  # an API key has none
        header, wanted = security_scheme["name"], security_scheme[f"{EXTENSION}caller"]

        def check(request: ConnexionRequest) -> Any:
            presented = request.headers.getlist(header)
            if not presented:
                return NO_VALUE
            request.scope["state"]["with_key"] = True
            caller = self._credentials.keys.caller_of(presented[0]) if len(presented) == 1 else None
            if caller is None or self._credentials.token_in(request) is not None:
                raise UnauthorizedError
            return _accept(request, caller, wanted)

        return check


class CallerTokenHandler(BearerSecurityHandler):  # type: ignore[misc]  # the same
    """Checks the bearer token of a security scheme, and that it was issued to the scheme's caller."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def get_fn(
        self, security_scheme: Schema, required_scopes: list[str]
    ) -> Callable[[ConnexionRequest], Awaitable[Any]]:
        """Return the check of one security scheme."""
        del required_scopes  # the contract asks for none
        wanted = security_scheme[f"{EXTENSION}caller"]

        async def check(request: ConnexionRequest) -> Any:
            tokens, token = self._credentials.tokens, self._credentials.token_in(request)
            # with a key besides, that one's check has refused the request
            if tokens is None or token is None or "with_key" in request.scope["state"]:
                return NO_VALUE
            return _accept(request, await tokens.caller_of(token), wanted)

        return check


def _accept(request: ConnexionRequest, caller: str, wanted: str) -> dict[str, str]:
    request.scope["state"]["caller"] = caller
    if caller != wanted:
        raise ForbiddenError
    return {"sub": caller}
