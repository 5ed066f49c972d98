import math

import pytest
import torch
from torch import Tensor

from herl_bench.training import losses


def row(*values: float) -> Tensor:
    return torch.tensor([values], dtype=torch.float64)


def test_ppo_clip_by_hand():
    # ratio 1.5: with A=1 the clipped 1.2 counts; with A=-1 the unclipped -1.5 does
    loss, clipped = losses.ppo_loss(row(math.log(1.5), math.log(1.5)), row(0, 0), row(1, -1), 0.2, 0.2)
    assert loss[0].tolist() == pytest.approx([-1.2, 1.5])
    assert clipped[0].tolist() == [1, 0]


def test_clip_higher_and_dual_clip():
    loss, _ = losses.ppo_loss(row(math.log(1.5)), row(0), row(1), 0.2, 0.28)
    assert loss.item() == pytest.approx(-1.28)
    loss, _ = losses.ppo_loss(row(math.log(9)), row(0), row(-2), 0.2, 0.2, dual_clip=3)
    assert loss.item() == pytest.approx(6)


def test_awr_learns_only_from_positive_advantages():
    assert losses.awr_loss(row(-2, -2), row(0.5, -1))[0].tolist() == [1.0, 0.0]


def test_shaped_by_hand_and_its_vanishing_gradient():
    likely, unlikely = torch.tensor([[0.0]], requires_grad=True), torch.tensor([[-9.0]], requires_grad=True)
    loss = losses.shaped_loss(likely, torch.zeros(1, 1), torch.ones(1, 1), gamma=1.0)
    assert loss.item() == pytest.approx(-0.5)
    loss.sum().backward()
    losses.shaped_loss(unlikely, torch.zeros(1, 1), torch.ones(1, 1), gamma=1.0).sum().backward()
    assert likely.grad is not None
    assert unlikely.grad is not None
    assert likely.grad.item() == pytest.approx(-0.25)
    assert abs(unlikely.grad.item()) < 2e-4


def test_value_clip_by_hand():
    # old 0, new 1, return 1, clip .2: the clipped error (.2-1)² = .64 is the larger
    assert losses.value_loss(row(1), row(0), row(1), 0.2).item() == pytest.approx(0.32)


def test_k3_is_zero_at_equality_and_positive_elsewhere():
    got = losses.kl_k3(row(-1, -1, -1), row(-1, -2, -0.5))
    assert got[0, 0] == 0
    assert (got[0, 1:] > 0).all()
    assert got[0, 1].item() == pytest.approx(math.exp(-1))


def test_micro_batches_add_up_to_the_global_token_mean():
    torch.manual_seed(0)
    weight = torch.randn(3, requires_grad=True)
    x, mask = torch.randn(4, 5, 3), (torch.rand(4, 5) > 0.4).float()
    whole = losses.masked_mean(x @ weight, mask)
    (expected,) = torch.autograd.grad(whole, weight)
    total = mask.sum()
    got = sum(
        torch.autograd.grad(losses.masked_sum(x[i : i + 2] @ weight, mask[i : i + 2]) / total, weight)[0]
        for i in (0, 2)
    )
    torch.testing.assert_close(got, expected)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"equal \(batch, token\) shapes"):
        losses.masked_sum(torch.zeros(2, 3), torch.zeros(3, 2))


def test_the_kl_of_a_loss_is_k3_and_goes_on_straight_where_a_token_is_lost():
    """Inside the bound to the bit, in value and gradient; beyond it the gradient stays, and stays what it was."""
    torch.manual_seed(0)
    reference = torch.randn(4, 50)
    near = reference - torch.linspace(-12, 2.6, 200).view(4, 50)
    one, two = (near.clone().requires_grad_() for _ in range(2))
    held, free = losses.bounded_kl_k3(one, reference), losses.kl_k3(two, reference)
    assert torch.equal(held, free)
    held.sum().backward()
    free.sum().backward()
    assert one.grad is not None
    assert two.grad is not None
    assert torch.equal(one.grad, two.grad)
    far = row(-losses.FARTHEST, -20, -500).requires_grad_()
    got = losses.bounded_kl_k3(far, row(0, 0, 0))
    slope = losses.MOST_KL + losses.FARTHEST
    assert got[0].tolist() == pytest.approx([10, *(10 + slope * (d - losses.FARTHEST) for d in (20, 500))])
    got.sum().backward()
    assert far.grad is not None
    assert far.grad[0].tolist() == pytest.approx([-slope] * 3)
