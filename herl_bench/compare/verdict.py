"""Words for numbers, by fixed rules, so that nobody's hopes choose them.

For an arm against the baseline on one task, with the interval of the difference at 95 % and the p-value corrected over
all contrasts (Holm):

1. fewer than 3 seeds: **not enough seeds**, whatever the difference;
2. corrected p under 0.05, and the interval on one side of 0: **better** or **worse**;
3. otherwise, where every value in the interval is closer to 0 than the margin (0.05 unless asked otherwise): **no
   difference larger than X**, X being the end of the interval that is farther from 0, rounded up;
4. otherwise: **not enough seeds**, with what these seeds could have found.

Where two sets of answers are compared and nothing was trained, seeds play no part: the same rules without the first,
over items alone, and the sentence says what that cannot tell. Where more than 1 % of an arm's answers were undecided,
the sentence says so too.

"Better" respects metrics of which less is more. Left out: the size that a difference must have to matter to anybody;
only rule 3 has a margin.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from herl_bench.compare.schema import Interval, Verdict

FEWEST_SEEDS = 3
ALPHA = 0.05
MARGIN = 0.05
LOUD = 0.01
"""Share of undecided answers from which on the verdict's sentence names them."""


@dataclass(frozen=True)
class Evidence:
    """What the rules look at. difference: arm minus baseline, with its interval. p: corrected. detectable,
    seeds_needed, items_needed: see `statistics.py`.

    undecided: by arm, of how many answers. repeats: samples of each item, where sets of answers are compared and
    nothing was trained; else None.
    """

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
    undecided: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    repeats: Sequence[int] | None = None
    items_needed: int | None = None


def reach_verdict(given: Evidence, margin: float = MARGIN) -> Verdict:
    found = _judge_over_seeds(given, margin) if given.repeats is None else _judge_over_items(given, margin)
    return replace(found, sentence=found.sentence + describe_undecided(given.undecided, given.higher_is_better))


def _judge_over_seeds(given: Evidence, margin: float) -> Verdict:
    who = f"{given.arm} and {given.baseline} on {given.task}"
    design = f"{spell_count(given.seeds, 'seed')} × {spell_count(given.items, 'item')}"
    if given.seeds < FEWEST_SEEDS or given.low is None or given.high is None or given.p is None:
        return Verdict(
            "not enough seeds",
            f"Not enough seeds to compare {who}: with {spell_count(given.seeds, 'seed')} the difference is"
            f" {spell_signed(given.difference)}, and how much of it another seed would change is not known; at least"
            f" {FEWEST_SEEDS} are needed.",
        )
    interval = (
        f"{spell_signed(given.difference)}, 95 % interval {spell_signed(given.low)} to {spell_signed(given.high)}"
    )
    corrected = f", corrected for {given.contrasts} comparisons" if given.contrasts > 1 else ""
    if given.p < ALPHA and (given.low > 0 or given.high < 0):
        word = "better" if (given.difference > 0) == given.higher_is_better else "worse"
        return Verdict(
            "better" if word == "better" else "worse",
            f"{given.arm} is {word} than {given.baseline} on {given.task}: {interval} ({design};"
            f" {spell_p(given.p)}{corrected}).",
        )
    bound = math.ceil(round(max(abs(given.low), abs(given.high)) * 1000, 6)) / 1000
    if bound <= margin:
        return Verdict(
            "no difference larger than",
            f"There is no difference larger than {bound:g} between {who}: {interval} ({design}).",
            bound,
        )
    return Verdict(
        "not enough seeds",
        f"Not enough seeds to tell {who} apart: {interval} ({design}; {spell_p(given.p)}{corrected})."
        f" {describe_power(given, margin)}",
    )


def _judge_over_items(given: Evidence, margin: float) -> Verdict:
    low, high, p, repeats = given.low, given.high, given.p, given.repeats or (1,)
    assert low is not None
    assert high is not None
    assert p is not None
    who = f"{given.arm} and {given.baseline} on {given.task}"
    fewest, most = min(repeats), max(repeats)
    samples = (
        "one sample"
        if most == 1
        else spell_count(most, "sample")
        if fewest == most
        else f"{fewest:,} to {most:,} samples"
    )
    design = f"{spell_count(given.items, 'item')}, {samples} of each"
    interval = f"{spell_signed(given.difference)}, 95 % interval over items {spell_signed(low)} to {spell_signed(high)}"
    found = spell_p(p) + (f", corrected for {given.contrasts} comparisons" if given.contrasts > 1 else "")
    limits = (
        "This is about these answers, on items like these: what another training seed would give, they cannot tell."
    )
    if p < ALPHA and (low > 0 or high < 0):
        word = "better" if (given.difference > 0) == given.higher_is_better else "worse"
        said = f"{given.arm} is {word} than {given.baseline} on {given.task}: {interval} ({design}; {found}). {limits}"
        return Verdict("better" if word == "better" else "worse", said)
    bound = math.ceil(round(max(abs(low), abs(high)) * 1000, 6)) / 1000
    if bound <= margin:
        said = f"There is no difference larger than {bound:g} between {who}: {interval} ({design}). {limits}"
        return Verdict("no difference larger than", said, bound)
    power = ""
    if given.detectable is not None and given.items_needed is not None:
        items, least = spell_count(given.items, "item"), f"{given.detectable:.3f}"
        need = f"; finding one of {margin:g} takes about {given.items_needed:,} items"
        power = f" With {items} a difference under {least} cannot be told from noise"
        power += f"{need if given.detectable > margin else ''}."
    return Verdict(
        "not enough items", f"Not enough items to tell {who} apart: {interval} ({design}; {found}).{power} {limits}"
    )


def describe_undecided(undecided: Mapping[str, tuple[int, int]], higher_is_better: bool = True) -> str:
    """A sentence for each arm of which more than 1 % were undecided, with a space in front; else nothing. undecided:
    (how many, of how many)."""
    become = "count as wrong" if higher_is_better else "are left out"
    loud = [(arm, n, of) for arm, (n, of) in undecided.items() if n > LOUD * of]
    return "".join(f" {n:,} of {of:,} answers of {arm} could not be decided and {become}." for arm, n, of in loud)


def describe_aside(undecided: int, shared: int, of: int) -> str:
    """What stands beside a score: `6 of 12 undecided, 3 shared`; empty where there is nothing to say."""
    return ", ".join([f"{undecided:,} of {of:,} undecided"] * bool(undecided) + [f"{shared:,} shared"] * bool(shared))


def describe_falls(
    task: str, arms: Sequence[str], scores: Mapping[str, tuple[float, float]], rates: Mapping[str, float | None]
) -> str:
    """arms: all of the task. scores: before and after, of those that ended below where they began. rates: their
    learning rates, where known."""
    many = len(scores) > 1
    everyone = "both arms" if len(arms) == 2 else f"all {len(arms)} arms"
    subject = everyone if many and len(scores) == len(arms) else " and ".join(scores)
    told = ", ".join(f"{arm} {before:.3f} → {after:.3f}" for arm, (before, after) in scores.items())
    used = sorted({rate for arm in scores if (rate := rates.get(arm)) is not None})
    advice = (
        f" than {' and '.join(f'{rate:g}' for rate in used)} (--set learning_rate={min(used) / 3:.0e})" if used else ""
    )
    they, where = ("they", "they began") if many else ("it", "it began")
    first = f"{subject[0].upper()}{subject[1:]}" if subject == everyone else subject
    return (
        f"{first} ended below where {where} on {task}: {told}. What {they} did in training made the policy worse: try a"
        f" lower learning rate{advice}."
    )


def describe_change(
    task: str, method: str, before: float | None, after: float | None, gain: Interval, higher_is_better: bool = True
) -> str:
    """One run, before and after training. gain: over the items of its one seed; only an interval on one side of 0 is
    called a change."""
    if before is None or after is None or gain.value is None:
        return f"{method} on {task}: nothing that was evaluated could be judged."
    what = f"{before:.3f} before training, {after:.3f} after"
    if gain.low is None or gain.high is None:
        return f"{method} on {task}: {what}; too few items for an interval."
    interval = (
        f"{spell_signed(gain.value)}, 95 % interval over items {spell_signed(gain.low)} to {spell_signed(gain.high)}"
    )
    if gain.low <= 0 <= gain.high:
        return f"No change that these items could show: {method} on {task} scores {what} ({interval})."
    better = (gain.value > 0) == higher_is_better
    advice = "" if better else " It ended below where it began: try a lower learning rate."
    return (
        f"This {method} run made the policy {'better' if better else 'worse'} on {task}: {what} ({interval}).{advice}"
    )


def describe_power(given: Evidence, margin: float = MARGIN) -> str:
    """What this design could have found, and what it would take."""
    if given.detectable is None:
        return ""
    design = f"{spell_count(given.seeds, 'seed')} and {spell_count(given.items, 'item')}"
    note = f"With {design} a gain under {given.detectable:.3f} cannot be told from noise"
    if given.detectable <= margin:
        return f"{note}."
    if given.seeds_needed is None:
        return f"{note}; finding one of {margin:g} takes more evaluation items, not more seeds alone."
    return f"{note}; finding one of {margin:g} takes about {given.seeds_needed} seeds."


def spell_count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def spell_signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−") if abs(value) >= 0.0005 else "0.000"


def spell_p(p: float) -> str:
    return f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"
