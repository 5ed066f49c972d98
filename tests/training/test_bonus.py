from pathlib import Path
from random import Random

import pytest
import torch
from helpers.toy_runs import make_rollout

from herl_bench.budget import Budget
from herl_bench.policy.load import load_policy
from herl_bench.testing import tiny_checkpoint
from herl_bench.training.bonus import Bonus, BonusCritic, Measurement, Prediction, _bin_by_guess, shuffle_improvements
from herl_bench.training.config import HeRLConfig
from herl_bench.training.forward import Packing, Pair

CONFIG = HeRLConfig(bonus_learning_rate=3e-3, bonus_window=4, bonus_epochs=3)
PACKING = Packing(4096, 0, torch.device("cpu"))


@pytest.fixture
def critic(tmp_path: Path) -> BonusCritic:
    policy = load_policy(str(tiny_checkpoint(tmp_path / "m")))
    return BonusCritic(policy.model, CONFIG, PACKING)


def measurements(rng: Random, step: int, learnable: bool) -> list[Measurement]:
    """Drafts that end in token 10 can be improved by 0.6, those that end in 20 cannot; or pure chance."""
    found = []
    for i in range(40):
        good = rng.random() < 0.5
        delta = 0.6 * good if learnable else rng.choice([0.0, 0.6])
        found.append(Measurement(f"p{step}-{i}", Pair((1, rng.randrange(30, 60)), (5, 10 if good else 20)), 0.3, delta))
    return found


def feed(critic: BonusCritic, learnable: bool, steps: int = 8) -> list[bool]:
    rng, generator = Random(0), torch.Generator().manual_seed(0)
    gates = []
    for step in range(1, steps + 1):
        critic.observe(step, measurements(rng, step, learnable), generator)
        gates.append(critic.open)
    return gates


def test_it_starts_at_zero_and_behind_a_closed_gate(critic: BonusCritic):
    assert critic.predict([Pair((1,), (5, 10))], [0.3]) == [0.0]
    assert not critic.open


def test_the_gate_opens_once_improvement_can_be_predicted(critic: BonusCritic):
    assert feed(critic, learnable=True)[-1]
    high, low = critic.predict([Pair((1, 40), (5, 10)), Pair((1, 40), (5, 20))], [0.3, 0.3])
    assert high > low + 0.2
    logged = critic.describe_calibration()
    assert logged["bonus_auroc"] > 0.9
    assert logged["bonus_mse"] < logged["bonus_mse_constant"]


def test_the_gate_stays_closed_on_noise(critic: BonusCritic):
    assert not any(feed(critic, learnable=False))


def test_predictions_stay_within_the_headroom(critic: BonusCritic):
    feed(critic, learnable=True)
    assert 0 <= critic.predict([Pair((1, 40), (5, 10))], [0.9])[0] <= 0.1 + 1e-9


def test_a_prompt_that_was_trained_on_is_not_judged_by(critic: BonusCritic):
    generator = torch.Generator().manual_seed(0)
    rows = measurements(Random(0), 1, True)
    critic.observe(1, rows, generator)
    critic.observe(2, rows, generator)
    held_out = len(rows) - len(critic.trained_on)
    assert 0 < len(critic.predictions) == held_out < len(rows)


def test_state_dict_round_trip(critic: BonusCritic, tmp_path: Path):
    feed(critic, learnable=True, steps=3)
    policy = load_policy(str(tiny_checkpoint(tmp_path / "m2", seed=5)))
    other = BonusCritic(policy.model, CONFIG, PACKING)
    other.load_state_dict(critic.state_dict())
    pairs = [Pair((1, 40), (5, 10)), Pair((1, 33), (5, 20))]
    assert other.predict(pairs, [0.3, 0.3]) == critic.predict(pairs, [0.3, 0.3])
    assert other.describe_calibration() == critic.describe_calibration()


def test_reliability_bin_by_guess():
    assert _bin_by_guess([0.1, 0.2, 0.3, 0.4, 0.5], [0, 0, 1, 1, 1])[0] == [0.1, 0, 1]
    assert sum(b[2] for b in _bin_by_guess([0.5] * 7, [1.0] * 7)) == 7


def test_shuffled_targets_never_open_the_gate(critic: BonusCritic):
    rng, generator = Random(0), torch.Generator().manual_seed(0)
    for step in range(1, 9):
        rows = measurements(rng, step, learnable=True)
        mixed = shuffle_improvements(rows, step)
        assert sorted(m.improvement for m in mixed) == sorted(m.improvement for m in rows)
        assert [m.pair for m in mixed] == [m.pair for m in rows]
        critic.observe(step, mixed, generator)
        assert not critic.open


def test_calibration_by_hand(critic: BonusCritic):
    """40 predictions of 0.1 and 0.5 (half of them at step 2, where improvement is 0.1 higher) against a constant 0.3
    and a headroom of 0."""
    critic.predictions = [
        Prediction(1 + i // 20, 0.1 if i % 2 else 0.5, 0.3, 0.0, (0.0 if i % 2 else 0.6) + 0.1 * (i // 20))
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


def test_a_draft_that_was_cut_off_is_paid_no_bonus(tmp_path: Path):
    """It improved by more than the finished one, from 0 and not from the rubric's 0.8."""
    policy = load_policy(str(tiny_checkpoint(tmp_path / "m")))
    bonus = Bonus(policy.model, HeRLConfig(bonus="measured"), PACKING, Budget(1000))
    drafts = [make_rollout("a", 0.8, finish="length"), make_rollout("b", 0.2)]
    revisions = [
        make_rollout(d.example.id, 0.7, kind="revision", draft=i, baseline=d.reward) for i, d in enumerate(drafts)
    ]
    assert [r.improvement for r in revisions] == pytest.approx([0.7, 0.5])
    paid = bonus.pay(1, drafts, revisions, [0.0] * 2, torch.Generator())
    assert [d.bonus for d in paid] == pytest.approx([0.0, 0.5])
