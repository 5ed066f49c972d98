"""Sample a step's responses and judge them, the same for every method, whoever does the learning.

What a sandbox must run is judged while other responses are still being written (`judging.py`). The generated tokens are
charged here, so that no method can forget to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from herl_bench.evaluation.tally import describe_cut
from herl_bench.policy.generation import fit_prompts, generate
from herl_bench.policy.precision import autocast
from herl_bench.rubric import extract_answer
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

    whole_ids = run.encode([a.prompt for a in assigned])
    prompt_ids = plain_ids = fit_prompts(run.policy, whole_ids, run.max_new_tokens)
    if any(a.guidance for a in assigned):
        plain_ids = fit_prompts(run.policy, run.encode([a.example.prompt for a in assigned]), run.max_new_tokens)
    dropped = [len(whole) - len(kept) for whole, kept in zip(whole_ids, prompt_ids, strict=True)]
    if any(dropped):
        told = describe_cut(sum(map(bool, dropped)), len(dropped))
        run.warn_once("prompts_cut", f"{told}; metrics.jsonl counts them, as prompts_cut")
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
            # Of a prompt that was cut, what was read of it.
            **vars(replace(assignment, prompt=run.policy.tokenizer.decode(prompt)) if lost else assignment),
            kind="guided" if kind == "plain" and assignment.guidance else kind,
            prompt_ids=tuple(prompt),
            plain_ids=tuple(plain),
            ids=tuple(completion.ids),
            text=completion.text,
            finish=completion.finish,
            temperature=temperature,
            judgement=Judgement((), None),
            think=run.environment.think,
            dropped=lost,
            truncation=run.truncation,
        )
        for assignment, prompt, plain, completion, lost in zip(
            assigned, prompt_ids, plain_ids, completions, dropped, strict=True
        )
    ]


def judge_rollouts(run: TrainingRun, judging: Judging, rollouts: Sequence[Rollout]) -> list[Rollout]:
    """The same rollouts, judged."""
    run.budget.reward_calls += len(rollouts)
    judgements = judging.finish([r.example for r in rollouts], [r.text for r in rollouts])
    judged = []
    for rollout, judgement in zip(rollouts, judgements, strict=True):
        extracted, error = extract_answer(run.task, rollout.example, rollout.answer)
        judged.append(replace(rollout, judgement=judgement, extracted=extracted, extract_error=error))
    return judged
