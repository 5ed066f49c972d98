"""What a reader must know before believing the numbers, one sentence each."""

from __future__ import annotations

from collections.abc import Sequence

from herl_bench.comparison.answer_sets import AnswerPairs
from herl_bench.comparison.arm_scores import TrainedTask
from herl_bench.comparison.fairness import note_steps, note_versions
from herl_bench.comparison.finished_runs import FinishedRun
from herl_bench.comparison.outcomes import Outcomes
from herl_bench.comparison.schema import ArmScore, Contrast, FailedCell
from herl_bench.comparison.verdict import describe_aside, describe_falls, spell_count
from herl_bench.training.collapse import find_collapse


def note_runs(tasks: Sequence[TrainedTask], contrasts: Sequence[Contrast]) -> list[str]:
    notes = []
    synthetic = [task.task for task in tasks if task.outcomes.items.source == "synthetic"]
    if synthetic:
        world = "its synthetic world, which was" if len(synthetic) == 1 else "their synthetic worlds, which were"
        limits = "this says nothing about real models on the published problems"
        notes.append(f"{', '.join(synthetic)}: measured on {world} built so that hindsight can help; {limits}.")
    for task in tasks:
        if errors := sum(record.after.errors for record in task.records):
            answers = spell_count(errors, "answer")
            notes.append(f"{task.task}: {answers} after training had something that could not be judged.")
    notes += note_undecided([task.outcomes for task in tasks], contrasts)
    notes += [note for task in tasks for note in note_steps(task.task, task.runs)]
    runs = [run for task in tasks for group in task.runs.values() for run in group]
    if not all(run.primary for run in runs):
        curves = "learning curves are of each task's first one, and so are not shown"
        notes.append(f"The metric was chosen with --metric: {curves}.")
    if any(len(contrast.seeds) < 5 for contrast in contrasts):
        few = "With fewer than 5 seeds, only differences far larger than the noise can be found"
        notes.append(f"{few}; the intervals allow for that.")
    return [*notes, *note_collapses(runs), *note_versions(runs)]


def note_collapses(runs: Sequence[FinishedRun]) -> list[str]:
    """Which went wrong in their first steps, in the words that they were warned with."""
    found = [(run, find_collapse(run.rows, run.settings.get("set") or {})) for run in runs]
    return [f"{run.method} on {run.task}, seed {run.seed}: {collapse}." for run, collapse in found if collapse]


def note_answers(pairs: Sequence[AnswerPairs], contrasts: Sequence[Contrast]) -> list[str]:
    tasks = [one.outcomes for one in pairs]
    is_repeated = any(count > 1 for outcomes in tasks for count in (outcomes.repeats or {}).values())
    samples = "outcomes are means over samples of an item" if is_repeated else "one sample of each"
    notes = [f"{one.outcomes.task}: items were paired by {one.key}; {samples}." for one in pairs]
    return [*notes, *(note for one in pairs for note in one.notes), *note_undecided(tasks, contrasts)]


def note_undecided(tasks: Sequence[Outcomes], contrasts: Sequence[Contrast]) -> list[str]:
    """What became of undecided answers, and what verdicts on programs rest on."""
    notes = []
    for outcomes in tasks:
        for arm, count in outcomes.counts.items():
            if count.undecided and outcomes.items.higher_is_better:
                aside = describe_aside(count.undecided, 0, count.responses)
                notes.append(f"{arm} on {outcomes.task}: {aside}; they count as wrong.")
            if count.shared:
                share = f"{count.shared:,} of {count.responses:,} verdicts are shared"
                why = "they rest on a comparison that the program itself took part in"
                notes.append(f"{arm} on {outcomes.task}: {share}: {why}.")
        for contrast in contrasts:
            left_out = len(outcomes.items.items) - contrast.items
            if contrast.task == outcomes.task and left_out:
                who, items = f"{contrast.arm} and {contrast.baseline}", spell_count(left_out, "item")
                notes.append(f"{who} on {contrast.task}: {items} not judged in every run, so left out for both.")
    return notes


def note_failures(failed: Sequence[FailedCell]) -> list[str]:
    """What must be said before any verdict."""
    left_out = ", ".join(dict.fromkeys(f"seed {cell.seed} of {cell.task}" for cell in failed))
    return [f"{spell_count(len(failed), 'run')} failed; left out for every arm: {left_out}."] if failed else []


def note_falls(task: TrainedTask, scores: Sequence[ArmScore]) -> list[str]:
    """Which arms ended below where they began."""
    fallen = [(s.arm, s.before.value, s.score.value) for s in scores if s.fell and s.task == task.task]
    ends = {arm: (before, after) for arm, before, after in fallen if before is not None and after is not None}
    rates = {arm: (group[0].settings.get("set") or {}).get("learning_rate") for arm, group in task.runs.items()}
    numbers = {arm: float(rate) if isinstance(rate, (int, float)) else None for arm, rate in rates.items()}
    return [describe_falls(task.task, list(task.runs), ends, numbers)] if ends else []
