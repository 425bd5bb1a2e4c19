"""The linter's own rules fire, and what they cannot see holds: the contracts can be imported by a gateway."""

import json
import os
import subprocess
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from openapi_spec_validator import OpenAPIV30SpecValidator

from contract.document import Contract
from contract.export import export

ROOT = Path(__file__).parents[2]
TOOL = {**os.environ, "REDOCLY_TELEMETRY": "off"}
PATH, OPERATION = "/v1/getPaymentStatus", "getPaymentStatus"


def operation(document):
    return document["paths"][PATH]["post"]


def copy_operation(document, operation_id):
    document["paths"]["/v1/other"] = {"post": deepcopy(operation(document)) | {"operationId": operation_id}}


BREAKS = {
    "gateway-version": lambda d: d.update(openapi="3.0.2"),
    "gateway-first-server-https": lambda d: d["servers"][0].update(url="http://ocms.example.gov.sg"),
    "gateway-root-servers-only": lambda d: d["paths"][PATH].update(servers=[{"url": "https://x.example.gov.sg"}]),
    "gateway-components": lambda d: d["components"].update(parameters={}),
    "gateway-local-refs": lambda d: operation(d)["requestBody"]["content"]["application/json"].update(
        schema={"$ref": "other.yaml#/NoticeQuery"}
    ),
    "gateway-body-schemas": lambda d: operation(d)["requestBody"]["content"]["application/json"].update(
        schema={"type": "object"}
    ),
    "gateway-operation-ids": lambda d: copy_operation(d, OPERATION.upper()),
    "gateway-parameter-names": lambda d: operation(d)["parameters"].append(
        {"name": "SKIP", "in": "query", "description": "x", "schema": {"type": "string"}}
    ),
    "gateway-summary-length": lambda d: operation(d).update(summary="x" * 301),
    "gateway-parameter-places": lambda d: operation(d)["parameters"][0].update({"in": "cookie"}),
    "gateway-query-arrays": lambda d: operation(d)["parameters"][2].update(explode=False),
    "gateway-unsupported": lambda d: d.update(externalDocs={"url": "https://ocms.example.gov.sg"}),
    "gateway-no-body-on-get": lambda d: d["paths"].update({"/v1/get": {"get": operation(d)}}),
    "gateway-discriminator": lambda d: d["components"]["schemas"]["ItemError"].update(discriminator={"mapping": {}}),
    "ocms-outcomes": lambda d: operation(d)["responses"].pop("401"),
    "ocms-examples": lambda d: operation(d)["requestBody"]["content"]["application/json"].pop("examples"),
}


def spectral(*files):
    """The codes of the errors that Spectral finds, by file name."""
    done = subprocess.run(
        ["npx", "--no-install", "spectral", "lint", "--format=json", "--quiet", *map(str, files)],
        cwd=ROOT,
        env=TOOL,
        capture_output=True,
        text=True,
        check=False,
    )
    found = {path.stem: set() for path in files}
    for problem in json.loads(done.stdout[done.stdout.index("[") :]):
        found[Path(problem["source"]).stem].add(problem["code"])
    return found


def test_each_rule_of_ours_finds_what_it_is_for(tmp_path):
    rules = yaml.safe_load((ROOT / ".spectral.yaml").read_text())["rules"]
    assert set(BREAKS) == set(rules)
    files = []
    for rule, break_it in BREAKS.items():
        document = Contract.load("ocms").published()
        break_it(document)
        files.append(tmp_path / f"{rule}.yaml")
        files[-1].write_text(yaml.safe_dump(document, sort_keys=False))
    found = spectral(*files)
    assert [rule for rule in BREAKS if rule not in found[rule]] == []


@pytest.mark.parametrize("name", ["ocms", "cas"])
def test_the_exported_document_is_clean_and_small(tmp_path, name):
    exported = tmp_path / f"{name}.yaml"
    exported.write_bytes(export(Contract.load(name), "yaml"))
    assert spectral(exported) == {name: set()}
    OpenAPIV30SpecValidator(yaml.safe_load(exported.read_text())).validate()
    assert exported.stat().st_size < 4_000_000
