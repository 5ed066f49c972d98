"""What every method does around its own learning."""

from __future__ import annotations

import torch

from herl_bench.training.steps import restore_generator


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
