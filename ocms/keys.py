"""The API keys of callers. They are stored as hashes and compared in constant time."""

import hmac
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Self

from domain.clock import business_date, utc_now
from domain.errors import OperatorError

KEY_BYTES = 32
"""The number of random bytes in a key. 256 random bits cannot be guessed from an unsalted SHA-256."""
MIN_KEY_LENGTH = len(secrets.token_urlsafe(KEY_BYTES))
"""The number of characters that `create_key` returns. `ocms keys check` refuses a shorter key."""
EXPIRES_SOON = timedelta(days=30)
"""A warning is logged from this time before the last day of a key."""
SHOWN = 8
"""The number of digits of a hash that identify a key in logs and tables."""
DEMO_KEYS = {"CAS": "demo-cas-key", "PLUS": "demo-plus-key", "OCMS": "demo-ocms-key"}
"""The keys of the demo, by the caller who uses them. They are published, so they protect nothing."""


def hash_key(key: str) -> str:
    """Return the SHA-256 of a key, 64 hex digits."""
    return sha256(key.encode()).hexdigest()


def create_key() -> str:
    """Return a new random key."""
    return secrets.token_urlsafe(KEY_BYTES)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that was issued to a caller, as its hash. `expires` is its last day in Singapore; None for no end."""

    caller: str
    hash: str
    expires: date | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse CALLER:HASH or CALLER:HASH:YYYY-MM-DD. Raises ValueError if the text has another form."""
        match = re.fullmatch(r"([A-Z][A-Z0-9_]{0,49}):([0-9a-f]{64})(?::(\d{4}-\d\d-\d\d))?", text.strip())
        if not match:
            raise ValueError("must be CALLER:HASH,CALLER:HASH:YYYY-MM-DD, with hashes from 'ocms keys create CALLER'")
        caller, hashed, last_day = match.groups()
        return cls(caller, hashed, date.fromisoformat(last_day) if last_day else None)

    def is_expired(self, today: date) -> bool:
        """Return whether the last day of the key is over."""
        return self.expires is not None and self.expires < today

    def expires_soon(self, today: date) -> bool:
        """Return whether the last day of the key is near or over."""
        return self.expires is not None and self.expires < today + EXPIRES_SOON

    def is_published(self) -> bool:
        """Return whether everybody knows the key, because it is empty or one of the demo."""
        return self.hash in map(hash_key, ["", *DEMO_KEYS.values()])

    def shown(self) -> str:
        """Return the entry with a shortened hash, for the log."""
        return str(replace(self, hash=self.hash[:SHOWN]))

    def __str__(self) -> str:
        return f"{self.caller}:{self.hash}" + (f":{self.expires}" if self.expires else "")


class KeyRing:
    """The keys of all callers."""

    def __init__(self, keys: Iterable[ApiKey], now: Callable[[], datetime] = utc_now) -> None:
        self._keys = tuple(keys)
        self._now = now

    def find(self, key: str) -> ApiKey | None:
        """Return the issued key, expired or not; None if no such key was issued.

        Every hash is compared in constant time, so the duration of a request does not depend on the key.
        """
        presented, found = hash_key(key), None
        for issued in self._keys:
            if hmac.compare_digest(issued.hash, presented):
                found = issued
        return found

    def caller_of(self, key: str) -> str | None:
        """Return the caller to whom a key was issued; None if no such key was issued, or if it has expired."""
        found = self.find(key)
        return None if found is None or self.is_expired(found) else found.caller

    def is_expired(self, key: ApiKey) -> bool:
        """Return whether the last day of a key is over."""
        return key.is_expired(business_date(self._now()))


def require_secret(keys: Iterable[ApiKey]) -> None:
    """Raise OperatorError if one of the keys is published."""
    for key in keys:
        if key.is_published():
            raise OperatorError(
                f"OCMS_API_KEYS has a key of {key.caller} that everybody knows, from the demo or an empty one: "
                f"make a key with 'ocms keys create {key.caller}'"
            )
