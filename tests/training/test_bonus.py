from random import Random

import pytest
import torch
from helpers.toy_runs import make_rollout

from herl_bench.errors import UsageError
from herl_bench.training.bonus import (
    Bonus,
    BonusCritic,
    Measurement,
    Prediction,
    _bin_by_guess,
    average_improvements,
    shuffle_improvements,
)
from herl_bench.training.config import HeRLConfig

WIDTH = 64


@pytest.fixture
def critic() -> BonusCritic:
    return BonusCritic(window=4)


def draw_end(rng: Random, good: bool) -> torch.Tensor:
    """A state of chance, but for one direction of many."""
    end_D = torch.tensor([rng.gauss(0, 1) for _ in range(WIDTH)])
    end_D[7] = 2.0 if good else -2.0
    return end_D


def measure(rng: Random, step: int, learnable: bool) -> list[Measurement]:
    """Drafts whose state points one way can be improved by 0.6, the others cannot; or pure chance."""
    found = []
    for i in range(40):
        good = rng.random() < 0.5
        improvement = 0.6 * good if learnable else rng.choice([0.0, 0.6])
        found.append(Measurement(step, step * 1000 + i, draw_end(rng, good), 0.3, improvement))
    return found


def feed(critic: BonusCritic, learnable: bool, steps: int = 8) -> list[bool]:
    rng, gates = Random(0), []
    for step in range(1, steps + 1):
        critic.observe(step, measure(rng, step, learnable))
        gates.append(critic.open)
    return gates


def test_it_starts_at_zero_and_behind_a_closed_gate(critic: BonusCritic):
    assert critic.predict(torch.ones(1, WIDTH), [0.3]) == [0.0]
    assert not critic.open


def test_the_gate_opens_once_improvement_can_be_predicted(critic: BonusCritic):
    assert feed(critic, learnable=True)[-1]
    high, low = critic.predict(torch.stack([draw_end(Random(1), good) for good in (True, False)]), [0.3, 0.3])
    assert high > low + 0.2
    logged = critic.describe_calibration()
    assert logged["bonus_auroc"] > 0.9
    assert logged["bonus_mse"] < logged["bonus_mse_constant"]


def test_the_gate_stays_closed_on_noise(critic: BonusCritic):
    assert not any(feed(critic, learnable=False))


def test_the_gate_hardly_opens_where_the_reward_alone_tells_as_much():
    """Equal predictions are a standard error apart one time in six."""
    opened = []
    for seed in range(6):
        rng, critic = Random(seed), BonusCritic(window=4)
        for step in range(1, 9):
            rewards = [rng.choice([0.0, 0.5]) for _ in range(40)]
            # The more reward the more to gain, which neither the mean nor the room that is left can say.
            rows = [(draw_end(rng, rng.random() < 0.5), r, 0.1 + 0.6 * r * rng.random()) for r in rewards]
            critic.observe(step, [Measurement(step, step * 1000 + i, *row) for i, row in enumerate(rows)])
            opened.append(critic.open)
    assert sum(opened) < len(opened) / 5
    logged = critic.describe_calibration()
    assert logged["bonus_mse"] < min(logged["bonus_mse_constant"], logged["bonus_mse_headroom"])


def test_predictions_stay_within_the_headroom(critic: BonusCritic):
    feed(critic, learnable=True)
    assert 0 <= critic.predict(draw_end(Random(1), True)[None], [0.9])[0] <= 0.1 + 1e-9


def test_a_prompt_that_was_learnt_from_is_not_judged_by(critic: BonusCritic):
    rows = measure(Random(0), 1, True)
    critic.observe(1, rows)
    critic.observe(2, rows)
    assert 0 < len(critic.predictions) == sum(m.is_held_out for m in rows) < len(rows)


def test_what_is_held_out_teaches_nothing(critic: BonusCritic):
    other, rows = BonusCritic(window=4), measure(Random(0), 1, True)
    critic.observe(1, rows)
    other.observe(1, [m for m in rows if not m.is_held_out])
    asked = torch.stack([m.end_D for m in rows])
    assert critic.predict(asked, [0.3] * 40) == other.predict(asked, [0.3] * 40) != [0.0] * 40


def test_state_dict_round_trip(critic: BonusCritic):
    feed(critic, learnable=True, steps=3)
    other = BonusCritic(window=4)
    other.load_state_dict(critic.state_dict())
    asked = torch.stack([draw_end(Random(i), True) for i in range(5)])
    assert other.predict(asked, [0.3] * 5) == critic.predict(asked, [0.3] * 5)
    assert other.describe_calibration() == critic.describe_calibration()
    other.load_state_dict(BonusCritic(4).state_dict())
    assert other.predict(asked, [0.3] * 5) == [0.0] * 5
    with pytest.raises(UsageError, match=r"of a version whose bonus critic was a network: begin the run again"):
        other.load_state_dict({"model": {}, "optimizer": {}})


def test_reliability_bin_by_guess():
    assert _bin_by_guess([0.1, 0.2, 0.3, 0.4, 0.5], [0, 0, 1, 1, 1])[0] == [0.1, 0, 1]
    assert sum(b[2] for b in _bin_by_guess([0.5] * 7, [1.0] * 7)) == 7


def test_shuffled_targets_never_open_the_gate(critic: BonusCritic):
    rng = Random(0)
    for step in range(1, 9):
        rows = measure(rng, step, learnable=True)
        mixed = shuffle_improvements(rows, step)
        assert sorted(m.improvement for m in mixed) == sorted(m.improvement for m in rows)
        assert all(m.end_D is row.end_D for m, row in zip(mixed, rows, strict=True))
        critic.observe(step, mixed)
        assert not critic.open


def test_calibration_by_hand(critic: BonusCritic):
    """40 predictions of 0.1 and 0.5 (half of them at step 2, where improvement is 0.1 higher) against a constant 0.3
    and a headroom of 0."""
    critic.predictions = [
        Prediction(1 + i // 20, 0.1 if i % 2 else 0.5, 0.3, 0.0, 0.3, (0.0 if i % 2 else 0.6) + 0.1 * (i // 20))
        for i in range(40)
    ]
    logged = critic.describe_calibration()
    assert logged["bonus_mae"] == pytest.approx((0.1 + 0.0 + 0.1 + 0.2) / 4)
    assert logged["bonus_mae_constant"] == pytest.approx((0.3 + 0.2 + 0.3 + 0.4) / 4)
    assert logged["bonus_mae_headroom"] == pytest.approx(0.35)
    assert logged["bonus_drift"] == pytest.approx(0.1)
    assert logged["bonus_bias"] == pytest.approx(0.3 - 0.35)
    assert logged["bonus_explained_variance"] > 0.8
    assert logged["bonus_explained_variance_constant"] == pytest.approx(0, abs=1e-6)
    assert logged["bonus_spearman"] == pytest.approx(
        2 / 5**0.5
    )  # measured ranks come in four levels, predicted ones in two
    bins = logged["bonus_reliability"]
    assert logged["bonus_ece"] == pytest.approx(sum(n * abs(a - b) for a, b, n in bins) / 40)


def revise(baseline: float, reward: float | None, draft: int = 0):
    return make_rollout("a", reward, kind="revision", draft=draft, baseline=baseline)


def test_a_draft_that_was_cut_off_is_paid_no_bonus():
    """It improved by more than the finished one, from 0 and not from the rubric's 0.8."""
    bonus = Bonus(HeRLConfig(bonus="measured"))
    drafts = [make_rollout("a", 0.8, finish="length"), make_rollout("b", 0.2)]
    revisions = [revise(d.reward, 0.7, i) for i, d in enumerate(drafts)]
    assert [r.improvement for r in revisions] == pytest.approx([0.7, 0.5])
    paid = bonus.pay(1, drafts, revisions, {})
    assert [d.bonus for d in paid] == pytest.approx([0.0, 0.5])


def test_the_measured_improvement_is_the_mean_of_a_draft_s_revisions():
    revisions = [revise(0.2, 0.8), revise(0.2, 0.2), revise(0.2, None), revise(0.5, 0.25, 3), revise(0.5, None, 4)]
    assert average_improvements(revisions) == pytest.approx({0: 0.3, 3: -0.25})


def test_the_critic_learns_from_drafts_whose_state_is_known_and_pays_by_what_it_knew_before():
    bonus = Bonus(HeRLConfig(bonus_gate=False))
    drafts = [make_rollout(f"p{i}", 0.2, ids=(5, i)) for i in range(40)]
    ends = {d.pair: draw_end(Random(i), i % 2 == 0) for i, d in enumerate(drafts[:-1])}
    revisions = [revise(0.2, 0.8 if i % 2 == 0 else 0.2, i) for i in range(40)]
    assert {d.bonus for d in bonus.pay(1, drafts, revisions, ends)} == {0.0}
    assert bonus.critic is not None
    assert len(bonus.critic.past) == 39
    paid = [d.bonus for d in bonus.pay(2, drafts, [], ends)]
    assert sum(paid[:-1:2]) / 20 > sum(paid[1:-1:2]) / 19 + 0.3
    assert paid[-1] == 0
