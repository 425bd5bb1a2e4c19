"""``ocms db``: migrate and check the database, and insert sample data."""

from typing import Annotated

import typer

from ocms.mock_cas.vehicles import DEFAULT_COUNT

app = typer.Typer(help="The database: its schema, and sample data.", rich_markup_mode=None)


@app.command()
def upgrade(
    *,
    sql: Annotated[bool, typer.Option("--sql", help="Write T-SQL for a DBA instead of connecting.")] = False,
    since: Annotated[str, typer.Option(help="With --sql: the current schema revision of the database.")] = "base",
) -> None:
    """Migrate the database to the newest schema."""
    from db import migration
    from ocms.cli.context import configured
    from ocms.database import open_database

    if sql:
        typer.echo(migration.upgrade_script(since), nl=False)
        return
    database = open_database(configured())
    typer.echo(f"The schema is at revision {migration.upgrade(database)}.")


@app.command()
def seed(
    notices: Annotated[int, typer.Option(min=0, help="The number of notices.")] = 1000,
    vehicles: Annotated[
        int, typer.Option(min=0, help="The number of VIP vehicles; 0 leaves the list unchanged.")
    ] = DEFAULT_COUNT,
) -> None:
    """Fill an empty database with sample data. Every run inserts the same data."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from db import sample_data
    from db.vip_vehicles import count_vip_vehicles
    from domain.errors import OperatorError
    from ocms.cli.context import configured, opened
    from ocms.mock_cas.vehicles import vehicles as sample_vehicles

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    settings = configured()
    with opened(settings) as database, database.writing() as conn:
        if (notices and sample_data.has_notices(conn)) or (vehicles and count_vip_vehicles(conn)):
            raise OperatorError("the database already has data; sample data needs an empty database")
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task("notices", total=notices)
            sample_data.seed_notices(conn, notices, lambda done: progress.advance(task, done))
            if vehicles:
                sample_data.seed_vehicles(conn, sample_vehicles(vehicles), settings.vip_empty_by)
    typer.echo(f"Inserted {notices} notices and {vehicles} VIP vehicles.")


@app.command()
def check() -> None:
    """Compare the database with what the service needs, and print the differences. Exit code 0 if there are none."""
    from db.check import list_differences
    from db.schema import require_file
    from ocms.cli.context import configured
    from ocms.database import open_database

    settings = configured()
    database = open_database(settings)
    require_file(database)
    differences = list_differences(database, settings.vip_empty_by)
    for difference in differences:
        typer.echo(difference)
    if differences:
        raise typer.Exit(1)
    typer.echo(f"{database} has everything that the service needs.")
