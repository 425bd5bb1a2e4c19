"""The environment variables that affect outgoing requests: the proxies and the trusted authorities."""

import os
import ssl
from typing import Any
from urllib.request import getproxies

import httpx2

from domain.errors import OperatorError
from jobs.addresses import is_web_address

REMEDY = "correct or unset it, or set OCMS_TRUST_ENVIRONMENT=false"
"""The advice in an error about a variable."""


def authorities_variable() -> str | None:
    """Return the variable that is set and replaces the public authorities, or None."""
    return next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)), None)


def client_context(ca_file: str | None = None, ca_folders: str | None = None) -> ssl.SSLContext:
    """Return a TLS context that trusts the authorities of a file or folders. Raises OSError if the file cannot be read.

    ssl.create_default_context would write the session keys to the file that SSLKEYLOGFILE names, or fail if it cannot.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and host name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(ca_file, ca_folders)
    return context


def public_authorities(*, trust_environment: bool) -> ssl.SSLContext:
    """Return a TLS context that trusts the public authorities, or those that the environment names.

    Raises OperatorError if the environment names a file or a folder that cannot be used.
    """
    name = authorities_variable() if trust_environment else None
    path = os.environ[name] if name else ""
    try:
        if name == "SSL_CERT_FILE":
            return client_context(path)
        if name == "SSL_CERT_DIR" and not any(map(os.path.isdir, path.split(os.pathsep))):
            raise NotADirectoryError(0, "No such folder")
        if name == "SSL_CERT_DIR":
            return client_context(ca_folders=path)
    except OSError as error:
        raise OperatorError(f"{name}: {path} cannot be used: {reason_of(error)}; {REMEDY}") from error
    try:
        return httpx2.create_ssl_context(trust_env=False)
    except OSError as error:
        text = "the public authorities of this system cannot be read"
        raise OperatorError(f"{text}: {reason_of(error)}; correct them, or set SSL_CERT_FILE") from error


def reason_of(error: OSError) -> str:
    """Return why a file with certificates cannot be used."""
    if isinstance(error, ssl.SSLError):
        return error.reason.replace("_", " ").lower() if error.reason else "not in PEM form, or the password is wrong"
    return str(error.strerror)


def require_usable_proxies() -> None:
    """Raise OperatorError, which names the variable but not its value, if a proxy of the environment cannot be used."""
    for scheme, address in getproxies().items():
        if scheme not in ("http", "https", "all"):
            continue
        url = address if "://" in address else f"http://{address}"
        if not is_web_address(url):
            text = "must be the address of an HTTP proxy such as http://proxy.example.gov.sg:3128"
            raise OperatorError(f"{_variable(scheme)} {text}; {REMEDY}")
        if url.lower().startswith("https:"):
            public_authorities(trust_environment=True)


class Route:
    """Finds out whether a request goes through a proxy. Pass `trace` as the HTTP client's extension of that name."""

    def __init__(self, url: str) -> None:
        target = httpx2.URL(url)
        self._scheme = target.scheme
        self._target = target.raw_host.decode(), target.port or (443 if target.scheme == "https" else 80)
        self.proxy = ""
        """A description of the proxy for error texts; empty if there is none."""

    def trace(self, event: str, info: Any) -> None:
        """Record where the client connects to."""
        if event == "connection.connect_tcp.started" and (info["host"], info["port"]) != self._target:
            variable = _variable(self._scheme if self._scheme in getproxies() else "all")
            self.proxy = f"the proxy of {variable} at {info['host']}:{info['port']}"

    @property
    def through(self) -> str:
        """Text that follows an address in an error; empty if there is no proxy."""
        return f" through {self.proxy}" if self.proxy else ""

    @property
    def came_through(self) -> str:
        """Text that follows the description of a bad response; empty if there is no proxy."""
        return f"; it came through {self.proxy}" if self.proxy else ""


def _variable(scheme: str) -> str:
    """Return the name of the variable with the proxy for a scheme. As in httpx2, one in lower case comes first."""
    names = sorted(
        (name for name in os.environ if name.lower() == f"{scheme}_proxy" and os.environ[name]), reverse=True
    )
    return names[0] if names else f"{scheme}_proxy"
