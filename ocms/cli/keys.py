"""``ocms keys``: API keys for callers."""

from typing import Annotated

import typer

app = typer.Typer(help="The API keys of callers.", rich_markup_mode=None)


@app.callback()
def group() -> None:
    """Keep `create` a command of its own, also while it is the only one."""


@app.command()
def create(caller: Annotated[str, typer.Argument(help="Who gets the key, as the contract names the caller.")]) -> None:
    """Make a new key: print it once, with the hash to configure."""
    from ocms.contract import Contract
    from ocms.keys import ApiKey, create_key, hash_key

    caller = caller.upper()
    callers = Contract.load("ocms").callers()
    if caller not in callers:
        raise typer.BadParameter(f"the caller must be one of {', '.join(sorted(callers))}.")
    key = create_key()
    typer.echo(f"Key for {caller}, shown only now:    {key}")
    typer.echo(f"Add to OCMS_API_KEYS (comma separated): {ApiKey(caller, hash_key(key))}")
