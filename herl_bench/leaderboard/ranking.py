"""Rank runs, bundles and evaluations, task by task, with intervals; as a table of the terminal, Markdown, CSV, JSON,
HTML, or a static site.

Runs that differ only in their seed are one row; a model that `herl-bench eval` evaluated outside of a run is a row of
its own name. Only rows over the same items and metric share a table. A row's rank is one more than the number of rows
whose whole interval lies above its own: rows that no interval separates share a rank. That is cautious: two intervals
may overlap although a paired test tells the methods apart, which is what `herl-bench compare` is for.

An entry is anybody's. One that cannot be read, has not ended, or is the same method, settings and seed as another is
left out and named in one line; it never keeps the others from being ranked. An answer that could not be decided counts
as wrong, and how many there are stands beside the score.

Left out: lm-eval's own tasks, which have a leaderboard of their own.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from herl_bench.compare.finished_runs import (
    BareEvaluation,
    FinishedRun,
    Sample,
    average_outcome,
    read_evaluations,
    read_run,
)
from herl_bench.compare.outcomes import estimate_score
from herl_bench.compare.run_records import measure_spending
from herl_bench.compare.schema import Interval
from herl_bench.compare.verdict import describe_aside
from herl_bench.errors import UsageError
from herl_bench.evaluate.scores import value_of_undecided
from herl_bench.leaderboard.bundle import CLAIMS, inside, local_names
from herl_bench.plain_text import escape_csv, escape_markdown, flatten
from herl_bench.reading import UNREADABLE
from herl_bench.report import charts
from herl_bench.report.drawing import series
from herl_bench.report.page import Figure, bounds, figure, number, render, whole
from herl_bench.saving import write_whole
from herl_bench.settings import with_defaults

COLUMNS = ("rank", "name", "model", "score", "low", "high", "seeds", "items", "tokens", "budget", "undecided", "shared")
DEEPEST = 16
"""Folders inside of folders that are looked into."""
LONGEST = 300
"""Characters of a row's name, and of a line that says why an entry is left out."""


@dataclass(frozen=True)
class Entry:
    """One evaluated policy. method: that trained it; of an evaluation outside of a run, the model's own name. settings:
    all that may tell its row from another, the seed aside. before, tokens, budget, base_model: None where nothing was
    trained."""

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


@dataclass(frozen=True)
class Standing:
    """One row. rank: shared (`tied`) by rows that no interval separates. tokens: mean spent per run; None where nothing
    was trained. undecided, shared: of `responses`, over all seeds; undecided ones count as wrong."""

    rank: int
    tied: bool
    name: str
    method: str
    model: str
    base_model: str | None
    seeds: tuple[int, ...]
    items: int
    score: Interval
    before: float | None
    tokens: float | None
    budget: int | None
    folders: tuple[str, ...]
    responses: int = 0
    undecided: int = 0
    shared: int = 0


@dataclass(frozen=True)
class Table:
    """One task over one set of items. notes: what a reader must know to compare the rows."""

    task: str
    source: str
    metric: str
    higher_is_better: bool
    standings: tuple[Standing, ...]
    notes: tuple[str, ...] = ()


# -------------------------------------------------------------------------------------------------------------- entries
def entries_of(places: Sequence[Path], metric: str | None = None) -> tuple[list[Entry], list[str]]:
    """The runs, bundles and evaluations that are named, or lie in a folder that is named; and a line for each that is
    left out.

    metric: NAME or NAME,FILTER; each task's first if left out. Raises `UsageError` where there is no entry at all.
    """
    found: dict[str, Entry] = {}
    left_out: list[str] = []
    for place in places:
        if not place.is_dir():
            raise UsageError(f"{place}: no such folder: name a run, a bundle, an evaluation, or a folder of them")
        for folder, is_run in _entries_in(place):
            entries, problems = _of_folder(folder, is_run, metric)
            found |= {f"{entry.folder} {entry.task}": entry for entry in entries}
            left_out += problems
    kept, twins = without_twins(list(found.values()))
    left_out = [_cut(line) for line in dict.fromkeys([*left_out, *twins.values()])]
    if not kept:
        named = ", ".join(map(str, places))
        raise UsageError(
            "; ".join(left_out[:5]) or f"{named}: neither a run, a bundle nor an evaluation, nor a folder of them"
        )
    return kept, left_out


def _entries_in(place: Path) -> Iterator[tuple[Path, bool]]:
    """(folder, is it a run?) of every run, bundle and evaluation in it, in order of name. No link is followed."""
    waiting = [(place, 0)]
    while waiting:
        folder, depth = waiting.pop()
        if (folder / "config.yaml").is_file():
            yield folder, True
            continue
        try:
            inside = sorted(os.scandir(folder), key=lambda one: one.name)
        except OSError:  # not ours to read
            continue
        if any(one.name.startswith("results_") and one.name.endswith(".json") for one in inside):
            yield folder, False
        if depth < DEEPEST:
            waiting += [(folder / one.name, depth + 1) for one in reversed(inside) if one.is_dir(follow_symlinks=False)]


def _of_folder(folder: Path, is_run: bool, metric: str | None) -> tuple[list[Entry], list[str]]:
    try:
        if is_run:
            return [of_run(read_run(folder, metric))], []
        evaluations, left_out = read_evaluations(folder, metric)
        return [of_evaluation(one) for one in evaluations], left_out
    except UsageError as error:
        return [], [str(error)]
    except UNREADABLE as error:
        return [], [f"{folder}: its files are not as a run writes them: {type(error).__name__}: {error}"]


def without_twins(entries: Sequence[Entry]) -> tuple[list[Entry], dict[str, str]]:
    """The first of each method, settings and seed; and by folder, a line for each other one: a copy, or the same work
    sent in twice."""
    first: dict[Any, Entry] = {}
    twins: dict[str, str] = {}
    for entry in entries:
        before = first.setdefault((entry.table, entry.row, entry.seed), entry)
        if before is not entry:
            what = "a copy of" if entry.samples == before.samples else "the same method, settings and seed as"
            twins[entry.folder] = f"{entry.folder}: {what} {before.folder}: left out"
    return [entry for entry in entries if entry.folder not in twins], twins


def _cut(line: str) -> str:
    flat = flatten(line)
    return flat if len(flat) <= LONGEST else f"{flat[:LONGEST]} …"


def of_run(run: FinishedRun) -> Entry:
    """Raises what is in `UNREADABLE` for values of another kind than a run writes."""
    own = {
        key: value
        for key, value in with_defaults(run.settings).items()
        if key not in ("set", "seed", "report_to", "task", "method")
    }
    before, tokens = average_outcome(run.before, run.higher_is_better), measure_spending(run).tokens
    found = Entry(
        task=run.task,
        metric=run.metric,
        higher_is_better=run.higher_is_better,
        source=local_names(str(run.manifest["data"]["source"])),
        samples=run.after.samples,
        method=run.method,
        model=str(run.settings["model"]),
        settings=local_names({**(run.settings.get("set") or {}), **own}),
        seed=run.seed,
        folder=str(run.directory),
        base_model=str(run.manifest["base_model"]["sha256"]),
        before=before,
        tokens=int(tokens),
        budget=int(run.settings["budget"]),
    )
    hash((found.row, found.table))
    return found


def of_evaluation(found: BareEvaluation) -> Entry:
    return Entry(
        task=found.task,
        metric=found.metric,
        higher_is_better=found.higher_is_better,
        source=local_names(found.source),
        samples=found.evaluation.samples,
        method=_short(found.model),
        model=found.model,
        settings={**{key: value for key, value in found.settings.items() if key != "seed"}, "model": found.model},
        seed=int(found.settings.get("seed") or 0),
        folder=str(found.path.parent),
    )


# -------------------------------------------------------------------------------------------------------------- ranking
def rank(entries: Sequence[Entry]) -> list[Table]:
    """One table per task and set of items, in the order in which they come. entries: as from `without_twins`."""
    groups: dict[Any, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.table, []).append(entry)
    return [_table(group) for group in groups.values()]


def _table(entries: Sequence[Entry]) -> Table:
    one = entries[0]
    rows: dict[str, list[Entry]] = {}
    for entry in entries:
        rows.setdefault(entry.row, []).append(entry)
    for group in rows.values():
        group.sort(key=lambda entry: entry.seed)
    names = _names(list(rows.values()))
    scored = [(name, group, _score(group)) for name, group in zip(names, rows.values(), strict=True)]
    better = 1 if one.higher_is_better else -1
    scored.sort(key=lambda row: (-better * (row[2].value if row[2].value is not None else -better * 9.0), row[0]))
    ranks = [1 + sum(_above(other, mine, one.higher_is_better) for _, _, other in scored) for _, _, mine in scored]
    standings = tuple(
        Standing(
            rank=place,
            tied=ranks.count(place) > 1,
            name=name,
            method=group[0].method,
            model=group[0].model,
            base_model=group[0].base_model,
            seeds=tuple(entry.seed for entry in group),
            items=len(group[0].samples),
            score=score,
            before=_mean([entry.before for entry in group]),
            tokens=_mean([entry.tokens for entry in group]),
            budget=group[0].budget,
            folders=tuple(entry.folder for entry in group),
            responses=sum(len(entry.samples) for entry in group),
            undecided=sum(s.outcome is None for entry in group for s in entry.samples),
            shared=sum(s.integrity == "shared" for entry in group for s in entry.samples),
        )
        for place, (name, group, score) in zip(ranks, scored, strict=True)
    )
    return Table(
        one.task,
        one.source,
        one.metric,
        one.higher_is_better,
        standings,
        tuple(_notes(standings, one.higher_is_better)),
    )


def _names(groups: Sequence[Sequence[Entry]]) -> list[str]:
    """The method, and whatever else of its settings tells it from another row of that method."""
    names = []
    for group in groups:
        mine = group[0]
        alike = [other[0].settings for other in groups if other[0].method == mine.method]
        told = [
            f"{key}={value}" for key, value in mine.settings.items() if any(other.get(key) != value for other in alike)
        ]
        names.append(_cut(" ".join([mine.method, *told])))
    return names


def _score(entries: Sequence[Entry]) -> Interval:
    import numpy as np

    higher = entries[0].higher_is_better
    rows = [[sample.outcome for sample in entry.samples] for entry in entries]
    wrong = value_of_undecided((outcome for row in rows for outcome in row), higher)
    return estimate_score(np.array([[wrong if value is None else value for value in row] for row in rows], dtype=float))


def _above(other: Interval, mine: Interval, higher_is_better: bool) -> bool:
    if other.low is None or other.high is None or mine.low is None or mine.high is None:
        return False
    return other.low > mine.high if higher_is_better else other.high < mine.low


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def _notes(standings: Sequence[Standing], higher_is_better: bool) -> list[str]:
    notes = []
    if any(s.undecided for s in standings):
        notes.append(f"Undecided answers {'count as wrong' if higher_is_better else 'are left out'}.")
    if any(s.shared for s in standings):
        notes.append("Shared: the verdict rests on a comparison that the program itself took part in.")
    if any(len(s.seeds) == 1 for s in standings):
        notes.append("A row with one seed has an interval over items only: another seed may differ by more.")
    trained = [s for s in standings if s.budget is not None]
    if len({s.budget for s in trained}) > 1:
        notes.append("The rows had different budgets.")
    if len({s.base_model for s in trained}) > 1:
        notes.append("The rows started from different models.")
    if trained and len(trained) < len(standings):
        notes.append("A row without tokens is a model as it was evaluated, and names no training.")
    if any(s.tied for s in standings):
        notes.append(
            "Equal ranks: their intervals overlap. herl-bench compare pairs items and seeds and may still tell them"
            " apart."
        )
    return notes


# -------------------------------------------------------------------------------------------------------------- showing
def cells(standing: Standing) -> dict[str, str]:
    score, beside = standing.score, describe_aside(standing.undecided, standing.shared, standing.responses)
    return {
        "rank": f"{standing.rank}{'=' if standing.tied else ''}",
        "name": flatten(standing.name),
        "model": flatten(_short(standing.model)),
        "score": number(score.value) + (f" ({beside})" if beside else ""),
        "interval": bounds(score),
        "seeds": str(len(standing.seeds)),
        "items": str(standing.items),
        "tokens": whole(standing.tokens),
    }


def _short(model: str) -> str:
    """A path's last part; names as they are."""
    return Path(model).name if Path(model).is_absolute() else model


def to_markdown(tables: Sequence[Table]) -> str:
    parts = []
    for table in tables:
        rows = [cells(s) for s in table.standings]
        head = list(rows[0])
        lines = [
            f"### {escape_markdown(table.task)}",
            "",
            f"{escape_markdown(table.metric)} on {escape_markdown(table.source)}, intervals at 95 %.",
            "",
        ]
        lines += [
            "| " + " | ".join(head) + " |",
            "|" + "|".join("---" if h in ("name", "model") else "--:" for h in head) + "|",
        ]
        lines += ["| " + " | ".join(map(escape_markdown, row.values())) + " |" for row in rows]
        lines += ["", *(f"- {note}" for note in table.notes)]
        parts.append("\n".join(lines).rstrip())
    return "\n\n".join(parts) + "\n"


def to_csv(tables: Sequence[Table]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["task", "source", "metric", *COLUMNS])
    for table in tables:
        for s in table.standings:
            row = [
                f"{s.rank}{'=' if s.tied else ''}",
                escape_csv(s.name),
                escape_csv(s.model),
                s.score.value,
                s.score.low,
                s.score.high,
            ]
            writer.writerow(
                [
                    table.task,
                    table.source,
                    table.metric,
                    *row,
                    len(s.seeds),
                    s.items,
                    s.tokens,
                    s.budget,
                    s.undecided,
                    s.shared,
                ]
            )
    return out.getvalue()


def to_json(tables: Sequence[Table]) -> str:
    return json.dumps({"tables": [asdict(table) for table in tables]}, indent=2, ensure_ascii=False) + "\n"


def to_html(tables: Sequence[Table]) -> str:
    return _page("Leaderboard", tables, _places(tables))


def _page(title: str, tables: Sequence[Table], places: Mapping[str, int], **context: Any) -> str:
    """places: as from `_places`. context: see `pages/leaderboard.html.j2`."""
    shown = [(table, _chart(table, places)) for table in tables]
    context = {"links": {}, "up": "", "short": _short, **context}
    return render(
        "leaderboard.html.j2",
        title=title,
        tables=shown,
        cells=cells,
        colour=lambda row: series(places[row.name]),
        **context,
    )


def _places(tables: Sequence[Table]) -> dict[str, int]:
    """Row → place, which is its colour and mark in every table and on every page."""
    return {name: place for place, name in enumerate(sorted({s.name for table in tables for s in table.standings}))}


def _chart(table: Table, places: Mapping[str, int]) -> Figure | None:
    dots = [
        charts.Dot(s.name, places[s.name], s.score.value, s.score.low, s.score.high, s.before)
        for s in table.standings
        if s.score.value is not None
    ]
    metric = table.metric.split(",")[0].replace("_", " ")
    said = "; ".join(f"{d.name} {number(d.value)}" for d in dots)
    return (
        figure(partial(charts.scores, dots, x_label=metric, label=f"{metric} on {table.task}: {said}"))
        if dots
        else None
    )


# ------------------------------------------------------------------------------------------------------------- the site
def build(
    folder: Path, site: Path, problems: Mapping[Path, Sequence[str]], metric: str | None = None
) -> dict[Path, list[str]]:
    """`index.html` for all, a page per task, a page per entry. problems: what verification found, by bundle.

    Gives these and what was found since, an entry's twin among it; such entries are shown with what is wrong, and not
    ranked.
    """
    refused = {bundle: list(found) for bundle, found in problems.items() if found}
    bundles = bundles_in(folder)
    names = {str(bundle): f"entry-{number}.html" for number, bundle in enumerate(bundles, 1)}
    sound: dict[str, tuple[Entry, str]] = {}
    for bundle in bundles:
        if bundle not in refused:
            try:
                run = read_run(bundle, metric)
                sound[str(bundle)] = of_run(run), _entry(run)
            except UsageError as error:
                refused[bundle] = [_cut(inside(bundle, str(error)))]
            except UNREADABLE as error:
                refused[bundle] = [_cut(f"its files are not as a run writes them: {type(error).__name__}: {error}")]
    kept, twins = without_twins([entry for entry, _ in sound.values()])
    refused |= {Path(bundle): [_cut(inside(Path(bundle), line))] for bundle, line in twins.items()}
    tables = rank(kept)
    for entry in kept:
        write_whole(site / names[entry.folder], sound[entry.folder][1])
    places = _places(tables)
    for task in dict.fromkeys(table.task for table in tables):
        own = [table for table in tables if table.task == task]
        write_whole(site / f"task-{task}.html", _page(task, own, places, links=names, up="index.html"))
    shown = [
        (bundle.name, local_names([line.replace(f"{folder}/", "") for line in found]))
        for bundle, found in sorted(refused.items())
    ]
    write_whole(site / "index.html", _page("Leaderboard", tables, places, links=names, refused=shown, pages=True))
    return refused


def bundles_in(folder: Path) -> list[Path]:
    """In order of name. No link is followed."""
    found, waiting = [], [(folder, 0)]
    while waiting:
        place, depth = waiting.pop()
        try:
            inside = sorted(os.scandir(place), key=lambda one: one.name)
        except OSError:
            continue
        if any(one.name == CLAIMS for one in inside):
            found.append(place)
        if depth < DEEPEST:
            waiting += [(place / one.name, depth + 1) for one in reversed(inside) if one.is_dir(follow_symlinks=False)]
    if not found:
        raise UsageError(f"{folder}: no bundle in it: make one with herl-bench leaderboard bundle RUN -o {folder}/NAME")
    return found


def _entry(run: FinishedRun) -> str:
    samples = [
        {
            "id": s.item.id,
            "prompt": s.item.prompt,
            "target": s.item.target,
            "family": s.item.family or "",
            "seed": run.seed,
            "response": s.response,
            "missed": [name for name, met in s.criteria.items() if met is False],
            "state": "undecided" if s.outcome is None else "met" if s.outcome >= 1 else "missed",
        }
        for s in run.after.samples
    ]
    return render(
        "entry.html.j2",
        title=f"{run.method} on {run.task}, seed {run.seed}",
        run=dataclasses.replace(run, settings=local_names(run.settings), manifest=local_names(run.manifest)),
        used=measure_spending(run),
        beside=describe_aside(
            sum(s.outcome is None for s in run.after.samples),
            sum(s.integrity == "shared" for s in run.after.samples),
            len(run.after.samples),
        ),
        scores=[
            (key, run.before.summary["metrics"].get(key), score) for key, score in run.after.summary["metrics"].items()
        ],
        criteria=[
            (key, run.before.summary["criteria"].get(key), score)
            for key, score in run.after.summary["criteria"].items()
        ],
        texts={"samples": samples},
    )
