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
    given: dict[str, dict[str, list[str]]] = {plugin.name: {kind: [] for kind in KINDS} for plugin in host.plugins}
    for kind in KINDS:
        for name, entry in host.entries(kind).items():
            if entry.plugin.name in given:
                given[entry.plugin.name][kind].append(name)
    if form == "json":
        plugins = [{**asdict(plugin), "gives": given[plugin.name]} for plugin in host.plugins]
        click.echo(json.dumps({"plugins": plugins, "problems": host.problems}, indent=2))
        return
    for plugin in host.plugins:
        counts = [(kind, len(names)) for kind, names in given[plugin.name].items() if names]
        parts = [f"{count} {kind}{('es' if kind.endswith('x') else 's') * (count > 1)}" for kind, count in counts]
        what = plugin.error or ", ".join(parts) or "gives nothing"
        click.echo(f"{plugin.name:<12} {plugin.distribution} {plugin.version}  {what}")
    report_problems(host)
