"""Rank entries, task by task, with intervals.

    tables = rank([Path("runs")])          # a table per task and set of items

Runs that differ only in their seed are one row; a model that `herl-bench eval` evaluated outside of a run is a row of
its own name. Only rows over the same items and metric share a table. A row's rank is one more than the number of rows
whose whole interval lies above its own: rows that no interval separates share a rank. That is cautious: two intervals
may overlap although a paired test tells the methods apart, which is what `herl-bench compare` is for. An answer that
could not be decided counts as wrong, and how many there are stands beside the score.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from herl_bench.comparison.outcomes import estimate_score
from herl_bench.comparison.schema import Interval
from herl_bench.evaluation.scores import mean, value_of_undecided
from herl_bench.leaderboard.entries import Entry, read_entries, shorten


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


PAIRED = "herl-bench compare pairs items and seeds and may still tell them apart."


def rank(places: Sequence[Path], metric: str | None = None) -> tuple[list[Table], list[str]]:
    """Of runs, bundles, evaluations, and folders of them; and a line for each left out. Else as `read_entries`."""
    entries, left_out = read_entries(places, metric)
    return rank_entries(entries), left_out


def rank_entries(entries: Sequence[Entry]) -> list[Table]:
    """One table per task and set of items, in the order in which they come. entries: as from `drop_twins`."""
    return [_rank_group(group) for group in _group(entries, attrgetter("table"))]


def _group(entries: Sequence[Entry], key: Callable[[Entry], Any]) -> list[list[Entry]]:
    groups: dict[Any, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(key(entry), []).append(entry)
    return list(groups.values())


def _rank_group(entries: Sequence[Entry]) -> Table:
    groups = [sorted(row, key=attrgetter("seed")) for row in _group(entries, attrgetter("row"))]
    one, scores = entries[0], [_score(group) for group in groups]
    better = 1 if one.higher_is_better else -1
    scored = sorted(
        zip(_name_rows(groups), groups, scores, strict=True),
        key=lambda row: (-better * (row[2].value if row[2].value is not None else -better * 9.0), row[0]),
    )
    ranks = [1 + sum(_is_above(other, score, one.higher_is_better) for other in scores) for _, _, score in scored]
    placed = zip(ranks, scored, strict=True)
    standings = tuple(_stand(place, ranks.count(place) > 1, *row) for place, row in placed)
    notes = tuple(_note(standings, one.higher_is_better))
    return Table(one.task, one.source, one.metric, one.higher_is_better, standings, notes)


def _stand(place: int, tied: bool, name: str, group: Sequence[Entry], score: Interval) -> Standing:
    samples = [sample for entry in group for sample in entry.samples]
    return Standing(
        rank=place,
        tied=tied,
        name=name,
        **{field: getattr(group[0], field) for field in ("method", "model", "base_model", "budget")},
        seeds=tuple(entry.seed for entry in group),
        items=len(group[0].samples),
        score=score,
        before=mean(entry.before for entry in group),
        tokens=mean(entry.tokens for entry in group),
        folders=tuple(entry.folder for entry in group),
        responses=len(samples),
        undecided=sum(sample.outcome is None for sample in samples),
        shared=sum(sample.integrity == "shared" for sample in samples),
    )


def _name_rows(groups: Sequence[Sequence[Entry]]) -> list[str]:
    """The method, and whatever else of its settings tells it from another row of that method."""
    names, firsts = [], [group[0] for group in groups]
    for entry in firsts:
        alike = [other.settings for other in firsts if other.method == entry.method]
        differing = [item for item in entry.settings.items() if any(other.get(item[0]) != item[1] for other in alike)]
        names.append(shorten(" ".join([entry.method, *(f"{key}={value}" for key, value in differing)])))
    return names


def _score(entries: Sequence[Entry]) -> Interval:
    import numpy as np

    higher = entries[0].higher_is_better
    rows = [[sample.outcome for sample in entry.samples] for entry in entries]
    wrong = value_of_undecided((outcome for row in rows for outcome in row), higher)
    return estimate_score(np.array([[wrong if value is None else value for value in row] for row in rows], dtype=float))


def _is_above(other: Interval, mine: Interval, higher_is_better: bool) -> bool:
    if other.low is None or other.high is None or mine.low is None or mine.high is None:
        return False
    return other.low > mine.high if higher_is_better else other.high < mine.low


def _note(standings: Sequence[Standing], higher_is_better: bool) -> list[str]:
    """What a reader must know to compare the rows."""
    trained = [s for s in standings if s.budget is not None]
    undecided, shared, tied = (any(getattr(s, name) for s in standings) for name in ("undecided", "shared", "tied"))
    single = any(len(s.seeds) == 1 for s in standings)
    untrained = 0 < len(trained) < len(standings)
    notes = (
        (undecided, f"Undecided answers {'count as wrong' if higher_is_better else 'are left out'}."),
        (shared, "Shared: the verdict rests on a comparison that the program itself took part in."),
        (single, "A row with one seed has an interval over items only: another seed may differ by more."),
        (len({s.budget for s in trained}) > 1, "The rows had different budgets."),
        (len({s.base_model for s in trained}) > 1, "The rows started from different models."),
        (untrained, "A row without tokens is a model as it was evaluated, and names no training."),
        (tied, f"Equal ranks: their intervals overlap. {PAIRED}"),
    )
    return [note for applies, note in notes if applies]
