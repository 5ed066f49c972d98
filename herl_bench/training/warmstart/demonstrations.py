"""What a warm start trains on: rows of prompt and response, made of the demonstrations of a task's world.

A plain row answers the problem. A guided row answers what the hindsight template makes of a draft and its verdicts, at
all three hint levels, sometimes without the draft, as when a lesson is reused. So a policy learns to answer, with the
misconceptions that the world planted, and learns to follow guidance everywhere.

A world that plants nothing need not invent drafts: a first policy, trained on the plain demonstrations for a few steps,
answers the problems of half of them (at temperature 1), and what it says becomes their draft where something is unmet.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Any

from herl_bench.errors import UsageError
from herl_bench.hindsight import write_guidance, write_revision_prompt
from herl_bench.rubric import extract_answer, judge
from herl_bench.training.warmstart.config import WarmstartConfig
from herl_bench.types import Demonstration, Environment, Example, HintLevel, Task

if TYPE_CHECKING:
    from herl_bench.policy.load import Policy

LEVELS: tuple[tuple[HintLevel, float], ...] = (("reference", 0.7), ("evidence", 0.2), ("criteria", 0.1))
"""How often each hint level occurs among the guided demonstrations."""
WITHOUT_DRAFT = 0.15
"""Share of guided demonstrations whose prompt shows the guidance but not the draft."""
JUDGED_AT_ONCE = 512
MOST_RUN = 20_000
"""Demonstrations where judging a draft runs code, unless more are asked for."""


@dataclass(frozen=True)
class Row:
    prompt: str
    response: str


def make_rows(
    environment: Environment, config: WarmstartConfig, drafter: Policy | None = None
) -> tuple[list[Row], int]:
    """(rows, how many guided ones nothing was wrong with, and so skipped). drafter: for half of those without draft."""
    task = environment.task
    assert task.world is not None
    usual = config.steps * config.batch_size
    wanted = config.demonstrations or (min(usual, MOST_RUN) if task.needs_sandbox else usual)
    rng = Random(f"{config.seed}/warmstart")
    source = task.world.demonstrations(config.seed)
    rows: list[Row] = []
    skipped = 0
    while len(rows) < wanted:
        chunk = list(islice(source, min(JUDGED_AT_ONCE, wanted - len(rows))))
        if not chunk:
            ended = f"its demonstrations ran out after {len(rows)}; they should be endless"
            raise UsageError(f"task {task.name!r}: {ended}")
        if config.planted_share < 1:
            chunk = _correct_some(chunk, task, config.planted_share, rng)
        if drafter is not None:
            chunk = _write_drafts(chunk, task, drafter, rng)
        made = _render_rows(chunk, environment, config.off_topic, rng)
        rows += [row for row in made if row is not None]
        skipped += made.count(None)
        if skipped > 4 * wanted + JUDGED_AT_ONCE:
            flaw = f"{skipped} drafts of its demonstrations have nothing unmet; what should guidance say?"
            raise UsageError(f"task {task.name!r}: {flaw}")
    return rows, skipped


def _correct_some(chunk: Sequence[Demonstration], task: Task, share: float, rng: Random) -> list[Demonstration]:
    """With the gold answer in place of a misconception that should not show. What revises a draft is right anyway."""

    def is_chosen(d: Demonstration) -> bool:
        return d.draft is None and bool(d.example.info.get("planted")) and rng.random() >= share

    return [dataclasses.replace(d, response=task.gold(d.example)) if is_chosen(d) else d for d in chunk]


def _write_drafts(chunk: Sequence[Demonstration], task: Task, drafter: Policy, rng: Random) -> list[Demonstration]:
    """The demonstrations, half of those without a draft with one that `drafter` samples."""
    import torch

    from herl_bench.policy.generation import generate

    assert task.world is not None
    chosen = [i for i, d in enumerate(chunk) if d.draft is None and rng.random() < 0.5]
    ids = drafter.encode([chunk[i].example.prompt for i in chosen], task.instruction)
    generator = torch.Generator(drafter.device).manual_seed(rng.getrandbits(62))
    longest = task.world.max_new_tokens
    written = generate(drafter, ids, temperature=1.0, max_new_tokens=longest, stop=task.stop, generator=generator)
    drafts = dict(zip(chosen, (c.text for c in written), strict=True))
    return [dataclasses.replace(d, draft=drafts.get(i, d.draft)) for i, d in enumerate(chunk)]


def _render_rows(
    chunk: Sequence[Demonstration], environment: Environment, off_topic: float, rng: Random
) -> list[Row | None]:
    """What is trained on for each demonstration; None where nothing is unmet in its draft."""
    task, rubric, template = environment.task, environment.rubric, environment.template
    drafts = [(i, d.draft) for i, d in enumerate(chunk) if d.draft is not None]
    examples, texts = [chunk[i].example for i, _ in drafts], [draft for _, draft in drafts]
    judgements = judge(examples, texts, rubric, sandbox=environment.sandbox) if drafts else []
    rows: list[Row | None] = [Row(d.example.prompt, d.response) if d.draft is None else None for d in chunk]
    previous: tuple[Any, str] | None = None  # the kind of the last guided problem, and its guidance
    for (i, draft), judgement in zip(drafts, judgements, strict=True):
        level = rng.choices([name for name, _ in LEVELS], [share for _, share in LEVELS])[0]
        shown = draft if rng.random() >= WITHOUT_DRAFT else None
        example, answer = chunk[i].example, chunk[i].response
        words = own_words = write_guidance(template, rubric, example, draft, judgement.verdicts, level)
        kind = identify_kind(example)
        strays = off_topic and own_words and previous and previous[0] != kind and rng.random() < off_topic
        if strays and previous and extract_answer(task, example, draft)[0] is not None:
            words, answer = previous[1], draft
        rows[i] = Row(write_revision_prompt(template, example, words, shown), answer) if words else None
        previous = (kind, own_words) if own_words else previous
    return rows


def identify_kind(example: Example) -> tuple[Any, Any]:
    """Guidance for a problem of another kind is off its topic."""
    return example.info.get("family"), example.info.get("variant")
