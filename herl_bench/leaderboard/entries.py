"""What can be ranked: runs, bundles and evaluations, each read into an entry.

An entry is anybody's. One that cannot be read, has not ended, or is the same method, settings and seed as another is
left out and named in one line; it never keeps the others from being ranked.

Left out: lm-eval's own tasks, which have a leaderboard of their own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import filter as match_names
from pathlib import Path
from typing import Any

from herl_bench.comparison import finished_runs
from herl_bench.comparison.finished_runs import BareEvaluation, FinishedRun, Sample
from herl_bench.comparison.inspect_logs import shorten_name
from herl_bench.comparison.run_records import measure_spending
from herl_bench.errors import UsageError
from herl_bench.leaderboard.bundle import RESULTS, strip_folders
from herl_bench.plain_text import flatten
from herl_bench.reading import UNREADABLE
from herl_bench.runs import RunFiles
from herl_bench.settings import with_defaults

DEEPEST = 16
"""Folders inside of folders that are looked into."""
LONGEST = 300
"""Characters of a row's name, and of a line that says why an entry is left out."""


@dataclass(frozen=True)
class Entry:
    """One evaluated policy. method: that trained it; outside of a run, the model's own name. settings: all that may
    tell its row from another, the seed aside. before, tokens, budget, base_model: None where nothing was trained."""

    task: str
    metric: str
    higher_is_better: bool
    source: str
    samples: tuple[Sample, ...]
    method: str
    model: str
    settings: Mapping[str, Any]
    seed: int
    folder: str
    base_model: str | None = None
    before: float | None = None
    tokens: int | None = None
    budget: int | None = None

    @property
    def row(self) -> str:
        """Equal for entries of one row, which differ in their seed alone."""
        return json.dumps([self.method, self.base_model, self.settings], sort_keys=True, default=str)

    @property
    def table(self) -> tuple[Any, ...]:
        """Equal for entries of one table."""
        items = tuple((s.item.id, s.item.prompt, s.item.target) for s in self.samples)
        return self.task, self.metric, self.source, hash(items)


def read_entries(places: Sequence[Path], metric: str | None = None) -> tuple[list[Entry], list[str]]:
    """The runs, bundles and evaluations that are named, or lie in a named folder; and a line for each left out.
    metric: NAME or NAME,FILTER; each task's first if left out. Raises `UsageError` where there is no entry at all."""
    found: dict[str, Entry] = {}
    problems: list[str] = []
    for place in places:
        if not place.is_dir():
            raise UsageError(f"{place}: no such folder: name a run, a bundle, an evaluation, or a folder of them")
        for folder, names in walk_folders(place, _is_run):
            entries, lines = _read_folder(folder, names, metric)
            found |= {f"{entry.folder} {entry.task}": entry for entry in entries}
            problems += lines
    kept, twins = drop_twins(list(found.values()))
    left_out = [shorten(line) for line in dict.fromkeys([*problems, *twins.values()])]
    if not kept:
        nothing = f"{', '.join(map(str, places))}: neither a run, a bundle nor an evaluation, nor a folder of them"
        raise UsageError("; ".join(left_out[:5]) or nothing)
    return kept, left_out


def walk_folders(place: Path, is_leaf: Callable[[Path], bool] = lambda _: False) -> Iterator[tuple[Path, list[str]]]:
    """Every folder in it, itself too, with the names in it, sorted; no link is followed, and no folder in a leaf."""
    waiting = [(place, 0)]
    while waiting:
        folder, depth = waiting.pop()
        try:
            inside = sorted(os.scandir(folder), key=lambda one: one.name)
        except OSError:  # not ours to read
            continue
        yield folder, [one.name for one in inside]
        if depth < DEEPEST and not is_leaf(folder):
            waiting += [(folder / one.name, depth + 1) for one in reversed(inside) if one.is_dir(follow_symlinks=False)]


def _is_run(folder: Path) -> bool:
    return RunFiles(folder).exists


def _read_folder(folder: Path, names: Sequence[str], metric: str | None) -> tuple[list[Entry], list[str]]:
    try:
        if _is_run(folder):
            return [describe_run(finished_runs.read_run(folder, metric))], []
        if not match_names(names, RESULTS):
            return [], []
        evaluations, left_out = finished_runs.read_evaluations(folder, metric)
        return [describe_evaluation(evaluation) for evaluation in evaluations], left_out
    except UsageError as error:
        return [], [str(error)]
    except UNREADABLE as error:
        return [], [f"{folder}: {describe_unreadable(error)}"]


def describe_unreadable(error: BaseException) -> str:
    return f"its files are not as a run writes them: {type(error).__name__}: {error}"


def drop_twins(entries: Sequence[Entry]) -> tuple[list[Entry], dict[str, str]]:
    """The first of each method, settings and seed; by folder, a line for each other: a copy, or the work sent again."""
    first: dict[Any, Entry] = {}
    twins: dict[str, str] = {}
    for entry in entries:
        earlier = first.setdefault((entry.table, entry.row, entry.seed), entry)
        if earlier is not entry:
            what = "a copy of" if entry.samples == earlier.samples else "the same method, settings and seed as"
            twins[entry.folder] = f"{entry.folder}: {what} {earlier.folder}: left out"
    return [entry for entry in entries if entry.folder not in twins], twins


def shorten(line: str, longest: int = LONGEST) -> str:
    """Without what moves a terminal's cursor, and not endless."""
    flat = flatten(line)
    return flat if len(flat) <= longest else f"{flat[:longest]} …"


def describe_run(run: FinishedRun) -> Entry:
    """Raises what is in `UNREADABLE` for values of another kind than a run writes."""
    aside = ("set", "seed", "report_to", "task", "method")
    settings = {key: value for key, value in with_defaults(run.settings).items() if key not in aside}
    entry = Entry(
        **{name: getattr(run, name) for name in ("task", "metric", "higher_is_better", "method", "seed")},
        source=strip_folders(str(run.manifest["data"]["source"])),
        samples=run.after.samples,
        model=str(run.settings["model"]),
        settings=strip_folders({**(run.settings.get("set") or {}), **settings}),
        folder=str(run.directory),
        base_model=str(run.manifest["base_model"]["sha256"]),
        before=finished_runs.average_outcome(run.before, run.higher_is_better),
        tokens=int(measure_spending(run).tokens),
        budget=int(run.settings["budget"]),
    )
    hash((entry.row, entry.table))
    return entry


def describe_evaluation(found: BareEvaluation) -> Entry:
    settings = {**found.settings, "model": found.model}
    seed = settings.pop("seed", None)
    return Entry(
        **{name: getattr(found, name) for name in ("task", "metric", "higher_is_better", "model")},
        source=strip_folders(found.source),
        samples=found.evaluation.samples,
        method=shorten_name(found.model),
        settings=settings,
        seed=int(seed or 0),
        folder=str(found.path.parent),
    )
