"""`herl-bench leaderboard`: rank runs; make, verify and publish entries."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from herl_bench.cli import report_problems
from herl_bench.cli.output import open_console, say_json
from herl_bench.errors import UsageError
from herl_bench.plain_text import escape_json, neutralize
from herl_bench.plugins import Host

if TYPE_CHECKING:
    from herl_bench.leaderboard.ranking import Table

RANK = "rank"
TIME_LIMIT = click.option(
    "--time_limit",
    type=click.FloatRange(0, min_open=True),
    default=1800.0,
    show_default=True,
    help="Seconds that verifying one entry may take.",
)


class Leaderboard(click.Group):
    """`leaderboard RUNS…` is short for `leaderboard rank RUNS…`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [RANK, *args]
        return super().parse_args(ctx, args)


@click.group("leaderboard", cls=Leaderboard)
def command() -> None:
    """Rank runs, bundles and evaluations: herl-bench leaderboard RUNS…

    An entry is a bundle: what a run says of itself, its evaluations with every response, and their hashes. A folder of
    bundles is a leaderboard.
    """


@command.command(RANK)
@click.argument("runs", nargs=-1, required=True, metavar="RUNS…")
@click.option(
    "--format", "form", type=click.Choice(["table", "md", "csv", "json", "html"]), default="table", show_default=True
)
@click.option("-o", "--output_path", metavar="FILE", help="Write to this file instead of the terminal.")
@click.option("--metric", metavar="NAME[,FILTER]", help="What to rank by.  [default: each task's first]")
def rank_(runs: tuple[str, ...], form: str, output_path: str | None, metric: str | None) -> None:
    """Rank runs, bundles, evaluations, or folders of them, task by task (the default: `leaderboard RUNS…`).

    What cannot be ranked is named in one line on stderr; the rest is ranked.
    """
    from herl_bench.leaderboard import tables as forms
    from herl_bench.leaderboard.ranking import rank
    from herl_bench.saving import write_whole

    tables, left_out = rank([Path(run) for run in runs], metric)
    for line in left_out:
        click.echo(f"herl-bench: {line}", err=True)
    if form == "table":
        if output_path:
            raise UsageError("--output_path needs a --format: md, csv, json or html")
        return _show(tables)
    makers = {"md": forms.to_markdown, "csv": forms.to_csv, "json": forms.to_json, "html": forms.to_html}
    text = makers[form](tables)
    if output_path:
        write_whole(Path(output_path), text)
        click.echo(output_path)
    else:
        click.echo(escape_json(text) if form == "json" else text, nl=False)


def _show(tables: list[Table]) -> None:
    from rich.table import Table as RichTable
    from rich.text import Text

    from herl_bench.leaderboard.tables import WORDS, format_cells

    console = open_console(width=None if sys.stdout.isatty() else 110)
    for table in tables:
        shown = RichTable(title=Text(neutralize(f"{table.task} · {table.metric} · {table.source}")))
        for column in format_cells(table.standings[0]):
            shown.add_column(column, justify="left" if column in WORDS else "right")
        for standing in table.standings:
            shown.add_row(*map(Text, format_cells(standing).values()))
        console.print(shown)
        for note in table.notes:
            click.echo(note)


@command.command("bundle")
@click.argument("run", metavar="RUN")
@click.option("-o", "--output_dir", required=True, metavar="DIR", help="A new folder for the bundle.")
def bundle(run: str, output_dir: str) -> None:
    """Make a leaderboard entry of a finished run."""
    from herl_bench.leaderboard.bundle import make_bundle

    click.echo(make_bundle(Path(run), Path(output_dir)))


@command.command("verify")
@click.argument("folder", metavar="BUNDLE")
@click.option(
    "--data",
    help=(
        "Where the items come from, to check the reference answers too. Default: the synthetic world for its own runs."
    ),
)
@click.option("--jobs", type=click.IntRange(1), help="Processes that judge. Default: one per available processor.")
@TIME_LIMIT
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def verify(host: Host, folder: str, data: str | None, jobs: int | None, time_limit: float, form: str) -> int:
    """Hash the bundle's files, judge its responses again, and name whatever differs; exit code 1 where something does.

    With --format json, one object on stdout: {"bundle", "problems": [one line each], "items_checked": against their
    source?}.
    """
    from herl_bench.experiment.verification import verify_entry

    report_problems(host)
    problems, checked = verify_entry(host, Path(folder), data=data, jobs=jobs, time_limit=time_limit)
    if form == "json":
        say_json({"bundle": folder, "problems": problems, "items_checked": checked})
    else:
        found = f"{len(problems)} problems" if problems else "verified; every response was judged again"
        click.echo("\n".join([*problems, f"{folder}: {found}"]))
        if not checked:
            where = "the bundle itself: pass --data to check them against their source."
            click.echo(f"The problems and reference answers were taken from {where}")
    return 1 if problems else 0


@command.command("build")
@click.argument("folder", metavar="DIR")
@click.option("-o", "--output_dir", required=True, metavar="SITE", help="Where the pages go.")
@click.option("--data", help="As for verify.")
@click.option("--jobs", type=click.IntRange(1), help="As for verify.")
@TIME_LIMIT
@click.option("--metric", metavar="NAME[,FILTER]", help="As for rank.")
@click.pass_obj
def build(
    host: Host, folder: str, output_dir: str, data: str | None, jobs: int | None, time_limit: float, metric: str | None
) -> int:
    """Verify every bundle in DIR and make a static site of them; an entry that fails is named there and not ranked."""
    from herl_bench.experiment.verification import verify_entry
    from herl_bench.leaderboard.site import build_site

    report_problems(host)
    verify = partial(verify_entry, host, data=data, jobs=jobs, time_limit=time_limit)
    refused = build_site(Path(folder), Path(output_dir), verify, metric)
    for line in (f"{place}: {line}" for place, lines in refused.items() for line in lines):
        click.echo(neutralize(line), err=True)
    click.echo(Path(output_dir) / "index.html")
    return 1 if refused else 0
