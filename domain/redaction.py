"""Removing passwords, values of rows and bytes of HTTP messages from the error texts of libraries, before logging."""

import re

HIDDEN = "***"

_BYTES = re.compile(r"(?<!\w)(?:bytearray\()?b(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")\)?")
"""A bytes literal. h11 puts such literals into its errors: a line of a request, or a part of a response."""
_PASSWORD = re.compile(r"\b(pwd|password|access_?token)\s*=\s*(?:\{(?:[^}]|\}\})*\}|[^;&\n]*)", re.IGNORECASE)
"""A password or an access token in an ODBC connection string or in the query of a URL."""
_USER_INFO = re.compile(r"(?<=://)[^?\s'\"]*@")
"""The user and the password in a URL."""
_VALUES = re.compile(
    r"(duplicate key value is )(?:\(.*\)(?=\.)|\(.*)|(truncated value: )'.*'|(the n?varchar value )'.*'(?= to )",
    re.IGNORECASE,
)
"""The values of a row that SQL Server puts into its error messages."""


def redacted(text: str) -> str:
    """Return the text of an error without passwords, values of rows, and bytes of HTTP messages."""
    text = _BYTES.sub(HIDDEN, text)
    text = _PASSWORD.sub(rf"\1={HIDDEN}", text)
    text = _USER_INFO.sub(f"{HIDDEN}@", text)
    return _VALUES.sub(lambda found: next(filter(None, found.groups())) + HIDDEN, text)
