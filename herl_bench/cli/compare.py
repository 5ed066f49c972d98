"""`herl-bench compare`: run what is missing, compare fairly, and say what can and cannot be concluded."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from herl_bench.cli import report_problems
from herl_bench.cli.output import open_console, show_table
from herl_bench.cli.trust import trust_option
from herl_bench.errors import UsageError
from herl_bench.plain_text import escape_json, neutralize
from herl_bench.plugins import Host

if TYPE_CHECKING:
    from rich.table import Table

    from herl_bench.compare.schema import ArmScore, Comparison, Contrast, Interval, TaskItems


@click.command("compare")
@click.argument("runs", nargs=-1, metavar="[RUN_OR_ANSWERS]…")
@click.option("--task", "--tasks", "task", help="Tasks, separated by commas.")
@click.option("--methods", help="Methods, separated by commas; the first is the baseline.")
@click.option("--seeds", help="How many (5 means seeds 0 to 4), or which (0,3,7).  [default: 5]")
@click.option("--budget", help="Generated tokens per run, such as 200k.  [default: 100k]")
@click.option("--model", help="As for run; the same for all.")
@click.option("--data", help="As for run; the same for all.")
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
@click.option("--jobs", type=click.IntRange(1), help="Runs at a time.  [default: one per processor]")
@click.option("--ray", metavar="ADDRESS", help="Run on this Ray cluster instead (auto: the one of this machine).")
@click.option("--baseline", help="The arm that others are compared with.  [default: the first; among run folders: ppo]")
@click.option(
    "--margin",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.05,
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
    from herl_bench.compare.schema import to_json
    from herl_bench.experiment.comparison import SweepStopped, compare
    from herl_bench.settings import parse_settings

    report_problems(host)
    request = parse_settings({}, assignments, None)
    for name in request.method:
        if name in options:
            raise UsageError(f"--set {name}: that is no setting, but an option: --{name}")
    given = {name: value for name, value in options.items() if value is not None}
    try:
        comparison = compare(runs, progress=True, **{**request.run, **request.method, **given})
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
        show_table(console, _tabulate_scores(comparison, items, scores))
        if comparison.runs:
            show_table(console, _tabulate_gains(comparison, items, scores))
            show_table(console, _tabulate_spending(items, scores))
        for arm, change in [
            (c.arm, change) for c in comparison.contrasts if c.task == items.task for change in c.criteria
        ]:
            if change.verdict != "unclear":
                ends = f"{_number(change.baseline)} → {_number(change.arm)}"
                say(f"{arm} {change.verdict} the criterion {change.criterion}: {ends}")
    if comparison.overall:
        show_table(console, _tabulate_all_tasks(comparison))
    for note in comparison.notes:
        say(note, "dim")


def _tabulate(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """columns, rows: without those that are empty in every row."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title))
    kept = [i for i in range(len(columns)) if any(row[i] for row in rows)]
    for i in kept:
        table.add_column(columns[i], justify="right" if columns[i].strip() else "left")
    for row in rows:
        table.add_row(*(Text(neutralize(row[i])) for i in kept))
    return table


def _tabulate_scores(comparison: Comparison, items: TaskItems, scores: Sequence[ArmScore]) -> Table:
    """Without what speaks of training, where nothing was trained."""
    columns = ["", "seeds", "before", "after" if comparison.runs else "score", "95 %", "difference", "95 %", "p"]
    columns += ["fixed", "broken", "beats", "area", "to target", " "]
    contrasts = {contrast.arm: contrast for contrast in comparison.contrasts if contrast.task == items.task}
    rows = [_describe_score(score, contrasts.get(score.arm)) for score in scores]
    return _tabulate(f"{items.task} · {items.metric} · {len(items.items)} items of {items.source}", columns, rows)


def _describe_score(score: ArmScore, contrast: Contrast | None) -> list[str]:
    from herl_bench.compare.tables import find_median
    from herl_bench.compare.verdict import describe_aside

    aside = describe_aside(score.undecided, score.shared, score.responses)
    remarks = "; ".join(filter(None, ["below where it began" if score.fell else "", aside]))
    seeds = before = area = reached = ""
    if score.spent is not None:
        seeds, before, area = str(len(score.seeds)), _number(score.before.value), _number(score.curve_area.value)
        reached = _tokens(find_median(score.tokens_to_target)) if score.tokens_to_target else "–"
    return [
        *(score.arm, seeds, before, _number(score.score.value), _bounds(score.score)),
        *(_describe_contrast(contrast) if contrast else [""] * 6),
        *(area, reached, remarks),
    ]


def _describe_contrast(contrast: Contrast) -> list[str]:
    p = contrast.p_holm
    return [
        _number(contrast.difference.value, "+.3f"),
        _bounds(contrast.difference, "+.3f"),
        "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}",
        "/".join(str(test.fixed) for test in contrast.seed_tests),
        "/".join(str(test.broken) for test in contrast.seed_tests),
        "" if contrast.improvement.value is None else f"{contrast.improvement.value:.2f}",
    ]


def _tabulate_gains(comparison: Comparison, items: TaskItems, scores: Sequence[ArmScore]) -> Table:
    """What training changed in each arm by itself."""
    from herl_bench.compare.tables import measure_reward_growth

    columns = ["", "gain", "95 %", "planted", "plain", "reward − metric grew", "to final"]
    rows = []
    for score in scores:
        growth = measure_reward_growth(comparison, items.task, score.arm)
        rows.append(
            [
                *(score.arm, _number(score.gain.value, "+.3f"), _bounds(score.gain, "+.3f")),
                *(_number(score.kinds[kind].value) if kind in score.kinds else "" for kind in ("planted", "plain")),
                _number(growth, "+.3f"),
                _tokens(score.tokens_to_final) if score.held_out else "",
            ]
        )
    return _tabulate(f"{items.task} · gained in training", columns, rows)


def _tabulate_spending(items: TaskItems, scores: Sequence[ArmScore]) -> Table:
    columns = ["", "tokens", "responses", "reward calls", "optimiser steps", "FLOP", "seconds", "reward − metric"]
    rows = [
        [
            *(score.arm, f"{spent.tokens:,}", f"{spent.rollouts:,}", f"{spent.reward_calls:,}"),
            *(f"{spent.optimizer_steps:,}", _number(spent.flops, ".2e"), f"{spent.wall_s:,.0f}"),
            _number(score.gap, "+.3f"),
            ", ".join(f"{count} {how}" for how, count in score.endings.items()) or "0",
            str(score.errors),
        ]
        for score in scores
        if (spent := score.spent) is not None
    ]
    return _tabulate(f"{items.task} · spent per run", [*columns, "cut off", "errors"], rows)


def _tabulate_all_tasks(comparison: Comparison) -> Table:
    rows = []
    for overall in comparison.overall:
        chance = overall.improvement
        cells = [_number(chance.value, ".2f"), _bounds(chance, ".2f")] if chance else ["", ""]
        rows.append([overall.arm, _number(overall.iqm.value), _bounds(overall.iqm), *cells])
    return _tabulate(f"all {len(comparison.tasks)} tasks together", ["", "IQM", "95 %", "beats", "95 %"], rows)


def _number(value: float | None, form: str = ".3f") -> str:
    return "–" if value is None else format(value, form)


def _bounds(interval: Interval, form: str = ".3f") -> str:
    if interval.low is None or interval.high is None:
        return "–"
    return f"{interval.low:{form}} … {interval.high:{form}}"


def _tokens(count: int | None) -> str:
    return "never" if count is None else f"{count:,}"
