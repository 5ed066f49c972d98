"""Refining at test time: who may see the gold answer, what replaces a draft, and what is reported."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from helpers.servers import command, reply, server

from herl_bench.answers import UNCLOSED
from herl_bench.evaluation.judging import judge_responses
from herl_bench.evaluation.refine import QUESTION, Refinement, reference_free_score, refine
from herl_bench.policy.answerer import Answer, ResolvedSampling
from herl_bench.testing import TOY_METRIC, TOY_RUBRIC, TOY_TASK, TOY_TEMPLATE
from herl_bench.types import Environment

EXAMPLES = list(islice(TOY_TASK.world.examples("eval", 0, 0.5), 3))
SETTINGS = ResolvedSampling(max_new_tokens=6, seed=0)
ENVIRONMENT = Environment(TOY_TASK, TOY_RUBRIC, TOY_TEMPLATE, [TOY_METRIC])


class Author:
    """Answers each prompt with `write(prompt)`, and remembers what it was asked."""

    name, identity, batch_size = "author", {"author": True}, 2

    def __init__(self, write: Callable[[str], str], chat: bool = False):
        self.write, self.chat = write, chat
        self.asked: list[Any] = []
        self.seeds: list[int] = []

    def answer(
        self, prompts: Sequence[str], seeds: Sequence[int], sampling: ResolvedSampling, on_answers: Any
    ) -> list[Answer]:
        self.asked += prompts
        self.seeds += seeds
        return [
            Answer(text, "stop", tokens=1) if (text := self.write(p)) else Answer("", error="the server is gone")
            for p in prompts
        ]


def refined(drafts: Sequence[str], author: Author, critique: Any, rounds: int = 1) -> Refinement:
    rows = judge_responses(ENVIRONMENT, EXAMPLES[: len(drafts)], list(drafts))
    return refine(author, ENVIRONMENT, rows, SETTINGS, rounds=rounds, critique=critique)


def test_without_the_gold_answer_only_other_criteria_are_spoken_of() -> None:
    author = Author(lambda prompt: EXAMPLES[1].target)
    wrong = str(int(EXAMPLES[0].target) + 1)
    found = refined([wrong, "none"], author, "reference_free")
    assert len(author.asked) == 1  # the wrong number breaks no criterion that can be seen without the gold answer
    assert "The answer is a number." in author.asked[0]
    assert "sum" not in author.asked[0].replace(EXAMPLES[1].prompt, "")
    assert [(r.revised, r.kept, r.fixed, r.broken) for r in found.rounds] == [(0, 0, 0, 0), (1, 1, 1, 0)]
    assert [r.metrics["exact_match,none"].value for r in found.rounds] == [0.0, 0.5]


def test_the_oracle_sees_it_and_is_called_so() -> None:
    author = Author(lambda prompt: EXAMPLES[0].target)
    found = refined([str(int(EXAMPLES[0].target) + 1)], author, "oracle")
    assert "The answer is the sum." in author.asked[0]
    assert found.rounds[1].fixed == 1
    assert "ORACLE" in found.as_json()["critique_is"]


def test_a_chat_model_is_asked_in_a_conversation() -> None:
    author = Author(lambda prompt: EXAMPLES[0].target, chat=True)
    found = refined(["none"], author, "reference_free")
    said = "Not so: The answer is a number."
    assert author.asked == [(("user", f"{EXAMPLES[0].prompt}\n\nAn earlier answer is wrong. {said} Answer again."),)]
    assert found.rounds[1].fixed == 1
    author.asked.clear()
    rows = judge_responses(ENVIRONMENT, EXAMPLES[:1], ["none"])
    refine(author, ENVIRONMENT, rows, SETTINGS, rounds=1, critique="self", form="with_draft")
    asked = [[turn.text for turn in prompt] for prompt in author.asked]
    words = EXAMPLES[0].target
    assert asked == [[EXAMPLES[0].prompt, "none", QUESTION], [EXAMPLES[0].prompt, "none", f"{words} Answer again."]]


@pytest.mark.parametrize("form", ["prompt", "with_draft"])
def test_a_draft_that_is_all_thought_is_shown_to_nobody(form: Any) -> None:
    author = Author(lambda prompt: EXAMPLES[0].target, chat=form != "prompt")
    rows = judge_responses(ENVIRONMENT, EXAMPLES[:1], ["<think>three and four"])
    found = refine(author, ENVIRONMENT, rows, SETTINGS, rounds=1, critique="self", form=form)
    (asked,) = author.asked
    assert UNCLOSED in str(asked)
    assert "<think>" not in str(asked)
    assert found.rounds[1].fixed == 1


def test_a_revision_that_scores_lower_does_not_replace_its_draft() -> None:
    found = refined(
        [EXAMPLES[0].target],
        Author(lambda prompt: "it is the first mistake" if "wrong" in prompt else "no"),
        "self",
        rounds=2,
    )
    assert [(r.revised, r.kept, r.broken) for r in found.rounds] == [(0, 0, 0), (1, 0, 0), (1, 0, 0)]
    assert found.rounds[2].metrics["exact_match,none"].value == 1.0
    assert [r.tokens for r in found.rounds[1:]] == [2, 2]  # the critique is paid for too
    kept = refined([EXAMPLES[0].target], Author(lambda prompt: "7" if "7?" not in prompt else "8"), "self")
    assert (kept.rounds[1].kept, kept.rounds[1].broken) == (1, 1)  # as short a number, so nothing visible got worse


def test_a_missing_revision_is_an_error_and_changes_nothing() -> None:
    found = refined(["none"], Author(lambda prompt: ""), "reference_free")
    assert (found.rounds[1].errors, found.rounds[1].kept) == (1, 0)
    assert found.rounds[1].metrics == found.rounds[0].metrics


def test_every_request_has_a_seed_of_its_own() -> None:
    author = Author(lambda prompt: "x")
    refined(["none", "none", "none"], author, "self", rounds=2)
    assert len(set(author.seeds)) == len(author.seeds) == 12


def test_the_score_that_decides_leaves_the_gold_answer_out() -> None:
    (row,) = judge_responses(ENVIRONMENT, EXAMPLES[:1], ["not a number at all"])
    (right,) = judge_responses(ENVIRONMENT, EXAMPLES[:1], ["1"])
    assert (reference_free_score(TOY_RUBRIC, row), reference_free_score(TOY_RUBRIC, right)) == (0.0, 1.0)


def test_through_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with server(lambda prompt, n: reply("#### 1" if "not right" in prompt else "no idea")) as (base, seen):
        args = ["--limit", "5", "--refine", "2", "--output_path", str(tmp_path), "--log_samples", "--format", "json"]
        code, out, err = command(capsys, base, *args)
    assert code == 0, err
    rounds = json.loads(out)["refined"]["gsm8k"]["rounds"]
    assert [r["revised"] for r in rounds] == [
        0,
        5,
        0,
    ]  # the second time the form is right, and there is nothing left to say
    assert [r["kept"] for r in rounds] == [0, 5, 0]
    assert len(seen) == 10
    (results,), (lines,) = tmp_path.rglob("results_*.json"), tmp_path.rglob("refined_gsm8k_*.jsonl")
    assert json.loads(results.read_text())["herl_bench"]["refined"]["gsm8k"]["rounds"] == rounds
    assert [json.loads(line)["response"] for line in lines.read_text().splitlines()] == ["#### 1"] * 5


def test_lm_evals_tasks_have_nothing_to_refine_by(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = command(capsys, "http://127.0.0.1:9/v1", "--refine", "1", "--tasks", "lm_eval:arc_easy")
    assert code == 2
    assert "--refine needs a rubric" in err
