"""Check API keys and bearer tokens for the security schemes of the contract, through connexion's interface."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import structlog
from connexion.lifecycle import ConnexionRequest
from connexion.security import NO_VALUE, ApiKeySecurityHandler, BearerSecurityHandler

from contract.document import EXTENSION
from contract.errors import ForbiddenError, UnauthorizedError
from domain.clock import business_date, utc_now
from domain.errors import OperatorError
from ocms.keys import SHOWN, KeyRing
from ocms.settings import Settings
from ocms.web.request_state import request_state

if TYPE_CHECKING:
    from ocms.web.tokens import TokenVerifier  # not imported at run time: it imports cryptography

Schema = dict[str, Any]

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Credentials:
    """The keys of the callers, and the verifier of their tokens; None if tokens are not accepted."""

    keys: KeyRing
    tokens: "TokenVerifier | None" = None

    def handlers(self) -> dict[str, Callable[[], Any]]:
        """Return the handler of each type of security scheme, in connexion's form."""
        return {"apiKey": lambda: CallerKeyHandler(self), "bearer": lambda: CallerTokenHandler(self)}

    def replace(self, new: "Credentials") -> None:
        """Use the keys and the verifier of other credentials for all later requests."""
        self.keys, self.tokens = new.keys, new.tokens

    def token_in(self, request: ConnexionRequest) -> str | None:
        """Return the bearer token of a request; None if it has none, or if tokens are not accepted.

        Raises UnauthorizedError if the request has more than one.
        """
        if self.tokens is None:
            return None
        presented = [value for value in request.headers.getlist("Authorization") if value[:7].lower() == "bearer "]
        if len(presented) > 1:
            raise UnauthorizedError
        return presented[0][7:].strip() if presented else None


class CallerKeyHandler(ApiKeySecurityHandler):  # type: ignore[misc]  # connexion has no types
    """Checks that the API key of a request belongs to the caller of the security scheme."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def get_fn(self, security_scheme: Schema, required_scopes: list[str]) -> Callable[[ConnexionRequest], Any]:
        """Return the check for one security scheme."""
        del required_scopes  # API keys have no scopes
        header, caller = security_scheme["name"], security_scheme[f"{EXTENSION}caller"]

        def check(request: ConnexionRequest) -> Any:
            presented = request.headers.getlist(header)
            if not presented:
                return NO_VALUE
            state, keys = request_state(request.scope), self._credentials.keys
            state.has_key = True
            found = keys.find(presented[0]) if len(presented) == 1 else None
            if found is None:
                raise UnauthorizedError
            state.key = found.hash[:SHOWN]
            if keys.is_expired(found) or self._credentials.token_in(request) is not None:
                raise UnauthorizedError
            return _accept(request, found.caller, caller)

        return check


class CallerTokenHandler(BearerSecurityHandler):  # type: ignore[misc]  # connexion has no types
    """Checks that the bearer token of a request was issued to the caller of the security scheme."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def get_fn(
        self, security_scheme: Schema, required_scopes: list[str]
    ) -> Callable[[ConnexionRequest], Awaitable[Any]]:
        """Return the check for one security scheme."""
        del required_scopes  # the contract requires no scopes
        caller = security_scheme[f"{EXTENSION}caller"]

        async def check(request: ConnexionRequest) -> Any:
            tokens, token = self._credentials.tokens, self._credentials.token_in(request)
            # The contract lists the key scheme first, and its check has refused a request that has both.
            if tokens is None or token is None or request_state(request.scope).has_key:
                return NO_VALUE
            return _accept(request, await tokens.caller_of(token), caller)

        return check


def _accept(request: ConnexionRequest, found: str, caller: str) -> dict[str, str]:
    request_state(request.scope).caller = found
    if found != caller:
        raise ForbiddenError
    return {"sub": found}


def require_credentials(settings: Settings, callers: set[str], now: Callable[[], datetime] = utc_now) -> None:
    """Raise OperatorError unless a caller can authenticate, with a key that has not expired or with a token.

    Also raises OperatorError if a setting names a caller that is not in `callers`. Keys that have expired or
    will expire soon are logged.
    """
    today = business_date(now())
    named = {
        "OCMS_API_KEYS": {key.caller for key in settings.api_keys},
        "OCMS_TOKEN_CALLERS": {*settings.token_callers},
    }
    for name, found in named.items():
        if unknown := found - callers:
            listed = ", ".join(sorted(callers))
            raise OperatorError(f"{name} names {', '.join(sorted(unknown))}; the contract has only {listed}")
    usable = [key for key in settings.api_keys if not key.is_expired(today)]
    if not usable and not settings.token_keys:
        reason = "names only keys that have expired" if settings.api_keys else "has no key"
        raise OperatorError(f"OCMS_API_KEYS {reason}: make a key with 'ocms keys create CALLER' and set its hash")
    for key in settings.api_keys:
        if key.expires_soon(today):
            _log.warning("key_expires", caller=key.caller, hash=key.hash[:SHOWN], last_day=str(key.expires))
