"""`herl-bench eval`: evaluate a run, a model or a server on tasks, write lm-eval's files, print a table."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from herl_bench.cli import report_problems
from herl_bench.cli.lm_eval_options import SEEDS, Asked, Limit, Seeds, lm_eval_options, prepare, split_names
from herl_bench.cli.output import open_console, say_json
from herl_bench.cli.score_tables import LEGEND, as_json, beside, integrity_option, of_items, pass_at_option, shown
from herl_bench.cli.trust import trust_option
from herl_bench.errors import UnknownName, UsageError
from herl_bench.evaluate.problems import describe_problems, find_nothing_judged
from herl_bench.experiment.resolve import find_answerer, find_metrics, find_rubric, find_template, open_sandbox
from herl_bench.plugins import Host
from herl_bench.types import Environment, Task

if TYPE_CHECKING:
    from herl_bench.data.sources import Data
    from herl_bench.evaluate.evaluation import Evaluation
    from herl_bench.evaluate.judging import Row
    from herl_bench.evaluate.refine import Critique, Refinement
    from herl_bench.evaluate.sample_files import SampleWriter
    from herl_bench.evaluate.scores import Score
    from herl_bench.evaluate.tally import Summary
    from herl_bench.policy.answerer import Answerer


@click.command("eval")
@click.option("--tasks", "--task", "-t", "names", help="Comma-separated names of tasks; a run's own task if left out.")
@click.option(
    "--model",
    "-M",
    required=True,
    metavar="RUN_OR_PATH",
    help="A run's folder, tiny, a checkpoint folder, a hub id, or openai for a server.",
)
@click.option(
    "--model_args",
    "-a",
    metavar="KEY=VALUE,…",
    help="With --model openai: base_url, model, and more; with hf: pretrained.",
)
@click.option("--data", help="auto, synthetic, hub or a folder. Default: a run's own source, else auto.")
@click.option(
    "--limit",
    "-L",
    type=Limit(),
    help="At most so many items per task, or a share of them. Default: a run's own number, else all (200 synthetic).",
)
@click.option("--max_new_tokens", type=click.IntRange(1), help="Longest answer. Default: the task's.")
@click.option(
    "--temperature", type=click.FloatRange(0), default=0.0, show_default=True, help="0 takes the likeliest token."
)
@click.option(
    "--n",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Responses per item, for pass@k; needs a temperature.",
)
@click.option(
    "--seed",
    type=Seeds(),
    default=SEEDS,
    show_default=True,
    help="Of the sampling, or four as lm-eval's; our own tasks take first and last.",
)
@click.option(
    "--refine",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Let the model revise its answers for so many rounds.",
)
@click.option(
    "--critique",
    type=click.Choice(["reference_free", "self", "oracle"]),
    default="reference_free",
    show_default=True,
    help=(
        "What a revision is told: unmet criteria that need no gold answer, the model's own critique, or (for study) all"
        " unmet criteria."
    ),
)
@lm_eval_options
@trust_option
@pass_at_option
@integrity_option
@click.option(
    "--output_path",
    "-o",
    metavar="DIR",
    help="Where the results go, into a folder named after the model. Default: a run's eval/.",
)
@click.option("--log_samples", "-s", is_flag=True, help="Also keep every sample (always done inside a run).")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def command(
    host: Host,
    names: str | None,
    model: str,
    model_args: str | None,
    data: str | None,
    limit: int | float | None,
    max_new_tokens: int | None,
    temperature: float,
    n: int,
    seed: tuple[int | None, int | None, int | None, int | None],
    refine: int,
    critique: Critique,
    output_path: str | None,
    log_samples: bool,
    trust_remote_code: bool,
    pass_at: tuple[int, ...] | None,
    integrity: str | None,
    form: str,
    **more: Any,
) -> None:
    """Evaluate a run, a model, or an OpenAI-compatible server, on our own tasks and on lm-eval's (as lm_eval:NAME).

    Samples are appended as they are made, and the same command goes on where a killed one stopped.

    With --refine K, every answer is criticised and revised K times; the table says what became of the metric after each
    round.

    With --format json, one object on stdout: {"model", "results": path of the results file or null, "tasks": {TASK:
    summary}}, under "refined" the rounds per task, and under "lm_eval" the results of lm-eval's tasks, where any were
    asked for.
    """
    from herl_bench.cli.suggestions import as_ours
    from herl_bench.cli.validate import task_names

    model, model_args = as_ours(model, model_args)
    run = run_settings(model)
    if names is None and not run:
        raise UsageError(f"--tasks is missing: choose from {', '.join(sorted(host.entries('task')))}")
    own_names, lm_names = split_names([run["task"]] if names is None else task_names(host, names))
    tasks = [_task(host, name) for name in own_names]
    asked = Asked(limit=limit, seeds=seed, **more)
    asked.check(own_names, lm_names)
    if output_path and Path(output_path).is_file():
        raise UsageError(f"--output_path {output_path} is a file: name a folder")
    if n > 1 and temperature == 0:
        raise UsageError(f"--n {n} needs a --temperature above 0: at 0 all {n} responses to an item are the same")
    if pass_at and pass_at[-1] > n:
        raise UsageError(f"--pass_at {pass_at[-1]} needs --n {pass_at[-1]} or more: so many responses to each item")
    if refine and lm_names:
        raise UsageError(f"--refine needs a rubric, and lm_eval:{lm_names[0]} has none: refine our own tasks only")
    report_problems(host)
    how = {"n": n, "seed": seed[0] or 0, "system_instruction": asked.system_instruction}
    how |= asked.own_sampling(temperature, max_new_tokens) if tasks else {}
    from herl_bench.evaluate.result_files import describe_model, new_stamp, write_results
    from herl_bench.evaluate.sampling import ResolvedSampling
    from herl_bench.evaluate.scores import PASS_AT
    from herl_bench.policy.server import parse_model_args
    from herl_bench.saving import write_whole

    started, models, done = time.time(), find_answerer(model, model_args, trust_remote_code=trust_remote_code), {}
    first = tasks[0] if tasks else None
    folder, keep = _folder(models(first), run, output_path), log_samples or not output_path
    theirs = prepare(lm_names, asked, models, data, temperature, max_new_tokens, n, own_names) if lm_names else None
    wanted = Wanted(host, asked, run, data, how, folder, keep, refine, critique, pass_at or PASS_AT, integrity)
    with ExitStack() as stack:
        for task in tasks:
            done[task.name] = _evaluate(stack, task, models(task), wanted)
        if theirs is not None:
            theirs.run(folder)
        results = None
        if folder is not None:
            stamp = new_stamp(folder)
            results = write_results(
                folder,
                stamp,
                [*(d.section for d in done.values()), *([theirs.section] if theirs else [])],
                model_name=models(first).name,
                model_args=parse_model_args(model_args) if model_args else None,
                config={
                    "limit": limit,
                    **({"integrity": integrity} if integrity else {}),
                    "batch_size": asked.batch_size or None,
                    "fewshot_seed": seed[3],
                    **(theirs.config(alone=not tasks) if theirs else {}),
                },
                facts=describe_model(models(first)) | (theirs.facts() if theirs and not tasks else {}),
                settings=done[tasks[0].name].evaluation.settings if tasks else ResolvedSampling(),
                started=started,
            )
            if theirs is not None:
                theirs.keep(folder, stamp, keep)
            for d in done.values():
                if d.writer is not None:
                    d.writer.keep(stamp)
                if d.journal is not None:
                    d.journal.unlink(missing_ok=True)
            for name, d in done.items():
                if d.refinement is not None and keep:
                    lines = [json.dumps(line, ensure_ascii=False) + "\n" for line in d.refinement.lines()]
                    write_whole(folder / f"refined_{name}_{stamp}.jsonl", "".join(lines))
    summaries = {name: d.evaluation.summary for name, d in done.items()}
    refined = {name: d.refinement for name, d in done.items() if d.refinement is not None}
    if form == "json":
        shown = {
            "model": model,
            "results": results and str(results),
            "tasks": {name: d.as_json() for name, d in done.items()},
        }
        shown |= {"refined": {name: r.as_json() for name, r in refined.items()}} if refined else {}
        shown |= {"lm_eval": theirs.scores} if theirs else {}
        say_json(shown)
    else:
        show_summaries(
            {f"{name} · {models(first).name} · {done[name].source}": summary for name, summary in summaries.items()},
            [d.available for d in done.values()],
        )
        show_refinements({f"{name} · {models(first).name} · {done[name].source}": r for name, r in refined.items()})
        if theirs is not None:
            click.echo(theirs.table())
        if results is not None:
            click.echo(f"Results are in {results.parent}")
    warn_of_rates({**summaries, **(theirs.rates if theirs else {})}, {name: d.told for name, d in done.items()})


def _task(host: Host, name: str) -> Task:
    try:
        task: Task = host.get("task", name)
    except UnknownName as error:
        raise UsageError(
            f"{error}; a task of lm-eval's is lm_eval:{name}" if "choose from" in str(error) else str(error)
        ) from None
    return task


def run_settings(model: str) -> dict[str, Any]:
    """The settings of a run's folder; empty where `model` is none. Raises `UsageError` for a run without a trained
    policy."""
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


@dataclass(frozen=True)
class Done:
    """One task's outcome. writer: of its samples, None where nothing is written. journal: a server's answers, until the
    results stand. available: the task's items before any limit, None where they are endless. told: what could not be
    judged, in words."""

    evaluation: Evaluation
    refinement: Refinement | None
    section: Mapping[str, Any]
    source: str
    writer: SampleWriter | None
    journal: Path | None
    available: int | None
    told: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        return as_json(self.evaluation.summary, self.available, self.evaluation.problems)


@dataclass(frozen=True)
class Wanted:
    """What is done with every task. run: settings of the run that is evaluated, if it is one. how: the sampling.
    folder: None where nothing is written. samples: are kept there, too. rounds: of refinement. integrity: None for the
    run's own, else shared."""

    host: Host
    asked: Asked
    run: Mapping[str, Any]
    data: str | None
    how: Mapping[str, Any]
    folder: Path | None
    samples: bool
    rounds: int
    critique: Critique
    pass_at: Sequence[int]
    integrity: str | None


def _evaluate(stack: ExitStack, task: Task, model: Answerer, wanted: Wanted) -> Done:
    """stack: keeps the writer open. An earlier attempt in the folder is gone on from."""
    from herl_bench.data.examples import digest_items
    from herl_bench.data.sources import draw_examples, restrict_problems
    from herl_bench.evaluate.evaluation import count_batch_items, evaluate
    from herl_bench.evaluate.judging import NO_TEMPLATE
    from herl_bench.evaluate.refine import refine
    from herl_bench.evaluate.result_files import NAMESPACE
    from herl_bench.evaluate.sample_files import SampleWriter, fingerprint
    from herl_bench.evaluate.sampling import Sampling, resolve_sampling
    from herl_bench.hindsight import try_template
    from herl_bench.policy.server import Server

    host, asked, folder = wanted.host, wanted.asked, wanted.folder
    own = wanted.run if wanted.run.get("task") == task.name else {}
    task = restrict_problems(task, own.get("problems"))
    embedded = model.name == "tiny" or own.get("model") == "tiny"
    source = wanted.data or own.get("data") or "auto"
    where: dict[str, Any] = {"embedded": embedded, "difficulty": own.get("difficulty")}
    opened = _items(task, source, asked, own.get("eval_items"), where)
    shots = draw_examples(task, source, asked.num_fewshot or 0, seed=asked.seeds[3], **where)
    rubric, metrics = find_rubric(host, task, str(own.get("rubric") or "")), find_metrics(host, task)
    how = {
        **wanted.how,
        "max_new_tokens": wanted.how["max_new_tokens"] or _longest(task, opened.source, own),
        "shots": shots,
    }
    if how["system_instruction"] is None and own.get("system_instruction") is not None:
        how["system_instruction"] = str(own["system_instruction"])
    sampling = Sampling(**how)
    settings = resolve_sampling(sampling, model, task)
    template = NO_TEMPLATE
    if wanted.rounds:
        template = find_template(host, task, str(own.get("template") or ""))
        try_template(template, rubric, opened.eval[:1])
    if asked.batch_size:
        model.batch_size = asked.batch_size
    if asked.write_out and opened.eval:
        shown = model.reads(settings.prefix + opened.eval[0].prompt, settings.instruction)
        click.echo(f"{task.name}: {opened.eval[0].id} is given as\n{shown}", err=True)
    writer, journal, rows = None, None, []
    integrity = wanted.integrity or str(own.get("integrity") or "shared")
    with open_sandbox(host, task, integrity=integrity) as sandbox, progress(task.name, len(opened.eval)) as advance:
        environment = Environment(task, rubric, template, metrics, sandbox)
        if folder is not None:
            together = {**vars(settings), "batch_size": model.batch_size}  # sampling depends on who shares a batch
            judging = {"integrity": integrity, "pass_at": list(wanted.pass_at)}
            mark = fingerprint(model.identity, environment, together, digest_items(opened.eval), judging)
            writer = stack.enter_context(
                SampleWriter(
                    folder,
                    environment,
                    settings,
                    samples=wanted.samples,
                    resume=mark,
                    model=model,
                    pass_at=wanted.pass_at,
                )
            )
            rows = writer.restore(opened.eval, count_batch_items(how["n"], model.batch_size))
            if isinstance(model, Server) and not model.config.cache:
                journal = folder / f"responses_{task.name}_{mark}.jsonl.part"
                model.remember(journal)
            if rows:
                click.echo(
                    f"{task.name}: {len(rows) // how['n']} of {len(opened.eval)} items are in {writer.part} already:"
                    " going on",
                    err=True,
                )
        advance(len(rows) // how["n"])

        def on_batch(fresh: Sequence[Row]) -> None:
            if writer is not None:
                writer.append(fresh)
            advance(len(fresh) // how["n"])

        done = evaluate(model, environment, opened.eval, sampling, done=rows, on_batch=on_batch, pass_at=wanted.pass_at)
        refinement = None
        if wanted.rounds:
            rounds, critique = wanted.rounds, wanted.critique
            refinement = refine(model, environment, done.rows, settings, rounds=rounds, critique=critique)
    origin = {"source": opened.source, "sha256": dict(opened.fingerprint)}
    section = writer.section(done, original=opened.available, data=origin) if writer else {}
    if section and refinement is not None:
        section[NAMESPACE]["refined"] = {task.name: refinement.as_json()}
    lines = describe_problems(
        {kind: asdict(p) for kind, p in done.problems.items()}, done.summary.responses, rubric, metrics
    )
    return Done(done, refinement, section, opened.source, writer, journal, opened.available, lines)


def _items(task: Task, source: str, asked: Asked, run_items: int | None, where: Mapping[str, Any]) -> Data:
    """The evaluation items: those that `--samples` numbers, or as many as `--limit` says, or as the run had."""
    from herl_bench.data.sources import open_eval, select_items

    chosen, limit = (asked.samples or {}).get(task.name), asked.limit
    opened = open_eval(
        task, source, eval_items=None if chosen or isinstance(limit, float) else limit or run_items, **where
    )
    if isinstance(limit, float):
        return replace(opened, eval=select_items(opened.eval, ceil(limit * len(opened.eval))))
    if chosen and chosen[-1] >= len(opened.eval):
        raise UsageError(f"--samples: {task.name} has the items 0 to {len(opened.eval) - 1}")
    return replace(opened, eval=tuple(opened.eval[i] for i in chosen)) if chosen else opened


def _longest(task: Task, source: str, own: Mapping[str, Any]) -> int:
    """As the run itself evaluates: the run's setting, else the world's, else the task's."""
    from herl_bench.evaluate.sampling import default_max_new_tokens

    set_by_run = (own.get("set") or {}).get("max_new_tokens")
    if set_by_run:
        return int(set_by_run)
    return default_max_new_tokens(task, source)


def _folder(model: Answerer, run: Mapping[str, Any], output_path: str | None) -> Path | None:
    from herl_bench.evaluate.result_files import sanitize_name

    if output_path:
        return Path(output_path) / sanitize_name(model.name)
    return Path(model.name) / "eval" / "final" if run else None


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr where that is a terminal; gives a function that moves it on."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(label, total=total)
        yield lambda more: bar.advance(task, more)


def show_summaries(summaries: Mapping[str, Summary], available: Sequence[int | None] = ()) -> None:
    """One table each: metrics and criteria with their uncertainty and the number of items behind them, then what went
    wrong.

    available: of each, how many items there are before any limit, None where nobody knows.
    """
    from rich.table import Table

    from herl_bench.evaluate.tally import RATES

    console = open_console(width=None if sys.stdout.isatty() else 100)
    for (title, summary), whole in zip_longest(summaries.items(), available[: len(summaries)]):
        table = Table(title=title, caption=LEGEND)
        for column in ("", "value", "items"):
            table.add_column(column, justify="right" if column else "left")

        def add(
            name: str, score: Score, items: str, shared: int = 0, table: Table = table, summary: Summary = summary
        ) -> None:
            words = beside(asdict(score), summary.items, shared)
            table.add_row(
                name, with_stderr(score), items, *[words] * bool(words)
            )  # rich makes the fourth column where it is needed

        for name, score in summary.metrics.items():
            add(name, score, of_items(score.items, whole), summary.shared)
        for name, score in summary.criteria.items():
            add(f"  {name}", score, str(score.items))
        for label, group in (("on problems: ", summary.planted), ("", summary.families)):
            if len(group) > 1:
                table.add_section()
                for name, score in group.items():
                    add(f"  {label}{name}", score, str(score.items))
        table.add_section()
        for name, (label, _) in RATES.items():
            rate = getattr(summary, name)
            table.add_row(f"  {label}", "unknown" if rate is None else f"{rate:.1%}", str(summary.responses))
        if summary.shortened:
            table.add_row("  prompts cut to fit the model", str(summary.shortened), str(summary.responses))
        console.print(table)


def show_refinements(refined: Mapping[str, Refinement]) -> None:
    """One table each: the primary metric after every round, and what the round did and cost."""
    from rich.table import Table

    from herl_bench.evaluate.refine import CRITIQUES

    console = open_console(width=None if sys.stdout.isatty() else 100)
    for title, found in refined.items():
        primary = next(iter(found.rounds[0].metrics))
        table = Table(title=f"{title} · refined by {CRITIQUES[found.critique]}")
        for column in ("round", primary, "revised", "kept", "fixed", "broken", "errors", "tokens"):
            table.add_column(column, justify="right")
        for state in found.rounds:
            counts = (state.revised, state.kept, state.fixed, state.broken, state.errors, state.tokens)
            table.add_row(
                str(state.round) if state.round else "draft",
                with_stderr(state.metrics[primary]),
                *(f"{c:,}" for c in counts),
            )
        console.print(table)


def warn_of_rates(summaries: Mapping[str, Summary | Mapping[str, Any]], why: Mapping[str, Sequence[str]]) -> None:
    """A line on stderr for every rate above 5 %, and what kept responses from being judged. Raises `HerlBenchError`
    where none could be.

    why: by task, in words.
    """
    from herl_bench.evaluate.tally import Summary, list_warnings

    for name, summary in summaries.items():
        for line in list_warnings(asdict(summary) if isinstance(summary, Summary) else summary):
            click.echo(f"herl-bench: warning: {name}: {line}", err=True)
        for line in why.get(name, ()):
            click.echo(f"herl-bench: warning: {name}: {line}", err=True)
    for name, summary in summaries.items():
        if isinstance(summary, Summary) and (
            error := find_nothing_judged(asdict(summary), why.get(name, ()), f"{name}: ")
        ):
            raise error


def with_stderr(score: Score) -> str:
    return shown(asdict(score))
