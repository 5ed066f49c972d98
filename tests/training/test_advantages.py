import pytest
import torch
from torch import Tensor

from herl_bench.training.advantages import compare_in_groups, estimate_gae, explained_variance, place_rewards, whiten


def row(*values: float) -> Tensor:
    return torch.tensor([values], dtype=torch.float64)


def test_terminal_reward_sits_on_the_last_valid_token():
    mask = torch.tensor([[1.0, 1, 0], [1, 1, 1]])
    got = place_rewards(torch.tensor([0.5, 2.0]), mask)
    assert got.tolist() == [[0, 0.5, 0], [0, 0, 2.0]]


def test_gae_by_hand():
    # gamma .9, lambda .5: d2 = 1 - .3 = .7; d1 = .9*.3 - .2 = .07, A1 = .07 + .45*.7 = .385; d0 = .9*.2 - .1 = .08, A0
    # = .08 + .45*.385 = .25325
    advantages, returns = estimate_gae(row(0, 0, 1), row(0.1, 0.2, 0.3), row(1, 1, 1), gamma=0.9, lam=0.5)
    assert advantages[0].tolist() == pytest.approx([0.25325, 0.385, 0.7])
    assert returns[0].tolist() == pytest.approx([0.35325, 0.585, 1.0])


def test_gae_ignores_padding():
    short = estimate_gae(row(0, 1), row(0.5, 0.25), row(1, 1), 1.0, 0.95)[0]
    padded = estimate_gae(row(0, 1, 0, 0), row(0.5, 0.25, 9, 9), row(1, 1, 0, 0), 1.0, 0.95)[0]
    assert padded[0, :2].tolist() == short[0].tolist()
    assert padded[0, 2:].tolist() == [0, 0]


def test_with_gamma_and_lambda_one_the_return_is_the_reward():
    _, returns = estimate_gae(row(0, 0, 1), row(0.3, 0.9, 0.2), row(1, 1, 1), 1.0, 1.0)
    assert returns[0].tolist() == pytest.approx([1, 1, 1])


def test_whitening_does_not_blow_up_noise():
    noise = whiten(row(0.5, 0.5001, 0.4999), row(1, 1, 1), row(1, 1, 1))
    assert noise.abs().max() < 0.02


def test_whiten_by_hand():
    got = whiten(row(1, 2, 3, 100), row(1, 1, 1, 0), row(1, 1, 1, 0))
    assert got[0].tolist() == pytest.approx([-1 / 1.0001**0.5, 0, 1 / 1.0001**0.5, 0])


def test_group_advantages_by_hand():
    # group 0: rewards 0 and 1 of its two counted rows, mean .5, deviation .7071; its off-policy third row is measured
    # by them
    reward, group = torch.tensor([0.0, 1.0, 2.0, 0.3]), torch.tensor([0, 0, 0, 1])
    got = compare_in_groups(reward, group, torch.tensor([True, True, False, True]))
    deviation = 0.5**0.5 + 1e-4
    assert got.tolist() == pytest.approx([-0.5 / deviation, 0.5 / deviation, 1.5 / deviation, 0.0])


def test_explained_variance():
    actual = torch.tensor([0.0, 1.0, 2.0])
    assert explained_variance(actual, actual) == pytest.approx(1)
    assert explained_variance(torch.ones(3), actual) == pytest.approx(0)
    assert explained_variance(actual, torch.ones(3)) == 0
