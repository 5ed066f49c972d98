"""Words for numbers, by fixed rules, so that nobody's hopes choose them.

For an arm against the baseline on one task, with the interval of the difference at 95 % and the p-value corrected over all contrasts (Holm):

1. fewer than 3 seeds: **not enough seeds**, whatever the difference;
2. corrected p under 0.05, and the interval on one side of 0: **better** or **worse**;
3. otherwise, where every value in the interval is closer to 0 than the margin (0.05 unless asked otherwise): **no difference larger than X**,
   X being the end of the interval that is farther from 0, rounded up;
4. otherwise: **not enough seeds**, with what these seeds could have found.

"Better" respects metrics of which less is more. Left out: the size that a difference must have to matter to anybody; only rule 3 has a margin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from herl_bench.compare.model import Interval, Verdict

FEWEST_SEEDS = 3
ALPHA = 0.05
MARGIN = 0.05


@dataclass(frozen=True)
class Evidence:
    """What the rules look at. difference: arm minus baseline, with its interval. p: corrected. detectable, seeds_needed: see `stats.py`."""

    task: str
    arm: str
    baseline: str
    seeds: int
    items: int
    difference: float
    low: float | None
    high: float | None
    p: float | None
    contrasts: int
    detectable: float | None = None
    seeds_needed: int | None = None
    higher_is_better: bool = True


def verdict(given: Evidence, margin: float = MARGIN) -> Verdict:
    who = f"{given.arm} and {given.baseline} on {given.task}"
    design = f"{count(given.seeds, 'seed')} × {count(given.items, 'item')}"
    if given.seeds < FEWEST_SEEDS or given.low is None or given.high is None or given.p is None:
        return Verdict(
            "not enough seeds",
            f"Not enough seeds to compare {who}: with {count(given.seeds, 'seed')} the difference is {signed(given.difference)}, and how much "
            f"of it another seed would change is not known; at least {FEWEST_SEEDS} are needed.",
        )
    interval = f"{signed(given.difference)}, 95 % interval {signed(given.low)} to {signed(given.high)}"
    corrected = f", corrected for {given.contrasts} comparisons" if given.contrasts > 1 else ""
    if given.p < ALPHA and (given.low > 0 or given.high < 0):
        word = "better" if (given.difference > 0) == given.higher_is_better else "worse"
        return Verdict(
            "better" if word == "better" else "worse",
            f"{given.arm} is {word} than {given.baseline} on {given.task}: {interval} ({design}; {probability(given.p)}{corrected}).",
        )
    bound = math.ceil(round(max(abs(given.low), abs(given.high)) * 1000, 6)) / 1000
    if bound <= margin:
        return Verdict(
            "no difference larger than", f"There is no difference larger than {bound:g} between {who}: {interval} ({design}).", bound
        )
    return Verdict(
        "not enough seeds",
        f"Not enough seeds to tell {who} apart: {interval} ({design}; {probability(given.p)}{corrected}). {power_note(given, margin)}",
    )


def change(task: str, method: str, before: float | None, after: float | None, gain: Interval, higher_is_better: bool = True) -> str:
    """One run, before and after training. gain: over the items of its one seed; only an interval on one side of 0 is called a change."""
    if before is None or after is None or gain.value is None:
        return f"{method} on {task}: nothing that was evaluated could be judged."
    what = f"{before:.3f} before training, {after:.3f} after"
    if gain.low is None or gain.high is None:
        return f"{method} on {task}: {what}; too few items for an interval."
    interval = f"{signed(gain.value)}, 95 % interval over items {signed(gain.low)} to {signed(gain.high)}"
    if gain.low <= 0 <= gain.high:
        return f"No change that these items could show: {method} on {task} scores {what} ({interval})."
    word = "better" if (gain.value > 0) == higher_is_better else "worse"
    return f"This {method} run made the policy {word} on {task}: {what} ({interval})."


def power_note(given: Evidence, margin: float = MARGIN) -> str:
    """What this design could have found, and what it would take."""
    if given.detectable is None:
        return ""
    note = (
        f"With {count(given.seeds, 'seed')} and {count(given.items, 'item')} a gain under {given.detectable:.3f} cannot be told from noise"
    )
    if given.detectable <= margin:
        return f"{note}."
    if given.seeds_needed is None:
        return f"{note}; finding one of {margin:g} takes more evaluation items, not more seeds alone."
    return f"{note}; finding one of {margin:g} takes about {given.seeds_needed} seeds."


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−") if abs(value) >= 0.0005 else "0.000"


def probability(p: float) -> str:
    return f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"
