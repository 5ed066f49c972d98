"""The arms of a probe: in which ways the same failed draft is asked again, and what the model reads in each.

    resample                        the plain problem, as for a draft
    again                           a revision's prompt in which nothing is said but "Try again."
    criteria, evidence, reference   what the rubric says of the draft, as deep as each hint level goes
    other                           what it says of another problem's draft, at the method's hint level
    with_draft, without_draft, cut_draft
                                    own guidance in the forms of a revision that the method would not use

Each is asked at the temperature of revisions and at that of training, because a cooler sample is right more often by
itself. Left out: sampling and judging (`probe_answers.py`), and what comes of it (`comparison/guidance_gap.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from herl_bench.conversation import Prompt
from herl_bench.errors import UnknownName, UsageError
from herl_bench.hindsight import AGAIN, FORMS, HINT_LEVELS, find_first_error, write_guidance, write_revision
from herl_bench.types import Environment, Example, HintLevel, ReviseForm, Verdict

RESAMPLES = 4
"""Plain samples of each failure at each temperature: what guidance is compared with is worth knowing more exactly, and
pass@k needs several."""
FORM_ARMS = tuple(form for form in FORMS if form != "prompt")
ARMS = ("resample", "again", *HINT_LEVELS, "other", *FORM_ARMS)


@dataclass(frozen=True)
class Revising:
    """How a run of HeRL would revise. plain_temperature: of its drafts."""

    form: ReviseForm
    level: HintLevel
    temperature: float
    plain_temperature: float

    @property
    def temperatures(self) -> tuple[float, ...]:
        """That of revisions first; one where both are the same."""
        return tuple(dict.fromkeys((self.temperature, self.plain_temperature)))


@dataclass(frozen=True)
class Arm:
    """words: whose guidance is given; empty for the plain problem, `again` for words without content. draft: is the
    draft shown, as far as the form shows one? optional: asked only where its form shows something of the draft."""

    name: str
    temperature: float
    words: Literal["", "again", "own", "other"]
    level: HintLevel
    form: ReviseForm
    draft: bool = True
    optional: bool = False
    samples: int = 1

    @property
    def key(self) -> str:
        return f"{self.name}@{self.temperature:g}"


@dataclass(frozen=True)
class Failure:
    """A draft without full reward. key: of its answer. text: what is judged of it, and shown."""

    key: str
    example: Example
    text: str
    verdicts: Sequence[Verdict]


def check_names(wanted: Sequence[str] | None) -> None:
    """Raises `UnknownName`."""
    for name in wanted or ():
        if name not in ARMS:
            raise UnknownName("arm", name, ARMS)


def list_arms(revising: Revising, wanted: Sequence[str] | None = None) -> list[Arm]:
    """All arms that differ for this method, or those that are wanted, by name. Raises `UsageError`."""
    arms = [arm for t in revising.temperatures for arm in _list_at(revising, t)]
    known = {arm.name for arm in arms}
    for name in wanted or ():
        if name not in known:
            why = "the model has no chat template" if revising.form == "prompt" else "it is what guidance takes anyway"
            raise UsageError(f"arm {name}: {why}: leave it out, or choose from {', '.join(sorted(known))}")
    return [arm for arm in arms if wanted is None or arm.name in wanted]


def _list_at(revising: Revising, temperature: float) -> list[Arm]:
    level, form = revising.level, revising.form
    arms = [
        Arm("resample", temperature, "", level, form, samples=RESAMPLES),
        Arm("again", temperature, "again", level, form),
        *(Arm(depth, temperature, "own", depth, form) for depth in HINT_LEVELS),
        Arm("other", temperature, "other", level, form),
    ]
    if form == "prompt":  # a text that is continued shows the draft, or does not
        return [*arms, Arm("without_draft", temperature, "own", level, form, draft=False)]
    others = [other for other in FORM_ARMS if other != form]
    return arms + [Arm(f, temperature, "own", level, f, optional=f != "without_draft") for f in others]


def write_request(arm: Arm, environment: Environment, failure: Failure, other: Failure | None) -> Prompt | None:
    """What the model is asked; None where the arm has nothing to say of this failure. other: one of another problem."""
    template, rubric, example = environment.template, environment.rubric, failure.example
    if not arm.words:
        return example.prompt
    words, error_at = AGAIN, None
    if arm.words != "again":
        said_of = failure if arm.words == "own" else other
        if said_of is None:
            return None
        told = (said_of.example, said_of.text, said_of.verdicts)
        words = write_guidance(template, rubric, *told, arm.level, form=arm.form)
        error_at = find_first_error(rubric, failure.verdicts, arm.level)
    if not words:
        return None
    prompt = write_revision(template, example, words, failure.text if arm.draft else None, arm.form, error_at)
    return None if arm.optional and len(prompt) == 1 else prompt


def find_other(failures: Sequence[Failure], place: int) -> Failure | None:
    """The next failure of another problem, around the end."""
    own = failures[place].example.id
    rest = (*failures[place + 1 :], *failures[:place])
    return next((other for other in rest if other.example.id != own), None)
