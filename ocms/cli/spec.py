"""``ocms spec``: check and export the contracts, and verify a deployment against one."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="The contracts: the API that OCMS offers (ocms) and the API of CAS that it calls (cas).", rich_markup_mode=None
)

KEYS = "OCMS_VERIFY_KEYS"
"""The environment variable with the keys for `verify`."""


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
    junit: Annotated[Path | None, typer.Option(help="Also write a JUnit report to this file.")] = None,
) -> None:
    """Verify a deployment against a contract with thousands of calls. Exit code 0 if it conforms.

    The variable OCMS_VERIFY_KEYS has the keys, as CALLER:KEY, separated by blanks. Operations of callers
    without a key are left out. The calls have real effects, with generated data: do not use it on a production system.
    """
    import os

    from contract.document import Contract
    from contract.verify import verify as run
    from domain.errors import OperatorError

    # Not an option, since every user of a machine can read the arguments of a process.
    pairs = [pair.partition(":") for pair in os.environ.get(KEYS, "").split()]
    if not all(colon for _, colon, _ in pairs):
        raise OperatorError(f"{KEYS} must be CALLER:KEY, separated by blanks")  # a secret, so it is not repeated
    keys = {caller: secret for caller, _, secret in pairs}
    raise typer.Exit(run(Contract.load(contract), url.rstrip("/"), keys, junit))


@app.command()
def export(
    contract: Annotated[Name, typer.Argument(help="The contract.")] = Name.OCMS,
    form: Annotated[Format, typer.Option("--format", help="The format.")] = Format.YAML,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file; - or none for standard output.")
    ] = None,
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
