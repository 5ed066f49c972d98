"""What every built-in method does alike in a step, whoever does the learning: sample responses, judge them, say what
they were, keep time.

Left out: learning. The generated tokens are charged here, so that no method can forget to.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from herl_bench.evaluate.scores import fill_undecided, mean
from herl_bench.policy.generation import fit_prompts, generate
from herl_bench.rubric import is_undecided
from herl_bench.train.judging import Judging
from herl_bench.train.rollouts import Assignment, Rollout
from herl_bench.types import Judgement, Kind

if TYPE_CHECKING:
    from herl_bench.train.training_run import TrainingRun

FEWEST_ROLLOUTS = 8  # what is left of a budget is not worth a noisier step than this
_UNJUDGED = Judgement((), None)


def sample(
    run: TrainingRun,
    judging: Judging,
    assigned: Sequence[Assignment],
    temperature: float,
    generator: torch.Generator,
    kind: Kind = "plain",
) -> list[Rollout]:
    """One response per assignment, not judged yet; a plain assignment with guidance gives a `guided` rollout."""
    if not assigned:
        return []
    policy = run.policy
    prompt_ids, _ = fit_prompts(policy, run.encode([a.prompt for a in assigned]), run.max_new_tokens)
    plain_ids = prompt_ids
    if any(a.guidance for a in assigned):
        plain_ids, _ = fit_prompts(policy, run.encode([a.example.prompt for a in assigned]), run.max_new_tokens)
    written = generate(
        policy,
        prompt_ids,
        temperature=temperature,
        max_new_tokens=run.max_new_tokens,
        stop=run.stop,
        generator=generator,
        on_completion=lambda i, completion: judging.begin(assigned[i].example, completion.text),
    )
    run.budget.charge(sum(len(w.ids) for w in written), len(written))
    run.budget.forward_tokens += sum(len(p) + len(w.ids) for p, w in zip(prompt_ids, written, strict=True))
    return [
        Rollout(
            example=a.example,
            kind="guided" if kind == "plain" and a.guidance else kind,
            prompt=a.prompt,
            prompt_ids=tuple(p),
            plain_ids=tuple(q),
            ids=tuple(w.ids),
            text=w.text,
            finish=w.finish,
            temperature=temperature,
            judgement=_UNJUDGED,
            guidance=a.guidance,
            baseline=a.baseline,
            draft=a.draft,
            propensity=a.propensity,
            group=a.group,
        )
        for a, p, q, w in zip(assigned, prompt_ids, plain_ids, written, strict=True)
    ]


def judged(run: TrainingRun, judging: Judging, rollouts: Sequence[Rollout]) -> list[Rollout]:
    run.budget.reward_calls += len(rollouts)
    found = judging.finish([r.example for r in rollouts], [r.text for r in rollouts])
    return [replace(r, judgement=j) for r, j in zip(rollouts, found, strict=True)]


def described(run: TrainingRun, step: int, rollouts: Sequence[Rollout], clock: Clock) -> dict[str, Any]:
    """The part of a row of `metrics.jsonl` that every method has: what was spent, and how the responses were."""
    plain = [r for r in rollouts if r.kind == "plain"]
    primary = run.metrics[0].key
    integrities = [r.judgement.integrity for r in plain]
    row: dict[str, Any] = {
        "step": step,
        "tokens": run.budget.spent,
        "rollouts": run.budget.rollouts,
        "reward_calls": run.budget.reward_calls,
        "optimizer_steps": run.budget.optimizer_steps,
        "forward_tokens": run.budget.forward_tokens,
        "trained_tokens": run.budget.trained_tokens,
        "reward": mean(r.reward for r in plain),
        "metric": mean_metric(run, plain),
        "metric_planted": mean_metric(run, [r for r in plain if r.example.info.get("planted") is True]),
        "metric_plain": mean_metric(run, [r for r in plain if r.example.info.get("planted") is False]),
        "undecided": sum(is_undecided(r.judgement, run.rubric, primary) for r in plain),
        **({"shared": integrities.count("shared")} if any(integrities) else {}),
        "criteria": {c.name: mean(r.judgement.criteria.get(c.name) for r in plain) for c in run.rubric.criteria},
        "response_tokens": mean(len(r.ids) for r in rollouts),
        "eos_rate": mean(r.finish == "eos" for r in rollouts),
        "truncation_rate": mean(r.finish == "length" for r in rollouts),
        "unparsed_rate": mean(_unparsed(run, r) for r in plain),
        "error_rate": mean(r.reward is None for r in rollouts),
        "wall_s": clock.since_start,
        "tokens_per_s": sum(len(r.ids) for r in rollouts) / max(1e-9, clock.total),
        "seconds": clock.seconds,
    }
    gaps = [r.reward - m for r in plain if r.reward is not None and (m := r.judgement.metrics.get(primary)) is not None]
    if gaps:
        row["reward_metric_gap"] = mean(gaps)
    return row


def mean_metric(run: TrainingRun, rollouts: Sequence[Rollout]) -> float | None:
    """Of the primary metric; the undecided count as in an evaluation: 0, or the worst where that is below, or left out
    where lower is better."""
    primary = run.metrics[0]
    values = [r.judgement.metrics.get(primary.key) for r in rollouts]
    return mean(fill_undecided(values, primary.higher_is_better))


def _unparsed(run: TrainingRun, rollout: Rollout) -> bool | None:
    try:
        return run.task.extract(rollout.example, rollout.text) is None
    except Exception:  # a plugin's; what it says is shown where responses are evaluated
        return None


class Clock:
    """Seconds of a step by phase: `with clock("judge"): …`. started: when the run was (re)started, by
    `time.monotonic`."""

    def __init__(self, started: float) -> None:
        self.started = started
        self.seconds: dict[str, float] = {}
        self._name, self._since = "", 0.0

    def __call__(self, name: str) -> Clock:
        self._name = name
        return self

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.seconds[self._name] = self.seconds.get(self._name, 0.0) + time.monotonic() - self._since

    @property
    def total(self) -> float:
        return sum(self.seconds.values())

    @property
    def since_start(self) -> float:
        return time.monotonic() - self.started
