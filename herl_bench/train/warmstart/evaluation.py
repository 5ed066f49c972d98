"""How good a warm-started policy is: what it answers plainly, and what it repairs under guidance.

The guidance is its own (at two hint levels) and, as a control, another problem's: a policy that reads its guidance
makes nothing of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from herl_bench.hindsight import write_guidance, write_revision_prompt
from herl_bench.rubric import judge
from herl_bench.train.warmstart.demonstrations import identify_kind
from herl_bench.types import Environment, Example, HintLevel, Judgement

if TYPE_CHECKING:
    from herl_bench.policy.generation import Completion
    from herl_bench.policy.load import Policy

ANOTHERS = "another's"
EVAL_SEED = 1_000_003
"""Fresh for every training seed that anybody is likely to write."""


def evaluate_policy(
    policy: Policy, environment: Environment, count: int = 300, levels: Sequence[HintLevel] = ("reference", "evidence")
) -> dict[str, Any]:
    """How good a warm-started policy is on `count` evaluation examples of its world; 1 or more of the primary metric is
    right.

    `plain` (greedy) and `sampled` (temperature 1): share right `overall`, on `planted` and on `other` families.
    `repaired`: for each hint level, the share of the greedy failures whose greedy revision, given draft and guidance,
    is right; the same three columns; under `another's` with the guidance (at the first level) that the next failure of
    another family was given. `families`: per family, plain share right, share repaired at the first level, examples.
    `truncated`: share of greedy responses cut off by the world's max_new_tokens. None stands where there was nothing to
    count.
    """
    world, template, rubric = environment.task.world, environment.template, environment.rubric
    assert world is not None
    examples = list(islice(world.examples("eval", EVAL_SEED, world.difficulty), count))
    prompts = [e.prompt for e in examples]
    plain = _write(policy, environment, prompts, 0.0)
    texts = [c.text for c in plain]
    plain_right, judgements = _judge(environment, examples, texts)
    sampled_right, _ = _judge(environment, examples, [c.text for c in _write(policy, environment, prompts, 1.0)])

    failures = [i for i, right in enumerate(plain_right) if not right]
    failed = [examples[i] for i in failures]
    guidance: dict[str, list[str]] = {
        level: [
            write_guidance(template, rubric, examples[i], texts[i], judgements[i].verdicts, level) for i in failures
        ]
        for level in levels
    }
    guidance[ANOTHERS] = _exchange_words(failed, guidance[levels[0]])
    repaired = {}
    for level, texts_of_level in guidance.items():
        guided = [(i, words) for i, words in zip(failures, texts_of_level, strict=True) if words]
        revising = [write_revision_prompt(template, examples[i], words, texts[i]) for i, words in guided]
        revisions = _write(policy, environment, revising, 0.0)
        right, _ = _judge(environment, [examples[i] for i, _ in guided], [c.text for c in revisions])
        fixed = {i for (i, _), ok in zip(guided, right, strict=True) if ok}
        repaired[level] = [i in fixed for i in failures]
    return {
        "examples": count,
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
    return generate(
        policy,
        policy.encode(prompts, task.instruction),
        temperature=temperature,
        max_new_tokens=task.world.max_new_tokens,
        stop=task.stop,
        generator=torch.Generator(policy.device).manual_seed(0),
    )


def _judge(
    environment: Environment, examples: Sequence[Example], texts: Sequence[str]
) -> tuple[list[bool], list[Judgement]]:
    """(is the response right?, what was found) for each."""
    metric = environment.metrics[0]
    judgements = judge(examples, texts, environment.rubric, [metric], sandbox=environment.sandbox)
    return [(j.metrics[metric.key] or 0.0) >= 1.0 for j in judgements], judgements


def _exchange_words(examples: Sequence[Example], words: Sequence[str]) -> list[str]:
    """To each example the words of the next one, counted in a circle, that is of another family; empty where there is
    none."""
    kinds = [identify_kind(example) for example in examples]
    exchanged = []
    for i, kind in enumerate(kinds):
        others = [*range(i + 1, len(kinds)), *range(i)]
        exchanged.append(next((words[j] for j in others if kinds[j] != kind and words[j]), ""))
    return exchanged


def _share(flags: Sequence[bool]) -> float | None:
    return round(sum(flags) / len(flags), 3) if flags else None


def _share_by_planted(examples: Sequence[Example], flags: Sequence[bool]) -> dict[str, float | None]:
    planted = [bool(e.info.get("planted")) for e in examples]
    return {
        "overall": _share(flags),
        "planted": _share([f for f, p in zip(flags, planted, strict=True) if p]),
        "other": _share([f for f, p in zip(flags, planted, strict=True) if not p]),
    }


def _share_by_family(
    examples: Sequence[Example], right: Sequence[bool], failed: Sequence[Example], repaired: Sequence[bool]
) -> dict[str, list[float | None]]:
    def group(examples: Sequence[Example], flags: Sequence[bool], family: str) -> list[bool]:
        return [f for e, f in zip(examples, flags, strict=True) if str(e.info.get("family", "")) == family]

    shares: dict[str, list[float | None]] = {}
    for family in sorted({str(e.info.get("family", "")) for e in examples}):
        plain = group(examples, right, family)
        shares[family] = [_share(plain), _share(group(failed, repaired, family)), len(plain)]
    return shares
