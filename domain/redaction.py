"""Removing from the error texts of libraries what the log must not show: passwords, data, and bytes of a message."""

import re

HIDDEN = "***"

_BYTES = re.compile(r"(?<!\w)(?:bytearray\()?b(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")\)?")
"""The literal of bytes, which h11 puts into its errors: a line of a request, or a part of CAS's list."""
_PASSWORD = re.compile(r"\b(pwd|password|access_?token)\s*=\s*(?:\{(?:[^}]|\}\})*\}|[^;&\n]*)", re.IGNORECASE)
"""A password in an ODBC connection string or in the options of a URL."""
_USER_INFO = re.compile(r"(?<=://)[^/\s'\"]*@")
"""User and password in a URL."""
_VALUES = re.compile(
    r"(duplicate key value is )(?:\(.*\)(?=\.)|\(.*)|(truncated value: )'.*'|(the n?varchar value )'.*'(?= to )",
    re.IGNORECASE,
)
"""Values of a row in the errors of SQL Server."""


def redacted(text: str) -> str:
    """Return the text of an error without passwords, without values of rows, and without bytes of a message."""
    text = _BYTES.sub(HIDDEN, text)
    text = _PASSWORD.sub(rf"\1={HIDDEN}", text)
    text = _USER_INFO.sub(f"{HIDDEN}@", text)
    return _VALUES.sub(lambda found: next(filter(None, found.groups())) + HIDDEN, text)
