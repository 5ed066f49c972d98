"""`herl-bench report`: the page of a run or of a comparison, made again; or its main plots."""

from __future__ import annotations

from pathlib import Path

import click

from herl_bench.errors import UsageError, describe_error


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
    """Write the report of a run or a comparison: one HTML file that needs no network.

    With --format png, the main plots go as images into the folder --output_path; this needs matplotlib (the extra
    `plots`).
    """
    from herl_bench.report.report import of_folder, write_plots, write_report

    place = Path(folder)
    inside = place if place.is_dir() else place.parent
    found = of_folder(place)
    if form == "png":
        for path in write_plots(found, Path(output_path) if output_path else inside / "plots"):
            click.echo(path)
        return
    target = Path(output_path) if output_path else inside / "report.html"
    if target.is_dir():
        raise UsageError(f"--output_path {target} is a folder: name a file")
    click.echo(write_report(found, target))


def try_report(folder: Path) -> None:
    """For commands whose result is whole by now: whatever is wrong with its page is one line on stderr, and `herl-bench
    report` makes it again."""
    from herl_bench.report.report import of_folder, write_report

    try:
        write_report(of_folder(folder), folder / "report.html")
    except Exception as error:
        click.echo(
            f"herl-bench: warning: no report of {folder}: {describe_error(error)}; everything else there is whole",
            err=True,
        )
