"""``ocms spec``: the contracts."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="The contracts: the API that OCMS offers (ocms) and the API of CAS that it calls (cas).", rich_markup_mode=None
)


class Name(StrEnum):
    """The name of a contract."""

    OCMS = "ocms"
    CAS = "cas"


class Format(StrEnum):
    """The format of a document."""

    YAML = "yaml"
    JSON = "json"


@app.command()
def check() -> None:
    """Validate both contracts and their examples. Exit code 0 if both are valid."""
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
    contract: Annotated[Name, typer.Argument(help="The contract.")] = Name.OCMS,
    *,
    url: Annotated[str, typer.Option(help="The address of the deployment.")],
    key: Annotated[
        list[str] | None, typer.Option(help="CALLER:KEY; can be repeated. Operations of other callers are left out.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Also write a JUnit report to this file.")] = None,
) -> None:
    """Verify a deployment against a contract with thousands of calls. Exit code 0 if it conforms.

    The calls have real effects, with generated data: do not use it on a production system.
    """
    from contract.document import Contract
    from contract.verify import verify as run

    pairs = [pair.partition(":") for pair in key or []]
    if not all(colon for _, colon, _ in pairs):
        raise typer.BadParameter("--key must be CALLER:KEY.")  # the value is a secret, so it is not repeated
    keys = {caller: secret for caller, _, secret in pairs}
    raise typer.Exit(run(Contract.load(contract), url.rstrip("/"), keys, junit))


@app.command()
def export(
    contract: Annotated[Name, typer.Argument(help="The contract.")] = Name.OCMS,
    form: Annotated[Format, typer.Option("--format", help="The format.")] = Format.YAML,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The file; standard output by default.")] = None,
) -> None:
    """Write the self-contained document that partners and gateways import."""
    from contract.document import Contract
    from contract.export import export as document_of
    from contract.export import write_file
    from ocms.cli.streams import is_standard_output

    document = document_of(Contract.load(contract), form)
    if output is None or is_standard_output(output):
        typer.echo(document, nl=False)
    else:
        write_file(output, document)
