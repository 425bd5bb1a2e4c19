"""The project's own configuration: its rooms and its locks."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from contract.document import Contract
from handlers import module_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS = sorted(path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "benchmarks")


def pins(name):
    """The pinned version of each package in a lock."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", (ROOT / name).read_text(), re.MULTILINE)
    return {canonicalize_name(package): version for package, version in found}


def test_each_package_at_the_top_is_a_room():
    tools = PROJECT["tool"]
    assert tools["importlinter"]["root_packages"] == ROOMS
    assert tools["mypy"]["packages"] == ROOMS
    assert tools["hatch"]["build"]["targets"]["wheel"]["packages"] == sorted([*ROOMS, "openapi"])


def test_a_module_without_a_place_fails_the_check(tmp_path):
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "db" / "new_module.py").write_text('"""A module that no layer has."""\n')
    lint = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(lint, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "new_module" in result.stdout


def test_no_operation_uses_another_one():
    operations = {f"handlers.{module_name(operation_id)}" for operation_id in Contract.load("ocms").operations}
    graph = grimp.build_graph("handlers")
    for module in operations:
        assert not operations & graph.find_modules_directly_imported_by(module), module


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("requirements.lock", PROJECT["project"]["dependencies"]),
        (
            "requirements-dev.lock",
            [
                *PROJECT["project"]["dependencies"],
                *PROJECT["project"]["optional-dependencies"]["verify"],
                *PROJECT["dependency-groups"]["dev"],
            ],
        ),
    ],
)
def test_a_lock_pins_each_dependency_with_hashes_and_without_an_address(lock, wanted):
    pinned, text = pins(lock), (ROOT / lock).read_text()
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement
    assert text.count("--hash=sha256:") >= len(pinned)
    assert "://" not in text


def test_the_locks_agree_and_production_has_no_test_tool():
    production, development = pins("requirements.lock"), pins("requirements-dev.lock")
    assert production.items() <= development.items()
    assert not {"schemathesis", "pytest", "hypothesis", "graphql-core"} & production.keys()
