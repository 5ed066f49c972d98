"""What one sampled response is, as the trainer, the log and observers see it; and the training rows made of it.

A *rollout* is data about what happened. A *row* is one thing to learn from: an improved revision gives two, one in the
prompt it was written in and one in the plain prompt that never showed the guidance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from herl_bench.answers import show_response
from herl_bench.conversation import Prompt, write_as_text
from herl_bench.rubric import settle_reward
from herl_bench.training.config import HeRLConfig
from herl_bench.training.forward import Pair
from herl_bench.types import Example, Judgement, Kind, Think, Truncation, Verdict


@dataclass(frozen=True)
class Assignment:
    """A prompt to sample from, with guidance or without: a text, or a conversation that a chat model goes on with.

    baseline: the reward that the attempt behind the guidance had. draft: index of the revised rollout in the same step.
    propensity: the chance with which that draft was chosen for revision. group: which prompt of the step this asks,
    guided or not.
    """

    example: Example
    prompt: Prompt
    guidance: str = ""
    baseline: float | None = None
    draft: int | None = None
    propensity: float | None = None
    group: int = 0


@dataclass(frozen=True, kw_only=True)
class Rollout(Assignment):
    """A response to an assignment. prompt_ids: what the policy saw. plain_ids: the same example's prompt without
    guidance. bonus: predicted or measured improvement, not yet weighted. think: are thoughts judged too? dropped:
    tokens of the prompt that did not fit the model. truncation: what is made of a response that was cut off; None takes
    the rubric's word on it. extracted: the final answer, None where there is none; extract_error: or why it could not
    be looked for."""

    kind: Kind
    prompt_ids: tuple[int, ...]
    plain_ids: tuple[int, ...]
    ids: tuple[int, ...]
    text: str
    finish: str
    temperature: float
    judgement: Judgement
    bonus: float = 0.0
    think: Think = "drop"
    dropped: int = 0
    truncation: Truncation | None = "penalise"
    extracted: str | None = None
    extract_error: str = ""

    @property
    def answer(self) -> str:
        """What is judged of the text, and shown of it as a draft."""
        return show_response(self.text, self.think)

    @property
    def is_cut_off(self) -> bool:
        return self.finish == "length"

    @property
    def reward(self) -> float | None:
        """What the response is worth, to all of training alike; `judgement.reward` is what the rubric says of it, cut
        off or not."""
        return settle_reward(self.judgement.reward, self.is_cut_off, self.truncation)

    @property
    def errors(self) -> tuple[str, ...]:
        """What could not be decided or looked for, and why."""
        return (*self.judgement.errors, *([f"extract: {self.extract_error}"] if self.extract_error else []))

    @property
    def pair(self) -> Pair:
        return Pair(self.prompt_ids, self.ids, self.temperature)

    @property
    def improvement(self) -> float | None:
        return None if self.reward is None or self.baseline is None else self.reward - self.baseline

    def as_json(self, step: int, index: int) -> dict[str, Any]:
        """A row of `rollouts.jsonl`."""
        differs = self.reward != self.judgement.reward
        return {
            "step": step,
            "index": index,
            "id": self.example.id,
            "kind": self.kind,
            "prompt": write_as_text(self.prompt),
            "response": self.text,
            "tokens": len(self.ids),
            "finish": self.finish,
            "reward": self.reward,
            **({"rubric_reward": self.judgement.reward} if differs else {}),
            "bonus": self.bonus,
            "metrics": dict(self.judgement.metrics),
            "status": self.judgement.status,
            "integrity": self.judgement.integrity,
            "errors": list(self.errors),
            "verdicts": [_describe_verdict(verdict) for verdict in self.judgement.verdicts],
            "guidance": self.guidance,
            "draft": self.draft,
            "baseline": self.baseline,
            "propensity": self.propensity,
            "family": self.example.info.get("family"),
            "planted": self.example.info.get("planted"),
        }


def _describe_verdict(verdict: Verdict) -> dict[str, Any]:
    fields = {"criterion": verdict.criterion, "part": verdict.part, "met": verdict.met}
    return {name: v for name, v in {**fields, "evidence": verdict.evidence or verdict.error}.items() if v != ""}


@dataclass(frozen=True)
class Row:
    """One thing to learn from. behaviour: the pair as it was sampled, where that is not this one (then the row is
    off-policy). revision: a revision in the prompt that it was written in."""

    pair: Pair
    reward: float
    behaviour: Pair | None = None
    group: int = 0
    revision: bool = False

    @property
    def off_policy(self) -> bool:
        return self.behaviour is not None


def make_rows(rollouts: Sequence[Rollout], config: HeRLConfig) -> list[Row]:
    """Responses without a reward give no row, nor do empty ones."""
    rows = []
    for r in rollouts:
        if r.reward is None or not r.ids:
            continue
        reward = r.reward + config.bonus_coef * r.bonus
        is_plain = r.prompt_ids == r.plain_ids
        improved = r.improvement is not None and r.improvement > 0
        if is_plain or config.train_context in ("hindsight", "both"):
            rows.append(Row(r.pair, reward, group=r.group, revision=r.kind == "revision"))
        good = improved and r.reward >= config.imitation_threshold
        if not is_plain and good and config.train_context in ("original", "both"):
            # Scored at the temperature of plain responses: that is the distribution which it shall become part of.
            plain = Pair(r.plain_ids, r.ids, config.temperature)
            rows.append(Row(plain, reward, behaviour=r.pair, group=r.group))
    return rows
