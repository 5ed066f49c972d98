"""`herl-bench compare`: run what is missing, compare fairly, and say what can and cannot be concluded."""

from __future__ import annotations

import itertools
import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from herl_bench.cli import report_problems
from herl_bench.cli.output import open_console, show_table
from herl_bench.cli.trust import TRUST, trust_option
from herl_bench.errors import UnknownName, UsageError
from herl_bench.plain_text import escape_json, neutralize
from herl_bench.plugins import Host

if TYPE_CHECKING:
    from herl_bench.compare.finished_runs import FinishedRun
    from herl_bench.compare.schema import Arm, ArmScore, Comparison, FailedCell, TaskItems
    from herl_bench.sweep.sweep import Cell

GRID_KEYS = ("tasks", "methods", "arms", "seeds", "settings", "baseline")


@click.command("compare")
@click.argument("runs", nargs=-1, metavar="[RUN_OR_ANSWERS]…")
@click.option("--task", "--tasks", "tasks", help="Tasks, separated by commas.")
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
    "--grid",
    "grid_file",
    metavar="FILE",
    help="A YAML file of tasks, methods or arms, seeds and settings; options win over it.",
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
    "metrics",
    multiple=True,
    metavar="NAME[,FILTER]",
    help="What to compare; once for each set of answers where its name differs.  [default: the task's first]",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def command(
    host: Host,
    runs: tuple[str, ...],
    output_dir: str | None,
    jobs: int | None,
    ray: str | None,
    baseline: str | None,
    margin: float,
    allow_unequal: bool,
    metrics: tuple[str, ...],
    form: str,
    **given: Any,
) -> int:
    """Compare methods over tasks and seeds: run what is missing, or take finished run folders.

    Or pair two or more sets of answers to the same items, that nothing need have been trained for: what herl-bench
    eval, lm-eval (--log_samples) or inspect wrote, as a folder or a file.

    The same command goes on where it stopped, after a kill too. Exit code 1 where a run failed; the others are
    compared.
    """
    import shlex

    from herl_bench.compare.analyse import compare
    from herl_bench.experiment.manifest import command_line

    report_problems(host)
    if given["trust_remote_code"]:
        os.environ[TRUST] = "1"  # for the cells, which are processes of their own
    typed = shlex.join(command_line())
    failed: list[FailedCell] = []
    folder: Path | None
    if runs:
        words = [
            f"--{name}"
            for name in ("grid_file", "methods", "seeds", "budget", "model", "data", "assignments", "tasks")
            if given[name]
        ]
        if words or ray or jobs:
            raise UsageError("name run folders, or say what to run with --task and --methods: not both")
        folder = Path(output_dir) if output_dir else None
        folders, others = _sorted_out(runs)
        if others:
            return _end(_compare_answers(others, baseline, metrics, allow_unequal, margin, typed), folder, form)
        arms, found = _given_runs(folders, baseline, _one(metrics))
    else:
        plan = plan_cells(host, given, output_dir, baseline, allow_unequal)
        folder = plan.folder
        arms = plan.arms
        failed, stopped = _sweep(plan, jobs, ray)
        if stopped:
            click.echo("herl-bench: interrupted; the same command goes on from here", err=True)
            return 128 + stopped
        found = _read(plan, failed, _one(metrics))
    done = compare(
        found,
        arms,
        folder=folder or Path.cwd(),
        command=typed,
        failed=failed,
        allow_unequal=allow_unequal,
        margin=margin,
    )
    return _end(done, folder, form)


def _end(done: Comparison, folder: Path | None, form: str) -> int:
    """Keep and show it. folder: None where nothing is kept."""
    from herl_bench.cli.report import try_report
    from herl_bench.compare.schema import to_json
    from herl_bench.saving import write_whole

    if folder is not None:
        write_whole(folder / "compare.json", to_json(done))
        try_report(folder)
    if form == "json":
        click.echo(escape_json(to_json(done)), nl=False)
    else:
        show(done)
        if folder is not None:
            click.echo(f"Everything is in {folder}; to look at: {folder}/report.html")
    return 1 if done.failed else 0


def _one(metrics: Sequence[str]) -> str | None:
    if len(metrics) > 1:
        raise UsageError("--metric: runs have one for all: name it once")
    return metrics[0] if metrics else None


# ---------------------------------------------------------------------------------------------------------- what to run
@dataclass(frozen=True)
class Plan:
    folder: Path
    arms: list[Arm]
    cells: list[Cell]


def plan_cells(
    host: Host, given: Mapping[str, Any], output_dir: str | None, baseline: str | None, allow_unequal: bool = False
) -> Plan:
    """Every cell of the grid, checked before anything is made. Raises `UsageError`."""
    from herl_bench.data.sources import resolve_source
    from herl_bench.experiment.configuration import build_config, build_settings, format_config
    from herl_bench.settings import parse_settings, read_yaml
    from herl_bench.sweep.sweep import Cell

    where = given["grid_file"]
    grid = read_yaml(where) if where else {}
    for name in grid:
        if name not in GRID_KEYS:
            raise UsageError(f"{where}: {UnknownName('key', name, GRID_KEYS)}")
    tasks = _names(
        given["tasks"] or grid.get("tasks"), f"--task is missing: choose from {', '.join(sorted(host.entries('task')))}"
    )
    named, methods = grid.get("arms"), given["methods"] or grid.get("methods")
    if named is not None and methods:
        raise UsageError(f"{where}: arms: each names its own method: leave out either arms or methods")
    seeds = _seeds(grid.get("seeds", 5) if given["seeds"] is None else given["seeds"])
    flags = {name: given[name] for name in ("budget", "model", "data")} | {
        "trust_remote_code": given.get("trust_remote_code") or None
    }
    run_values, method_values, _ = parse_settings(flags, given["assignments"], None)
    fixed, varied = {**run_values, **method_values}, grid.get("settings") or {}
    if named is not None:
        arms = _named_arms(host, named, varied, fixed, where)
    else:
        arms = _arms(
            host,
            _names(methods, f"--methods is missing: choose from {', '.join(sorted(host.entries('method')))}"),
            varied,
            fixed,
            where,
        )
    arms = _baseline_first(arms, baseline or grid.get("baseline"))
    if len(arms) < 2:
        raise UsageError(
            "one arm is nothing to compare: name two methods, or several values of a setting in a --grid file"
        )
    if not allow_unequal:
        _refuse_unequal(arms)
    folder = Path(output_dir or Path("runs") / f"compare-{'-'.join(tasks)}")
    cells = []
    for task_name, seed, arm in itertools.product(tasks, seeds, arms):
        task, method = host.get("task", task_name), host.get("method", arm.method)
        run_values = {k: v for k, v in arm.settings.items() if k in _run_settings()}
        method_values = {k: v for k, v in arm.settings.items() if k not in run_values}
        settings = build_settings({**run_values, "task": task_name, "method": arm.method, "seed": seed}, {})
        source = str(resolve_source(task, settings.data, embedded=settings.model == "tiny"))
        text = format_config(settings, build_config(method, method_values, {}, settings.model), task, source)
        directory = folder / "runs" / re.sub(r"[^\w.=+-]+", "_", f"{task_name}-{arm.name}-s{seed}")
        cells.append(Cell(task_name, arm.name, seed, settings.budget, text, directory))
    return Plan(folder, arms, cells)


def _names(given: Any, missing: str) -> list[str]:
    names = given.split(",") if isinstance(given, str) else list(given or ())
    names = list(dict.fromkeys(str(name).strip() for name in names if str(name).strip()))
    if not names:
        raise UsageError(missing)
    return names


def _seeds(given: Any) -> list[int]:
    try:
        if isinstance(given, str) and "," not in given:
            given = int(given)
        seeds = (
            list(range(given))
            if isinstance(given, int)
            else [int(s) for s in (given.split(",") if isinstance(given, str) else given) if s != ""]
        )
    except (ValueError, TypeError):
        seeds = []
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds {given}: write how many (5), or which, each once (0,3,7)")
    return seeds


def _arms(host: Host, methods: Sequence[str], varied: Any, fixed: Mapping[str, Any], where: str | None) -> list[Arm]:
    """Methods × values of the varied settings; a method that lacks a setting is there once, not once per value."""
    from herl_bench.compare.schema import Arm

    of_run = _run_settings()
    own = {name: _method_settings(host, name) for name in methods}
    _check_settings(varied, fixed, of_run.union(*own.values()), where)
    lists = {name: value if isinstance(value, list) else [value] for name, value in varied.items() if name not in fixed}
    arms = []
    for method in methods:
        mine = {name: values for name, values in lists.items() if name in of_run or name in own[method]}
        for chosen in itertools.product(*mine.values()):
            values = dict(zip(mine, chosen, strict=True))
            told = {name: value for name, value in values.items() if len(mine[name]) > 1}
            label = " ".join([method, *(f"{name}={value}" for name, value in told.items())])
            arms.append(
                Arm(label, method, {**values, **{k: v for k, v in fixed.items() if k in of_run or k in own[method]}})
            )
    return arms


def _named_arms(host: Host, named: Any, shared: Any, fixed: Mapping[str, Any], where: str | None) -> list[Arm]:
    """Arms that the grid names one by one. shared: settings of all arms that have them; an arm's own win over these."""
    from herl_bench.compare.schema import Arm
    from herl_bench.experiment.configuration import build_config

    form = "write `name: {method: METHOD, setting: value}` lines"
    if not isinstance(named, dict) or not named:
        raise UsageError(f"{where}: arms: {form}")
    for name, given in named.items():
        if not isinstance(name, str) or not re.fullmatch(r"[\w.+=-]+", name):
            raise UsageError(
                f"{where}: arms: {name}: a name is a word of letters, digits, _ . + = -, in quotes where YAML takes it"
                " for a value"
            )
        if not isinstance(given, dict) or "method" not in given:
            raise UsageError(f"{where}: arms: {name}: {form}")
    of_run = _run_settings()
    known = {name: of_run | _method_settings(host, str(given["method"])) for name, given in named.items()}
    _check_settings(shared, fixed, set[str]().union(*known.values()), where)
    for name, value in shared.items():
        if isinstance(value, list):
            raise UsageError(
                f"{where}: settings: {name}: {value}: beside arms, a setting has one value: write an arm for each"
            )
    arms = []
    for name, given in named.items():
        method, own = str(given["method"]), {key: value for key, value in given.items() if key != "method"}
        origin = dict.fromkeys(own, f"{where}: arms: {name}: ")
        build_config(
            host.get("method", method), {key: value for key, value in own.items() if key not in of_run}, origin
        )
        values = {key: value for key, value in {**shared, **own, **fixed}.items() if key in known[name]}
        arms.append(Arm(name, method, values))
    return arms


def _check_settings(varied: Any, fixed: Mapping[str, Any], known: set[str], where: str | None) -> None:
    """Raises `UsageError` for what is no mapping, and for a setting that no arm has."""
    if not isinstance(varied, dict):
        raise UsageError(f"{where}: settings: write `name: value` or `name: [value, value]` lines")
    for name in (*varied, *fixed):
        if name not in known:
            raise UsageError(f"{f'{where}: ' if name in varied else '--set '}{UnknownName('setting', name, known)}")


def _method_settings(host: Host, method: str) -> set[str]:
    import dataclasses

    return {f.name for f in dataclasses.fields(host.get("method", method).config)}


def _run_settings() -> set[str]:
    """Those that a grid may set."""
    import dataclasses

    from herl_bench.settings import Settings

    return {f.name for f in dataclasses.fields(Settings)} - {"task", "method", "seed"}


def _refuse_unequal(arms: Sequence[Arm]) -> None:
    """What would be refused in the end is refused before anything runs."""
    for name in ("budget", "model", "data", "eval_items", "difficulty", "problems", "max_new_tokens"):
        values = {arm.name: arm.settings.get(name) for arm in arms}
        if len({str(value) for value in values.values()}) > 1:
            told = "; ".join(f"{arm} has {value}" for arm, value in values.items())
            raise UsageError(
                f"not a fair comparison: {name}: {told}: give one value, or pass --allow_unequal to compare all the"
                " same"
            )


def _baseline_first(arms: list[Arm], baseline: str | None) -> list[Arm]:
    if baseline is None:
        return arms
    if baseline not in (names := [arm.name for arm in arms]):
        raise UnknownName("arm", baseline, names)
    return sorted(arms, key=lambda arm: arm.name != baseline)


# ------------------------------------------------------------------------------------------------------------- sweeping
def _sweep(plan: Plan, jobs: int | None, ray: str | None) -> tuple[list[FailedCell], int]:
    """Run what is missing. Gives the cells that failed, and which signal ended it, 0 where none did."""
    from herl_bench.cli.sweep_progress import open_face
    from herl_bench.compare.schema import FailedCell
    from herl_bench.locking import locked
    from herl_bench.sweep.sweep import LocalPool, Pool, RayPool, finished, prepare, run_cells

    with (
        locked(plan.folder, "comparison") as lock,
        redirect_stdout(sys.stderr),
    ):  # Ray talks on stdout, which is the comparison's alone
        prepare(plan.cells)
        if all(finished(cell.directory) for cell in plan.cells):
            return [], 0
        pool: Pool = RayPool(ray, plan.folder) if ray else LocalPool(jobs or _processors(), lock)
        with _stoppable() as stopping, open_face(plan.cells) as face:
            ended = run_cells(plan.cells, pool, face.show, stopping)
        if stopping():
            return [], stopping()
    return [FailedCell(e.cell.task, e.cell.arm, e.cell.seed, str(e.cell.directory), e.reason) for e in ended], 0


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _stoppable() -> Iterator[Any]:
    """The first Ctrl-C lets running cells save a checkpoint; the second ends them at once."""
    asked: list[int] = []

    def on_signal(number: int, frame: Any) -> None:
        if asked:
            if number != signal.SIGHUP:  # a terminal that goes away sends it more than once
                raise KeyboardInterrupt
            return
        asked.append(number)
        print("Letting the running cells finish a step and save. Ctrl-C again stops at once.", file=sys.stderr)

    caught = [
        n
        for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if n == signal.SIGINT or signal.getsignal(n) != signal.SIG_IGN
    ]
    before = {number: signal.signal(number, on_signal) for number in caught}
    try:
        yield lambda: asked[0] if asked else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# -------------------------------------------------------------------------------------------------------------- reading
def _read(plan: Plan, failed: Sequence[FailedCell], metric: str | None) -> dict[str, dict[str, list[FinishedRun]]]:
    from herl_bench.compare.finished_runs import read_run

    missing = {cell.directory for cell in failed}
    found: dict[str, dict[str, list[FinishedRun]]] = {}
    for cell in plan.cells:
        if str(cell.directory) not in missing:
            found.setdefault(cell.task, {}).setdefault(cell.arm, []).append(read_run(cell.directory, metric))
    return found


def _sorted_out(places: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """(folders of runs, sets of answers). Beside runs, what is no run, such as a sweep's logs, is left out with a line.
    Raises `UsageError`."""
    from herl_bench.compare.answer_sets import holds_answers

    named = [Path(place) for place in dict.fromkeys(places)]
    for place in named:
        if not place.exists():
            raise UsageError(f"{place}: no such file or folder")
    runs = [place for place in named if (place / "config.yaml").is_file()]
    others = [place for place in named if place not in runs]
    if not runs:
        if len(others) < 2:
            raise UsageError(
                f"{others[0]}: no config.yaml there, so it is no run; to pair sets of answers, name two or more"
            )
        return [], others
    answers = [place for place in others if holds_answers(place)]
    if answers or (len(runs) < 2 and others):
        others = answers or others
        raise UsageError(
            f"{runs[0]} is a run and {others[0]} is not: a run is compared with runs; to pair its answers with others,"
            f" name {runs[0] / 'eval' / 'after'}"
        )
    for place in others:
        click.echo(f"herl-bench: {neutralize(str(place))}: no config.yaml there, so it is no run: left out", err=True)
    return runs, []


def _compare_answers(
    places: Sequence[Path],
    baseline: str | None,
    metrics: Sequence[str],
    allow_unequal: bool,
    margin: float,
    command: str,
) -> Comparison:
    """Every place is an arm, named by its model, or by its path where models have the same name."""
    from herl_bench.compare.analyse import compare_answers
    from herl_bench.compare.answer_sets import pair, read_answers
    from herl_bench.compare.schema import Arm

    sets = [read_answers(place) for place in places]
    models = [next(iter(found.values())).name for found in sets]
    names = [str(place) if models.count(model) > 1 else model for place, model in zip(places, models, strict=True)]
    arms = [Arm(name, model) for name, model in zip(names, models, strict=True)]
    by_arm = dict(zip(names, sets, strict=True))
    ordered = _baseline_first(arms, baseline)
    if metrics and len(metrics) == len(places):  # each goes with its place, wherever the baseline stands
        metrics = [metrics[arms.index(arm)] for arm in ordered]
    by_arm = {arm.name: by_arm[arm.name] for arm in ordered}
    if all(len(found) == 1 for found in sets):
        groups = [{name: next(iter(found.values())) for name, found in by_arm.items()}]
    else:
        common = [task for task in by_arm[ordered[0].name] if all(task in found for found in by_arm.values())]
        groups = [{name: found[task] for name, found in by_arm.items()} for task in common]
        for task in dict.fromkeys(task for found in sets for task in found if task not in common):
            click.echo(f"herl-bench: {neutralize(task)}: not in every set of answers: left out", err=True)
    if not groups:
        told = "; ".join(f"{name} has {', '.join(found)}" for name, found in by_arm.items())
        raise UsageError(f"no task is in all of them: {told}")
    return compare_answers(
        [pair(group, metrics, allow_unequal=allow_unequal) for group in groups], ordered, command=command, margin=margin
    )


def _given_runs(
    folders: Sequence[Path], baseline: str | None, metric: str | None
) -> tuple[list[Arm], dict[str, dict[str, list[FinishedRun]]]]:
    """Arms are methods; runs of one method whose settings differ are arms of their own, named by what differs."""
    from herl_bench.compare.finished_runs import read_run
    from herl_bench.compare.schema import Arm

    runs = [read_run(folder, metric) for folder in folders]
    settings = {
        run.directory: {**(run.settings.get("set") or {}), "rubric": run.settings.get("rubric")} for run in runs
    }
    arms: dict[str, Arm] = {}
    found: dict[str, dict[str, list[FinishedRun]]] = {}
    for run in sorted(runs, key=lambda run: run.seed):
        alike = [settings[other.directory] for other in runs if other.method == run.method and other.task == run.task]
        own = settings[run.directory]
        told = {name: value for name, value in own.items() if any(other.get(name) != value for other in alike)}
        label = " ".join([run.method, *(f"{name}={value}" for name, value in told.items())])
        arms.setdefault(label, Arm(label, run.method, told))
        group = found.setdefault(run.task, {}).setdefault(label, [])
        twin = next((other for other in group if other.seed == run.seed), None)
        if twin is not None:
            raise UsageError(
                f"{twin.directory} and {run.directory} are the same method with the same settings and seed: name one of"
                " them"
            )
        group.append(run)
    return _baseline_first(list(arms.values()), baseline or ("ppo" if "ppo" in arms else None)), found


# -------------------------------------------------------------------------------------------------------------- showing
def show(done: Comparison) -> None:
    """Verdicts first, then the tables that they rest on."""
    from rich.table import Table

    console = open_console(width=None if sys.stdout.isatty() else 150)

    def say(text: str, style: str = "") -> None:
        console.print(neutralize(text), style=style, markup=False, highlight=False)

    for sentence in done.verdicts:
        say(sentence, "bold")
    for cell in done.failed:
        say(f"Failed: {cell.task} {cell.arm} seed {cell.seed}: {cell.reason}", "red")
    for items in done.tasks:
        scores = [score for score in done.arm_scores if score.task == items.task]
        show_table(console, _score_table(done, items, scores))
        if spending := _spending_table(items, scores):
            show_table(console, spending)
        changed = [
            (c.arm, k) for c in done.contrasts if c.task == items.task for k in c.criteria if k.verdict != "unclear"
        ]
        for arm, change in changed:
            say(
                f"{arm} {change.verdict} the criterion {change.criterion}: {_number(change.baseline)} →"
                f" {_number(change.arm)}"
            )
    if done.overall:
        together = Table(title=f"all {len(done.tasks)} tasks together")
        for column in ("", "IQM", "95 %", "beats", "95 %"):
            together.add_column(column, justify="right" if column else "left")
        for overall in done.overall:
            chance = (
                [_number(overall.improvement.value, ".2f"), _bounds(overall.improvement, ".2f")]
                if overall.improvement
                else ["", ""]
            )
            together.add_row(overall.arm, _number(overall.iqm.value), _bounds(overall.iqm), *chance)
        show_table(console, together)
    for note in done.notes:
        say(note, "dim")


def _score_table(done: Comparison, items: TaskItems, scores: Sequence[ArmScore]) -> Any:
    """Without what speaks of training, where nothing was trained."""
    from rich.table import Table
    from rich.text import Text

    from herl_bench.compare.verdict import aside

    trained = bool(done.runs)
    contrasts = {c.arm: c for c in done.contrasts if c.task == items.task}
    asides = {score.arm: aside(score.undecided, score.shared, score.responses) for score in scores}
    asides |= {s.arm: "; ".join(filter(None, ["below where it began", asides[s.arm]])) for s in scores if s.fell}
    columns = [
        "",
        *(["seeds", "before", "after"] if trained else ["score"]),
        "95 %",
        "difference",
        "95 %",
        "p",
        "fixed",
        "broken",
    ]
    columns += [*(["beats", "area", "to target"] if trained else []), *([" "] if any(asides.values()) else [])]
    table = Table(title=Text(f"{items.task} · {items.metric} · {len(items.items)} items of {items.source}"))
    for column in columns:
        table.add_column(column, justify="right" if column.strip() else "left")
    for score in scores:
        versus = contrasts.get(score.arm)
        cells = [
            *([str(len(score.seeds)), _number(score.before.value)] if trained else []),
            _number(score.score.value),
            _bounds(score.score),
        ]
        cells += _against(versus) if versus else [""] * 6
        cells = [*cells, _number(score.curve_area.value), _tokens(score.tokens_to_target)] if trained else cells[:-1]
        table.add_row(
            *(
                Text(neutralize(cell))
                for cell in (score.arm, *cells, *([asides[score.arm]] if any(asides.values()) else []))
            )
        )
    return table


def _spending_table(items: TaskItems, scores: Sequence[ArmScore]) -> Any:
    """None where nothing was trained."""
    from rich.table import Table
    from rich.text import Text

    spent = {score.arm: score.spent for score in scores if score.spent is not None}
    if not spent:
        return None
    table = Table(title=Text(f"{items.task} · spent per run"))
    columns = (
        "",
        "tokens",
        "responses",
        "reward calls",
        "optimiser steps",
        "FLOP",
        "seconds",
        "reward − metric",
        "cut off",
        "errors",
    )
    for column in columns:
        table.add_column(column, justify="right" if column else "left")
    for score in scores:
        used = spent[score.arm]
        table.add_row(
            Text(neutralize(score.arm)),
            f"{used.tokens:,}",
            f"{used.rollouts:,}",
            f"{used.reward_calls:,}",
            f"{used.optimizer_steps:,}",
            "–" if used.flops is None else f"{used.flops:.2e}",
            f"{used.wall_s:,.0f}",
            _number(score.gap, "+.3f"),
            ", ".join(f"{n} {how}" for how, n in score.endings.items()) or "0",
            str(score.errors),
        )
    return table


def _against(versus: Any) -> list[str]:
    per_seed = versus.seed_tests
    return [
        _number(versus.difference.value, "+.3f"),
        _bounds(versus.difference, "+.3f"),
        "–" if versus.p_holm is None else "< 0.001" if versus.p_holm < 0.001 else f"{versus.p_holm:.3f}",
        "/".join(str(test.fixed) for test in per_seed),
        "/".join(str(test.broken) for test in per_seed),
        _number(versus.improvement.value, ".2f"),
    ]


def _number(value: float | None, form: str = ".3f") -> str:
    return "–" if value is None else format(value, form)


def _bounds(interval: Any, form: str = ".3f") -> str:
    return "–" if interval.low is None else f"{interval.low:{form}} … {interval.high:{form}}"


def _tokens(values: Sequence[int | None]) -> str:
    """The median; a run that never got there counts as later than any other."""
    ranked = sorted(values, key=lambda v: (v is None, v or 0))
    if not ranked:
        return "–"
    middle = ranked[len(ranked) // 2]
    return "never" if middle is None else f"{middle:,}"
