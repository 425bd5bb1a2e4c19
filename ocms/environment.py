"""Read the variables of the settings from the environment and from a `.env` file in the current directory."""

import os
import re
from collections.abc import Container, Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import get_origin

from dotenv import dotenv_values
from dotenv.parser import Binding, Original, parse_stream
from dotenv.variables import Variable as Reference
from dotenv.variables import parse_variables
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from domain.errors import OperatorError
from ocms.setting_names import PREFIX, is_ours, nearest

FILE = Path(".env")
NOT_SETTINGS = ("OCMS_CONTRACT_", "OCMS_NIGHTLY", "OCMS_TEST_", "OCMS_VERIFY_KEYS")
"""Prefixes of variables that are not settings: the keys for `ocms spec verify`, and the options of the tests."""
QUOTED = re.compile(r"""(["']).*\1""")
"""A value in quotes. A shell removes them, `docker --env-file` does not."""

_NAME = re.compile(r"[A-Z_][A-Z0-9_]*", re.ASCII | re.IGNORECASE)
_ODD = "a variable with other characters than letters, digits and '_' in its name"
"""What an error calls a variable whose name may not be shown, since it may contain a secret."""
_ASSIGNMENT = re.compile(r"\W*(?:(?:export|set|env)\W+)?([^=]*)=", re.IGNORECASE)
_QUOTES = re.compile("[\"']")
_SEPARATORS = re.compile(r"[\s;]+|&&")
"""What separates assignments on one line of a shell."""

_LINK = re.compile(r"(tcp|udp|sctp)://.+:\d+")
_LINK_NAME = re.compile(
    r"OCMS_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)", re.ASCII
)

Variable = tuple[str, str, str]
"""Name, value, and place for error messages, such as " in line 3 of .env"; empty for the environment."""


def read_variables(settings: Mapping[str, FieldInfo]) -> dict[str, str]:
    """Return the settings that are given, as text. The environment takes precedence over `.env`.

    Raises OperatorError if `.env` cannot be read or is malformed, or if a name that begins with `OCMS_` or resembles a
    setting is not a setting. Also if a setting is given twice in one place, or if its value is empty, in quotes,
    surrounded by blanks, or not printable.
    """
    return _read(_file_variables(settings), settings) | _read(_environment_variables(), settings)


def _environment_variables() -> Iterator[Variable]:
    return ((name, value, "") for name, value in os.environ.items())


def _file_variables(settings: Mapping[str, FieldInfo]) -> Iterator[Variable]:
    text = _read_file()
    lines = [(_line_number(line.original), line) for line in parse_stream(StringIO(text))]
    names = set(os.environ)
    for number, line in lines:
        if line.error or (line.key is not None and line.value is None):
            raise OperatorError(f"line {number} of {FILE} is not NAME=value, or its quotes are not closed")
        if line.key is not None and not _NAME.fullmatch(line.key):
            raise OperatorError(
                f"the name in line {number} of {FILE} must have only the letters A to Z, digits and '_'"
            )
        if swallowed := _swallowed(line, settings):
            advice = "close its quotes, and put each setting on a line of its own"
            raise OperatorError(f"the value in line {number} of {FILE} contains the setting {swallowed}: {advice}")
        if (line.key or "").upper().startswith(PREFIX) and _refers_to_unset(names, line.value or ""):
            raise OperatorError(f"line {number} of {FILE} refers to a variable that is not set, with ${{…}}")
        names.add(line.key or "")
    values = dotenv_values(stream=StringIO(text))  # with references such as ${NAME} resolved
    return ((line.key, values[line.key] or "", f" in line {number} of {FILE}") for number, line in lines if line.key)


def _refers_to_unset(names: Container[str], value: str) -> bool:
    """Return whether a value refers to a variable that is not set. The library would replace it with an empty text."""
    references = (atom for atom in parse_variables(value) if isinstance(atom, Reference))
    return any(reference.default is None and reference.name not in names for reference in references)


def _swallowed(line: Binding, settings: Mapping[str, FieldInfo]) -> str:
    """Return a setting that is assigned inside the value of another variable, or an empty text.

    This happens if quotes are not closed, so that the value continues on the next lines; if an editor ends lines with a
    character at which the parser does not; or if a value without quotes is followed by another assignment.
    """
    text = line.original.string.strip()
    rest = text.splitlines()[1:]
    if line.value and not _QUOTES.search(text):
        rest += [word for word in _SEPARATORS.split(line.value) if word[0:1].isalpha()]
    names = [found[1] for found in map(_ASSIGNMENT.match, rest) if found]
    return next((nearest(name, settings) for name in names if is_ours(name, settings)), "")


def _line_number(original: Original) -> int:
    """Return the number of a line. The parser returns that of the first blank line before it, if there is one."""
    text = original.string
    return original.line + text[: len(text) - len(text.lstrip())].count("\n")


def _read_file() -> str:
    try:
        if not (FILE.is_file() or FILE.samefile(os.devnull)):  # a named pipe would block
            raise OperatorError(f"{FILE} cannot be read: it is not a regular file")
        text = FILE.read_text("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not FILE.is_symlink():
            return ""
        raise OperatorError(f"{FILE} cannot be read: {error.strerror}") from None
    if "\0" in text:  # UTF-16 without a BOM is often valid UTF-8 with null characters
        raise OperatorError(f"{FILE} is not in UTF-8: save it in this encoding")
    return text


def _read(variables: Iterator[Variable], settings: Mapping[str, FieldInfo]) -> dict[str, str]:
    found: dict[str, str] = {}
    for given, value, place in variables:
        name = given.upper()
        if name.startswith(NOT_SETTINGS) or _is_service_link(name, value) or not is_ours(name, settings):
            continue
        setting = name.removeprefix(PREFIX).lower()
        if not name.startswith(PREFIX) or setting not in settings:
            shown = given if re.fullmatch(r"\w+", given, re.ASCII) else _ODD
            raise OperatorError(f"{shown}{place} is not a setting; the nearest setting is {nearest(name, settings)}")
        if setting in found:
            raise OperatorError(f"{name}{place} is set twice; remove one of the two")
        if fault := _fault(value, settings[setting]):
            raise OperatorError(f"{name}{place} {fault}")
        found[setting] = value
    return found


def _is_service_link(name: str, value: str) -> bool:
    """Return whether Kubernetes has set a variable for a Service whose name begins with `ocms`."""
    return bool(_LINK_NAME.fullmatch(name) or (name.endswith("_PORT") and _LINK.fullmatch(value)))


def _fault(value: str, setting: FieldInfo) -> str:
    """Return what is wrong with the text of a setting, or an empty text. A secret may contain any character."""
    if not value.strip():
        return "is empty; remove it, or give it a value"
    if setting.annotation is SecretStr:
        return ""
    if get_origin(setting.annotation) in (list, dict):
        value = " ".join(value.split())  # blanks and line breaks may surround the items
    if value != value.strip() or not value.isprintable():
        return "has a blank at its start or end, or a character that cannot be printed; remove it"
    return "is in quotes, which would be part of the value; remove them" if QUOTED.fullmatch(value) else ""
