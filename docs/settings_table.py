"""Write the table of settings into README.md, from the descriptions and defaults in ocms/settings.py.

With `--check` the README is not written; the exit code is 1 if its table differs.
"""
# ruff: noqa: INP001  # a script, not a package

import ast
import inspect
import sys
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from ocms.settings import Settings

README = Path(__file__).parents[1] / "README.md"
START, END = "<!-- settings: written by `make settings` -->\n", "<!-- end of settings -->"


def main() -> None:
    """Write the table, or check it."""
    text = README.read_text()
    before, _, rest = text.partition(START)
    _, found, after = rest.partition(END)
    if not found:
        sys.exit(f"README.md has no place for the table of settings between {START.strip()} and {END}")
    new = f"{before}{START}{_table()}{END}{after}"
    if "--check" not in sys.argv[1:]:
        README.write_text(new)
    elif new != text:
        sys.exit("README.md: the table of settings is stale: run 'make settings'")


def _table() -> str:
    descriptions = _descriptions()
    rows = [
        f"| `OCMS_{name.upper()}` | {_default(field)} | {descriptions[name]} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows, ""])


def _descriptions() -> dict[str, str]:
    """Return the docstring of each setting: the string after it in the source of the class."""
    [settings] = ast.parse(inspect.getsource(Settings)).body
    assert isinstance(settings, ast.ClassDef)  # noqa: S101  # for the type checker
    descriptions = {}
    for field, following in zip(settings.body, settings.body[1:], strict=False):
        match field, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                descriptions[name] = " ".join(text.split())
    return descriptions


def _default(field: FieldInfo) -> str:
    value: Any = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bool):
        value = str(value).lower()
    if isinstance(value, float):
        value = f"{value:g}"
    return "" if value in (None, "", [], {}) else f"`{value}`"


if __name__ == "__main__":
    main()
