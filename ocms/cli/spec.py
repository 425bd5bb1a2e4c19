"""``ocms spec``: the contracts."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The contracts: what OCMS offers (ocms) and what it consumes (cas).", rich_markup_mode=None)


class Name(StrEnum):
    """The contracts there are."""

    OCMS = "ocms"
    CAS = "cas"


class Format(StrEnum):
    """How a document is written."""

    YAML = "yaml"
    JSON = "json"


@app.command()
def check() -> None:
    """Validate both contracts and their examples; exit 1 when something is wrong."""
    from handlers import missing_modules
    from ocms.contract import Contract
    from ocms.spec import problems

    found = [f"{name}.yaml: {problem}" for name in Name for problem in problems(Contract.load(name))]
    found += [f"ocms.yaml: an operation has no module {module}" for module in missing_modules(Contract.load("ocms"))]
    for problem in found:
        typer.echo(problem, err=True)
    if found:
        raise typer.Exit(1)
    typer.echo("Both contracts are valid, and so are their examples.")


@app.command()
def export(
    contract: Annotated[Name, typer.Argument(help="Which contract.")] = Name.OCMS,
    form: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.YAML,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file; without it, standard output.")
    ] = None,
) -> None:
    """Write the self-contained document that partners and gateways import."""
    from ocms.contract import Contract
    from ocms.errors import OperatorError
    from ocms.spec import export as write

    document = write(Contract.load(contract), form)
    if output is None:
        typer.echo(document, nl=False)
        return
    try:
        output.write_bytes(document)
    except OSError as error:
        raise OperatorError(f"cannot write {output}: {error.strerror}") from error
