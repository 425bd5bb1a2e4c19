"""The page of threats points at tests that exist, and the README names every setting."""

import re
from pathlib import Path

import pytest

from ocms.settings import Settings

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ")][1:]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2:40])
def test_each_threat_points_at_what_shows_it(row):
    named = re.findall(r"`([\w/.]+)(?:::(\w+))?`", row.rsplit("|", 2)[1])
    assert named
    for place, function in named:
        found = [path for path in [ROOT / place, *ROOT.glob(f"tests/*/{place}")] if path.exists()]
        assert found, place
        assert not function or f"def {function}(" in found[0].read_text(), function


def test_the_readme_names_every_setting():
    readme = (ROOT / "README.md").read_text()
    assert [name for name in Settings.model_fields if f"OCMS_{name.upper()}`" not in readme] == []
