"""Runs last: what the suite has exercised of the contracts. build/contract-coverage.json tells what is missing."""

from pathlib import Path

import pytest
from fixtures.coverage import COVERAGE, KINDS


@pytest.fixture(autouse=True)
def whole_suite(request):
    """Part of the suite exercises part of the contracts."""
    collected = {item.path for item in request.session.items}
    if collected < set(Path(__file__).parent.rglob("test_*.py")):
        pytest.skip("tells something only after the whole suite")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", COVERAGE)
def test_the_suite_has_exercised_every(name, kind):
    assert COVERAGE[name].missing(kind) == []
