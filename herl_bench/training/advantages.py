"""Rewards to advantages: GAE against a value critic, or rewards relative to their prompt's group; tensors in and out.

Shapes: B responses (N where they are the rows of a whole step), T response positions, right-padded, G groups;
`mask_BT` is 1.0 on response tokens and 0.0 on padding.
"""

from __future__ import annotations

import torch
from torch import Tensor

from herl_bench.training.losses import check_shapes

# Rewards lie in [0, 1], and 1e-4 is the variance of a spread of 0.01: where they differ by less, there is nothing to
# learn but the critic's noise, and the usual 1e-8 would blow that up to full size.
LEAST_VARIANCE = 1e-4

# GRPO's own: where every response of a group got the same reward, 0 / 1e-4 is 0 and not 0 / 0.
LEAST_DEVIATION = 1e-4


def place_rewards(reward_B: Tensor, mask_BT: Tensor) -> Tensor:
    """(B, T): each response's scalar reward on its last valid token, 0 elsewhere."""
    last_B = mask_BT.sum(1).long() - 1
    rewards_BT = torch.zeros_like(mask_BT)
    # An empty response has no last token: -1 would put its reward on the padding at the end.
    rows = torch.arange(len(reward_B), device=mask_BT.device)[last_B >= 0]
    rewards_BT[rows, last_B[rows]] = reward_B[rows].to(mask_BT.dtype)
    return rewards_BT


def estimate_gae(
    rewards_BT: Tensor, values_BT: Tensor, mask_BT: Tensor, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438, eq. 16). Returns (advantages_BT,
    returns_BT), both 0 on padding.

    values_BT[:, t] is the value of the state before token t; after the last valid token the value is 0 (every response
    is an episode).
    """
    check_shapes(rewards_BT, values_BT, mask_BT)
    advantages_BT = torch.zeros_like(rewards_BT)
    running_B = next_value_B = next_mask_B = torch.zeros_like(rewards_BT[:, 0])
    for t in reversed(range(rewards_BT.shape[1])):
        delta_B = rewards_BT[:, t] + gamma * next_value_B - values_BT[:, t]
        running_B = (delta_B + gamma * lam * next_mask_B * running_B) * mask_BT[:, t]
        advantages_BT[:, t] = running_B
        # What stands on padding is masked before it is looked back at: a critic says something there too.
        next_mask_B, next_value_B = mask_BT[:, t], values_BT[:, t] * mask_BT[:, t]
    # Returns are never whitened: the critic must learn rewards as they are.
    return advantages_BT, (advantages_BT + values_BT) * mask_BT


def whiten(x_BT: Tensor, mask_BT: Tensor, by_BT: Tensor) -> Tensor:
    """Zero mean and unit variance over the valid positions of the whole batch; padding stays 0. by_BT: the positions
    whose mean and variance are used for all (the on-policy ones)."""
    check_shapes(x_BT, mask_BT, by_BT)
    count = by_BT.sum().clamp(min=1)
    mean = (x_BT * by_BT).sum() / count
    # One position has no deviation from its mean: 0 / 1, not 0 / 0.
    variance = ((x_BT - mean).square() * by_BT).sum() / (count - 1).clamp(min=1)
    return (x_BT - mean) * torch.rsqrt(variance + LEAST_VARIANCE) * mask_BT


def compare_in_groups(reward_N: Tensor, group_N: Tensor, counted_N: Tensor) -> Tensor:
    """(N,): each reward minus its group's mean, over its group's deviation (GRPO: Shao et al. 2024, arXiv 2402.03300,
    section 4.1.2).

    counted_N: the rows that make mean and deviation (the on-policy ones). A group of one has nothing to compare with:
    advantage 0.
    """
    groups = int(group_N.max()) + 1
    weight_N = counted_N.to(reward_N.dtype)

    def add_up(x_N: Tensor) -> Tensor:  # (G,)
        return torch.zeros(groups, dtype=reward_N.dtype, device=reward_N.device).index_add(0, group_N, x_N * weight_N)

    count_G = add_up(torch.ones_like(reward_N))
    centred_N = reward_N - (add_up(reward_N) / count_G.clamp(min=1))[group_N]
    # Divided by count - 1, as torch.std does and so GRPO's code.
    deviation_G = (add_up(centred_N.square()) / (count_G - 1).clamp(min=1)).sqrt()
    return torch.where(count_G[group_N] > 1, centred_N / (deviation_G[group_N] + LEAST_DEVIATION), 0.0)


def explained_variance(predicted: Tensor, actual: Tensor) -> float:
    """1 − Var(actual − predicted) / Var(actual); 0 where the targets do not vary."""
    variance = actual.var(unbiased=False)
    # Rounding leaves some 1e-14 of targets that are all the same.
    return float(1 - (actual - predicted).var(unbiased=False) / variance) if variance > 1e-12 else 0.0
