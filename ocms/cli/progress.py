"""How a command shows that it goes on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

LINE_EVERY = 100_000
"""Where there is no terminal, each so many are a line."""


@contextmanager
def show_progress(what: str) -> Iterator[Callable[[int], None]]:
    """Show a growing count: as a bar on a terminal, else in plain lines. Yields what is to be told the count."""
    console = Console(stderr=True)
    if not console.is_terminal:
        told = 0

        def tell(count: int) -> None:
            nonlocal told
            if count // LINE_EVERY != told // LINE_EVERY:
                typer.echo(f"{count} {what}", err=True)
            told = count

        yield tell
        return
    columns = (BarColumn(), TextColumn("{task.completed:,.0f} {task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=None)
        yield lambda count: progress.update(task, completed=count)
