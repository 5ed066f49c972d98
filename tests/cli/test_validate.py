import json
import os
from dataclasses import replace

import numpy as np
import pytest

from herl_bench.cli import main
from herl_bench.errors import UsageError
from herl_bench.experiment.validation import check_gold_answers, find_repeated_ids, try_guidance
from herl_bench.plugins import load_host
from herl_bench.testing import TOY_METRIC, TOY_RUBRIC, TOY_TASK, TOY_TEMPLATE
from herl_bench.types import Criterion, Environment, Example, Finding, HindsightTemplate, Metric, Rubric


def validate(capsys, *args):
    with pytest.raises(SystemExit) as left:
        main(["validate", *args])
    out, err = capsys.readouterr()
    return left.value.code, out, err


def row(answer):
    return (
        json.dumps({"question": "Ann has 2 pens and buys 3 more. How many pens does she have?", "answer": answer})
        + "\n"
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k" / "train.jsonl").write_text(
        row("2 + 3 = <<2+3=5>>5 pens\n#### 5") + row("2 + 3 = <<2+3=6>>6 pens\n#### 6")
    )
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
    assert {split: found["gold_ok"] for split, found in json.loads(out)["tasks"]["gsm8k"].items()} == {
        "train": 7,
        "eval": 7,
    }


def test_an_item_that_no_criterion_applies_to_is_not_a_success():
    task = load_host().get("task", "gsm8k")
    idle = Rubric("idle", [Criterion("never", "Never.", lambda example, response: [])])
    found, _ = check_gold_answers(Environment(task, idle, TOY_TEMPLATE, ()), "eval", [Example("a", "?", "#### 1")])
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
    assert {split: (s["items"], s["gold_ok"]) for split, s in tasks["gsm8k"].items()} == {
        "train": (7473, 7473),
        "test": (1319, 1319),
    }
    assert sum(s["items"] for s in tasks["bbh"].values()) == sum(s["gold_ok"] for s in tasks["bbh"].values()) == 6511


# -------------------------------------------------------------------------------------------- what is wrong with a task
SUM = Example("toy/1", "40+2=", "42", {"terms": [40, 2]})


def reasons(rubric=TOY_RUBRIC, metrics=(TOY_METRIC,), task=TOY_TASK, example=SUM):
    """(criterion and evidence of the one item's failure, problems)"""
    found, problems = check_gold_answers(Environment(task, rubric, TOY_TEMPLATE, metrics), "eval", [example])
    return [f"{row['criterion']}: {row['evidence']}" for row in found["failed"]], problems


def test_a_sound_task_has_neither_failures_nor_problems():
    assert reasons() == ([], [])
    assert list(try_guidance(Environment(TOY_TASK, TOY_RUBRIC, TOY_TEMPLATE, ()), "eval", [SUM])) == []


def broken(example, response):
    raise KeyError("terms")


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (lambda e, r: Finding(1), "Finding.met is True, False or None, not int"),
        (lambda e, r: {"met": True}, "a check returns True, False, None, a Finding or a list of Findings, not dict"),
        (lambda e, r: np.array([True, False]), "not ndarray"),
        (lambda e, r: "yes", "a check returns True, False, None, a Finding or a list of Findings, not str"),
        (lambda e, r: None, "could not be decided"),
        (broken, f"could not be decided: check {__name__}.broken: KeyError: 'terms'"),
    ],
)
def test_what_a_check_returns_in_error_is_named_with_the_check(check, said):
    ((line,), _) = reasons(Rubric("r", [Criterion("mine", "Mine.", check)]))
    assert line.startswith("mine: ")
    assert said in line
    assert "test_validate." in line


@pytest.mark.parametrize(
    ("example", "said"),
    [
        (replace(SUM, target=42), ": target is a int, not text: write str(…)"),
        (replace(SUM, prompt=None), ": prompt is a NoneType, not text"),
        (
            replace(SUM, info={"terms": {40, 2}}),
            ": info['terms'] cannot be written as JSON: Object of type set is not JSON serializable",
        ),
        (replace(SUM, info={"n": np.int64(3)}), ": info['n'] cannot be written as JSON: "),
    ],
)
def test_fields_that_no_file_can_hold_are_named(example, said):
    ((line,), _) = reasons(example=example)
    assert line.startswith(said)


def test_numpy_s_truth_is_truth():
    for value in (np.bool_(True), Finding(np.bool_(True))):
        assert reasons(Rubric("r", [Criterion("mine", "Mine.", lambda e, r, value=value: value)])) == ([], [])


def test_metrics_are_tried():
    raising = Metric("m", lambda e, r: [][0], id="toy/m")
    assert reasons(metrics=[raising])[1] == [
        "eval: metric toy/m on 1 of 1 gold answers: IndexError: list index out of range"
    ]
    endless = Metric("m", lambda e, r: float("nan"), id="toy/m")
    assert reasons(metrics=[endless])[1] == [
        "eval: metric toy/m on 1 of 1 gold answers: ValueError: a metric gives a finite number, not nan"
    ]
    wrong = Metric("m", lambda e, r: 0.0, id="toy/m")
    assert reasons(metrics=[wrong])[0] == ["m,none: the primary metric calls this gold answer wrong"]
    assert reasons(metrics=[replace(wrong, higher_is_better=False)]) == ([], []), "a length of 0 is no mistake"


def test_the_final_answer_is_looked_for_in_the_gold_answer():
    assert reasons(task=replace(TOY_TASK, extract=lambda e, r: None))[1] == [
        "eval: extract on 1 of 1 gold answers: finds no final answer"
    ]
    assert reasons(task=replace(TOY_TASK, extract=lambda e, r: 42))[1] == [
        "eval: extract on 1 of 1 gold answers: gives a int, not text or None"
    ]
    broken = replace(TOY_TASK, extract=lambda e, r: 1 / 0)
    assert reasons(task=broken)[1] == ["eval: extract on 1 of 1 gold answers: ZeroDivisionError: division by zero"]
    assert list(try_guidance(Environment(broken, TOY_RUBRIC, TOY_TEMPLATE, ()), "eval", [SUM])) == []


def test_ids_that_come_twice_are_seen_within_and_across_splits():
    seen = {}
    assert list(find_repeated_ids([SUM, replace(SUM, id="b")], "train", seen)) == []
    assert list(find_repeated_ids([replace(SUM, id="c"), replace(SUM, id="c")], "more", seen)) == [
        "1 id is twice in more, 'c' for example: every problem needs an id of its own"
    ]
    assert list(find_repeated_ids([SUM, replace(SUM, id="b")], "test", seen)) == [
        "2 ids are in train and in test, 'toy/1' for example: every problem needs an id of its own"
    ]


def test_guidance_that_gives_the_answer_away_is_a_problem():
    tells = [replace(c, check=lambda e, r: Finding(False, "", f"it is {e.target}")) for c in TOY_RUBRIC.criteria]
    (problem,) = try_guidance(Environment(TOY_TASK, Rubric("tells", tells), TOY_TEMPLATE, ()), "eval", [SUM])
    assert problem.startswith("eval: guidance holds the final answer of 1 of 1 examples, '42' of toy/1 for one: ")
    shown = replace(SUM, prompt="Is 40+2 = 42?")
    assert list(try_guidance(Environment(TOY_TASK, Rubric("tells", tells), TOY_TEMPLATE, ()), "eval", [shown])) == [], (
        "the question says it already"
    )


def test_a_template_is_rendered_for_the_first_examples():
    needs = HindsightTemplate("needs", TOY_TEMPLATE.guidance, "{{ example.info.hint }}")
    with pytest.raises(UsageError, match=r"hindsight template 'needs': prompt, line 1: .*hint"):
        list(try_guidance(Environment(TOY_TASK, TOY_RUBRIC, needs, ()), "eval", [SUM]))


def test_another_rubric_is_validated_by_name_or_file(capsys, folder, tmp_path):
    (tmp_path / "r.yaml").write_text("name: r\ncriteria:\n  - {name: js, text: It is JSON., check: json}\n")
    code, out, _ = validate(
        capsys, "--tasks", "gsm8k", "--data", folder, "--rubric", str(tmp_path / "r.yaml"), "--strict"
    )
    assert (code, "gsm8k train: 0 of 2 gold answers" in out) == (1, True)
    assert "gsm8k/train/0  js: not JSON" in out
