"""Measure this service, its peers and the limit side by side, in one run on one machine, and print ratios."""

import tempfile
from pathlib import Path

from benchmarks import calls, growth, neighbours, refresh, startup
from benchmarks.load import require_wrk
from benchmarks.report import report

PARTS = (startup, calls, neighbours, refresh, growth)


def main() -> None:
    """Measure all parts, one after the other."""
    require_wrk()
    ratios = []
    for part in PARTS:
        with tempfile.TemporaryDirectory() as folder:
            ratios += part.measure(Path(folder))
    report(ratios)


if __name__ == "__main__":
    main()
