"""A published contract is a promise: what breaks it is refused unless the major number rises."""

import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

from contract.document import Contract
from contract.export import export

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "openapi" / "published"


def schemas(document):
    return document["components"]["schemas"]


def payment_status(document):
    return document["paths"]["/v1/getPaymentStatus"]["post"]


def require_a_field(document):
    schemas(document)["NoticeQuery"]["properties"]["reason"] = {"type": "string"}
    schemas(document)["NoticeQuery"]["required"].append("reason")


BREAKING = {
    "a removed field": lambda d: schemas(d)["PaymentStatus"]["properties"].pop("emcons_flag"),
    "a new required field": require_a_field,
    "a narrowed enum": lambda d: payment_status(d)["parameters"][2]["schema"]["items"].update(enum=["FP"]),
    "a tightened limit": lambda d: schemas(d)["NoticeQuery"]["properties"]["notice_nos"].update(maxItems=100),
    "a renamed operationId": lambda d: payment_status(d).update(operationId="getStatus"),
    "a removed operation": lambda d: d["paths"].pop("/v1/getPaymentStatus"),
    "a removed status": lambda d: payment_status(d)["responses"].pop("503"),
}
ADDED = {"an added field": lambda d: schemas(d)["PaymentStatus"]["properties"].update(colour={"type": "string"})}


@pytest.fixture
def gate(tmp_path):
    """Hold a change of the contract, with a version, against the newest published one."""

    def judge(change, version):
        document = yaml.safe_load(newest("ocms").read_text())
        change(document)
        document["info"]["version"] = version
        revision = tmp_path / "revision.yaml"
        revision.write_text(yaml.safe_dump(document, sort_keys=False))
        return compatible("ocms", revision)

    return judge


def compatible(name, revision):
    done = subprocess.run(
        [ROOT / "openapi/lint/compatible.sh", name, revision], capture_output=True, text=True, check=False
    )
    assert "No diff rules are on" not in done.stdout + done.stderr
    return done.returncode == 0


def version_of(path):
    return tuple(map(int, path.stem.rpartition("-")[2].split(".")))


def newest(name):
    return max(PUBLISHED.glob(f"{name}-*.yaml"), key=version_of)


@pytest.mark.parametrize("change", BREAKING.values(), ids=BREAKING)
def test_a_breaking_change_needs_a_new_major_number(gate, change):
    major, minor, patch = version_of(newest("ocms"))
    assert not gate(change, f"{major}.{minor}.{patch}")
    assert not gate(change, f"{major}.{minor + 1}.0")
    assert gate(change, f"{major + 1}.0.0")


@pytest.mark.parametrize("change", ADDED.values(), ids=ADDED)
def test_an_addition_needs_a_new_minor_number(gate, change):
    major, minor, patch = version_of(newest("ocms"))
    assert not gate(change, f"{major}.{minor}.{patch + 1}")
    assert gate(change, f"{major}.{minor + 1}.0")


@pytest.mark.parametrize("name", ["ocms", "cas"])
def test_the_contract_keeps_what_is_published(tmp_path, name):
    exported = tmp_path / f"{name}.yaml"
    exported.write_bytes(export(Contract.load(name), "yaml"))
    assert compatible(name, exported)
    if Contract.load(name).document["info"]["version"] == newest(name).stem.rpartition("-")[2]:
        assert exported.read_bytes() == newest(name).read_bytes()


def test_a_published_file_never_changes():
    """openapi/published/SHA256SUMS, as `sha256sum` writes and checks it, names every published file."""
    sums = dict(reversed(line.split("  ")) for line in (PUBLISHED / "SHA256SUMS").read_text().splitlines())
    assert sums == {path.name: sha256(path.read_bytes()).hexdigest() for path in PUBLISHED.glob("*.yaml")}


@pytest.mark.parametrize("path", sorted(PUBLISHED.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_published_version_is_named_after_itself(path):
    assert path.stem.rpartition("-")[2] == yaml.safe_load(path.read_text())["info"]["version"]


@pytest.mark.parametrize("name", ["ocms", "cas"])
def test_an_operation_id_is_never_given_up(name):
    """A gateway deletes on re-import what no longer matches."""
    current = set(Contract.load(name).operations)
    for path in PUBLISHED.glob(f"{name}-*.yaml"):
        document = yaml.safe_load(path.read_text())
        assert {o["operationId"] for methods in document["paths"].values() for o in methods.values()} <= current


@pytest.mark.parametrize("form", ["yaml", "json"])
@pytest.mark.parametrize("name", ["ocms", "cas"])
def test_an_export_is_the_same_bytes_in_every_process(ocms, name, form):
    first, second = (ocms("spec", "export", name, "--format", form, PYTHONHASHSEED=seed) for seed in ("1", "2"))
    assert first.returncode == 0
    assert first.stdout == second.stdout
