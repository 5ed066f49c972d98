"""A step's responses: what is recorded of the prompts that they answer."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.toy_runs import PARITY, SMALL, make_run, rows, train

from herl_bench.testing import TOY_TASK, tiny_checkpoint
from herl_bench.training.config import HeRLConfig


@pytest.mark.parametrize("chat", [False, True])
def test_a_prompt_that_was_cut_is_recorded_as_it_was_read(tmp_path: Path, caplog, chat: bool) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "model", chat_template=chat)
    run = make_run(tmp_path / "run", checkpoint, HeRLConfig(**SMALL), budget=300)
    run.policy.model.config.max_position_embeddings = 12  # six of them for the answer
    with caplog.at_level(logging.WARNING, "herl_bench"):
        train(run)
    rollouts, steps = rows(run, "rollouts.jsonl"), rows(run)
    for row in rollouts:
        asked = run.encode([row["id"].removeprefix("toy/train/") + "="])[0]
        if row["kind"] == "plain" and len(asked) > 6:
            ids = asked[-6:]
            ids[0] = asked[0] if asked[0] == run.policy.tokenizer.bos_token_id else ids[0]
            assert row["prompt"] == run.policy.tokenizer.decode(ids)
    assert sum(row.get("prompts_cut", 0) for row in steps) > 0
    said = [record.getMessage() for record in caplog.records if "cut on the left" in record.getMessage()]
    assert len(steps) > 1
    assert len(said) == 1


def test_prompts_that_fit_are_not_counted(tmp_path: Path, caplog) -> None:
    run = make_run(tmp_path / "run", tiny_checkpoint(tmp_path / "model"), HeRLConfig(**SMALL), budget=200)
    train(run)
    assert not any("prompts_cut" in row for row in rows(run))
    assert "cut on the left" not in caplog.text


@pytest.mark.parametrize("truncation", ["penalise", "mask"])
def test_what_was_cut_off_is_worth_the_same_to_choice_training_and_logs(tmp_path: Path, truncation: Any) -> None:
    """An untrained policy, nearly all of whose responses are cut off, and a rubric that half of them meet by chance."""
    config = HeRLConfig(**SMALL, truncation=truncation)
    run = make_run(tmp_path / "run", tiny_checkpoint(tmp_path / "model"), config, budget=300)
    run.environment = replace(run.environment, rubric=PARITY)
    train(run)
    steps, logged = rows(run), rows(run, "rollouts.jsonl")
    cut = [r for r in logged if r["finish"] == "length"]
    assert cut
    assert {r["reward"] for r in cut} == {0.0 if truncation == "penalise" else None}
    assert all(r["verdicts"] and not r["errors"] for r in cut)
    assert {r.get("rubric_reward", 0.0) for r in cut} == {0.0, 0.5, 1.0}
    assert not any("rubric_reward" in r for r in logged if r["finish"] != "length")
    for step in steps:
        own = [r for r in logged if r["step"] == step["step"]]
        paid = [r["reward"] for r in own if r["kind"] == "plain" and r["reward"] is not None]
        assert step["error_rate"] == 0
        assert step["reward"] == (pytest.approx(sum(paid) / len(paid)) if paid else None)
        assert step["rows"] >= sum(r["reward"] is not None for r in own)
        drafts = {r["index"]: r for r in own if r["kind"] == "plain"}
        revisions = [r for r in own if r["kind"] == "revision"]
        assert all(r["baseline"] == drafts[r["draft"]]["reward"] for r in revisions)


def test_an_extract_that_raises_is_an_error_of_that_response(tmp_path: Path) -> None:
    """Of every response to an even problem; the run goes on."""

    def extract(example: Any, response: str) -> str | None:
        if int(example.target) % 2 == 0:
            raise RuntimeError("no such format")
        return response

    run = make_run(tmp_path / "run", tiny_checkpoint(tmp_path / "model"), HeRLConfig(**SMALL), budget=300)
    run.environment = replace(run.environment, task=replace(TOY_TASK, extract=extract))
    train(run)
    for step in rows(run):
        own = [r for r in rows(run, "rollouts.jsonl") if r["step"] == step["step"]]
        raised = [r for r in own if r["errors"]]
        assert {tuple(r["errors"]) for r in raised} == {("extract: RuntimeError: no such format",)}
        assert 0 < step["extract_errors"] == len(raised) < len(own)
        assert step["unparsed_rate"] == 0
        assert step["error_rate"] == 0
