"""`herl-bench report`: the page of a run, a comparison or a probe, made again; or its main plots."""

from __future__ import annotations

from pathlib import Path

import click

from herl_bench.errors import UsageError


@click.command("report")
@click.argument("folder", metavar="RUN_OR_COMPARISON")
@click.option(
    "-o",
    "--output_path",
    metavar="FILE",
    help="Where it goes.  [default: report.html in the folder; with --format png, plots/ there]",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "png"]),
    default="html",
    show_default=True,
    help="png: the main plots.",
)
def command(folder: str, output_path: str | None, form: str) -> None:
    """Write the report of a run, a comparison or a probe: one HTML file that needs no network.

    With --format png, the main plots go as images into the folder --output_path.
    """
    from herl_bench.report.report import write_plots, write_report

    target = Path(output_path) if output_path else None
    if form == "html" and target and target.is_dir():
        raise UsageError(f"--output_path {target} is a folder: name a file")
    written = [write_report(Path(folder), target)] if form == "html" else write_plots(Path(folder), target)
    for path in written:
        click.echo(path)
