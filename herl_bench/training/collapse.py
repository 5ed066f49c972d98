"""Does a run go wrong in its first steps, and which setting should be lower? Read from its logged rows alone.

A rate that is too high for a model shows before the last score does. The policy moves away from where it began: the KL
per token to the starting policy passes `FAR`, or `MOVED` while the reward falls under `WORSE` of the first step's;
where no KL is measured (kl_coef=0), the reward alone falls under `FALLEN` of it. Or it stops
exploring: the entropy falls under `FALLEN` of what it began with. Or it dissolves into noise: the entropy rises
by more than `RISEN` and `TIMES` over. Rewards and entropies jump from step to step where a step has few prompts,
so `IN_A_ROW` steps must agree. The first `FIRST_STEPS` steps are looked at: later, a policy may have learnt to be sure.

Why these bounds: one nat means that the policy finds what it writes e times as likely as the policy it began as. With
the embedded policies' tuned rates the KL of four methods on three tasks stays under 0.1 in the first 20 steps, but for
HeRL on humaneval (0.4), whose reward rises. With ten to thirty times these rates it passes 1 in steps 2 to 14 in five
of six runs, and in the sixth the reward has fallen by a third in step 4. The entropy is 0.002 to 0.15 there, so a
beginning under `LIVELY` nats has none to lose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from herl_bench.evaluation.scores import mean

FIRST_STEPS = 20
IN_A_ROW = 3
FAR, MOVED = 1.0, 0.1
WORSE, LOST = 0.75, 0.05
LIVELY = 0.1
FALLEN = 0.1
RISEN, TIMES = 1.0, 3.0


def find_collapse(rows: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> str | None:
    """What went wrong and which setting to lower, as a sentence without its full stop; None where nothing did. The
    first sign counts, so that later rows do not change what is said. rows: of metrics.jsonl, from step 1. settings: the
    method's own."""
    for step in range(1, min(len(rows), FIRST_STEPS) + 1):
        if sign := _find_sign(rows[:step]):
            return f"{sign} in step {rows[step - 1]['step']}: {_advise(settings)}"
    return None


def _find_sign(rows: Sequence[Mapping[str, Any]]) -> str | None:
    kl = rows[-1].get("kl")
    if kl is not None and kl > FAR:
        return f"the policy is {kl:.2g} nats per token away from where it began"
    rewards = [row["reward"] for row in rows if row.get("reward") is not None]
    if kl is not None and kl > MOVED and len(rewards) > IN_A_ROW:
        first, now = rewards[0], sum(rewards[-IN_A_ROW:]) / IN_A_ROW
        if now < min(WORSE * first, first - LOST):
            moved = f"{kl:.2g} nats per token away from where it began"
            return f"the policy is {moved}, and worse for it (reward {first:.2f}, by now {now:.2f})"
    if kl is None and len(rewards) > IN_A_ROW and rewards[0] > LOST and max(rewards[-IN_A_ROW:]) < FALLEN * rewards[0]:
        return f"the policy has lost what it was rewarded for (reward {rewards[0]:.2f}, by now {rewards[-1]:.2f})"
    entropies = [row["entropy"] for row in rows if row.get("entropy") is not None]
    start, newest = mean(entropies[:1]), entropies[-IN_A_ROW:]
    if start is None or len(entropies) <= IN_A_ROW:
        return None
    if start >= LIVELY and max(newest) < FALLEN * start:
        return f"the policy has stopped exploring, its entropy fell from {start:.2g} to {newest[-1]:.2g} nats per token"
    if min(newest) > max(start + RISEN, TIMES * start):
        return f"the policy dissolves into noise, its entropy rose from {start:.2g} to {newest[-1]:.2g} nats per token"
    return None


def _advise(settings: Mapping[str, Any]) -> str:
    epochs = next((name for name in ("num_ppo_epochs", "num_iterations") if settings.get(name, 1) > 1), None)
    rate = settings.get("learning_rate")
    lower = f"lower learning_rate (--set learning_rate={rate / 3:.0e}, now {rate:g})" if rate else "lower learning_rate"
    return f"{lower} or {epochs} (now {settings[epochs]})" if epochs else lower
