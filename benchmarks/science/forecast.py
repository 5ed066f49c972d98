"""The study's forecast: HeRL − PPO after training on the guidance gap before it, fitted and tested cell by cell.

A cell is a policy on a world at a hint level; its gap is that of a probe of the starting policy with the settings of
the arm of HeRL whose gain it goes with (`parts.py` says which). One predictor and a straight line: the cells are few.
Written to `herl_bench/comparison/forecast.json`, which `herl-bench probe` reads.

The gaps are measured with noise, and so are those of the probes that will ask; so the line is that of the measured gap,
not of the true one, and nothing is corrected for (Carroll et al. 2006, "Measurement Error in Nonlinear Models", 2.6).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter
from scipy.optimize import brentq
from tables import round_all

from herl_bench.comparison.forecast import PLACE, Forecast, Line, StudyCell, spread_gap
from herl_bench.comparison.probe_schema import Drafts, Gap
from herl_bench.comparison.statistics import crossed_interval
from herl_bench.saving import write_whole

FEWEST = 8
"""Cells of which a line and what is left out of it say anything."""
SMALLEST = 1e-3
"""Standard error that a gain has at least, so that no cell alone decides."""


Measure = Callable[[Drafts, Gap], float]
OTHERS: Mapping[str, Measure] = {
    "the gap per failure": lambda drafts, gap: gap.value.value,
    "what own guidance repairs": lambda drafts, gap: gap.own * gap.failures / drafts.problems,
    "own less another's": lambda drafts, gap: (gap.words.value if gap.words else 0.0) * gap.failures / drafts.problems,
    "failures": lambda drafts, gap: drafts.failures / drafts.problems,
}
"""Other predictors, for comparison: the line's was chosen before any cell was measured."""


# ---------------------------------------------------------------------------------------------------------------- cells
def list_cells(raw: Mapping[str, Any], measure: Measure = spread_gap) -> list[StudyCell]:
    """Of all collected parts, those arms that were probed and compared with PPO. measure: what goes for the gap."""
    return [
        StudyCell(f"{part}: {arm}" if arm != "herl" else part, found["folder"], _apply(measure, probe), *gain)
        for part, found in raw.items()
        for arm, probe in found.get("probes", {}).items()
        if probe["gaps"] and (gain := _measure_gain(found["tasks"][0], arm))
    ]


def _apply(measure: Measure, probe: Mapping[str, Any]) -> float:
    drafts, gap = TypeAdapter(Drafts), TypeAdapter(Gap)
    return measure(drafts.validate_python(probe["drafts"]), gap.validate_python(probe["gaps"][0]))


def _measure_gain(task: Mapping[str, Any], arm: str) -> tuple[float, float] | None:
    """(HeRL − PPO, its standard error) from the outcomes per problem, over the seeds that both have; an undecided
    problem is wrong. None with fewer than two seeds."""
    runs = {(run["arm"], run["seed"]): [mark == "1" for mark in run["outcomes"]] for run in task["runs"]}
    seeds = [seed for name, seed in runs if name == arm and ("ppo", seed) in runs]
    if len(seeds) < 2:
        return None
    ours, theirs = (np.array([runs[name, seed] for seed in seeds], float) for name in (arm, "ppo"))
    found = crossed_interval(ours - theirs)
    return found.value, found.stderr


# ------------------------------------------------------------------------------------------------------------- the line
def fit_line(cells: Sequence[StudyCell]) -> Line:
    """Weighted least squares with a spread between cells besides their own noise (random-effects meta-regression).

    Source of the spread: Paule and Mandel 1982, as in DerSimonian and Kacker 2007: the one at which the weighted
    squares of the residuals sum to their expectation, cells - 2; none where they are less without any.
    """
    x, y = (np.array([getattr(cell, name) for cell in cells]) for name in ("gap", "gain"))
    noise = np.array([max(cell.stderr, SMALLEST) for cell in cells]) ** 2
    design = np.stack([np.ones_like(x), x], axis=1)

    def solve(variance: float) -> tuple[Any, Any, float]:
        weights = 1 / (noise + variance)
        covariance = np.linalg.pinv(design.T * weights @ design)  # all gaps may be the same
        line = covariance @ (design.T * weights @ y)
        return line, covariance, float(weights @ (y - design @ line) ** 2)

    def exceed(variance: float) -> float:
        return solve(variance)[2] - (len(cells) - 2)

    between = brentq(exceed, 0.0, 1.0) if exceed(0.0) > 0 else 0.0
    line, covariance, _ = solve(between)
    variances = (covariance[0, 0], covariance[0, 1], covariance[1, 1])
    return Line(*map(float, line), tuple(map(float, variances)), float(between**0.5), len(cells))


def make_forecast(cells: Sequence[StudyCell], budget: str, version: str) -> Forecast:
    """With each cell predicted from those that share nothing with it. The interval that a measured gain must lie in
    knows its noise."""
    others = [[other for other in cells if other.world != cell.world] for cell in cells]
    guesses = [fit_line(rest).predict(cell.gap, cell.stderr) for rest, cell in zip(others, cells, strict=True)]
    gains = np.array([cell.gain for cell in cells])
    missed = gains - [value for value, _, _ in guesses]
    inside = [low <= gain <= high for (_, low, high), gain in zip(guesses, gains, strict=True)]
    return Forecast(
        line=fit_line(cells),
        cells=tuple(cells),
        error=float(np.sqrt(np.mean(missed**2))),
        r2=float(1 - np.sum(missed**2) / np.sum((gains - gains.mean()) ** 2)),
        covered=float(np.mean(inside)),
        others={},
        budget=budget,
        version=version,
    )


def write_forecast(raw: Mapping[str, Any], place: Path = PLACE) -> Forecast | None:
    """None, and nothing written, while there are too few cells."""
    cells = list_cells(raw)
    if len(cells) < FEWEST:
        return None
    parts = [found for found in raw.values() if found.get("probes")]
    least, most = min(part["budget"] for part in parts), max(part["budget"] for part in parts)
    budget = f"{most:,} tokens" if least == most else f"{least:,} to {most:,} tokens"
    version = parts[0]["versions"]["herl_bench"]
    others = {name: make_forecast(list_cells(raw, measure), "", "").error for name, measure in OTHERS.items()}
    made = replace(make_forecast(cells, budget, version), others=others)
    write_whole(place, json.dumps(round_all(asdict(made), 5), indent=1) + "\n")
    return made
