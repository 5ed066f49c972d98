"""Which charts a comparison's numbers make, and what each is called: one of all differences, and several per task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from herl_bench.comparison.forecast import LEVEL, Forecast
from herl_bench.comparison.probe_schema import Estimate
from herl_bench.comparison.schema import ArmScore, BandPoint, Comparison, Interval, RunRecord, TaskItems
from herl_bench.report import charts
from herl_bench.report.charts import Curve, Dot
from herl_bench.report.drawing import Chart
from herl_bench.report.page import format_number, format_signed


def plot_overview(comparison: Comparison) -> Chart | None:
    """What the verdicts rest on: every contrast's difference with its interval, against 0."""
    places, several = place_arms(comparison), len(comparison.tasks) > 1
    names = [f"{c.task}: {c.arm}" if several else c.arm for c in comparison.contrasts]
    rows = zip(names, comparison.contrasts, strict=True)
    if not (dots := place_dots((name, places[c.arm], c.difference, None) for name, c in rows)):
        return None
    metrics = dict.fromkeys(name_metric(task.metric) for task in comparison.tasks)
    less = {not task.higher_is_better for task in comparison.tasks}
    sides = ("less", "more") if len(less) > 1 else ("worse", "better") if less == {False} else ("better", "worse")
    numbers = [(dot.name, *map(format_signed, (dot.value, dot.low, dot.high))) for dot in dots]
    words = "; ".join(f"{name} {value} ({low} to {high})" for name, value, low, high in numbers)
    after = " after training" if comparison.runs else ""
    x_label = f"difference to {comparison.baseline}, {' or '.join(metrics)}"
    label = f"Difference to {comparison.baseline}{after}, with 95 % intervals: {words}"
    return charts.plot_differences(dots, x_label=x_label, label=label, sides=sides)


def plot_task(
    items: TaskItems, arms: Sequence[ArmScore], runs: Sequence[RunRecord], places: Mapping[str, int]
) -> dict[str, Chart]:
    """`scores`, `curves`, `held-out` and `calibration`, as far as there are any. places: as from `place_arms`."""
    metric, task = name_metric(items.metric), items.task
    found: dict[str, Chart] = {}

    def plot_means(curves: Sequence[Curve], what: str, how: str, target: float | None = None) -> Chart:
        ends = _tell_ends((curve.name, curve.points) for curve in curves)
        label = f"{metric} {what} over generated tokens on {task}: {ends}"
        return charts.plot_curves(curves, y_label=f"{metric}, {how}", label=label, target=target)

    if dots := place_dots((arm.arm, places[arm.arm], arm.score, arm.before.value) for arm in arms):
        found["scores"] = plot_ranking(dots, f"{metric}{' after training' if runs else ''} on {task}", metric)
    if curves := [_curve(arm.arm, places, arm.curve) for arm in arms if arm.curve]:
        target = next((arm.target for arm in arms if arm.target is not None), None) if len(arms) > 1 else None
        found["curves"] = plot_means(curves, "of sampled responses", "as sampled", target)
    if curves := [_curve(arm.arm, places, arm.held_out) for arm in arms if arm.held_out]:
        found["held-out"] = plot_means(curves, "on the evaluation items", "evaluated")
    bins = [(_curve(arm.arm, places, ()), _pool_bins(runs, arm.arm)) for arm in arms]
    if bins := [(curve, pooled) for curve, pooled in bins if pooled]:
        label = f"Predicted against measured improvement of revisions on {task}; the numbers are in the table below"
        found["calibration"] = charts.plot_calibration(bins, label=label)
    return found


def place_dots(rows: Iterable[tuple[str, int, Interval, float | None]]) -> list[Dot]:
    """Those that have a value. rows: name, place, interval, and the score before training."""
    return [Dot(name, place, i.value, i.low, i.high, before) for name, place, i, before in rows if i.value is not None]


def plot_ranking(dots: Sequence[Dot], what: str, metric: str) -> Chart:
    """Scores side by side. what: begins the chart's label."""
    words = "; ".join(f"{dot.name} {format_number(dot.value)}" for dot in dots)
    return charts.plot_scores(dots, x_label=metric, label=f"{what}: {words}")


def plot_criteria(arm: ArmScore, place: int) -> Chart:
    rows = [(name, [(p.tokens, p.mean) for p in points]) for name, points in arm.criteria_curves.items()]
    label = f"Pass rate of each criterion in training, {arm.arm}: {_tell_ends(rows, 2)}"
    return charts.plot_criteria(rows, position=place, label=label)


def plot_guided(arm: ArmScore, place: int) -> Chart:
    """Plain responses against revisions under guidance."""
    plain = [(tokens, mean, mean, mean) for tokens, mean, _ in arm.plain_vs_guided]
    guided = [(tokens, mean, mean, mean) for tokens, _, mean in arm.plain_vs_guided]
    revised = Curve("revised under guidance", place, guided, look=place + 2)
    curves = [Curve("without guidance", place, plain, look=place), revised]
    ends = " and ".join(format_number(points[-1][1]) for points in (plain, guided))
    label = f"{arm.arm} in training, plain responses and revisions under guidance; at the end {ends}"
    return charts.plot_curves(curves, y_label="primary metric, as sampled", label=label)


def plot_forecast(forecast: Forecast, here: tuple[float, Estimate] | None = None) -> Chart:
    """The study's cells with two standard errors to either side, and the line through them with the band that holds
    another cell's gain. here: a gap and its forecast."""
    dots = [(c.gap, Dot(c.name, 0, c.gain, c.gain - 2 * c.stderr, c.gain + 2 * c.stderr)) for c in forecast.cells]
    if here is not None:
        gap, found = here
        dots.append((gap, Dot("this model", 1, found.value, found.low, found.high)))
    low, high = forecast.studied
    steps = [low + (high - low) * i / 40 for i in range(41)]
    band = [(x, *forecast.line.predict(x)) for x in steps]
    words = f"{forecast.line.intercept:+.3f} {forecast.line.slope:+.2f} times the gap"
    label = (
        f"HeRL - PPO after training against the guidance gap before it; the line is {words}, its band holds {LEVEL:.0%}"
    )
    x_label, y_label = "guidance gap before training, over all problems", "HeRL - PPO after training"
    return charts.plot_line(dots, band, x_label=x_label, y_label=y_label, label=label)


def place_arms(comparison: Comparison) -> dict[str, int]:
    """Arm → place, which is its colour, dash and mark everywhere."""
    return {arm.name: place for place, arm in enumerate(comparison.arms)}


def name_metric(key: str) -> str:
    """`exact match` for `exact_match,flexible-extract`."""
    return key.split(",")[0].replace("_", " ")


def _curve(arm: str, places: Mapping[str, int], points: Sequence[BandPoint]) -> Curve:
    return Curve(arm, places[arm], [(p.tokens, p.mean, p.low, p.high) for p in points])


def _tell_ends(curves: Iterable[tuple[str, Sequence[Sequence[float]]]], digits: int = 3) -> str:
    """curves: of each, its name and its points, (tokens, mean, …)."""
    ends = ((name, format_number(p[0][1], digits), format_number(p[-1][1], digits)) for name, p in curves if p)
    return "; ".join(f"{name} from {first} to {last}" for name, first, last in ends)


def _pool_bins(runs: Sequence[RunRecord], arm: str) -> list[tuple[float, float, int]]:
    return list(chain(*(run.calibration.reliability for run in runs if run.arm == arm and run.calibration)))
