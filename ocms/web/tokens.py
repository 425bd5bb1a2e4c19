"""Bearer tokens that a gateway forwards: JWTs, verified with the public keys that their issuer publishes."""

import asyncio
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
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
"""Time limit for reading the keys from the issuer, in seconds."""
MAX_BYTES = 2**20
"""The maximum size of a JWK set, in bytes."""
UNUSABLE = (ValueError, TypeError, AttributeError, jwt.PyJWTError)
"""What PyJWT raises for a text that is not a JWK set."""

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
        self._reading: asyncio.Task[None] | None = None

    async def get(self, key_id: str | None) -> jwt.PyJWK:
        """Return the key with a `kid`. Without a `kid`, return the only key.

        Stale keys are read again in the background; only a token with an unknown key waits for that. Raises
        jwt.InvalidKeyError if there is no such key, and UnavailableError if no keys could be read yet.
        """
        if self._reading is None and self._is_stale(key_id):
            self._reading = asyncio.create_task(self.read())
        if self._reading and not self._find(key_id):
            await asyncio.shield(self._reading)  # a call that is cancelled must not end the read for others
        if not self._keys:
            raise UnavailableError("the keys of the token issuer cannot be read")
        if found := self._find(key_id):
            return found
        raise jwt.InvalidKeyError("the issuer has not published the key of the token")

    async def read(self) -> None:
        """Read the keys. If that fails, keep the previous ones and log the error."""
        self._read_at = self._now()
        try:
            with anyio.fail_after(FETCH_TIMEOUT):
                self._keys = parse_keys(await self._load())
        except (*UNUSABLE, OSError, httpx2.HTTPError, httpx2.InvalidURL) as error:
            address = self._source.partition("?")[0]  # a query string may contain a secret
            reason = str(error) or f"it took longer than {FETCH_TIMEOUT:g} seconds"
            _log.error("token_keys_not_readable", source=address, error=redacted(reason))
        finally:
            self._reading = None

    def __len__(self) -> int:
        return len(self._keys)

    def _find(self, key_id: str | None) -> jwt.PyJWK | None:
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    def _is_stale(self, key_id: str | None) -> bool:
        if self._read_at is None:
            return True
        age = abs(self._now() - self._read_at)  # abs: a clock that was set back must not keep old keys valid
        return age > MAX_AGE or (age > UNKNOWN_KEY_AGE and self._find(key_id) is None)

    def _context(self) -> ssl.SSLContext | None:
        if "://" not in self._source:
            return None
        if self._trust_environment:
            require_usable_proxies()
        return public_authorities(trust_environment=self._trust_environment)

    async def _load(self) -> bytes:
        if self._tls is None:
            return await run_sync(Path(self._source).read_bytes)
        route = Route(self._source)

        async def trace(event: str, info: Any) -> None:
            route.trace(event, info)

        client = httpx2.AsyncClient(verify=self._tls, timeout=FETCH_TIMEOUT, trust_env=self._trust_environment)
        try:
            async with client, client.stream("GET", self._source, extensions={"trace": trace}) as response:
                if response.status_code != httpx2.codes.OK:
                    raise OSError(f"the HTTP status is {response.status_code} instead of 200{route.came_through}")
                text = b""
                async for part in response.aiter_bytes():
                    text += part
                    if len(text) > MAX_BYTES:
                        raise OSError(f"it is larger than {MAX_BYTES} bytes{route.came_through}")
                return text
        except httpx2.HTTPError as error:
            raise OSError(f"{error}{route.through}") from error


def parse_keys(text: bytes) -> dict[str | None, jwt.PyJWK]:
    """Return the keys for signatures in a JWK set, by their `kid`. Raises one of `UNUSABLE`."""
    keys = jwt.PyJWKSet.from_json(text.decode("utf-8-sig")).keys
    found = {key.key_id: key for key in keys if key.public_key_use in (None, "sig")}
    if not found:
        raise ValueError("it has no key for signatures")
    return found


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
        keys = {}
        with suppress(*UNUSABLE, OSError):
            keys = parse_keys(Path(settings.token_keys).read_bytes())
        if not keys:
            raise OperatorError(f"OCMS_TOKEN_KEYS: {settings.token_keys} is not a readable file with a JWK set")
    return TokenVerifier(settings, now)
