import json
import os

import pytest

from herl_bench.cli import main
from herl_bench.cli.validate import _check
from herl_bench.plugins import load_host
from herl_bench.types import Criterion, Example, Rubric


def validate(capsys, *args):
    with pytest.raises(SystemExit) as left:
        main(["validate", *args])
    out, err = capsys.readouterr()
    return left.value.code, out, err


def row(answer):
    return json.dumps({"question": "Ann has 2 pens and buys 3 more. How many pens does she have?", "answer": answer}) + "\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k" / "train.jsonl").write_text(row("2 + 3 = <<2+3=5>>5 pens\n#### 5") + row("2 + 3 = <<2+3=6>>6 pens\n#### 6"))
    (tmp_path / "gsm8k" / "test.jsonl").write_text(row("<<2+3=5>>5 pens\n#### 5"))
    return str(tmp_path)


def test_json_is_one_object_with_exactly_these_fields(capsys, folder):
    code, out, _ = validate(capsys, "--tasks", "gsm8k", "--data", folder, "--format", "json")
    splits = json.loads(out)["tasks"]["gsm8k"]
    assert code == 0
    assert splits["test"] == {"items": 1, "gold_ok": 1, "failed": []}
    assert (splits["train"]["items"], splits["train"]["gold_ok"]) == (2, 1)
    (failed,) = splits["train"]["failed"]
    assert set(failed) == {"id", "criterion", "evidence"}
    assert (failed["id"], failed["criterion"]) == ("gsm8k/train/1", "steps_valid")
    assert failed["evidence"]


def test_strict_exits_with_1_where_a_gold_answer_fails(capsys, folder):
    code, out, _ = validate(capsys, "--tasks", "gsm8k", "--data", folder, "--strict")
    assert code == 1
    assert "1 of 2 gold answers" in out


def test_a_world_is_validated_where_there_is_no_folder(capsys, monkeypatch):
    monkeypatch.delenv("HERL_BENCH_DATA", raising=False)
    code, out, _ = validate(capsys, "--tasks", "gsm8k", "--items", "7", "--strict", "--format", "json")
    assert code == 0
    assert {split: found["gold_ok"] for split, found in json.loads(out)["tasks"]["gsm8k"].items()} == {"train": 7, "eval": 7}


def test_an_item_that_no_criterion_applies_to_is_not_a_success():
    task = load_host().get("task", "gsm8k")
    idle = Rubric("idle", [Criterion("never", "Never.", lambda example, response: [])])
    found = _check(task, idle, "eval", [Example("a", "?", "#### 1")], None)
    assert (found["gold_ok"], found["failed"][0]["id"]) == (0, "a")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--tasks", "gsm9k"], "did you mean gsm8k"),
        (["--tasks", ","], "--tasks names no task"),
        (["--tasks", "gsm8k", "--data", "/nowhere"], "no data folder"),
    ],
)
def test_bad_input_is_one_line_and_2(capsys, args, message):
    code, out, err = validate(capsys, *args)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


@pytest.mark.skipif("HERL_BENCH_DATA" not in os.environ, reason="needs the published files")
def test_every_published_gold_answer_meets_its_rubric(capsys):
    _, out, _ = validate(capsys, "--tasks", "gsm8k,bbh", "--format", "json")
    tasks = json.loads(out)["tasks"]
    assert {split: (s["items"], s["gold_ok"]) for split, s in tasks["gsm8k"].items()} == {"train": (7473, 7473), "test": (1319, 1319)}
    assert sum(s["items"] for s in tasks["bbh"].values()) == sum(s["gold_ok"] for s in tasks["bbh"].values()) == 6511
