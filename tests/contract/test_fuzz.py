"""Schemathesis holds live servers to both contracts: every phase, every check, every operation.

What is expected of single operations stands, with its reason, in schemathesis.toml.
"""

import os
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path

import pytest
from fixtures.settings import CAS_KEY, OCMS_KEY, PLUS_KEY

from db.dayend import set_dayend_flag
from db.sample_data import seed_notices
from ocms.app import create_app
from ocms.faults import Fault

ROOT = Path(__file__).parents[2]
KEYS = {
    "OCMS_CONTRACT_CAS_KEY": CAS_KEY,
    "OCMS_CONTRACT_PLUS_KEY": PLUS_KEY,
    "OCMS_CONTRACT_OCMS_KEY": OCMS_KEY,
}


@pytest.fixture
def fuzz(tmp_path):
    """Run schemathesis against an address; returns its output."""

    def run(url):
        result = subprocess.run(
            [
                Path(sys.executable).with_name("schemathesis"),
                f"--config-file={ROOT / 'schemathesis.toml'}",
                "run",
                f"{url}/openapi.json",
                f"--url={url}",
                "--checks=all",
                "--phases=examples,coverage,fuzzing,stateful",
            ],
            cwd=tmp_path,
            env={**os.environ, **KEYS},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    return run


def test_ocms_is_as_its_contract_says(fuzz, serve, make_settings, clock, database, logs):
    with database.writing() as conn:
        seed_notices(conn, 100, lambda _: None)
        set_dayend_flag(conn, date(2026, 6, 30), "Y")
    output = fuzz(serve(create_app(make_settings(), clock)))
    assert "Tested: 3" in output
    assert not logs("unexpected_error")
    assert not logs("server_error")


def test_the_mock_cas_is_as_the_contract_of_cas_says(fuzz, mock_cas, logs):
    assert "Tested: 1" in fuzz(mock_cas(20))
    assert not logs("unexpected_error")


def test_a_server_that_breaks_its_contract_is_found_out(fuzz, mock_cas):
    with pytest.raises(AssertionError, match="Response violates schema"):
        fuzz(mock_cas(20, Fault.INVALID))


def test_no_check_and_no_operation_is_left_out():
    def switches(node):
        for key, value in node.items():
            yield key, value
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, dict):
                    yield from switches(child)

    settings = tomllib.loads((ROOT / "schemathesis.toml").read_text())
    for key, value in switches(settings):
        assert not key.startswith("exclude"), key
        assert (key, value) != ("enabled", False)
