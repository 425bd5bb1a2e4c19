"""Load a certificate and its private key from PEM files, with an error that names the faulty file."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from domain.clock import CLOCK_SKEW
from domain.errors import OperatorError

SHOWN = 16
"""The number of digits of a fingerprint that identify a certificate in logs."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The files of a certificate chain and of its key. The names of their settings begin with `prefix`."""

    prefix: str
    cert_file: str
    key_file: str | None
    password: str

    def load_into(self, context: ssl.SSLContext, now: Callable[[], datetime]) -> dict[str, str]:
        """Load the pair into a TLS context. Return the fingerprint and the last day of the certificate, as text.

        Raises OperatorError, which names the setting, the file and the fault. A certificate that has expired, or is not
        valid yet, is a fault.
        """
        asked = False

        def password() -> str:
            nonlocal asked
            asked = True
            return self.password

        try:
            context.load_cert_chain(self.cert_file, self.key_file or None, password)
        except (OSError, ValueError) as error:  # TLS errors are subclasses of these
            self._diagnose()
            raise OperatorError(f"{self._cert} cannot be used: {_reason(error)}") from None
        if self.password and not asked:
            file = self.key_file or self.cert_file
            raise OperatorError(f"{self.prefix}_KEY_PASSWORD has no effect: the key in {file} is not encrypted")
        return self._describe(now())

    def _describe(self, now: datetime) -> dict[str, str]:
        first = self._first_certificate()
        if first.not_valid_after_utc < now:
            raise OperatorError(f"{self._cert} has expired, it was valid until {first.not_valid_after_utc:%Y-%m-%d}")
        if first.not_valid_before_utc > now + CLOCK_SKEW:
            raise OperatorError(
                f"{self._cert} is not valid yet, it will be from {first.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
            )
        fingerprint = first.fingerprint(SHA256()).hex()[:SHOWN]
        return {"fingerprint": fingerprint, "expires": f"{first.not_valid_after_utc:%Y-%m-%d}"}

    def _diagnose(self) -> None:
        """Raise OperatorError for the usual faults of the files; OpenSSL does not say which file has a fault."""
        certificate = self._first_certificate()
        pem = _read(self._key, self.key_file or self.cert_file)
        if self._private_key(pem).public_key() != certificate.public_key():
            raise OperatorError(f"{self._key} is not the key of the certificate in {self.cert_file}")

    def _first_certificate(self) -> x509.Certificate:
        try:
            return x509.load_pem_x509_certificates(_read(self._cert, self.cert_file))[0]
        except ValueError:
            raise OperatorError(f"{self._cert} has no certificate in PEM form, or a damaged one") from None

    def _private_key(self, pem: bytes) -> PrivateKeyTypes:
        if b"PRIVATE KEY-----" not in pem:
            raise OperatorError(f"{self._key} has no private key in PEM form")
        is_encrypted = b"ENCRYPTED" in pem
        try:
            return load_pem_private_key(pem, self.password.encode() if is_encrypted and self.password else None)
        except TypeError:
            fault = f"is encrypted: set {self.prefix}_KEY_PASSWORD"
        except (ValueError, UnsupportedAlgorithm):
            fault = f"cannot be read: {self.prefix}_KEY_PASSWORD is wrong" if is_encrypted else "is damaged"
        raise OperatorError(f"{self._key} {fault}")

    @property
    def _cert(self) -> str:
        return f"{self.prefix}_CERT_FILE: {self.cert_file}"

    @property
    def _key(self) -> str:
        return f"{self.prefix}_KEY_FILE: {self.key_file}" if self.key_file else self._cert


def _read(name: str, file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except (OSError, ValueError) as error:
        raise OperatorError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None)
    return str(reason or error).replace("_", " ").lower()
