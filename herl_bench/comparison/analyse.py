"""From finished runs, or from sets of answers, to a finished comparison: the steps in their order.

    read (`finished_runs.py`, or `answer_files.py` and `answer_sets.py`) → refuse what is unfair (`fairness.py`)
    → outcomes per item (`outcomes.py`) → scores of each arm (`arm_scores.py`) → each arm against the baseline
    (`contrasts.py`, its words by `verdict.py`) → what a reader must know besides (`notes.py`)

Every arm is compared with the baseline, on each task, over the seeds that both have.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from herl_bench.comparison.answer_sets import AnswerPairs
from herl_bench.comparison.arm_scores import describe_task, score_answers, score_arm
from herl_bench.comparison.contrasts import contrast_arms, sum_up_tasks
from herl_bench.comparison.fairness import find_differences
from herl_bench.comparison.finished_runs import FinishedRun
from herl_bench.comparison.notes import note_answers, note_collapses, note_failures, note_falls, note_runs
from herl_bench.comparison.schema import Arm, Comparison, FailedCell
from herl_bench.comparison.verdict import MARGIN, describe_change, describe_undecided, spell_count
from herl_bench.errors import HerlBenchError, UsageError

VERSION = importlib.metadata.version("herl-bench")
RunsByArm = Mapping[str, Sequence[FinishedRun]]
"""Of one task, in order of seed."""


@dataclass(frozen=True)
class Terms:
    """command: what asked for the comparison. margin: differences under this do not matter. allow_unequal: compare arms
    that differ in more than what they are compared for; every word that comes out then says so."""

    command: str = ""
    margin: float = MARGIN
    allow_unequal: bool = False


def compare_runs(
    runs: Mapping[str, RunsByArm], arms: Sequence[Arm], terms: Terms, *, folder: Path, failed: Sequence[FailedCell] = ()
) -> Comparison:
    """runs: by task, then by arm. The first arm is the baseline. folder: where paths start. Raises `UsageError` naming
    what is unequal, unless that is allowed."""
    paired = {task: _keep_paired(task, by_arm, arms, failed) for task, by_arm in runs.items()}
    present = [arm for arm in arms if any(arm.name in by_arm for by_arm in paired.values())]
    baseline = present[0].name if present else ""
    paired = {task: by_arm for task, by_arm in paired.items() if baseline in by_arm and len(by_arm) > 1}
    if not paired:
        reasons = "; ".join(f"{cell.task} {cell.arm} seed {cell.seed}: {cell.reason}" for cell in failed)
        nothing = "nothing to compare: no task has finished runs of the baseline and of another arm"
        raise (HerlBenchError if failed else UsageError)(f"{nothing}{': ' if reasons else ''}{reasons}")
    as_named = ({arm: by_arm[arm] for arm in runs[task] if arm in by_arm} for task, by_arm in paired.items())
    unequal = tuple(sentence for by_arm in as_named for sentence in find_differences(by_arm))
    if unequal and not terms.allow_unequal:
        advice = "make them equal, or pass --allow_unequal to compare all the same"
        raise UsageError(f"not a fair comparison: {'; '.join(unequal)}: {advice}")
    tasks = [describe_task(by_arm, folder) for by_arm in paired.values()]
    contrasts = contrast_arms([task.outcomes for task in tasks], baseline, terms.margin)
    scores = tuple(score_arm(task, arm) for task in tasks for arm in task.runs)
    records = tuple(record for task in tasks for record in task.records)
    budgets = {record.budget for record in records}
    return Comparison(
        baseline=baseline,
        arms=tuple(present),
        tasks=tuple(task.outcomes.items for task in tasks),
        seeds=tuple(sorted({record.seed for record in records})),
        budget=budgets.pop() if len(budgets) == 1 else None,
        runs=records,
        failed=tuple(failed),
        arm_scores=scores,
        contrasts=contrasts,
        overall=sum_up_tasks(tasks, present),
        unequal=unequal,
        notes=tuple(note_runs(tasks, contrasts)),
        verdicts=(
            *(f"The arms are not equal: {sentence}." for sentence in unequal),
            *note_failures(failed),
            *(contrast.verdict.sentence for contrast in contrasts),
            *(sentence for task in tasks for sentence in note_falls(task, scores)),
        ),
        command=terms.command,
        version=VERSION,
    )


def _keep_paired(
    task: str, by_arm: RunsByArm, arms: Sequence[Arm], failed: Sequence[FailedCell]
) -> dict[str, list[FinishedRun]]:
    """In the order of the arms. A seed that failed in one is left out of all, so that what is compared stays paired."""
    seeds = {cell.seed for cell in failed if cell.task == task}
    kept = {arm.name: [run for run in by_arm.get(arm.name, ()) if run.seed not in seeds] for arm in arms}
    return {arm: group for arm, group in kept.items() if group}


def compare_answers(pairs: Sequence[AnswerPairs], arms: Sequence[Arm], terms: Terms) -> Comparison:
    """Sets of answers to the same items, of one task each, untrained: over items alone. The first is the baseline."""
    tasks = [one.outcomes for one in pairs]
    contrasts = contrast_arms(tasks, arms[0].name, terms.margin)
    partial = [one for one in pairs if one.left_out]
    unequal = tuple(f"{one.outcomes.task}: {spell_count(one.left_out, 'item')} not in every set" for one in partial)
    return Comparison(
        baseline=arms[0].name,
        arms=tuple(arms),
        tasks=tuple(outcomes.items for outcomes in tasks),
        arm_scores=tuple(score for outcomes in tasks for score in score_answers(outcomes)),
        contrasts=contrasts,
        unequal=unequal,
        notes=tuple(note_answers(pairs, contrasts)),
        verdicts=(
            *(f"The arms are not equal: {sentence}; what is in all of them is compared." for sentence in unequal),
            *(contrast.verdict.sentence for contrast in contrasts),
        ),
        command=terms.command,
        version=VERSION,
    )


def summarize_run(run: FinishedRun) -> Comparison:
    """One run by itself: a comparison without contrasts, whose sentence speaks of this policy and not of its method."""
    arm, higher = Arm(run.method, run.method, run.settings.get("set") or {}), run.higher_is_better
    task = describe_task({arm.name: [run]}, run.directory)
    scores = score_arm(task, arm.name)
    sentence = describe_change(run.task, run.method, scores.before.value, scores.score.value, scores.gain, higher)
    return Comparison(
        baseline=arm.name,
        arms=(arm,),
        tasks=(task.outcomes.items,),
        seeds=(run.seed,),
        budget=int(run.settings["budget"]),
        runs=tuple(task.records),
        arm_scores=(scores,),
        contrasts=(),
        notes=(*note_collapses([run]), "One run cannot tell methods apart: for that, compare several seeds of each."),
        verdicts=(sentence + describe_undecided({run.method: (scores.undecided, scores.responses)}, higher),),
        command=str(run.manifest.get("command", "")),
        version=VERSION,
    )
