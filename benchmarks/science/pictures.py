"""The page's three pictures, in the report's style: HeRL's gain in every world, what it keeps with other words, and the
forecast.

Left out: what they mean (`page.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from parts import PARTS, TASKS

from herl_bench.comparison.forecast import Forecast
from herl_bench.report.charts import Dot, plot_differences
from herl_bench.report.drawing import Chart
from herl_bench.report.figures import plot_forecast

Tables = Mapping[str, Mapping[str, Any]]
VARIANTS = {
    "herl": "own, reference",
    "evidence": "own, evidence",
    "criteria": "own, criteria",
    "shuffled": "another problem's",
    "again": "“Try again.”",
}
"""Of HeRL, by what a revision is told."""
SIDES = ("PPO is better", "HeRL is better")


def make_charts(tables: Tables, forecast: Forecast | None) -> dict[str, Chart]:
    """As far as there is anything to draw, by name."""
    charts = {"gains": plot_gains(tables), "words": plot_words(tables)}
    if forecast is not None:
        charts["forecast"] = plot_forecast(forecast)
    return {name: chart for name, chart in charts.items() if chart is not None}


def plot_gains(tables: Tables) -> Chart | None:
    """A row per policy and world."""
    names = [part.name for part in PARTS if "herl" in part.cells]
    dots = [_place(name, 0, gain) for name in names if (gain := find_gain(tables, name, "herl"))]
    label = "HeRL − PPO after training in every world, with 95 % intervals"
    return plot_differences(dots, x_label="HeRL − PPO, accuracy", label=label, sides=SIDES) if dots else None


def plot_words(tables: Tables) -> Chart | None:
    """Per task a row for each thing that a revision can be told."""
    dots = [
        _place(f"{task}: {VARIANTS[arm]}", list(VARIANTS).index(arm), gain)
        for task in TASKS
        for arm, gain in list_variants(tables, task)
    ]
    label = "HeRL − PPO after training, by what a revision is told, with 95 % intervals"
    return plot_differences(dots, x_label="HeRL − PPO, accuracy", label=label, sides=SIDES) if dots else None


def list_variants(tables: Tables, task: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Variants of HeRL in the task's main world, and the gain of each over PPO, each from the first part that has it:
    `rules` has most seeds."""
    for arm in VARIANTS:
        gains = (find_gain(tables, f"{kind}-{task}", arm) for kind in ("rules", "controls", "levels"))
        if gain := next(filter(None, gains), None):
            yield arm, gain


def find_gain(tables: Tables, part: str, arm: str, baseline: str = "ppo") -> Mapping[str, Any] | None:
    """The contrast of an arm with a baseline."""
    contrasts = tables.get(part, {}).get("contrasts", ())
    return next((one for one in contrasts if (one["arm"], one["baseline"]) == (arm, baseline)), None)


def _place(name: str, position: int, gain: Mapping[str, Any]) -> Dot:
    return Dot(name, position, gain["value"], gain["low"], gain["high"])
