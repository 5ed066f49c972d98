"""Evaluate a policy or a server: sample responses to a task's items, judge them, sum them up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from herl_bench.evaluation.judging import Row, judge_responses
from herl_bench.evaluation.sampling import Sampling, ask, derive_seed, resolve_sampling
from herl_bench.evaluation.scores import PASS_AT
from herl_bench.evaluation.tally import Problem, Summary, Tally
from herl_bench.policy.answerer import Answerer, ResolvedSampling, ignore_count
from herl_bench.types import Environment, Example


@dataclass(frozen=True)
class Evaluation:
    """All rows, their summary, how they were sampled, and what kept responses from being judged."""

    rows: tuple[Row, ...]
    summary: Summary
    settings: ResolvedSampling = field(default_factory=ResolvedSampling)
    problems: Mapping[str, Problem] = field(default_factory=dict)


def evaluate(
    model: Answerer,
    environment: Environment,
    examples: Sequence[Example],
    sampling: Sampling,
    *,
    done: Sequence[Row] = (),
    on_batch: Callable[[Sequence[Row]], None] | None = None,
    on_answers: Callable[[int], None] = ignore_count,
    pass_at: Sequence[int] = PASS_AT,
) -> Evaluation:
    """Sample responses to each example and judge them.

    done: rows of whole batches that an earlier call with the same arguments gave; they are not sampled again.
    on_batch: called with each batch's rows as soon as they are judged; all responses of an item come in one batch.
    on_answers: told how many more responses are finished, as soon as they are, before they are judged.
    pass_at: the k of pass@k.
    """
    settings, n = resolve_sampling(sampling, model, environment.task), sampling.n
    rows = list(done)
    size = count_batch_items(n, model.batch_size)
    for start in range(len(rows) // n, len(examples), size):
        places = product(range(start, min(start + size, len(examples))), range(n))
        doc_ids, samples = zip(*places, strict=True)
        repeated = [examples[doc_id] for doc_id in doc_ids]
        seeds = [derive_seed(sampling.seed, e.id, sample) for e, sample in zip(repeated, samples, strict=True)]
        answers = ask(model, settings, [example.prompt for example in repeated], seeds, on_answers)
        fresh = judge_responses(environment, repeated, answers, doc_ids=doc_ids, samples=samples)
        rows += fresh
        if on_batch is not None:
            on_batch(fresh)
    tally = Tally(environment.rubric, environment.metrics, pass_at)
    tally.add(rows)
    return Evaluation(tuple(rows), tally.summary(), settings, tally.problems)


def count_batch_items(n: int, batch_size: int) -> int:
    """How many items share a batch of so many responses."""
    return max(1, batch_size // n)
