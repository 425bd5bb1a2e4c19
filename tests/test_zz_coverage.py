"""Runs last: what the suite has exercised of the contracts. build/contract-coverage.json tells what is missing."""

from pathlib import Path

import pytest
from fixtures.coverage import COVERAGE


@pytest.fixture(autouse=True)
def whole_suite(request):
    """Part of the suite exercises part of the contracts."""
    collected = {item.path for item in request.session.items}
    if collected < set(Path(__file__).parent.rglob("test_*.py")):
        pytest.skip("tells something only after the whole suite")


@pytest.mark.parametrize("name", COVERAGE)
def test_every_documented_status_was_provoked(name):
    assert COVERAGE[name].missing("status") == []


@pytest.mark.parametrize("name", COVERAGE)
def test_every_example_was_sent(name):
    assert COVERAGE[name].missing("example") == []


@pytest.mark.parametrize("name", COVERAGE)
def test_every_keyword_has_refused_something(name):
    assert COVERAGE[name].missing("keyword") == []
