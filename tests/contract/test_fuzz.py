"""Schemathesis holds live servers to both contracts: every phase, every check, every operation.

What is expected of single operations stands, with its reason, in openapi/schemathesis.toml.
"""

import tomllib
from datetime import date
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from fixtures.contracts import KEYS, OPERATIONS, caller_of
from fixtures.settings import OCMS_KEY, PLUS_KEY

from db.dayend import set_dayend_flag
from db.sample_data import seed_notices
from ocms.app import create_app
from ocms.mock_cas.faults import Fault

ROOT = Path(__file__).parents[2]


@pytest.fixture
def verify(ocms, tmp_path):
    """Hold an address to a contract; returns the output and the JUnit report."""

    def run(name, url, *keys):
        report = tmp_path / "report.xml"
        variables = {"OCMS_VERIFY_KEYS": " ".join(keys)}
        result = ocms("spec", "verify", name, "--url", url, "--junit", report, timeout=600, **variables)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout, ET.parse(report).getroot()

    return run


def test_ocms_is_as_its_contract_says(verify, serve, make_settings, clock, database, logs):
    with database.writing() as conn:
        seed_notices(conn, 100, lambda _: None)
        set_dayend_flag(conn, date(2026, 6, 30), "Y")
    url = serve(create_app(make_settings(), clock))
    output, report = verify("ocms", url, *(f"{caller}:{key}" for caller, key in KEYS.items()))
    assert f"Tested: {len(OPERATIONS)}" in output
    assert int(report.get("tests")) >= len(OPERATIONS)
    assert int(report.get("failures")) == 0
    assert not logs("unexpected_error")
    assert not logs("server_error")


def test_the_mock_cas_is_as_the_contract_of_cas_says(verify, mock_cas, logs):
    output, _ = verify("cas", mock_cas(20), f"OCMS:{OCMS_KEY}")
    assert "Tested: 1" in output
    assert not logs("unexpected_error")


def test_a_server_that_breaks_its_contract_is_found_out(verify, mock_cas):
    with pytest.raises(AssertionError, match="Response violates schema"):
        verify("cas", mock_cas(20, Fault.INVALID), f"OCMS:{OCMS_KEY}")


def test_with_the_key_of_one_caller_only_its_operations_are_verified(verify, serve, make_settings, clock, database):
    output, _ = verify("ocms", serve(create_app(make_settings(), clock)), f"PLUS:{PLUS_KEY}")
    selected = sum(caller_of(operation) == "PLUS" for operation in OPERATIONS)
    assert f"Selected: {selected}/{len(OPERATIONS)}" in output


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ("", "no operation can be verified without a key: set OCMS_VERIFY_KEYS to CALLER:KEY"),
        ("LTA:secret", "the contract has no caller LTA"),
        ("secret", "OCMS_VERIFY_KEYS must be CALLER:KEY"),
        ("CAS:a secret", "OCMS_VERIFY_KEYS must be CALLER:KEY"),
    ],
)
def test_without_a_usable_key_nothing_is_verified_and_none_is_shown(ocms, keys, text):
    result = ocms("spec", "verify", "--url", "http://127.0.0.1:9", OCMS_VERIFY_KEYS=keys)
    assert result.returncode == 1
    assert text in result.stderr
    assert "secret" not in result.stderr


def test_no_check_and_no_operation_is_left_out():
    def switches(node):
        for key, value in node.items():
            yield key, value
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, dict):
                    yield from switches(child)

    settings = tomllib.loads((ROOT / "openapi" / "schemathesis.toml").read_text())
    for key, value in switches(settings):
        assert not key.startswith("exclude"), key
        assert (key, value) != ("enabled", False)
