"""`herl-bench eval`: evaluate a run or a model on tasks, write lm-eval's files, print a table."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from herl_bench.cli import report_problems
from herl_bench.cli.resolve import metrics_of, policy_of, rubric_of, sandbox_of
from herl_bench.errors import UsageError
from herl_bench.plugins import Host
from herl_bench.types import Task

if TYPE_CHECKING:
    from herl_bench.evaluate import Score, Summary


@click.command("eval")
@click.option("--tasks", "names", help="Comma-separated names of tasks; a run's own task if left out.")
@click.option("--model", required=True, metavar="RUN_OR_PATH", help="A run's folder, tiny, a checkpoint folder, or a hub id.")
@click.option("--data", help="auto, synthetic, hub or a folder. Default: a run's own source, else auto.")
@click.option(
    "--limit", type=click.IntRange(1), help="At most so many items per task. Default: a run's own number, else all (200 synthetic)."
)
@click.option("--max_new_tokens", type=click.IntRange(1), help="Longest answer. Default: the task's.")
@click.option("--temperature", type=click.FloatRange(0), default=0.0, show_default=True, help="0 takes the likeliest token.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the sampling; the items never depend on it.")
@click.option("--output_path", metavar="DIR", help="Where the results go, into a folder named after the model. Default: a run's eval/.")
@click.option("--log_samples", is_flag=True, help="Also write every sample (always done inside a run).")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def command(
    host: Host,
    names: str | None,
    model: str,
    data: str | None,
    limit: int | None,
    max_new_tokens: int | None,
    temperature: float,
    seed: int,
    output_path: str | None,
    log_samples: bool,
    form: str,
) -> None:
    """Evaluate a run or a model."""
    from herl_bench.cli.validate import task_names

    run = run_settings(model)
    if names is None and not run:
        raise UsageError(f"--tasks is missing: choose from {', '.join(sorted(host.entries('task')))}")
    tasks = [host.get("task", name) for name in ([run["task"]] if names is None else task_names(host, names))]
    if output_path and Path(output_path).is_file():
        raise UsageError(f"--output_path {output_path} is a file: name a folder")
    report_problems(host)
    how = {"max_new_tokens": max_new_tokens, "temperature": temperature, "seed": seed}
    summaries, places = {}, {}
    for task in tasks:
        own = run if run.get("task") == task.name else {}
        summaries[task.name], places[task.name] = _evaluate(host, task, model, own, data, limit, how, output_path, log_samples)
    if form == "json":
        click.echo(json.dumps({"model": model, "tasks": {name: asdict(s) for name, s in summaries.items()}}, ensure_ascii=False, indent=2))
        return
    show_summaries({f"{name} · {model} · {places[name][0]}": summary for name, summary in summaries.items()})
    for folder in dict.fromkeys(folder for _, folder in places.values() if folder):
        click.echo(f"Results are in {folder}")


def run_settings(model: str) -> dict[str, Any]:
    """The settings of a run's folder; empty where `model` is none. Raises `UsageError` for a run without a trained policy."""
    folder = Path(model)
    if not (folder / "config.yaml").is_file() or (folder / "config.json").is_file():
        return {}
    from herl_bench.settings import read_yaml

    if not (folder / "final" / "config.json").is_file():
        raise UsageError(f"the run {model} has no final/ yet: finish it with herl-bench run --resume {model}")
    settings = read_yaml(str(folder / "config.yaml"))
    if not isinstance(settings.get("task"), str):
        raise UsageError(f"{folder / 'config.yaml'}: no task in it: not a run's settings")
    return settings


def _evaluate(
    host: Host,
    task: Task,
    model: str,
    own: Mapping[str, Any],
    data: str | None,
    limit: int | None,
    how: Mapping[str, Any],
    output_path: str | None,
    log_samples: bool,
) -> tuple[Summary, tuple[str, Path | None]]:
    """The summary; the source and the folder of the results (None where nothing was written). `own`: the run's settings, if it is of this task."""
    from herl_bench.data import open_eval
    from herl_bench.evaluate import Writer, evaluate, sampling_settings

    embedded = model == "tiny" or own.get("model") == "tiny"
    source = data or own.get("data") or "auto"
    opened = open_eval(task, source, embedded=embedded, eval_items=limit or own.get("eval_items"), difficulty=own.get("difficulty"))
    rubric, metrics = rubric_of(host, task, str(own.get("rubric") or "")), metrics_of(host, task)
    with sandbox_of(host, task) as sandbox:
        policy = policy_of(task, model)
        longest = how["max_new_tokens"] or _longest(task, opened.source, own)
        settings = sampling_settings(policy, task, n=1, **{**how, "max_new_tokens": longest})
        call = {"sandbox": sandbox, "max_new_tokens": longest, "temperature": how["temperature"], "seed": how["seed"]}
        folder = _folder(model, own, output_path)
        if folder is None:
            with _progress(task.name, len(opened.eval)) as advance:
                return evaluate(policy, task, rubric, metrics, opened.eval, on_batch=advance, **call).summary, (opened.source, None)
        samples = log_samples or not output_path
        with (
            Writer(folder, task=task, rubric=rubric, metrics=metrics, settings=settings, samples=samples) as writer,
            _progress(task.name, len(opened.eval)) as advance,
        ):

            def on_batch(rows: Any) -> None:
                writer.append(rows)
                advance(rows)

            done = evaluate(policy, task, rubric, metrics, opened.eval, on_batch=on_batch, **call)
            writer.finish(done, model_name=model, config={"data": opened.source, "limit": limit, "sha256": dict(opened.fingerprint)})
        return done.summary, (opened.source, folder)


def _longest(task: Task, source: str, own: Mapping[str, Any]) -> int:
    """As the run itself evaluates: the run's setting, else the world's, else the task's."""
    set_by_run = (own.get("set") or {}).get("max_new_tokens")
    if set_by_run:
        return int(set_by_run)
    return task.world.max_new_tokens if source == "synthetic" and task.world else task.max_new_tokens


def _folder(model: str, own: Mapping[str, Any], output_path: str | None) -> Path | None:
    from herl_bench.evaluate.files import sanitized

    if output_path:
        return Path(output_path) / sanitized(model)
    return Path(model) / "eval" / "final" if own else None


class _progress:
    """A progress bar on stderr where that is a terminal."""

    def __init__(self, label: str, total: int):
        from rich.console import Console
        from rich.progress import Progress

        self.bar = Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
        self.task = self.bar.add_task(label, total=total)

    def __enter__(self) -> Any:
        self.bar.start()
        return lambda rows: self.bar.advance(self.task, len({row.doc_id for row in rows}))

    def __exit__(self, *_: object) -> None:
        self.bar.stop()


def show_summaries(summaries: Mapping[str, Summary]) -> None:
    """One table each: metrics and criteria with standard errors and the number of items behind them, then what went wrong."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 100)
    for title, summary in summaries.items():
        table = Table(title=title)
        for column in ("", "value", "items"):
            table.add_column(column, justify="right" if column else "left")
        for name, score in summary.metrics.items():
            table.add_row(name, with_stderr(score), str(score.items))
        for name, score in summary.criteria.items():
            table.add_row(f"  {name}", with_stderr(score), str(score.items))
        for label, group in (("on problems: ", summary.planted), ("", summary.families)):
            if len(group) > 1:
                table.add_section()
                for name, score in group.items():
                    table.add_row(f"  {label}{name}", with_stderr(score), str(score.items))
        table.add_section()
        for name in ("unparsed", "truncated", "empty"):
            table.add_row(f"  {name}", f"{getattr(summary, name):.1%}", str(summary.responses))
        table.add_row("  errors (left out of the means)", str(summary.errors), str(summary.responses))
        if summary.shortened:
            table.add_row("  prompts cut to fit the model", str(summary.shortened), str(summary.responses))
        console.print(table)


def with_stderr(score: Score) -> str:
    if score.value is None:
        return "–"
    return f"{score.value:.4f}" + (f" ± {score.stderr:.4f}" if score.stderr is not None else "")
