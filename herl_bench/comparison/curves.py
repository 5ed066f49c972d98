"""Learning curves against generated tokens: one run's points, and bands over the seeds of an arm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from herl_bench.comparison import statistics
from herl_bench.comparison.finished_runs import FinishedRun, average_outcome
from herl_bench.comparison.schema import BandPoint, Point

BAND_POINTS = 40
Curve = Sequence[Point]


# ------------------------------------------------------------------------------------------------------------------ one
def read_curve(run: FinishedRun) -> tuple[Point, ...]:
    """A point for each step. Its metrics are the task's first: of another, nothing is known while training."""
    return tuple(
        Point(
            **{name: row[name] for name in ("step", "tokens", "reward", "criteria")},
            metric=row["metric"] if run.primary else None,
            metric_planted=row.get("metric_planted") if run.primary else None,
            metric_plain=row.get("metric_plain") if run.primary else None,
            gap=row.get("reward_metric_gap"),
            kl=row.get("kl"),
            revisions=row.get("revisions", 0),
            revision_reward=row.get("revision_reward"),
            revision_metric=row.get("revision_solved_rate") if run.primary else None,
            revision_improvement=row.get("revision_improvement"),
            revision_improved=row.get("revision_improved_rate"),
            revise_share=row.get("revise_share"),
            guided_reward=row.get("guided_reward"),
            bonus=row.get("bonus"),
            eval_metric=(row.get("eval") or {}).get(run.metric),
        )
        for row in run.rows
    )


def read_evaluations_in_training(run: FinishedRun) -> tuple[Point, ...]:
    """The primary metric over tokens: before, during and after training; empty where none was measured in between."""
    between = [Point(p.step, p.tokens, None, p.eval_metric) for p in read_curve(run)[:-1] if p.eval_metric is not None]
    first, last = (average_outcome(evaluation, run.higher_is_better) for evaluation in (run.before, run.after))
    ends = Point(0, 0, None, first), Point(run.rows[-1]["step"], run.rows[-1]["tokens"], None, last)
    return (ends[0], *between, ends[1]) if between else ()


def join_last_step(points: Curve) -> tuple[Point, ...]:
    """The curve for the eye: a last step of under half the mean step's tokens, whose few responses are mostly noise, is
    one with the step before, as their mean weighted by tokens. Not for areas, tokens to a target, or what was spent."""
    if len(points) < 3:
        return tuple(points)
    before, last = points[-2], points[-1]
    tokens_before, tokens_last = before.tokens - points[-3].tokens, last.tokens - before.tokens
    if tokens_last >= last.tokens / len(points) / 2:
        return tuple(points)

    def weigh(a: float | None, b: float | None) -> float | None:
        if a is None or b is None:
            return b if a is None else a
        return (a * tokens_before + b * tokens_last) / (tokens_before + tokens_last)

    names = dict.fromkeys([*before.criteria, *last.criteria])
    joined = replace(
        last,
        metric=weigh(before.metric, last.metric),
        criteria={name: weigh(before.criteria.get(name), last.criteria.get(name)) for name in names},
        revision_metric=weigh(before.revision_metric, last.revision_metric),
    )
    return (*points[:-2], joined)


# ----------------------------------------------------------------------------------------------------------- over seeds
def draw_band(curves: Sequence[Curve], value: Callable[[Point], float | None]) -> tuple[BandPoint, ...]:
    """Mean, lowest and highest of the curves; empty where none has any value."""
    grid = _choose_grid(curves)
    known = [[(p.tokens, v) for p in curve if (v := value(p)) is not None] for curve in curves]
    heights = np.array([np.interp(grid, [t for t, _ in points], [v for _, v in points]) for points in known if points])
    if not len(heights) or not grid:
        return ()
    columns = zip(grid, heights.T, strict=True)
    return tuple(BandPoint(t, float(h.mean()), float(h.min()), float(h.max()), len(heights)) for t, h in columns)


def draw_metric_band(curves: Sequence[Curve]) -> tuple[BandPoint, ...]:
    return draw_band(curves, lambda point: point.metric)


def draw_criterion_bands(curves: Sequence[Curve], criteria: Sequence[str]) -> dict[str, tuple[BandPoint, ...]]:
    def pick(name: str) -> Callable[[Point], float | None]:
        return lambda point: point.criteria.get(name)

    return {name: draw_band(curves, pick(name)) for name in criteria}


def pair_plain_and_guided(curves: Sequence[Curve]) -> tuple[tuple[int, float, float], ...]:
    """(tokens, primary metric of plain responses, of guided revisions), means over seeds; empty without guidance."""
    guided = draw_band(curves, lambda point: point.revision_metric)
    return tuple((g.tokens, p.mean, g.mean) for p, g in zip(draw_metric_band(curves), guided, strict=bool(guided)))


def find_span(curves: Sequence[Curve]) -> tuple[int, int]:
    """The token counts that all curves reach over."""
    return max(curve[0].tokens for curve in curves), min(curve[-1].tokens for curve in curves)


def _choose_grid(curves: Sequence[Curve]) -> list[int]:
    """Token counts that all curves span: those of their points, or, where these are too many, evenly spaced ones."""
    start, stop = find_span(curves)
    own = sorted({point.tokens for curve in curves for point in curve if start <= point.tokens <= stop})
    if len(own) <= BAND_POINTS:
        return own
    return [round(start + (stop - start) * i / (BAND_POINTS - 1)) for i in range(BAND_POINTS)]


def find_end(band: Sequence[BandPoint]) -> float | None:
    """The mean height of the last quarter of tokens, not of points: the last step is smaller and noisier."""
    if not band:
        return None
    start, stop, means = band[0].tokens, band[-1].tokens, [point.mean for point in band]
    if stop == start:
        return means[-1]
    return statistics.curve_area([point.tokens for point in band], means, stop - (stop - start) / 4, stop)


def find_tokens_to(band: Sequence[BandPoint], target: float) -> int | None:
    """Where the band's mean has reached the target and keeps it."""
    return statistics.tokens_to_target([point.tokens for point in band], [point.mean for point in band], target)
