"""Evaluate a policy, and sum up judged responses.

`evaluate` samples, judges and sums up; `judge_responses` and `sum_up` do the last two for responses that come from elsewhere, so that
a stored file and a live model get their numbers from the same lines of code. An item whose metric could not be computed is left out of
that metric's mean and counted as an error: our failure is never the policy's wrong answer.

Left out: few-shot prompts (the policy sees the task's own prompt), and metrics over all responses of an item, such as pass@k.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from herl_bench.rubric import judge
from herl_bench.types import Example, Judgement, Metric, Rubric, Task

if TYPE_CHECKING:
    from herl_bench.policy import Policy

BATCH = 64


@dataclass(frozen=True)
class Row:
    """One judged response.

    doc_id: the item's position among the evaluated ones. sample: which of its responses.
    finish: `eos`, `stop` or `length` (cut off); empty where unknown.
    extracted: the final answer found in the response, None where there is none.
    dropped: prompt tokens that did not fit the model and were left out.
    errors: what could not be decided, in words.
    """

    example: Example
    doc_id: int
    sample: int
    response: str
    judgement: Judgement
    extracted: str | None
    response_ids: tuple[int, ...] = ()
    finish: str = ""
    dropped: int = 0
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Score:
    """A mean over items and its standard error, sqrt(var(ddof=1) / items) as in lm-eval; None where too few items were decided."""

    value: float | None
    stderr: float | None
    items: int


@dataclass(frozen=True)
class Summary:
    """What a set of judged responses comes to.

    metrics: by key `name,filter`, in the order they were given. criteria: pass rate over the items they apply to.
    unparsed, truncated, empty: share of responses without a final answer, cut off by the length limit, without any text.
    errors, shortened: number of responses with something that could not be decided, and of prompts that did not fit the model.
    families: per problem family, its primary metric. planted: the primary metric on `planted` and `plain` items, where a world plants any.
    """

    items: int
    responses: int
    metrics: Mapping[str, Score]
    criteria: Mapping[str, Score]
    reward: Score
    unparsed: float
    truncated: float
    empty: float
    errors: int
    shortened: int
    generated_tokens: int
    families: Mapping[str, Score] = field(default_factory=dict)
    planted: Mapping[str, Score] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """All rows, their summary, and the settings they were sampled with."""

    rows: tuple[Row, ...]
    summary: Summary
    settings: Mapping[str, Any] = field(default_factory=dict)


def evaluate(
    policy: Policy,
    task: Task,
    rubric: Rubric,
    metrics: Sequence[Metric],
    examples: Sequence[Example],
    *,
    sandbox: Any = None,
    max_new_tokens: int,
    temperature: float = 0.0,
    n: int = 1,
    seed: int = 0,
    batch_size: int = BATCH,
    on_batch: Callable[[Sequence[Row]], None] | None = None,
) -> Evaluation:
    """Sample `n` responses to each example and judge them.

    on_batch: called with each batch's rows as soon as they are judged; all responses of an item come in one batch.
    The result depends on `seed`, not on what was sampled before.
    """
    settings = sampling_settings(policy, task, max_new_tokens=max_new_tokens, temperature=temperature, n=n, seed=seed)
    import torch

    from herl_bench.policy import generate

    generator = torch.Generator(device=policy.device).manual_seed(seed)
    rows: list[Row] = []
    size = max(1, batch_size // n)
    for start in range(0, len(examples), size):
        batch = examples[start : start + size]
        repeated = [e for e in batch for _ in range(n)]
        prompts = policy.encode([e.prompt for e in repeated], instruction=settings["instruction"])
        completions = generate(
            policy,
            prompts,
            temperature=temperature,
            max_new_tokens=max_new_tokens,
            stop=settings["stop"],
            generator=generator,
        )
        fresh = judge_responses(
            task,
            rubric,
            metrics,
            repeated,
            [c.text for c in completions],
            doc_ids=[start + i // n for i in range(len(repeated))],
            samples=[i % n for i in range(len(repeated))],
            response_ids=[tuple(c.ids) for c in completions],
            finishes=[c.finish for c in completions],
            dropped=[c.dropped for c in completions],
            sandbox=sandbox,
        )
        rows += fresh
        if on_batch is not None:
            on_batch(fresh)
    return Evaluation(tuple(rows), sum_up(rows, rubric, metrics), settings)


def sampling_settings(policy: Policy, task: Task, *, max_new_tokens: int, temperature: float, n: int, seed: int) -> dict[str, Any]:
    """How `evaluate` samples. A model with a chat template is told the task's instruction and ends its turn itself."""
    chat = getattr(policy.tokenizer, "chat_template", None)
    return {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "n": n,
        "seed": seed,
        "stop": [] if chat else list(task.stop),
        "instruction": task.instruction if chat else "",
        "chat_template": chat if isinstance(chat, str) else None,
    }


def judge_responses(
    task: Task,
    rubric: Rubric,
    metrics: Sequence[Metric],
    examples: Sequence[Example],
    responses: Sequence[str],
    *,
    doc_ids: Sequence[int] | None = None,
    samples: Sequence[int] | None = None,
    response_ids: Sequence[tuple[int, ...]] | None = None,
    finishes: Sequence[str] | None = None,
    dropped: Sequence[int] | None = None,
    sandbox: Any = None,
) -> list[Row]:
    """One row per (example, response) pair."""
    rows = []
    for i, judgement in enumerate(judge(examples, responses, rubric, metrics, sandbox)):
        errors = [*judgement.errors, *(f"{key}: could not be computed" for key, value in judgement.metrics.items() if value is None)]
        try:
            extracted = task.extract(examples[i], responses[i])
        except Exception as error:
            extracted = None
            errors.append(f"extract: {type(error).__name__}: {error}".splitlines()[0][:300])
        rows.append(
            Row(
                examples[i],
                doc_ids[i] if doc_ids else i,
                samples[i] if samples else 0,
                responses[i],
                judgement,
                extracted,
                response_ids[i] if response_ids else (),
                finishes[i] if finishes else "",
                dropped[i] if dropped else 0,
                tuple(errors),
            )
        )
    return rows


def sum_up(rows: Sequence[Row], rubric: Rubric, metrics: Sequence[Metric]) -> Summary:
    """Means over items; an item with several responses counts with their mean."""
    primary = metrics[0].key if metrics else None
    families: dict[str, list[Row]] = {}
    planted: dict[str, list[Row]] = {}
    for row in rows:
        if "family" in row.example.info:
            families.setdefault(str(row.example.info["family"]), []).append(row)
        if "planted" in row.example.info:
            planted.setdefault("planted" if row.example.info["planted"] else "plain", []).append(row)
    criteria = [row.judgement.criteria for row in rows]
    total = max(1, len(rows))
    return Summary(
        items=len({row.example.id for row in rows}),
        responses=len(rows),
        metrics={m.key: _score(rows, [row.judgement.metrics.get(m.key) for row in rows]) for m in metrics},
        criteria={c.name: _score(rows, [_number(met.get(c.name)) for met in criteria]) for c in rubric.criteria},
        reward=_score(rows, [row.judgement.reward for row in rows]),
        unparsed=sum(row.extracted is None for row in rows) / total,
        truncated=sum(row.finish == "length" for row in rows) / total,
        empty=sum(not row.response.strip() for row in rows) / total,
        errors=sum(bool(row.errors) for row in rows),
        shortened=sum(row.dropped > 0 for row in rows),
        generated_tokens=sum(len(row.response_ids) for row in rows),
        families={name: _primary(group, primary) for name, group in sorted(families.items())} if primary else {},
        planted={name: _primary(group, primary) for name, group in sorted(planted.items())} if primary else {},
    )


def _primary(rows: Sequence[Row], key: str) -> Score:
    return _score(rows, [row.judgement.metrics.get(key) for row in rows])


def _number(met: bool | None) -> float | None:
    return None if met is None else float(met)


def _score(rows: Sequence[Row], values: Sequence[float | None]) -> Score:
    by_item: dict[str, list[float]] = {}
    for row, value in zip(rows, values, strict=True):
        if value is not None:
            by_item.setdefault(row.example.id, []).append(value)
    return mean_and_stderr([math.fsum(v) / len(v) for v in by_item.values()])


def mean_and_stderr(values: Sequence[float]) -> Score:
    """Mean and sample standard error; the latter needs two values."""
    count = len(values)
    if count == 0:
        return Score(None, None, 0)
    mean = math.fsum(values) / count
    if count == 1:
        return Score(mean, None, 1)
    variance = math.fsum((v - mean) ** 2 for v in values) / (count - 1)
    return Score(mean, math.sqrt(variance / count), count)
