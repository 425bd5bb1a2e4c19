"""Holding a deployment to a contract: schemathesis, every phase and every check, over HTTP."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path

from ocms.contract import EXTENSION, Contract
from ocms.errors import OperatorError
from ocms.spec import export

PHASES = "examples,coverage,fuzzing,stateful"


def verify(contract: Contract, url: str, keys: Mapping[str, str], junit: Path | None = None) -> int:
    """Run schemathesis against the deployment at a URL; return its exit code, 0 when all is as the contract says.

    `keys` holds a key for each caller; operations of other callers are left out. The report goes to standard output,
    and to `junit` as XML. Raises OperatorError when no operation is left.
    """
    schemes = contract.components["securitySchemes"]
    callers = {name: scheme[f"{EXTENSION}caller"] for name, scheme in schemes.items()}
    if strangers := sorted(set(keys) - set(callers.values())):
        known = ", ".join(sorted(contract.callers()))
        raise OperatorError(f"the contract knows no caller {', '.join(strangers)}, only {known}")
    chosen = [
        operation_id
        for operation_id, operation in contract.operations.items()
        if any(callers[name] in keys for requirement in contract.security(operation) for name in requirement)
    ]
    if not chosen:
        raise OperatorError("no operation can be verified without a key: give one with --key CALLER:KEY")
    everyone = Contract.load("ocms").callers() | Contract.load("cas").callers()  # the configuration names them all
    variables = {f"OCMS_CONTRACT_{caller}_KEY": keys.get(caller, "none") for caller in everyone}
    with (
        tempfile.TemporaryDirectory() as folder,
        as_file(files("openapi").joinpath("schemathesis.toml")) as config,
    ):
        document = Path(folder) / "openapi.json"
        document.write_bytes(export(contract, "json"))
        reports = ["--report=junit", f"--report-junit-path={junit.absolute()}"] if junit else []
        command = [str(Path(sys.executable).with_name("schemathesis")), f"--config-file={config}", "run", str(document)]
        options = [f"--url={url}", "--checks=all", f"--phases={PHASES}", *reports]
        options += [f"--include-operation-id={operation_id}" for operation_id in chosen]
        return subprocess.run([*command, *options], env=os.environ | variables, cwd=folder, check=False).returncode  # noqa: S603  # our own tool
