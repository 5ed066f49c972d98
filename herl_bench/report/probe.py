"""The page of a probe: the sentence, the gaps, what each arm repairs, and the tables that they rest on."""

from __future__ import annotations

from pathlib import Path

from herl_bench.comparison.forecast import read_forecast, spread_gap
from herl_bench.comparison.probe_schema import PROBE, Estimate, Probe, from_json
from herl_bench.comparison.probe_tables import LEGEND, describe_drafts, list_tables
from herl_bench.reading import read_text
from herl_bench.report.charts import Dot, plot_differences, plot_scores
from herl_bench.report.drawing import Chart
from herl_bench.report.figures import plot_forecast
from herl_bench.report.page import render


def find_probe(folder: Path) -> Path | None:
    """The probe.json in a folder, or that a path names."""
    path = folder / PROBE if folder.is_dir() else folder
    return path if path.name == PROBE and path.is_file() else None


def read_probe(path: Path) -> Probe:
    """Raises `UsageError`."""
    return from_json(read_text(path, "the probe"), str(path))


def probe_to_html(probe: Probe) -> str:
    return render(
        "probe.html.j2",
        title=f"What would hindsight bring {probe.model} on {probe.task}?",
        probe=probe,
        drafts=describe_drafts(probe),
        charts=plot_probe(probe),
        tables=list_tables(probe),
        legend=LEGEND,
    )


def plot_probe(probe: Probe) -> dict[str, Chart]:
    """`gaps`, `forecast`, and what each arm repairs at each temperature, as far as there are any."""
    charts = {}
    if probe.forecast is not None and (forecast := read_forecast()):
        charts["forecast"] = plot_forecast(forecast, (spread_gap(probe.drafts, probe.gaps[0]), probe.forecast))
    if probe.gaps:
        dots = [_place(gap.arm, 0, gap.value) for gap in probe.gaps]
        label = "Guidance gap: own guidance less sampling anew with as many tokens"
        x_label = "repaired, own guidance less sampling anew"
        charts["gaps"] = plot_differences(dots, x_label=x_label, label=label, sides=("costs", "brings"))
    for nth, t in enumerate(dict.fromkeys(arm.temperature for arm in probe.arms)):
        arms = [arm for arm in probe.arms if arm.temperature == t]
        words = "; ".join(f"{arm.name} {arm.repaired.value:.3f}" for arm in arms)
        label = f"Share of failures that each arm repairs at temperature {t:g}: {words}"
        dots = [_place(arm.name, nth, arm.repaired) for arm in arms]
        charts[f"repaired-{t:g}"] = plot_scores(dots, x_label=f"repaired at temperature {t:g}", label=label)
    return charts


def _place(name: str, position: int, found: Estimate) -> Dot:
    return Dot(name, position, found.value, found.low, found.high)
