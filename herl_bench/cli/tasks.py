"""`herl-bench tasks path`: where lm-eval finds our tasks."""

from __future__ import annotations

import click

from herl_bench.locate import tasks_path


@click.group("tasks")
def command() -> None:
    """The lm-eval task files."""


@command.command("path")
def path() -> None:
    """Print the folder for lm-eval's `--include_path`."""
    click.echo(tasks_path())
