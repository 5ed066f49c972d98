"""Summing up judged responses."""

import math
from dataclasses import asdict, replace

import pytest
from helpers.evaluations import EXAMPLES, METRICS, RESPONSES, RUBRIC, TASK, Ran, evaluation, rows

from herl_bench.evaluation.judging import NO_TEMPLATE, judge_responses
from herl_bench.evaluation.tally import Tally, list_warnings, sum_up
from herl_bench.policy.answerer import Answer
from herl_bench.types import Environment, Metric, Rubric


def test_the_summary_by_hand():
    s = evaluation().summary
    strict, flexible = s.metrics["exact_match,strict-match"], s.metrics["exact_match,flexible"]
    assert (strict.value, strict.items) == (0.25, 4)
    assert strict.stderr == pytest.approx(math.sqrt((0.75**2 + 3 * 0.25**2) / 3 / 4))
    assert (flexible.value, flexible.items, flexible.undecided) == (
        0.5,
        4,
        2,
    )  # no number in the other two: they count as wrong
    assert (s.criteria["number"].value, s.criteria["short"].value, s.criteria["fragile"].items) == (0.5, 1.0, 3)
    assert (s.unparsed, s.truncated, s.empty, s.errors, s.generated_tokens) == (0.5, 0.25, 0.25, 2, 4)
    assert (s.families["even"].value, s.families["odd"].value) == (0.5, 0.0)
    assert (s.planted["planted"].items, s.planted["plain"].items) == (1, 3)


def test_what_guides_alone_is_averaged_like_any_other_criterion_and_named():
    guides = [replace(c, weight=0) if c.name == "short" else c for c in RUBRIC.criteria]
    made = rows(EXAMPLES[:2], RESPONSES[:2])
    dense, sparse = (sum_up(made, Rubric("r", criteria), METRICS) for criteria in (RUBRIC.criteria, guides))
    assert (dense.guides, sparse.guides) == ((), ("short",))
    assert replace(sparse, guides=()) == dense


def test_several_responses_of_an_item_count_once():
    made = rows([EXAMPLES[1], EXAMPLES[1], EXAMPLES[2]], ["2", "3", "4"], doc_ids=[1, 1, 2], samples=[0, 1, 0])
    s = sum_up(made, RUBRIC, METRICS)
    assert (s.items, s.responses) == (2, 3)
    assert s.metrics["exact_match,strict-match"].value == 0.75


def test_rates_are_of_the_responses_that_were_given():
    """Three of eight were not given; of the other five one was cut off, one is empty, one has no answer and one program
    hung."""
    ran = Metric(
        "ran",
        lambda e, ran: float(ran.text == "4"),
        observe=lambda e, texts, s: [Ran(t, "timeout" if t == "4" else "pass") for t in texts],
    )
    answers = [
        *[Answer("", error="HTTP 500")] * 3,
        Answer("2", "eos"),
        Answer("3", "length"),
        Answer("4", "eos"),
        Answer(" ", "eos"),
        Answer("x"),
    ]
    examples = [replace(EXAMPLES[0], id=str(i)) for i in range(8)]
    s = sum_up(
        judge_responses(Environment(TASK, Rubric("none", ()), NO_TEMPLATE, [ran]), examples, answers),
        Rubric("none", ()),
        [ran],
    )
    assert (s.truncated, s.empty, s.unparsed, s.timed_out) == (
        0.25,
        0.2,
        0.4,
        0.2,
    )  # the last does not say how it ended
    assert (s.errors, s.error_rate, s.undecided) == (3, 0.375, 3)
    assert (s.metrics["ran,none"].value, s.metrics["ran,none"].items, s.metrics["ran,none"].undecided) == (1 / 8, 8, 3)
    said = list(list_warnings(asdict(s)))
    assert len(said) == 5
    assert said[-1] == "37.5% of the responses are missing, or with something that could not be judged"


def test_quiet_below_five_percent_but_not_about_errors():
    rates = {"truncated": 0.05, "empty": 0.0, "unparsed": 0.051, "timed_out": 0.0, "error_rate": 0.001}
    assert [line.split(" of")[0] for line in list_warnings(rates)] == ["5.1%", "0.1%"]
    assert list(list_warnings({"truncated": None, "error_rate": 0.0})) == []


def test_any_prompt_that_was_cut_is_told_of():
    said = list(list_warnings({"error_rate": 0.0, "shortened": 1, "responses": 400}))
    assert said == ["1 of 400 prompts were cut on the left, to leave room for an answer of max_new_tokens"]


def test_tallies_of_parts_merge_to_the_tally_of_the_whole():
    made, parts = (
        rows([*EXAMPLES, *EXAMPLES], [*RESPONSES, *reversed(RESPONSES)]),
        [Tally(RUBRIC, METRICS) for _ in range(3)],
    )
    for i, row in enumerate(made):
        parts[i % 3].add([row])
    parts[0].merge(parts[1])
    parts[0].merge(parts[2])
    assert parts[0].summary() == sum_up(made, RUBRIC, METRICS)
