"""A row of `metrics.jsonl`: every name that may stand in it, with what it means, and the values that every method has.

The trainer refuses to log a name that is not here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from herl_bench.evaluation.scores import fill_undecided, mean
from herl_bench.rubric import is_undecided
from herl_bench.training.rollouts import Rollout
from herl_bench.training.training_run import TrainingRun

METRICS: Mapping[str, str] = {
    "step": "number of the iteration, from 1",
    "tokens": "generated tokens spent so far, revisions included",
    "rollouts": "responses sampled so far",
    "reward_calls": "responses judged so far",
    "optimizer_steps": "optimiser steps of the policy so far",
    "forward_tokens": "tokens, prompts included, that any model read without a gradient so far",
    "trained_tokens": "tokens, prompts included, that any model was trained on so far",
    "reward": (
        "mean reward of the plain responses (no bonus), in [0, 1]: the rubric's, and of those cut off 0 or none, as"
        " truncation says"
    ),
    "metric": (
        "mean primary metric of the plain responses, as sampled; undecided ones count as wrong (left out where lower is"
        " better)"
    ),
    "metric_planted": "the same over problems with a planted misconception (synthetic worlds)",
    "metric_plain": "the same over the other problems (synthetic worlds)",
    "undecided": (
        "plain responses of which could not be told whether they are right: primary metric or a part that looks at the"
        " gold answer"
    ),
    "shared": "plain responses whose verdict the program's own objects had a word in; absent where no program was run",
    "criteria": "pass rate per criterion of the plain responses that it was decided for",
    "response_tokens": "mean length of a response",
    "eos_rate": "share of responses that ended themselves",
    "truncation_rate": "share of responses cut off at max_new_tokens",
    "prompts_cut": "prompts cut on the left to leave room for a response; absent where none was",
    "unparsed_rate": "share of plain responses in which no answer was found",
    "extract_errors": "responses in which the task's `extract` raised; absent where there was none",
    "error_rate": "share of responses that the rubric could not decide; they train nothing",
    "reward_metric_gap": (
        "mean reward minus metric where both are decided; growing means that the rubric is being gamed"
    ),
    "revisions": "revisions sampled in this step",
    "revision_reward": "mean reward of the revisions",
    "revision_improvement": "mean reward of a revision minus its draft's",
    "revision_improved_rate": "share of revisions that beat their draft",
    "revision_solved_rate": "mean primary metric of the revisions, undecided ones counted as wrong",
    "retries": "failed drafts' prompts sampled again without guidance (`revise_fraction=auto`, as the next three)",
    "revise_share": "share of this step's rollouts that were kept for revisions",
    "revision_gain": (
        "reward gained over its draft per 1,000 tokens of a revision, none where it came out worse: of the last steps,"
        " this one included, newer ones counting more; it sets the next step's share together with"
    ),
    "retry_gain": "the same of the retries",
    "guided": "responses sampled under guidance out of the buffer",
    "guided_reward": "mean reward of those",
    "buffer": "lessons in the buffer",
    "bonus": "mean unweighted bonus of the plain responses; `reward` is without it",
    "bonus_gate": "1 while the bonus critic beats its baselines and is used",
    "bonus_judged": "out-of-sample predictions that the gate rests on",
    "bonus_mae": "bonus critic: mean absolute error",
    "bonus_mae_constant": "the same of a constant, the mean improvement so far",
    "bonus_mae_headroom": "the same of c (1 - r), with c fitted on the past",
    "bonus_mae_line": "the same of a + b r, which is the critic without the policy's state",
    "bonus_mse": "bonus critic: mean squared error",
    "bonus_mse_constant": "the same of a constant",
    "bonus_mse_headroom": "the same of c (1 - r)",
    "bonus_mse_line": "the same of a + b r",
    "bonus_explained_variance": "bonus critic: explained variance of the measured improvement",
    "bonus_explained_variance_constant": "the same of a constant",
    "bonus_explained_variance_headroom": "the same of c (1 - r)",
    "bonus_explained_variance_line": "the same of a + b r",
    "bonus_spearman": "bonus critic: rank correlation with the measured improvement",
    "bonus_auroc": "bonus critic: how well it tells which drafts will improve",
    "bonus_reliability": "bonus critic: bins of [mean predicted, mean measured, count]",
    "bonus_ece": (
        "bonus critic: expected calibration error, the mean distance of predicted and measured over those bins"
    ),
    "bonus_bias": "bonus critic: mean predicted minus mean measured improvement; above 0 it promises too much",
    "bonus_drift": (
        "mean measured improvement of the newest step minus that of the window's earlier ones: how fast the target"
        " moves"
    ),
    "frac_reward_zero_std": (
        "share of prompts whose responses all got the same reward and so teach nothing (GRPO, RLOO)"
    ),
    "rows": "training rows of this step",
    "off_policy_rows": "of those, improved revisions under the plain prompt",
    "loss": "total policy loss, mean over the step's minibatches",
    "value_loss": "value critic's loss",
    "kl": (
        "estimate of the KL per token to the starting policy: k3, with PPO and HeRL of on-policy rows, each token's"
        " bounded at 10; k1 with RLOO"
    ),
    "kl_off_policy": "the same of off-policy rows, whose tokens the policy would not have written; absent without any",
    "approx_kl": "k3 estimate of the KL per token to the policy that sampled",
    "entropy": (
        "mean entropy per response token, in nats: of the policy that sampled (PPO, HeRL), or while it learnt (GRPO,"
        " RLOO)"
    ),
    "ratio": "mean of new / old probability on on-policy tokens",
    "ratio_first": "largest distance of that ratio from 1 in the first minibatch; 0 up to rounding",
    "clip_fraction": "share of on-policy tokens (RLOO: of responses) where the clip was active",
    "grad_norm": "policy's gradient norm before the clip",
    "value_grad_norm": "value critic's gradient norm before the clip",
    "explained_variance": "of the returns by the value critic",
    "return_mean": "mean return",
    "value_mean": "mean value",
    "advantage_std": "standard deviation of the advantages before whitening",
    "early_stop": "1 where target_kl ended the step's epochs early",
    "learning_rate": "policy's learning rate",
    "eval": "evaluation after this step: mean of each metric",
    "wall_s": "wall-clock seconds since the (re)start",
    "tokens_per_s": "generated tokens per wall-clock second of this step",
    "seconds": "wall-clock seconds of this step by phase",
}

COUNTERS = ("rollouts", "reward_calls", "optimizer_steps", "forward_tokens", "trained_tokens")
"""The fields that a budget counts under the same names."""

CLOCK = ("wall_s", "tokens_per_s", "seconds")  # the fields that differ between two runs of the same seed


def order_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row, in the order of the table above, NaN and infinities as None. Raises `KeyError` for an unknown name."""
    unknown = sorted(set(row) - set(METRICS))
    if unknown:
        raise KeyError(f"undocumented metrics: {', '.join(unknown)}")
    broken = {name for name, value in row.items() if isinstance(value, float) and not math.isfinite(value)}
    return {name: None if name in broken else row[name] for name in METRICS if name in row}


def describe_step(run: TrainingRun, step: int, rollouts: Sequence[Rollout], clock: Any) -> dict[str, Any]:
    """The part of a row that every method has: what was spent, and how the responses were. clock: a `steps.Clock`."""
    plain = [r for r in rollouts if r.kind == "plain"]
    primary = run.metrics[0].key
    integrities = [r.judgement.integrity for r in plain]
    row: dict[str, Any] = {
        "step": step,
        "tokens": run.budget.spent,
        **{name: getattr(run.budget, name) for name in COUNTERS},
        "reward": mean(r.reward for r in plain),
        "metric": mean_metric(run, plain),
        "metric_planted": mean_metric(run, [r for r in plain if r.example.info.get("planted") is True]),
        "metric_plain": mean_metric(run, [r for r in plain if r.example.info.get("planted") is False]),
        "undecided": sum(is_undecided(r.judgement, run.rubric, primary) for r in plain),
        "criteria": {c.name: mean(r.judgement.criteria.get(c.name) for r in plain) for c in run.rubric.criteria},
        "response_tokens": mean(len(r.ids) for r in rollouts),
        "eos_rate": mean(r.finish == "eos" for r in rollouts),
        "truncation_rate": mean(r.finish == "length" for r in rollouts),
        "unparsed_rate": mean(None if r.extract_error else r.extracted is None for r in plain),
        "error_rate": mean(r.judgement.reward is None for r in rollouts),
        "wall_s": clock.since_start,
        "tokens_per_s": sum(len(r.ids) for r in rollouts) / max(1e-9, clock.total),
        "seconds": clock.seconds,
    }
    if cut := sum(r.dropped > 0 for r in rollouts):
        row["prompts_cut"] = cut
    if unread := sum(bool(r.extract_error) for r in rollouts):
        row["extract_errors"] = unread
    if any(integrities):
        row["shared"] = integrities.count("shared")
    gaps = [r.reward - m for r in plain if r.reward is not None and (m := r.judgement.metrics.get(primary)) is not None]
    if gaps:
        row["reward_metric_gap"] = mean(gaps)
    return row


def mean_metric(run: TrainingRun, rollouts: Sequence[Rollout]) -> float | None:
    """Of the primary metric; the undecided count as in an evaluation (see `fill_undecided`)."""
    primary = run.metrics[0]
    values = [r.judgement.metrics.get(primary.key) for r in rollouts]
    return mean(fill_undecided(values, primary.higher_is_better))
