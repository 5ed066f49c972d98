"""`hb.score`: files and rows in memory, judged as the command line judges them."""

import json
from itertools import islice

import pytest

import herl_bench as hb
from herl_bench.cli import main
from herl_bench.data.sources import EVAL_SEED
from herl_bench.errors import DataError, HerlBenchError
from herl_bench.plugins import load_host

TASK = load_host().get("task", "gsm8k")
ITEMS = list(islice(TASK.world.examples("eval", EVAL_SEED, TASK.world.difficulty), 6))
ROWS = [{"id": e.id, "response": TASK.gold(e) if i % 3 else "no idea"} for i, e in enumerate(ITEMS)]


def test_rows_and_a_file_of_them_and_the_command_say_the_same(tmp_path, capsys):
    file = tmp_path / "f.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    memory, stored = hb.score(iter(ROWS), "gsm8k", data="synthetic"), hb.score(file, "gsm8k", data="synthetic")
    assert capsys.readouterr().out == ""
    assert memory.summary == stored.summary
    assert memory.rows == stored.rows
    with pytest.raises(SystemExit):
        main(["score", str(file), "--task", "gsm8k", "--data", "synthetic", "--format", "json"])
    said = json.loads(capsys.readouterr().out)
    assert {name: score["value"] for name, score in said["metrics"].items()} == memory.metrics
    assert said["criteria"] == memory.criteria
    assert said["unparsed"] == memory.unparsed == 2


def test_what_comes_back_shows_itself():
    found = hb.score(ROWS, "gsm8k", data="synthetic")
    assert [row["line"] for row in found.rows] == list(range(1, 7))
    assert [row["metrics"]["exact_match,strict-match"] for row in found.rows] == [0, 1, 1, 0, 1, 1]
    assert "exact_match,strict-match 0.6667 ± 0.2108" in repr(found)
    assert "on gsm8k" in repr(found)
    assert list(found.to_pandas()["reward"]) == [row["reward"] for row in found.rows]


def test_a_bad_row_is_named_by_its_line():
    with pytest.raises(DataError, match=r"^responses:2: no response"):
        hb.score([ROWS[0], {"id": ITEMS[1].id}], "gsm8k", data="synthetic")


def test_nothing_that_could_be_judged_is_no_result():
    rows = [{"doc_id": 0, "resps": [[""]], "herl_bench": {"responses": [{"error": "HTTP 500"}]}}]
    with pytest.raises(HerlBenchError, match="none of the 1 responses was given or could be judged"):
        hb.score(rows, "gsm8k", data="synthetic")
