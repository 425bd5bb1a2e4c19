"""The certificate of the API."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from ocms.settings import Settings


@dataclass(frozen=True, slots=True)
class Certificate:
    """A TLS context with the certificate of the API; `shown` identifies the certificate in the log."""

    context: ssl.SSLContext
    shown: dict[str, str]

    @classmethod
    def load(cls, settings: Settings, now: Callable[[], datetime]) -> Self | None:
        """Return the certificate of the settings; None for plain HTTP. Raises OperatorError if it cannot be used."""
        if not settings.tls_cert_file:
            return None
        from jobs.key_pair import KeyPair  # noqa: PLC0415  # importing cryptography takes 0.1 s of the start

        password = settings.tls_key_password.get_secret_value()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        pair = KeyPair("OCMS_TLS", settings.tls_cert_file, settings.tls_key_file, password)
        return cls(context, pair.load_into(context, now))
