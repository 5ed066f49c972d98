"""`herl-bench probe`: what would hindsight bring here? Without training."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from herl_bench.cli.options import chat_template_kwargs_option, device_option, dtype_option
from herl_bench.cli.output import open_console
from herl_bench.cli.score_tables import integrity_option
from herl_bench.cli.trust import trust_option
from herl_bench.plain_text import escape_json
from herl_bench.plugins import Host

if TYPE_CHECKING:
    from herl_bench.comparison.probe_schema import Probe


@click.command("probe")
@click.option("--task", "--tasks", "-t", help="Name of the task; a run's own if left out.")
@click.option(
    "--model",
    "-M",
    default="tiny",
    show_default=True,
    metavar="RUN_OR_PATH",
    help="tiny (the task's embedded policy), a run's or checkpoint's folder, a GGUF file, a hub id, or openai.",
)
@click.option("--model_args", "-a", metavar="KEY=VALUE,…", help="With --model openai: base_url, model, and more.")
@click.option(
    "--items",
    "--limit",
    "-L",
    type=click.IntRange(1),
    default=200,
    show_default=True,
    help="Training problems to draft; those that fail are asked again.",
)
@click.option("--arms", metavar="NAME,…", help="Which ways of asking again.  [default: all]")
@click.option("--data", help="auto, synthetic, hub or a folder. Default: a run's own source, else auto.")
@click.option("--seed", type=click.IntRange(0), help="Of everything random (default: a run's own, else 0).")
@device_option
@dtype_option
@chat_template_kwargs_option
@integrity_option
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="A setting of HeRL or of a run; may be repeated."
)
@trust_option
@click.option("--output_dir", default="runs", show_default=True, help="Folder for the probe's folder.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_obj
def command(
    host: Host,
    arms: str | None,
    assignments: tuple[str, ...],
    form: str,
    items: int,
    model_args: str | None,
    output_dir: str,
    trust_remote_code: bool,
    **flags: Any,
) -> None:
    """Measure what guidance repairs that plain sampling does not. Nothing is trained.

    Training problems are drafted, and the failures asked again: resampled, told to try again, given own guidance at
    each hint level and another problem's, with and without the draft, at the temperatures of revisions and of training.
    The guidance gap is what own guidance repairs more than sampling anew with as many tokens: what HeRL could teach.

    The same command goes on where it was stopped. With --format json, probe.json on stdout.

    \b
    Examples:
      herl-bench probe --task gsm8k --items 64
      herl-bench probe --task humaneval --model MODEL.gguf --data DIR --set max_new_tokens=224
      herl-bench probe --task bbh --model CHECKPOINT --data DIR --arms resample,reference,other
      herl-bench probe --model runs/gsm8k-ppo-s0 --format json
    """
    from herl_bench.cli.suggestions import translate_model
    from herl_bench.comparison.probe_schema import to_json
    from herl_bench.experiment.probe import Options, carry_out
    from herl_bench.runs import find_folder
    from herl_bench.settings import parse_settings

    flags["model"], model_args = translate_model(flags["model"], model_args)
    names = None if arms is None else [name.strip() for name in arms.split(",") if name.strip()]
    options = Options(
        items=items,
        arms=names,
        output_dir=find_folder(output_dir, "--output_dir"),
        trust_remote_code=trust_remote_code,
        model_args=model_args,
        say=partial(click.echo, err=True),
    )
    found = carry_out(host, parse_settings(flags, assignments, None), options)
    if form == "json":
        click.echo(escape_json(to_json(found)), nl=False)
        return
    show(found)
    click.echo(f"Everything is in {found.folder}; to look at: {found.folder}/report.html")


def show(probe: Probe) -> None:
    """What the model does by itself, the tables, and the sentence last."""
    from rich.table import Table

    from herl_bench.comparison import probe_tables

    console = open_console(width=None if sys.stdout.isatty() else 160)
    click.echo(f"{probe.task} · {probe.model} · {probe.items} training problems of {probe.source}")
    click.echo(probe_tables.describe_drafts(probe))
    for found in probe_tables.list_tables(probe):
        table = Table(title=found.title)
        for place, column in enumerate(found.columns):
            table.add_column(column, justify="right" if place else "left")
        for row in found.rows:
            table.add_row(*row)
        console.print(table)
    if probe.arms:
        click.echo(f"Columns: {probe_tables.LEGEND}.")
    for note in probe.notes:
        click.echo(f"Note: {note}.")
    click.echo(probe.expectation)
