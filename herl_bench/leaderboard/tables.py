"""A ranking as text, Markdown, CSV, JSON or one HTML page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from herl_bench.comparison.inspect_logs import shorten_name
from herl_bench.comparison.verdict import describe_aside
from herl_bench.leaderboard.ranking import Standing, Table
from herl_bench.plain_text import escape_csv, escape_markdown, flatten
from herl_bench.report.drawing import Chart
from herl_bench.report.figures import name_metric, place_dots, plot_ranking
from herl_bench.report.page import format_bounds, format_number, format_whole, render
from herl_bench.report.palette import name_series

COLUMNS = (
    *("task", "source", "metric", "rank", "name", "model", "score", "low", "high", "seeds", "items", "tokens"),
    *("budget", "undecided", "shared"),
)
WORDS = ("name", "model")
"""Columns that are not numbers."""


def format_rank(standing: Standing) -> str:
    return f"{standing.rank}{'=' if standing.tied else ''}"


def format_cells(standing: Standing) -> dict[str, str]:
    score, beside = standing.score, describe_aside(standing.undecided, standing.shared, standing.responses)
    return {
        "rank": format_rank(standing),
        "name": flatten(standing.name),
        "model": flatten(shorten_name(standing.model)),
        "score": format_number(score.value) + (f" ({beside})" if beside else ""),
        "interval": format_bounds(score),
        "seeds": str(len(standing.seeds)),
        "items": str(standing.items),
        "tokens": format_whole(standing.tokens),
    }


def to_markdown(tables: Sequence[Table]) -> str:
    parts = []
    for table in tables:
        rows = [format_cells(standing) for standing in table.standings]
        where = f"{escape_markdown(table.metric)} on {escape_markdown(table.source)}, intervals at 95 %."
        rule = "|".join("---" if column in WORDS else "--:" for column in rows[0])
        lines = [f"### {escape_markdown(table.task)}", "", where, "", f"| {' | '.join(rows[0])} |", f"|{rule}|"]
        lines += [f"| {' | '.join(map(escape_markdown, row.values()))} |" for row in rows]
        lines += ["", *(f"- {note}" for note in table.notes)]
        parts.append("\n".join(lines).rstrip())
    return "\n\n".join(parts) + "\n"


def to_csv(tables: Sequence[Table]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for table in tables:
        for standing in table.standings:
            words = {"name": escape_csv(standing.name), "model": escape_csv(standing.model)}
            score = {"score": standing.score.value, "low": standing.score.low, "high": standing.score.high}
            row = {**vars(table), **vars(standing), **words, **score}
            writer.writerow({**row, "rank": format_rank(standing), "seeds": len(standing.seeds)})
    return out.getvalue()


def to_json(tables: Sequence[Table]) -> str:
    return json.dumps({"tables": [asdict(table) for table in tables]}, indent=2, ensure_ascii=False) + "\n"


def to_html(tables: Sequence[Table]) -> str:
    return render_tables("Leaderboard", tables, place_rows(tables))


def render_tables(title: str, tables: Sequence[Table], places: Mapping[str, int], **context: Any) -> str:
    """places: as from `place_rows`. context: see `pages/leaderboard.html.j2`."""
    return render(
        "leaderboard.html.j2",
        title=title,
        tables=[(table, _plot(table, places)) for table in tables],
        cells=format_cells,
        colour=lambda row: name_series(places[row.name]),
        **{"links": {}, "up": "", "short": shorten_name, **context},
    )


def place_rows(tables: Sequence[Table]) -> dict[str, int]:
    """Row → place, which is its colour and mark in every table and on every page."""
    return {name: place for place, name in enumerate(sorted({s.name for table in tables for s in table.standings}))}


def _plot(table: Table, places: Mapping[str, int]) -> Chart | None:
    dots = place_dots((s.name, places[s.name], s.score, s.before) for s in table.standings)
    metric = name_metric(table.metric)
    return plot_ranking(dots, f"{metric} on {table.task}", metric) if dots else None
