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

from herl_bench.comparison.schema import Interval, Verdict, VerdictWord

FEWEST_SEEDS = 3
ALPHA = 0.05
MARGIN = 0.05
LOUD = 0.01
"""Share of undecided answers from which on the verdict's sentence names them."""
_UNKNOWN = "what another training seed would give, they cannot tell"
ITEMS_ONLY = f"This is about these answers, on items like these: {_UNKNOWN}."


@dataclass(frozen=True)
class Evidence:
    """What the rules look at. difference: arm minus baseline, with its interval. p: corrected. detectable, …_needed: as
    in `statistics.py`. undecided: by arm, of how many answers. repeats: samples of each item; None for trained runs."""

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


def reach_verdict(evidence: Evidence, margin: float = MARGIN) -> Verdict:
    """Its sentence says with which design it was reached, and what that cannot tell."""
    has_few_seeds = evidence.repeats is None and evidence.seeds < FEWEST_SEEDS
    if evidence.low is None or evidence.high is None or evidence.p is None or has_few_seeds:
        sentence = (
            f"Not enough seeds to compare {evidence.arm} and {evidence.baseline} on {evidence.task}: with"
            f" {spell_count(evidence.seeds, 'seed')} the difference is {spell_signed(evidence.difference)}, and how"
            f" much of it another seed would change is not known; at least {FEWEST_SEEDS} are needed."
        )
        found = Verdict("not enough seeds", sentence)
    else:
        found = _judge(evidence, evidence.low, evidence.high, evidence.p, margin)
    caveat = "" if evidence.repeats is None else f" {ITEMS_ONLY}"
    undecided = describe_undecided(evidence.undecided, evidence.higher_is_better)
    return replace(found, sentence=found.sentence + caveat + undecided)


def _judge(evidence: Evidence, low: float, high: float, p: float, margin: float) -> Verdict:
    who = f"{evidence.arm} and {evidence.baseline} on {evidence.task}"
    unit, over = ("seeds", "") if evidence.repeats is None else ("items", " over items")
    bounds = f"{spell_signed(low)} to {spell_signed(high)}"
    interval, design = f"{spell_signed(evidence.difference)}, 95 % interval{over} {bounds}", _describe_design(evidence)
    test = spell_p(p) + (f", corrected for {evidence.contrasts} comparisons" if evidence.contrasts > 1 else "")
    if p < ALPHA and (low > 0 or high < 0):
        word: VerdictWord = "better" if (evidence.difference > 0) == evidence.higher_is_better else "worse"
        what = f"{evidence.arm} is {word} than {evidence.baseline} on {evidence.task}"
        return Verdict(word, f"{what}: {interval} ({design}; {test}).")
    bound = math.ceil(round(max(abs(low), abs(high)) * 1000, 6)) / 1000
    if bound <= margin:
        what = f"There is no difference larger than {bound:g} between {who}"
        return Verdict("no difference larger than", f"{what}: {interval} ({design}).", bound)
    what = f"Not enough {unit} to tell {who} apart"
    sentence = f"{what}: {interval} ({design}; {test}).{_describe_power(evidence, margin)}"
    return Verdict("not enough seeds" if unit == "seeds" else "not enough items", sentence)


def _describe_design(evidence: Evidence) -> str:
    items = spell_count(evidence.items, "item")
    if evidence.repeats is None:
        return f"{spell_count(evidence.seeds, 'seed')} × {items}"
    fewest, most = min(evidence.repeats), max(evidence.repeats)
    samples = spell_count(most, "sample") if fewest == most else f"{fewest:,} to {most:,} samples"
    return f"{items}, {'one sample' if most == 1 else samples} of each"


def _describe_power(evidence: Evidence, margin: float) -> str:
    """What this design could have found, and what it would take, with a space in front."""
    if evidence.detectable is None:
        return ""
    items = spell_count(evidence.items, "item")
    if evidence.repeats is None:
        design, what = f"{spell_count(evidence.seeds, 'seed')} and {items}", "a gain"
        need = None if evidence.seeds_needed is None else f"about {evidence.seeds_needed} seeds"
    else:
        design, what, need = items, "a difference", f"about {evidence.items_needed:,} items"
    note = f"With {design} {what} under {evidence.detectable:.3f} cannot be told from noise"
    if evidence.detectable > margin:
        note += f"; finding one of {margin:g} takes {need or 'more evaluation items, not more seeds alone'}"
    return f" {note}."


def describe_undecided(undecided: Mapping[str, tuple[int, int]], higher_is_better: bool = True) -> str:
    """A sentence for each arm with over 1 % undecided, a space in front. undecided: (how many, of how many)."""
    become = "count as wrong" if higher_is_better else "are left out"
    loud = [(arm, n, of) for arm, (n, of) in undecided.items() if n > LOUD * of]
    return "".join(f" {n:,} of {of:,} answers of {arm} could not be decided and {become}." for arm, n, of in loud)


def describe_aside(undecided: int, shared: int, of: int) -> str:
    """What stands beside a score: `6 of 12 undecided, 3 shared`; empty where there is nothing to say."""
    return ", ".join([f"{undecided:,} of {of:,} undecided"] * bool(undecided) + [f"{shared:,} shared"] * bool(shared))


def describe_falls(
    task: str, arms: Sequence[str], scores: Mapping[str, tuple[float, float]], rates: Mapping[str, float | None]
) -> str:
    """arms: all of the task. scores: before and after, of those that fell. rates: their learning rates, where known."""
    many = len(scores) > 1
    everyone = "both arms" if len(arms) == 2 else f"all {len(arms)} arms"
    subject = everyone if many and len(scores) == len(arms) else " and ".join(scores)
    changes = ", ".join(f"{arm} {before:.3f} → {after:.3f}" for arm, (before, after) in scores.items())
    used = sorted({rate for arm in scores if (rate := rates.get(arm)) is not None})
    tried = " and ".join(f"{rate:g}" for rate in used)
    advice = f" than {tried} (--set learning_rate={min(used) / 3:.0e})" if used else ""
    they, where = ("they", "they began") if many else ("it", "it began")
    first = f"{subject[0].upper()}{subject[1:]}" if subject == everyone else subject
    return (
        f"{first} ended below where {where} on {task}: {changes}. What {they} did in training made the policy worse:"
        f" try a lower learning rate{advice}."
    )


def describe_change(
    task: str, method: str, before: float | None, after: float | None, gain: Interval, higher_is_better: bool = True
) -> str:
    """One run. gain: over the items of its one seed; only an interval on one side of 0 is called a change."""
    if before is None or after is None or gain.value is None:
        return f"{method} on {task}: nothing that was evaluated could be judged."
    what = f"{before:.3f} before training, {after:.3f} after"
    if gain.low is None or gain.high is None:
        return f"{method} on {task}: {what}; too few items for an interval."
    value, low, high = map(spell_signed, (gain.value, gain.low, gain.high))
    interval = f"{value}, 95 % interval over items {low} to {high}"
    if gain.low <= 0 <= gain.high:
        return f"No change that these items could show: {method} on {task} scores {what} ({interval})."
    word = "better" if (gain.value > 0) == higher_is_better else "worse"
    advice = "" if word == "better" else " It ended below where it began: try a lower learning rate."
    return f"This {method} run made the policy {word} on {task}: {what} ({interval}).{advice}"


def spell_count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def spell_signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−") if abs(value) >= 0.0005 else "0.000"


def spell_p(p: float) -> str:
    return f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"
