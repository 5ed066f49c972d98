"""How good a warm-started policy is: what it answers plainly, and what it repairs under guidance.

The guidance is its own, at each hint level, and two controls: another problem's, and the bare words that something is
not right yet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from herl_bench.hindsight import write_guidance, write_revision_prompt
from herl_bench.rubric import judge
from herl_bench.training.warmstart.demonstrations import identify_kind
from herl_bench.types import Environment, Example, HintLevel, Judgement, Split

if TYPE_CHECKING:
    from herl_bench.policy.generation import Completion
    from herl_bench.policy.load import Policy

LEVELS: tuple[HintLevel, ...] = ("reference", "evidence", "criteria")
ANOTHERS, AGAIN = "another's", "again"
TRY_AGAIN = "That is not right yet."
EVAL_SEED = 1_000_003
"""Fresh for every training seed that anybody is likely to write."""


def evaluate_policy(
    policy: Policy, environment: Environment, count: int = 300, levels: Sequence[HintLevel] = LEVELS
) -> dict[str, Any]:
    """How good a policy is on `count` evaluation examples of its world; 1 or more of the primary metric is right.
    `plain` (greedy) and `sampled` (temperature 1): share right `overall`, on `planted` and on `other` families, and on
    those planted ones whose wording is `held_out` of the demonstrations, where a world says so in `info`.
    `repaired`: for each hint level, the share of the greedy failures whose greedy revision, given draft and guidance,
    is right; the same columns; under `another's` with the guidance (at the first level) that the next failure of
    another family was given; under `again` told only that it is not right. `families`: per family, plain share right,
    share repaired at the first level, examples. `truncated`: share of greedy responses cut off by the world's
    max_new_tokens. None: there was nothing to count. `single`: all this on the world's other kind, if it has one."""
    world = environment.task.world
    assert world is not None
    measured = _evaluate(policy, environment, _draw(world.examples, world.difficulty, count), levels)
    if world.single is not None:
        measured["single"] = _evaluate(policy, environment, _draw(world.single, world.difficulty, count), levels)
    return measured


def _draw(examples: Callable[[Split, int, float], Iterator[Example]], difficulty: float, count: int) -> list[Example]:
    return list(islice(examples("eval", EVAL_SEED, difficulty), count))


def _evaluate(
    policy: Policy, environment: Environment, examples: Sequence[Example], levels: Sequence[HintLevel]
) -> dict[str, Any]:
    template, rubric = environment.template, environment.rubric
    prompts = [e.prompt for e in examples]
    plain = _write(policy, environment, prompts, 0.0)
    texts = [c.text for c in plain]
    plain_right, judgements = _judge(environment, examples, texts)
    sampled_right, _ = _judge(environment, examples, [c.text for c in _write(policy, environment, prompts, 1.0)])

    drafts = list(zip(examples, texts, judgements, plain_right, strict=True))
    failures = [(example, text, judgement.verdicts) for example, text, judgement, right in drafts if not right]
    failed = [example for example, _, _ in failures]
    words: dict[str, list[str]] = {
        level: [write_guidance(template, rubric, *failure, level) for failure in failures] for level in levels
    }
    words[ANOTHERS] = _exchange_words(failed, words[levels[0]])
    words[AGAIN] = [TRY_AGAIN] * len(failed)
    repaired = {}
    for level, guidance in words.items():
        guided = [(i, example, text) for i, (example, text, _) in enumerate(failures) if guidance[i]]
        prompts = [write_revision_prompt(template, example, guidance[i], text) for i, example, text in guided]
        revisions = _write(policy, environment, prompts, 0.0)
        right, _ = _judge(environment, [example for _, example, _ in guided], [c.text for c in revisions])
        fixed = {i for (i, _, _), ok in zip(guided, right, strict=True) if ok}
        repaired[level] = [i in fixed for i in range(len(failures))]
    return {
        "examples": len(examples),
        "plain": _share_by_planted(examples, plain_right),
        "sampled": _share_by_planted(examples, sampled_right),
        "repaired": {level: _share_by_planted(failed, outcome) for level, outcome in repaired.items()},
        "truncated": _share([c.finish == "length" for c in plain]),
        "families": _share_by_family(examples, plain_right, failed, repaired[levels[0]]),
    }


def _write(policy: Policy, environment: Environment, prompts: list[str], temperature: float) -> list[Completion]:
    import torch

    from herl_bench.policy.generation import generate

    task = environment.task
    assert task.world is not None
    ids, generator = policy.encode(prompts, task.instruction), torch.Generator(policy.device).manual_seed(0)
    longest = task.world.max_new_tokens
    return generate(policy, ids, temperature=temperature, max_new_tokens=longest, stop=task.stop, generator=generator)


def _judge(
    environment: Environment, examples: Sequence[Example], texts: Sequence[str]
) -> tuple[list[bool], list[Judgement]]:
    """(is the response right?, what was found) for each."""
    metric = environment.metrics[0]
    judgements = judge(examples, texts, environment.rubric, [metric], sandbox=environment.sandbox)
    return [(j.metrics[metric.key] or 0.0) >= 1.0 for j in judgements], judgements


def _exchange_words(examples: Sequence[Example], words: Sequence[str]) -> list[str]:
    """To each example the words of the next, in a circle, that is of another family; empty where there is none."""
    kinds = [identify_kind(example) for example in examples]
    pairs = list(zip(kinds, words, strict=True))
    circles = [pairs[i:] + pairs[:i] for i in range(len(pairs))]
    return [next((text for kind, text in circle if kind != circle[0][0] and text), "") for circle in circles]


def _share(flags: Sequence[bool]) -> float | None:
    return round(sum(flags) / len(flags), 3) if flags else None


def _share_by_planted(examples: Sequence[Example], flags: Sequence[bool]) -> dict[str, float | None]:
    groups = _group(flags, (bool(e.info.get("planted")) for e in examples))
    shares = {"overall": _share(flags), "planted": _share(groups[True]), "other": _share(groups[False])}
    if any("held_out" in e.info for e in examples):
        held_out = _group(flags, (bool(e.info.get("held_out")) for e in examples))[True]
        shares["held_out"] = _share(held_out)
    return shares


def _share_by_family(
    examples: Sequence[Example], right: Sequence[bool], failed: Sequence[Example], repaired: Sequence[bool]
) -> dict[str, list[float | None]]:
    plain = _group(right, (str(e.info.get("family", "")) for e in examples))
    mended = _group(repaired, (str(e.info.get("family", "")) for e in failed))
    return {family: [_share(plain[family]), _share(mended[family]), len(plain[family])] for family in sorted(plain)}


def _group(flags: Sequence[bool], keys: Iterable[Any]) -> dict[Any, list[bool]]:
    groups: dict[Any, list[bool]] = defaultdict(list)
    for key, flag in zip(keys, flags, strict=True):
        groups[key].append(flag)
    return groups
