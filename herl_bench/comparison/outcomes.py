"""One task's outcomes, item by item, of runs or answers: as matrices (seed, item), and the intervals of their means.

An answer that could not be decided counts as wrong. Only where less is better is there no worst value: its item is then
NaN in a matrix, and left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from herl_bench.comparison import statistics
from herl_bench.comparison.finished_runs import FinishedRun, Sample
from herl_bench.comparison.schema import Interval, TaskItems
from herl_bench.errors import UsageError
from herl_bench.evaluation.scores import value_of_undecided

CROSSED = "seeds and items random, Behrens-Fisher"
ONE_SEED = "items random, one seed, t"
WILSON = "items random, one seed, Wilson"


@dataclass(frozen=True)
class Counts:
    """Answers of an arm: how many there are, without an outcome, and resting on the program's own comparison."""

    responses: int
    undecided: int
    shared: int


@dataclass(frozen=True)
class Outcomes:
    """samples: by arm and seed, in the order of `items`. counts: by arm. repeats: by arm, samples of each item in a set
    of answers, which is one seed; None for runs."""

    items: TaskItems
    samples: Mapping[str, Mapping[int, Sequence[Sample]]]
    counts: Mapping[str, Counts]
    repeats: Mapping[str, int] | None = None

    @property
    def task(self) -> str:
        return self.items.task

    @property
    def is_trained(self) -> bool:
        return self.repeats is None

    @property
    def wrong(self) -> float:
        """What an undecided answer counts, the same in all arms."""
        everything = (s.outcome for seeds in self.samples.values() for samples in seeds.values() for s in samples)
        value = value_of_undecided(everything, self.items.higher_is_better)
        return float("nan") if value is None else value


def gather_runs(by_arm: Mapping[str, Sequence[FinishedRun]]) -> Outcomes:
    """by_arm: runs of one task, the baseline's first. Where runs were evaluated on other items, what is in all of them
    is compared. Raises `UsageError` where that is nothing."""
    runs = [run for group in by_arm.values() for run in group]
    first = runs[0]
    shared = set.intersection(*({sample.item.id for sample in run.after.samples} for run in runs))
    items = tuple(sample.item for sample in first.after.samples if sample.item.id in shared)
    if not items:
        raise UsageError(f"{first.task}: the runs share no evaluation item")
    judged_by = [run.after.summary["criteria"] for run in runs]
    criteria = tuple(name for name in judged_by[0] if all(name in names for names in judged_by))
    guides = tuple(name for name in criteria if all(name in run.after.summary.get("guides", ()) for run in runs))
    source = str(first.manifest["data"]["source"])

    def put_in_order(run: FinishedRun) -> list[Sample]:
        by_id = {sample.item.id: sample for sample in run.after.samples}
        return [by_id[item.id] for item in items]

    samples = {arm: {run.seed: put_in_order(run) for run in group} for arm, group in by_arm.items()}
    counts = {arm: _count([s for ordered in seeds.values() for s in ordered]) for arm, seeds in samples.items()}
    described = TaskItems(first.task, first.metric, first.higher_is_better, source, items, criteria, guides)
    return Outcomes(described, samples, counts)


def _count(samples: Sequence[Sample]) -> Counts:
    undecided = sum(sample.outcome is None for sample in samples)
    return Counts(len(samples), undecided, sum(sample.integrity == "shared" for sample in samples))


# ------------------------------------------------------------------------------------------------------------- matrices
def build_matrix(outcomes: Outcomes, arm: str, seeds: Iterable[int]) -> statistics.Array:
    """The outcome of each (seed, item), the undecided ones counted as wrong; NaN where that is not possible."""
    wrong = outcomes.wrong
    return _build(outcomes, arm, seeds, lambda sample: wrong if sample.outcome is None else sample.outcome)


def build_criterion_matrix(outcomes: Outcomes, arm: str, seeds: Iterable[int], criterion: str) -> statistics.Array:
    """Whether each (seed, item) met the criterion; NaN where it does not apply or could not be decided."""
    return _build(outcomes, arm, seeds, lambda sample: sample.criteria.get(criterion))


def _build(
    outcomes: Outcomes, arm: str, seeds: Iterable[int], value: Callable[[Sample], float | None]
) -> statistics.Array:
    return np.array([[value(sample) for sample in outcomes.samples[arm][seed]] for seed in seeds], dtype=float)


# ------------------------------------------------------------------------------------------------------------ intervals
def estimate_mean(values_SI: statistics.Array) -> Interval:
    """Of a mean over seeds and items, without items that hold an undecided value. One seed speaks of itself only."""
    values = drop_undecided(values_SI)
    if values.shape[1] < 2:
        return Interval(float(values.mean()) if values.size else None, None, None, "too few items")
    if len(values) > 1:
        crossed = statistics.crossed_interval(values)
        return Interval(crossed.value, crossed.low, crossed.high, CROSSED)
    return Interval(float(values.mean()), *statistics.mean_interval(values[0]), ONE_SEED)


def estimate_score(values_SI: statistics.Array) -> Interval:
    """`estimate_mean` of a score in [0, 1]: within these bounds, and by Wilson for one seed of right-or-wrong items,
    which none or all may have right."""
    values = drop_undecided(values_SI)
    if len(values) == 1 and values.size > 1 and set(np.unique(values)) <= {0.0, 1.0}:
        return Interval(float(values.mean()), *statistics.share_interval(int(values.sum()), values.size), WILSON)
    interval = estimate_mean(values)
    if interval.low is None or interval.high is None:
        return interval
    return replace(interval, low=max(0.0, interval.low), high=min(1.0, interval.high))


def estimate_by_kind(
    values_SI: statistics.Array,
    planted: Sequence[bool | None],
    estimate: Callable[[statistics.Array], Interval] = estimate_mean,
) -> dict[str, Interval]:
    """The mean over items with a planted misconception, and over others; empty unless all say and both kinds occur."""
    if set(planted) != {True, False}:
        return {}
    chosen = np.array(planted, bool)
    return {"planted": estimate(values_SI[:, chosen]), "plain": estimate(values_SI[:, ~chosen])}


def drop_undecided(values_SI: statistics.Array) -> statistics.Array:
    """Without the items that any seed left undecided."""
    return values_SI[:, ~np.isnan(values_SI).any(axis=0)]
