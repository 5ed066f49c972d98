"""Every name that may stand in a row of `metrics.jsonl`, with what it means. The trainer refuses to log a name that is
not here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

METRICS: Mapping[str, str] = {
    "step": "number of the iteration, from 1",
    "tokens": "generated tokens spent so far, revisions included",
    "rollouts": "responses sampled so far",
    "reward_calls": "responses judged so far",
    "optimizer_steps": "optimiser steps so far",
    "forward_tokens": "tokens, prompts included, that any model read without a gradient so far",
    "trained_tokens": "tokens, prompts included, that any model was trained on so far",
    "reward": "mean rubric reward of the plain responses (no bonus), in [0, 1]",
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
    "unparsed_rate": "share of plain responses in which no answer was found",
    "error_rate": "share of responses whose reward could not be computed; they train nothing",
    "reward_metric_gap": (
        "mean reward minus metric where both are decided; growing means that the rubric is being gamed"
    ),
    "revisions": "revisions sampled in this step",
    "revision_reward": "mean reward of the revisions",
    "revision_improvement": "mean reward of a revision minus its draft's",
    "revision_improved_rate": "share of revisions that beat their draft",
    "revision_solved_rate": "mean primary metric of the revisions, undecided ones counted as wrong",
    "guided": "responses sampled under guidance out of the buffer",
    "guided_reward": "mean reward of those",
    "buffer": "lessons in the buffer",
    "bonus": "mean unweighted bonus of the plain responses; `reward` is without it",
    "bonus_gate": "1 while the bonus critic beats its baselines and is used",
    "bonus_judged": "out-of-sample predictions that the gate rests on",
    "bonus_mae": "bonus critic: mean absolute error",
    "bonus_mae_constant": "the same of a constant, the mean improvement so far",
    "bonus_mae_headroom": "the same of c (1 - r), with c fitted on the past",
    "bonus_mse": "bonus critic: mean squared error",
    "bonus_mse_constant": "the same of a constant",
    "bonus_mse_headroom": "the same of c (1 - r)",
    "bonus_explained_variance": "bonus critic: explained variance of the measured improvement",
    "bonus_explained_variance_constant": "the same of a constant",
    "bonus_explained_variance_headroom": "the same of c (1 - r)",
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
        "estimate of the KL per token to the starting policy: k3, with PPO and HeRL each token's bounded at 10; k1 with"
        " RLOO"
    ),
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

CLOCK = ("wall_s", "tokens_per_s", "seconds")
"""The fields that differ between two runs of the same seed."""


def checked(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row, in the order of the table above, with what is not a finite number as None. Raises `KeyError` for an
    undocumented name."""
    unknown = sorted(set(row) - set(METRICS))
    if unknown:
        raise KeyError(f"undocumented metrics: {', '.join(unknown)}")
    return {name: _finite(row[name]) for name in METRICS if name in row}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
