"""``ocms dayend``: the flag that lets CAS update court notices."""

from datetime import datetime
from typing import Annotated

import typer

app = typer.Typer(
    help="The day-end flag: CAS may update court notices only while the flag of today is Y. After midnight, in a "
    "window that began on the previous day, the flag of the previous day counts.",
    rich_markup_mode=None,
)


@app.command()
def show() -> None:
    """Show the ten newest dates that have a flag, and the flag that counts now. Dates are those of Singapore."""
    from rich.table import Table

    from db.dayend import get_dayend_flag, list_dayend_flags
    from domain.clock import business_date, utc_now
    from domain.rules import dayend_date
    from ocms.cli.context import configured, opened
    from ocms.cli.tables import show_table

    settings = configured()
    now, window = utc_now(), settings.dayend_window
    today, counting = business_date(now), dayend_date(now, window)
    with opened(settings) as database, database.reading() as conn:
        flags, flag = list_dayend_flags(conn, 10), get_dayend_flag(conn, counting)
    table = Table("business date", "flag")
    for day, value in flags:
        table.add_row(str(day), value)
    show_table(table)
    typer.echo(
        f"Today, {today}: {flag or 'not set'}."
        if counting == today or window is None
        else f"Until {window[1]:%H:%M} the flag of {counting} counts: {flag or 'not set'}."
    )


@app.command("set")
def set_flag(
    flag: Annotated[str, typer.Argument(help="Y or N.")],
    date: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The date; by default, the one whose flag counts now.")
    ] = None,
) -> None:
    """Set the flag of a date.

    After midnight, in a window that began on the previous day, the default is the previous day.
    """
    from db.dayend import set_dayend_flag
    from domain.clock import utc_now
    from domain.rules import dayend_date
    from ocms.cli.context import configured, opened

    flag = flag.upper()
    if flag not in ("Y", "N"):
        raise typer.BadParameter("the flag must be Y or N.")
    settings = configured()
    chosen = date.date() if date else dayend_date(utc_now(), settings.dayend_window)
    with opened(settings) as database, database.writing() as conn:
        set_dayend_flag(conn, chosen, flag)
    typer.echo(f"Day-end of {chosen} is {flag}.")
