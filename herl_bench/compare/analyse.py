"""From finished runs to a finished comparison: everything that `model.py` names, computed with `statistics.py` and put
into words by `verdict.py`.

Every arm is compared with the baseline, on each task, over the seeds that both have. An answer that could not be
decided counts as wrong, in every mean, interval, test and rank; how many there were stands beside. Only where less is
better is its item left out of that contrast, for both, and the notes say how many there were. `compare_answers` does
the same with sets of answers that no training belongs to, over items alone.

Left out: contrasts between two arms neither of which is the baseline.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from herl_bench.compare import statistics
from herl_bench.compare.fairness import differences, version_notes
from herl_bench.compare.finished_runs import (
    FinishedRun,
    Sample,
    calibration,
    counted,
    curve,
    evaluated,
    held_out,
    revisions,
    spent,
)
from herl_bench.compare.schema import (
    Arm,
    ArmScore,
    BandPoint,
    Comparison,
    Contrast,
    CriterionChange,
    FailedCell,
    Flip,
    Interval,
    Overall,
    Point,
    Repair,
    RunRecord,
    SeedTest,
    Spent,
    TaskItems,
)
from herl_bench.compare.verdict import ALPHA, MARGIN, Evidence, aside, change, count, fell_note, undecided_note, verdict
from herl_bench.errors import HerlBenchError, UsageError
from herl_bench.evaluate.scores import mean_and_stderr

if TYPE_CHECKING:
    from herl_bench.compare.answer_sets import Paired
    from herl_bench.compare.statistics import Array

BAND_POINTS = 40
CROSSED = "seeds and items random, Behrens-Fisher"
ONE_SEED = "items random, one seed, t"
WILSON = "items random, one seed, Wilson"
OVER_ITEMS = "items random, t"
OVER_SEEDS = "seeds random, t"
Runs = Mapping[str, Sequence[FinishedRun]]
"""By arm, of one task, in order of seed."""


def compare(
    runs: Mapping[str, Runs],
    arms: Sequence[Arm],
    *,
    folder: Path,
    command: str,
    failed: Sequence[FailedCell] = (),
    allow_unequal: bool = False,
    margin: float = MARGIN,
) -> Comparison:
    """runs: by task, then by arm. The first arm is the baseline. folder: where paths start.

    Raises `UsageError` naming what is unequal, unless that is allowed; then every word that comes out says so.
    """
    runs = {
        task: _without_failed(by_arm, {cell.seed for cell in failed if cell.task == task})
        for task, by_arm in runs.items()
    }
    arms = [arm for arm in arms if any(arm.name in by_arm for by_arm in runs.values())]
    runs = {task: by_arm for task, by_arm in runs.items() if arms and arms[0].name in by_arm and len(by_arm) > 1}
    if not runs:
        told = "; ".join(f"{cell.task} {cell.arm} seed {cell.seed}: {cell.reason}" for cell in failed)
        kind = HerlBenchError if failed else UsageError
        raise kind(
            "nothing to compare: no task has finished runs of the baseline and of another"
            f" arm{': ' if told else ''}{told}"
        )
    unequal = tuple(sentence for by_arm in runs.values() for sentence in differences(by_arm))
    if unequal and not allow_unequal:
        raise UsageError(
            f"not a fair comparison: {'; '.join(unequal)}: make them equal, or pass --allow_unequal to compare all the"
            " same"
        )
    everything = [run for by_arm in runs.values() for group in by_arm.values() for run in group]
    tables = {task: _Table(task, by_arm, arms, folder) for task, by_arm in runs.items()}
    contrasts = _contrasts([pair for table in tables.values() for pair in table.pairs(arms[0].name)], margin)
    scores = tuple(score for table in tables.values() for score in table.arm_scores())
    notes = (*_notes(list(tables.values()), contrasts), *version_notes(everything))
    budgets = {int(run.settings["budget"]) for run in everything}
    first = [f"The arms are not equal: {sentence}." for sentence in unequal]
    left_out = ", ".join(dict.fromkeys(f"seed {cell.seed} of {cell.task}" for cell in failed))
    first += [f"{count(len(failed), 'run')} failed; left out for every arm: {left_out}."] if failed else []
    return Comparison(
        baseline=arms[0].name,
        arms=tuple(arms),
        tasks=tuple(table.items for table in tables.values()),
        seeds=tuple(sorted({run.seed for run in everything})),
        budget=budgets.pop() if len(budgets) == 1 else None,
        runs=tuple(record for table in tables.values() for record in table.records),
        failed=tuple(failed),
        arm_scores=scores,
        contrasts=contrasts,
        overall=_overall(list(tables.values()), arms),
        unequal=unequal,
        notes=notes,
        verdicts=(
            *first,
            *(contrast.verdict.sentence for contrast in contrasts),
            *(said for table in tables.values() if (said := table.fell(scores))),
        ),
        command=command,
        version=importlib.metadata.version("herl-bench"),
        level=statistics.LEVEL,
    )


def compare_answers(
    paired: Sequence[Paired], arms: Sequence[Arm], *, command: str, margin: float = MARGIN
) -> Comparison:
    """Sets of answers to the same items, one `Paired` per task, that nothing was trained for: over items alone. The
    first arm is the baseline."""
    tables = [_Answers(one) for one in paired]
    contrasts = _contrasts([pair for table in tables for pair in table.pairs(arms[0].name)], margin)
    unequal = tuple(
        f"{one.items.task}: {count(one.left_out, 'item')} not in every set" for one in paired if one.left_out
    )
    several = any(most > 1 for one in paired for most in one.repeats.values())
    notes = [
        f"{one.items.task}: items were paired by {one.by};"
        f" {'outcomes are means over samples of an item' if several else 'one sample of each'}."
        for one in paired
    ]
    return Comparison(
        baseline=arms[0].name,
        arms=tuple(arms),
        tasks=tuple(one.items for one in paired),
        seeds=(),
        budget=None,
        runs=(),
        failed=(),
        arm_scores=tuple(score for table in tables for score in table.arm_scores()),
        contrasts=contrasts,
        overall=(),
        unequal=unequal,
        notes=(*notes, *(note for one in paired for note in one.notes), *_left_out(tables, contrasts)),
        verdicts=(
            *(f"The arms are not equal: {sentence}; what is in all of them is compared." for sentence in unequal),
            *(contrast.verdict.sentence for contrast in contrasts),
        ),
        command=command,
        version=importlib.metadata.version("herl-bench"),
        level=statistics.LEVEL,
    )


def alone(run: FinishedRun) -> Comparison:
    """One run by itself: a comparison without contrasts, whose sentence speaks of this policy and not of its method."""
    arm = Arm(run.method, run.method, run.settings.get("set") or {})
    table = _Table(run.task, {arm.name: [run]}, [arm], run.directory)
    (scores,) = table.arm_scores()
    return Comparison(
        baseline=arm.name,
        arms=(arm,),
        tasks=(table.items,),
        seeds=(run.seed,),
        budget=int(run.settings["budget"]),
        runs=tuple(table.records),
        failed=(),
        arm_scores=(scores,),
        contrasts=(),
        overall=(),
        unequal=(),
        notes=("One run cannot tell methods apart: for that, compare several seeds of each.",),
        verdicts=(
            change(run.task, run.method, scores.before.value, scores.score.value, scores.gain, run.higher_is_better)
            + undecided_note({run.method: (scores.undecided, scores.responses)}, run.higher_is_better),
        ),
        command=str(run.manifest.get("command", "")),
        version=importlib.metadata.version("herl-bench"),
        level=statistics.LEVEL,
    )


def _without_failed(by_arm: Runs, seeds: set[int]) -> Runs:
    """A seed that failed in one arm is left out of all, so that what is compared stays paired."""
    kept = {arm: [run for run in group if run.seed not in seeds] for arm, group in by_arm.items()}
    return {arm: group for arm, group in kept.items() if group}


# ------------------------------------------------------------------------------------------------------------- one task
class _Outcomes:
    """One task's outcomes as matrices. samples: by arm and seed, in the order of `items`."""

    task: str
    items: TaskItems
    after: Mapping[str, Mapping[int, Sequence[Sample]]]
    repeats: Mapping[str, int] | None = None

    def matrix(self, arm: str, seeds: Iterable[int], value: Callable[[Sample], float | None]) -> Array:
        """(seed, item); NaN where undecided."""
        import numpy as np

        rows = [[value(sample) for sample in self.after[arm][seed]] for seed in seeds]
        return np.array([[math.nan if v is None else float(v) for v in row] for row in rows])

    def outcome(self, sample: Sample) -> float | None:
        return counted(sample.outcome, self.items.higher_is_better)

    def undecided(self, arm: str) -> tuple[int, int]:
        """How many of the arm's answers, of how many."""
        samples = [sample for own in self.after[arm].values() for sample in own]
        return sum(sample.outcome is None for sample in samples), len(samples)

    def shared(self, arm: str) -> int:
        return sum(sample.integrity == "shared" for own in self.after[arm].values() for sample in own)

    def pairs(self, baseline: str) -> list[_Pair]:
        return [
            _Pair(self, arm, baseline)
            for arm in self.after
            if arm != baseline and set(self.after[arm]) & set(self.after[baseline])
        ]


class _Answers(_Outcomes):
    """Of sets of answers: each is one seed."""

    def __init__(self, paired: Paired):
        self.task, self.items, self.repeats, self.paired = paired.items.task, paired.items, paired.repeats, paired
        self.after = {arm: {0: samples} for arm, samples in paired.samples.items()}

    def undecided(self, arm: str) -> tuple[int, int]:
        return self.paired.undecided[arm], self.paired.answers[arm]

    def shared(self, arm: str) -> int:
        return self.paired.shared[arm]

    def arm_scores(self) -> list[ArmScore]:
        none = Interval(None, None, None, "nothing was trained")
        return [
            ArmScore(
                task=self.task,
                arm=arm,
                seeds=(),
                before=mean_and_stderr([]),
                score=score_interval(self.matrix(arm, [0], self.outcome)),
                gain=none,
                iqm=none,
                curve_area=none,
                target=None,
                tokens_to_target=(),
                spent=None,
                curve=(),
                criteria_curves={},
                plain_vs_guided=(),
                co_failure=(),
                responses=self.paired.answers[arm],
                repairs=(),
                errors=self.paired.undecided[arm],
                endings={},
                gap=None,
                undecided=self.paired.undecided[arm],
                shared=self.paired.shared[arm],
            )
            for arm in self.after
        ]


class _Table(_Outcomes):
    """Of runs, with what they say of training."""

    def __init__(self, task: str, by_arm: Runs, arms: Sequence[Arm], folder: Path):
        self.task = task
        self.runs = {arm.name: {run.seed: run for run in by_arm[arm.name]} for arm in arms if arm.name in by_arm}
        first = next(iter(self.runs.values()))
        one = next(iter(first.values()))
        common = set.intersection(
            *(set(run.after.summary["criteria"]) for group in self.runs.values() for run in group.values())
        )
        self.criteria = tuple(name for name in one.after.summary["criteria"] if name in common)
        # Under --allow_unequal runs may have been evaluated on other items: what is in all of them is compared.
        shared = set.intersection(
            *({s.item.id for s in run.after.samples} for group in self.runs.values() for run in group.values())
        )
        self.ids = [s.item.id for s in one.after.samples if s.item.id in shared]
        if not self.ids:
            raise UsageError(f"{task}: the runs share no evaluation item")
        items = tuple(s.item for s in one.after.samples if s.item.id in shared)
        self.items = TaskItems(
            task, one.metric, one.higher_is_better, str(one.manifest["data"]["source"]), items, self.criteria
        )
        self.after = {arm: {seed: self._by_id(run) for seed, run in group.items()} for arm, group in self.runs.items()}
        curves = [curve(run) for group in self.runs.values() for run in group.values()]
        self.start, self.stop = max(c[0].tokens for c in curves), min(c[-1].tokens for c in curves)
        self.target = ended_with(_bands([curve(run) for run in first.values()], _metric))
        self.held_out = {arm: self._held_out(list(group.values())) for arm, group in self.runs.items()}
        self.records = [self._record(arm, run, folder) for arm, group in self.runs.items() for run in group.values()]

    def _by_id(self, run: FinishedRun) -> list[Sample]:
        by_id = {s.item.id: s for s in run.after.samples}
        return [by_id[item] for item in self.ids]

    def _held_out(self, runs: Sequence[FinishedRun]) -> tuple[BandPoint, ...]:
        """Empty where a run was not evaluated while training, or on items that are not compared: those evaluations have
        no outcome per item."""
        curves = [held_out(run) for run in runs]
        same = all(len(run.after.samples) == len(run.before.samples) == len(self.ids) for run in runs)
        return _bands(curves, _metric) if same and all(curves) else ()

    def _record(self, arm: str, run: FinishedRun, folder: Path) -> RunRecord:
        points = curve(run)
        known = [(p.tokens, p.metric) for p in points if p.metric is not None]
        tokens, values = [t for t, _ in known], [v for _, v in known]
        whole = len(known) > 1 and self.stop > self.start
        repairs, audits = revisions(run)
        kept = [
            dataclasses.replace(e, samples=tuple(s for s in e.samples if s.item.id in set(self.ids)))
            for e in (run.before, run.after)
        ]
        before, after = (evaluated(run, e, self.criteria) for e in kept)
        inside = os.path.relpath(run.directory, folder)
        return RunRecord(
            task=self.task,
            arm=arm,
            method=run.method,
            seed=run.seed,
            directory=str(run.directory.absolute()) if inside.startswith("..") else inside,
            budget=int(run.settings["budget"]),
            spent=spent(run),
            before=before,
            after=after,
            curve=points,
            curve_area=statistics.curve_area(tokens, values, self.start, self.stop) if whole else None,
            tokens_to_target=None if self.target is None else statistics.tokens_to_target(tokens, values, self.target),
            calibration=calibration(run),
            repairs=repairs,
            audits=audits,
            manifest=run.manifest,
        )

    def of(self, arm: str) -> list[RunRecord]:
        return [record for record in self.records if record.arm == arm]

    # --------------------------------------------------------------------------------------------------------- matrices
    def run_means(self, arm: str) -> list[float]:
        """The primary metric after training, per seed."""
        import numpy as np

        return [float(v) for v in np.nanmean(self.matrix(arm, self.runs[arm], self.outcome), axis=1)]

    # ------------------------------------------------------------------------------------------------------- arm scores
    def arm_scores(self) -> list[ArmScore]:
        return [self._arm_score(arm) for arm in self.runs]

    def _arm_score(self, arm: str) -> ArmScore:
        import numpy as np

        records, seeds = self.of(arm), tuple(self.runs[arm])
        drawn = [as_drawn(record.curve) for record in records]
        after = self.matrix(arm, seeds, self.outcome)
        higher = self.items.higher_is_better
        before = np.array(
            [
                [math.nan if (v := counted(outcome, higher)) is None else v for outcome in r.before.outcomes]
                for r in records
            ]
        )
        undecided, responses = self.undecided(arm)
        means = np.array(self.run_means(arm))[:, None]
        low, high = statistics.stratified_bootstrap(statistics.iqm, [means]) if len(seeds) > 1 else (None, None)
        areas = [r.curve_area for r in records if r.curve_area is not None]
        held, final = self.held_out[arm], next(iter(self.held_out.values()))[-1:]
        return ArmScore(
            task=self.task,
            arm=arm,
            seeds=seeds,
            before=mean_and_stderr([float(v) for v in np.nanmean(before, axis=0) if not math.isnan(v)]),
            score=score_interval(after),
            gain=(
                interval(after - before)
                if after.shape == before.shape
                else Interval(None, None, None, "other items before than after")
            ),
            iqm=Interval(statistics.iqm(means), low, high, "percentile bootstrap over seeds; too narrow under 10"),
            curve_area=_over_seeds(areas),
            target=self.target,
            tokens_to_target=tuple(r.tokens_to_target for r in records) if self.target is not None else (),
            spent=_mean_spent([r.spent for r in records]),
            curve=_bands(drawn, _metric),
            criteria_curves={name: _bands(drawn, _pass_rate(name)) for name in self.criteria},
            plain_vs_guided=_plain_vs_guided(drawn),
            co_failure=tuple(
                tuple(sum(r.after.co_failure[a][b] for r in records) for b in range(len(self.criteria)))
                for a in range(len(self.criteria))
            ),
            responses=responses,
            repairs=_added(records),
            errors=sum(r.after.errors for r in records),
            endings=dict(sum((Counter(r.after.endings) for r in records), Counter())),
            gap=_mean([r.after.gap for r in records]),
            kinds=by_kind(after, [item.planted for item in self.items.items], score_interval),
            held_out=held,
            tokens_to_final=(
                statistics.tokens_to_target([p.tokens for p in held], [p.mean for p in held], final[0].mean)
                if final
                else None
            ),
            undecided=undecided,
            shared=self.shared(arm),
            fell=after.shape == before.shape and _fell(after - before, higher),
        )

    def fell(self, scores: Sequence[ArmScore]) -> str:
        """The sentence on the arms that ended below where they began; empty where there are none."""
        ends = {a.arm: (a.before.value, a.score.value) for a in scores if a.fell and a.task == self.task}
        known = {
            arm: (before, after) for arm, (before, after) in ends.items() if before is not None and after is not None
        }
        rates = {
            arm: (next(iter(group.values())).settings.get("set") or {}).get("learning_rate")
            for arm, group in self.runs.items()
        }
        numbers = {arm: float(rate) if isinstance(rate, (int, float)) else None for arm, rate in rates.items()}
        return fell_note(self.task, list(self.runs), known, numbers) if known else ""


class _Pair:
    """An arm beside the baseline on one task: matrices over the seeds that both have; where less is better, over the
    items that all their runs decided.

    Of sets of answers there is no seed: the test is over items alone."""

    def __init__(self, table: _Outcomes, arm: str, baseline: str):
        import numpy as np

        self.table, self.arm, self.baseline = table, arm, baseline
        self.seeds = tuple(seed for seed in table.after[arm] if seed in table.after[baseline])
        a, b = (table.matrix(name, self.seeds, table.outcome) for name in (baseline, arm))
        decided = ~np.isnan(a + b).any(axis=0)
        self.a, self.b = a[:, decided], b[:, decided]
        self.planted = [table.items.items[i].planted for i in np.flatnonzero(decided)]
        if self.a.shape[1] < 2:
            raise UsageError(f"{table.task}: fewer than two items were judged in all runs of {arm} and {baseline}")
        self.crossed = self._tested(self.a, self.b)

    def _tested(self, a: Array, b: Array) -> statistics.Crossed | None:
        """None for one seed of a training, which says nothing of others."""
        if self.table.repeats is not None:
            return statistics.items_interval(a[0], b[0])
        return statistics.crossed_interval(b - a) if len(self.seeds) > 1 else None

    def contrast(self, p_holm: float | None, contrasts: int, margin: float) -> Contrast:
        table, crossed, gain = self.table, self.crossed, self.b - self.a
        higher, seeds, items = table.items.higher_is_better, len(self.seeds), gain.shape[1]
        repeats = None if table.repeats is None else [table.repeats[arm] for arm in (self.baseline, self.arm)]
        difference = (
            interval(gain)
            if repeats is None or crossed is None
            else Interval(crossed.value, crossed.low, crossed.high, OVER_ITEMS)
        )
        scores = [m.mean(axis=1)[:, None] for m in ((self.a, self.b) if higher else (self.b, self.a))]
        chance = statistics.probability_of_improvement(*scores)
        low, high = statistics.hierarchical_bootstrap(gain) if crossed else (None, None)
        evidence = Evidence(
            table.task,
            self.arm,
            self.baseline,
            seeds,
            items,
            float(gain.mean()),
            difference.low,
            difference.high,
            p_holm,
            contrasts,
            detectable=statistics.detectable(crossed) if crossed else None,
            seeds_needed=statistics.seeds_needed(crossed, margin) if crossed and repeats is None else None,
            higher_is_better=higher,
            undecided={arm: table.undecided(arm) for arm in (self.baseline, self.arm)},
            repeats=repeats,
            items_needed=statistics.items_needed(crossed, items, margin) if crossed and repeats is not None else None,
        )
        once = Interval(None, None, None, "nothing was trained")
        return Contrast(
            task=table.task,
            arm=self.arm,
            baseline=self.baseline,
            seeds=self.seeds,
            items=items,
            difference=difference,
            p=crossed.p if crossed else None,
            p_holm=p_holm,
            hierarchical=Interval(float(gain.mean()), low, high, "hierarchical percentile bootstrap"),
            improvement=(
                once
                if repeats
                else Interval(chance, *statistics.improvement_interval(chance, seeds, seeds), "Newcombe's method 5")
            ),
            seed_share=crossed.seed_share if crossed and repeats is None else None,
            detectable=evidence.detectable,
            verdict=verdict(evidence, margin),
            seed_tests=tuple(_seed_test(seed, self.a[i], self.b[i], higher) for i, seed in enumerate(self.seeds)),
            flips=self._flips(),
            criteria=self._criteria(),
            kinds=by_kind(gain, self.planted),
        )

    def _flips(self) -> tuple[Flip, ...]:
        table, out = self.table, []
        for seed in self.seeds:
            for i, (was, now) in enumerate(
                zip(table.after[self.baseline][seed], table.after[self.arm][seed], strict=True)
            ):
                if {table.outcome(was), table.outcome(now)} == {0.0, 1.0}:
                    fixed = (table.outcome(now) == 1.0) == table.items.higher_is_better
                    out.append(Flip(seed, i, fixed, was.response, now.response, _missed(was), _missed(now)))
        return tuple(out)

    def _criteria(self) -> tuple[CriterionChange, ...]:
        """Items to which a criterion does not apply, or in which it could not be decided, are left out of it. Corrected
        over the criteria."""
        import numpy as np

        found: list[tuple[str, float | None, float | None, Interval, float | None]] = []
        for name in self.table.items.criteria:
            a, b = (self.table.matrix(arm, self.seeds, _met(name)) for arm in (self.baseline, self.arm))
            decided = ~np.isnan(a + b).any(axis=0)
            a, b = a[:, decided], b[:, decided]
            if a.shape[1] < 2:
                found.append((name, None, None, Interval(None, None, None, "decided on fewer than two items"), None))
                continue
            test = self._tested(a, b)
            found.append((name, float(a.mean()), float(b.mean()), interval(b - a), test.p if test else None))
        tested = [(name, p) for name, _, _, _, p in found if p is not None]
        corrected = dict(zip([name for name, _ in tested], statistics.holm([p for _, p in tested]), strict=True))
        return tuple(
            CriterionChange(
                name, was, now, difference, p, corrected.get(name), _changed(difference.value, corrected.get(name))
            )
            for name, was, now, difference, p in found
        )


def _contrasts(pairs: Sequence[_Pair], margin: float) -> tuple[Contrast, ...]:
    """With p-values corrected over all of them."""
    tested = [pair.crossed.p for pair in pairs if pair.crossed]
    corrected = iter(statistics.holm(tested))
    return tuple(pair.contrast(next(corrected) if pair.crossed else None, len(tested), margin) for pair in pairs)


def _overall(tables: Sequence[_Table], arms: Sequence[Arm]) -> tuple[Overall, ...]:
    """Over several tasks, for arms that have as many runs on each."""
    import numpy as np

    out: list[Overall] = []
    matrices: dict[str, Array] = {}
    if len(tables) < 2 or not all(table.items.higher_is_better for table in tables):
        return ()
    for arm in arms:
        columns = [table.run_means(arm.name) for table in tables if arm.name in table.runs]
        if len(columns) == len(tables) and len({len(c) for c in columns}) == 1 and len(columns[0]) > 1:
            matrices[arm.name] = np.array(columns).T
    baseline = matrices.get(arms[0].name)
    method = "stratified percentile bootstrap over seeds; too narrow under 10"
    for name, matrix in matrices.items():
        iqm = Interval(statistics.iqm(matrix), *statistics.stratified_bootstrap(statistics.iqm, [matrix]), method)
        improvement = None
        if baseline is not None and name != arms[0].name:
            chance = statistics.probability_of_improvement(baseline, matrix)
            improvement = Interval(
                chance,
                *statistics.stratified_bootstrap(statistics.probability_of_improvement, [baseline, matrix]),
                method,
            )
        out.append(Overall(name, iqm, improvement))
    return tuple(out)


def _notes(tables: Sequence[_Table], contrasts: Sequence[Contrast]) -> tuple[str, ...]:
    """What a reader must know before believing the numbers."""
    notes = []
    synthetic = [table.task for table in tables if table.items.source == "synthetic"]
    if synthetic:
        world = "its synthetic world, which was" if len(synthetic) == 1 else "their synthetic worlds, which were"
        notes.append(
            f"{', '.join(synthetic)}: measured on {world} built so that hindsight can help; this says nothing about"
            " real models on the published problems."
        )
    for table in tables:
        errors = sum(r.after.errors for r in table.records)
        if errors:
            notes.append(
                f"{table.task}: {count(errors, 'answer')} after training had something that could not be judged."
            )
    notes += _left_out(tables, contrasts)
    if any(not run.primary for table in tables for group in table.runs.values() for run in group.values()):
        notes.append(
            "The metric was chosen with --metric: learning curves are of each task's first one, and so are not shown."
        )
    if any(len(c.seeds) < 5 for c in contrasts):
        notes.append(
            "With fewer than 5 seeds, only differences far larger than the noise can be found; the intervals allow for"
            " that."
        )
    return tuple(notes)


def _left_out(tables: Sequence[_Outcomes], contrasts: Sequence[Contrast]) -> list[str]:
    """What became of undecided answers, and what verdicts on programs rest on."""
    notes = []
    for table in tables:
        for arm in table.after:
            undecided, of = table.undecided(arm)
            if undecided and table.items.higher_is_better:
                notes.append(f"{arm} on {table.task}: {aside(undecided, 0, of)}; they count as wrong.")
            if shared := table.shared(arm):
                notes.append(
                    f"{arm} on {table.task}: {shared:,} of {of:,} verdicts are shared: they rest on a comparison that"
                    " the program itself took part in."
                )
        for c in contrasts:
            if c.task == table.task and (left_out := len(table.items.items) - c.items):
                notes.append(
                    f"{c.arm} and {c.baseline} on {c.task}: {count(left_out, 'item')} not judged in every run, so left"
                    " out for both."
                )
    return notes


def _fell(change_SI: Array, higher_is_better: bool) -> bool:
    """Is the mean change over items, of the means over seeds, for the worse, by more than the noise of the items?"""
    import numpy as np

    by_item = np.nanmean(change_SI, axis=0) if change_SI.size else np.array([])
    by_item = by_item[~np.isnan(by_item)]
    if len(by_item) < 2:
        return False
    low, high = statistics.mean_interval(by_item)
    return high < 0 if higher_is_better else low > 0


# --------------------------------------------------------------------------------------------------------- small things
def interval(values_SI: Array) -> Interval:
    """Of a mean over seeds and items; items with an undecided value are left out. With one seed it speaks of that seed
    only."""
    import numpy as np

    values = values_SI[:, ~np.isnan(values_SI).any(axis=0)]
    if values.shape[1] < 2:
        return Interval(float(values.mean()) if values.size else None, None, None, "too few items")
    if len(values) > 1:
        found = statistics.crossed_interval(values)
        return Interval(found.value, found.low, found.high, CROSSED)
    return Interval(float(values.mean()), *statistics.mean_interval(values[0]), ONE_SEED)


def score_interval(values_SI: Array) -> Interval:
    """`interval` of a score in [0, 1]: within these bounds, and by Wilson for one seed of right-or-wrong items, which
    none or all may have right."""
    import numpy as np

    values = values_SI[:, ~np.isnan(values_SI).any(axis=0)]
    if len(values) == 1 and values.size > 1 and set(np.unique(values)) <= {0.0, 1.0}:
        return Interval(float(values.mean()), *statistics.share_interval(int(values.sum()), values.size), WILSON)
    found = interval(values)
    if found.low is None or found.high is None:
        return found
    return dataclasses.replace(found, low=max(0.0, found.low), high=min(1.0, found.high))


def by_kind(
    values_SI: Array, planted: Sequence[bool | None], of: Callable[[Array], Interval] = interval
) -> dict[str, Interval]:
    """The mean over items with a planted misconception and over the others apart; empty unless all items say and both
    kinds occur."""
    import numpy as np

    if set(planted) != {True, False}:
        return {}
    chosen = np.array(planted, bool)
    return {"planted": of(values_SI[:, chosen]), "plain": of(values_SI[:, ~chosen])}


def _over_seeds(values: Sequence[float]) -> Interval:
    if len(values) < 2:
        return Interval(_mean(values), None, None, OVER_SEEDS)
    import numpy as np

    return Interval(math.fsum(values) / len(values), *statistics.mean_interval(np.array(values)), OVER_SEEDS)


def _seed_test(seed: int, a_I: Array, b_I: Array, higher: bool) -> SeedTest:
    binary = set(a_I.tolist()) | set(b_I.tolist()) <= {0.0, 1.0}
    gained, lost = int((b_I > a_I).sum()), int((b_I < a_I).sum())
    fixed, broken = (gained, lost) if higher else (lost, gained)
    gain = b_I - a_I
    bounds = statistics.paired_bootstrap(gain, seed=seed)
    p = statistics.mcnemar(fixed, broken) if binary else None
    return SeedTest(
        seed, len(gain), fixed, broken, Interval(float(gain.mean()), *bounds, "paired bootstrap over items"), p
    )


def _changed(difference: float | None, p: float | None) -> Any:
    if difference is None or p is None or p >= ALPHA:
        return "unclear"
    return "fixed" if difference > 0 else "regressed"


def _metric(point: Point) -> float | None:
    return point.metric


def _pass_rate(criterion: str) -> Callable[[Point], float | None]:
    return lambda point: point.criteria.get(criterion)


def _met(criterion: str) -> Callable[[Sample], float | None]:
    return lambda sample: sample.criteria.get(criterion)


def _missed(sample: Sample) -> tuple[str, ...]:
    return tuple(name for name, met in sample.criteria.items() if met is False)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return math.fsum(known) / len(known) if known else None


def _mean_spent(spendings: Sequence[Spent]) -> Spent:
    n = len(spendings)
    whole = {
        name: round(sum(getattr(s, name) for s in spendings) / n)
        for name in ("tokens", "rollouts", "reward_calls", "optimizer_steps")
    }
    return Spent(**whole, wall_s=sum(s.wall_s for s in spendings) / n, flops=_mean([s.flops for s in spendings]))


def _added(records: Sequence[RunRecord]) -> tuple[Repair, ...]:
    totals: dict[str, list[int]] = {}
    for repair in (repair for record in records for repair in record.repairs):
        total = totals.setdefault(repair.criterion, [0, 0, 0, 0])
        for i, number in enumerate((repair.missed, repair.fixed, repair.met, repair.broken)):
            total[i] += number
    return tuple(Repair(name, *total) for name, total in totals.items())


def _grid(curves: Sequence[Sequence[Point]]) -> list[int]:
    """Token counts that all curves span: those of their own points, or as many evenly spaced ones where these are too
    many."""
    start, stop = max(c[0].tokens for c in curves), min(c[-1].tokens for c in curves)
    own = sorted({p.tokens for c in curves for p in c if start <= p.tokens <= stop})
    if len(own) <= BAND_POINTS:
        return own
    return [round(start + (stop - start) * i / (BAND_POINTS - 1)) for i in range(BAND_POINTS)]


def as_drawn(points: Sequence[Point]) -> tuple[Point, ...]:
    """The curve for the eye: a last step of under half the mean step's tokens, whose few responses are mostly noise, is
    one with the step before.

    What it shows is then their mean, weighted by tokens. Never used for areas, tokens to a target, or what was spent.
    """
    if len(points) < 3:
        return tuple(points)
    before, last = points[-2], points[-1]
    of_before, of_last = before.tokens - points[-3].tokens, last.tokens - before.tokens
    if of_last >= last.tokens / len(points) / 2:
        return tuple(points)

    def both(a: float | None, b: float | None) -> float | None:
        if a is None or b is None:
            return b if a is None else a
        return (a * of_before + b * of_last) / (of_before + of_last)

    joined = dataclasses.replace(
        last,
        metric=both(before.metric, last.metric),
        criteria={
            name: both(before.criteria.get(name), last.criteria.get(name))
            for name in {**before.criteria, **last.criteria}
        },
        revision_metric=both(before.revision_metric, last.revision_metric),
    )
    return (*points[:-2], joined)


def _bands(curves: Sequence[Sequence[Point]], value: Callable[[Point], float | None]) -> tuple[BandPoint, ...]:
    import numpy as np

    grid = _grid(curves)
    known = [[(p.tokens, v) for p in c if (v := value(p)) is not None] for c in curves]
    heights = np.array([np.interp(grid, [t for t, _ in points], [v for _, v in points]) for points in known if points])
    if not len(heights) or not grid:
        return ()
    return tuple(
        BandPoint(t, float(h.mean()), float(h.min()), float(h.max()), len(heights))
        for t, h in zip(grid, heights.T, strict=True)
    )


def ended_with(band: Sequence[BandPoint]) -> float | None:
    """The mean height of the curve's last quarter of tokens. By tokens and not by points, for the last step is smaller
    than the others and noisier."""
    if not band:
        return None
    tokens, start, stop = [p.tokens for p in band], band[0].tokens, band[-1].tokens
    means = [p.mean for p in band]
    return statistics.curve_area(tokens, means, stop - (stop - start) / 4, stop) if stop > start else means[-1]


def _plain_vs_guided(curves: Sequence[Sequence[Point]]) -> tuple[tuple[int, float, float], ...]:
    """(tokens, primary metric of plain responses, of revisions under guidance), means over seeds; empty for a method
    without guidance."""
    guided = _bands(curves, lambda p: p.revision_metric)
    return tuple((g.tokens, p.mean, g.mean) for p, g in zip(_bands(curves, _metric), guided, strict=bool(guided)))
