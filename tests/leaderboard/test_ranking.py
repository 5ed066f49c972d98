"""Which rows share a table, a row and a rank."""

import csv
import dataclasses
import io
import json

import numpy as np
import pytest
from helpers.commands import run_command
from helpers.entries import a_run

from herl_bench.cli.leaderboard import _show
from herl_bench.errors import UsageError
from herl_bench.leaderboard.entries import read_entries
from herl_bench.leaderboard.ranking import rank_entries
from herl_bench.leaderboard.tables import to_csv, to_html, to_markdown


def test_rows_that_no_interval_separates_share_a_rank_entries():
    runs = [
        a_run(method, seed, right)
        for method, right in (("a", 30), ("b", 80), ("c", 82), ("d", 55))
        for seed in range(3)
    ]
    (table,) = rank_entries(runs)
    assert [(s.name, s.rank, s.tied) for s in table.standings] == [
        ("c", 1, True),
        ("b", 1, True),
        ("d", 3, False),
        ("a", 4, False),
    ]
    assert [s.seeds for s in table.standings] == [(0, 1, 2)] * 4
    assert np.isclose(table.standings[1].score.value, 0.8)


def test_other_items_are_another_table():
    tables = rank_entries([a_run("a", 0, 50), a_run("a", 0, 50, items=90), a_run("a", 0, 50, source="/data")])
    assert len(tables) == 3


def test_a_model_evaluated_outside_of_a_run_is_ranked_with_the_runs(place, tmp_path):
    """It is the policy that the runs started from, on their items."""
    words = ["--tasks", "gsm8k", "--model", "llama", "--data", "synthetic", "--limit", 8, "--max_new_tokens", 8]
    bare = run_command("eval", *words, "--output_path", tmp_path / "bare", cwd=place)
    assert bare.returncode == 0, bare.stderr
    refused = run_command("leaderboard", tmp_path / "bare", cwd=place)
    assert refused.returncode == 2
    assert "gsm8k has no samples beside it: evaluate with --log_samples" in refused.stderr
    whole = run_command("eval", *words, "--output_path", tmp_path / "whole", "--log_samples", cwd=place)
    assert whole.returncode == 0, whole.stderr
    done = run_command("leaderboard", "runs", tmp_path / "whole", "--format", "json", cwd=place)
    assert done.returncode == 0, done.stderr
    (table,) = json.loads(done.stdout)["tables"]
    rows = {row["name"]: row for row in table["standings"]}
    assert set(rows) == {"ppo", "herl", "llama"}
    assert rows["llama"]["tokens"] is None
    assert rows["llama"]["score"]["value"] == rows["ppo"]["before"]
    assert any("A row without tokens" in note for note in table["notes"])


def test_undecided_answers_rank_as_wrong_and_are_shown(capsys):
    run = a_run("clever", 0, 50)
    undecided = dataclasses.replace(
        run,
        samples=tuple(
            dataclasses.replace(s, outcome=None if s.outcome == 0 else s.outcome, integrity="shared")
            for s in run.samples
        ),
    )
    (table,) = rank_entries([a_run("plain", 0, 60), undecided])
    assert [(s.name, s.score.value, s.undecided) for s in table.standings] == [("plain", 0.6, 0), ("clever", 0.5, 50)]
    _show([table])
    for text in (capsys.readouterr().out, to_markdown([table]), to_html([table])):
        assert "50 of 100 undecided" in " ".join(text.replace("│", " ").split()) or "50 of 100" in text
    assert "100 shared" in to_markdown([table])
    assert [(r["undecided"], r["shared"]) for r in csv.DictReader(io.StringIO(to_csv([table])))] == [
        ("0", "0"),
        ("50", "100"),
    ]


def test_rows_may_be_ranked_by_another_metric(place):
    entries, _ = read_entries([place / "runs"], "robust_match")
    assert {entry.metric for entry in entries} == {"robust_match,numeric"}
    with pytest.raises(UsageError, match="stands for exact_match,strict-match and exact_match,flexible-extract"):
        read_entries([place / "runs"], "exact_match")
    with pytest.raises(UsageError, match="did you mean robust_match,numeric"):
        read_entries([place / "runs"], "robust_mach")
