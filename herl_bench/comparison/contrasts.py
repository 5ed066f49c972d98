"""Arms against the baseline: on each task over the seeds that both have, item by item, and over several tasks together.

Of sets of answers there is no seed: the test is over items alone. Left out: contrasts between two arms neither of which
is the baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from herl_bench.comparison import statistics
from herl_bench.comparison.arm_scores import TrainedTask, average_runs
from herl_bench.comparison.outcomes import (
    Outcomes,
    build_criterion_matrix,
    build_matrix,
    estimate_by_kind,
    estimate_mean,
)
from herl_bench.comparison.schema import UNTRAINED, Arm, Contrast, CriterionChange, Flip, Interval, Overall, SeedTest
from herl_bench.comparison.verdict import ALPHA, Evidence, reach_verdict
from herl_bench.errors import UsageError

OVER_ITEMS = "items random, t"
STRATIFIED = "stratified percentile bootstrap over seeds; too narrow under 10"


@dataclass(frozen=True)
class Pair:
    """An arm beside the baseline on one task. a, b: (seed, item) of the baseline and of the arm, over the seeds of both
    and the items that all runs decided. planted: of these. test: None for one trained seed, which tells of no other."""

    outcomes: Outcomes
    arm: str
    baseline: str
    seeds: tuple[int, ...]
    a: statistics.Array
    b: statistics.Array
    planted: Sequence[bool | None]
    test: statistics.Crossed | None

    @property
    def gain(self) -> statistics.Array:
        return self.b - self.a


def contrast_arms(tasks: Sequence[Outcomes], baseline: str, margin: float) -> tuple[Contrast, ...]:
    """Every arm that has a seed in common with the baseline, on every task; p-values are corrected over all of them."""
    pairs = [
        _pair(outcomes, arm, baseline)
        for outcomes in tasks
        for arm, by_seed in outcomes.samples.items()
        if arm != baseline and by_seed.keys() & outcomes.samples[baseline].keys()
    ]
    p_values = [pair.test.p for pair in pairs if pair.test]
    corrected = iter(statistics.holm(p_values))
    return tuple(_contrast(pair, next(corrected) if pair.test else None, len(p_values), margin) for pair in pairs)


def _pair(outcomes: Outcomes, arm: str, baseline: str) -> Pair:
    seeds = tuple(seed for seed in outcomes.samples[arm] if seed in outcomes.samples[baseline])
    a, b = (build_matrix(outcomes, name, seeds) for name in (baseline, arm))
    decided = ~np.isnan(a + b).any(axis=0)
    if decided.sum() < 2:
        raise UsageError(f"{outcomes.task}: fewer than two items were judged in all runs of {arm} and {baseline}")
    a, b = a[:, decided], b[:, decided]
    planted = [outcomes.items.items[i].planted for i in np.flatnonzero(decided)]
    return Pair(outcomes, arm, baseline, seeds, a, b, planted, _test(outcomes, a, b))


def _test(outcomes: Outcomes, a_SI: statistics.Array, b_SI: statistics.Array) -> statistics.Crossed | None:
    if not outcomes.is_trained:
        return statistics.items_interval(a_SI[0], b_SI[0])
    return statistics.crossed_interval(b_SI - a_SI) if len(a_SI) > 1 else None


def _contrast(pair: Pair, p_holm: float | None, contrasts: int, margin: float) -> Contrast:
    outcomes, test = pair.outcomes, pair.test
    difference = estimate_mean(pair.gain)
    if test and not outcomes.is_trained:
        difference = Interval(test.value, test.low, test.high, OVER_ITEMS)
    evidence = _weigh(pair, difference, p_holm, contrasts, margin)
    low, high = statistics.hierarchical_bootstrap(pair.gain) if test else (None, None)
    higher = outcomes.items.higher_is_better
    return Contrast(
        task=outcomes.task,
        arm=pair.arm,
        baseline=pair.baseline,
        seeds=pair.seeds,
        items=evidence.items,
        difference=difference,
        p=test.p if test else None,
        p_holm=p_holm,
        hierarchical=Interval(evidence.difference, low, high, "hierarchical percentile bootstrap"),
        improvement=_estimate_improvement(pair) if outcomes.is_trained else UNTRAINED,
        seed_share=test.seed_share if test and outcomes.is_trained else None,
        detectable=evidence.detectable,
        verdict=reach_verdict(evidence, margin),
        seed_tests=tuple(_test_seed(seed, a, b, higher) for seed, a, b in zip(pair.seeds, pair.a, pair.b, strict=True)),
        flips=_find_flips(pair),
        criteria=_contrast_criteria(pair),
        kinds=estimate_by_kind(pair.gain, pair.planted),
    )


def _weigh(pair: Pair, difference: Interval, p_holm: float | None, contrasts: int, margin: float) -> Evidence:
    outcomes, test, items = pair.outcomes, pair.test, pair.a.shape[1]
    counts = {arm: outcomes.counts[arm] for arm in (pair.baseline, pair.arm)}
    return Evidence(
        *(outcomes.task, pair.arm, pair.baseline, len(pair.seeds), items, float(pair.gain.mean())),
        *(difference.low, difference.high, p_holm, contrasts),
        detectable=statistics.detectable(test) if test else None,
        seeds_needed=statistics.seeds_needed(test, margin) if test and outcomes.is_trained else None,
        higher_is_better=outcomes.items.higher_is_better,
        undecided={arm: (count.undecided, count.responses) for arm, count in counts.items()},
        repeats=None if outcomes.repeats is None else [outcomes.repeats[arm] for arm in counts],
        items_needed=statistics.items_needed(test, items, margin) if test and not outcomes.is_trained else None,
    )


def _estimate_improvement(pair: Pair) -> Interval:
    worse, better = (pair.a, pair.b) if pair.outcomes.items.higher_is_better else (pair.b, pair.a)
    means = [values.mean(axis=1, keepdims=True) for values in (worse, better)]
    chance, count = statistics.probability_of_improvement(*means), len(pair.seeds)
    return Interval(chance, *statistics.improvement_interval(chance, count, count), "Newcombe's method 5")


def _test_seed(seed: int, a_I: statistics.Array, b_I: statistics.Array, higher_is_better: bool) -> SeedTest:
    is_binary = set(a_I.tolist()) | set(b_I.tolist()) <= {0.0, 1.0}
    gained, lost = int((b_I > a_I).sum()), int((b_I < a_I).sum())
    fixed, broken = (gained, lost) if higher_is_better else (lost, gained)
    bounds = statistics.paired_bootstrap(b_I - a_I, seed=seed)
    difference = Interval(float((b_I - a_I).mean()), *bounds, "paired bootstrap over items")
    return SeedTest(seed, len(a_I), fixed, broken, difference, statistics.mcnemar(fixed, broken) if is_binary else None)


# -------------------------------------------------------------------------------------------------- what is behind it
def _find_flips(pair: Pair) -> tuple[Flip, ...]:
    """Items that one of the two got right and the other wrong, in the same seed."""
    outcomes = pair.outcomes
    flips = []
    for seed in pair.seeds:
        was_I, now_I = (build_matrix(outcomes, arm, [seed])[0] for arm in (pair.baseline, pair.arm))
        samples = zip(outcomes.samples[pair.baseline][seed], outcomes.samples[pair.arm][seed], strict=True)
        for i, (was, now) in enumerate(samples):
            if {was_I[i], now_I[i]} == {0.0, 1.0}:
                is_fixed = bool((now_I[i] == 1.0) == outcomes.items.higher_is_better)
                flips.append(Flip(seed, i, is_fixed, was.response, now.response, was.missed, now.missed))
    return tuple(flips)


def _contrast_criteria(pair: Pair) -> tuple[CriterionChange, ...]:
    """Without items to which a criterion does not apply, or left undecided. Corrected over the criteria."""
    changes = [_contrast_criterion(pair, name) for name in pair.outcomes.items.criteria]
    corrected = iter(statistics.holm([change.p for change in changes if change.p is not None]))
    return tuple(change if change.p is None else _correct(change, next(corrected)) for change in changes)


def _contrast_criterion(pair: Pair, name: str) -> CriterionChange:
    """Not corrected yet."""
    a, b = (build_criterion_matrix(pair.outcomes, arm, pair.seeds, name) for arm in (pair.baseline, pair.arm))
    decided = ~np.isnan(a + b).any(axis=0)
    a, b = a[:, decided], b[:, decided]
    if a.shape[1] < 2:
        nothing = Interval(None, None, None, "decided on fewer than two items")
        return CriterionChange(name, None, None, nothing, None, None, "unclear")
    test = _test(pair.outcomes, a, b)
    p = test.p if test else None
    return CriterionChange(name, float(a.mean()), float(b.mean()), estimate_mean(b - a), p, None, "unclear")


def _correct(change: CriterionChange, p_holm: float) -> CriterionChange:
    word: Literal["fixed", "regressed", "unclear"] = "unclear"
    if p_holm < ALPHA:
        word = "fixed" if (change.difference.value or 0) > 0 else "regressed"
    return replace(change, p_holm=p_holm, verdict=word)


# -------------------------------------------------------------------------------------------------------- several tasks
def sum_up_tasks(tasks: Sequence[TrainedTask], arms: Sequence[Arm]) -> tuple[Overall, ...]:
    """For arms that have as many runs on each of several tasks, the baseline first."""
    if len(tasks) < 2 or not all(task.outcomes.items.higher_is_better for task in tasks):
        return ()
    scores_ST: dict[str, statistics.Array] = {}
    for arm in arms:
        columns = [average_runs(task, arm.name) for task in tasks if arm.name in task.runs]
        if len(columns) == len(tasks) and len({len(column) for column in columns}) == 1 and len(columns[0]) > 1:
            scores_ST[arm.name] = np.hstack(columns)
    first = arms[0].name
    found = {name: _estimate(statistics.iqm, scores) for name, scores in scores_ST.items()}
    chances = {
        name: _estimate(statistics.probability_of_improvement, scores_ST[first], scores)
        for name, scores in scores_ST.items()
        if first in scores_ST and name != first
    }
    return tuple(Overall(name, iqm, chances.get(name)) for name, iqm in found.items())


def _estimate(statistic: Callable[..., float], *scores_ST: statistics.Array) -> Interval:
    return Interval(statistic(*scores_ST), *statistics.stratified_bootstrap(statistic, scores_ST), STRATIFIED)
