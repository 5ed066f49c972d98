"""A ranking in every format says the same, and nothing else."""

import csv
import io
import json

from helpers.commands import run_command
from helpers.entries import a_run

from herl_bench.cli.leaderboard import _show
from herl_bench.leaderboard.entries import read_entries
from herl_bench.leaderboard.ranking import rank_entries
from herl_bench.leaderboard.tables import format_cells, to_csv, to_html, to_json, to_markdown


def test_every_format_says_the_same(place):
    shown = run_command("leaderboard", "runs", cwd=place).stdout
    entries, left_out = read_entries([place / "runs"])
    assert left_out == []
    tables = rank_entries(entries)
    (table,) = tables
    assert {s.name for s in table.standings} == {"ppo", "herl"}
    rows = list(csv.DictReader(io.StringIO(to_csv(tables))))
    assert [(r["name"], float(r["score"])) for r in rows] == [(s.name, s.score.value) for s in table.standings]
    (said,) = json.loads(to_json(tables))["tables"]
    assert [s["score"]["value"] for s in said["standings"]] == [s.score.value for s in table.standings]
    for text in (shown, to_markdown(tables), to_html(tables)):
        assert all(cell in text for s in table.standings for cell in format_cells(s).values())


def test_hostile_names_reach_no_terminal_and_no_page(capsys):
    tables = rank_entries([a_run("<script>\x1b[2J\u202e[/bold]|\nx", 0, 50)])
    _show(tables)
    for text in (capsys.readouterr().out, to_markdown(tables), to_csv(tables), to_html(tables)):
        assert not {"\x1b", "\u202e"} & set(text)
    assert "<script>" not in to_markdown(tables)
    assert "<script>␛" not in to_html(tables)


def test_what_reaches_markdown_and_spreadsheets_stays_text():
    tables = rank_entries(
        [
            a_run('=HYPERLINK("http://x")![a](http://x.example/b.png)<script>|', 0, 50),
            a_run("@cmd", 0, 40),
            a_run("+1", 0, 30),
        ]
    )
    markdown, rows = to_markdown(tables), list(csv.DictReader(io.StringIO(to_csv(tables))))
    assert "![a](" not in markdown
    assert "<script>" not in markdown
    assert all(row["name"].startswith("'") for row in rows)
