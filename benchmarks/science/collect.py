"""From the folders of finished runs to the raw results of a part of the study: all that its tables are made of.

A part may be there in part: of what is finished, those seeds are taken that every arm with any finished run has, so
that what is compared stays paired. A run that diverged has ended, too: its seed is missing in its own arm alone. Scores
and contrasts are `herl-bench compare`'s own; what it calls unequal is kept, for the page to say. Left out: responses,
which stay in the runs' folders; and any judgement (`page.py`).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tables import round_all

from herl_bench.comparison.analyse import Terms, compare_runs
from herl_bench.comparison.fairness import note_versions
from herl_bench.comparison.finished_runs import FinishedRun, read_run
from herl_bench.comparison.schema import Comparison, Contrast, Evaluated, RunRecord
from herl_bench.errors import UsageError
from herl_bench.experiment.grid import SweepPlan, SweepRequest, plan_sweep
from herl_bench.plugins import load_host
from herl_bench.settings import parse_settings
from herl_bench.sweep.cells import Cell, find_difference

CURVE = (
    "tokens",
    "metric",
    "metric_planted",
    "metric_plain",
    "reward",
    "gap",
    "bonus",
    "revision_metric",
    "kl",
    "entropy",
)
DIGITS = 5
Runs = dict[str, list[FinishedRun]]
"""By arm, of one task."""


def plan_part(grid: Mapping[str, Any], assignments: Sequence[str], seeds: str | None, folder: Path) -> SweepPlan:
    """The cells that `herl-bench compare` would run, by its own planner. assignments, seeds: `--set` and `--seeds`."""
    request = parse_settings({}, tuple(assignments), None)
    settings = {**request.run, **request.method}
    return plan_sweep(load_host(), SweepRequest(seeds=seeds, settings=settings, grid=grid, output_dir=folder))


def find_done(plan: SweepPlan) -> list[Cell]:
    """Finished. Raises `UsageError` for a run of other settings than the part asks for now."""
    there = [cell for cell in plan.cells if cell.files.finished]
    for cell in there:
        if told := find_difference(cell.files.config.read_text(encoding="utf-8"), cell.config):
            raise UsageError(
                f"{cell.directory} was made with {told}: collect it with the settings that it was made with, or move it"
                " away"
            )
    return there


def find_diverged(plan: SweepPlan) -> list[Cell]:
    """Not finished, and stopped by the trainer, which looks for it: they stay so, however often they are run."""
    return [cell for cell in plan.cells if not cell.files.finished and any(cell.files.checkpoints.glob("diverged-*"))]


def collect_runs(plan: SweepPlan, baselines: Sequence[str]) -> dict[str, Any] | None:
    """What is kept of a part's runs; None while there is nothing to compare. baselines: arms that all
    others are compared with; other parts may have run them."""
    cells = find_done(plan)
    by_task: dict[str, Runs] = {}
    for cell in cells:
        by_task.setdefault(cell.task, {}).setdefault(cell.arm, []).append(read_run(cell.directory))
    gone = find_diverged(plan)
    ended = {(cell.task, cell.arm, cell.seed) for cell in (*cells, *gone)}
    tasks = [
        found
        for task, runs in by_task.items()
        if (found := _collect_task(plan, task, _pair(task, runs, ended), baselines))
    ]
    if not tasks:
        return None
    manifest = next(run.manifest for runs in by_task.values() for group in runs.values() for run in group)
    return {
        "planned": len(plan.cells),
        "finished": len(cells),
        "diverged": [f"{cell.arm} seed {cell.seed}" for cell in gone],
        "budget": plan.cells[0].budget,
        "seeds": sorted({cell.seed for cell in plan.cells}),
        "versions": {"herl_bench": manifest["herl_bench"], "python": manifest["python"], **manifest["libraries"]},
        "hardware": manifest["hardware"],
        "curve": CURVE,
        "arms": {arm.name: {"method": arm.method, **_drop_model(arm.settings)} for arm in plan.arms},
        "tasks": tasks,
    }


def _drop_model(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A folder's place is nobody else's; the model is known by `base_model`."""
    return {name: value for name, value in settings.items() if name != "model"}


def _pair(task: str, runs: Runs, ended: Container[tuple[str, str, int]]) -> Runs:
    """Only the seeds with which every arm's run has ended."""
    kept = {
        arm: [run for run in group if all((task, other, run.seed) in ended for other in runs)]
        for arm, group in runs.items()
    }
    return {arm: group for arm, group in kept.items() if group}


def _collect_task(plan: SweepPlan, task: str, runs: Runs, baselines: Sequence[str]) -> dict[str, Any] | None:
    if set(runs) <= set(baselines):
        return None
    compared = [done for name in baselines if (done := _compare_with(plan, task, runs, name))]
    if not compared:
        return None
    (items,) = compared[0].tasks
    by_cell = {(arm, run.seed): run for arm, group in runs.items() for run in group}
    found = {
        "task": task,
        "metric": items.metric,
        "items": len(items.items),
        "planted": write_marks(item.planted for item in items.items),
        "planted_families": sorted({item.family for item in items.items if item.planted and item.family}),
        "base_model": compared[0].runs[0].manifest["base_model"]["sha256"],
        "before": _keep_evaluation(compared[0].runs[0].before, items.metric),
        "unequal": compared[0].unequal,
        "notes": note_versions([run for group in runs.values() for run in group]),
        "target": compared[0].arm_scores[0].target,
        "arms": [
            {
                "arm": score.arm,
                "seeds": score.seeds,
                "score": asdict(score.score),
                "kinds": {kind: asdict(one) for kind, one in score.kinds.items()},
                "curve": [[point.tokens, point.mean, point.low, point.high] for point in score.curve],
                "tokens_to_target": score.tokens_to_target,
                "held_out": [[point.tokens, point.mean, point.low, point.high] for point in score.held_out],
                "tokens_to_final": score.tokens_to_final,
                "spent": asdict(score.spent),
                "repairs": [asdict(repair) for repair in score.repairs],
            }
            for score in compared[0].arm_scores
        ],
        "contrasts": [_keep_contrast(contrast) for done in compared for contrast in done.contrasts],
        "runs": [_keep_run(record, by_cell[record.arm, record.seed]) for record in compared[0].runs],
    }
    rounded: dict[str, Any] = round_all(found, DIGITS)
    return rounded


def _compare_with(plan: SweepPlan, task: str, runs: Runs, baseline: str) -> Comparison | None:
    """None while the baseline, or every other arm, has no run."""
    if baseline not in runs or len(runs) < 2:
        return None
    arms = sorted(plan.arms, key=lambda arm: arm.name != baseline)
    return compare_runs({task: runs}, arms, Terms(allow_unequal=True), folder=plan.folder)


def _keep_contrast(contrast: Contrast) -> dict[str, Any]:
    kept = ("arm", "baseline", "seeds", "items", "p", "p_holm", "detectable")
    return {
        **{name: getattr(contrast, name) for name in kept},
        **{name: asdict(getattr(contrast, name)) for name in ("difference", "hierarchical", "improvement", "verdict")},
        "kinds": {kind: asdict(one) for kind, one in contrast.kinds.items()},
        "per_seed": [
            [test.seed, test.difference.value, test.fixed, test.broken, test.p_mcnemar] for test in contrast.seed_tests
        ],
    }


def _keep_run(record: RunRecord, run: FinishedRun) -> dict[str, Any]:
    """One finished run. curve: a row per step of what `CURVE` names. bonus: the bonus critic's last row of
    measurements, empty without one."""
    last = run.rows[-1]
    return {
        "arm": record.arm,
        "seed": record.seed,
        "after": _keep_evaluation(record.after, run.metric),
        "outcomes": write_marks(record.after.outcomes),
        "spent": asdict(record.spent),
        "curve": [[row.get("reward_metric_gap" if name == "gap" else name) for name in CURVE] for row in run.rows],
        "bonus_coef": run.settings["set"].get("bonus_coef", 0.0),
        "bonus": {name: value for name, value in last.items() if name.startswith("bonus_")},
        "gate_open": [row["bonus_gate"] for row in run.rows if "bonus_gate" in row],
    }


def write_marks(values: Iterable[float | None]) -> str:
    """A character per problem: 1, 0, or ? where nothing is known."""
    return "".join("?" if value is None else f"{value:g}" for value in values)


def _keep_evaluation(one: Evaluated, metric: str) -> dict[str, Any]:
    return {
        "metric": one.metrics[metric].value,
        **{name: score.value for name, score in one.planted.items()},
        "reward": one.reward.value,
        "families": {name: score.value for name, score in one.families.items()},
        "criteria": {name: score.value for name, score in one.criteria.items()},
        **{name: getattr(one, name) for name in ("unparsed", "truncated", "empty", "errors")},
    }
