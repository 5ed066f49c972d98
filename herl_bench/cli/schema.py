"""`herl-bench schema`: the JSON Schema of rubric files, for editors."""

from __future__ import annotations

import json

import click


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of rubric files."""
    from herl_bench.rubric import make_rubric_schema

    click.echo(json.dumps(make_rubric_schema(), indent=2))
