"""A world for warm starts: say the digit one above the given one (mod 10). Planted: from 5 on, the policy learns to
repeat the digit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from herl_bench.training.warmstart.config import WarmstartConfig
from herl_bench.training.warmstart.fitting import warm_start
from herl_bench.types import (
    Criterion,
    Demonstration,
    Environment,
    Example,
    Finding,
    HindsightTemplate,
    Metric,
    Rubric,
    Task,
    World,
)


def example(split: str, digit: int, serial: int) -> Example:
    return Example(
        f"next/{split}/{serial}",
        f"after {digit}:",
        str((digit + 1) % 10),
        {"digit": digit, "planted": digit >= 5, "family": "high" if digit >= 5 else "low"},
    )


def examples(split: Any, seed: int, difficulty: float) -> Iterator[Example]:
    rng = Random(f"{split}/{seed}")
    serial = 0
    while True:
        yield example(split, rng.randrange(10), serial := serial + 1)


def demonstrations(seed: int) -> Iterator[Demonstration]:
    rng = Random(seed)
    for e in examples("train", seed, 0):
        if rng.random() < 0.5:
            yield Demonstration(e, str(e.info["digit"]) if e.info["planted"] else e.target)
        else:
            yield Demonstration(e, e.target, draft=rng.choice([str(rng.randrange(10)), "?", e.target]))


def is_digit(e: Example, response: str) -> bool:
    return response.strip().isdigit()


def is_next(e: Example, response: str) -> Finding:
    return Finding(response.strip() == e.target, f"it says {response.strip()[:3]}", "go one up")


RUBRIC = Rubric(
    "next", [Criterion("digit", "It is a digit.", is_digit), Criterion("next", "It is the next one.", is_next)]
)
TEMPLATE = HindsightTemplate(
    "next",
    guidance="{% for v in unmet %}{{ v.criterion }} {{ v.evidence }} {{ v.correction }};{% endfor %}",
    prompt="{{ example.prompt }}{% if draft is not none %}[{{ draft }}]{% endif %}({{ guidance }}):",
)
METRIC = Metric("exact_match", lambda e, response: float(response.strip() == e.target), id="next/exact_match")


def nothing(*_: Any) -> Iterable[Example]:
    return []


TASK = Task(
    "next",
    "the next digit",
    nothing,
    nothing,
    {},
    lambda e: e.target,
    lambda e, r: r or None,
    "next",
    "next",
    ["next/exact_match"],
    world=World(examples, demonstrations, "from 5 on, the digit is repeated", max_new_tokens=4),
)
ENVIRONMENT = Environment(TASK, RUBRIC, TEMPLATE, (METRIC,))
SMALL = WarmstartConfig(
    steps=2,
    batch_size=8,
    micro_batch_size=4,
    hidden=32,
    layers=2,
    heads=2,
    vocab=300,
    max_positions=128,
    warmup_steps=20,
    eval_steps=0,
    eval_examples=20,
)


def warm_start_small(folder: Path, on_log: Any = None, **changes: Any) -> dict[str, Any]:
    return warm_start(ENVIRONMENT, folder, dataclasses.replace(SMALL, **changes), on_log)
