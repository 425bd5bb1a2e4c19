"""``ocms jobs``: run a job, loop over the schedule, look back."""

import signal
import threading
from typing import Annotated

import typer

app = typer.Typer(help="The jobs: run one now, run them by the clock, see how they went.", rich_markup_mode=None)


@app.command()
def run(
    job: Annotated[str, typer.Argument(help="The job: refresh-vip-vehicles.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Accept a list that has lost most of its vehicles.")] = False,
) -> None:
    """Run one job now. Exit code 0 only when it has done its work."""
    from jobs import runner
    from ocms.cli.context import configured, opened

    settings = configured()
    if job not in runner.JOBS:
        raise typer.BadParameter(f"the job must be one of {', '.join(runner.JOBS)}.")
    with opened(settings) as database:
        typer.echo(runner.run_job(job, database, settings, force=force))


@app.command()
def loop() -> None:
    """Run every job when it is due, until stopped by SIGINT or SIGTERM."""
    from jobs import runner, schedule_loop
    from ocms.cli.context import configured, opened

    settings = configured()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with opened(settings) as database:
        schedule_loop.run_loop(settings, lambda job: runner.run_job(job, database, settings), stop)


@app.command()
def history(limit: Annotated[int, typer.Option(min=1, help="How many runs.")] = 20) -> None:
    """Show the last runs, the newest first."""
    from rich.table import Table

    from db.job_runs import list_runs
    from ocms.cli.context import configured, opened
    from ocms.cli.tables import show_table

    with opened(configured()) as database, database.reading() as conn:
        runs = list_runs(conn, limit)
    table = Table("run", "job", "started", "finished", "outcome", "rows", "detail")
    for row in runs:
        finished = f"{row['finished']:%Y-%m-%d %H:%M:%S}" if row["finished"] else ""
        rows = "" if row["rows"] is None else str(row["rows"])
        started = f"{row['started']:%Y-%m-%d %H:%M:%S}"
        table.add_row(str(row["run_id"]), row["job"], started, finished, row["outcome"], rows, row["detail"] or "")
    show_table(table)
