"""The API keys of callers: kept as hashes, compared in constant time."""

import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Self


def hash_key(key: str) -> str:
    """Return the hash of a key, 64 hex digits.

    Keys made by `create_key` have 256 random bits, so a fast hash cannot be turned back.
    """
    return sha256(key.encode()).hexdigest()


def create_key() -> str:
    """Return a new random key."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that was issued to a caller, known by its hash."""

    caller: str
    hash: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read CALLER:HASH. Raises ValueError when it is not of that form."""
        match = re.fullmatch(r"([A-Z][A-Z0-9_]{0,49}):([0-9a-f]{64})", text.strip())
        if not match:
            raise ValueError("must be CALLER:HASH,CALLER:HASH as printed by 'ocms keys create CALLER'")
        return cls(*match.groups())

    def __str__(self) -> str:
        return f"{self.caller}:{self.hash}"


class KeyRing:
    """The keys of all callers."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys = tuple(keys)

    def caller_of(self, key: str) -> str | None:
        """Return the caller to whom a key belongs; None when there is no such key.

        Every hash is compared, each in constant time, so that the time taken tells nothing.
        """
        presented = hash_key(key)
        caller = None
        for known in self._keys:
            if hmac.compare_digest(known.hash, presented):
                caller = known.caller
        return caller
