"""Rank runs and bundles, task by task, with intervals; as a table of the terminal, Markdown, CSV, JSON, HTML, or a static site.

Runs that differ only in their seed are one row. Only rows over the same items and metric share a table. A row's rank is one more than the number of
rows whose whole interval lies above its own: rows that no interval separates share a rank. That is cautious: two intervals may overlap although a
paired test tells the methods apart, which is what `herl-bench compare` is for.

Left out: evaluations that no run belongs to.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from herl_bench.compare import charts
from herl_bench.compare.analyse import interval
from herl_bench.compare.bundle import CLAIMS
from herl_bench.compare.model import Interval
from herl_bench.compare.page import Figure, bounds, figure, number, render
from herl_bench.compare.read import FinishedRun, read_run, spent
from herl_bench.errors import UsageError
from herl_bench.saving import write_whole

COLUMNS = ("rank", "name", "model", "score", "low", "high", "seeds", "items", "tokens", "budget")


@dataclass(frozen=True)
class Standing:
    """One row. rank: shared (`tied`) by rows that no interval separates. tokens: mean spent per run."""

    rank: int
    tied: bool
    name: str
    method: str
    model: str
    base_model: str
    seeds: tuple[int, ...]
    items: int
    score: Interval
    before: float | None
    tokens: float
    budget: int
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


# ---------------------------------------------------------------------------------------------------------------------- ranking
def folders_of(places: Sequence[Path]) -> list[Path]:
    """The runs and bundles that are named, or lie in a folder that is named. Raises `UsageError` where there is none."""
    found: list[Path] = []
    for place in places:
        inside = [place] if (place / "config.yaml").is_file() else sorted(p.parent for p in place.glob("**/config.yaml"))
        if not inside:
            raise UsageError(f"{place}: neither a run nor a bundle, nor a folder of them")
        found += inside
    return list(dict.fromkeys(found))


def rank(runs: Sequence[FinishedRun]) -> list[Table]:
    """One table per task and set of items, in the order in which they come."""
    groups: dict[Any, list[FinishedRun]] = {}
    for run in runs:
        items = tuple((s.item.id, s.item.prompt, s.item.target) for s in run.after.samples)
        groups.setdefault((run.task, run.metric, str(run.manifest["data"]["source"]), hash(items)), []).append(run)
    return [_table(group) for group in groups.values()]


def _table(runs: Sequence[FinishedRun]) -> Table:
    one = runs[0]
    rows: dict[str, list[FinishedRun]] = {}
    for run in runs:
        rows.setdefault(json.dumps(_identity(run), sort_keys=True, default=str), []).append(run)
    for group in rows.values():
        seeds = [run.seed for run in group]
        if len(set(seeds)) < len(seeds):
            twins = " and ".join(str(run.directory) for run in group if seeds.count(run.seed) > 1)
            raise UsageError(f"{twins} are the same method, settings and seed: name one of them")
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
            model=str(group[0].settings["model"]),
            base_model=str(group[0].manifest["base_model"]["sha256"]),
            seeds=tuple(sorted(run.seed for run in group)),
            items=len(group[0].after.samples),
            score=score,
            before=_mean([run.before.summary["metrics"][run.metric]["value"] for run in group]),
            tokens=sum(spent(run).tokens for run in group) / len(group),
            budget=int(group[0].settings["budget"]),
            folders=tuple(str(run.directory) for run in group),
        )
        for place, (name, group, score) in zip(ranks, scored, strict=True)
    )
    return Table(one.task, str(one.manifest["data"]["source"]), one.metric, one.higher_is_better, standings, tuple(_notes(standings)))


def _identity(run: FinishedRun) -> dict[str, Any]:
    """Everything that makes a row, the seed aside."""
    own = {key: value for key, value in run.settings.items() if key not in ("seed", "report_to", "task")}
    return {**own, "base_model": run.manifest["base_model"]["sha256"]}


def _names(groups: Sequence[Sequence[FinishedRun]]) -> list[str]:
    """The method, and whatever else of its settings tells it from another row of that method."""
    flat = [
        {**(g[0].settings.get("set") or {}), **{k: v for k, v in _identity(g[0]).items() if k not in ("set", "method")}} for g in groups
    ]
    names = []
    for mine, group in zip(flat, groups, strict=True):
        alike = [other for other, theirs in zip(flat, groups, strict=True) if theirs[0].method == group[0].method]
        told = [f"{key}={value}" for key, value in mine.items() if key != "base_model" and any(other.get(key) != value for other in alike)]
        names.append(" ".join([group[0].method, *told]))
    return names


def _score(runs: Sequence[FinishedRun]) -> Interval:
    import numpy as np

    return interval(np.array([[float("nan") if s.outcome is None else float(s.outcome) for s in run.after.samples] for run in runs]))


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
    if len({s.budget for s in standings}) > 1:
        notes.append("The rows had different budgets.")
    if len({s.base_model for s in standings}) > 1:
        notes.append("The rows started from different models.")
    if any(s.tied for s in standings):
        notes.append("Equal ranks: their intervals overlap. herl-bench compare pairs items and seeds and may still tell them apart.")
    return notes


# ---------------------------------------------------------------------------------------------------------------------- showing
def cells(standing: Standing) -> dict[str, str]:
    score = standing.score
    return {
        "rank": f"{standing.rank}{'=' if standing.tied else ''}",
        "name": standing.name,
        "model": Path(standing.model).name if Path(standing.model).is_absolute() else standing.model,
        "score": number(score.value),
        "interval": bounds(score),
        "seeds": str(len(standing.seeds)),
        "items": str(standing.items),
        "tokens": f"{standing.tokens:,.0f}",
    }


def to_markdown(tables: Sequence[Table]) -> str:
    parts = []
    for table in tables:
        rows = [cells(s) for s in table.standings]
        head = list(rows[0])
        lines = [f"### {table.task}", "", f"{table.metric} on {table.source}, intervals at 95 %.", ""]
        lines += ["| " + " | ".join(head) + " |", "|" + "|".join("---" if h in ("name", "model") else "--:" for h in head) + "|"]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row.values()) + " |" for row in rows]
        lines += ["", *(f"- {note}" for note in table.notes)]
        parts.append("\n".join(lines).rstrip())
    return "\n\n".join(parts) + "\n"


def to_csv(tables: Sequence[Table]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["task", "source", "metric", *COLUMNS])
    for table in tables:
        for s in table.standings:
            row = [f"{s.rank}{'=' if s.tied else ''}", s.name, s.model, s.score.value, s.score.low, s.score.high]
            writer.writerow([table.task, table.source, table.metric, *row, len(s.seeds), s.items, s.tokens, s.budget])
    return out.getvalue()


def to_json(tables: Sequence[Table]) -> str:
    return json.dumps({"tables": [asdict(table) for table in tables]}, indent=2, ensure_ascii=False) + "\n"


def to_html(tables: Sequence[Table], title: str = "Leaderboard", links: Mapping[str, str] | None = None, up: str = "") -> str:
    """links: folder → page of that entry. up: page that this one belongs to."""
    shown = [(table, _chart(table)) for table in tables]
    return render("leaderboard.html.j2", title=title, tables=shown, links=links or {}, up=up, cells=cells)


def _chart(table: Table) -> Figure | None:
    dots = [
        charts.Dot(s.name, place, s.score.value, s.score.low, s.score.high, s.before)
        for place, s in enumerate(table.standings)
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
    tables = rank(sound)
    names = {str(bundle): f"entry-{number}.html" for number, bundle in enumerate(bundles, 1)}
    for run in sound:
        write_whole(site / names[str(run.directory)], _entry(run))
    for task in dict.fromkeys(table.task for table in tables):
        write_whole(site / f"task-{task}.html", to_html([t for t in tables if t.task == task], task, names, up="index.html"))
    refused = [(bundle.name, list(found)) for bundle, found in problems.items() if found]
    index = render(
        "leaderboard.html.j2", title="Leaderboard", tables=[(table, _chart(table)) for table in tables], links=names, up="", cells=cells,
        refused=refused, pages=True,
    )  # fmt: skip
    write_whole(site / "index.html", index)
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
        run=run,
        used=spent(run),
        scores=[(key, run.before.summary["metrics"].get(key), score) for key, score in run.after.summary["metrics"].items()],
        criteria=[(key, run.before.summary["criteria"].get(key), score) for key, score in run.after.summary["criteria"].items()],
        texts={"samples": samples},
    )
