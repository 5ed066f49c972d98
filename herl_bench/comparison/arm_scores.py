"""What each arm scores on one task, over its seeds: after training and before, along the way, and at what cost."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np

from herl_bench.comparison import curves, statistics
from herl_bench.comparison.finished_runs import FinishedRun
from herl_bench.comparison.outcomes import (
    Outcomes,
    build_matrix,
    estimate_by_kind,
    estimate_mean,
    estimate_score,
    gather_runs,
)
from herl_bench.comparison.run_records import describe_evaluation, measure_spending, read_calibration, read_revisions
from herl_bench.comparison.schema import ArmScore, BandPoint, Interval, Repair, RunRecord, Spent
from herl_bench.evaluation.scores import mean_and_stderr

OVER_SEEDS = "seeds random, t"


@dataclass(frozen=True)
class TrainedTask:
    """All runs of one task. target: what the baseline's mean learning curve ended with. held_out: by arm, accuracy on
    the evaluation items while training; empty where none was measured."""

    outcomes: Outcomes
    runs: Mapping[str, Sequence[FinishedRun]]
    records: Sequence[RunRecord]
    target: float | None
    held_out: Mapping[str, tuple[BandPoint, ...]]

    @property
    def task(self) -> str:
        return self.outcomes.task


def describe_task(by_arm: Mapping[str, Sequence[FinishedRun]], folder: Path) -> TrainedTask:
    """by_arm: runs of one task, the baseline's first. folder: where the records' paths start."""
    outcomes = gather_runs(by_arm)
    drawn = [[curves.read_curve(run) for run in group] for group in by_arm.values()]
    span = curves.find_span([curve for group in drawn for curve in group])
    target = curves.find_end(curves.draw_metric_band(drawn[0]))
    records = [_record_run(run, arm, outcomes, span, target, folder) for arm, group in by_arm.items() for run in group]
    held_out = {arm: _draw_held_out(group, len(outcomes.items.items)) for arm, group in by_arm.items()}
    return TrainedTask(outcomes, by_arm, records, target, held_out)


def _record_run(
    run: FinishedRun, arm: str, outcomes: Outcomes, span: tuple[int, int], target: float | None, folder: Path
) -> RunRecord:
    points = curves.read_curve(run)
    known = [(point.tokens, point.metric) for point in points if point.metric is not None]
    tokens, values = [t for t, _ in known], [value for _, value in known]
    is_whole = len(known) > 1 and span[1] > span[0]
    compared = {item.id for item in outcomes.items.items}
    evaluations = run.before, run.after
    cut = [replace(one, samples=tuple(s for s in one.samples if s.item.id in compared)) for one in evaluations]
    before, after = (describe_evaluation(one, run.metric, outcomes.items.criteria) for one in cut)
    repairs, audits = read_revisions(run)
    inside = os.path.relpath(run.directory, folder)
    return RunRecord(
        **{name: getattr(run, name) for name in ("task", "method", "seed", "manifest")},
        arm=arm,
        directory=str(run.directory.absolute()) if inside.startswith("..") else inside,
        budget=int(run.settings["budget"]),
        spent=measure_spending(run),
        before=before,
        after=after,
        curve=points,
        curve_area=statistics.curve_area(tokens, values, *span) if is_whole else None,
        tokens_to_target=None if target is None else statistics.tokens_to_target(tokens, values, target),
        calibration=read_calibration(run),
        repairs=repairs,
        audits=audits,
    )


def _draw_held_out(runs: Sequence[FinishedRun], items: int) -> tuple[BandPoint, ...]:
    """Empty where a run was not evaluated while training, or on items not compared: these have no outcome per item."""
    drawn = [curves.read_evaluations_in_training(run) for run in runs]
    same = all(len(run.after.samples) == len(run.before.samples) == items for run in runs)
    return curves.draw_metric_band(drawn) if same and all(drawn) else ()


# ----------------------------------------------------------------------------------------------------------- over seeds
def score_arm(trained: TrainedTask, arm: str) -> ArmScore:
    outcomes, records = trained.outcomes, [record for record in trained.records if record.arm == arm]
    seeds = tuple(run.seed for run in trained.runs[arm])
    after, wrong = build_matrix(outcomes, arm, seeds), outcomes.wrong
    before = np.array([[wrong if value is None else value for value in record.before.outcomes] for record in records])
    is_same = after.shape == before.shape
    means = average_runs(trained, arm)
    drawn = [curves.join_last_step(record.curve) for record in records]
    held_out, final = trained.held_out[arm], next(iter(trained.held_out.values()))[-1:]
    low, high = statistics.stratified_bootstrap(statistics.iqm, [means]) if len(seeds) > 1 else (None, None)
    return ArmScore(
        task=trained.task,
        arm=arm,
        seeds=seeds,
        before=mean_and_stderr(_average_items(before)),
        score=estimate_score(after),
        gain=estimate_mean(after - before) if is_same else Interval(None, None, None, "other items before than after"),
        iqm=Interval(statistics.iqm(means), low, high, "percentile bootstrap over seeds; too narrow under 10"),
        curve_area=_estimate_over_seeds([r.curve_area for r in records if r.curve_area is not None]),
        target=trained.target,
        tokens_to_target=() if trained.target is None else tuple(r.tokens_to_target for r in records),
        spent=_average_spending([record.spent for record in records]),
        curve=curves.draw_metric_band(drawn),
        criteria_curves=curves.draw_criterion_bands(drawn, outcomes.items.criteria),
        plain_vs_guided=curves.pair_plain_and_guided(drawn),
        revise_share=curves.draw_band(drawn, lambda point: point.revise_share),
        co_failure=_add_up([record.after.co_failure for record in records]),
        repairs=_add_repairs(records),
        errors=sum(record.after.errors for record in records),
        endings=dict(sum((Counter(record.after.endings) for record in records), Counter())),
        gap=_average([record.after.gap for record in records]),
        kinds=estimate_by_kind(after, [item.planted for item in outcomes.items.items], estimate_score),
        held_out=held_out,
        tokens_to_final=curves.find_tokens_to(held_out, final[0].mean) if final else None,
        **vars(outcomes.counts[arm]),
        fell=is_same and _has_fallen(after - before, outcomes.items.higher_is_better),
    )


def score_answers(outcomes: Outcomes) -> list[ArmScore]:
    """Of sets of answers."""
    scores = {arm: estimate_score(build_matrix(outcomes, arm, [0])) for arm in outcomes.counts}
    return [
        ArmScore(task=outcomes.task, arm=arm, score=scores[arm], errors=count.undecided, **vars(count))
        for arm, count in outcomes.counts.items()
    ]


def average_runs(trained: TrainedTask, arm: str) -> statistics.Array:
    """(seed, 1): the primary metric after training."""
    matrix_SI = build_matrix(trained.outcomes, arm, [run.seed for run in trained.runs[arm]])
    return np.nanmean(matrix_SI, axis=1, keepdims=True)


def _average_items(values_SI: statistics.Array) -> list[float]:
    return [float(value) for value in np.nanmean(values_SI, axis=0) if not math.isnan(value)]


def _has_fallen(change_SI: statistics.Array, higher_is_better: bool) -> bool:
    """Is the mean change over items, of the means over seeds, for the worse, by more than the noise of the items?"""
    changes = _average_items(change_SI) if change_SI.size else []
    if len(changes) < 2:
        return False
    low, high = statistics.mean_interval(np.array(changes))
    return high < 0 if higher_is_better else low > 0


def _estimate_over_seeds(values: Sequence[float]) -> Interval:
    low, high = statistics.mean_interval(np.array(values)) if len(values) > 1 else (None, None)
    return Interval(_average(values), low, high, OVER_SEEDS)


def _average(values: Sequence[float | None]) -> float | None:
    return mean_and_stderr([value for value in values if value is not None]).value


def _average_spending(spendings: Sequence[Spent]) -> Spent:
    count = len(spendings)
    names = ("tokens", "rollouts", "reward_calls", "optimizer_steps")
    whole = {name: round(sum(getattr(spent, name) for spent in spendings) / count) for name in names}
    wall_s = sum(spent.wall_s for spent in spendings) / count
    return Spent(**whole, wall_s=wall_s, flops=_average([spent.flops for spent in spendings]))


def _add_up(matrices: Sequence[Sequence[Sequence[int]]]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(map(sum, zip(*rows, strict=True))) for rows in zip(*matrices, strict=True))


def _add_repairs(records: Sequence[RunRecord]) -> tuple[Repair, ...]:
    counts: dict[str, list[tuple[int, ...]]] = {}
    for repair in (repair for record in records for repair in record.repairs):
        counts.setdefault(repair.criterion, []).append(astuple(repair)[1:])
    return tuple(Repair(name, *map(sum, zip(*rows, strict=True))) for name, rows in counts.items())
