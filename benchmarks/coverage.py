"""Simulated truth: how often the intervals of a comparison cover a known effect, and how often no effect is called one.

    python benchmarks/coverage.py --draws 1000

A draw is a comparison of two arms on items of known difficulty: an answer is right with chance sigmoid(item + effect of
the arm + effect of the seed + effect of the seed on the item), all normal, so the true difference is an integral that
quadrature gives. `planted` is closer to what a synthetic world does: half the items are hopeless for the baseline, and
how many of them the arm gets right depends on the seed. Reported beside the interval that verdicts rest on (`crossed`):
a hierarchical percentile bootstrap; the t interval over seeds that knows nothing of items; and the same variance with
estimated degrees of freedom, df = (var_seed + var_item)^2 / (var_seed^2 / (S - 1)) (Hillis 2007).
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from herl_bench.comparison import statistics

RESULTS = Path(__file__).parent / "results" / "coverage.json"
BOOTSTRAP_DRAWS = 500


@dataclass(frozen=True)
class World:
    """Standard deviations on the logit scale. effect: of the arm over the baseline."""

    name: str
    effect: float
    item: float
    seed: float
    seed_item: float
    planted: bool = False


def list_worlds() -> list[World]:
    return [
        World("seeds alike", 0.8, 2.0, 0.0, 0.0),
        World("seeds vary a little", 0.8, 2.0, 0.15, 0.5),
        World("seeds vary", 0.8, 2.0, 0.4, 0.5),
        World("seeds vary much", 0.8, 2.0, 1.0, 1.0),
        World("planted", 0.5, 1.0, 0.7, 0.5, planted=True),
    ]


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _compute_levels(world: World, arm: int) -> list[tuple[float, float]]:
    """(share of items, their mean logit) for one arm."""
    if not world.planted:
        return [(1.0, arm * world.effect)]
    return [(0.5, 1.5), (0.5, -6.0 if arm == 0 else world.effect - 1.0)]


def compute_truth(world: World) -> float:
    """The difference in expected accuracy over the populations of items and seeds."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    spread = np.sqrt(world.item**2 + world.seed**2 + world.seed_item**2)
    means = [
        sum(
            share * float((weights * _sigmoid(level + spread * nodes)).sum() / weights.sum())
            for share, level in _compute_levels(world, arm)
        )
        for arm in (0, 1)
    ]
    return means[1] - means[0]


def draw(world: World, seeds: int, items: int, rng: np.random.Generator, arms: tuple[int, ...] = (0, 1)) -> list[Any]:
    """One matrix of outcomes, (seed, item), for each arm; the items are the same."""
    difficulty, hard = rng.normal(0, world.item, items), rng.random(items) < 0.5
    out = []
    for arm in arms:
        levels = _compute_levels(world, arm)
        level = np.where(hard, levels[-1][1], levels[0][1])
        logits = (
            level + difficulty + rng.normal(0, world.seed, (seeds, 1)) + rng.normal(0, world.seed_item, (seeds, items))
        )
        out.append((rng.random((seeds, items)) < _sigmoid(logits)).astype(float))
    return out


@dataclass(frozen=True)
class Hits:
    crossed: int
    bootstrap: int
    seeds_alone: int
    estimated_df: int
    width: float


def measure_coverage(world: World, *, seeds: int, items: int, draws: int, first: int, bootstrap: bool = False) -> Hits:
    """How many of `draws` intervals cover the truth."""
    true, crossed, resampled, alone, estimated, width = compute_truth(world), 0, 0, 0, 0, 0.0
    for number in range(first, first + draws):
        baseline, arm = draw(world, seeds, items, np.random.default_rng(number))
        gain = arm - baseline
        found = statistics.crossed_interval(gain)
        crossed += found.low <= true <= found.high
        width += (found.high - found.low) / draws
        if bootstrap:
            low, high = statistics.hierarchical_bootstrap(gain, draws=BOOTSTRAP_DRAWS, seed=number)
            resampled += low <= true <= high
            low, high = statistics.mean_interval(gain.mean(1))
            alone += low <= true <= high
            estimated += estimate_p(found, true) > 0.05
    return Hits(crossed, resampled, alone, estimated, width)


def estimate_p(found: statistics.Crossed, null: float = 0.0) -> float:
    """The p-value of Hillis's test that the mean is `null`."""
    if found.stderr == 0:
        return 1.0
    df = found.stderr**4 / (found.var_seed**2 / (found.seeds - 1)) if found.var_seed > 0 else 1e6
    return float(2 * student.sf(abs(found.value - null) / found.stderr, min(df, 1e6)))


def count_false_positives(
    *, seeds: int, items: int, tasks: int, arms: int, draws: int, first: int, p_value: Any = lambda found: found.p
) -> int:
    """In how many of `draws` comparisons of equal arms any corrected p-value is under 0.05. Arms share the baseline's
    runs."""
    world = World("no effect", 0.0, 2.0, 0.4, 0.5)
    wrong = 0
    for number in range(first, first + draws):
        rng = np.random.default_rng(number)
        p_values = []
        for _ in range(tasks):
            baseline, *others = draw(world, seeds, items, rng, arms=(0,) * (arms + 1))
            p_values += [p_value(statistics.crossed_interval(other - baseline)) for other in others]
        wrong += min(statistics.holm(p_values)) < 0.05
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--items", type=int, default=200)
    given = parser.parse_args()
    rows = []
    for world in list_worlds():
        for seeds in (3, 5, 10):
            hits = measure_coverage(world, seeds=seeds, items=given.items, draws=given.draws, first=0, bootstrap=True)
            shares = {
                name: getattr(hits, name) / given.draws
                for name in ("crossed", "bootstrap", "seeds_alone", "estimated_df")
            }
            rows.append(
                {
                    "world": world.name,
                    "seeds": seeds,
                    "truth": round(compute_truth(world), 4),
                    **shares,
                    "mean_width": round(hits.width, 4),
                }
            )
            print(rows[-1], flush=True)
    wrong = []
    for seeds in (3, 5, 10):
        design = {"seeds": seeds, "tasks": 3, "arms": 2}
        rates = {
            name: count_false_positives(**design, items=given.items, draws=given.draws, first=0, p_value=p_value)
            / given.draws
            for name, p_value in (("crossed", lambda found: found.p), ("estimated_df", estimate_p))
        }
        wrong.append({**design, "any_false_positive": rates})
        print(wrong[-1], flush=True)
    how = {
        "command": " ".join(["python", *sys.argv]),
        "draws": given.draws,
        "items": given.items,
        "level": statistics.LEVEL,
    }
    RESULTS.write_text(json.dumps({**how, "coverage": rows, "no_effect": wrong}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
