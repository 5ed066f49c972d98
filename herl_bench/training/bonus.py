"""The bonus: how far a response could have improved, in [0, 1 − r], paid on top of its reward.

Who says so is the arm (`bonus=`): `critic`, a network that predicts it for every draft; `measured`, the improvement
where a draft was revised; `none`. As controls, `constant`, the mean improvement of the last steps, and `shuffled`, the
critic on targets that belong to other drafts.

The critic b(x, y) is trained by Huber regression on measured improvements Δ = r(revision) − r(draft), the newest ones
only, and is used only once it has earned it. Every new measurement is predicted *before* it is learnt from, and a
prediction counts only if the critic was never trained on that prompt; one prompt in five is never trained on at all.
The gate opens while, over the last measurements, the critic's squared error is under that of a constant and that of
c · (1 − r), both fitted on the past, by more than a standard error; it closes again when that stops being true.
`describe_calibration` is what is logged of it: how it compares with both baselines, how it ranks, whether what it says
comes true, and whether what there is to predict drifts.

Left out: a two-part model of P(Δ > 0) and E[Δ | Δ > 0]; reweighting by the propensities, which `rollouts.jsonl` has.
"""

from __future__ import annotations

import itertools
import statistics
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from herl_bench.budget import Budget
from herl_bench.evaluation.scores import mean
from herl_bench.policy.adapters import BONUS
from herl_bench.training.advantages import explained_variance
from herl_bench.training.config import HeRLConfig
from herl_bench.training.forward import Critic, Lora, Packing, Pair, pack_microbatches
from herl_bench.training.rollouts import Rollout
from herl_bench.training.steps import count_minibatches
from herl_bench.training.update import draw_minibatches

# Never trained on, so that there is something to judge by even after every prompt of a small task was seen.
HELD_OUT_ONE_IN = 5

# Fewer predictions than this say nothing about who is better.
MIN_JUDGED = 32

# Improvements lie in [−1, 1]. Squared error up to half of what a response can gain; beyond, a revision that went from
# nothing to everything pulls no harder than one that went half way.
HUBER_DELTA = 0.5

MINIBATCH = 32  # measurements per optimiser step at most, as many as there are rollouts in the policy's
BASELINES = ("constant", "headroom")


class Bonus:
    """The arm that the configuration names, and what it remembers between steps."""

    def __init__(
        self, policy_model: Any, config: HeRLConfig, packing: Packing, budget: Budget, lora: Lora | None = None
    ):
        self.config, self.budget = config, budget
        self.arm = config.bonus if config.hindsight else "none"
        learns = self.arm in ("critic", "shuffled")
        self.critic = BonusCritic(policy_model, config, packing, lora) if learns else None
        self.improvements: list[tuple[int, float]] = []  # (step, measured) of the last `bonus_window` steps

    @property
    def is_used(self) -> bool:
        """Does the critic have a say in the reward?"""
        return self.critic is not None and (self.critic.open or not self.config.bonus_gate)

    def predict(self, drafts: Sequence[Rollout]) -> list[float]:
        """The critic's word on each draft; zeros where nobody asks for it."""
        if self.critic is None or not (self.is_used or self.config.revise == "critic"):
            return [0.0] * len(drafts)
        self.budget.forward_tokens += sum(len(r.pair) for r in drafts)
        return self.critic.predict([r.pair for r in drafts], [r.reward or 0.0 for r in drafts])

    def pay(
        self,
        step: int,
        drafts: Sequence[Rollout],
        revisions: Sequence[Rollout],
        predicted: Sequence[float],
        generator: torch.Generator,
    ) -> list[Rollout]:
        """The drafts with their bonus, by what was known before this step; then the arm learns from the step."""
        gains = {r.draft: r.improvement for r in revisions if r.draft is not None and r.improvement is not None}
        was_used = self.is_used
        if self.critic:
            revised = [(drafts[i], gain) for i, gain in gains.items()]
            measurements = [Measurement(d.example.id, d.pair, d.reward or 0.0, gain) for d, gain in revised]
            if self.arm == "shuffled":
                measurements = shuffle_improvements(measurements, step - 1)
            self.budget.forward_tokens += sum(len(m.pair) for m in measurements)
            self.budget.trained_tokens += self.critic.observe(step, measurements, generator)
        if was_used:
            bonuses = [b if d.reward is not None else 0.0 for d, b in zip(drafts, predicted, strict=True)]
        elif self.arm == "measured":
            lowest = -1.0 if self.config.bonus_signed else 0.0
            bonuses = [max(lowest, gains[i]) if i in gains else 0.0 for i in range(len(drafts))]
        elif self.arm == "constant":
            usual = max(0.0, mean(gain for _, gain in self.improvements) or 0.0)
            bonuses = [min(usual, 1.0 - d.reward) if d.reward is not None else 0.0 for d in drafts]
            self.improvements = [row for row in self.improvements if row[0] > step - self.config.bonus_window]
            self.improvements += [(step, gain) for gain in gains.values()]
        else:
            return list(drafts)
        # None for being cut off, which would be worth more than 0 otherwise.
        return [replace(d, bonus=0.0 if d.is_cut_off else bonus) for d, bonus in zip(drafts, bonuses, strict=True)]

    def describe_calibration(self) -> dict[str, Any]:
        return self.critic.describe_calibration() if self.critic else {}

    def state_dict(self) -> dict[str, Any]:
        return {"bonus": self.critic.state_dict() if self.critic else None, "improvements": self.improvements}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if self.critic:
            self.critic.load_state_dict(state["bonus"])
        self.improvements = [tuple(row) for row in state.get("improvements", [])]


# --------------------------------------------------------------------------------------------------------------- critic
@dataclass(frozen=True)
class Measurement:
    """A draft whose revision was judged. reward: the draft's; improvement: Δ in [−1, 1]."""

    example_id: str
    pair: Pair
    reward: float
    improvement: float


@dataclass(frozen=True)
class Prediction:
    """An out-of-sample prediction beside what the two baselines said and what was measured."""

    step: int
    critic: float
    constant: float
    headroom: float
    measured: float


class BonusCritic:
    """See the module's first paragraphs. `predict` is (rows,) clipped to [0, 1 − r]; `observe` judges, then learns."""

    def __init__(self, policy_model: Any, config: HeRLConfig, packing: Packing, lora: Lora | None = None):
        self.model = Critic(policy_model, extra=1, lora=lora, name=BONUS).to(packing.device)
        # eps as for the policy: see `update.ADAM`.
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=config.bonus_learning_rate, eps=1e-5, weight_decay=0.0
        )
        self.window, self.epochs, self.packing = config.bonus_window, config.bonus_epochs, packing
        self.predictions: list[Prediction] = []
        self.past: list[tuple[int, float, float]] = []  # (step, reward, improvement)
        self.trained_on: set[int] = set()
        self.open = False

    def predict(self, pairs: Sequence[Pair], rewards: Sequence[float]) -> list[float]:
        """How far each response could rise, in [0, 1 − r]."""
        return [min(max(0.0, b), 1.0 - r) for b, r in zip(self._guess(pairs, rewards), rewards, strict=True)]

    @torch.no_grad()
    def _guess(self, pairs: Sequence[Pair], rewards: Sequence[float]) -> list[float]:
        reward_N = torch.tensor(list(rewards), device=self.packing.device)
        guess_N = torch.zeros_like(reward_N)

        def guess() -> None:
            for batch in pack_microbatches(pairs, self.packing):
                guess_N[batch.rows_B] = self.model.predict_last(batch, reward_N[batch.rows_B])

        self.packing.fit(pairs, guess)
        return list(guess_N.tolist())

    def observe(self, step: int, measurements: Sequence[Measurement], generator: torch.Generator) -> int:
        """Predict, decide the gate, then learn from what is not held out; gives the number of tokens learnt from."""
        if not measurements:
            return 0
        guesses = self._guess([m.pair for m in measurements], [m.reward for m in measurements])
        constant, slope = self._fit_baselines()
        self.predictions += [
            Prediction(step, min(max(guess, -m.reward), 1 - m.reward), constant, slope * (1 - m.reward), m.improvement)
            for m, guess in zip(measurements, guesses, strict=True)
            if _hash(m.example_id) not in self.trained_on and self.past
        ]
        self.predictions = [p for p in self.predictions if p.step > step - self.window]
        self.open = self._beats_baselines()
        self.past = [row for row in self.past if row[0] > step - self.window]
        self.past += [(step, m.reward, m.improvement) for m in measurements]
        return self._learn([m for m in measurements if _hash(m.example_id) % HELD_OUT_ONE_IN], generator)

    def _fit_baselines(self) -> tuple[float, float]:
        """(the mean improvement of the past, c of c · (1 − r) by least squares)"""
        if not self.past:
            return 0.0, 0.0
        constant = sum(d for _, _, d in self.past) / len(self.past)
        squares = sum((1 - r) ** 2 for _, r, _ in self.past)
        slope = sum((1 - r) * d for _, r, d in self.past) / squares if squares else 0.0
        return constant, slope

    def _learn(self, measurements: Sequence[Measurement], generator: torch.Generator) -> int:
        self.trained_on |= {_hash(m.example_id) for m in measurements}
        pairs = [m.pair for m in measurements]
        reward_N = torch.tensor([m.reward for m in measurements], device=self.packing.device)
        target_N = torch.tensor([m.improvement for m in measurements], device=self.packing.device)
        for _ in range(self.epochs if measurements else 0):
            minibatches = count_minibatches(len(measurements), MINIBATCH)
            for rows in draw_minibatches(len(measurements), minibatches, generator):
                self.optimizer.zero_grad()
                with self.model.learning():
                    work = partial(self._add_gradient, pairs, rows.tolist(), reward_N, target_N)
                    self.packing.fit([pairs[i] for i in rows.tolist()], work, self.optimizer.zero_grad)
                nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                self.optimizer.step()
        return self.epochs * sum(map(len, pairs))

    def _add_gradient(self, pairs: Sequence[Pair], rows: Sequence[int], reward_N: Tensor, target_N: Tensor) -> None:
        for batch in pack_microbatches(pairs, self.packing, rows):
            guess_B = self.model.predict_last(batch, reward_N[batch.rows_B])
            loss = nn.functional.huber_loss(guess_B, target_N[batch.rows_B], reduction="sum", delta=HUBER_DELTA)
            (loss / len(rows)).backward()

    def _beats_baselines(self) -> bool:
        return len(self.predictions) >= MIN_JUDGED and all(map(self._is_better_than, BASELINES))

    def _is_better_than(self, baseline: str) -> bool:
        """Is the critic's squared error the smaller one by more than the paired difference's standard error?"""
        gains = [(getattr(p, baseline) - p.measured) ** 2 - (p.critic - p.measured) ** 2 for p in self.predictions]
        return statistics.fmean(gains) > statistics.stdev(gains) / len(gains) ** 0.5

    def describe_calibration(self) -> dict[str, Any]:
        """What is logged each step; little until there is something to judge by."""
        row: dict[str, Any] = {"bonus_gate": float(self.open), "bonus_judged": len(self.predictions)}
        if len(self.predictions) < MIN_JUDGED:
            return row
        from scipy import stats

        guessed, measured = [p.critic for p in self.predictions], [p.measured for p in self.predictions]
        count = len(guessed)
        for name in ("critic", *BASELINES):
            suffix = "" if name == "critic" else f"_{name}"
            said = [getattr(p, name) for p in self.predictions]
            errors = [abs(guess - actual) for guess, actual in zip(said, measured, strict=True)]
            row[f"bonus_mae{suffix}"] = sum(errors) / count
            row[f"bonus_mse{suffix}"] = sum(error**2 for error in errors) / count
            row[f"bonus_explained_variance{suffix}"] = explained_variance(torch.tensor(said), torch.tensor(measured))
        rose = [guess for guess, actual in zip(guessed, measured, strict=True) if actual > 0]
        fell = [guess for guess, actual in zip(guessed, measured, strict=True) if actual <= 0]
        varies = len(set(guessed)) > 1 and len(set(measured)) > 1
        bins = _bin_by_guess(guessed, measured)
        newest_step = self.predictions[-1].step
        newest = [p.measured for p in self.predictions if p.step == newest_step]
        earlier = [p.measured for p in self.predictions if p.step != newest_step]
        auroc = stats.mannwhitneyu(rose, fell).statistic / (len(rose) * len(fell)) if rose and fell else None
        return row | {
            "bonus_spearman": float(stats.spearmanr(guessed, measured).statistic) if varies else None,
            "bonus_auroc": None if auroc is None else float(auroc),
            "bonus_reliability": bins,
            "bonus_ece": sum(size * abs(guess - actual) for guess, actual, size in bins) / count,
            "bonus_bias": (sum(guessed) - sum(measured)) / count,
            "bonus_drift": sum(newest) / len(newest) - sum(earlier) / len(earlier) if earlier else None,
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "predictions": [asdict(p) for p in self.predictions],
            "past": self.past,
            "trained_on": sorted(self.trained_on),
            "open": self.open,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.predictions = [Prediction(**p) for p in state["predictions"]]
        self.past = [tuple(row) for row in state["past"]]
        self.trained_on, self.open = set(state["trained_on"]), state["open"]


def shuffle_improvements(measurements: Sequence[Measurement], seed: int) -> list[Measurement]:
    """Each draft with another one's improvement: a critic that beats its baselines on these has fooled its gate."""
    improvements = [m.improvement for m in measurements]
    Random(seed).shuffle(improvements)
    return [replace(m, improvement=improvement) for m, improvement in zip(measurements, improvements, strict=True)]


def _bin_by_guess(guessed: Sequence[float], measured: Sequence[float]) -> list[list[float]]:
    """Reliability bins of equal size, low to high: [mean predicted, mean measured, how many]."""
    ranked = sorted(zip(guessed, measured, strict=True))
    # Five: with the fewest predictions that are judged by, each still holds six.
    bounds = [round(len(ranked) * k / 5) for k in range(6)]
    bins = [ranked[a:b] for a, b in itertools.pairwise(bounds) if b > a]
    return [[sum(g for g, _ in rows) / len(rows), sum(m for _, m in rows) / len(rows), len(rows)] for rows in bins]


def _hash(example_id: str) -> int:
    # Not Python's own hash, which differs from process to process.
    return zlib.crc32(example_id.encode())
