"""What share of a step's rollouts are revisions where `revise_fraction=auto`: as large as what they are measured to
bring, against trying again without guidance.

Each step revises failed drafts under guidance, and samples a few of the very same drafts' prompts again, plain and at
the temperature of training (*retries*, which train as drafts do). Both are measured alike: the reward that a response
gained over its draft, none where it came out worse, per written token. A revision that gained is what is imitated under
the plain prompt, so this is what reaches it; a retry's gain is what plain sampling would have found on the same
failures. Then

    share = FLOOR + (MOST - FLOOR) · max(0, 1 - retried / revised)

of the rollouts are revisions, FLOOR of them retries, and the rest are drafts of new prompts. Where guidance repairs no
more than a second try, little is spent on it, and that little goes on measuring: a policy that learns to read guidance
gets its revisions back. Older measurements count half as much with every `HALF_LIFE` rollouts, as policy and failures
change. Before anything is measured the share lies in the middle, and the first few retries are not yet trusted with all
of it. Nothing here is random.

Left out: what a draft of a new prompt teaches beyond being right, and that a revision's lesson may be learnt better or
worse than a retry's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from herl_bench.training.rollouts import Rollout

FLOOR, MOST = 1 / 16, 0.4
"""Of a step's rollouts."""

HALF_LIFE = 512
"""Rollouts: 16 of the default steps, so that some 45 retries count, and at the floor as many revisions."""

UNTRUSTED = 4
"""Retries that say half of what the share is, beside what it is without any."""


class Tally(NamedTuple):
    """Responses, the reward that they gained, and their tokens; older ones count less."""

    responses: float = 0.0
    gained: float = 0.0
    tokens: float = 0.0

    def add(self, rollouts: Sequence[Rollout], keep: float) -> Tally:
        """keep: what is left of a measurement made before these. Undecided ones measure nothing."""
        known = [(r.improvement, len(r.ids)) for r in rollouts if r.improvement is not None]
        return Tally(
            keep * self.responses + len(known),
            keep * self.gained + sum(max(0.0, gain) for gain, _ in known),
            keep * self.tokens + sum(tokens for _, tokens in known),
        )

    @property
    def rate(self) -> float | None:
        """Reward gained per token; None before anything was measured."""
        return self.gained / self.tokens if self.tokens else None


class Measured(NamedTuple):
    """What revisions and retries have brought of late."""

    revised: Tally = Tally()
    retried: Tally = Tally()

    def add(self, rollouts: Sequence[Rollout]) -> Measured:
        """rollouts: of one step, drafts included."""
        keep = 0.5 ** (len(rollouts) / HALF_LIFE)
        revisions, retries = ([r for r in rollouts if r.kind == kind] for kind in ("revision", "retry"))
        return Measured(self.revised.add(revisions, keep), self.retried.add(retries, keep))

    @property
    def share(self) -> float:
        revised, retried = self.revised.rate or 0.0, self.retried.rate or 0.0
        lead = max(0.0, 1 - retried / revised) if revised else 0.0
        trust = self.retried.responses / (self.retried.responses + UNTRUSTED)
        return FLOOR + (MOST - FLOOR) * (trust * lead + (1 - trust) / 2)


class Slots(NamedTuple):
    """Rollouts of a step that are kept for revisions and for retries."""

    revisions: int = 0
    retries: int = 0


def divide_step(rollouts: int, fraction: float | Literal["auto"], drafts: int, measured: Measured) -> Slots:
    """drafts: the fewest that must be left, one prompt's. With `auto` at least one revision and one retry, where there
    is room."""
    if fraction != "auto":
        return Slots(int(rollouts * fraction))
    room = max(0, rollouts - drafts)
    retries = min(max(1, round(rollouts * FLOOR)), room // 2)
    return Slots(min(max(1, round(rollouts * measured.share)), room - retries), retries)
