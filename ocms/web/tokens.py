"""Bearer tokens that a gateway forwards: JWTs, verified with the public keys that their issuer publishes."""

import ssl
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx2
import jwt
import structlog
from anyio.to_thread import run_sync

from contract.errors import UnauthorizedError, UnavailableError
from domain.errors import OperatorError
from domain.redaction import redacted
from jobs.environment import Route, public_authorities, require_usable_proxies
from ocms.settings import Settings

ALGORITHMS = ("RS256", "PS256", "ES256")
"""Asymmetric algorithms only, so that a published key cannot serve as the secret of an HMAC."""
MAX_AGE = timedelta(minutes=5)
"""The published keys are read again after this time."""
UNKNOWN_KEY_AGE = timedelta(seconds=30)
"""A token with an unknown key causes a new read if the last one is older than this, so that a new key is found soon."""
LEEWAY = 30
"""Tolerated difference in seconds between the clocks of the issuer and of this machine."""
FETCH_TIMEOUT = 5.0
"""Time limit for connecting to the issuer and for each wait for data from it, in seconds."""

_log = structlog.get_logger(__name__)


class PublishedKeys:
    """The JWK set of an issuer, from a file or a web address.

    Raises OperatorError if the environment names a proxy or a file of authorities that cannot be used.

    PyJWT's own client takes a lock for each token and refuses all tokens while the issuer cannot be reached; see
    docs/decisions/0006-safety.md.
    """

    def __init__(self, source: str, now: Callable[[], datetime], *, trust_environment: bool = True) -> None:
        self._source = source
        self._now = now
        self._trust_environment = trust_environment
        self._tls = self._context()
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._read_at: datetime | None = None
        self._reading = anyio.Lock()

    async def get(self, key_id: str | None) -> jwt.PyJWK:
        """Return the key with a `kid`. Without a `kid`, return the only key.

        Raises jwt.InvalidKeyError if there is no such key, and UnavailableError if no keys could be read yet.
        """
        if not self._keys or self._is_stale(key_id):
            async with self._reading:  # concurrent calls wait for one read
                if self._is_stale(key_id):
                    await run_sync(self.read)
        if not self._keys:
            raise UnavailableError("the keys of the token issuer cannot be read")
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        if key_id not in self._keys:
            raise jwt.InvalidKeyError("the issuer has not published the key of the token")
        return self._keys[key_id]

    def read(self) -> None:
        """Read the keys. If that fails, keep the previous ones and log the error."""
        self._read_at = self._now()
        try:
            found = jwt.PyJWKSet.from_json(self._load())
        except (
            OSError,
            httpx2.HTTPError,
            httpx2.InvalidURL,
            ValueError,
            TypeError,
            AttributeError,
            jwt.PyJWTError,
        ) as error:
            address = self._source.partition("?")[0]  # a query string may contain a secret
            _log.error("token_keys_not_readable", source=address, error=redacted(str(error)))
            return
        self._keys = {key.key_id: key for key in found.keys if key.public_key_use in (None, "sig")}

    def __len__(self) -> int:
        return len(self._keys)

    def _is_stale(self, key_id: str | None) -> bool:
        if self._read_at is None:
            return True
        age = abs(self._now() - self._read_at)  # abs: a clock that was set back must not keep old keys valid
        return age > MAX_AGE or (age > UNKNOWN_KEY_AGE and key_id not in self._keys)

    def _context(self) -> ssl.SSLContext | None:
        if "://" not in self._source:
            return None
        if self._trust_environment:
            require_usable_proxies()
        return public_authorities(trust_environment=self._trust_environment)

    def _load(self) -> str:
        if self._tls is None:
            return Path(self._source).read_text("utf-8-sig")
        route = Route(self._source)
        with httpx2.Client(verify=self._tls, timeout=FETCH_TIMEOUT, trust_env=self._trust_environment) as client:
            try:
                response = client.get(self._source, extensions={"trace": route.trace})
            except httpx2.HTTPError as error:
                raise OSError(f"{error}{route.through}") from error
        if response.status_code != httpx2.codes.OK:
            raise OSError(f"the HTTP status is {response.status_code} instead of 200{route.came_through}")
        return response.content.decode("utf-8-sig")


class TokenVerifier:
    """Verifies tokens, and maps one of their claims to a caller."""

    def __init__(self, settings: Settings, now: Callable[[], datetime]) -> None:
        self._keys = PublishedKeys(settings.token_keys, now, trust_environment=settings.trust_environment)
        self._issuer, self._audience = settings.token_issuer, settings.token_audience
        self._claim, self._max_lifetime = settings.token_claim, settings.token_max_lifetime
        self._callers = {claimed: caller for caller, claimed in settings.token_callers.items()}

    async def caller_of(self, token: str) -> str:
        """Return the caller to whom a token was issued. Raises UnauthorizedError and UnavailableError."""
        try:
            key = await self._keys.get(jwt.get_unverified_header(token).get("kid"))
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY,
                options={"require": ["exp", "iss", "aud", self._claim]},
            )
            self._require_short_life(claims)
            claimed = claims[self._claim]
        except (jwt.PyJWTError, ValueError) as error:
            # The messages of exactly these two classes, and of other libraries, can contain parts of the token.
            malformed = type(error) in (jwt.InvalidTokenError, jwt.DecodeError) or not isinstance(error, jwt.PyJWTError)
            _log.warning("token_refused", reason="the token is malformed" if malformed else str(error))
            raise UnauthorizedError from error
        if not isinstance(claimed, str) or claimed not in self._callers:
            _log.warning("token_refused", reason=f"the claim {self._claim} names no caller of OCMS_TOKEN_CALLERS")
            raise UnauthorizedError
        return self._callers[claimed]

    def _require_short_life(self, claims: dict[str, Any]) -> None:
        """Raise jwt.InvalidIssuedAtError if a token lives too long. PyJWT has checked that its times are numbers.

        The time of issue of a token without `iat` is unknown, so its remaining lifetime counts.
        """
        lifetime = int(claims["exp"]) - int(claims.get("iat", time.time()))
        if lifetime > self._max_lifetime:
            raise jwt.InvalidIssuedAtError(f"it lives for {lifetime} s, longer than OCMS_TOKEN_MAX_LIFETIME")


def create_verifier(settings: Settings, now: Callable[[], datetime]) -> TokenVerifier:
    """Return the verifier of tokens.

    Raises OperatorError if a file has no keys. Keys at a URL are read when the first token arrives, so an issuer that
    cannot be reached does not prevent the start.
    """
    if "://" not in settings.token_keys:
        keys = PublishedKeys(settings.token_keys, now)
        keys.read()
        if not keys:
            raise OperatorError(f"OCMS_TOKEN_KEYS: {settings.token_keys} is not a readable file with a JWK set")
    return TokenVerifier(settings, now)
