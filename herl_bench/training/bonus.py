"""The bonus: how far a response could have improved, in [0, 1 − r], paid on top of its reward.

Who says so is the arm (`bonus=`): `critic`, which predicts it for every draft; `measured`, the improvement where a
draft was revised; `none`. As controls, `constant`, the mean improvement of the last steps, and `shuffled`, the critic
on targets that belong to other drafts.

The critic b(x, y) is a ridge regression (`ridge.py`) of the measured improvements of the last steps, Δ = the mean
reward of a draft's revisions − its own, on the draft's reward and the policy's own last hidden state at the draft's
last token, which scoring a step passes through anyway. It is used only once it has earned it. Every new measurement is
predicted *before* it is learnt from, and a prediction counts only if the critic has not learnt from that prompt; one
prompt in five is never learnt from at all. The gate opens while, over the last measurements, the critic's squared error
is under that of a constant, of c · (1 − r) and of a + b · r, all fitted on the past, by more than a standard error; it
closes again when that stops being true. `describe_calibration` is what is logged of it: how it compares with these
baselines, how it ranks, whether what it says comes true, and whether what there is to predict drifts.

Left out: a two-part model of P(Δ > 0) and E[Δ | Δ > 0]; reweighting by the propensities, which `rollouts.jsonl` has;
that a window's older states are those of an older policy.
"""

from __future__ import annotations

import itertools
import statistics
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from random import Random
from typing import Any

import torch
from torch import Tensor

from herl_bench.errors import UsageError
from herl_bench.evaluation.scores import mean
from herl_bench.training.advantages import explained_variance
from herl_bench.training.config import HeRLConfig
from herl_bench.training.forward import Pair
from herl_bench.training.ridge import Ridge, fit_ridge
from herl_bench.training.rollouts import Rollout

# Never learnt from, so that there is something to judge by even after every prompt of a small task was seen.
HELD_OUT_ONE_IN = 5

# Fewer predictions than this say nothing about who is better, and fewer measurements nothing of what is to come.
MIN_JUDGED, MIN_FITTED = 32, 16

BASELINES = ("constant", "headroom", "line")

Ends = Mapping[Pair, Tensor]
"""The policy's last hidden state at the last token of each pair, (D,)."""


class Bonus:
    """The arm that the configuration names, and what it remembers between steps."""

    def __init__(self, config: HeRLConfig):
        self.config = config
        self.arm = config.bonus if config.hindsight else "none"
        self.critic = BonusCritic(config.bonus_window) if config.has_bonus_critic else None
        self.improvements: list[tuple[int, float]] = []  # (step, measured) of the last `bonus_window` steps

    @property
    def is_used(self) -> bool:
        """Does the critic have a say in the reward?"""
        return self.critic is not None and (self.critic.open or not self.config.bonus_gate)

    def predict(self, drafts: Sequence[Rollout], ends: Ends) -> list[float]:
        """The critic's word on each draft, in [0, 1 − r]; 0 where there is no reward or no end."""
        known = [i for i, draft in enumerate(drafts) if draft.reward is not None and draft.pair in ends]
        predicted = [0.0] * len(drafts)
        if self.critic and known:
            rewards = [drafts[i].reward or 0.0 for i in known]
            said = self.critic.predict(torch.stack([ends[drafts[i].pair] for i in known]), rewards)
            for i, bonus in zip(known, said, strict=True):
                predicted[i] = bonus
        return predicted

    def pay(self, step: int, drafts: Sequence[Rollout], revisions: Sequence[Rollout], ends: Ends) -> list[Rollout]:
        """The drafts with their bonus, by what was known before this step; then the arm learns from the step."""
        gains = average_improvements(revisions)
        if self.is_used:
            bonuses = self.predict(drafts, ends)
        elif self.arm == "measured":
            lowest = -1.0 if self.config.bonus_signed else 0.0
            bonuses = [max(lowest, gains[i]) if i in gains else 0.0 for i in range(len(drafts))]
        elif self.arm == "constant":
            usual = max(0.0, mean(gain for _, gain in self.improvements) or 0.0)
            bonuses = [min(usual, 1.0 - d.reward) if d.reward is not None else 0.0 for d in drafts]
            self.improvements = [row for row in self.improvements if row[0] > step - self.config.bonus_window]
            self.improvements += [(step, gain) for gain in gains.values()]
        else:
            bonuses = [0.0] * len(drafts)
        if self.critic:
            revised = [(drafts[i], gain) for i, gain in gains.items() if drafts[i].pair in ends]
            found = [
                Measurement(step, _hash(d.example.id), ends[d.pair].clone(), d.reward or 0.0, gain)
                for d, gain in revised
            ]
            self.critic.observe(step, shuffle_improvements(found, step - 1) if self.arm == "shuffled" else found)
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


def average_improvements(revisions: Sequence[Rollout]) -> dict[int, float]:
    """By draft, the mean improvement of its revisions, those that were decided."""
    gains: dict[int, list[float]] = {}
    for revision in revisions:
        if revision.draft is not None and revision.improvement is not None:
            gains.setdefault(revision.draft, []).append(revision.improvement)
    return {draft: sum(measured) / len(measured) for draft, measured in gains.items()}


# --------------------------------------------------------------------------------------------------------------- critic
@dataclass(frozen=True)
class Measurement:
    """A draft whose revisions were judged. prompt: its example's id, hashed. end_D: see `Ends`. reward: the draft's;
    improvement: Δ in [−1, 1]."""

    step: int
    prompt: int
    end_D: Tensor
    reward: float
    improvement: float

    @property
    def is_held_out(self) -> bool:
        return self.prompt % HELD_OUT_ONE_IN == 0


@dataclass(frozen=True)
class Prediction:
    """An out-of-sample prediction beside what the baselines said and what was measured."""

    step: int
    critic: float
    constant: float
    headroom: float
    line: float
    measured: float


class BonusCritic:
    """See the module's first paragraphs. `predict` is (rows,) clipped to [0, 1 − r]; `observe` judges, then learns.
    window: steps that are looked back on."""

    def __init__(self, window: int):
        self.window = window
        self.past: list[Measurement] = []
        self.predictions: list[Prediction] = []
        self.ridge: Ridge | None = None
        self.open = False

    def predict(self, end_ND: Tensor, rewards: Sequence[float]) -> list[float]:
        """How far each response could rise, in [0, 1 − r]."""
        return [min(max(0.0, b), 1.0 - r) for b, r in zip(self._guess(end_ND, rewards), rewards, strict=True)]

    def _guess(self, end_ND: Tensor, rewards: Sequence[float]) -> list[float]:
        if self.ridge is None:
            return [0.0] * len(rewards)
        return list(self.ridge.predict(end_ND, torch.tensor(list(rewards))).tolist())

    def observe(self, step: int, measurements: Sequence[Measurement]) -> None:
        """Predict, decide the gate, then learn from what is not held out."""
        if not measurements:
            return
        learnt = {m.prompt for m in self.past if not m.is_held_out}
        new = [m for m in measurements if m.prompt not in learnt] if self.past else []
        if new:
            guesses = self._guess(torch.stack([m.end_D for m in new]), [m.reward for m in new])
            constant, share, start, slope = self._fit_baselines()
            self.predictions += [
                Prediction(
                    step,
                    critic=_clip(guess, m.reward),
                    constant=constant,
                    headroom=share * (1 - m.reward),
                    line=_clip(start + slope * m.reward, m.reward),
                    measured=m.improvement,
                )
                for m, guess in zip(new, guesses, strict=True)
            ]
        self.predictions = [p for p in self.predictions if p.step > step - self.window]
        self.open = self._beats_baselines()
        self.past = [m for m in self.past if m.step > step - self.window] + list(measurements)
        self._learn()

    def _fit_baselines(self) -> tuple[float, float, float, float]:
        """What the past says without any state, by least squares: the mean improvement, c of c · (1 − r), and a and b
        of a + b · r, which is all of the critic but the state."""
        rewards, improvements = [m.reward for m in self.past], [m.improvement for m in self.past]
        constant = statistics.fmean(improvements)
        squares = sum((1 - r) ** 2 for r in rewards)
        share = sum((1 - r) * gain for r, gain in zip(rewards, improvements, strict=True)) / squares if squares else 0.0
        slope, start = 0.0, constant
        if len(set(rewards)) > 1:
            slope, start = statistics.linear_regression(rewards, improvements)
        return constant, share, start, slope

    def _learn(self) -> None:
        learnt = [m for m in self.past if not m.is_held_out]
        if len(learnt) < MIN_FITTED:
            self.ridge = None
            return
        rewards, improvements = [m.reward for m in learnt], [m.improvement for m in learnt]
        end_ND = torch.stack([m.end_D for m in learnt])
        self.ridge = fit_ridge(end_ND, torch.tensor(rewards), torch.tensor(improvements))

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
            "past": [(m.step, m.prompt, m.reward, m.improvement) for m in self.past],
            "ends": torch.stack([m.end_D for m in self.past]) if self.past else None,
            "predictions": [asdict(p) for p in self.predictions],
            "open": self.open,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if "model" in state:
            raise UsageError(
                "the checkpoint is of a version whose bonus critic was a network: begin the run again, or go on with"
                " that version"
            )
        rows = zip(state["past"], state["ends"], strict=True) if state["past"] else ()
        self.past = [Measurement(step, prompt, end_D.clone(), *told) for (step, prompt, *told), end_D in rows]
        self.predictions = [Prediction(**p) for p in state["predictions"]]
        self.open = state["open"]
        self._learn()


def _clip(improvement: float, reward: float) -> float:
    """To what is possible."""
    return min(max(improvement, -reward), 1 - reward)


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
