"""Advantages and losses: tensors in, tensors out, nothing else. Shapes: B responses, T response positions,
right-padded; `mask_BT` is 1.0 on response tokens (the end-of-sequence token included) and 0.0 on padding.

Left out: anything that knows of prompts, models or budgets.
"""

from __future__ import annotations

import torch
from torch import Tensor


def terminal_rewards(reward_B: Tensor, mask_BT: Tensor) -> Tensor:
    """(B, T): each response's scalar reward on its last valid token, 0 elsewhere."""
    last_B = mask_BT.sum(1).long() - 1
    rewards_BT = torch.zeros_like(mask_BT)
    rows = torch.arange(len(reward_B), device=mask_BT.device)[last_B >= 0]
    rewards_BT[rows, last_B[rows]] = reward_B[rows].to(mask_BT.dtype)
    return rewards_BT


def gae(rewards_BT: Tensor, values_BT: Tensor, mask_BT: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation (Schulman et al. 2016, eq. 16). Returns (advantages_BT, returns_BT), both 0 on
    padding.

    values_BT[:, t] is the value of the state before token t; after the last valid token the value is 0 (every response
    is an episode).
    """
    _same(rewards_BT, values_BT, mask_BT)
    steps = rewards_BT.shape[1]
    advantages_BT = torch.zeros_like(rewards_BT)
    running_B = torch.zeros_like(rewards_BT[:, 0])
    for t in reversed(range(steps)):
        next_mask_B = mask_BT[:, t + 1] if t + 1 < steps else torch.zeros_like(running_B)
        next_value_B = values_BT[:, t + 1] * next_mask_B if t + 1 < steps else torch.zeros_like(running_B)
        delta_B = rewards_BT[:, t] + gamma * next_value_B - values_BT[:, t]
        running_B = (delta_B + gamma * lam * next_mask_B * running_B) * mask_BT[:, t]
        advantages_BT[:, t] = running_B
    return advantages_BT, (advantages_BT + values_BT) * mask_BT


def whiten(x_BT: Tensor, mask_BT: Tensor, by_BT: Tensor | None = None, eps: float = 1e-4) -> Tensor:
    """Zero mean and unit variance over the valid positions of the whole batch; padding stays 0.

    by_BT: the positions whose mean and variance are used for all (the on-policy ones); `mask_BT` if left out.
    eps: added to the variance. Rewards lie in [0, 1]: where they spread by less than 0.01 there is nothing to learn but
    the critic's noise, and the usual 1e-8 would blow that up to full size.
    """
    by_BT = mask_BT if by_BT is None else by_BT
    _same(x_BT, mask_BT, by_BT)
    count = by_BT.sum().clamp(min=1)
    mean = (x_BT * by_BT).sum() / count
    variance = ((x_BT - mean).square() * by_BT).sum() / (count - 1).clamp(min=1)
    return (x_BT - mean) * torch.rsqrt(variance + eps) * mask_BT


def group_advantages(reward_N: Tensor, group_N: Tensor, counted_N: Tensor, eps: float = 1e-4) -> Tensor:
    """(N,): each reward minus its group's mean, over its group's standard deviation plus `eps` (GRPO: Shao et al. 2024,
    section 4.1.2).

    counted_N: the rows that make mean and deviation (the on-policy ones). A group of one has nothing to compare with:
    advantage 0.
    """
    groups = int(group_N.max()) + 1
    weight_N = counted_N.to(reward_N.dtype)

    def total(x_N: Tensor) -> Tensor:
        return torch.zeros(groups, dtype=reward_N.dtype, device=reward_N.device).index_add(0, group_N, x_N * weight_N)

    count_G = total(torch.ones_like(reward_N))
    centred_N = reward_N - (total(reward_N) / count_G.clamp(min=1))[group_N]
    deviation_G = (total(centred_N.square()) / (count_G - 1).clamp(min=1)).sqrt()
    return torch.where(count_G[group_N] > 1, centred_N / (deviation_G[group_N] + eps), 0.0)


def ppo_loss(
    logp_BT: Tensor, old_logp_BT: Tensor, advantage_BT: Tensor, low: float, high: float, dual_clip: float | None = None
) -> tuple[Tensor, Tensor]:
    """PPO's clipped surrogate per token (Schulman et al. 2017, eq. 7), negated. Returns (loss_BT, was_clipped_BT).

    low, high: the ratio is clipped to [1 - low, 1 + high]. dual_clip: with a negative advantage the loss is at most
    dual_clip · |A| (Ye et al. 2020, eq. 5).
    """
    _same(logp_BT, old_logp_BT, advantage_BT)
    ratio_BT = (logp_BT - old_logp_BT).exp()
    free_BT, held_BT = -ratio_BT * advantage_BT, -ratio_BT.clamp(1 - low, 1 + high) * advantage_BT
    loss_BT = torch.maximum(free_BT, held_BT)
    if dual_clip is not None:
        loss_BT = torch.where(advantage_BT < 0, torch.minimum(loss_BT, -dual_clip * advantage_BT), loss_BT)
    return loss_BT, (held_BT > free_BT).to(logp_BT.dtype)


def awr_loss(logp_BT: Tensor, advantage_BT: Tensor) -> Tensor:
    """−A⁺ · log π(y'|x) per token, without a ratio (RL from text feedback, arXiv 2602.02482)."""
    _same(logp_BT, advantage_BT)
    return -advantage_BT.clamp(min=0) * logp_BT


def shaped_loss(logp_BT: Tensor, behaviour_BT: Tensor, advantage_BT: Tensor, gamma: float) -> Tensor:
    """−A · x / (x + γ) per token, x = π(y'|x) / μ(y'|x, guidance) (LUFFY, arXiv 2504.14945; the published HeRL code).

    Its gradient vanishes where x is near 0: where the revision is improbable, which is where it would matter.
    """
    _same(logp_BT, behaviour_BT, advantage_BT)
    ratio_BT = (logp_BT - behaviour_BT).exp()
    return -advantage_BT * ratio_BT / (ratio_BT + gamma)


def value_loss(value_BT: Tensor, old_value_BT: Tensor, return_BT: Tensor, clip: float) -> Tensor:
    """Clipped squared error per token, halved: ½ max((V − R)², (clip(V, V_old ± clip) − R)²)."""
    _same(value_BT, old_value_BT, return_BT)
    held_BT = old_value_BT + (value_BT - old_value_BT).clamp(-clip, clip)
    return 0.5 * torch.maximum((value_BT - return_BT).square(), (held_BT - return_BT).square())


def kl_k3(logp_BT: Tensor, reference_BT: Tensor) -> Tensor:
    """Schulman's k3 estimate of KL(π ‖ reference) per token: e^d − 1 − d with d = log reference − log π. Never
    negative."""
    _same(logp_BT, reference_BT)
    d_BT = reference_BT - logp_BT
    return d_BT.exp() - 1 - d_BT


def masked_sum(x_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Sum over valid positions; divide by the *global* minibatch's token count so that micro-batches add up to the same
    gradient."""
    _same(x_BT, mask_BT)
    return (x_BT * mask_BT).sum()


def masked_mean(x_BT: Tensor, mask_BT: Tensor) -> Tensor:
    return masked_sum(x_BT, mask_BT) / mask_BT.sum().clamp(min=1)


def explained_variance(predicted: Tensor, actual: Tensor) -> float:
    """1 − Var(actual − predicted) / Var(actual); 0 where the targets do not vary."""
    variance = actual.var(unbiased=False)
    return float(1 - (actual - predicted).var(unbiased=False) / variance) if variance > 1e-12 else 0.0


def _same(*tensors: Tensor) -> None:
    shapes = {tuple(t.shape) for t in tensors}
    if len(shapes) != 1 or tensors[0].dim() != 2:
        raise ValueError(f"expected equal (batch, token) shapes, got {sorted(shapes)}")
