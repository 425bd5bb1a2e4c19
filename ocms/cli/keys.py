"""``ocms keys``: API keys for callers."""

from datetime import datetime
from typing import Annotated

import typer

app = typer.Typer(help="The API keys of callers.", rich_markup_mode=None)


@app.command()
def create(
    caller: Annotated[str, typer.Argument(help="The caller who gets the key, by its name in the contract.")],
    expires: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"], help="The last day of the key, in Singapore; by default it does not expire."
        ),
    ] = None,
) -> None:
    """Create a key: print it once, with the hash to configure. Other keys of the caller stay valid."""
    from contract.document import Contract
    from domain.clock import business_date, utc_now
    from ocms.keys import ApiKey, create_key, hash_key

    caller = caller.upper()
    callers = Contract.load("ocms").callers()
    if caller not in callers:
        raise typer.BadParameter(f"the caller must be one of {', '.join(sorted(callers))}.")
    last_day = expires.date() if expires else None
    if last_day and last_day < business_date(utc_now()):
        raise typer.BadParameter("the last day is in the past.")
    key = create_key()
    typer.echo(f"Key for {caller}, shown only now:    {key}")
    typer.echo(f"Add to OCMS_API_KEYS (comma separated): {ApiKey(caller, hash_key(key), last_day)}")


@app.command("list")
def list_() -> None:
    """Show the keys in OCMS_API_KEYS. Exit code 0 if each caller has one that has not expired and is not published."""
    from rich.table import Table

    from contract.document import Contract
    from domain.clock import business_date, utc_now
    from ocms.cli.tables import show_table
    from ocms.keys import SHOWN
    from ocms.settings import load_settings

    keys, today = load_settings().api_keys, business_date(utc_now())
    table = Table("caller", "hash", "last day", "state")
    for key in keys:
        state = "expired" if key.is_expired(today) else "expires soon" if key.expires_soon(today) else "valid"
        if key.is_published():
            state = "known to all"
        table.add_row(key.caller, key.hash[:SHOWN], str(key.expires or "never"), state)
    show_table(table)
    usable = {key.caller for key in keys if not key.is_expired(today) and not key.is_published()}
    if missing := sorted(Contract.load("ocms").callers() - usable):
        typer.echo(f"No valid key: {', '.join(missing)}.")
        raise typer.Exit(1)


@app.command()
def check() -> None:
    """Show to which caller a key belongs. Prompt for it, or read it from standard input. Exit code 0 if it is valid."""
    from domain.clock import business_date, utc_now
    from domain.errors import OperatorError
    from ocms.cli.streams import read_secret
    from ocms.keys import MIN_KEY_LENGTH, SHOWN, KeyRing
    from ocms.settings import load_settings

    key = read_secret("Key")
    if len(key) < MIN_KEY_LENGTH:
        raise OperatorError("the key is too short to be safe: make one with 'ocms keys create CALLER'")
    found = KeyRing(load_settings().api_keys).find(key)
    if found is None:
        raise OperatorError(
            "OCMS_API_KEYS does not have the hash of this key: make a key with 'ocms keys create CALLER'"
        )
    if found.is_expired(business_date(utc_now())):
        raise OperatorError(f"the key of {found.caller} has expired, its last day was {found.expires}")
    until = f"until {found.expires}" if found.expires else "for ever"
    typer.echo(f"The key of {found.caller}, hash {found.hash[:SHOWN]}…, valid {until}.")
