"""The two precisions of a policy that computes in bfloat16: trained, its weights are float32 and each operation rounds
what it reads (autocast); evaluated, the weights themselves are bfloat16, as `herl-bench eval` loads them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from herl_bench.policy.adapters import round_weights
from herl_bench.policy.load import Policy
from herl_bench.policy.placement import Placement


def autocast(placement: Placement) -> torch.autocast:
    """Around every forward pass of training: policy, starting policy, critics, and the sampling of a step."""
    return torch.autocast(placement.kind, torch.bfloat16, enabled=placement.dtype == "bfloat16")


@contextmanager
def evaluate_in(policy: Policy) -> Iterator[None]:
    """With weights of the placement's precision; afterwards they are what they were, to the bit."""
    weights = list(policy.model.parameters())
    kept = [weight.data for weight in weights]
    try:
        # An adapter's weights stay: `load_policy` gives them in float32 too.
        round_weights(policy.model, policy.placement.torch_dtype)
        yield
    finally:
        for weight, data in zip(weights, kept, strict=True):
            weight.data = data
