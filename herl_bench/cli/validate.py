"""`herl-bench validate`: does every example's gold answer meet its own rubric, and is the task sound otherwise?

An item fails where any criterion is unmet or cannot be decided, or where the primary metric calls its gold answer
wrong; it is listed once, with the first reason. Failing items are a finding about the data, not a failure of this
command (MBPP is published with some), so it exits with 0; `--strict` makes it 1.

Problems are of the task: ids that come twice, metrics and final answers that cannot be computed, a template that cannot
be rendered, and guidance that gives the final answer away. An example that no file can hold, or that a check cannot
decide, fails; the reason names the check's function.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import click

from herl_bench.cli import report_problems
from herl_bench.cli.output import say_json
from herl_bench.data.examples import find_fault, name_type, read_examples
from herl_bench.errors import UsageError, describe_error
from herl_bench.experiment.resolve import find_metrics, find_rubric, find_template, open_sandbox
from herl_bench.plugins import Host
from herl_bench.types import Example, HindsightTemplate, Judgement, Metric, Rubric, Task

CHUNK = 256
ALIKE = 5
"""Items that are listed for one and the same reason."""
GUIDED = 16
"""Examples of a split that guidance is tried on."""


@click.command("validate")
@click.option("--tasks", "--task", "names", help="Comma-separated names of tasks; all installed if left out.")
@click.option("--rubric", default="", help="Another rubric's name, or a YAML file, instead of the task's own.")
@click.option("--template", default="", help="Another hindsight template's name, instead of the task's own.")
@click.option(
    "--data",
    help="A folder with the benchmarks' files, hub, or synthetic. Default: HERL_BENCH_DATA if set, else synthetic.",
)
@click.option(
    "--items",
    default=200,
    show_default=True,
    type=click.IntRange(1),
    help="Items per split of an endless synthetic world.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 if a gold answer fails, or for any problem.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def command(
    host: Host, names: str | None, rubric: str, template: str, data: str | None, items: int, strict: bool, form: str
) -> int:
    """Check that every example's gold answer meets all criteria of its own rubric, and try metrics and hindsight
    template.

    With --format json, one object on stdout: {"tasks": {TASK: {SPLIT: {"items", "gold_ok", "failed": [{"id",
    "criterion", "evidence"}]}}}, "problems": {TASK: [sentence]}}.
    """
    tasks = [host.get("task", name) for name in task_names(host, names)]
    if template:
        host.get("template", template)
    report_problems(host)
    problems: dict[str, list[str]] = {task.name: [] for task in tasks}
    outcome: dict[str, dict[str, Any]] = {}
    for task in tasks:
        try:
            outcome[task.name] = dict(_validate(host, task, rubric, template, data, items, problems[task.name]))
        except UsageError as error:
            if names is not None:
                raise
            problems[task.name].append(str(error))  # the others can be looked at all the same
    if form == "json":
        say_json({"tasks": outcome, "problems": problems})
    failed = sum(len(found["failed"]) for splits in outcome.values() for found in splits.values())
    if form == "text":
        for name in problems:
            for split, found in outcome.get(name, {}).items():
                click.echo(
                    f"{name} {split}: {found['gold_ok']:,} of {found['items']:,} gold answers meet every criterion"
                )
                alike = Counter((row["criterion"], row["evidence"]) for row in found["failed"])
                shown: Counter[tuple[str, str]] = Counter()
                for row in found["failed"]:
                    reason = (row["criterion"], row["evidence"])
                    shown[reason] += 1
                    if shown[reason] <= ALIKE:
                        click.echo(f"  {row['id']}  {row['criterion']}: {row['evidence']}")
                    elif shown[reason] == ALIKE + 1:
                        click.echo(
                            f"  … and {alike[reason] - ALIKE} more for this reason ({reason[0]}); --format json lists"
                            " them all"
                        )
            for problem in problems[name]:
                click.echo(f"{name}: problem: {problem}")
    return int(strict and (failed > 0 or any(problems.values())))


def task_names(host: Host, names: str | None) -> list[str]:
    """`a,b` as a list without repeats; every task where nothing was given."""
    if names is None:
        return sorted(host.entries("task"))
    listed = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    if not listed:
        raise UsageError(f"--tasks names no task: choose from {', '.join(sorted(host.entries('task')))}")
    return listed


def _validate(
    host: Host, task: Task, rubric_name: str, template_name: str, data: str | None, items: int, problems: list[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    from herl_bench.data.sources import get_named_folder

    rubric, metrics = find_rubric(host, task, rubric_name), find_metrics(host, task)
    source = data or get_named_folder(task) or "synthetic"
    seen: dict[str, str] = {}
    with open_sandbox(host, task) as sandbox:
        for split, read in _splits(task, source, items).items():
            examples = read_examples(read, f"{task.name} ({split}) from {source}")
            problems += _repeated(examples, split, seen)
            found, wrong = _check(task, rubric, metrics, split, examples, sandbox)
            yield split, found
            problems += wrong
            try:
                template = find_template(host, task, template_name)
                problems += _guided(
                    task, rubric, template, split, [e for e in examples[:GUIDED] if not find_fault(e)], sandbox
                )
            except UsageError as error:
                problems += [said for said in [str(error)] if said not in problems]


def _splits(task: Task, source: str, items: int) -> dict[str, Callable[[], Iterable[Example]]]:
    from herl_bench.data.sources import EVAL_SEED, resolve_source

    place = resolve_source(task, source, embedded=False)
    if isinstance(place, Path):
        return {split: partial(read, place) for split, read in task.splits.items()}
    if place == "hub":
        assert task.hub is not None
        return {"train": partial(task.hub, "train"), "eval": partial(task.hub, "eval")}
    world = task.world
    assert world is not None
    streams = {
        "train": world.examples("train", 0, world.difficulty),
        "eval": world.examples("eval", EVAL_SEED, world.difficulty),
    }
    return {split: partial(islice, stream, items) for split, stream in streams.items()}


def _repeated(examples: Sequence[Example], split: str, seen: dict[str, str]) -> Iterator[str]:
    """seen: id → split, of all splits so far."""
    twice: dict[str, list[str]] = {}
    for example in examples:
        if example.id in seen:
            twice.setdefault(seen[example.id], []).append(example.id)
        seen.setdefault(example.id, split)
    for other, ids in twice.items():
        where = f"twice in {split}" if other == split else f"in {other} and in {split}"
        yield (
            f"{len(ids)} id{'s are' if len(ids) > 1 else ' is'} {where}, {ids[0]!r} for example: every problem needs an"
            " id of its own"
        )


def _check(
    task: Task, rubric: Rubric, metrics: Sequence[Metric], split: str, examples: Sequence[Example], sandbox: Any
) -> tuple[dict[str, Any], list[str]]:
    """The split's outcome by its gold answers, and what is wrong with checks, metrics and `extract`."""
    from herl_bench.rubric import judge

    failed: list[dict[str, str]] = []
    raised: dict[str, list[str]] = {}
    names = {metric.key: metric.id or metric.name for metric in metrics}
    for chunk in in_chunks(examples, f"{task.name} {split}"):
        faulty = {e.id: said for e in chunk if (said := find_fault(e))}
        failed += [{"id": str(id), "criterion": "", "evidence": said} for id, said in faulty.items()]
        sound = [e for e in chunk if e.id not in faulty]
        golds = [task.gold(e) for e in sound]
        for example, gold, judgement in zip(sound, golds, judge(sound, golds, rubric, metrics, sandbox), strict=True):
            if reason := _reason(rubric, metrics, judgement):
                failed.append({"id": example.id, "criterion": reason[0], "evidence": reason[1]})
            for key, why in judgement.failed.items():
                raised.setdefault(f"metric {names[key]}", []).append(why)
            if said := _extracted(task, example, gold):
                raised.setdefault("extract", []).append(said)
    problems = [
        f"{split}: {name} on {len(said)} of {len(examples)} gold answers: {said[0]}" for name, said in raised.items()
    ]
    return {"items": len(examples), "gold_ok": len(examples) - len(failed), "failed": failed}, problems


def _reason(rubric: Rubric, metrics: Sequence[Metric], judgement: Judgement) -> tuple[str, str] | None:
    """(criterion or metric, what is wrong with it), the first of an item."""
    checks = {c.name: getattr(c.check, "func", c.check) for c in rubric.criteria}
    for verdict in judgement.verdicts:
        check = checks[verdict.criterion]
        named = f"check {getattr(check, '__module__', '?')}.{getattr(check, '__qualname__', type(check).__name__)}"
        if verdict.met is None:
            return verdict.criterion, f"could not be decided: {named}: {verdict.error or 'it says None, and not why'}"
        if not verdict.met:
            return verdict.criterion, verdict.evidence
    if not judgement.verdicts:
        return "", f"no criterion of {rubric.name} applies to this item"
    first = metrics[0] if metrics else None
    if first and first.higher_is_better and judgement.metrics[first.key] == 0:
        return first.key, "the primary metric calls this gold answer wrong"
    return None


def _extracted(task: Task, example: Example, gold: str) -> str:
    try:
        found = task.extract(example, gold)
    except Exception as error:
        return describe_error(error)
    return (
        "finds no final answer"
        if found is None
        else ""
        if isinstance(found, str)
        else f"gives a {name_type(found)}, not text or None"
    )


def _guided(
    task: Task, rubric: Rubric, template: HindsightTemplate, split: str, examples: Sequence[Example], sandbox: Any
) -> Iterator[str]:
    """Renders guidance and prompts of the first examples, for an empty and for half a gold answer, every criterion
    unmet.

    Raises `UsageError` where the template cannot.
    """
    from herl_bench.hindsight import try_template, write_guidance
    from herl_bench.rubric import judge

    try_template(template, rubric, examples)
    tried = [
        (example, draft) for example in examples for draft in ("", task.gold(example)[: len(task.gold(example)) // 2])
    ]
    judged = (
        judge([example for example, _ in tried], [draft for _, draft in tried], rubric, (), sandbox) if tried else []
    )
    telling = []
    for (example, draft), judgement in zip(tried, judged, strict=True):
        verdicts = [replace(v, met=False) for v in judgement.verdicts if v.met is not None]
        said = write_guidance(template, rubric, example, draft, verdicts)
        final = task.extract(example, task.gold(example))
        if isinstance(final, str) and _tells(said, final) and not _tells(f"{example.prompt} {draft}", final):
            telling.append((example.id, final))
    if telling:
        yield (
            f"{split}: guidance holds the final answer of {len(dict(telling))} of {len(examples)} examples,"
            f" {telling[0][1]!r} of {telling[0][0]} for one: a check's evidence or correction, or the template, gives"
            " it away"
        )


def _tells(text: str, answer: str) -> bool:
    return bool(answer.strip()) and re.search(rf"(?<![\w.]){re.escape(answer.strip())}(?![\w]|\.\w)", text) is not None


def in_chunks(items: Sequence[Any], label: str, size: int = CHUNK) -> Iterator[Sequence[Any]]:
    """`items` in slices, with a progress bar on stderr where that is a terminal, so that stdout stays the result's
    own."""
    starts = range(0, len(items), size)
    if not sys.stderr.isatty():
        yield from (items[start : start + size] for start in starts)
        return
    from rich.console import Console
    from rich.progress import track

    for start in track(starts, description=label, console=Console(stderr=True), transient=True):
        yield items[start : start + size]
