"""Sample a step's responses and judge them, the same for every method, whoever does the learning.

What a sandbox must run is judged while other responses are still being written (`judging.py`). The generated tokens are
charged here, so that no method can forget to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from herl_bench.conversation import Prompt
from herl_bench.policy.generation import fit_prompts, generate
from herl_bench.policy.precision import autocast
from herl_bench.training.judging import Judging
from herl_bench.training.rollouts import Assignment, Rollout
from herl_bench.training.training_run import TrainingRun
from herl_bench.types import Judgement, Kind


def sample_rollouts(
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

    def encode(prompts: Sequence[Prompt]) -> list[list[int]]:
        return fit_prompts(run.policy, run.encode(prompts), run.max_new_tokens)

    prompt_ids = plain_ids = encode([a.prompt for a in assigned])
    if any(a.guidance for a in assigned):
        plain_ids = encode([a.example.prompt for a in assigned])
    with autocast(run.policy.placement):  # as the log-probs will be scored
        completions = generate(
            run.policy,
            prompt_ids,
            temperature=temperature,
            max_new_tokens=run.max_new_tokens,
            stop=run.stop,
            generator=generator,
            on_completion=lambda i, completion: judging.begin(assigned[i].example, completion.text),
        )
    run.budget.charge(sum(len(c.ids) for c in completions), len(completions))
    run.budget.forward_tokens += sum(len(p) + len(c.ids) for p, c in zip(prompt_ids, completions, strict=True))
    return [
        Rollout(
            **vars(assignment),
            kind="guided" if kind == "plain" and assignment.guidance else kind,
            prompt_ids=tuple(prompt),
            plain_ids=tuple(plain),
            ids=tuple(completion.ids),
            text=completion.text,
            finish=completion.finish,
            temperature=temperature,
            judgement=Judgement((), None),
        )
        for assignment, prompt, plain, completion in zip(assigned, prompt_ids, plain_ids, completions, strict=True)
    ]


def judge_rollouts(run: TrainingRun, judging: Judging, rollouts: Sequence[Rollout]) -> list[Rollout]:
    """The same rollouts, judged."""
    run.budget.reward_calls += len(rollouts)
    judgements = judging.finish([r.example for r in rollouts], [r.text for r in rollouts])
    return [replace(r, judgement=j) for r, j in zip(rollouts, judgements, strict=True)]
