"""Compare as one call: run what is missing, or take finished runs or sets of answers, and give what can be concluded.

    comparison = herl_bench.compare(task="gsm8k", methods=["ppo", "herl"], seeds=3, budget="20k")
    comparison = herl_bench.compare([run, another, "runs/gsm8k-ppo-s0"])

`herl-bench compare` calls exactly this.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from herl_bench.comparison import schema
from herl_bench.comparison.analyse import Terms, compare_answers, compare_runs
from herl_bench.comparison.answer_sets import pair_answers
from herl_bench.comparison.arms import GroupedRuns, find_runs, group_answers, group_runs
from herl_bench.comparison.finished_runs import read_run
from herl_bench.comparison.tables import list_families, list_scores
from herl_bench.comparison.verdict import MARGIN
from herl_bench.errors import UsageError
from herl_bench.experiment.grid import Names, SweepPlan, SweepRequest, plan_sweep
from herl_bench.experiment.manifest import command_line
from herl_bench.plain_text import neutralize
from herl_bench.plugins import load_host
from herl_bench.report.contents import describe_comparison
from herl_bench.report.report import to_html, try_report, write_report
from herl_bench.runs import make_frame, make_html_table
from herl_bench.saving import write_whole

Place = Any
"""A run, or the path of a run's folder or of a set of answers."""


@dataclass(frozen=True, repr=False)
class Comparison(schema.Comparison):
    """What `compare` gives: all that `compare.json` holds, and ways to look at it. folder: where written, or None."""

    folder: Path | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        arms = []
        for row in self.rows:
            interval = "" if row["low"] is None else f" ({row['low']:.3f} to {row['high']:.3f})"
            arms.append(f"  {row['task']}  {row['arm']}  {_show(row['score'])}{interval}")
        return "\n".join([f"<Comparison with {self.baseline}>", *self.verdicts, *arms])

    def _repr_html_(self) -> str:
        sentences = "".join(f"<p>{escape(neutralize(sentence))}</p>" for sentence in self.verdicts)
        columns = [name for name in self.rows[0] if any(row[name] is not None for row in self.rows)]
        return sentences + make_html_table(columns, [[_show(row[name]) for name in columns] for row in self.rows])

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row per task and arm: its scores, and how they differ from the baseline's."""
        return list_scores(self)

    def families(self, task: str | None = None) -> list[dict[str, Any]]:
        """A row per family of problems: before training, and each arm's mean after it. task: the first if left out."""
        return list_families(self, task or self.tasks[0].task)

    def to_pandas(self) -> Any:
        """The same as a DataFrame. Raises `UsageError` where pandas is not installed."""
        return make_frame(self.rows)

    @property
    def report(self) -> str:
        """The page, as HTML that needs no network."""
        return to_html(describe_comparison(self))

    def save(self, folder: str | Path) -> Path:
        """Write `compare.json`, and beside it the page; gives where that is."""
        write_whole(Path(folder) / "compare.json", schema.to_json(self))
        return write_report(Path(folder))


def _show(value: Any) -> str:
    return "–" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


class SweepStopped(KeyboardInterrupt):
    """Signal number `signal` ended the sweep, and what ran has saved a checkpoint; the same call goes on from there."""

    def __init__(self, number: int):
        super().__init__("interrupted; the same command goes on from here")
        self.signal = number


def compare(
    runs: Sequence[Place] | None = None,
    *,
    task: Names = None,
    methods: Names = None,
    seeds: int | str | Sequence[int] | None = None,
    budget: int | str | None = None,
    model: str | None = None,
    data: str | None = None,
    grid: Any = None,
    output_dir: str | Path | None = None,
    jobs: int | None = None,
    ray: str | None = None,
    baseline: str | None = None,
    metric: str | Sequence[str] | None = None,
    margin: float = MARGIN,
    allow_unequal: bool = False,
    trust_remote_code: bool = False,
    progress: bool | None = None,
    **settings: Any,
) -> Comparison:
    """Compare methods over tasks and seeds: run what is missing, or take finished runs. Or pair sets of answers to the
    same items, that nothing need have been trained for.

    runs: runs or their folders, or what herl-bench eval, lm-eval or inspect wrote. Without any, a sweep is run, or goes
    on where it stopped: task and methods (the first is the baseline), as lists or separated by commas; seeds, how many
    (5, if nothing says it) or which; budget, model, data and settings, the same for all; grid, a YAML file or what one
    holds, whose settings may differ between arms. What is given here wins over it.
    output_dir: where runs and results go, `runs/compare-TASK` for a sweep; without one, a comparison of what is there
    already is not kept. jobs: runs at a time. ray: a cluster's address, instead.
    baseline: the arm that others are compared with, the first if left out; among runs, ppo. metric: NAME or
    NAME,FILTER, or one for each set of answers. margin: differences under this do not matter.
    progress: None shows it in a terminal or a notebook only.

    Raises `UsageError` for what cannot be compared, among it arms that differ in more than their method (unless
    `allow_unequal`), and `SweepStopped` where a signal ended the sweep. Runs that failed are in `failed`.
    """
    runs = [runs] if isinstance(runs, (str, os.PathLike)) else runs
    if runs is not None and not len(runs):
        raise UsageError("runs: an empty list: name two or more, or say what to run with task and methods")
    if jobs is not None and jobs < 1:
        raise UsageError(f"jobs={jobs}: how many runs at a time, 1 or more")
    if not isinstance(margin, (int, float)) or not 0 < margin <= 1:
        raise UsageError(f"margin={margin}: write a number above 0 and at most 1, such as 0.05")
    metrics = [metric] if isinstance(metric, str) else list(metric or ())
    terms = Terms(shlex.join(command_line()), margin, allow_unequal)
    if runs:
        if any((task, methods, seeds, budget, model, data, grid, jobs, ray, *settings)):
            raise UsageError("name run folders, or say what to run with --task and --methods: not both")
        folder = Path(output_dir) if output_dir else None
        found = _compare_places(runs, baseline, metrics, folder, terms)
    else:
        flags = {"budget": budget, "model": model, "data": data, "trust_remote_code": trust_remote_code or None}
        settings |= {name: value for name, value in flags.items() if value is not None}
        request = SweepRequest(task, methods, seeds, settings, grid, baseline, output_dir, allow_unequal)
        plan, wanted = plan_sweep(load_host(), request), _take_one(metrics)
        folder, failed = plan.folder, run_sweep(plan, jobs=jobs, ray=ray, progress=progress)
        found = compare_runs(_read_cells(plan, failed, wanted), plan.arms, terms, folder=folder, failed=failed)
    comparison = Comparison(**vars(found), folder=folder)
    if folder is not None:
        write_whole(folder / "compare.json", schema.to_json(comparison))
        try_report(folder)
    return comparison


# ------------------------------------------------------------------------------------------------------- what is there
def _compare_places(
    places: Sequence[Place], baseline: str | None, metrics: Sequence[str], folder: Path | None, terms: Terms
) -> schema.Comparison:
    paths = list(dict.fromkeys(Path(str(getattr(place, "directory", place))) for place in places))
    if directories := find_runs(paths):
        metric = _take_one(metrics)
        arms, runs = group_runs([read_run(directory, metric) for directory in directories], baseline)
        return compare_runs(runs, arms, terms, folder=folder or Path.cwd())
    arms, groups, metrics = group_answers(paths, baseline, metrics)
    return compare_answers([pair_answers(group, metrics, terms.allow_unequal) for group in groups], arms, terms)


def _take_one(metrics: Sequence[str]) -> str | None:
    if len(metrics) > 1:
        raise UsageError("--metric: runs have one for all: name it once")
    return metrics[0] if metrics else None


# -------------------------------------------------------------------------------------------------------------- a sweep
def run_sweep(
    plan: SweepPlan, *, jobs: int | None = None, ray: str | None = None, progress: bool | None = None
) -> list[schema.FailedCell]:
    """Run what is missing; gives the cells that failed. Raises `SweepStopped`."""
    from herl_bench.locking import lock_folder
    from herl_bench.progress import open_sweep_progress
    from herl_bench.sweep.cells import prepare_cells
    from herl_bench.sweep.pools import LocalPool, Pool, RayPool, run_cells

    # Asked before anything is made: a device that is not there is an error.
    room = 1 if ray or all(cell.files.finished for cell in plan.cells) else _count_jobs(plan)
    with lock_folder(plan.folder, "comparison") as lock:
        prepare_cells(plan.cells)
        if all(cell.files.finished for cell in plan.cells):
            return []
        with redirect_stdout(sys.stderr) if ray else nullcontext():  # Ray talks on stdout
            pool: Pool = RayPool(ray, plan.folder) if ray else LocalPool(jobs or room, lock)
            with _catch_signals() as stopped_by, open_sweep_progress(plan.cells, progress) as display:
                ends = run_cells(plan.cells, pool, display.show, stopped_by)
        if number := stopped_by():
            raise SweepStopped(number)
    return [schema.FailedCell(e.cell.task, e.cell.arm, e.cell.seed, str(e.cell.directory), e.reason) for e in ends]


def _read_cells(plan: SweepPlan, failed: Sequence[schema.FailedCell], metric: str | None) -> GroupedRuns:
    missing = {cell.directory for cell in failed}
    groups: GroupedRuns = {}
    for cell in plan.cells:
        if str(cell.directory) not in missing:
            groups.setdefault(cell.task, {}).setdefault(cell.arm, []).append(read_run(cell.directory, metric))
    return groups


def _count_jobs(plan: SweepPlan) -> int:
    """A run per processor, but one at a time on an accelerator, whose memory they would have to share."""
    from herl_bench.policy.placement import choose_placement

    if any(choose_placement(str(arm.settings.get("device", "auto"))).kind != "cpu" for arm in plan.arms):
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _catch_signals() -> Iterator[Callable[[], int]]:
    """Gives what tells which signal came, 0 for none. The first Ctrl-C lets running cells save a checkpoint; the second
    ends them at once. Only the main thread can catch any."""
    caught: list[int] = []

    def on_signal(number: int, frame: Any) -> None:
        if not caught:
            caught.append(number)
            print("Letting the running cells finish a step and save. Ctrl-C again stops at once.", file=sys.stderr)
        elif number != signal.SIGHUP:  # a terminal that goes away sends it more than once
            raise KeyboardInterrupt

    before = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        is_ours = number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN  # nohup's stays ignored
        if is_ours and threading.current_thread() is threading.main_thread():
            before[number] = signal.signal(number, on_signal)
    try:
        yield lambda: caught[0] if caught else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
