"""Turn unmet verdicts into guidance in words, and keep what was learnt from each attempt in a bounded buffer.

Guidance has three depths. `criteria` says which criteria were missed, `evidence` adds what was seen, `reference` adds
the correct step. None of them contains the final answer: checks keep it out of `evidence` and `correction`.

A revision takes one of four forms. `prompt` is a text that a base model continues. The others are conversations with a
chat model: about its draft (`with_draft`), about the draft up to its first error (`cut_draft`), or about what an
earlier attempt got wrong, in one turn without showing it (`without_draft`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Any, Literal

from herl_bench.answers import NO_ANSWER
from herl_bench.conversation import Prompt, Turn
from herl_bench.errors import UsageError
from herl_bench.templates import compile_template, render_template
from herl_bench.types import ChatTurns, Example, HindsightTemplate, HintLevel, ReviseForm, Rubric, Verdict

HINT_LEVELS: tuple[HintLevel, ...] = ("criteria", "evidence", "reference")
AGAIN = "Try again."
"""Said instead of guidance: that the draft was not good enough, and nothing of what is wrong with it."""
FORMS: tuple[ReviseForm, ...] = ("prompt", "with_draft", "without_draft", "cut_draft")
NEUTRAL_REQUEST = """\
{% if draft is none %}An earlier answer to this was not good enough.{% elif cut %}\
Up to here that was right. What came next was not.{% else %}That is not good enough yet.{% endif %} \
This was said about it:

{{ guidance }}

Write {% if draft is none %}an answer without these faults{% else %}the whole answer again without these faults\
{% endif %}, in the form that was asked for.
"""


def choose_form(wanted: ReviseForm | Literal["auto"], chat: bool) -> ReviseForm:
    """What `auto` comes to. chat: has the policy a chat template? Raises `UsageError` for a conversation without."""
    if wanted == "auto":
        return "without_draft" if chat else "prompt"
    if not chat and wanted != "prompt":
        raise UsageError(f"revise_form={wanted}: this model has no chat template to talk by: leave it at auto")
    return wanted


@dataclass(frozen=True)
class _Shown:
    """A verdict as the template sees it: with the criterion's words, and nothing deeper than the hint level allows."""

    criterion: str
    text: str
    part: str
    evidence: str
    correction: str


def write_guidance(
    template: HindsightTemplate,
    rubric: Rubric,
    example: Example,
    draft: str,
    verdicts: Sequence[Verdict],
    level: HintLevel = "reference",
    reference_free: bool = False,
    form: ReviseForm = "prompt",
) -> str:
    """Empty where nothing decided is unmet. reference_free: only criteria without the gold answer, as at test time.
    form: in which the words will be said."""
    texts = {c.name: c.text for c in rubric.criteria}
    hidden = _list_hidden(rubric, reference_free)
    depth = HINT_LEVELS.index(level)
    shown: dict[bool, list[_Shown]] = {True: [], False: []}
    for v in verdicts:
        if v.met is not None and v.criterion not in hidden:
            evidence, correction = (v.evidence if depth >= 1 else ""), (v.correction if depth >= 2 else "")
            shown[v.met].append(_Shown(v.criterion, texts[v.criterion], v.part, evidence, correction))
    if not shown[False]:
        return ""
    met, unmet = shown[True], shown[False]
    field = "guidance" if form == "prompt" or template.turns is None else "turns.guidance"
    return _render(template, field, example=example, draft=draft, met=met, unmet=unmet, level=level).strip()


def find_first_error(
    rubric: Rubric, verdicts: Sequence[Verdict], level: HintLevel = "reference", reference_free: bool = False
) -> int | None:
    """Where in a response its first unmet part begins, in characters. None where no check says so, or the hint level
    keeps to itself what was seen."""
    hidden = _list_hidden(rubric, reference_free)
    places = [v.at for v in verdicts if v.met is False and v.at is not None and v.criterion not in hidden]
    return min(places, default=None) if level != "criteria" else None


def _list_hidden(rubric: Rubric, reference_free: bool) -> set[str]:
    return {c.name for c in rubric.criteria if c.needs_reference} if reference_free else set()


def write_revision_prompt(template: HindsightTemplate, example: Example, guidance_text: str, draft: str | None) -> str:
    """The prompt in which the policy writes again. `draft` is None when the guidance comes from another attempt."""
    return _render(template, "prompt", example=example, draft=draft, guidance=guidance_text)


def write_revision(
    template: HindsightTemplate,
    example: Example,
    guidance_text: str,
    draft: str | None,
    form: ReviseForm = "prompt",
    error_at: int | None = None,
) -> Prompt:
    """What the policy is asked where it writes again. guidance_text: of the same form. draft: None when the guidance
    comes from another attempt, and a draft without an answer behind its thought is as none; then conversations are of
    the form `without_draft`, as they are where a draft to be cut has nothing right before its first error, at
    `error_at`, or nobody knows that place."""
    answer = None if draft == NO_ANSWER else draft
    if form == "prompt":
        return write_revision_prompt(template, example, guidance_text, answer)
    answer = answer or ""
    shown = answer.rstrip() if form == "with_draft" else ""
    if form == "cut_draft" and error_at is not None:
        shown = answer[:error_at].rstrip()
    problem = _render(template, "turns.problem", example=example)
    request = _render(
        template,
        "turns.request",
        example=example,
        guidance=guidance_text,
        draft=shown or None,
        cut=bool(shown) and form == "cut_draft",
    ).strip()
    if not shown:
        return (Turn("user", f"{problem.rstrip()}\n\n{request}"),)
    return (Turn("user", problem), Turn("assistant", shown), Turn("user", request))


def try_template(template: HindsightTemplate, rubric: Rubric, examples: Sequence[Example] = ()) -> None:
    """Compile the fields, and render them for each example with every criterion unmet, at every hint level, in every
    form, with and without a draft, before anything is sampled. Raises `UsageError` that names template, field and
    line."""
    turns = ("guidance", "request", "problem")
    for name in ("guidance", "prompt", *(f"turns.{name}" for name in turns if template.turns is not None)):
        compile_template(*_read_field(template, name))
    seen = [Verdict(c.name, False, "what was seen", "what would be right") for c in rubric.criteria]
    for example in examples:
        for form in FORMS:
            for level in HINT_LEVELS:
                words = write_guidance(template, rubric, example, "a draft", seen, level, form=form)
            for draft in ("a draft", None):
                write_revision(template, example, words, draft, form, 1)


def _read_field(template: HindsightTemplate, name: str) -> tuple[str, str]:
    """The field's text, and what to call it. name: `turns.request` is the field of the chat form."""
    holder: Any = template
    if name.startswith("turns."):
        holder = ChatTurns("", NEUTRAL_REQUEST) if template.turns is None else template.turns
        if not isinstance(holder, ChatTurns):
            raise UsageError(
                f"hindsight template {template.name!r}: turns is a {type(holder).__name__}: give ChatTurns(…)"
            )
    source, what = getattr(holder, name.removeprefix("turns.")), f"hindsight template {template.name!r}: {name}"
    if not isinstance(source, str):
        raise UsageError(f"{what} is a {type(source).__name__}: give the text, such as Path(…).read_text()")
    return source, what


def _render(template: HindsightTemplate, name: str, **names: Any) -> str:
    return render_template(*_read_field(template, name), **names)


# --------------------------------------------------------------------------------------------------------------- buffer
@dataclass(frozen=True)
class Hindsight:
    """One lesson: what was tried, what was said about it, and what came of it (None until a revision was judged)."""

    example_id: str
    prompt: str
    draft: str
    guidance: str
    reward: float
    revision: str | None = None
    revision_reward: float | None = None


class HindsightBuffer:
    """At most `capacity` lessons, the newest; the same additions and the same `rng` give the same draws."""

    def __init__(self, capacity: int = 2000):
        if capacity < 1:
            raise UsageError(f"buffer capacity must be at least 1, not {capacity}")
        self.capacity = capacity
        self._lessons: list[Hindsight] = []
        self._index: Any = None

    def __len__(self) -> int:
        return len(self._lessons)

    def add(self, lessons: Sequence[Hindsight]) -> None:
        self._lessons = [*self._lessons, *lessons][-self.capacity :]
        self._index = None

    def draw_same(self, example: Example, rng: Random) -> Hindsight | None:
        """A lesson about this very prompt, or None."""
        found = [h for h in self._lessons if h.example_id == example.id]
        return rng.choice(found) if found else None

    def draw_similar(self, example: Example, rng: Random, k: int = 4) -> Hindsight | None:
        """One of the `k` lessons whose prompts are nearest by BM25 (other prompts only), or None."""
        import bm25s

        # Words, numbers and signs; bm25s by itself drops whatever is one character long.
        options = {"token_pattern": r"(?u)\w+|[^\w\s]", "stopwords": None, "show_progress": False}
        others = [h for h in self._lessons if h.example_id != example.id]
        if not others:
            return None
        if self._index is None:
            self._index = bm25s.BM25()
            self._index.index(bm25s.tokenize([h.prompt for h in self._lessons], **options), show_progress=False)
        query = bm25s.tokenize([example.prompt], **options)
        wanted = min(len(self._lessons), k + len(self._lessons) - len(others))
        ranked, scores = self._index.retrieve(query, k=wanted, show_progress=False)
        matching = [self._lessons[int(i)] for i, score in zip(ranked[0], scores[0], strict=True) if score > 0]
        near = [h for h in matching if h.example_id != example.id]
        return rng.choice(near[:k]) if near else None

    def state_dict(self) -> dict[str, Any]:
        return {"capacity": self.capacity, "lessons": [asdict(h) for h in self._lessons]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.capacity = state["capacity"]
        self._lessons = [Hindsight(**row) for row in state["lessons"]]
        self._index = None
