"""What cannot be decided is never paid for: in the reward, in training, in means, in pass@k, in lm-eval's files, in
refinement."""

import json
import math
import re
from dataclasses import dataclass, replace
from fractions import Fraction
from random import Random

import numpy as np
import pytest
import torch
from helpers import toy_runs
from helpers.evaluations import write_evaluation
from herl_bench_humaneval import checks

from herl_bench.evaluation.evaluate import Evaluation
from herl_bench.evaluation.judging import NO_TEMPLATE, judge_responses
from herl_bench.evaluation.refine import is_replacement
from herl_bench.evaluation.tally import Tally, sum_up
from herl_bench.policy.answerer import Answer, ResolvedSampling
from herl_bench.rubric import judge
from herl_bench.sandbox.model import Assertion, Verdict
from herl_bench.training.bonus import Bonus
from herl_bench.training.config import GRPOConfig, HeRLConfig, PPOConfig, RLOOConfig
from herl_bench.training.forward import Packing
from herl_bench.training.metrics import describe_step
from herl_bench.training.revisions import choose_drafts, gather_lessons, place_revisions
from herl_bench.training.rollouts import Rollout, make_rows
from herl_bench.training.steps import Clock
from herl_bench.types import Criterion, Environment, Example, Finding, Judgement, Metric, Rubric, Task

TASK = Task(
    "t", "", lambda d, s: [], lambda s: [], {}, lambda e: e.target, lambda e, r: r or None, "t", "t", ("right",)
)
EXAMPLE = Example("t/1", "2+2=", "4")
FORM = Criterion("form", "Answer.", lambda e, r: True)


def looks(check, **more):
    return Criterion("right", "Be right.", check, needs_reference=True, **more)


def raises(kind=ValueError):
    def check(example, response):
        if response == "odd":
            raise kind("cannot say")
        return response == example.target

    return check


UNDECIDED = {
    "raises": raises(),
    "assertion": raises(AssertionError),
    "recursion": raises(RecursionError),
    "memory": raises(MemoryError),
    "stop": raises(StopIteration),
    "none": lambda e, r: None if r == "odd" else r == e.target,
    "finding": lambda e, r: Finding(None if r == "odd" else r == e.target),
    "one part of many": lambda e, r: [Finding(True)] * 9 + [Finding(None if r == "odd" else r == e.target)],
    "last part raises": lambda e, r: [
        Finding(r == e.target) if r != "odd" or i < 9 else Finding(1 / 0) for i in range(10)
    ],
    "first part": lambda e, r: [Finding(None if r == "odd" else r == e.target), Finding(True)],
    "all parts": lambda e, r: [Finding(None if r == "odd" else r == e.target)] * 3,
    "a word": lambda e, r: "yes" if r == "odd" else r == e.target,
    "one": lambda e, r: 1 if r == "odd" else r == e.target,
    "a float": lambda e, r: 1.0 if r == "odd" else r == e.target,
    "a finding of one": lambda e, r: Finding(1 if r == "odd" else r == e.target),
    "a list of truths": lambda e, r: [True, True] if r == "odd" else r == e.target,
    "an array": lambda e, r: np.array([True, True]) if r == "odd" else np.bool_(r == e.target),
    "numpy's number": lambda e, r: np.int64(1) if r == "odd" else np.bool_(r == e.target),
    "a generator": lambda e, r: (Finding(True) for _ in range(2)) if r == "odd" else r == e.target,
}


@pytest.mark.parametrize("check", UNDECIDED.values(), ids=UNDECIDED)
@pytest.mark.parametrize("weight", [0.001, 1.0, 1000.0])
def test_undecided_by_a_criterion_that_looks_has_no_reward(check, weight):
    rubric = Rubric("t", (FORM, looks(check, weight=weight)))
    right, wrong, odd = judge([EXAMPLE] * 3, ["4", "5", "odd"], rubric)
    assert (odd.reward, odd.criteria["right"]) == (None, None)
    assert right.reward > wrong.reward >= 0
    assert odd.errors


@pytest.mark.parametrize("check", UNDECIDED.values(), ids=UNDECIDED)
def test_undecided_by_a_criterion_that_does_not_look_pays_nothing(check):
    rubric = Rubric("t", (FORM, Criterion("neat", "Be neat.", check, weight=3)))
    right, wrong, odd = judge([EXAMPLE] * 3, ["4", "5", "odd"], rubric)
    assert right.reward == 1
    assert odd.reward is not None
    assert odd.reward <= (0.25 + 0.75 * 0.9 if len(odd.verdicts) > 2 else wrong.reward) + 1e-12
    assert odd.criteria["neat"] is None


NUMBERS = {
    "raises": lambda r: float("x" * (r == "odd") or r),
    "nan": lambda r: math.nan if r == "odd" else float(r),
    "inf": lambda r: math.inf if r == "odd" else float(r),
    "minus inf": lambda r: -math.inf if r == "odd" else float(r),
    "none": lambda r: None if r == "odd" else float(r),
    "a word": lambda r: "1.0" if r == "odd" else float(r),
    "too large": lambda r: 10**400 if r == "odd" else float(r),
    "numpy's nan": lambda r: np.float32("nan") if r == "odd" else np.float64(r),
    "an array": lambda r: np.array([1.0, 1.0]) if r == "odd" else float(r),
    "complex": lambda r: 1j if r == "odd" else float(r),
}


@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
def test_an_undecided_metric_counts_as_wrong_with_its_number_beside(number):
    metric = Metric("right", lambda e, r: number(r))
    examples = [replace(EXAMPLE, id=f"t/{i}") for i in range(4)]
    summary = sum_up(
        judge_responses(
            Environment(TASK, Rubric("t", (FORM,)), NO_TEMPLATE, [metric]), examples, ["1", "0", "odd", "odd"]
        ),
        Rubric("t", (FORM,)),
        [metric],
    )
    score = summary.metrics["right,none"]
    assert (score.value, score.items, score.undecided, summary.undecided) == (0.25, 4, 2, 2)
    assert score.stderr == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (np.float32(0.5), 0.5),
        (np.bool_(True), 1.0),
        (True, 1.0),
        (np.int8(1), 1.0),
        (Fraction(1, 4), 0.25),
        (torch.tensor(1.0), 1.0),
    ],
)
def test_numbers_of_any_library_become_python_s(value, number):
    (judgement,) = judge([EXAMPLE], ["4"], Rubric("t", (FORM,)), [Metric("m", lambda e, r: value)])
    assert type(judgement.metrics["m,none"]) is float
    assert judgement.metrics["m,none"] == number


@pytest.mark.parametrize("truth", [np.bool_(True), torch.tensor(True), np.array(True), True])
def test_truths_of_any_library_become_python_s(truth):
    outcomes = (truth, Finding(truth, np.str_("seen"), part=3), [Finding(truth, None)])
    for outcome in outcomes:
        (judgement,) = judge([EXAMPLE], ["4"], Rubric("t", (looks(lambda e, r, o=outcome: o),)))
        assert judgement.verdicts[0].met is True
        assert judgement.reward == 1
        json.dumps([vars(v) for v in judgement.verdicts])


def test_a_score_below_zero_is_not_what_an_undecided_one_is_worth():
    metric = Metric("loglik", lambda e, r: float(r))
    examples = [replace(EXAMPLE, id=f"t/{i}") for i in range(3)]
    rows = judge_responses(
        Environment(TASK, Rubric("t", (FORM,)), NO_TEMPLATE, [metric]), examples, ["-1", "-5", "odd"]
    )
    assert sum_up(rows, Rubric("t", (FORM,)), [metric]).metrics["loglik,none"].value == pytest.approx(-11 / 3)
    parts = [Tally(Rubric("t", (FORM,)), [metric]) for _ in rows]
    for part, row in zip(parts, rows, strict=True):
        part.add([row])
    parts[2].merge(parts[0])
    parts[2].merge(parts[1])
    assert parts[2].summary().metrics["loglik,none"].value == pytest.approx(-11 / 3)


def test_where_lower_is_better_an_undecided_item_is_left_out_and_said():
    metric = Metric("length", lambda e, r: float(r), higher_is_better=False)
    examples = [replace(EXAMPLE, id=f"t/{i}") for i in range(3)]
    score = sum_up(
        judge_responses(Environment(TASK, Rubric("t", (FORM,)), NO_TEMPLATE, [metric]), examples, ["4", "6", "odd"]),
        Rubric("t", (FORM,)),
        [metric],
    ).metrics["length,none"]
    assert (score.value, score.items, score.undecided) == (5.0, 2, 1)


def test_a_response_that_breaks_the_observation_costs_no_other_its_verdict():
    def observe(examples, responses, sandbox):
        if "odd" in responses:
            raise RuntimeError("odd")
        return responses

    rubric = Rubric("t", (looks(lambda e, r: r == e.target, observe=observe),))
    right, odd, wrong = judge([EXAMPLE] * 3, ["4", "odd", "5"], rubric)
    assert (right.reward, odd.reward, wrong.reward) == (1.0, None, 0.0)


def test_undecided_responses_of_an_item_are_wrong_samples_in_every_file(tmp_path):
    metric = Metric("right", lambda e, r: float(r))
    texts = ["1", "odd", "odd", "0"]
    rubric = Rubric("t", (FORM, looks(lambda e, r: {"1": True, "0": False}.get(r))))
    rows = judge_responses(
        Environment(TASK, rubric, NO_TEMPLATE, [metric]), [EXAMPLE] * 4, texts, doc_ids=[0] * 4, samples=range(4)
    )
    summary = sum_up(rows, rubric, [metric], (2, 4))
    assert (summary.metrics["right,none"].value, summary.metrics["pass@2,none"].value) == (0.25, 0.5)
    assert (summary.criteria["right"].value, summary.criteria["right"].undecided, summary.reward.value) == (
        0.5,
        1,
        0.75,
    )
    done = Evaluation(tuple(rows), sum_up(rows, rubric, [metric]), ResolvedSampling(n=4))
    results, samples = write_evaluation(
        done, tmp_path, Environment(TASK, rubric, NO_TEMPLATE, [metric]), model_name="m"
    )
    results, sample = json.loads(results.read_text()), json.loads(samples.read_text())
    assert results["results"]["t"]["right,none"] == sample["right"] == 0.25
    assert results["herl_bench"]["summary"]["t"]["undecided"] == 2
    assert [r["metrics"]["right,none"] for r in sample["herl_bench"]["responses"]] == [1.0, None, None, 0.0]


def test_what_a_server_did_not_give_is_undecided():
    metric = Metric("right", lambda e, r: float(r == e.target))
    examples = [replace(EXAMPLE, id=f"t/{i}") for i in range(2)]
    rows = judge_responses(
        Environment(TASK, Rubric("t", (FORM,)), NO_TEMPLATE, [metric]), examples, ["4", Answer("", error="HTTP 500")]
    )
    summary = sum_up(rows, Rubric("t", (FORM,)), [metric])
    assert (summary.metrics["right,none"].value, summary.undecided, summary.errors) == (0.5, 1, 1)


# ---------------------------------------------------------------------------------------------------------- the sandbox
@dataclass
class Box:
    """A sandbox as a plugin may provide one: it says of each program what its first line says."""

    workers: int = 1

    def map(self, jobs):
        for job in jobs:
            status = re.search(r"# (\w+)", job.code)[1]
            integrity = "shared" if status == "shared" else "split"
            passed = status in ("pass", "shared", "infra", "refused")
            results = tuple(
                Assertion(group, 0, "assert f(1) == 2", passed, "") for group in job.tests if status != "nothing"
            )
            yield Verdict(
                {"shared": "pass", "nothing": "pass"}.get(status, status),
                True,
                True,
                results,
                integrity=integrity,
                detail=f"so says {status}",
            )


PROGRAM = Example(
    "t/1",
    'def f(x):\n    """Add one.\n    >>> f(1)\n    2\n    """\n',
    "    return x + 1\n",
    {
        "entry_point": "f",
        "test": "def check(candidate):\n    assert candidate(1) == 2\n",
        "examples": [{"call": "f(1)", "expected": "2"}],
    },
)


def program(status):
    return f"    # {status}\n    return x\n"


RUBRIC = Rubric(
    "humaneval",
    [Criterion(c.name.split(".")[1], c.name, c.function, 1.0, c.needs_reference, c.observe) for c in checks.CHECKS],
)


@pytest.mark.parametrize("status", ["infra", "refused"])
def test_a_program_whose_hidden_tests_are_undecided_ranks_below_a_wrong_one(status):
    """Even where the sandbox's own results say that every assertion passed."""
    examples = [replace(PROGRAM, id=f"t/{i}") for i in range(3)]
    rows = judge_responses(
        Environment(TASK, RUBRIC, NO_TEMPLATE, checks.METRICS, Box()),
        examples,
        [program(s) for s in (status, "fail", "pass")],
    )
    odd, wrong, right = (row.judgement for row in rows)
    assert (odd.reward, odd.criteria["hidden_tests"], odd.status) == (None, None, status)
    assert set(odd.metrics.values()) == {None}
    assert f"so says {status}" in " ".join(odd.errors)
    assert right.reward == 1 > wrong.reward > 0
    summary = sum_up(rows, RUBRIC, checks.METRICS)
    for score in summary.metrics.values():
        assert (score.value, score.items, score.undecided) == (pytest.approx(1 / 3), 3, 1)
    assert (summary.undecided, summary.shared) == (1, 0)


def test_results_that_are_missing_are_not_passed():
    (judgement,) = judge([PROGRAM], [program("nothing")], RUBRIC, checks.METRICS, Box())
    assert judgement.criteria["hidden_tests"] is judgement.criteria["docstring_examples"] is False
    assert set(judgement.metrics.values()) == {0.0}


def test_shared_verdicts_are_counted():
    examples = [replace(PROGRAM, id=f"t/{i}") for i in range(3)]
    rows = judge_responses(
        Environment(TASK, RUBRIC, NO_TEMPLATE, checks.METRICS, Box()),
        examples,
        [program(s) for s in ("shared", "pass", "shared")],
    )
    assert [row.judgement.integrity for row in rows] == ["shared", "split", "shared"]
    assert sum_up(rows, RUBRIC, checks.METRICS).shared == 2


# ------------------------------------------------------------------------------------------------------------- training
def rollout(reward, *, kind="plain", draft=None, baseline=None, name="a", finish="eos", verdicts=()):
    judgement = Judgement(tuple(verdicts), reward, {"right,none": reward})
    return Rollout(
        example=Example(name, "?", "4"),
        kind=kind,
        prompt="?",
        prompt_ids=(1,),
        plain_ids=(1,),
        ids=(2, 3),
        text="x",
        finish=finish,
        temperature=1.0,
        judgement=judgement,
        guidance="look" * (kind == "revision"),
        draft=draft,
        baseline=baseline,
    )


@pytest.mark.parametrize("finish", ["eos", "length", "stop"])
@pytest.mark.parametrize("truncation", ["penalise", "mask"])
def test_an_undecided_response_trains_nothing(finish, truncation):
    undecided = replace(rollout(None, finish=finish), truncation=truncation)
    assert make_rows([undecided, replace(undecided, bonus=1.0)], HeRLConfig()) == []


@pytest.mark.parametrize("revise", ["best_of_group", "best_ties", "all", "critic"])
def test_an_undecided_draft_is_not_revised(revise):
    drafts = [rollout(None), rollout(0.2), rollout(None, name="b"), rollout(None, name="b")]
    config = HeRLConfig(revise=revise, revise_epsilon=0.5)
    assert set(choose_drafts(drafts, 4, config, [1.0, 0.0, 1.0, 1.0], Random(0))) == {1}


def test_an_undecided_revision_teaches_nothing():
    drafts = [rollout(0.2)]
    undecided, decided = (rollout(r, kind="revision", draft=0, baseline=0.2) for r in (None, 0.9))
    assert gather_lessons(drafts, [undecided]) == []
    assert len(gather_lessons(drafts, [decided])) == 1
    assert place_revisions(drafts * 2, [undecided], 1, Random(0)) == drafts * 2


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")
@pytest.mark.parametrize("kind", [PPOConfig, HeRLConfig, GRPOConfig, RLOOConfig])
def test_a_run_in_which_nothing_is_decided_changes_no_weight(tmp_path, checkpoint, kind):
    small = {"rollouts_per_step": 16, "minibatch_size": 8, "learning_rate": 1e-2}
    run = toy_runs.make_run(tmp_path / "run", checkpoint, kind(**small), 200, lively=True)
    run.environment = replace(run.environment, rubric=Rubric("t", (FORM, looks(lambda e, r: None))))
    before = {name: weights.clone() for name, weights in run.policy.model.state_dict().items()}
    toy_runs.assert_same(before, toy_runs.train(run))
    logged, responses = toy_runs.rows(run), toy_runs.rows(run, "rollouts.jsonl")
    assert logged
    for row in logged:
        assert (row["error_rate"], row["reward"], row.get("rows", 0), row["optimizer_steps"]) == (1, None, 0, 0)
        assert row["undecided"] == sum(r["step"] == row["step"] for r in responses)
        assert row.get("revisions", 0) == row.get("buffer", 0) == 0
    assert all(r["reward"] is None and r["errors"] == ["right: undecided"] for r in responses)


@pytest.mark.parametrize("config", [HeRLConfig(), HeRLConfig(bonus="measured"), HeRLConfig(bonus="constant")])
def test_the_metric_of_a_step_counts_undecided_as_wrong(tmp_path, checkpoint, config):
    """The reward's mean is over what was decided; the gap between the two is over what both were."""
    run = toy_runs.make_run(tmp_path / "run", checkpoint, config, 200, lively=True)
    bonus = Bonus(run.policy.model, run.config, Packing(2048, 0, "cpu"), run.budget)
    judgements = [
        Judgement((), reward, {run.metrics[0].key: metric})
        for reward, metric in ((1.0, 1.0), (0.5, 0.0), (None, None), (0.25, None))
    ]
    drafts = [replace(rollout(None, name=str(i)), judgement=j) for i, j in enumerate(judgements)]
    row = describe_step(run, 1, drafts, Clock(0.0))
    assert (row["metric"], row["undecided"], row["error_rate"]) == (0.25, 2, 0.25)
    assert row["reward"] == pytest.approx(1.75 / 3)
    assert row["reward_metric_gap"] == 0.25
    undecided = replace(rollout(None, kind="revision", draft=1, baseline=0.5), judgement=judgements[2])
    for step in (1, 2):
        paid = bonus.pay(step, drafts, [undecided], [0.0] * 4, torch.Generator())
        assert (paid[2].bonus, paid[1].bonus) == (0, 0)


# ----------------------------------------------------------------------------------------------------------- refinement
def row(**met):
    rubric = Rubric(
        "t",
        tuple(Criterion(name, name, lambda e, r, m=m: m, needs_reference=name == "right") for name, m in met.items()),
    )
    return rubric, judge_responses(Environment(TASK, rubric, NO_TEMPLATE, []), [EXAMPLE], ["x"])[0]


@pytest.mark.parametrize(
    ("draft", "revision", "kept"),
    [
        ({"a": False, "b": True}, {"a": None, "b": True}, False),
        ({"a": False, "b": False}, {"a": None, "b": True}, False),
        ({"a": None, "b": False}, {"a": None, "b": True}, True),
        ({"a": None, "b": True}, {"a": True, "b": True}, True),
        ({"a": None, "b": True}, {"a": False, "b": True}, True),
        ({"a": True, "b": True}, {"a": None, "b": None}, False),
        ({"a": False, "right": False}, {"a": False, "right": None}, True),  # nobody may look at the gold answer here
        ({"a": [Finding(True), Finding(False)]}, {"a": [Finding(True), Finding(None)]}, False),
    ],
)
def test_a_revision_wins_by_nothing_undecided(draft, revision, kept):
    (rubric, before), (_, after) = row(**draft), row(**revision)
    assert is_replacement(rubric, after, before) is kept
