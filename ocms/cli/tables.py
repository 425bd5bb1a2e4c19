"""Tables on standard output."""

import sys

from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 200
"""The width in characters if the output is not a terminal: wide enough that scripts get most values in one line."""


def show_table(table: Table) -> None:
    """Print a table on standard output."""
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(table)
