"""Checks API keys the way connexion calls it, for the security schemes of the contract."""

from collections.abc import Callable
from typing import Any

from connexion.lifecycle import ConnexionRequest
from connexion.security import NO_VALUE, ApiKeySecurityHandler

from ocms.contract import EXTENSION
from ocms.errors import ForbiddenError, UnauthorizedError
from ocms.keys import KeyRing


class CallerKeyHandler(ApiKeySecurityHandler):  # type: ignore[misc]  # connexion has no types
    """Checks the API key of a security scheme, and that it belongs to the scheme's caller."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def get_fn(self, security_scheme: dict[str, Any], required_scopes: list[str]) -> Callable[[ConnexionRequest], Any]:
        """Return the check of one security scheme."""
        del required_scopes  # an API key has none
        header, wanted = security_scheme["name"], security_scheme[f"{EXTENSION}caller"]

        def check(request: ConnexionRequest) -> Any:
            presented = request.headers.getlist(header)
            if not presented:
                return NO_VALUE
            caller = self._keys.caller_of(presented[0]) if len(presented) == 1 else None
            if caller is None:
                raise UnauthorizedError
            if caller != wanted:
                raise ForbiddenError
            request.scope["state"]["caller"] = caller
            return {"sub": caller}

        return check
