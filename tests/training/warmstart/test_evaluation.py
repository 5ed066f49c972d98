"""What is measured of a warm-started policy: its columns, its rows, and a world's other kind beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helpers.next_digit import ENVIRONMENT, TASK, examples, warm_start_small

from herl_bench.policy.load import load_policy
from herl_bench.training.warmstart.evaluation import evaluate_policy
from herl_bench.types import Example


def make_low_ones(split: Any, seed: int, difficulty: float) -> Iterator[Example]:
    low = (e for e in examples(split, seed, difficulty) if not e.info["planted"])
    return (dataclasses.replace(e, info=e.info | {"held_out": e.info["digit"] == 0}) for e in low)


def test_every_kind_of_a_world_is_measured_at_all_levels_and_by_both_controls(tmp_path: Path) -> None:
    warm_start_small(tmp_path, steps=1)
    assert TASK.world is not None
    task = dataclasses.replace(TASK, world=dataclasses.replace(TASK.world, single=make_low_ones))
    found = evaluate_policy(load_policy(tmp_path), dataclasses.replace(ENVIRONMENT, task=task), 30)
    assert found["plain"] == {"overall": 0.0, "planted": 0.0, "other": 0.0}, "it has learnt nothing yet"
    assert list(found["repaired"]) == ["reference", "evidence", "criteria", "another's", "again"]
    single = found["single"]
    assert set(single) | {"single"} == set(found)
    assert single["plain"] == {"overall": 0.0, "planted": None, "other": 0.0, "held_out": 0.0}
    assert (set(found["families"]), set(single["families"])) == ({"high", "low"}, {"low"})
    assert single["repaired"]["another's"]["overall"] == 0.0, "there is no other family to take words from"
