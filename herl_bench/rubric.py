"""Judge responses against named criteria; load rubrics from YAML.

`judge` is the one place where a response meets its checks: each distinct `observe` function among the rubric's criteria
and the metrics runs once for the whole batch, then every check reads what it observed. A check that raises gives a
verdict `met=None` with the error: undecided. That is never paid for: it stays in the reward's denominator, and where
the check looks at the gold answer or at hidden tests the response has no reward at all, because without it a wrong
answer cannot be told from a right one.
"""

from __future__ import annotations

import hashlib
import json
import math
import typing
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from herl_bench.answers import UNCLOSED, answer_text, show_response
from herl_bench.errors import DataError, UnknownName, UsageError, describe_error
from herl_bench.patterns import SECONDS, compile_pattern, search_pattern
from herl_bench.reading import describe_invalid, parse_json, read_yaml
from herl_bench.types import (
    Check,
    Criterion,
    Example,
    Finding,
    Judgement,
    Metric,
    Observe,
    Outcome,
    Rubric,
    Task,
    Think,
    Verdict,
)

LONGEST_EVIDENCE = 500
"""Characters of a verdict's evidence, correction and part; what a check says beyond that is cut off."""

Look = tuple[Observe | None, bool]
"""What an observation is by: the function, None for the text itself; and whether it gets the whole response."""


class _Failed:
    """What stands in for the observations of an `observe` function that raised."""

    def __init__(self, error: Exception):
        self.error = error


def judge(
    examples: Sequence[Example],
    responses: Sequence[str],
    rubric: Rubric,
    metrics: Sequence[Metric] = (),
    sandbox: Any = None,
    think: Think = "drop",
) -> list[Judgement]:
    """One `Judgement` per (example, response), in order. A criterion's parts share its weight; see `weigh_verdicts`.
    think: `drop` takes the thoughts out of a response before any check or metric sees it, but those metrics that look
    at the `whole`."""
    shown = [show_response(response, think) for response in responses]
    looks = dict.fromkeys([*((c.observe, False) for c in rubric.criteria), *((m.observe, m.whole) for m in metrics)])
    observed: dict[Look, Sequence[Any]] = {}
    for function, whole in sorted(looks, key=lambda look: look[1]):
        texts = responses if whole else shown
        if function is None:
            observed[None, whole] = texts
        elif whole and (seen := observed.get((function, False))) is not None:
            observed[function, True] = _observe_again(function, examples, shown, responses, seen, sandbox)
        else:
            observed[function, whole] = _observe(function, examples, texts, sandbox)
    rows = [{look: observed[look][i] for look in looks} for i in range(len(examples))]
    return [_judge_one(example, rubric, metrics, row) for example, row in zip(examples, rows, strict=True)]


def _observe_again(
    observe: Observe,
    examples: Sequence[Example],
    before: Sequence[str],
    now: Sequence[str],
    seen: Sequence[Any],
    sandbox: Any,
) -> Sequence[Any]:
    """seen: of the texts before. Only those that are others now are looked at again."""
    others = [i for i, text in enumerate(now) if text != before[i]]
    again = _observe(observe, [examples[i] for i in others], [now[i] for i in others], sandbox) if others else ()
    fresh = dict(zip(others, again, strict=True))
    return [fresh.get(i, one) for i, one in enumerate(seen)]


def _observe(observe: Observe, examples: Sequence[Example], responses: Sequence[str], sandbox: Any) -> Sequence[Any]:
    """A batch that fails is tried again one by one: a response that breaks the function costs no other its verdict."""
    try:
        seen = observe(examples, responses, sandbox)
        if len(seen) != len(responses):
            name = getattr(observe, "__name__", "observe")
            raise ValueError(f"{name} gave {len(seen)} observations for {len(responses)} responses")
    except Exception as error:
        if len(responses) == 1:
            return [_Failed(error)]
        return [_observe(observe, [e], [r], sandbox)[0] for e, r in zip(examples, responses, strict=True)]
    return seen


def _judge_one(example: Example, rubric: Rubric, metrics: Sequence[Metric], seen: Mapping[Look, Any]) -> Judgement:
    verdicts = [v for c in rubric.criteria for v in _apply_check(c, example, seen[c.observe, False])]
    values: dict[str, float | None] = {}
    failed: dict[str, str] = {}
    for metric in metrics:
        try:
            if isinstance(found := seen[metric.observe, metric.whole], _Failed):
                raise found.error
            values[metric.key] = _read_number(metric.score(example, found))
        except Exception as error:
            values[metric.key], failed[metric.key] = None, describe_error(error)
    status, integrity = _find_word(seen, "status"), _find_word(seen, "integrity", "shared")
    return Judgement(tuple(verdicts), weigh_verdicts(rubric.criteria, verdicts), values, status, integrity, failed)


def weigh_verdicts(criteria: Iterable[Criterion], verdicts: Sequence[Verdict]) -> float | None:
    """The met weight of these criteria divided by what applies, the undecided included: over all, the reward. None
    where a criterion that looks at the gold answer has an undecided part, or nothing is decided."""
    met = applicable = 0.0
    decided = False
    for criterion in criteria:
        parts = [v.met for v in verdicts if v.criterion == criterion.name]
        if criterion.needs_reference and None in parts:
            return None
        if parts:
            applicable += criterion.weight
            met += criterion.weight * parts.count(True) / len(parts)
            decided = decided or any(part is not None for part in parts)
    # Three met parts of a weight may add up to a little more than it.
    return min(1.0, met / applicable) if decided and applicable > 0 else None


def extract_answer(task: Task, example: Example, shown: str) -> tuple[str | None, str]:
    """The final answer in what is judged of a response, None where there is none; and why the task's `extract` could
    not look, else empty."""
    try:
        return task.extract(example, shown), ""
    except Exception as error:
        return None, describe_error(error)


def is_undecided(judgement: Judgement, rubric: Rubric, primary: str | None) -> bool:
    """Undecided whether the response is right: by the primary metric, or by a part that looks at the gold answer?"""
    if primary is not None and judgement.metrics.get(primary) is None:
        return True
    looking = {c.name for c in rubric.criteria if c.needs_reference}
    return any(v.met is None and v.criterion in looking for v in judgement.verdicts)


def _find_word(seen: Mapping[Look, Any], attribute: str, first: str = "") -> str:
    """What the observations say under that name: `first` where any says so, else the first that says anything."""
    words = [word for observed in seen.values() if isinstance(word := getattr(observed, attribute, None), str) and word]
    return first if first in words else next(iter(words), "")


def _apply_check(criterion: Criterion, example: Example, observed: Any) -> list[Verdict]:
    try:
        if isinstance(observed, _Failed):
            raise observed.error
        return [_build_verdict(criterion.name, found) for found in _read_findings(criterion.check(example, observed))]
    except Exception as error:
        return [Verdict(criterion.name, None, error=describe_error(error))]


def _cut(text: str) -> str:
    """Evidence is shown to the policy and logged for every response, so a response must not make it long."""
    return text if len(text) <= LONGEST_EVIDENCE else text[: LONGEST_EVIDENCE - 1] + "…"


def _read_findings(outcome: Outcome) -> list[Finding]:
    if isinstance(outcome, Finding):
        return [outcome]
    if isinstance(outcome, Sequence) and not isinstance(outcome, str) and all(isinstance(f, Finding) for f in outcome):
        return list(outcome)
    return [Finding(_read_truth(outcome, "a check returns True, False, None, a Finding or a list of Findings"))]


def _build_verdict(criterion: str, finding: Finding) -> Verdict:
    """The one door through which a plugin's finding becomes data that files can hold."""
    met = _read_truth(finding.met, "Finding.met is True, False or None")
    texts = (finding.evidence, finding.correction, finding.part)
    evidence, correction, part = ("" if text is None else _cut(str(text)) for text in texts)
    error = "" if met is not None else evidence or "undecided"
    at = None if finding.at is None else max(0, int(finding.at))
    return Verdict(criterion, met, evidence, correction, part, error, at)


def _read_truth(value: Any, rule: str) -> bool | None:
    """numpy's and torch's single truth values are Python's; 1 and "yes" are a mistake."""
    plain = value.item() if getattr(value, "shape", None) == () else value
    if plain is None or isinstance(plain, bool):
        return plain
    raise TypeError(f"{rule}, not {type(value).__name__}")


def _read_number(value: Any) -> float:
    if isinstance(value, (str, bytes)):
        raise TypeError(f"a metric gives a number, not {type(value).__name__}")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"a metric gives a finite number, not {number}")
    return number


# --------------------------------------------------------------------------------------------------------- rubric files
def _make_file_model() -> Any:
    from pydantic import BaseModel, ConfigDict, Field

    class CriterionSpec(BaseModel):
        model_config = ConfigDict(extra="forbid")
        name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="snake_case; becomes a column in every table")
        text: str = Field(min_length=1, description="what the policy reads when it missed this criterion")
        check: str = Field(description="the name of a registered check, e.g. gsm8k.steps_valid or regex")
        params: dict[str, Any] = Field(default_factory=dict, alias="with", description="keyword arguments of the check")
        weight: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="relative weight in the reward")

    class RubricSpec(BaseModel):
        """A herl-bench rubric: named pass/fail criteria."""

        model_config = ConfigDict(extra="forbid")
        name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
        description: str = ""
        criteria: list[CriterionSpec] = Field(min_length=1)

    return RubricSpec


def digest_rubric(rubric: Rubric) -> str:
    """sha256 over name, text, weight and check of every criterion: its name and parameters, but not its code."""

    def describe(criterion: Criterion) -> list[Any]:
        check = getattr(criterion.check, "func", criterion.check)
        params = sorted(getattr(criterion.check, "keywords", {}).items())
        named = f"{check.__module__}.{getattr(check, '__qualname__', type(check).__qualname__)}"
        return [criterion.name, criterion.text, criterion.weight, criterion.needs_reference, named, params]

    told = json.dumps([describe(c) for c in rubric.criteria], default=lambda value: type(value).__name__)
    return hashlib.sha256(told.encode()).hexdigest()


def make_rubric_schema() -> dict[str, Any]:
    """The JSON Schema of rubric files, for editors."""
    schema: dict[str, Any] = _make_file_model().model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def load_rubric(path: str | Path, checks: Mapping[str, Check]) -> Rubric:
    """Raises `UsageError` that names file, field and choices. checks: the registered ones by name."""
    from pydantic import ValidationError

    path = Path(path)
    try:
        spec = _make_file_model().model_validate(read_yaml(path, "the rubric"))
    except ValidationError as error:
        field, fault = describe_invalid(error)
        raise UsageError(f"{path}: {field or 'top level'}: {fault}") from None
    names = [c.name for c in spec.criteria]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{path}: criteria: the name {name!r} is used {names.count(name)} times")
    return Rubric(spec.name, tuple(_build_criterion(c, checks, path) for c in spec.criteria), spec.description)


def _build_criterion(spec: Any, checks: Mapping[str, Check], path: Path) -> Criterion:
    import inspect

    where = f"{path}: criterion {spec.name!r}"
    if spec.check not in checks:
        raise UsageError(f"{where}: {UnknownName('check', spec.check, checks)}")
    check = checks[spec.check]
    bound = partial(check.function, **spec.params) if spec.params else check.function
    try:
        inspect.signature(check.function).bind(None, None, **spec.params)
    except TypeError as error:
        raise UsageError(f"{where}: check {spec.check!r}: {error}") from None
    hints = typing.get_type_hints(check.function) if inspect.isfunction(check.function) else {}
    for name, value in spec.params.items():
        kinds = (float, int) if (wanted := hints.get(name)) is float else (wanted,)
        if wanted in (str, int, float, bool) and type(value) not in kinds:
            raise UsageError(f"{where}: with.{name} must be {wanted.__name__}, not {type(value).__name__}")
    if check.function is matches_regex:
        try:
            compile_pattern(spec.params["pattern"])
        except UsageError as error:
            raise UsageError(f"{where}: with.pattern: {error}") from None
    return Criterion(spec.name, spec.text, bound, spec.weight, check.needs_reference, check.observe)


# ---------------------------------------------------------------------------------------------- checks for any response
def matches_regex(example: Example, response: str, *, pattern: str) -> Finding:
    """Somewhere in the answer `pattern` matches (Python `re`, multi-line). Undecided where that takes too long."""
    if (text := answer_text(response)) is None:
        return Finding(False, UNCLOSED)
    found = search_pattern(text, pattern)
    return Finding(found, "" if found is not None else f"the pattern takes more than {SECONDS:g} s of processor time")


def is_json(example: Example, response: str) -> Finding:
    """The whole response, without what was thought, is JSON."""
    if (text := answer_text(response)) is None:
        return Finding(False, UNCLOSED)
    try:
        parse_json(text, "the response")
    except DataError as error:
        return Finding(False, str(error).removeprefix("the response: "))
    return Finding(True)


def has_at_most_words(example: Example, response: str, *, words: int) -> Finding:
    """The response, without what was thought, has at most so many words."""
    if (text := answer_text(response)) is None:
        return Finding(False, UNCLOSED)
    count = len(text.split())
    return Finding(count <= words, f"{count} words")


CHECKS = (Check("regex", matches_regex), Check("json", is_json), Check("max_words", has_at_most_words))
