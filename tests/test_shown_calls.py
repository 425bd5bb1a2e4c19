"""Each call of the README and of the partners' pages, run against the demo, gives the response that is shown."""

import json
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import httpx2
from fixtures.contracts import OPERATIONS, caller_of

from contract.document import Contract
from contract.lint import examples

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "docs/partners/cas.md", "docs/partners/plus.md", "docs/partners/every-call.md"]
PAGE_OF_CALLER = {"CAS": "docs/partners/cas.md", "PLUS": "docs/partners/plus.md"}
GATEWAY = "docs/partners/gateway.md"
BLOCK = re.compile(r"```(sh|json|text|xml)\n(.+?)```", re.DOTALL)


def run(command, port, cas_port, database_url):
    """Run a shell command of a page: a call by curl, or one of our own commands."""
    words = shlex.split(command.replace(":8080", f":{port}").replace(":8090", f":{cas_port}").replace("\\\n", " "))
    if words[0] == "curl":
        headers = dict(words[i + 1].split(": ") for i, word in enumerate(words) if word == "-H")
        (url,) = [word for word in words if word.startswith("http")]
        return httpx2.post(url, content=words[words.index("-d") + 1], headers=headers).text
    cas_url, key, program, *arguments = words
    assert program == ".venv/bin/ocms"
    settings = dict(word.split("=") for word in (cas_url, key)) | {"OCMS_DATABASE_URL": database_url}
    done = subprocess.run(
        [sys.executable, "-m", "ocms", *arguments], env=settings, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_each_call_of_the_pages_gets_the_response_that_is_shown(demo):
    _, port, cas_port, database_url, _ = demo
    called = {page: set() for page in PAGES}
    for page in PAGES:
        blocks = BLOCK.findall((ROOT / page).read_text())
        for (kind, command), (_, response) in pairwise(blocks):
            if kind == "sh" and not command.startswith("make"):
                assert run(command, port, cas_port, database_url) == response.strip(), f"{page}: {command}"
                called[page] |= set(re.findall(r"/v1/\w+", command))
    assert all(called.values()), "a page without a call"
    for caller, page in PAGE_OF_CALLER.items():
        assert called[page] == {operation.path for operation in OPERATIONS if caller_of(operation) == caller}


def test_the_pages_name_each_operation_of_their_reader_and_none_that_does_not_exist():
    contracts = [Contract.load(name) for name in ("ocms", "cas")]
    paths = {path for contract in contracts for path in contract.document["paths"]}
    known = {operation_id for contract in contracts for operation_id in contract.operations}
    known |= {"operationId", "multipleOfPrecision"}  # a member of OpenAPI, an option of a tool
    known |= {name for contract in contracts for s in contract.components["schemas"].values() for name in members(s)}
    for page in [*PAGES, GATEWAY]:
        text = (ROOT / page).read_text()
        assert set(re.findall(r"/v1/\w+", text)) <= paths, page
        assert set(re.findall(r"`([a-z]+[A-Z]\w*)`", text)) <= known, page
    for operation in OPERATIONS:
        assert operation.operation_id in (ROOT / PAGE_OF_CALLER[caller_of(operation)]).read_text()


def members(schema):
    """The names of all members of a schema, however deep."""
    for name, member in schema.get("properties", {}).items():
        yield name
        yield from members(member)


def test_each_response_that_is_shown_without_a_call_is_an_example_of_the_contract():
    known = [value for _, _, value in examples(Contract.load("ocms"))]
    for page in PAGES:
        blocks = [("", ""), *BLOCK.findall((ROOT / page).read_text())]
        for (before, _), (kind, text) in pairwise(blocks):
            if kind == "json" and before != "sh":
                assert json.loads(text) in known, f"{page}: {text}"


def test_the_pages_name_the_newest_published_contract():
    newest = max(path.name for path in (ROOT / "openapi" / "published").glob("ocms-*.yaml"))
    for page in (ROOT / "docs" / "partners").glob("*.md"):
        assert set(re.findall(r"ocms-\d+\.\d+\.\d+\.yaml", page.read_text())) <= {newest}


def test_each_code_of_the_contract_is_explained_to_partners():
    page = (ROOT / "docs/partners/every-call.md").read_text()
    codes = set(re.findall(r"OCMS-4\d{3}|OCMS-5\d{3}", (ROOT / "openapi/ocms.yaml").read_text()))
    assert codes == set(re.findall(r"OCMS-\d{4}", page))
