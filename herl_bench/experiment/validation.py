"""Is a task sound? Does every example's gold answer meet its own rubric?

An item fails where any criterion is unmet or cannot be decided, where the primary metric calls its gold answer wrong,
or where no file can hold it; it is listed once, with the first reason, and the check's function if that cannot decide.

Problems are of the task: ids that come twice, metrics and final answers that cannot be computed, a template that cannot
be rendered, and guidance that gives the final answer away.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from herl_bench.data.examples import find_fault, name_type, read_examples
from herl_bench.errors import UsageError
from herl_bench.evaluation.problems import name_function
from herl_bench.experiment.resolve import find_metrics, find_rubric, find_template, open_sandbox
from herl_bench.plugins import Host
from herl_bench.progress import open_bar
from herl_bench.rubric import extract_answer, judge
from herl_bench.types import Environment, Example, Judgement, Metric, ReviseForm, Rubric, Task

CHUNK = 256
GUIDED = 16  # examples of a split that guidance is tried on


@dataclass
class Validation:
    """splits: by name, `{"items", "gold_ok", "failed": [{"id", "criterion", "evidence"}]}`. problems: sentences.
    guides: criteria of weight 0."""

    splits: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    guides: list[str] = field(default_factory=list)


def validate_task(
    host: Host, task: Task, found: Validation, *, rubric: str, template: str, data: str | None, items: int
) -> None:
    """Fill `found`. items: per split of an endless world. Raises `UsageError` where the task cannot be looked at."""
    from herl_bench.data.sources import get_named_folder
    from herl_bench.evaluation.judging import NO_TEMPLATE

    environment = Environment(task, find_rubric(host, task, rubric), NO_TEMPLATE, find_metrics(host, task))
    found.guides += environment.rubric.guides
    source = data or get_named_folder(task) or "synthetic"
    seen: dict[str, str] = {}
    with open_sandbox(host, task) as sandbox:
        environment = replace(environment, sandbox=sandbox)
        for split, read in _list_splits(task, source, items).items():
            examples = read_examples(read, f"{task.name} ({split}) from {source}")
            found.problems += find_repeated_ids(examples, split, seen)
            found.splits[split], problems = check_gold_answers(environment, split, examples)
            found.problems += problems
            try:
                chosen = find_template(host, task, template)
                sound = [example for example in examples[:GUIDED] if not find_fault(example)]
                found.problems += try_guidance(replace(environment, template=chosen), split, sound)
            except UsageError as error:
                found.problems += [problem for problem in [str(error)] if problem not in found.problems]


def _list_splits(task: Task, source: str, items: int) -> dict[str, Callable[[], Iterable[Example]]]:
    from herl_bench.data.sources import EVAL_SEED, resolve_source

    place = resolve_source(task, source, embedded=False)
    if isinstance(place, Path):
        return {split: partial(read, place) for split, read in task.splits.items()}
    if place == "hub":
        assert task.hub is not None
        return {"train": partial(task.hub, "train"), "eval": partial(task.hub, "eval")}
    world = task.world
    assert world is not None
    train, test = world.examples("train", 0, world.difficulty), world.examples("eval", EVAL_SEED, world.difficulty)
    return {"train": partial(islice, train, items), "eval": partial(islice, test, items)}


def find_repeated_ids(examples: Sequence[Example], split: str, seen: dict[str, str]) -> Iterator[str]:
    """seen: id → split, of all splits so far."""
    twice: dict[str, list[str]] = {}
    for example in examples:
        if example.id in seen:
            twice.setdefault(seen[example.id], []).append(example.id)
        seen.setdefault(example.id, split)
    for other, ids in twice.items():
        where = f"twice in {split}" if other == split else f"in {other} and in {split}"
        count = f"{len(ids)} id{'s are' if len(ids) > 1 else ' is'}"
        yield f"{count} {where}, {ids[0]!r} for example: every problem needs an id of its own"


def check_gold_answers(
    environment: Environment, split: str, examples: Sequence[Example]
) -> tuple[dict[str, Any], list[str]]:
    """The split's outcome by its gold answers, and what is wrong with checks, metrics and `extract`."""
    task, rubric, metrics = environment.task, environment.rubric, environment.metrics
    failed: list[dict[str, str]] = []
    raised: dict[str, list[str]] = {}
    names = {metric.key: metric.id or metric.name for metric in metrics}
    with open_bar(f"{task.name} {split}", len(examples)) as advance:
        for start in range(0, len(examples), CHUNK):
            chunk = examples[start : start + CHUNK]
            faults = {example.id: fault for example in chunk if (fault := find_fault(example))}
            failed += [{"id": str(id), "criterion": "", "evidence": fault} for id, fault in faults.items()]
            sound = [example for example in chunk if example.id not in faults]
            golds = [task.gold(example) for example in sound]
            judgements = judge(sound, golds, rubric, metrics, environment.sandbox)
            for example, gold, judgement in zip(sound, golds, judgements, strict=True):
                if reason := _find_reason(rubric, metrics, judgement):
                    failed.append({"id": example.id, "criterion": reason[0], "evidence": reason[1]})
                for key, why in judgement.failed.items():
                    raised.setdefault(f"metric {names[key]}", []).append(why)
                if fault := _find_extraction_fault(task, example, gold):
                    raised.setdefault("extract", []).append(fault)
            advance(len(chunk))
    every = f"{len(examples)} gold answers"
    problems = [f"{split}: {name} on {len(whys)} of {every}: {whys[0]}" for name, whys in raised.items()]
    return {"items": len(examples), "gold_ok": len(examples) - len(failed), "failed": failed}, problems


def _find_reason(rubric: Rubric, metrics: Sequence[Metric], judgement: Judgement) -> tuple[str, str] | None:
    """(criterion or metric, what is wrong with it), the first of an item."""
    checks = {criterion.name: criterion.check for criterion in rubric.criteria}
    for verdict in judgement.verdicts:
        if verdict.met is None:
            named = f"check {name_function(checks[verdict.criterion])}"
            return verdict.criterion, f"could not be decided: {named}: {verdict.error or 'it says None, and not why'}"
        if not verdict.met:
            return verdict.criterion, verdict.evidence
    if not judgement.verdicts:
        return "", f"no criterion of {rubric.name} applies to this item"
    first = metrics[0] if metrics else None
    if first and first.higher_is_better and judgement.metrics[first.key] == 0:
        return first.key, "the primary metric calls this gold answer wrong"
    return None


def _find_extraction_fault(task: Task, example: Example, gold: str) -> str:
    found, failure = extract_answer(task, example, gold)
    if failure or found is None:
        return failure or "finds no final answer"
    return "" if isinstance(found, str) else f"gives a {name_type(found)}, not text or None"


def try_guidance(environment: Environment, split: str, examples: Sequence[Example]) -> Iterator[str]:
    """Renders guidance and prompts of the examples, for an empty and for half a gold answer, every criterion unmet.

    Raises `UsageError` where the template cannot.
    """
    from herl_bench.hindsight import try_template, write_guidance

    task, rubric, template = environment.task, environment.rubric, environment.template
    try_template(template, rubric, examples)
    if not examples:
        return
    golds = {example.id: task.gold(example) for example in examples}
    halves = {name: gold[: len(gold) // 2] for name, gold in golds.items()}
    tried = [(example, draft) for example in examples for draft in ("", halves[example.id])]
    repeated, drafts = zip(*tried, strict=True)
    judgements = judge(repeated, drafts, rubric, (), environment.sandbox)
    telling = []
    for (example, draft), judgement in zip(tried, judgements, strict=True):
        verdicts = [replace(verdict, met=False) for verdict in judgement.verdicts if verdict.met is not None]
        forms: tuple[ReviseForm, ...] = ("prompt", "with_draft")
        text = "\n".join(write_guidance(template, rubric, example, draft, verdicts, form=form) for form in forms)
        final, _ = extract_answer(task, example, golds[example.id])
        if isinstance(final, str) and _is_told(text, final) and not _is_told(f"{example.prompt} {draft}", final):
            telling.append((example.id, final))
    if telling:
        name, final = telling[0]
        told = f"the final answer of {len(dict(telling))} of {len(examples)} examples, {final!r} of {name} for one"
        yield f"{split}: guidance holds {told}: a check's evidence or correction, or the template, gives it away"


def _is_told(text: str, answer: str) -> bool:
    return bool(answer.strip()) and re.search(rf"(?<![\w.]){re.escape(answer.strip())}(?![\w]|\.\w)", text) is not None
