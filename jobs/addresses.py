"""Web addresses that the HTTP client can call."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx2


def is_web_address(text: str) -> bool:
    """Return whether a text is an http or https URL with a host that the client can look up or connect to.

    The client itself accepts hosts such as `cas..test` or `<cas>`; it fails when it calls them.
    """
    try:
        parts, host = urlsplit(text), httpx2.URL(text).raw_host.decode()
        host.encode("idna")  # as the look-up does; requires labels of 1 to 63 characters
        return parts.scheme in ("http", "https") and parts.port != 0 and _is_host(host)
    except (ValueError, httpx2.InvalidURL):  # ValueError also if the port is not a number from 0 to 65535
        return False


def _is_host(text: str) -> bool:
    """Return whether a host is a name as DNS and container networks allow it, or an IP address.

    Raises ValueError if it contains a colon and is not an IPv6 address.
    """
    if ":" in text:
        ip_address(text)
        return True
    return bool(re.fullmatch(r"[A-Za-z0-9._-]+", text))
