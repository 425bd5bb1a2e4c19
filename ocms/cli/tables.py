"""How tables are shown."""

import sys

from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 200
"""Columns when the output is no terminal, so that scripts get whole values."""


def show_table(table: Table) -> None:
    """Print a table on standard output."""
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(table)
