"""Verifying a deployment against a contract: schemathesis over HTTP, with every phase and every check."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path

from contract.document import Contract
from contract.export import export
from domain.errors import OperatorError

PHASES = "examples,coverage,fuzzing,stateful"


def verify(contract: Contract, url: str, keys: Mapping[str, str], junit: Path | None = None) -> int:
    """Run schemathesis against the deployment at a URL, and return its exit code: 0 if it conforms to the contract.

    `keys` has a key for each caller; operations of other callers are left out. The report goes to standard output and,
    as JUnit XML, to `junit`. Raises OperatorError if no operation is left, or if schemathesis is not installed.
    """
    if unknown := sorted(set(keys) - contract.callers()):
        listed = ", ".join(sorted(contract.callers()))
        raise OperatorError(f"the contract has no caller {', '.join(unknown)}, only {listed}")
    chosen = [
        operation_id
        for operation_id, operation in contract.operations.items()
        if not contract.callers_of(operation).isdisjoint(keys)
    ]
    if not chosen:
        raise OperatorError("no operation can be verified without a key: set OCMS_VERIFY_KEYS to CALLER:KEY")
    program = Path(sys.executable).with_name("schemathesis")
    if not program.exists():
        raise OperatorError("schemathesis is not installed: install the extra, pip install 'ocms-integration[verify]'")
    # schemathesis.toml refers to the key of every caller of both contracts
    everyone = Contract.load("ocms").callers() | Contract.load("cas").callers()
    variables = {f"OCMS_CONTRACT_{caller}_KEY": keys.get(caller, "none") for caller in everyone}
    with (
        tempfile.TemporaryDirectory() as folder,
        as_file(files("openapi").joinpath("schemathesis.toml")) as config,
    ):
        document = Path(folder) / "openapi.json"
        document.write_bytes(export(contract, "json"))
        reports = ["--report=junit", f"--report-junit-path={junit.absolute()}"] if junit else []
        command = [str(program), f"--config-file={config}", "run", str(document)]
        options = [f"--url={url}", "--checks=all", f"--phases={PHASES}", *reports]
        options += [f"--include-operation-id={operation_id}" for operation_id in chosen]
        return subprocess.run([*command, *options], env=os.environ | variables, cwd=folder, check=False).returncode  # noqa: S603  # the program is schemathesis
