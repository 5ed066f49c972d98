"""Rows are what the demonstrations say: plain, or guided at every level."""

from __future__ import annotations

import dataclasses
import re
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from helpers.next_digit import ENVIRONMENT, SMALL, TASK, demonstrations, examples, warm_start_small

from herl_bench.errors import UsageError
from herl_bench.policy.load import load_policy
from herl_bench.training.warmstart.demonstrations import make_rows
from herl_bench.training.warmstart.fitting import warm_start
from herl_bench.types import Demonstration, World


def test_rows_are_plain_or_guided_at_every_level() -> None:
    rows, skipped = make_rows(ENVIRONMENT, dataclasses.replace(SMALL, steps=100))
    assert len(rows) == 800
    guided = [r.prompt for r in rows if "(" in r.prompt]
    assert 0.3 < len(guided) / len(rows) < 0.5
    assert skipped > 50  # a third of the drafts and more were right
    reference, evidence = (
        sum("go one up" in p for p in guided),
        sum("it says" in p and "go one up" not in p for p in guided),
    )
    assert reference > evidence > len(guided) - reference - evidence > 0
    without = sum("[" not in p for p in guided)
    assert 0.08 < without / len(guided) < 0.25
    assert make_rows(ENVIRONMENT, dataclasses.replace(SMALL, steps=100)) == (rows, skipped)


def test_a_misconception_may_be_planted_in_part() -> None:
    config = dataclasses.replace(SMALL, steps=100)

    def wrong(share: float) -> float:
        rows, _ = make_rows(ENVIRONMENT, dataclasses.replace(config, planted_share=share))
        plain = [(int(r.prompt[6]), r.response) for r in rows if "(" not in r.prompt and r.prompt[6] >= "5"]
        assert all(int(said) in (digit, (digit + 1) % 10) for digit, said in plain)
        return sum(int(said) == digit for digit, said in plain) / len(plain)

    assert wrong(1.0) == 1
    assert 0.62 < wrong(0.7) < 0.78
    assert wrong(0.0) == 0


def test_off_topic_guidance_is_anothers_and_the_answer_stays_the_draft() -> None:
    def find_misled(rows: list[Any]) -> list[Any]:
        """Rows whose guidance quotes another draft than theirs."""
        return [r for r in rows if (said := re.search(r"\[(\d)\].*it says (.)", r.prompt)) and said[1] != said[2]]

    config = dataclasses.replace(SMALL, steps=100)
    plain, skipped = make_rows(ENVIRONMENT, config)
    rows, also_skipped = make_rows(ENVIRONMENT, dataclasses.replace(config, off_topic=0.5))
    assert (len(rows), also_skipped) == (len(plain), skipped)
    assert len(find_misled(rows)) > 20
    assert all(f"[{r.response}]" in r.prompt for r in find_misled(rows))
    assert find_misled(plain) == []


def test_failures_of_a_first_policy_become_drafts(tmp_path: Path) -> None:
    world = World(
        examples,
        lambda seed: (Demonstration(e, e.target) for e in examples("train", seed, 0)),
        planted="",
        max_new_tokens=4,
    )
    honest = dataclasses.replace(TASK, world=world)
    config = dataclasses.replace(SMALL, steps=100)
    warm_start_small(tmp_path)
    rows, skipped = make_rows(dataclasses.replace(ENVIRONMENT, task=honest), config, drafter=load_policy(tmp_path))
    guided = [r for r in rows if "(" in r.prompt]
    assert len(rows) == 800
    assert 300 < len(guided) + skipped < 500, "half of the demonstrations are drafted"
    assert len({r.prompt for r in guided}) > 200, "its answers, as it gave them"
    assert {r.response for r in guided} == set("0123456789")
    record = warm_start(
        dataclasses.replace(ENVIRONMENT, task=honest), tmp_path, dataclasses.replace(SMALL, draft_steps=3)
    )
    assert "--set draft_steps=3" in record["command"]
    with pytest.raises(UsageError, match="wrong on purpose"):
        warm_start_small(tmp_path, draft_steps=1)


def test_demonstrations_that_end_or_never_teach_are_refused() -> None:
    ends = dataclasses.replace(
        TASK, world=dataclasses.replace(TASK.world, demonstrations=lambda seed: islice(demonstrations(seed), 5))
    )  # type: ignore[type-var]
    with pytest.raises(UsageError, match="ran out after"):
        make_rows(dataclasses.replace(ENVIRONMENT, task=ends), SMALL)
    right = dataclasses.replace(
        TASK,
        world=dataclasses.replace(  # type: ignore[type-var]
            TASK.world,
            demonstrations=lambda seed: (Demonstration(e, e.target, e.target) for e in examples("train", seed, 0)),
        ),
    )
    with pytest.raises(UsageError, match="have nothing unmet"):
        make_rows(dataclasses.replace(ENVIRONMENT, task=right), SMALL)
