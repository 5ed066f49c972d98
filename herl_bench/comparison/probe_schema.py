"""A finished probe, as data: what `herl-bench probe` computes and writes as `probe.json`, and its tables are made of.

    Probe
    ├── drafts     Drafts: what the model does by itself
    ├── pass_at    k → chance that one of k plain samples has full reward
    ├── arms       ArmResult: what each way of asking again made of the same failures
    └── gaps       Gap: own guidance against sampling anew at equal tokens, at each temperature; HeRL's own first

Everything is frozen and JSON-serialisable; `to_json` and `from_json` are inverse to each other. Left out: how anything
is computed (`guidance_gap.py`), what it lets one expect (`expectation.py`) and how it is shown (`probe_tables.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from herl_bench.reading import parse_written

FORMAT = 1
PROBE = "probe.json"
"""In a probe's folder."""


@dataclass(frozen=True)
class Estimate:
    """A mean over failures with its 95 % interval, which is None where there are fewer than two."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Drafts:
    """problems: asked. right, reward, metric, cut_off: shares and means of those that were decided. tokens, read: mean
    numbers of tokens written and read (None: not known). failures: decided ones without full reward. failure_reward,
    failure_tokens: their means."""

    problems: int
    undecided: int
    right: float
    reward: float
    metric: float | None
    cut_off: float
    tokens: float
    read: float | None
    failures: int
    failure_reward: float | None
    failure_tokens: float | None


@dataclass(frozen=True)
class Against:
    """An arm less `resample` at the same temperature, on the failures that both have. per_1000: of failures repaired
    with 1,000 written tokens."""

    failures: int
    repaired: Estimate
    reward: Estimate
    per_1000: Estimate | None


@dataclass(frozen=True)
class ArmResult:
    """What one way of asking made of the failures.

    failures: that it had something to say of. samples: answers to each. repaired: share that has full reward now.
    broken: share, of the `partly_right` failures (reward above 0), whose reward is smaller now. copies: share that
    repeats the draft. cut_off: by the length limit. undecided: answers without a reward; they count as reward 0.
    tokens, read: means of what was written and read. per_1000: failures repaired with 1,000 written tokens.
    """

    name: str
    temperature: float
    failures: int
    samples: int
    repaired: Estimate
    reward: Estimate
    metric: float | None
    broken: float | None
    partly_right: int
    copies: float
    cut_off: float
    undecided: int
    tokens: float
    read: float | None
    per_1000: float | None
    against: Against | None = None

    @property
    def key(self) -> str:
        return f"{self.name}@{self.temperature:g}"


@dataclass(frozen=True)
class Gap:
    """At one temperature. arm: own guidance as the method gives it. own: what it repairs. resampled: what sampling anew
    repairs with as many written tokens. value: own less resampled. words: own less another problem's guidance. content:
    own less "Try again."; both per failure, None where that arm was not asked."""

    arm: str
    temperature: float
    failures: int
    own: float
    resampled: float
    value: Estimate
    words: Estimate | None
    content: Estimate | None


@dataclass(frozen=True, kw_only=True)
class Probe:
    """settings: what decides what was asked, resolved. metric: key of the primary one. expectation: one sentence.
    forecast: HeRL - PPO after training with its 80 % interval; None where it is outside what was studied."""

    task: str
    model: str
    source: str
    metric: str
    items: int
    seed: int
    settings: Mapping[str, Any]
    drafts: Drafts
    pass_at: Mapping[int, Estimate]
    arms: tuple[ArmResult, ...]
    gaps: tuple[Gap, ...]
    notes: tuple[str, ...]
    expectation: str
    version: str
    forecast: Estimate | None = None
    format: int = FORMAT

    def find(self, name: str, temperature: float) -> ArmResult | None:
        return next((arm for arm in self.arms if (arm.name, arm.temperature) == (name, temperature)), None)


def to_json(probe: Probe) -> str:
    values = asdict(probe)
    kept = {f.name: values[f.name] for f in fields(Probe)}  # a subclass may have more
    return json.dumps(kept, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def from_json(text: str, where: str) -> Probe:
    """Raises `UsageError` naming the field for what is not a probe that this version wrote."""
    return parse_written(Probe, text, where, "probe")
