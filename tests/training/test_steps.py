"""What every method does around its own learning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import herl_bench as hb
from herl_bench.training.steps import count_minibatches, restore_generator


def test_a_random_stream_goes_on_where_it_was() -> None:
    first = torch.Generator().manual_seed(3)
    torch.rand(5, generator=first)
    second = torch.Generator()
    restore_generator(second, first.get_state())
    assert torch.equal(torch.rand(5, generator=first), torch.rand(5, generator=second))


def test_on_another_kind_of_device_it_is_one_that_the_state_names() -> None:
    """A CUDA generator's state has 16 bytes."""

    def go_on(value: int) -> torch.Tensor:
        generator = torch.Generator()
        restore_generator(generator, torch.full((16,), value, dtype=torch.uint8))
        return torch.rand(5, generator=generator)

    assert torch.equal(go_on(1), go_on(1))
    assert not torch.equal(go_on(1), go_on(2))


def test_a_part_of_a_minibatch_is_one_more() -> None:
    assert [count_minibatches(rollouts, 32) for rollouts in (1, 8, 32, 33, 64)] == [1, 1, 1, 2, 2]


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")
def test_every_method_takes_the_same_optimiser_steps_per_step(tmp_path: Path) -> None:
    """On the embedded policy, with minibatches that no number of rollouts or rows divides into evenly; the last step is
    as much smaller as what is left of the budget."""
    settings: dict[str, Any] = {"rollouts_per_step": 8, "minibatch_size": 3, "max_new_tokens": 100, "eval_items": 1}
    rows = []
    for method in ("ppo", "herl", "grpo", "rloo"):
        groups = {"num_generations": 2} if method in ("grpo", "rloo") else {}
        made = hb.train("gsm8k", method, budget="3k", seed=1, output_dir=tmp_path, **settings, **groups)
        rollouts = [0, *(row["rollouts"] for row in made.metrics)]
        steps = [0, *(row["optimizer_steps"] for row in made.metrics)]
        assert len(made.metrics) > 2
        for i in range(len(made.metrics) - 1):
            assert rollouts[i + 1] - rollouts[i] in ((6, 7, 8) if method == "herl" else (8,))
            assert steps[i + 1] - steps[i] == 3
        assert 1 <= steps[-1] - steps[-2] <= 3
        rows += [row["rows"] for row in made.metrics if method == "herl"]
    assert max(rows) > 8
