"""`herl-bench validate`: does every example's gold answer meet its own rubric?

An item fails where any criterion is unmet or cannot be decided; it is listed once, with the first such criterion. Failing items are a
finding about the data, not a failure of this command (MBPP is published with some), so it exits with 0; `--strict` makes it 1.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import click

from herl_bench.cli import report_problems
from herl_bench.cli.resolve import rubric_of, sandbox_of
from herl_bench.errors import UsageError
from herl_bench.plugins import Host
from herl_bench.types import Example, Rubric, Task

CHUNK = 256


@click.command("validate")
@click.option("--tasks", "--task", "names", help="Comma-separated names of tasks; all installed if left out.")
@click.option("--data", help="A folder with the benchmarks' files, hub, or synthetic. Default: HERL_BENCH_DATA if set, else synthetic.")
@click.option("--items", default=200, show_default=True, type=click.IntRange(1), help="Items per split of an endless synthetic world.")
@click.option("--strict", is_flag=True, help="Exit with 1 if a gold answer fails.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def command(host: Host, names: str | None, data: str | None, items: int, strict: bool, form: str) -> int:
    """Check that every example's gold answer meets all criteria of its own rubric.

    With --format json, one object on stdout: {"tasks": {TASK: {SPLIT: {"items", "gold_ok", "failed": [{"id", "criterion", "evidence"}]}}}}.
    """
    tasks = [host.get("task", name) for name in task_names(host, names)]
    report_problems(host)
    outcome = {task.name: dict(_validate(host, task, data, items)) for task in tasks}
    if form == "json":
        click.echo(json.dumps({"tasks": outcome}, ensure_ascii=False, indent=2))
    failed = sum(len(found["failed"]) for splits in outcome.values() for found in splits.values())
    if form == "text":
        for name, splits in outcome.items():
            for split, found in splits.items():
                click.echo(f"{name} {split}: {found['gold_ok']:,} of {found['items']:,} gold answers meet every criterion")
                for row in found["failed"]:
                    click.echo(f"  {row['id']}  {row['criterion']}: {row['evidence']}")
    return int(strict and failed > 0)


def task_names(host: Host, names: str | None) -> list[str]:
    """`a,b` as a list without repeats; every task where nothing was given."""
    if names is None:
        return sorted(host.entries("task"))
    listed = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    if not listed:
        raise UsageError(f"--tasks names no task: choose from {', '.join(sorted(host.entries('task')))}")
    return listed


def _validate(host: Host, task: Task, data: str | None, items: int) -> Iterator[tuple[str, dict[str, Any]]]:
    from herl_bench.data import files_of, read_all

    rubric = rubric_of(host, task)
    source = data or files_of(task) or "synthetic"
    with sandbox_of(host, task) as sandbox:
        for split, read in _splits(task, source, items).items():
            yield split, _check(task, rubric, split, read_all(read, f"{task.name} ({split}) from {source}"), sandbox)


def _splits(task: Task, source: str, items: int) -> dict[str, Callable[[], Iterable[Example]]]:
    from herl_bench.data import EVAL_SEED, resolve_source

    place = resolve_source(task, source, embedded=False)
    if isinstance(place, Path):
        return {split: partial(read, place) for split, read in task.splits.items()}
    if place == "hub":
        assert task.hub is not None
        return {"train": partial(task.hub, "train"), "eval": partial(task.hub, "eval")}
    world = task.world
    assert world is not None
    streams = {"train": world.examples("train", 0, world.difficulty), "eval": world.examples("eval", EVAL_SEED, world.difficulty)}
    return {split: partial(islice, stream, items) for split, stream in streams.items()}


def _check(task: Task, rubric: Rubric, split: str, examples: Sequence[Example], sandbox: Any) -> dict[str, Any]:
    from herl_bench.rubric import judge

    failed = []
    for chunk in in_chunks(examples, f"{task.name} {split}"):
        for example, judgement in zip(chunk, judge(chunk, [task.gold(e) for e in chunk], rubric, (), sandbox), strict=True):
            wrong = next((v for v in judgement.verdicts if v.met is not True), None)
            if wrong is not None:
                evidence = wrong.evidence if wrong.met is False else f"could not be decided: {wrong.error}"
                failed.append({"id": example.id, "criterion": wrong.criterion, "evidence": evidence})
            elif not judgement.verdicts:
                failed.append({"id": example.id, "criterion": "", "evidence": f"no criterion of {rubric.name} applies to this item"})
    return {"items": len(examples), "gold_ok": len(examples) - len(failed), "failed": failed}


def in_chunks(items: Sequence[Any], label: str, size: int = CHUNK) -> Iterator[Sequence[Any]]:
    """`items` in slices, with a progress bar on stderr where that is a terminal, so that stdout stays the result's own."""
    starts = range(0, len(items), size)
    if not sys.stderr.isatty():
        yield from (items[start : start + size] for start in starts)
        return
    from rich.console import Console
    from rich.progress import track

    for start in track(starts, description=label, console=Console(stderr=True), transient=True):
        yield items[start : start + size]
