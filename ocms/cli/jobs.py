"""``ocms jobs``: run a job now, run all jobs at their times, and show earlier runs."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from datetime import datetime

app = typer.Typer(help="The jobs: run one now, run all at their times, show earlier runs.", rich_markup_mode=None)


@app.command()
def run(
    job: Annotated[str, typer.Argument(help="The job: refresh-vip-vehicles.")],
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Accept a list that is much smaller than the previous one.")
    ] = False,
) -> None:
    """Run one job now. Exit code 0 only if it succeeded."""
    from ocms import scheduled_jobs
    from ocms.cli.context import configured, opened
    from ocms.cli.progress import show_progress
    from ocms.cli.stopping import stop_on_signals

    settings = configured()
    if job not in scheduled_jobs.SUBJECTS:
        raise typer.BadParameter(f"the job must be one of {', '.join(scheduled_jobs.SUBJECTS)}.")
    stop_on_signals()
    with opened(settings) as database:
        runner = scheduled_jobs.Runner(database, settings)
        with show_progress("vehicles loaded") as progress:
            changes = runner.run(job, force=force, progress=progress)
    typer.echo(f"The VIP list was replaced; it has {changes.rows} vehicles now.")
    typer.echo(f"Added: {changes.added}, removed: {changes.removed}, changed: {changes.changed}.")


@app.command()
def loop() -> None:
    """Run every job when it is due, until SIGINT or SIGTERM."""
    import threading
    from contextlib import suppress

    from domain.clock import utc_now
    from jobs.schedule_loop import Loop
    from ocms.cli.context import configured, opened
    from ocms.cli.stopping import stop_on_signals
    from ocms.scheduled_jobs import Runner, schedule_of

    settings = configured()
    stop_on_signals()
    with suppress(KeyboardInterrupt), opened(settings) as database:
        runner = Runner(database, settings)
        Loop(schedule_of(settings), runner.run_if_due, utc_now).run(threading.Event().wait)


@app.command()
def check() -> None:
    """Check, for a monitor, that each job succeeded in the last 25 hours. Exit code 0 only if all did."""
    from db.job_runs import get_future_run, get_last_success
    from domain.clock import utc_now
    from domain.errors import OperatorError
    from jobs.incidents import MISSED_AFTER, in_future, missed
    from ocms.cli.context import configured, opened
    from ocms.scheduled_jobs import SUBJECTS

    with opened(configured()) as database:
        for job in SUBJECTS:
            now = utc_now()
            last, future = database.read(get_last_success, job, now), database.read(get_future_run, job, now)
            remark = f"; {in_future(future)}" if future else ""
            if last is None or now >= last + MISSED_AFTER:
                text = missed(last) if last else "it has never succeeded"
                raise OperatorError(f"{job}: {text}{remark}; see 'ocms jobs history'")
            typer.echo(f"{job}: the last success was at {last:%Y-%m-%d %H:%M}{remark}.")


@app.command()
def history(limit: Annotated[int, typer.Option(min=1, help="The number of runs.")] = 20) -> None:
    """Show the last runs, newest first."""
    from rich.table import Table

    from db.job_runs import list_runs
    from jobs.failures import without_vehicles
    from ocms.cli.context import configured, opened
    from ocms.cli.tables import show_table

    with opened(configured()) as database, database.reading() as conn:
        runs = list_runs(conn, limit)
    table = Table("run", "started", "seconds", "outcome", "rows", "reason", "detail")
    for column in table.columns[:-1]:
        column.no_wrap = True
    for row in runs:
        known = ("" if row[name] is None else str(row[name]) for name in ("outcome", "rows", "reason"))
        detail = without_vehicles(row["detail"])
        table.add_row(str(row["run_id"]), _time(row["started"]), _seconds(row), *known, detail)
    show_table(table)


@app.command()
def show(run_id: Annotated[int, typer.Argument(metavar="RUN", help="The number of the run, from 'history'.")]) -> None:
    """Show the record of one run."""
    from datetime import datetime

    from rich.table import Table

    from db.job_runs import get_run
    from domain.errors import OperatorError
    from ocms.cli.context import configured, opened
    from ocms.cli.tables import show_table

    with opened(configured()) as database, database.reading() as conn:
        row = get_run(conn, run_id)
    if row is None:
        raise OperatorError(f"there is no run {run_id}: see 'ocms jobs history'")
    table = Table("run", str(row.pop("run_id")))
    for name, value in (row | {"seconds": _seconds(row)}).items():
        text = _time(value) if isinstance(value, datetime) else "" if value is None else str(value)
        table.add_row(name.replace("_", " "), text)
    show_table(table)


def _time(instant: "datetime") -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S}"


def _seconds(row: dict[str, Any]) -> str:
    return f"{(row['finished'] - row['started']).total_seconds():.1f}" if row["finished"] else ""
