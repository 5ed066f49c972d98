"""`herl-bench ls`: everything that is installed, with the distribution that it came from."""

from __future__ import annotations

import json
from typing import Any

import click

from herl_bench.cli import report_problems
from herl_bench.errors import UnknownName
from herl_bench.plugins import KINDS, Host

SHOWN = ("task", "rubric", "method", "metric", "template", "sandbox", "check")
PLURALS = {f"{kind}{'es' if kind.endswith('x') else 's'}": kind for kind in SHOWN}


@click.command("ls")
@click.argument("kind", required=False)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def command(host: Host, kind: str | None, form: str) -> None:
    """List what is installed. KIND: tasks, rubrics, methods, metrics, templates, sandboxes, checks or plugins; all if
    left out."""
    if kind == "plugins":
        from herl_bench.cli.plugins import show

        return show(host, form)
    if kind is not None and kind not in PLURALS and kind not in KINDS:
        raise UnknownName("kind", kind, [*PLURALS, "plugins"])
    wanted = PLURALS if kind is None else {k: s for k, s in PLURALS.items() if kind in (k, s)}
    listing = {plural: _list_rows(host, single) for plural, single in wanted.items()}
    report_problems(host)
    if form == "json":
        click.echo(json.dumps(listing, indent=2))
        return
    for plural, rows in listing.items():
        if kind is None:
            click.secho(f"{plural}:", bold=True)
        width = max((len(row["name"]) for row in rows), default=0)
        for row in rows:
            click.echo(f"  {row['name']:<{width}}  {row['description']}  [{row['distribution']}]")


def _list_rows(host: Host, kind: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "description": getattr(entry.item, "description", "") or _summarize(entry.item),
            "distribution": f"{entry.plugin.distribution} {entry.plugin.version}",
        }
        for name, entry in sorted(host.entries(kind).items())
    ]


def _summarize(item: Any) -> str:
    function = getattr(item, "function", None)
    return (getattr(function, "__doc__", "") or "").strip().split("\n")[0]
