"""One entry that cannot be read, and the rest."""

import json
import shutil

import pytest
from helpers.entries import BAD_ENTRIES

from herl_bench.errors import UsageError
from herl_bench.leaderboard.entries import read_entries
from herl_bench.leaderboard.ranking import rank_entries
from herl_bench.leaderboard.tables import to_csv, to_html, to_json, to_markdown


def test_a_run_of_another_shape_is_one_line(place, tmp_path):
    run = shutil.copytree(place / "entries" / "ppo", tmp_path / "run")
    (run / "metrics.jsonl").write_text("[1]\n")
    with pytest.raises(UsageError, match=r"metrics\.jsonl:1: a row is a JSON object, not list"):
        read_entries([run])


def test_a_folder_is_ranked_whatever_lies_in_it(crowd, place, tmp_path, capsys):
    """Nothing is judged again here, so that what is forged well stays; whatever cannot be read is named."""
    entries, left_out = read_entries([crowd])
    assert any(entry.folder.endswith("00-sound") for entry in entries)
    unread = {
        "a copy",
        "a boolean that is none",
        "deep YAML",
        "deep JSON",
        "NaN tokens of a response",
        "a step twice",
        "a step less",
        "a pipe for a log",
        "a huge file",
        "an unfinished run",
        "NUL bytes",
        "a key twice",
        "tokens that fall",
        "no steps",
        "a folder for a log",
    }
    for number, what in enumerate(BAD_ENTRIES, 10):
        named = [line for line in left_out if f"/{number}-bad" in line.split(": ")[0]]
        assert len(named) <= 1, what
        assert named or what not in unread, what
    assert all(line.isprintable() and len(line) < 400 for line in left_out)
    for text in (
        to_markdown(rank_entries(entries)),
        to_csv(rank_entries(entries)),
        to_json(rank_entries(entries)),
        to_html(rank_entries(entries)),
    ):
        assert "gsm8k" in text


def test_files_of_lm_eval_are_left_out_with_a_line(place, tmp_path, capsys):
    shutil.copytree(place / "entries" / "ppo", tmp_path / "all" / "ppo")
    results = {"results": {"hellaswag": {"acc,none": 0.5}}, "configs": {}}
    (tmp_path / "all" / "results_2026-01-01T00-00-00.000000.json").write_text(json.dumps(results))
    (tmp_path / "all" / "results_2026-01-02T00-00-00.000000.json").write_text("[NaN]")
    (tmp_path / "all" / "results_2026-01-03T00-00-00.000000.json").write_text('{"results": [], "herl_bench": 7}')
    entries, left_out = read_entries([tmp_path / "all"])
    assert len(entries) == 1
    assert [("lm-eval's own tasks" in line, "not a results file" in line) for line in left_out] == [
        (True, False),
        (False, True),
        (False, True),
    ]
