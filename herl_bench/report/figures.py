"""Which charts a comparison's numbers make, and what each is called for readers who do not see it: one of all
differences, and several per task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from herl_bench.compare.schema import ArmScore, BandPoint, Comparison, RunRecord, TaskItems
from herl_bench.report import charts
from herl_bench.report.charts import Curve, Dot
from herl_bench.report.drawing import Chart
from herl_bench.report.page import format_number, format_signed


def plot_overview(comparison: Comparison) -> Chart | None:
    """What the verdicts rest on: every contrast's difference with its interval, against 0."""
    places, several = place_arms(comparison), len(comparison.tasks) > 1
    dots = [
        Dot(f"{c.task}: {c.arm}" if several else c.arm, places[c.arm], value, c.difference.low, c.difference.high)
        for c in comparison.contrasts
        if (value := c.difference.value) is not None
    ]
    if not dots:
        return None
    metrics = dict.fromkeys(name_metric(task.metric) for task in comparison.tasks)
    less = {not task.higher_is_better for task in comparison.tasks}
    sides = ("less", "more") if len(less) > 1 else ("worse", "better") if less == {False} else ("better", "worse")
    words = "; ".join(
        f"{d.name} {format_signed(d.value)} ({format_signed(d.low)} to {format_signed(d.high)})" for d in dots
    )
    after = " after training" if comparison.runs else ""
    return charts.plot_differences(
        dots,
        x_label=f"difference to {comparison.baseline}, {' or '.join(metrics)}",
        label=f"Difference to {comparison.baseline}{after}, with 95 % intervals: {words}",
        sides=sides,
    )


def plot_task(
    items: TaskItems, arms: Sequence[ArmScore], runs: Sequence[RunRecord], places: Mapping[str, int]
) -> dict[str, Chart]:
    """`scores`, `curves`, `held-out` and `calibration`, as far as there is something to show. places: as from
    `place_arms`."""
    metric, task = name_metric(items.metric), items.task
    found: dict[str, Chart] = {}
    if dots := [
        Dot(arm.arm, places[arm.arm], value, arm.score.low, arm.score.high, arm.before.value)
        for arm in arms
        if (value := arm.score.value) is not None
    ]:
        found["scores"] = plot_ranking(dots, f"{metric}{' after training' if runs else ''} on {task}", metric)
    if curves := [_curve(arm.arm, places, arm.curve) for arm in arms if arm.curve]:
        target = next((arm.target for arm in arms if arm.target is not None), None) if len(arms) > 1 else None
        label = f"{metric} of sampled responses over generated tokens on {task}: {_tell_ends(curves)}"
        found["curves"] = charts.plot_curves(curves, y_label=f"{metric}, as sampled", label=label, target=target)
    if curves := [_curve(arm.arm, places, arm.held_out) for arm in arms if arm.held_out]:
        label = f"{metric} on the evaluation items over generated tokens on {task}: {_tell_ends(curves)}"
        found["held-out"] = charts.plot_curves(curves, y_label=f"{metric}, evaluated", label=label)
    bins = [(_curve(arm.arm, places, ()), _pool_bins(runs, arm.arm)) for arm in arms]
    if bins := [(curve, pooled) for curve, pooled in bins if pooled]:
        label = f"Predicted against measured improvement of revisions on {task}; the numbers are in the table below"
        found["calibration"] = charts.plot_calibration(bins, label=label)
    return found


def plot_ranking(dots: Sequence[Dot], what: str, metric: str) -> Chart:
    """Scores side by side. what: begins the chart's label."""
    words = "; ".join(f"{dot.name} {format_number(dot.value)}" for dot in dots)
    return charts.plot_scores(dots, x_label=metric, label=f"{what}: {words}")


def plot_criteria(arm: ArmScore, place: int) -> Chart:
    rows = [(name, [(p.tokens, p.mean) for p in points]) for name, points in arm.criteria_curves.items()]
    ends = "; ".join(
        f"{name} from {format_number(p[0][1], 2)} to {format_number(p[-1][1], 2)}" for name, p in rows if p
    )
    label = f"Pass rate of each criterion in training, {arm.arm}: {ends}"
    return charts.plot_criteria(rows, position=place, label=label)


def plot_guided(arm: ArmScore, place: int) -> Chart:
    """Plain responses against revisions under guidance."""
    curves = [
        Curve(
            name,
            place,
            [(tokens, pair[i], pair[i], pair[i]) for tokens, *pair in arm.plain_vs_guided],
            look=place + 2 * i,
        )
        for i, name in enumerate(("without guidance", "revised under guidance"))
    ]
    _, plain, guided = arm.plain_vs_guided[-1]
    label = (
        f"{arm.arm} in training, plain responses and revisions under guidance; at the end {format_number(plain)} and"
        f" {format_number(guided)}"
    )
    return charts.plot_curves(curves, y_label="primary metric, as sampled", label=label)


def place_arms(comparison: Comparison) -> dict[str, int]:
    """Arm → place, which is its colour, dash and mark everywhere."""
    return {arm.name: place for place, arm in enumerate(comparison.arms)}


def name_metric(key: str) -> str:
    """`exact match` for `exact_match,flexible-extract`."""
    return key.split(",")[0].replace("_", " ")


def _curve(arm: str, places: Mapping[str, int], points: Sequence[BandPoint]) -> Curve:
    return Curve(arm, places[arm], [(p.tokens, p.mean, p.low, p.high) for p in points])


def _tell_ends(curves: Sequence[Curve]) -> str:
    return "; ".join(
        f"{c.name} from {format_number(c.points[0][1])} to {format_number(c.points[-1][1])}" for c in curves
    )


def _pool_bins(runs: Sequence[RunRecord], arm: str) -> list[tuple[float, float, int]]:
    return list(chain(*(run.calibration.reliability for run in runs if run.arm == arm and run.calibration)))
