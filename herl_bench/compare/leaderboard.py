"""Rank runs, bundles and evaluations, task by task, with intervals; as a table of the terminal, Markdown, CSV, JSON, HTML, or a static site.

Runs that differ only in their seed are one row; a model that `herl-bench eval` evaluated outside of a run is a row of its own name. Only rows over
the same items and metric share a table. A row's rank is one more than the number of rows whose whole interval lies above its own: rows that no
interval separates share a rank. That is cautious: two intervals may overlap although a paired test tells the methods apart, which is what
`herl-bench compare` is for.

Left out: lm-eval's own tasks, which have a leaderboard of their own.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from herl_bench.compare import charts
from herl_bench.compare.analyse import score_interval
from herl_bench.compare.bundle import CLAIMS
from herl_bench.compare.drawing import series
from herl_bench.compare.model import Interval
from herl_bench.compare.page import Figure, bounds, figure, number, one_line, render, visible, whole
from herl_bench.compare.read import UNREADABLE, BareEvaluation, FinishedRun, Sample, read_evaluations, read_run, spent
from herl_bench.errors import UsageError
from herl_bench.saving import write_whole

COLUMNS = ("rank", "name", "model", "score", "low", "high", "seeds", "items", "tokens", "budget")


@dataclass(frozen=True)
class Entry:
    """One evaluated policy. method: that trained it; of an evaluation outside of a run, the model's own name. settings: all that may tell its row
    from another, the seed aside. before, tokens, budget, base_model: None where nothing was trained."""

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


@dataclass(frozen=True)
class Standing:
    """One row. rank: shared (`tied`) by rows that no interval separates. tokens: mean spent per run; None where nothing was trained."""

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


@dataclass(frozen=True)
class Table:
    """One task over one set of items. notes: what a reader must know to compare the rows."""

    task: str
    source: str
    metric: str
    higher_is_better: bool
    standings: tuple[Standing, ...]
    notes: tuple[str, ...] = ()


# ---------------------------------------------------------------------------------------------------------------------- entries
def entries_of(places: Sequence[Path]) -> list[Entry]:
    """The runs, bundles and evaluations that are named, or lie in a folder that is named. Raises `UsageError` where there is none."""
    found: dict[str, Entry] = {}
    for place in places:
        runs = [place] if (place / "config.yaml").is_file() else sorted(p.parent for p in place.glob("**/config.yaml"))
        bare = sorted({p.parent for p in place.glob("**/results_*.json") if not any(run in p.parents for run in runs)})
        inside = [_entry_of(run) for run in runs]
        inside += [of_evaluation(one) for folder in bare for one in read_evaluations(folder)]
        if not inside:
            raise UsageError(f"{place}: neither a run, a bundle nor an evaluation, nor a folder of them")
        found |= {f"{entry.folder} {entry.task}": entry for entry in inside}
    return list(found.values())


def _entry_of(folder: Path) -> Entry:
    run = read_run(folder)
    try:
        return of_run(run)
    except UNREADABLE as error:
        raise UsageError(f"{folder}: its files are not as a run writes them: {type(error).__name__}: {error}") from None


def of_run(run: FinishedRun) -> Entry:
    own = {key: value for key, value in run.settings.items() if key not in ("set", "seed", "report_to", "task", "method")}
    return Entry(
        task=run.task,
        metric=run.metric,
        higher_is_better=run.higher_is_better,
        source=str(run.manifest["data"]["source"]),
        samples=run.after.samples,
        method=run.method,
        model=str(run.settings["model"]),
        settings={**(run.settings.get("set") or {}), **own},
        seed=run.seed,
        folder=str(run.directory),
        base_model=str(run.manifest["base_model"]["sha256"]),
        before=run.before.summary["metrics"][run.metric]["value"],
        tokens=spent(run).tokens,
        budget=int(run.settings["budget"]),
    )


def of_evaluation(found: BareEvaluation) -> Entry:
    return Entry(
        task=found.task,
        metric=found.metric,
        higher_is_better=found.higher_is_better,
        source=found.source,
        samples=found.evaluation.samples,
        method=_short(found.model),
        model=found.model,
        settings={**{key: value for key, value in found.settings.items() if key != "seed"}, "model": found.model},
        seed=int(found.settings.get("seed") or 0),
        folder=str(found.path.parent),
    )


# ---------------------------------------------------------------------------------------------------------------------- ranking
def rank(entries: Sequence[Entry]) -> list[Table]:
    """One table per task and set of items, in the order in which they come."""
    groups: dict[Any, list[Entry]] = {}
    for entry in entries:
        items = tuple((s.item.id, s.item.prompt, s.item.target) for s in entry.samples)
        groups.setdefault((entry.task, entry.metric, entry.source, hash(items)), []).append(entry)
    return [_table(group) for group in groups.values()]


def _table(entries: Sequence[Entry]) -> Table:
    one = entries[0]
    rows: dict[str, list[Entry]] = {}
    for entry in entries:
        identity = [entry.method, entry.base_model, entry.settings]
        rows.setdefault(json.dumps(identity, sort_keys=True, default=str), []).append(entry)
    for group in rows.values():
        seeds = [entry.seed for entry in group]
        if len(set(seeds)) < len(seeds):
            twins = " and ".join(entry.folder for entry in group if seeds.count(entry.seed) > 1)
            raise UsageError(f"{twins} are the same method, settings and seed: name one of them")
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
        )
        for place, (name, group, score) in zip(ranks, scored, strict=True)
    )
    return Table(one.task, one.source, one.metric, one.higher_is_better, standings, tuple(_notes(standings)))


def _names(groups: Sequence[Sequence[Entry]]) -> list[str]:
    """The method, and whatever else of its settings tells it from another row of that method."""
    names = []
    for group in groups:
        mine = group[0]
        alike = [other[0].settings for other in groups if other[0].method == mine.method]
        told = [f"{key}={value}" for key, value in mine.settings.items() if any(other.get(key) != value for other in alike)]
        names.append(" ".join([mine.method, *told]))
    return names


def _score(entries: Sequence[Entry]) -> Interval:
    import numpy as np

    return score_interval(np.array([[float("nan") if s.outcome is None else float(s.outcome) for s in entry.samples] for entry in entries]))


def _above(other: Interval, mine: Interval, higher_is_better: bool) -> bool:
    if other.low is None or other.high is None or mine.low is None or mine.high is None:
        return False
    return other.low > mine.high if higher_is_better else other.high < mine.low


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def _notes(standings: Sequence[Standing]) -> list[str]:
    notes = []
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
        notes.append("Equal ranks: their intervals overlap. herl-bench compare pairs items and seeds and may still tell them apart.")
    return notes


# ---------------------------------------------------------------------------------------------------------------------- showing
def cells(standing: Standing) -> dict[str, str]:
    score = standing.score
    return {
        "rank": f"{standing.rank}{'=' if standing.tied else ''}",
        "name": one_line(standing.name),
        "model": one_line(_short(standing.model)),
        "score": number(score.value),
        "interval": bounds(score),
        "seeds": str(len(standing.seeds)),
        "items": str(standing.items),
        "tokens": whole(standing.tokens),
    }


def _short(model: str) -> str:
    """A path's last part; names as they are."""
    return Path(model).name if Path(model).is_absolute() else model


def _without_folders(value: Any) -> Any:
    """For a page that is published: absolute paths by their last part alone, so that it tells nothing of the machine that it was made on."""
    if isinstance(value, str):
        return re.sub(r"(?<![\w./:])/(?:[^\s/'\"]+/)+", "", value)
    if isinstance(value, Mapping):
        return {key: _without_folders(inner) for key, inner in value.items()}
    return [_without_folders(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def to_markdown(tables: Sequence[Table]) -> str:
    parts = []
    for table in tables:
        rows = [cells(s) for s in table.standings]
        head = list(rows[0])
        lines = [f"### {table.task}", "", f"{table.metric} on {table.source}, intervals at 95 %.", ""]
        lines += ["| " + " | ".join(head) + " |", "|" + "|".join("---" if h in ("name", "model") else "--:" for h in head) + "|"]
        lines += ["| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in row.values()) + " |" for row in rows]
        lines += ["", *(f"- {note}" for note in table.notes)]
        parts.append("\n".join(lines).rstrip())
    return "\n\n".join(parts) + "\n"


def to_csv(tables: Sequence[Table]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["task", "source", "metric", *COLUMNS])
    for table in tables:
        for s in table.standings:
            row = [f"{s.rank}{'=' if s.tied else ''}", visible(s.name), visible(s.model), s.score.value, s.score.low, s.score.high]
            writer.writerow([table.task, table.source, table.metric, *row, len(s.seeds), s.items, s.tokens, s.budget])
    return out.getvalue()


def to_json(tables: Sequence[Table]) -> str:
    return json.dumps({"tables": [asdict(table) for table in tables]}, indent=2, ensure_ascii=False) + "\n"


def to_html(tables: Sequence[Table]) -> str:
    return _page("Leaderboard", tables, _places(tables))


def _page(title: str, tables: Sequence[Table], places: Mapping[str, int], **context: Any) -> str:
    """places: as from `_places`. context: see `pages/leaderboard.html.j2`."""
    shown = [(table, _chart(table, places)) for table in tables]
    context = {"links": {}, "up": "", "short": _short, **context}
    return render("leaderboard.html.j2", title=title, tables=shown, cells=cells, colour=lambda row: series(places[row.name]), **context)


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
    return figure(partial(charts.scores, dots, x_label=metric, label=f"{metric} on {table.task}: {said}")) if dots else None


# ------------------------------------------------------------------------------------------------------------------- the site
def build(folder: Path, site: Path, problems: Mapping[Path, Sequence[str]]) -> Path:
    """A page for all, one per task, one per entry. problems: what verification found, by bundle; such an entry is shown and not ranked."""
    bundles = bundles_in(folder)
    sound = [read_run(bundle) for bundle in bundles if not problems.get(bundle)]
    tables = rank([of_run(run) for run in sound])
    names = {str(bundle): f"entry-{number}.html" for number, bundle in enumerate(bundles, 1)}
    for run in sound:
        write_whole(site / names[str(run.directory)], _entry(run))
    places = _places(tables)
    for task in dict.fromkeys(table.task for table in tables):
        own = [table for table in tables if table.task == task]
        write_whole(site / f"task-{task}.html", _page(task, own, places, links=names, up="index.html"))
    refused = [(bundle.name, _without_folders(list(found))) for bundle, found in problems.items() if found]
    write_whole(site / "index.html", _page("Leaderboard", tables, places, links=names, refused=refused, pages=True))
    return site / "index.html"


def bundles_in(folder: Path) -> list[Path]:
    found = sorted(path.parent for path in folder.glob(f"**/{CLAIMS}"))
    if not found:
        raise UsageError(f"{folder}: no bundle in it: make one with herl-bench leaderboard bundle RUN -o {folder}/NAME")
    return found


def _entry(run: FinishedRun) -> str:
    samples = [
        {
            "id": s.item.id, "prompt": s.item.prompt, "target": s.item.target, "family": s.item.family or "", "seed": run.seed,
            "response": s.response, "missed": [name for name, met in s.criteria.items() if met is False],
            "state": "undecided" if s.outcome is None else "met" if s.outcome >= 1 else "missed",
        }
        for s in run.after.samples
    ]  # fmt: skip
    return render(
        "entry.html.j2",
        title=f"{run.method} on {run.task}, seed {run.seed}",
        run=dataclasses.replace(run, settings=_without_folders(run.settings), manifest=_without_folders(run.manifest)),
        used=spent(run),
        scores=[(key, run.before.summary["metrics"].get(key), score) for key, score in run.after.summary["metrics"].items()],
        criteria=[(key, run.before.summary["criteria"].get(key), score) for key, score in run.after.summary["criteria"].items()],
        texts={"samples": samples},
    )
