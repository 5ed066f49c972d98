"""What a probe's answers come to: shares and means per arm, pass@k, and the guidance gap, each with its interval.

Each problem is drafted once, so failures are independent, and several samples of one are averaged within it. Intervals
are Student's over failures, and the rule of three's where nothing varies (`statistics.items_interval`); those of ratios
by the delta method (`_linearize`). An answer that could not be decided counts as reward 0: it must not pay.

"At equal tokens": sampling anew repairs R failures per written token; with the tokens that guidance takes, it repairs R
times as many. That is the number of right answers a budget buys, which is what training learns from; sampling until the
tokens are spent has the same mean and costs more answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from herl_bench.comparison.probe_schema import Against, ArmResult, Drafts, Estimate, Gap
from herl_bench.comparison.statistics import items_interval
from herl_bench.evaluation.probe_answers import Record, is_copy
from herl_bench.evaluation.probe_arms import Arm, Revising
from herl_bench.evaluation.scores import mean, pass_at_k

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

SHARE, DIFFERENCE = (0.0, 1.0), (-1.0, 1.0)
Columns = Mapping[str, Mapping[str, float]]
"""Of an arm, by failure: `repaired`, `reward` and `tokens`, the means of its samples."""


def describe_drafts(drafts: Sequence[Record]) -> Drafts:
    decided = [d for d in drafts if d["reward"] is not None]
    failed = [d for d in decided if d["reward"] < 1]
    return Drafts(
        problems=len(drafts),
        undecided=len(drafts) - len(decided),
        right=mean(d["reward"] >= 1 for d in decided) or 0.0,
        reward=mean(d["reward"] for d in decided) or 0.0,
        metric=mean(d["metric"] for d in decided),
        cut_off=mean(d["finish"] == "length" for d in drafts) or 0.0,
        tokens=mean(d["tokens"] for d in drafts) or 0.0,
        read=mean(d["read"] for d in drafts),
        failures=len(failed),
        failure_reward=mean(d["reward"] for d in failed),
        failure_tokens=mean(d["tokens"] for d in failed),
    )


# ----------------------------------------------------------------------------------------------------------------- arms
def describe_arms(arms: Sequence[Arm], drafts: Sequence[Record], revisions: Sequence[Record]) -> list[ArmResult]:
    """In their order, without those that had nothing to say of any failure."""
    by_key = {draft["key"]: draft for draft in drafts}
    by_arm = group_by_arm(revisions)
    results = []
    for arm in arms:
        if records := by_arm.get(arm.key):
            result = _describe_arm(arm, by_key, records)
            plain = by_arm.get(f"resample@{arm.temperature:g}")
            if plain and arm.name != "resample":
                result = replace(result, against=_compare(average(records), average(plain)))
            results.append(result)
    return results


def group_by_arm(records: Sequence[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record["arm"], []).append(record)
    return found


def _describe_arm(arm: Arm, drafts: Mapping[str, Record], records: Sequence[Record]) -> ArmResult:
    columns, before = average(records), {record["draft"]: drafts[record["draft"]]["reward"] for record in records}
    tokens = mean(r["tokens"] for r in records) or 0.0
    partly = [r for r in records if before[r["draft"]] > 0]
    repaired = _estimate(list(columns["repaired"].values()), SHARE)
    return ArmResult(
        name=arm.name,
        temperature=arm.temperature,
        failures=len(before),
        samples=arm.samples,
        repaired=repaired,
        reward=_estimate(list(columns["reward"].values()), SHARE),
        metric=mean(r["metric"] for r in records),
        broken=mean((r["reward"] or 0.0) < before[r["draft"]] for r in partly),
        partly_right=len({r["draft"] for r in partly}),
        copies=mean(is_copy(drafts[r["draft"]], r) for r in records) or 0.0,
        cut_off=mean(r["finish"] == "length" for r in records) or 0.0,
        undecided=sum(r["reward"] is None for r in records),
        tokens=tokens,
        read=mean(r["read"] for r in records),
        per_1000=1000 * repaired.value / tokens if tokens else None,
    )


def average(records: Sequence[Record]) -> Columns:
    """Over the samples of each failure."""
    by_draft: dict[str, list[Record]] = {}
    for record in records:
        by_draft.setdefault(record["draft"], []).append(record)
    return {
        "repaired": {key: mean((r["reward"] or 0.0) >= 1 for r in group) or 0.0 for key, group in by_draft.items()},
        "reward": {key: mean(r["reward"] or 0.0 for r in group) or 0.0 for key, group in by_draft.items()},
        "tokens": {key: mean(r["tokens"] for r in group) or 0.0 for key, group in by_draft.items()},
    }


def _compare(ours: Columns, theirs: Columns) -> Against:
    """On the failures that both have."""
    shared = [key for key in ours["tokens"] if key in theirs["tokens"]]
    a, b = (_take(columns, shared) for columns in (ours, theirs))
    per_1000, each = None, (a["tokens"].mean() + b["tokens"].mean()) / 2
    if a["tokens"].sum() and b["tokens"].sum():
        rates = 1000 * (_linearize(a["repaired"], a["tokens"]) - _linearize(b["repaired"], b["tokens"]))
        per_1000 = _estimate(rates, unit=1000 / each)
    return Against(
        failures=len(shared),
        repaired=_estimate(a["repaired"] - b["repaired"], DIFFERENCE),
        reward=_estimate(a["reward"] - b["reward"], DIFFERENCE),
        per_1000=per_1000,
    )


def _take(columns: Columns, keys: Sequence[str]) -> dict[str, Array]:
    import numpy as np

    return {name: np.array([column[key] for key in keys], float) for name, column in columns.items()}


# -------------------------------------------------------------------------------------------------------------- pass@k
def measure_pass_at(drafts: Sequence[Record], revisions: Sequence[Record], temperature: float) -> dict[int, Estimate]:
    """k → pass@k of plain sampling at the temperature of drafts, by full reward, over the problems that were decided.

    Only failures were sampled again, m times, so 1 - (1 - p)^k is estimated as [draft right] + [draft wrong] pass@(k-1)
    of the m: unbiased, as pass@(k-1) is.
    """
    passed: dict[str, list[bool]] = {}
    for record in revisions:
        if record["arm"] == f"resample@{temperature:g}":
            passed.setdefault(record["draft"], []).append((record["reward"] or 0.0) >= 1)
    decided = [d for d in drafts if d["reward"] is not None]
    most = 1 + min(map(len, passed.values()), default=0)

    def estimate_one(draft: Record, k: int) -> float:
        if draft["reward"] >= 1:
            return 1.0
        again = passed.get(draft["key"], [])
        return pass_at_k(len(again), sum(again), k - 1) if k > 1 else 0.0

    return {k: _estimate([estimate_one(d, k) for d in decided], SHARE) for k in range(1, most + 1) if decided}


# -------------------------------------------------------------------------------------------------------------- the gap
def measure_gaps(revising: Revising, revisions: Sequence[Record]) -> list[Gap]:
    """One per temperature at which own guidance, as the method gives it, and `resample` were asked."""
    columns = {key: average(records) for key, records in group_by_arm(revisions).items()}
    gaps = []
    for temperature in revising.temperatures:
        at = f"@{temperature:g}"
        own, plain = columns.get(revising.level + at), columns.get("resample" + at)
        if own and plain and any(plain["tokens"].values()):
            others = [columns.get(name + at) for name in ("other", "again")]
            gaps.append(_measure_gap(revising.level + at, temperature, own, plain, *others))
    return gaps


def _measure_gap(
    arm: str, temperature: float, own: Columns, plain: Columns, other: Columns | None, again: Columns | None
) -> Gap:
    shared = [key for key in own["tokens"] if key in plain["tokens"]]
    a, b = _take(own, shared), _take(plain, shared)
    rate = b["repaired"].sum() / b["tokens"].sum()
    # The mean of a product of two means, rate and own tokens, to first order.
    moved = a["tokens"].mean() * (_linearize(b["repaired"], b["tokens"]) - rate)
    resampled = rate * a["tokens"] + moved
    return Gap(
        arm=arm,
        temperature=temperature,
        failures=len(shared),
        own=float(a["repaired"].mean()),
        resampled=float(resampled.mean()),
        value=_estimate(a["repaired"] - resampled, DIFFERENCE),
        words=_compare(own, other).repaired if other else None,
        content=_compare(own, again).repaired if again else None,
    )


def _linearize(top_I: Array, bottom_I: Array) -> Array:
    """A value per failure whose mean is sum(top) / sum(bottom), and whose spread is that ratio's to first order:
    ratio + (top - ratio bottom) / mean(bottom). Source: Cochran 1977, "Sampling Techniques", section 6.3."""
    ratio = top_I.sum() / bottom_I.sum()
    values: Array = ratio + (top_I - ratio * bottom_I) / bottom_I.mean()
    return values


def _estimate(values_I: Any, span: tuple[float, float] | None = None, unit: float = 1.0) -> Estimate:
    """Of a mean over failures. span: what values can be. unit: what one repaired failure adds to a value, for the
    bounds where nothing varies."""
    import numpy as np

    values = np.asarray(values_I, float) / unit
    if len(values) < 2:
        return Estimate(float(values.mean() * unit))
    if np.allclose(values, values[0], rtol=0, atol=1e-12):
        values = np.full(len(values), values[0])
    found = items_interval(np.zeros(len(values)), values)
    low, high = (span[0], span[1]) if span else (-np.inf, np.inf)
    return Estimate(found.value * unit, max(low, found.low * unit), min(high, found.high * unit))
