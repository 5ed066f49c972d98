"""`herl-bench validate`: does every example's gold answer meet its own rubric, and is the task sound otherwise?

Failing items are a finding about the data (MBPP is published with some): it exits with 0; `--strict` makes it 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from herl_bench.cli import report_problems
from herl_bench.cli.output import say_json
from herl_bench.errors import UsageError
from herl_bench.plugins import Host

if TYPE_CHECKING:
    from herl_bench.experiment.validation import Validation

ALIKE = 5  # items that are listed for one and the same reason


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
    "criterion", "evidence"}]}}}, "problems": {TASK: [sentence]}, "guides": {TASK: [criterion of weight 0]}}.
    """
    from herl_bench.experiment.validation import Validation, validate_task

    tasks = [host.get("task", name) for name in split_task_names(host, names)]
    if template:
        host.get("template", template)
    report_problems(host)
    found = {task.name: Validation() for task in tasks}
    for task in tasks:
        try:
            validate_task(host, task, found[task.name], rubric=rubric, template=template, data=data, items=items)
        except UsageError as error:
            if names is not None:
                raise
            # the others can be looked at all the same
            found[task.name] = Validation({}, [*found[task.name].problems, str(error)])
    if form == "json":
        splits = {name: each.splits for name, each in found.items() if each.splits}
        problems, guides = (
            {name: getattr(each, what) for name, each in found.items()} for what in ("problems", "guides")
        )
        say_json({"tasks": splits, "problems": problems, "guides": guides})
    else:
        for name, each in found.items():
            _show(name, each)
    sound = not any(each.problems or any(s["failed"] for s in each.splits.values()) for each in found.values())
    return int(strict and not sound)


def _show(name: str, found: Validation) -> None:
    for split, outcome in found.splits.items():
        click.echo(f"{name} {split}: {outcome['gold_ok']:,} of {outcome['items']:,} gold answers meet every criterion")
        _show_failed(outcome["failed"])
    if found.guides:
        click.echo(f"{name}: guide, and are not paid for (weight 0): {', '.join(found.guides)}")
    for problem in found.problems:
        click.echo(f"{name}: problem: {problem}")


def _show_failed(failed: list[Mapping[str, Any]]) -> None:
    alike = Counter((row["criterion"], row["evidence"]) for row in failed)
    shown: Counter[tuple[str, str]] = Counter()
    for row in failed:
        reason = (row["criterion"], row["evidence"])
        shown[reason] += 1
        if shown[reason] <= ALIKE:
            click.echo(f"  {row['id']}  {row['criterion']}: {row['evidence']}")
        elif shown[reason] == ALIKE + 1:
            more = alike[reason] - ALIKE
            click.echo(f"  … and {more} more for this reason ({reason[0]}); --format json lists them all")


def split_task_names(host: Host, names: str | None) -> list[str]:
    """`a,b` as a list without repeats; every task where nothing was given."""
    if names is None:
        return sorted(host.entries("task"))
    listed = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    if not listed:
        raise UsageError(f"--tasks names no task: choose from {', '.join(sorted(host.entries('task')))}")
    return listed
