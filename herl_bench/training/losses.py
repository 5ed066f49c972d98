"""Losses per token: tensors in, tensors out, nothing else. Each function is named after its formula.

Shapes: B responses, T response positions, right-padded; `mask_BT` is 1.0 on response tokens (the end-of-sequence token
included) and 0.0 on padding. Losses are to be minimised, and are not masked: the caller sums them with `masked_sum`.
Left out: anything that knows of prompts, models or budgets.
"""

from __future__ import annotations

import torch
from torch import Tensor

MOST_KL = 10.0
"""k3 of one token, where its loss goes on straight and its report ends."""

FARTHEST = 2.610868638149876
"""d at which k3, e^d − 1 − d, is that."""


def ppo_loss(
    logp_BT: Tensor, old_logp_BT: Tensor, advantage_BT: Tensor, low: float, high: float, dual_clip: float | None = None
) -> tuple[Tensor, Tensor]:
    """PPO's clipped surrogate per token (Schulman et al. 2017, eq. 7), negated. Returns (loss_BT, was_clipped_BT).

    low, high: the ratio is clipped to [1 - low, 1 + high]; a larger `high` leaves improbable tokens more room to rise
    (DAPO, arXiv 2503.14476, section 3.1). dual_clip: with a negative advantage the loss is at most dual_clip · |A| (Ye
    et al. 2020, arXiv 1912.09729).
    """
    check_shapes(logp_BT, old_logp_BT, advantage_BT)
    ratio_BT = (logp_BT - old_logp_BT).exp()
    free_BT, held_BT = -ratio_BT * advantage_BT, -ratio_BT.clamp(1 - low, 1 + high) * advantage_BT
    # The worse of both: a move beyond the clip earns nothing more, and a move back from beyond it is still paid for.
    loss_BT = torch.maximum(free_BT, held_BT)
    if dual_clip is not None:
        # With A < 0 nothing bounds ratio · |A| from above: one token that became far more probable than it was when it
        # was sampled would own the whole gradient.
        loss_BT = torch.where(advantage_BT < 0, torch.minimum(loss_BT, -dual_clip * advantage_BT), loss_BT)
    return loss_BT, (held_BT > free_BT).to(logp_BT.dtype)


def awr_loss(logp_BT: Tensor, advantage_BT: Tensor) -> Tensor:
    """−A⁺ · log π(y'|x) per token, without a ratio (RL from text feedback, arXiv 2602.02482)."""
    check_shapes(logp_BT, advantage_BT)
    # Positive advantages only: pushing down what the plain prompt hardly ever says would teach it nothing, and log π
    # has no floor there.
    return -advantage_BT.clamp(min=0) * logp_BT


def shaped_loss(logp_BT: Tensor, behaviour_BT: Tensor, advantage_BT: Tensor, gamma: float) -> Tensor:
    """−A · x / (x + γ) per token, x = π(y'|x) / μ(y'|x, guidance) (LUFFY, arXiv 2504.14945; the published HeRL code).

    Its gradient vanishes where x is near 0: where the revision is improbable, which is where it would matter.
    """
    check_shapes(logp_BT, behaviour_BT, advantage_BT)
    ratio_BT = (logp_BT - behaviour_BT).exp()
    # No clip: x / (x + γ) lies below 1 of its own.
    return -advantage_BT * ratio_BT / (ratio_BT + gamma)


def value_loss(value_BT: Tensor, old_value_BT: Tensor, return_BT: Tensor, clip: float) -> Tensor:
    """Clipped squared error per token, halved: ½ max((V − R)², (clip(V, V_old ± clip) − R)²), as in PPO's published
    code (openai/baselines, ppo2); the paper has no clip on the value."""
    check_shapes(value_BT, old_value_BT, return_BT)
    held_BT = old_value_BT + (value_BT - old_value_BT).clamp(-clip, clip)
    # The larger error counts, so that a value that overshot the clip is still drawn back.
    return 0.5 * torch.maximum((value_BT - return_BT).square(), (held_BT - return_BT).square())


def kl_k3(logp_BT: Tensor, reference_BT: Tensor) -> Tensor:
    """The k3 estimate of KL(π ‖ reference) per token: e^d − 1 − d with d = log reference − log π (Schulman 2020,
    "Approximating KL divergence"; GRPO, arXiv 2402.03300, eq. 4). Never negative."""
    check_shapes(logp_BT, reference_BT)
    # k1 = −d is unbiased too, but of either sign: as a loss it would pay for tokens that happen to fall below 0.
    d_BT = reference_BT - logp_BT
    return d_BT.exp() - 1 - d_BT


def bounded_kl_k3(logp_BT: Tensor, reference_BT: Tensor) -> Tensor:
    """k3 up to `MOST_KL`, and its tangent beyond, as Huber's loss goes on from a square (Huber 1964, "Robust estimation
    of a location parameter"): no token's gradient is more than MOST_KL + FARTHEST, 12.6.

    That of k3 is 1 − e^d: without a bound where the policy has lost a token that the starting policy finds likely, and
    never more than 1 on the other side. verl bounds the value (`low_var_kl`: d clamped to ±20, k3 to ±10; `kl_penalty`
    in verl/trainer/ppo/core_algos.py), and with it takes the gradient: what went too far would not be drawn back.
    """
    check_shapes(logp_BT, reference_BT)
    d_BT = reference_BT - logp_BT
    held_BT = d_BT.clamp(max=FARTHEST)
    return held_BT.exp() - 1 - held_BT + (MOST_KL + FARTHEST) * (d_BT - FARTHEST).relu()


def masked_sum(x_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Sum over valid positions, a scalar."""
    # Divided by the caller, by the token count of the *whole* minibatch: only so do micro-batches of different sizes
    # add up to the gradient of one pass.
    check_shapes(x_BT, mask_BT)
    return (x_BT * mask_BT).sum()


def masked_mean(x_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Mean over valid positions, a scalar; 0 where there is none."""
    return masked_sum(x_BT, mask_BT) / mask_BT.sum().clamp(min=1)


def check_shapes(*tensors: Tensor) -> None:
    """Raises `ValueError`: broadcasting would turn a forgotten axis into a number that only looks right."""
    shapes = {tuple(t.shape) for t in tensors}
    if len(shapes) != 1 or tensors[0].dim() != 2:
        raise ValueError(f"expected equal (batch, token) shapes, got {sorted(shapes)}")
