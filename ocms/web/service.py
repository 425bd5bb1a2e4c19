"""The application of a server process. SIGHUP replaces its certificate and the credentials of its callers."""

import ssl
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Any

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from domain.errors import OperatorError
from ocms.keys import ApiKey, KeyRing, require_secret
from ocms.settings import Settings, load_settings, variable
from ocms.web.certificate import Certificate
from ocms.web.security import Credentials, require_credentials

_log = structlog.get_logger(__name__)

RELOADED = [name for name in Settings.model_fields if name == "api_keys" or name.startswith(("token_", "tls_"))]
"""The settings that a reload applies. All others need a restart."""


class Service:
    """An application whose credentials and certificate can be replaced while it serves."""

    def __init__(
        self, app: ASGIApp, settings: Settings, credentials: Credentials, callers: set[str], now: Callable[[], datetime]
    ) -> None:
        self._app = app
        self.settings = settings
        self._credentials = credentials
        self._callers = callers
        self._now = now
        self._certificate = Certificate.load(settings, now)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request."""
        return self._app(scope, receive, send)

    @property
    def tls(self) -> ssl.SSLContext | None:
        """The TLS context to listen with; None for plain HTTP. Each handshake uses the newest certificate."""
        if self._certificate is None:
            return None
        self._certificate.context.sni_callback = self._use_newest
        return self._certificate.context

    def _use_newest(self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
        assert self._certificate  # noqa: S101  # a reload cannot remove it
        connection.context = self._certificate.context

    def reload(self, *, quiet: bool = False) -> bool:
        """Read the settings again, and apply those in `RELOADED`. Log what changed unless `quiet`.

        Requests in progress are not affected. If a setting or a file is invalid, log an error, change nothing and
        return False.
        """
        try:
            found = load_settings()
            new = self.settings.model_copy(update={name: getattr(found, name) for name in RELOADED})
            require_secret(new.api_keys)
            credentials = self._new_credentials(new)
            certificate = self._new_certificate(new)
        except (OperatorError, OSError, ValueError) as error:
            _log.error("not_reloaded", error=str(error))
            return False
        if not quiet:
            self._log_changes(found, new, certificate)
        self._credentials.replace(credentials)
        self.settings, self._certificate = new, certificate
        return True

    def _new_certificate(self, new: Settings) -> Certificate | None:
        certificate = Certificate.load(new, self._now)
        if (certificate is None) != (self._certificate is None):
            raise OperatorError("OCMS_TLS_CERT_FILE was set or removed: TLS begins or ends with a restart only")
        return certificate

    def _new_credentials(self, new: Settings) -> Credentials:
        """Return the new credentials. Keep a token verifier with keys from a URL if its settings are unchanged.

        A new verifier would have no keys while the issuer cannot be reached.
        """
        same = all(getattr(new, name) == getattr(self.settings, name) for name in RELOADED if name.startswith("token_"))
        credentials = create_credentials(new, self._callers, self._now)
        if same and "://" in new.token_keys:
            credentials.tokens = self._credentials.tokens
        return credentials

    def _log_changes(self, found: Settings, new: Settings, certificate: Certificate | None) -> None:
        before, after = set(self.settings.api_keys), set(new.api_keys)
        changed = [name for name in RELOADED if getattr(new, name) != getattr(self.settings, name)]
        lines: dict[str, Any] = {
            "settings": [variable(name) for name in changed],
            "keys_added": _shown(after - before),
            "keys_removed": _shown(before - after),
        }
        if certificate and self._certificate and certificate.shown != self._certificate.shown:
            lines |= {"certificate": certificate.shown, "certificate_before": self._certificate.shown}
        _log.info("reloaded", **lines)
        if other := [variable(name) for name in Settings.model_fields if getattr(found, name) != getattr(new, name)]:
            _log.warning("restart_needed", settings=other)


def create_credentials(settings: Settings, callers: set[str], now: Callable[[], datetime]) -> Credentials:
    """Return the credentials of the settings.

    Raises OperatorError if no caller could authenticate, a caller is not in `callers`, or token keys cannot be used.
    """
    tokens = None
    if settings.token_keys:
        from ocms.web.tokens import create_verifier  # noqa: PLC0415  # importing cryptography takes 0.1 s of the start

        tokens = create_verifier(settings, now)
    require_credentials(settings, callers, now)
    return Credentials(KeyRing(settings.api_keys, now), tokens)


def _shown(keys: Iterable[ApiKey]) -> list[str]:
    return sorted(key.shown() for key in keys)
