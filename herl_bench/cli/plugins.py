"""`herl-bench plugins`: who is installed, and what is wrong with whom."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from herl_bench.cli import report_problems
from herl_bench.errors import UsageError
from herl_bench.hindsight import try_template
from herl_bench.plugins import KINDS, Host
from herl_bench.types import Rubric


@click.command("plugins")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def command(host: Host, form: str) -> None:
    """List the installed plugins, what each contributes, and what is wrong with it."""
    show(host, form)


def show(host: Host, form: str) -> None:
    host.collect_all()
    for entry in host.entries("template").values():
        try:
            try_template(entry.item, Rubric("none", ()))
        except UsageError as error:
            host.problems.append(f"plugin {entry.plugin}: {error}")
    given = {
        p.name: {kind: [n for n, e in host.entries(kind).items() if e.plugin.name == p.name] for kind in KINDS}
        for p in host.plugins
    }
    if form == "json":
        click.echo(
            json.dumps(
                {"plugins": [{**asdict(p), "gives": given[p.name]} for p in host.plugins], "problems": host.problems},
                indent=2,
            )
        )
        return
    for plugin in host.plugins:
        several = {kind: "es" if kind.endswith("x") else "s" for kind in KINDS}
        parts = [
            f"{len(names)} {kind}{several[kind] if len(names) > 1 else ''}"
            for kind, names in given[plugin.name].items()
            if names
        ]
        click.echo(
            f"{plugin.name:<12} {plugin.distribution} {plugin.version} "
            f" {plugin.error or ', '.join(parts) or 'gives nothing'}"
        )
    report_problems(host)
