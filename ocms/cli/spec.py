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
    from contract.document import Contract
    from contract.lint import problems
    from handlers import missing_modules

    found = [f"{name}.yaml: {problem}" for name in Name for problem in problems(Contract.load(name))]
    found += [f"ocms.yaml: an operation has no module {module}" for module in missing_modules(Contract.load("ocms"))]
    for problem in found:
        typer.echo(problem, err=True)
    if found:
        raise typer.Exit(1)
    typer.echo("Both contracts are valid, and so are their examples.")


@app.command()
def verify(
    contract: Annotated[Name, typer.Argument(help="Which contract.")] = Name.OCMS,
    *,
    url: Annotated[str, typer.Option(help="The address of the deployment.")],
    key: Annotated[
        list[str] | None, typer.Option(help="CALLER:KEY; may be repeated. Operations of other callers are left out.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write a JUnit report to this file as well.")] = None,
) -> None:
    """Hold a deployment to a contract by calling it, thousands of times; exit 0 when all is as the contract says.

    It calls every operation for real, with invented data: do not point it at a production system.
    """
    from contract.document import Contract
    from contract.verify import verify as run

    pairs = [pair.partition(":") for pair in key or []]
    if not all(colon for _, colon, _ in pairs):
        raise typer.BadParameter("--key must be CALLER:KEY.")  # without what was given, which is a secret
    keys = {caller: secret for caller, _, secret in pairs}
    raise typer.Exit(run(Contract.load(contract), url.rstrip("/"), keys, junit))


@app.command()
def export(
    contract: Annotated[Name, typer.Argument(help="Which contract.")] = Name.OCMS,
    form: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.YAML,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file; without it, standard output.")
    ] = None,
) -> None:
    """Write the self-contained document that partners and gateways import."""
    from contract.document import Contract
    from contract.export import export as write
    from domain.errors import OperatorError

    document = write(Contract.load(contract), form)
    if output is None:
        typer.echo(document, nl=False)
        return
    try:
        output.write_bytes(document)
    except OSError as error:
        raise OperatorError(f"cannot write {output}: {error.strerror}") from error
