"""The bonus critic: predicts how much a response would improve if it were revised, and is used only once it has earned
it.

b(x, y) is trained by Huber regression on measured improvements Δ = r(revision) − r(draft), the recent ones only. Every
new measurement is predicted *before* it is learnt from, and a prediction counts only if the critic was never trained on
that prompt; one prompt in five is never trained on at all. The gate opens while, over the last measurements, the
critic's squared error is under that of a constant and that of c · (1 − r), both fitted on the past, by more than a
standard error; it closes again when that stops being true.

`calibration` is what is logged of it: how it compares with both baselines, how it ranks, whether what it says comes
true, and whether what there is to predict drifts. `shuffled` makes the control: the same critic on targets that belong
to other drafts.

Left out: a two-part model of P(Δ > 0) and E[Δ | Δ > 0]; reweighting by the propensities, which are recorded with every
measurement.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from random import Random
from typing import Any

import torch
from torch import nn

from herl_bench.train.forward import Critic, Pair, microbatches

HELD_OUT_ONE_IN = 5
MIN_JUDGED = 32  # fewer predictions than this say nothing about who is better


@dataclass(frozen=True)
class Measurement:
    """A draft whose revision was judged. reward: the draft's; improvement: Δ in [−1, 1]; propensity: its chance of
    being revised."""

    example_id: str
    prompt: tuple[int, ...]
    response: tuple[int, ...]
    reward: float
    improvement: float
    propensity: float


@dataclass(frozen=True)
class Prediction:
    """An out-of-sample prediction beside what the two baselines said and what was measured."""

    step: int
    critic: float
    constant: float
    headroom: float
    measured: float


class BonusCritic:
    """See the module's first paragraph. `predict` is (rows,) clipped to [0, 1 − r]; `observe` judges, then learns."""

    def __init__(
        self, policy_model: Any, learning_rate: float, window: int, epochs: int, max_tokens: int, pad: int, device: Any
    ):
        self.model = Critic(policy_model, extra=1).to(device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=learning_rate, eps=1e-5, weight_decay=0.0)
        self.window, self.epochs, self.max_tokens, self.pad, self.device = window, epochs, max_tokens, pad, device
        self.predictions: list[Prediction] = []
        self.past: list[tuple[int, float, float]] = []  # (step, reward, improvement)
        self.trained_on: set[int] = set()
        self.open = False

    def predict(self, pairs: Sequence[Pair], rewards: Sequence[float]) -> list[float]:
        """How far each response could rise, in [0, 1 − r]."""
        return [min(max(0.0, b), 1.0 - r) for b, r in zip(self._raw(pairs, rewards), rewards, strict=True)]

    @torch.no_grad()
    def _raw(self, pairs: Sequence[Pair], rewards: Sequence[float]) -> list[float]:
        out = [0.0] * len(pairs)
        reward_N = torch.tensor(list(rewards), device=self.device)
        for batch in microbatches(pairs, self.max_tokens, self.pad, self.device):
            for row, value in zip(
                batch.rows.tolist(), self.model.last(batch, reward_N[batch.rows]).tolist(), strict=True
            ):
                out[row] = value
        return out

    def observe(self, step: int, measured: Sequence[Measurement], generator: torch.Generator) -> int:
        """Predict the new measurements, decide the gate, then learn from those that are not held out; gives the number
        of tokens learnt from."""
        if not measured:
            return 0
        guesses = self._raw([Pair(m.prompt, m.response) for m in measured], [m.reward for m in measured])
        constant, slope = self._baselines()
        self.predictions += [
            Prediction(step, min(max(guess, -m.reward), 1 - m.reward), constant, slope * (1 - m.reward), m.improvement)
            for m, guess in zip(measured, guesses, strict=True)
            if _key(m.example_id) not in self.trained_on and self.past
        ]
        self.predictions = [p for p in self.predictions if p.step > step - self.window]
        self.open = self._beats_baselines()
        self.past = [row for row in self.past if row[0] > step - self.window] + [
            (step, m.reward, m.improvement) for m in measured
        ]
        return self._learn([m for m in measured if _key(m.example_id) % HELD_OUT_ONE_IN], generator)

    def _baselines(self) -> tuple[float, float]:
        if not self.past:
            return 0.0, 0.0
        mean = sum(d for _, _, d in self.past) / len(self.past)
        squares = sum((1 - r) ** 2 for _, r, _ in self.past)
        slope = sum((1 - r) * d for _, r, d in self.past) / squares if squares else 0.0
        return mean, slope

    def _learn(self, measured: Sequence[Measurement], generator: torch.Generator) -> int:
        self.trained_on |= {_key(m.example_id) for m in measured}
        pairs = [Pair(m.prompt, m.response) for m in measured]
        reward_N = torch.tensor([m.reward for m in measured], device=self.device)
        target_N = torch.tensor([m.improvement for m in measured], device=self.device)
        for _ in range(self.epochs):
            for rows in torch.randperm(len(measured), generator=generator).split(32):
                self.optimizer.zero_grad()
                for batch in microbatches(pairs, self.max_tokens, self.pad, self.device, rows.tolist()):
                    guess_B = self.model.last(batch, reward_N[batch.rows])
                    loss = nn.functional.huber_loss(guess_B, target_N[batch.rows], reduction="sum", delta=0.5) / len(
                        rows
                    )
                    loss.backward()
                nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                self.optimizer.step()
        return self.epochs * sum(map(len, pairs))

    def _beats_baselines(self) -> bool:
        if len(self.predictions) < MIN_JUDGED:
            return False
        return all(self._better_than(name) for name in ("constant", "headroom"))

    def _better_than(self, baseline: str) -> bool:
        """Is the critic's squared error the smaller one by more than the paired difference's standard error?"""
        gains = [(getattr(p, baseline) - p.measured) ** 2 - (p.critic - p.measured) ** 2 for p in self.predictions]
        mean = sum(gains) / len(gains)
        variance = sum((g - mean) ** 2 for g in gains) / (len(gains) - 1)
        return mean > math.sqrt(variance / len(gains))

    def _error(self, who: str, power: int = 2) -> float:
        return sum(abs(getattr(p, who) - p.measured) ** power for p in self.predictions) / len(self.predictions)

    def calibration(self) -> dict[str, Any]:
        """What is logged each step; empty until there is something to judge by."""
        if len(self.predictions) < MIN_JUDGED:
            return {"bonus_gate": float(self.open), "bonus_judged": len(self.predictions)}
        from scipy import stats

        from herl_bench.train.losses import explained_variance

        guess, actual, constant, headroom = (
            [getattr(p, name) for p in self.predictions] for name in ("critic", "measured", "constant", "headroom")
        )
        varies = len(set(guess)) > 1 and len(set(actual)) > 1
        rose = [g for g, a in zip(guess, actual, strict=True) if a > 0]
        fell = [g for g, a in zip(guess, actual, strict=True) if a <= 0]
        bins = _bins(guess, actual)
        newest = self.predictions[-1].step
        now, before = (
            [p.measured for p in self.predictions if (p.step == newest) == is_new] for is_new in (True, False)
        )
        return {
            "bonus_gate": float(self.open),
            "bonus_judged": len(self.predictions),
            "bonus_mae": self._error("critic", 1),
            "bonus_mae_constant": self._error("constant", 1),
            "bonus_mae_headroom": self._error("headroom", 1),
            "bonus_mse": self._error("critic"),
            "bonus_mse_constant": self._error("constant"),
            "bonus_mse_headroom": self._error("headroom"),
            "bonus_explained_variance": explained_variance(torch.tensor(guess), torch.tensor(actual)),
            "bonus_explained_variance_constant": explained_variance(torch.tensor(constant), torch.tensor(actual)),
            "bonus_explained_variance_headroom": explained_variance(torch.tensor(headroom), torch.tensor(actual)),
            "bonus_spearman": float(stats.spearmanr(guess, actual).statistic) if varies else None,
            "bonus_auroc": float(stats.mannwhitneyu(rose, fell).statistic) / (len(rose) * len(fell))
            if rose and fell
            else None,
            "bonus_reliability": bins,
            "bonus_ece": sum(count * abs(said - came) for said, came, count in bins) / len(guess),
            "bonus_bias": (sum(guess) - sum(actual)) / len(guess),
            "bonus_drift": sum(now) / len(now) - sum(before) / len(before) if before else None,
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

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.predictions = [Prediction(**p) for p in state["predictions"]]
        self.past = [tuple(row) for row in state["past"]]
        self.trained_on, self.open = set(state["trained_on"]), state["open"]


def shuffled(measured: Sequence[Measurement], step: int) -> list[Measurement]:
    """Each draft with another one's improvement: a critic that still beats its baselines on these has fooled its
    gate."""
    improvements = [m.improvement for m in measured]
    Random(step).shuffle(improvements)
    return [replace(m, improvement=improvement) for m, improvement in zip(measured, improvements, strict=True)]


def _bins(guess: Sequence[float], actual: Sequence[float], count: int = 5) -> list[list[float]]:
    """Reliability bins of equal size, low to high: [mean predicted, mean measured, how many]."""
    ranked = sorted(zip(guess, actual, strict=True))
    bounds = [round(len(ranked) * k / count) for k in range(count + 1)]
    bins = [ranked[a:b] for a, b in itertools.pairwise(bounds) if b > a]
    return [[sum(g for g, _ in rows) / len(rows), sum(a for _, a in rows) / len(rows), len(rows)] for rows in bins]


def _key(example_id: str) -> int:
    return zlib.crc32(example_id.encode())
