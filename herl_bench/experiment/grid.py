"""From options or a grid file to the cells of a sweep: one per task, seed and arm, checked before anything is made.

An arm is a method with settings. They come from `methods` × the values of the settings that are lists, or are named one
by one under `arms`. What was asked for directly wins over the grid file.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from herl_bench.comparison.arms import put_baseline_first
from herl_bench.comparison.schema import Arm
from herl_bench.data.sources import resolve_source
from herl_bench.errors import UnknownName, UsageError
from herl_bench.experiment.configuration import build_config, build_settings, format_config
from herl_bench.plugins import Host
from herl_bench.settings import RUN_SETTINGS, read_yaml
from herl_bench.sweep.cells import Cell

GRID_KEYS = ("tasks", "methods", "arms", "seeds", "settings", "baseline")
SHARED = frozenset(RUN_SETTINGS) - {"task", "method", "seed"}
"""Settings of every run that a grid may set."""
EQUAL = (
    "budget",
    "model",
    "data",
    "eval_items",
    "difficulty",
    "problems",
    "max_new_tokens",
    "device",
    "dtype",
    "think",
    "chat_template_kwargs",
)
"""What arms must have the same of, and what can be told before anything runs."""
ARMS_FORM = "write `name: {method: METHOD, setting: value}` lines"

Names = str | Sequence[str] | None
"""A list, or words separated by commas."""


@dataclass(frozen=True)
class SweepRequest:
    """What was asked for; None where the grid, or the default, says it. seeds: how many, or which. settings: of all
    arms that have them. grid: a file, or what one holds."""

    tasks: Names = None
    methods: Names = None
    seeds: int | str | Sequence[int] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    grid: str | Path | Mapping[str, Any] | None = None
    baseline: str | None = None
    output_dir: str | Path | None = None
    allow_unequal: bool = False


@dataclass(frozen=True)
class SweepPlan:
    """arms: the baseline first. folder: where the runs and what comes of them go."""

    folder: Path
    arms: list[Arm]
    cells: list[Cell]


def plan_sweep(host: Host, request: SweepRequest) -> SweepPlan:
    """Raises `UsageError`."""
    where, grid = _read_grid(request.grid)
    tasks = _split_names(request.tasks or grid.get("tasks"), "task", host)
    seeds = _read_seeds(grid.get("seeds", 5) if request.seeds is None else request.seeds)
    named, methods = grid.get("arms"), request.methods or grid.get("methods")
    varied = grid.get("settings") or {}
    if named is None:
        arms = _cross_arms(host, _split_names(methods, "method", host), varied, request.settings, where)
    elif methods:
        raise UsageError(f"{where}: arms: each names its own method: leave out either arms or methods")
    else:
        arms = _read_arms(host, named, varied, request.settings, where)
    arms = put_baseline_first(arms, request.baseline or grid.get("baseline"))
    if len(arms) < 2:
        advice = "name two methods, or several values of a setting in a --grid file"
        raise UsageError(f"one arm is nothing to compare: {advice}")
    if not request.allow_unequal:
        _refuse_unequal(arms)
    folder = Path(request.output_dir or Path("runs") / f"compare-{'-'.join(tasks)}")
    cells = [_plan_cell(host, task, seed, arm, folder) for task, seed, arm in itertools.product(tasks, seeds, arms)]
    return SweepPlan(folder, arms, cells)


def _plan_cell(host: Host, task_name: str, seed: int, arm: Arm, folder: Path) -> Cell:
    task, method = host.get("task", task_name), host.get("method", arm.method)
    run_values = {name: value for name, value in arm.settings.items() if name in SHARED}
    method_values = {name: value for name, value in arm.settings.items() if name not in SHARED}
    settings = build_settings({**run_values, "task": task_name, "method": arm.method, "seed": seed}, {})
    source = str(resolve_source(task, settings.data, embedded=settings.model == "tiny"))
    config = build_config(method, method_values, {}, settings.model, settings.trust_remote_code)
    text = format_config(settings, config, task, source)
    directory = folder / "runs" / re.sub(r"[^\w.=+-]+", "_", f"{task_name}-{arm.name}-s{seed}")
    return Cell(task_name, arm.name, seed, settings.budget, text, directory, settings.trust_remote_code)


# --------------------------------------------------------------------------------------------------- what was asked for
def _read_grid(grid: str | Path | Mapping[str, Any] | None) -> tuple[str, Mapping[str, Any]]:
    """(what messages call it, what it holds)."""
    if grid is None or isinstance(grid, Mapping):
        where, values = "grid", grid or {}
    else:
        where, values = str(grid), read_yaml(str(grid))
    for name in values:
        if name not in GRID_KEYS:
            raise UsageError(f"{where}: {UnknownName('key', name, GRID_KEYS)}")
    return where, values


def _split_names(given: Names, kind: str, host: Host) -> list[str]:
    words = given.split(",") if isinstance(given, str) else given or ()
    names = list(dict.fromkeys(word for name in words if (word := str(name).strip())))
    if not names:
        option = {"task": "--task", "method": "--methods"}[kind]
        raise UsageError(f"{option} is missing: choose from {', '.join(sorted(host.entries(kind)))}")
    return names


def _read_seeds(given: Any) -> list[int]:
    try:
        if isinstance(given, str):
            given = [word for word in given.split(",") if word != ""] if "," in given else int(given)
        seeds = list(range(given)) if isinstance(given, int) else [int(seed) for seed in given]
    except (ValueError, TypeError):
        seeds = []
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds {given}: write how many (5), or which, each once (0,3,7)")
    return seeds


# ----------------------------------------------------------------------------------------------------------------- arms
def _cross_arms(host: Host, methods: Sequence[str], varied: Any, fixed: Mapping[str, Any], where: str) -> list[Arm]:
    """Methods × values of the varied settings; a method that lacks a setting is there once, not once per value."""
    known = {method: SHARED | _list_settings(host, method) for method in methods}
    _check_settings(varied, fixed, SHARED.union(*known.values()), where)
    lists = {name: value if isinstance(value, list) else [value] for name, value in varied.items() if name not in fixed}
    arms = []
    for method in methods:
        choices = {name: values for name, values in lists.items() if name in known[method]}
        shared = {name: value for name, value in fixed.items() if name in known[method]}
        for chosen in itertools.product(*choices.values()):
            values = dict(zip(choices, chosen, strict=True))
            label = [f"{name}={value}" for name, value in values.items() if len(choices[name]) > 1]
            arms.append(Arm(" ".join([method, *label]), method, {**values, **shared}))
    return arms


def _read_arms(host: Host, named: Any, shared: Any, fixed: Mapping[str, Any], where: str) -> list[Arm]:
    """Arms that the grid names one by one. shared: settings of all arms that have them; an arm's own win over these."""
    if not isinstance(named, dict) or not named:
        raise UsageError(f"{where}: arms: {ARMS_FORM}")
    for name, given in named.items():
        if not isinstance(name, str) or not re.fullmatch(r"[\w.+=-]+", name):
            form = "a name is a word of letters, digits, _ . + = -, in quotes where YAML takes it for a value"
            raise UsageError(f"{where}: arms: {name}: {form}")
        if not isinstance(given, dict) or "method" not in given:
            raise UsageError(f"{where}: arms: {name}: {ARMS_FORM}")
    known = {name: SHARED | _list_settings(host, str(given["method"])) for name, given in named.items()}
    _check_settings(shared, fixed, frozenset[str]().union(*known.values()), where)
    for name, value in shared.items():
        if isinstance(value, list):
            advice = "beside arms, a setting has one value: write an arm for each"
            raise UsageError(f"{where}: settings: {name}: {value}: {advice}")
    arms = []
    for name, given in named.items():
        method, own = str(given["method"]), {key: value for key, value in given.items() if key != "method"}
        of_method = {key: value for key, value in own.items() if key not in SHARED}
        build_config(host.get("method", method), of_method, dict.fromkeys(own, f"{where}: arms: {name}: "))
        values = {key: value for key, value in {**shared, **own, **fixed}.items() if key in known[name]}
        arms.append(Arm(name, method, values))
    return arms


def _list_settings(host: Host, method: str) -> frozenset[str]:
    return frozenset(f.name for f in dataclasses.fields(host.get("method", method).config))


def _check_settings(varied: Any, fixed: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    """Raises `UsageError` for what is no mapping, and for a setting that no arm has."""
    if not isinstance(varied, dict):
        raise UsageError(f"{where}: settings: write `name: value` or `name: [value, value]` lines")
    for name in (*varied, *fixed):
        if name not in known:
            raise UsageError(f"{f'{where}: ' if name in varied else ''}{UnknownName('setting', name, known)}")


def _refuse_unequal(arms: Sequence[Arm]) -> None:
    """What would be refused in the end is refused before anything runs."""
    for name in EQUAL:
        values = {arm.name: arm.settings.get(name) for arm in arms}
        if len({str(value) for value in values.values()}) > 1:
            each = "; ".join(f"{arm} has {value}" for arm, value in values.items())
            advice = "give one value, or pass --allow_unequal to compare all the same"
            raise UsageError(f"not a fair comparison: {name}: {each}: {advice}")
