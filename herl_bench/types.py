"""The vocabulary: frozen data and the shapes of the functions that plugins contribute. Standard library only.

Data (`Example`, `Finding`, `Verdict`, `Judgement`, …) never changes after it is made. Behaviour is plain functions held
in small records (`Check`, `Criterion`, `Rubric`, `Metric`, `World`, `Task`, `Method`), so that a plugin is a list of
records and the host can show, name and validate each of them without importing torch.

Shape suffixes in numerical modules: `_BT` is (batch, token), `_B` is (batch,), `_BTV` is (batch, token, vocabulary).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Union

Split = Literal["train", "eval"]
HintLevel = Literal["criteria", "evidence", "reference"]
ReviseForm = Literal["prompt", "with_draft", "without_draft", "cut_draft"]
Kind = Literal["plain", "guided", "revision", "retry"]
Think = Literal["keep", "drop"]
Truncation = Literal["penalise", "mask"]


# ------------------------------------------------------------------------------------------------------------- problems
@dataclass(frozen=True)
class Example:
    """One problem.

    id: unique within its task and split, stable across runs (`gsm8k/test/17`).
    prompt: the text that the policy continues.
    target: the gold answer in the benchmark's own form (for GSM8K the whole worked solution).
    info: whatever else the task's checks read; JSON-serialisable. Two keys have a meaning everywhere: `family` (for
        breakdowns) and `planted` (True where the synthetic world taught the embedded policy a misconception).
    """

    id: str
    prompt: str
    target: str
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Demonstration:
    """What the embedded policy is warm-started on: an answer to `example`, plainly or as the revision of `draft`."""

    example: Example
    response: str
    draft: str | None = None


# -------------------------------------------------------------------------------------------------------------- judging
@dataclass(frozen=True)
class Finding:
    """What a check says of one response, or of one `part` of it (a step, an assertion).

    met: True, False, or None where the check could not be carried out: neither met nor unmet, and never paid for.
    evidence: what was seen; may be shown to the policy. It must not contain the final answer.
    correction: the correct step in words; shown only at hint level `reference`. Never the final answer either.
    at: where in the response, as it was given to the check, that part begins, in characters; a draft may be shown up to
        its first error.
    """

    met: bool | None
    evidence: str = ""
    correction: str = ""
    part: str = ""
    at: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Verdict:
    """A `Finding` together with the criterion it belongs to; `error` says why `met` is None."""

    criterion: str
    met: bool | None
    evidence: str = ""
    correction: str = ""
    part: str = ""
    error: str = ""
    at: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Judgement:
    """Everything that was found out about one response.

    reward: met / applicable weight, in [0, 1]; None where a criterion that looks at the gold answer, or all, undecided.
    metrics: one number per metric; None where the metric could not be computed.
    status, integrity: how the response's program ended (`timeout`, `memory`, …), and whether the tests' process alone
        compared (`split`) or the program's objects had a word in it (`shared`), if an observation says; else empty.
    failed: by metric, why it could not be computed.
    """

    verdicts: tuple[Verdict, ...]
    reward: float | None
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    status: str = ""
    integrity: str = ""
    failed: Mapping[str, str] = field(default_factory=dict)

    @property
    def criteria(self) -> dict[str, bool | None]:
        """Unmet if any of its parts is, met if all are, else None: undecided. Criteria that do not apply are absent."""
        parts: dict[str, set[bool | None]] = {}
        for verdict in self.verdicts:
            parts.setdefault(verdict.criterion, set()).add(verdict.met)
        return {name: False if False in met else None if None in met else True for name, met in parts.items()}

    @property
    def errors(self) -> tuple[str, ...]:
        """What could not be decided, and why: `criterion: reason`, `metric,filter: reason`."""
        criteria = [f"{v.criterion}: {v.error}" for v in self.verdicts if v.met is None]
        metrics = [key for key, value in self.metrics.items() if value is None]
        return (*criteria, *(f"{key}: {self.failed.get(key, 'could not be computed')}" for key in metrics))


Outcome = Union[bool, None, Finding, Sequence[Finding]]
"""What a check may return. An empty sequence means: this criterion does not apply to this example."""

Observe = Callable[[Sequence[Example], Sequence[str], Any], Sequence[Any]]
"""`observe(examples, responses, sandbox) -> one observation per response`. Called once per batch, so that parsing or
execution is shared by all checks and metrics that name the same function. `sandbox` is an object with `map(jobs)`, or
None where the task needs none. An observation may have the attributes `status`, how the response's program ended, and
`integrity`, `split` or `shared` (see `Judgement`); `timeout` and `shared` are counted in every table."""


@dataclass(frozen=True)
class Check:
    """A named function that rubric files refer to: `function(example, observed, **params) -> Outcome`.

    observed: the response text, or, where `observe` is given, what that returned for this response.
    needs_reference: does it look at the gold answer (or at hidden tests)?
    """

    name: str
    function: Callable[..., Outcome]
    needs_reference: bool = False
    observe: Observe | None = None


@dataclass(frozen=True)
class Criterion:
    """One named pass/fail requirement. `text` is what the policy reads when it missed it. weight: in the reward; 0
    where it guides and does not pay."""

    name: str
    text: str
    check: Callable[..., Outcome]
    weight: float = 1.0
    needs_reference: bool = False
    observe: Observe | None = None

    @property
    def is_guide(self) -> bool:
        return self.weight == 0


@dataclass(frozen=True)
class Rubric:
    """Named criteria. `herl_bench.rubric.judge` applies it."""

    name: str
    criteria: Sequence[Criterion]
    description: str = ""

    @property
    def guides(self) -> tuple[str, ...]:
        """Names of the criteria of weight 0."""
        return tuple(criterion.name for criterion in self.criteria if criterion.is_guide)


@dataclass(frozen=True)
class Metric:
    """What is reported, always apart from the training reward.

    score: `score(example, observed) -> float`; raising, or a number that is not finite, means: not computed. In means
        such items count as wrong where higher is better, and are left out where lower is; their number stands beside.
    filter: lm-eval's filter name; the results key is `name,filter`.
    id: the host-wide name, by which a task lists the metric; `name` where left empty.
    whole: `score` and `observe` get the whole response, thoughts included, as lm-eval's own metrics do.
    """

    name: str
    score: Callable[[Example, Any], float]
    filter: str = "none"
    observe: Observe | None = None
    higher_is_better: bool = True
    description: str = ""
    id: str = ""
    whole: bool = False

    @property
    def key(self) -> str:
        return f"{self.name},{self.filter}"


# ------------------------------------------------------------------------------------------------------------ hindsight
@dataclass(frozen=True)
class ChatTurns:
    """How a revision is talked about with a chat model. The fields are Jinja2 sources.

    guidance: sees what the template's own `guidance` sees; whole sentences that say what is wrong and what was seen.
    request: sees `example`, `guidance`, `draft` (the policy's turn before it; None where no draft is shown) and `cut`
        (that turn ends before the draft's first error); what the user then asks for.
    problem: sees `example`; the user's first turn, or, without a draft, what stands before the request in the only one.
    """

    guidance: str
    request: str
    problem: str = "{{ example.prompt }}"


@dataclass(frozen=True)
class HindsightTemplate:
    """How unmet verdicts become words. `guidance` and `prompt` are Jinja2 sources.

    guidance: sees `example`, `draft`, `met` and `unmet` (verdicts, each with `.criterion .text .part .evidence
        .correction`, the last two emptied where the hint level does not allow them), `level`.
    prompt: sees `example`, `guidance`, `draft` (None where guidance is reused); gives the text that is continued.
    turns: the same for chat models. Without it they are given `guidance` in a neutral conversation.
    """

    name: str
    guidance: str
    prompt: str
    description: str = ""
    turns: ChatTurns | None = None


# ---------------------------------------------------------------------------------------------------------------- tasks
@dataclass(frozen=True)
class World:
    """A synthetic source of a task's examples, endless and seeded.

    examples: `examples(split, seed, difficulty) -> endless iterator`; splits are disjoint whatever seed and difficulty.
    demonstrations: `demonstrations(seed) -> endless iterator` for the warm start, over the train split.
    difficulty: the default dial, 0 (easiest) to 1.
    planted: what was planted, in one sentence.
    single: as `examples`, with planted misconceptions beside which there is but one other move, so that it hardly
    matters what guidance says; None where there is no such kind.
    """

    examples: Callable[[Split, int, float], Iterator[Example]]
    demonstrations: Callable[[int], Iterator[Demonstration]]
    planted: str
    difficulty: float = 0.5
    max_new_tokens: int = 128
    single: Callable[[Split, int, float], Iterator[Example]] | None = None


@dataclass(frozen=True)
class Task:
    """A named source of examples with its default rubric, hindsight template and metrics.

    read: `read(directory, split) -> examples` from the benchmark's files; a bad row raises `DataError`, file and line.
    hub: `hub(split) -> examples`, through `datasets`. Both are None for a task that is nothing but its world.
    files: `files(directory, split) -> paths` that `read` reads, whose sha256 a manifest holds; else that of the items.
    splits: what `validate` walks through: display name -> `(reader of directory)`; e.g. `{"train": …, "test": …}`.
    gold: the response that a perfect policy gives.
    extract: the final answer found in a response, or None where there is none ("unparsed").
    rubric, template: names, resolved by the host. metrics: their ids; the first is the primary one.
    instruction: what a chat model is told about the form of the answer.
    stop: strings that end a response (cut off). max_new_tokens: for models other than the embedded one.
    needs_sandbox: does judging run untrusted code?
    policy: folder of the embedded policy for this task's world.
    """

    name: str
    description: str
    read: Callable[[Path, Split], Iterable[Example]] | None
    hub: Callable[[Split], Iterable[Example]] | None
    splits: Mapping[str, Callable[[Path], Iterable[Example]]]
    gold: Callable[[Example], str]
    extract: Callable[[Example, str], str | None]
    rubric: str
    template: str
    metrics: Sequence[str]
    world: World | None = None
    instruction: str = ""
    stop: Sequence[str] = ()
    max_new_tokens: int = 512
    needs_sandbox: bool = False
    policy: Path | None = None
    files: Callable[[Path, Split], Iterable[Path]] | None = None


# -------------------------------------------------------------------------------------------------------------- methods
@dataclass(frozen=True)
class Method:
    """A way to spend a budget. `config`: a dataclass whose fields are the `--set` keys; `train(run)` does the work."""

    name: str
    config: type
    train: Callable[[Any], None]
    description: str = ""


@dataclass(frozen=True)
class SandboxProvider:
    """A named way to run untrusted code. `open(**options)` gives a context manager like `sandbox.Sandbox`."""

    name: str
    open: Callable[..., Any]
    description: str = ""


# ---------------------------------------------------------------------------------------------------------- environment
@dataclass(frozen=True)
class Environment:
    """What responses are asked for and judged by: a task with the rubric, hindsight template and metrics chosen for
    it, and the open sandbox, None where judging runs no code. metrics: the first is the primary one. think: are the
    thoughts of a response judged too (`keep`)?"""

    task: Task
    rubric: Rubric
    template: HindsightTemplate
    metrics: Sequence[Metric]
    sandbox: Any = None
    think: Literal["keep", "drop"] = "drop"
