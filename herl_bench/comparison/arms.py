"""What the arms are where somebody names folders: of finished runs, methods with their settings; of sets of answers,
the models that gave them. The first arm is the baseline."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from herl_bench.comparison.answer_files import holds_answers, read_answers
from herl_bench.comparison.answer_sets import AnswerSet
from herl_bench.comparison.finished_runs import FinishedRun
from herl_bench.comparison.schema import Arm
from herl_bench.errors import UnknownName, UsageError
from herl_bench.plain_text import neutralize
from herl_bench.runs import RunFiles

log = logging.getLogger("herl_bench")

GroupedRuns = dict[str, dict[str, list[FinishedRun]]]
"""By task, then by arm, in order of seed."""


def find_runs(named: Sequence[Path]) -> list[Path]:
    """Empty where all are sets of answers. Beside runs, what is none, such as a sweep's logs, is left out. Raises
    `UsageError`."""
    for place in named:
        if not place.exists():
            raise UsageError(f"{place}: no such file or folder")
    runs = [place for place in named if RunFiles(place).exists]
    others = [place for place in named if place not in runs]
    if not runs:
        if len(others) < 2:
            no_run = f"{others[0]}: no config.yaml there, so it is no run"
            raise UsageError(f"{no_run}; to pair sets of answers, name two or more")
        return []
    answers = [place for place in others if holds_answers(place)]
    if answers or (len(runs) < 2 and others):
        advice = f"to pair its answers with others, name {RunFiles(runs[0]).evaluation('after')}"
        odd = (answers or others)[0]
        raise UsageError(f"{runs[0]} is a run and {odd} is not: a run is compared with runs; {advice}")
    for place in others:
        log.warning("%s", neutralize(f"{place}: no config.yaml there, so it is no run: left out"))
    return runs


def put_baseline_first(arms: Sequence[Arm], baseline: str | None) -> list[Arm]:
    """Raises `UnknownName`."""
    if baseline is not None and baseline not in (names := [arm.name for arm in arms]):
        raise UnknownName("arm", baseline, names)
    return sorted(arms, key=lambda arm: baseline is not None and arm.name != baseline)


def group_runs(runs: Sequence[FinishedRun], baseline: str | None) -> tuple[list[Arm], GroupedRuns]:
    """Arms are methods; runs of one method whose settings differ are arms of their own, named by what differs."""
    told = [(run.directory, run.settings) for run in runs]
    settings = {place: {**(given.get("set") or {}), "rubric": given.get("rubric")} for place, given in told}
    arms: dict[str, Arm] = {}
    groups: GroupedRuns = {}
    for run in sorted(runs, key=lambda run: run.seed):
        alike = [settings[other.directory] for other in runs if (other.method, other.task) == (run.method, run.task)]
        own = settings[run.directory].items()
        differing = {name: value for name, value in own if any(other.get(name) != value for other in alike)}
        label = " ".join([run.method, *(f"{name}={value}" for name, value in differing.items())])
        arms.setdefault(label, Arm(label, run.method, differing))
        group = groups.setdefault(run.task, {}).setdefault(label, [])
        if twin := next((other for other in group if other.seed == run.seed), None):
            same = "are the same method with the same settings and seed"
            raise UsageError(f"{twin.directory} and {run.directory} {same}: name one of them")
        group.append(run)
    return put_baseline_first(list(arms.values()), baseline or ("ppo" if "ppo" in arms else None)), groups


def group_answers(
    places: Sequence[Path], baseline: str | None, metrics: Sequence[str]
) -> tuple[list[Arm], list[dict[str, AnswerSet]], Sequence[str]]:
    """(arms; for each task, the sets of answers by arm; metrics in the order of the arms). Every place is an arm, named
    by its model, or by its path where models have the same name."""
    sets = [read_answers(place) for place in places]
    models = [next(iter(by_task.values())).name for by_task in sets]
    names = [str(place) if models.count(model) > 1 else model for place, model in zip(places, models, strict=True)]
    arms = [Arm(name, model) for name, model in zip(names, models, strict=True)]
    ordered = put_baseline_first(arms, baseline)
    if metrics and len(metrics) == len(places):  # each goes with its place, wherever the baseline stands
        metrics = [metrics[arms.index(arm)] for arm in ordered]
    by_arm = {arm.name: sets[arms.index(arm)] for arm in ordered}
    if all(len(by_task) == 1 for by_task in sets):
        return ordered, [{arm: next(iter(one.values())) for arm, one in by_arm.items()}], metrics
    tasks = dict.fromkeys(task for by_task in by_arm.values() for task in by_task)
    common = [task for task in tasks if all(task in by_task for by_task in sets)]
    if not common:
        held = "; ".join(f"{name} has {', '.join(by_task)}" for name, by_task in by_arm.items())
        raise UsageError(f"no task is in all of them: {held}")
    for task in tasks:
        if task not in common:
            log.warning("%s", neutralize(f"{task}: not in every set of answers: left out"))
    return ordered, [{arm: by_task[task] for arm, by_task in by_arm.items()} for task in common], metrics
