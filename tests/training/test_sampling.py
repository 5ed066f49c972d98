"""A step's responses: what is recorded of the prompts that they answer."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from helpers.toy_runs import SMALL, make_run, rows, train

from herl_bench.testing import tiny_checkpoint
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
