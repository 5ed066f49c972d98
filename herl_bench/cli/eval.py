"""`herl-bench eval`: evaluate a run, a model or a server on tasks, write lm-eval's files, print a table."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from herl_bench.cli import score_tables
from herl_bench.cli.lm_eval_options import SEEDS, lm_eval_options, parse_limit, parse_seeds
from herl_bench.cli.options import Parsed, chat_template_kwargs_option, device_option, dtype_option
from herl_bench.cli.output import open_console, say_json
from herl_bench.cli.trust import trust_option
from herl_bench.plugins import Host

if TYPE_CHECKING:
    from herl_bench.evaluation.refine import Refinement
    from herl_bench.experiment.evaluate import Outcome

option = partial(click.option, show_default=True)


@click.command("eval")
@option("--tasks", "--task", "-t", "names", help="Comma-separated names of tasks; a run's own task if left out.")
@option(
    "--model",
    "-M",
    required=True,
    metavar="RUN_OR_PATH",
    help="A run's folder, tiny, a checkpoint folder, a hub id, or openai for a server.",
)
@option(
    "--model_args",
    "-a",
    metavar="KEY=VALUE,…",
    help="With --model openai: base_url, model, and more; with hf: pretrained.",
)
@device_option
@dtype_option
@option("--data", help="auto, synthetic, hub or a folder. Default: a run's own source, else auto.")
@option(
    "--limit",
    "-L",
    type=Parsed("number", parse_limit),
    help="At most so many items per task, or a share of them. Default: a run's own number, else all (200 synthetic).",
)
@option("--max_new_tokens", type=click.IntRange(1), help="Longest answer. Default: the task's.")
@option("--temperature", type=click.FloatRange(0), default=0.0, help="0 takes the likeliest token.")
@option("--n", type=click.IntRange(1), default=1, help="Responses per item, for pass@k; needs a temperature.")
@option(
    "--seed",
    type=Parsed("number", parse_seeds),
    default=SEEDS,
    help="Of the sampling, or four as lm-eval's; our own tasks take first and last.",
)
@option("--refine", type=click.IntRange(0), default=0, help="Let the model revise its answers for so many rounds.")
@option(
    "--critique",
    type=click.Choice(["reference_free", "self", "oracle"]),
    default="reference_free",
    help=(
        "What a revision is told: unmet criteria that need no gold answer, the model's own critique, or (for study) all"
        " unmet criteria."
    ),
)
@lm_eval_options
@trust_option
@score_tables.pass_at_option
@score_tables.integrity_option
@score_tables.think_option
@chat_template_kwargs_option
@option(
    "--output_path",
    "-o",
    metavar="DIR",
    help="Where the results go, into a folder named after the model. Default: a run's eval/.",
)
@option("--log_samples", "-s", is_flag=True, help="Also keep every sample (always done inside a run).")
@option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@click.pass_obj
def command(host: Host, names: str | None, model: str, model_args: str | None, form: str, **options: Any) -> None:
    """Evaluate a run, a model, or an OpenAI-compatible server, on our own tasks and on lm-eval's (as lm_eval:NAME).

    Samples are appended as they are made, and the same command goes on where a killed one stopped.

    With --refine K, every answer is criticised and revised K times; the table says what became of the metric after each
    round.

    With --format json, one object on stdout: {"model", "results": path of the results file or null, "tasks": {TASK:
    summary}}, under "refined" the rounds per task, and under "lm_eval" the results of lm-eval's tasks, where any were
    asked for.
    """
    from herl_bench.cli.suggestions import translate_model
    from herl_bench.cli.validate import split_task_names
    from herl_bench.experiment.evaluate import carry_out
    from herl_bench.experiment.evaluation_request import Request

    path, model_args = translate_model(model, model_args)
    tasks = None if names is None else split_task_names(host, names)
    found = carry_out(host, Request(tasks, path, model_args, say=partial(click.echo, err=True), **options))
    refined = {name: each.refinement for name, each in found.evaluations.items() if each.refinement is not None}
    if form == "json":
        shown: dict[str, Any] = {"model": path, "results": found.results and str(found.results)}
        shown["tasks"] = {name: score_tables.as_json(each) for name, each in found.evaluations.items()}
        shown |= {"refined": {name: refinement.as_json() for name, refinement in refined.items()}} if refined else {}
        shown |= {"lm_eval": found.lm_eval.scores} if found.lm_eval else {}
        say_json(shown)
    else:
        _show(found, refined)
    score_tables.warn_of_rates(found.evaluations.values(), found.lm_eval.rates if found.lm_eval else None)


def _show(found: Outcome, refined: Mapping[str, Refinement]) -> None:
    titles = {name: f"{name} · {found.model} · {each.source}" for name, each in found.evaluations.items()}
    score_tables.show_evaluations({titles[name]: each for name, each in found.evaluations.items()})
    show_refinements({titles[name]: refinement for name, refinement in refined.items()})
    if found.lm_eval is not None:
        click.echo(found.lm_eval.format_table())
    if found.results is not None:
        click.echo(f"Results are in {found.results.parent}")


def show_refinements(refined: Mapping[str, Refinement]) -> None:
    """One table each: the primary metric after every round, and what the round did and cost."""
    from rich.table import Table

    from herl_bench.evaluation.refine import CRITIQUES

    console = open_console(width=None if sys.stdout.isatty() else 100)
    for title, found in refined.items():
        primary = next(iter(found.rounds[0].metrics))
        table = Table(title=f"{title} · refined by {CRITIQUES[found.critique]}")
        for column in ("round", primary, "revised", "kept", "fixed", "broken", "errors", "tokens"):
            table.add_column(column, justify="right")
        for state in found.rounds:
            counts = (state.revised, state.kept, state.fixed, state.broken, state.errors, state.tokens)
            score = score_tables.format_score(asdict(state.metrics[primary]))
            table.add_row(str(state.round or "draft"), score, *(f"{c:,}" for c in counts))
        console.print(table)
