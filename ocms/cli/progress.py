"""Show the progress of a long command."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ocms.log_writer import standard_error

LINE_EVERY = 100_000
"""Without a terminal, a line is written each time the count reaches or passes a multiple of this number."""


@contextmanager
def show_progress(what: str) -> Iterator[Callable[[int], None]]:
    """Show a growing count, as a bar on a terminal and as lines otherwise. Yield the function that takes the count."""
    console = Console(stderr=True)
    if not console.is_terminal:
        last = 0

        def show(count: int) -> None:
            nonlocal last
            if count // LINE_EVERY != last // LINE_EVERY:
                standard_error().write(f"{count} {what}\n")
            last = count

        yield show
        return
    columns = (BarColumn(), TextColumn("{task.completed:,.0f} {task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=None)
        yield lambda count: progress.update(task, completed=count)
