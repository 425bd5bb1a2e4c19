"""Verifying a deployment against a contract: schemathesis over HTTP, with every phase and every check."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path

from contract.document import Contract
from contract.export import export, write_file
from domain.errors import OperatorError

PHASES = "examples,coverage,fuzzing,stateful"


def verify(contract: Contract, url: str, keys: Mapping[str, str], junit: Path | None = None) -> int:
    """Run schemathesis against the deployment at a URL, and return its exit code: 0 if it conforms to the contract.

    `keys` has a key for each caller; operations of other callers are left out. The report goes to standard output and,
    as JUnit XML, to `junit`. Raises OperatorError if no operation is left, if schemathesis is not installed, or if a
    report cannot be written.
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
    if junit and not junit.parent.is_dir():
        raise OperatorError(f"cannot write {junit}: there is no directory {junit.parent}")
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
        report = Path(folder) / "report.xml"
        reports = ["--report=junit", f"--report-junit-path={report}"] if junit else []
        command = [str(program), f"--config-file={config}", "run", str(document)]
        options = [f"--url={url}", "--checks=all", f"--phases={PHASES}", *reports]
        options += [f"--include-operation-id={operation_id}" for operation_id in chosen]
        code = _run([*command, *options], os.environ | variables, folder)
        if junit and report.exists():
            write_file(junit, report.read_bytes())
        return code


def _run(command: list[str], variables: Mapping[str, str], folder: str) -> int:
    """Run a program and return its exit code.

    Its output passes through our standard output, which reports that it cannot be written. A terminal is left to the
    program, which then shows its progress.
    """
    output = None if sys.stdout.isatty() else subprocess.PIPE
    with subprocess.Popen(command, env=variables, cwd=folder, stdout=output) as process:  # noqa: S603  # schemathesis
        try:
            for line in process.stdout or ():
                sys.stdout.buffer.write(line)
        except BaseException:
            process.terminate()
            raise
    return process.returncode
