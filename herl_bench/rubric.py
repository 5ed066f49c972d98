"""Judge responses against named criteria; load rubrics from YAML.

`judge` is the one place where a response meets its checks: each distinct `observe` function among the rubric's criteria and the
metrics runs once for the whole batch, then every check reads what it observed. A check that raises gives a verdict `met=None` with
the error; it is counted apart and never becomes an unmet criterion, because a bug of ours must not become reward 0.
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

from herl_bench import patterns
from herl_bench.answers import UNCLOSED, answer_text
from herl_bench.errors import DataError, UnknownName, UsageError
from herl_bench.reading import parse_json, read_yaml
from herl_bench.types import Check, Criterion, Example, Finding, Judgement, Metric, Observe, Outcome, Rubric, Verdict

LONGEST_EVIDENCE = 500
"""Characters of a verdict's evidence, correction and part; what a check says beyond that is cut off."""


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
) -> list[Judgement]:
    """One `Judgement` per (example, response) pair, in order.

    A criterion's weight is shared evenly by its parts; undecided parts count neither for nor against.
    """
    observed = _observe_all([*(c.observe for c in rubric.criteria), *(m.observe for m in metrics)], examples, responses, sandbox)
    return [_judge_one(example, rubric, metrics, {name: seen[i] for name, seen in observed.items()}) for i, example in enumerate(examples)]


def _observe_all(
    functions: Iterable[Observe | None], examples: Sequence[Example], responses: Sequence[str], sandbox: Any
) -> dict[Observe | None, Sequence[Any]]:
    observed: dict[Observe | None, Sequence[Any]] = {None: responses}
    for observe in functions:
        if observe is None or observe in observed:
            continue
        try:
            seen = observe(examples, responses, sandbox)
            if len(seen) != len(responses):
                raise ValueError(f"{observe.__name__} gave {len(seen)} observations for {len(responses)} responses")
        except Exception as error:
            seen = [_Failed(error)] * len(responses)
        observed[observe] = seen
    return observed


def _judge_one(example: Example, rubric: Rubric, metrics: Sequence[Metric], seen: Mapping[Observe | None, Any]) -> Judgement:
    verdicts = [v for criterion in rubric.criteria for v in _apply(criterion, example, seen[criterion.observe])]
    values: dict[str, float | None] = {}
    for metric in metrics:
        try:
            if isinstance(seen[metric.observe], _Failed):
                raise seen[metric.observe].error
            value = float(metric.score(example, seen[metric.observe]))
            values[metric.key] = value if math.isfinite(value) else None
        except Exception:
            values[metric.key] = None
    status = next((s for observed in seen.values() if isinstance(s := getattr(observed, "status", None), str)), "")
    return Judgement(tuple(verdicts), share_met(rubric.criteria, verdicts), values, status)


def share_met(criteria: Iterable[Criterion], verdicts: Sequence[Verdict]) -> float | None:
    """The weight of these criteria that is met, divided by what is decided of it; None where nothing is. Over all criteria it is the reward."""
    met = decided = 0.0
    for criterion in criteria:
        parts = [v for v in verdicts if v.criterion == criterion.name]
        share = criterion.weight / max(1, len(parts))
        decided += share * sum(v.met is not None for v in parts)
        met += share * sum(v.met is True for v in parts)
    return met / decided if decided > 0 else None


def _apply(criterion: Criterion, example: Example, observed: Any) -> list[Verdict]:
    try:
        if isinstance(observed, _Failed):
            raise observed.error
        findings = _as_findings(criterion.check(example, observed))
    except Exception as error:
        return [Verdict(criterion.name, None, error=f"{type(error).__name__}: {error}".splitlines()[0][:300])]
    return [
        Verdict(
            criterion.name,
            f.met,
            _cut(f.evidence),
            _cut(f.correction),
            _cut(f.part),
            "" if f.met is not None else _cut(f.evidence) or "undecided",
        )
        for f in findings
    ]


def _cut(text: str) -> str:
    """Evidence is shown to the policy and logged for every response, so a response must not make it long."""
    return text if len(text) <= LONGEST_EVIDENCE else text[: LONGEST_EVIDENCE - 1] + "…"


def _as_findings(outcome: Outcome) -> list[Finding]:
    if outcome is None or isinstance(outcome, bool):
        return [Finding(outcome)]
    if isinstance(outcome, Finding):
        return [outcome]
    if isinstance(outcome, Sequence) and not isinstance(outcome, str) and all(isinstance(f, Finding) for f in outcome):
        return list(outcome)
    raise TypeError(f"a check returns True, False, None, a Finding or a list of Findings, not {type(outcome).__name__}")


# ------------------------------------------------------------------------------------------------------------ rubric files
def _rubric_model() -> Any:
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


def rubric_digest(rubric: Rubric) -> str:
    """sha256 over name, text, weight and check of every criterion: the check's name and parameters, but not its code."""

    def told(criterion: Criterion) -> list[Any]:
        check = getattr(criterion.check, "func", criterion.check)
        params = sorted(getattr(criterion.check, "keywords", {}).items())
        named = f"{check.__module__}.{getattr(check, '__qualname__', type(check).__qualname__)}"
        return [criterion.name, criterion.text, criterion.weight, criterion.needs_reference, named, params]

    return hashlib.sha256(json.dumps([told(c) for c in rubric.criteria], default=lambda value: type(value).__name__).encode()).hexdigest()


def rubric_schema() -> dict[str, Any]:
    """The JSON Schema of rubric files, for editors."""
    schema: dict[str, Any] = _rubric_model().model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def load_rubric(path: str | Path, checks: Mapping[str, Check]) -> Rubric:
    """Read a rubric file. Raises `UsageError` that names file, field and choices.

    checks: the registered checks by name.
    """
    from pydantic import ValidationError

    path = Path(path)
    raw = read_yaml(path, "the rubric")
    try:
        spec = _rubric_model().model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(p) for p in first["loc"]) or "top level"
        raise UsageError(f"{path}: {place}: {first['msg'][0].lower()}{first['msg'][1:]}") from None
    names = [c.name for c in spec.criteria]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{path}: criteria: the name {name!r} is used {names.count(name)} times")
    return Rubric(spec.name, tuple(_criterion(c, checks, path) for c in spec.criteria), spec.description)


def _criterion(spec: Any, checks: Mapping[str, Check], path: Path) -> Criterion:
    import inspect

    if spec.check not in checks:
        raise UsageError(f"{path}: criterion {spec.name!r}: {UnknownName('check', spec.check, checks)}")
    check = checks[spec.check]
    bound = partial(check.function, **spec.params) if spec.params else check.function
    try:
        inspect.signature(check.function).bind(None, None, **spec.params)
    except TypeError as error:
        raise UsageError(f"{path}: criterion {spec.name!r}: check {spec.check!r}: {error}") from None
    hints = typing.get_type_hints(check.function) if inspect.isfunction(check.function) else {}
    for name, value in spec.params.items():
        if (wanted := hints.get(name)) in (str, int, float, bool) and not _fits(value, wanted):
            raise UsageError(f"{path}: criterion {spec.name!r}: with.{name} must be {wanted.__name__}, not {type(value).__name__}")
    if check.function is matches_regex:
        try:
            patterns.compiled(spec.params["pattern"])
        except UsageError as error:
            raise UsageError(f"{path}: criterion {spec.name!r}: with.pattern: {error}") from None
    return Criterion(spec.name, spec.text, bound, spec.weight, check.needs_reference, check.observe)


def _fits(value: Any, wanted: type) -> bool:
    return type(value) is wanted or (wanted is float and type(value) is int)


# ------------------------------------------------------------------------------------------------- checks for any response
def matches_regex(example: Example, response: str, *, pattern: str) -> Finding:
    """Somewhere in the response, `pattern` matches (Python `re`, multi-line). Undecided where that takes too long."""
    found = patterns.found_in(response, pattern)
    return Finding(found, "" if found is not None else f"the pattern takes more than {patterns.SECONDS:g} s of processor time")


def is_json(example: Example, response: str) -> Finding:
    """The whole response, without what was thought, is JSON."""
    text = answer_text(response)
    if text is None:
        return Finding(False, UNCLOSED)
    try:
        parse_json(text, "the response")
    except DataError as error:
        return Finding(False, str(error).removeprefix("the response: "))
    return Finding(True)


def has_at_most_words(example: Example, response: str, *, words: int) -> Finding:
    """The response, without what was thought, has at most so many words."""
    text = answer_text(response)
    if text is None:
        return Finding(False, UNCLOSED)
    count = len(text.split())
    return Finding(count <= words, f"{count} words")


CHECKS = (Check("regex", matches_regex), Check("json", is_json), Check("max_words", has_at_most_words))
