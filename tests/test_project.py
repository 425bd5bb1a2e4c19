"""The project's own configuration: its rooms."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp

from contract.document import Contract
from handlers import module_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS = sorted(path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "benchmarks")


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
