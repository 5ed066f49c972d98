"""`herl-bench warmstart`: train a tiny policy from scratch on a task's demonstrations."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import click

from herl_bench.cli.options import device_option, dtype_option
from herl_bench.experiment.resolve import find_environment, open_sandbox
from herl_bench.plugins import Host


@click.command("warmstart")
@click.option("--task", required=True, help="Name of the task (herl-bench ls tasks); it must have a synthetic world.")
@click.option("-o", "--output_dir", required=True, help="Folder for the checkpoint.")
@click.option("--steps", type=int, help="Optimiser steps (default 1200).")
@click.option("--batch_size", type=int, help="Demonstrations per step (default 64).")
@device_option
@dtype_option
@click.option("--seed", type=int, help="Of demonstrations, initial weights and order (default 0).")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any setting, listed by --list_settings; may be repeated.",
)
@click.option(
    "--list_settings",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda ctx, _, on: _list_settings(ctx) if on else None,
    help="List what --set takes, and leave.",
)
@click.option(
    "--sandbox",
    default="default",
    show_default=True,
    help="Which sandbox runs untrusted code, where the task needs one.",
)
@click.pass_obj
def command(host: Host, task: str, output_dir: str, assignments: tuple[str, ...], sandbox: str, **flags: Any) -> None:
    """Train a tiny policy from scratch on a task's demonstrations, plain and guided; save it, and say how good it
    is."""
    from herl_bench.settings import build, parse_settings
    from herl_bench.training.warmstart.config import WarmstartConfig
    from herl_bench.training.warmstart.fitting import warm_start

    request = parse_settings({}, assignments, None)
    values, origin = {**request.run, **request.method}, request.origin  # some have names of a run's settings
    for name, value in flags.items():
        if value is not None:
            values[name], origin[name] = value, "--"
    config = build(WarmstartConfig, values, origin)
    chosen = host.get("task", task)
    with open_sandbox(host, chosen, sandbox) as box:
        environment = dataclasses.replace(find_environment(host, chosen), sandbox=box)
        record = warm_start(environment, output_dir, config, _show_progress)
    click.echo(f"{record['parameters']:,} parameters in {record['minutes']} minutes; saved in {output_dir}")


def _list_settings(ctx: click.Context) -> None:
    from herl_bench.training.warmstart.config import WarmstartConfig

    for f in dataclasses.fields(WarmstartConfig):
        click.echo(f"{f.name}={f.default}  {f.metadata['help']}")
    ctx.exit()


def _show_progress(row: Mapping[str, Any]) -> None:
    if "demonstrations" in row:
        extra = f", {row['skipped']} skipped (nothing unmet in the draft), {row['too_long']} too long"
        click.echo(f"{row['demonstrations']} demonstrations{extra}; vocabulary {row['vocab']}; {row['seconds']:.0f} s")
    elif "loss" in row:
        left = row["seconds"] / row["step"] * (row["steps"] - row["step"])
        clock = f"{row['seconds']:.0f} s, about {left / 60:.0f} min left"
        click.echo(f"step {row['step']}/{row['steps']}  loss {row['loss']:.3f}  {clock}")
    else:
        click.echo(_format_table(row["evaluation"]))


def _format_table(evaluation: Mapping[str, Any]) -> str:
    def format_line(name: str, shares: Mapping[str, float | None]) -> str:
        cells = (f"{column} {'  -  ' if v is None else format(v, '.3f')}   " for column, v in shares.items())
        return f"  {name:<22}{''.join(cells)}"

    rows = [format_line("right, greedy", evaluation["plain"]), format_line("right, sampled", evaluation["sampled"])]
    rows += [format_line(f"repaired, {level}", shares) for level, shares in evaluation["repaired"].items()]
    title = f"  on {evaluation['examples']} evaluation examples; cut off {evaluation['truncated']:.3f}"
    if "single" in evaluation:
        rows += ["  problems=single", _format_table(evaluation["single"])]
    return "\n".join([title, *rows])
