"""``ocms keys``: API keys for callers."""

from datetime import datetime
from typing import Annotated

import typer

app = typer.Typer(help="The API keys of callers.", rich_markup_mode=None)


@app.command()
def create(
    caller: Annotated[str, typer.Argument(help="Who gets the key, as the contract names the caller.")],
    expires: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Its last day, in Singapore; none for ever.")
    ] = None,
) -> None:
    """Make a new key: print it once, with the hash to configure. The caller's other keys stay valid beside it."""
    from contract.document import Contract
    from domain.clock import business_date, utc_now
    from ocms.keys import ApiKey, create_key, hash_key

    caller = caller.upper()
    callers = Contract.load("ocms").callers()
    if caller not in callers:
        raise typer.BadParameter(f"the caller must be one of {', '.join(sorted(callers))}.")
    last_day = expires.date() if expires else None
    if last_day and last_day < business_date(utc_now()):
        raise typer.BadParameter("the last day is over already.")
    key = create_key()
    typer.echo(f"Key for {caller}, shown only now:    {key}")
    typer.echo(f"Add to OCMS_API_KEYS (comma separated): {ApiKey(caller, hash_key(key), last_day)}")


@app.command("list")
def list_() -> None:
    """Show the keys in OCMS_API_KEYS. Exit code 0 when each caller has one that has not expired."""
    from rich.table import Table

    from contract.document import Contract
    from domain.clock import business_date, utc_now
    from ocms.cli.tables import show_table
    from ocms.keys import EXPIRES_SOON, SHOWN
    from ocms.settings import load_settings

    keys, today = load_settings().api_keys, business_date(utc_now())
    table = Table("caller", "hash", "last day", "state")
    for key in keys:
        soon = key.expires is not None and key.expires < today + EXPIRES_SOON
        state = "expired" if key.is_expired(today) else "expires soon" if soon else "valid"
        table.add_row(key.caller, key.hash[:SHOWN], str(key.expires or "never"), state)
    show_table(table)
    usable = {key.caller for key in keys if not key.is_expired(today)}
    if missing := sorted(Contract.load("ocms").callers() - usable):
        typer.echo(f"No valid key: {', '.join(missing)}.")
        raise typer.Exit(1)


@app.command()
def check() -> None:
    """Tell whose a key is: asks for it, or reads it from standard input. Exit code 0 when it is valid."""
    import sys

    from domain.clock import business_date, utc_now
    from domain.errors import OperatorError
    from ocms.keys import SHOWN, KeyRing
    from ocms.settings import load_settings

    key = typer.prompt("Key", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline().strip()
    found = KeyRing(load_settings().api_keys).find(key)
    if found is None:
        raise OperatorError("no key in OCMS_API_KEYS is this one: make one with 'ocms keys create CALLER'")
    if found.is_expired(business_date(utc_now())):
        raise OperatorError(f"the key of {found.caller} has expired, its last day was {found.expires}")
    until = f"until {found.expires}" if found.expires else "for ever"
    typer.echo(f"The key of {found.caller}, hash {found.hash[:SHOWN]}…, valid {until}.")
