"""What was measured, as ratios: a table, the numbers as JSON, a bar chart."""

from pathlib import Path

import msgspec
import pygal
from rich.console import Console
from rich.table import Table

from benchmarks.servers import PEERS

RESULTS = Path(__file__).parent / "results"


class Ratio(msgspec.Struct, frozen=True):
    """Two measurements of the same kind and unit, and what their ratio should be."""

    work: str
    against: str
    measured: float
    base: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def value(self) -> float:
        """The ratio."""
        return self.measured / self.base

    @property
    def target(self) -> str:
        """What it should be."""
        if self.at_least is not None:
            return f"at least {self.at_least}"
        return "" if self.at_most is None else f"at most {self.at_most}"

    @property
    def is_reached(self) -> bool:
        """Whether it is."""
        return self.value >= (self.at_least or 0) and (self.at_most is None or self.value <= self.at_most)


def report(ratios: list[Ratio]) -> None:
    """Print the table, and keep the numbers and the chart."""
    table = Table("work", "against", "ratio", "target", title="side by side: medians of one run on one machine")
    for ratio in ratios:
        style = "" if ratio.is_reached else "bold red"
        table.add_row(ratio.work, ratio.against, f"{ratio.value:.2f} x", ratio.target, style=style)
    Console(width=120).print(table)
    RESULTS.mkdir(exist_ok=True)
    rows = [msgspec.structs.asdict(ratio) | {"ratio": round(ratio.value, 3)} for ratio in ratios]
    (RESULTS / "ratios.json").write_bytes(msgspec.json.format(msgspec.json.encode(rows)) + b"\n")
    _draw([ratio for ratio in ratios if ratio.against in PEERS])


def _draw(ratios: list[Ratio]) -> None:
    works = list(dict.fromkeys(ratio.work for ratio in ratios))
    chart = pygal.HorizontalBar(
        title="Calls per second of this service, as a multiple of each peer's",
        js=[],
        print_values=True,
        value_formatter=lambda value: f"{value:.2f} x",
        legend_at_bottom=True,
        truncate_label=-1,
        truncate_legend=-1,
        width=1000,
        height=700,
    )
    chart.x_labels = works
    for peer in PEERS:
        by_work = {ratio.work: ratio.value for ratio in ratios if ratio.against == peer}
        chart.add(peer, [by_work[work] for work in works])
    (RESULTS / "ratios.svg").write_bytes(chart.render())
