"""The API keys of callers: kept as hashes, compared in constant time."""

import hmac
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from hashlib import pbkdf2_hmac, sha256
from typing import Self

from ocms.rules import business_date, utc_now

_SALT, _ROUNDS = b"ocms api key", 150
"""About 50 microseconds. The keys of `create_key` have 256 random bits and could not be guessed from any hash."""

EXPIRES_SOON = timedelta(days=30)
"""How long before its last day a key is worth a word."""
SHOWN = 8
"""Digits of a hash by which a key is told from others."""


def hash_key(key: str) -> str:
    """Return the hash of a key, 64 hex digits."""
    return _stretch(sha256(key.encode()).digest())


@lru_cache(maxsize=64)
def _stretch(digest: bytes) -> str:
    return pbkdf2_hmac("sha256", digest, _SALT, _ROUNDS).hex()


def create_key() -> str:
    """Return a new random key."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that was issued to a caller, known by its hash; `expires` is its last day, in Singapore."""

    caller: str
    hash: str
    expires: date | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read CALLER:HASH or CALLER:HASH:YYYY-MM-DD. Raises ValueError when it is not of that form."""
        match = re.fullmatch(r"([A-Z][A-Z0-9_]{0,49}):([0-9a-f]{64})(?::(\d{4}-\d\d-\d\d))?", text.strip())
        if not match:
            raise ValueError("must be CALLER:HASH,CALLER:HASH:YYYY-MM-DD, with hashes from 'ocms keys create CALLER'")
        caller, hashed, last_day = match.groups()
        return cls(caller, hashed, date.fromisoformat(last_day) if last_day else None)

    def is_expired(self, today: date) -> bool:
        """Tell whether its last day is over."""
        return self.expires is not None and self.expires < today

    def __str__(self) -> str:
        return f"{self.caller}:{self.hash}" + (f":{self.expires}" if self.expires else "")


class KeyRing:
    """The keys of all callers."""

    def __init__(self, keys: Iterable[ApiKey], now: Callable[[], datetime] = utc_now) -> None:
        self._keys = tuple(keys)
        self._now = now

    def find(self, key: str) -> ApiKey | None:
        """Return the key as it was issued, expired or not; None when there is no such key.

        Every hash is compared, each in constant time, so that the time taken tells nothing.
        """
        presented, found = hash_key(key), None
        for known in self._keys:
            if hmac.compare_digest(known.hash, presented):
                found = known
        return found

    def caller_of(self, key: str) -> str | None:
        """Return the caller to whom a key belongs; None when there is no such key, or when it has expired."""
        found = self.find(key)
        return None if found is None or found.is_expired(business_date(self._now())) else found.caller
