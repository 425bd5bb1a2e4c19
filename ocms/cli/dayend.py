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
    """Show the ten newest dates that have a flag, and the flag of today or of the nearest window.

    Dates are those of Singapore.
    """
    from rich.table import Table

    from db.dayend import get_dayend_flag, list_dayend_flags
    from domain.clock import SINGAPORE, utc_now
    from domain.rules import in_window, is_over, nearest_dayend_date
    from ocms.cli.context import configured, opened
    from ocms.cli.tables import show_table

    settings = configured()
    now, window = utc_now(), settings.dayend_window
    nearest = nearest_dayend_date(now, window)
    with opened(settings) as database, database.reading() as conn:
        flags, flag = list_dayend_flags(conn, 10), get_dayend_flag(conn, nearest)
    table = Table("business date", "flag")
    for day, value in flags:
        table.add_row(str(day), value)
    show_table(table)
    shown = flag or "not set"
    if window is None:
        typer.echo(f"Today, {nearest}: {shown}.")
    elif in_window(now.astimezone(SINGAPORE).time(), window):
        typer.echo(f"Until {window[1]:%H:%M} the flag of {nearest} counts: {shown}.")
    else:
        state = "is over" if is_over(nearest, now, window) else "is not open yet"
        typer.echo(f"The window of {nearest} {state}; its flag: {shown}.")


@app.command("set")
def set_flag(
    flag: Annotated[str, typer.Argument(help="Y or N.")],
    date: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"], help="The date; by default today, or the day on which the nearest window begins."
        ),
    ] = None,
) -> None:
    """Set the flag of a date. Y is refused for a date in the future.

    If OCMS_DAYEND_WINDOW is set, the default is the day on which the window begins that is open, or otherwise nearest.
    It is never a day in the future.
    """
    from db.dayend import set_dayend_flag
    from domain.clock import business_date, utc_now
    from domain.errors import OperatorError
    from domain.rules import is_over, nearest_dayend_date
    from ocms.cli.context import configured, opened

    flag = flag.upper()
    if flag not in ("Y", "N"):
        raise typer.BadParameter("the flag must be Y or N.")
    settings = configured()
    now, window = utc_now(), settings.dayend_window
    nearest = nearest_dayend_date(now, window)
    chosen = date.date() if date else nearest
    if flag == "Y" and chosen > business_date(now):
        raise OperatorError(f"{chosen} is in the future: its day-end cannot have been reached")
    with opened(settings) as database, database.writing() as conn:
        set_dayend_flag(conn, chosen, flag)
    typer.echo(f"Day-end of {chosen} is {flag}.{' Its window is over.' if is_over(chosen, now, window) else ''}")
