"""The names of the environment variables of the settings, and how misspelt ones are recognized."""

import difflib
import re
from collections.abc import Iterable

PREFIX = "OCMS_"

_OURS = re.compile(r"[^A-Z0-9]*OCMS[^A-Z0-9]")
"""The beginning of a name that can only be meant for a setting, in capitals."""
_LIKENESS = 0.9
"""The minimum similarity, a ratio of `difflib`, of a misspelt setting. Only letters and digits are compared."""
_LONG = 9
"""A setting with fewer letters and digits than this must match exactly.

CMS_PORT, for example, is similar to OCMS_PORT, but may belong to another program.
"""


def is_ours(name: str, settings: Iterable[str]) -> bool:
    """Return whether a name is meant for a setting, even if it is misspelt."""
    letters = _letters(name)
    known = [f"{PREFIX}{setting}".replace("_", "").upper() for setting in settings]
    long = [setting for setting in known if len(setting) >= _LONG]
    return bool(_OURS.match(name.upper()) or letters in known or difflib.get_close_matches(letters, long, 1, _LIKENESS))


def nearest(name: str, settings: Iterable[str]) -> str:
    """Return the variable of the setting whose name is the most similar."""
    names = [f"{PREFIX}{setting}".upper() for setting in settings]
    return difflib.get_close_matches(name.upper(), names, n=1, cutoff=0)[0]


def _letters(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", name.upper())
