"""`herl-bench compare`: run what is missing, compare fairly, and say what can and cannot be concluded."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from herl_bench.cli import report_problems
from herl_bench.cli.options import device_option, dtype_option
from herl_bench.cli.output import open_console, show_table
from herl_bench.cli.trust import trust_option
from herl_bench.comparison.schema import ArmScore, Comparison, Contrast, Interval, Overall, Spent, to_json
from herl_bench.comparison.tables import find_median, measure_reward_growth
from herl_bench.comparison.verdict import MARGIN, describe_aside
from herl_bench.errors import UsageError
from herl_bench.plain_text import escape_json, neutralize
from herl_bench.plugins import Host

if TYPE_CHECKING:
    from rich.table import Table

Row = Sequence[tuple[str, str]]
"""Of a table: (heading, cell)."""


@click.command("compare")
@click.argument("runs", nargs=-1, metavar="[RUN_OR_ANSWERS]…")
@click.option("--task", "--tasks", "task", help="Tasks, separated by commas.")
@click.option("--methods", help="Methods, separated by commas; the first is the baseline.")
@click.option("--seeds", help="How many (5 means seeds 0 to 4), or which (0,3,7).  [default: 5]")
@click.option("--budget", help="Generated tokens per run, such as 200k.  [default: 100k]")
@click.option("--model", help="As for run; the same for all.")
@click.option("--data", help="As for run; the same for all.")
@device_option
@dtype_option
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any setting, of all methods that have it; may be repeated.",
)
@click.option(
    "--grid", metavar="FILE", help="A YAML file of tasks, methods or arms, seeds and settings; options win over it."
)
@click.option("-o", "--output_dir", metavar="DIR", help="Where runs and results go.  [default: runs/compare-TASK]")
@click.option(
    "--jobs", type=click.IntRange(1), help="Runs at a time.  [default: one per processor; one on an accelerator]"
)
@click.option("--ray", metavar="ADDRESS", help="Run on this Ray cluster instead (auto: the one of this machine).")
@click.option("--baseline", help="The arm that others are compared with.  [default: the first; among run folders: ppo]")
@click.option(
    "--margin",
    type=click.FloatRange(0, 1, min_open=True),
    default=MARGIN,
    show_default=True,
    help="Differences under this do not matter.",
)
@click.option(
    "--allow_unequal", is_flag=True, help="Compare runs that differ in more than their method; every output says so."
)
@trust_option
@click.option(
    "--metric",
    multiple=True,
    metavar="NAME[,FILTER]",
    help="What to compare; once for each set of answers where its name differs.  [default: the task's first]",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def command(host: Host, runs: tuple[str, ...], assignments: tuple[str, ...], form: str, **options: Any) -> int:
    """Compare methods over tasks and seeds: run what is missing, or take finished run folders.

    Or pair two or more sets of answers to the same items, that nothing need have been trained for: what herl-bench
    eval, lm-eval (--log_samples) or inspect wrote, as a folder or a file.

    The same command goes on where it stopped, after a kill too. Exit code 1 where a run failed; the others are
    compared.
    """
    from herl_bench.experiment.compare import SweepStopped, compare
    from herl_bench.settings import parse_settings

    report_problems(host)
    request = parse_settings({}, assignments, None)
    for name in request.method:
        if name in options:
            raise UsageError(f"--set {name}: that is no setting, but an option: --{name}")
    given = {name: value for name, value in options.items() if value is not None}
    try:
        comparison = compare(runs or None, progress=True, **{**request.run, **request.method, **given})
    except SweepStopped as stop:
        click.echo(f"herl-bench: {stop}", err=True)
        return 128 + stop.signal
    if form == "json":
        click.echo(escape_json(to_json(comparison)), nl=False)
    else:
        show(comparison)
        if comparison.folder is not None:
            click.echo(f"Everything is in {comparison.folder}; to look at: {comparison.folder}/report.html")
    return 1 if comparison.failed else 0


# -------------------------------------------------------------------------------------------------------------- showing
def show(comparison: Comparison) -> None:
    """Verdicts first, then the tables that they rest on."""
    console = open_console(width=None if sys.stdout.isatty() else 150)

    def say(text: str, style: str = "") -> None:
        console.print(neutralize(text), style=style, markup=False, highlight=False)

    for sentence in comparison.verdicts:
        say(sentence, "bold")
    for cell in comparison.failed:
        say(f"Failed: {cell.task} {cell.arm} seed {cell.seed}: {cell.reason}", "red")
    for items in comparison.tasks:
        scores = [score for score in comparison.arm_scores if score.task == items.task]
        contrasts = {contrast.arm: contrast for contrast in comparison.contrasts if contrast.task == items.task}
        what = f"{items.metric} · {len(items.items)} items of {items.source}"
        tables = {
            what: [_describe_score(score, contrasts.get(score.arm)) for score in scores],
            "gained in training": [_describe_gain(comparison, score) for score in scores if score.spent],
            "spent per run": [_describe_spending(score, score.spent) for score in scores if score.spent],
        }
        for title, rows in tables.items():
            if rows:
                show_table(console, _tabulate(f"{items.task} · {title}", rows))
        for contrast in contrasts.values():
            for change in contrast.criteria:
                if change.verdict != "unclear":
                    ends = f"{_number(change.baseline)} → {_number(change.arm)}"
                    say(f"{contrast.arm} {change.verdict} the criterion {change.criterion}: {ends}")
    if comparison.overall:
        rows = [_describe_overall(overall) for overall in comparison.overall]
        show_table(console, _tabulate(f"all {len(comparison.tasks)} tasks together", rows))
    for note in comparison.notes:
        say(note, "dim")


def _tabulate(title: str, rows: Sequence[Row]) -> Table:
    """Without the columns that are empty in every row."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title))
    kept = [i for i in range(len(rows[0])) if any(row[i][1] for row in rows)]
    for heading in (rows[0][i][0] for i in kept):
        table.add_column(heading, justify="right" if heading.strip() else "left")
    for row in rows:
        table.add_row(*(Text(neutralize(row[i][1])) for i in kept))
    return table


def _describe_score(score: ArmScore, contrast: Contrast | None) -> Row:
    """Without what speaks of training, where nothing was trained."""
    aside = describe_aside(score.undecided, score.shared, score.responses)
    is_trained = score.spent is not None
    reached = _tokens(find_median(score.tokens_to_target)) if score.tokens_to_target else "–"
    return [
        ("", score.arm),
        ("seeds", str(len(score.seeds)) if is_trained else ""),
        ("before", _number(score.before.value) if is_trained else ""),
        ("after" if is_trained else "score", _number(score.score.value)),
        ("95 %", _bounds(score.score)),
        *_describe_contrast(contrast),
        ("area", _number(score.curve_area.value) if is_trained else ""),
        ("to target", reached if is_trained else ""),
        (" ", "; ".join(filter(None, ["below where it began" if score.fell else "", aside]))),
    ]


def _describe_contrast(contrast: Contrast | None) -> Row:
    headings = ("difference", "95 %", "p", "fixed", "broken", "beats")
    if contrast is None:
        return [(heading, "") for heading in headings]
    p, chance, tests = contrast.p_holm, contrast.improvement.value, contrast.seed_tests
    cells = [
        *(_number(contrast.difference.value, "+.3f"), _bounds(contrast.difference, "+.3f")),
        "< 0.001" if p is not None and p < 0.001 else _number(p),
        *("/".join(map(str, counts)) for counts in ([t.fixed for t in tests], [t.broken for t in tests])),
        "" if chance is None else f"{chance:.2f}",
    ]
    return list(zip(headings, cells, strict=True))


def _describe_gain(comparison: Comparison, score: ArmScore) -> Row:
    """What training changed in the arm by itself."""
    return [
        ("", score.arm),
        ("gain", _number(score.gain.value, "+.3f")),
        ("95 %", _bounds(score.gain, "+.3f")),
        *((kind, _number(score.kinds[kind].value) if score.kinds else "") for kind in ("planted", "plain")),
        ("reward − metric grew", _number(measure_reward_growth(comparison, score.task, score.arm), "+.3f")),
        ("to final", _tokens(score.tokens_to_final) if score.held_out else ""),
    ]


def _describe_spending(score: ArmScore, spent: Spent) -> Row:
    return [
        ("", score.arm),
        ("tokens", f"{spent.tokens:,}"),
        ("responses", f"{spent.rollouts:,}"),
        ("reward calls", f"{spent.reward_calls:,}"),
        ("optimiser steps", f"{spent.optimizer_steps:,}"),
        ("FLOP", _number(spent.flops, ".2e")),
        ("seconds", f"{spent.wall_s:,.0f}"),
        ("reward − metric", _number(score.gap, "+.3f")),
        ("cut off", ", ".join(f"{count} {how}" for how, count in score.endings.items()) or "0"),
        ("errors", str(score.errors)),
    ]


def _describe_overall(overall: Overall) -> Row:
    chance = overall.improvement
    return [
        ("", overall.arm),
        ("IQM", _number(overall.iqm.value)),
        ("95 %", _bounds(overall.iqm)),
        ("beats", _number(chance.value, ".2f") if chance else ""),
        ("95 %", _bounds(chance, ".2f") if chance else ""),
    ]


def _number(value: float | None, form: str = ".3f") -> str:
    return "–" if value is None else format(value, form)


def _bounds(interval: Interval, form: str = ".3f") -> str:
    known = interval.low is not None and interval.high is not None
    return f"{interval.low:{form}} … {interval.high:{form}}" if known else "–"


def _tokens(count: int | None) -> str:
    return "never" if count is None else f"{count:,}"
