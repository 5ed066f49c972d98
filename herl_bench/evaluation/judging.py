"""Judge responses, wherever they come from: a live model and a stored file get their numbers from the same lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from herl_bench.answers import show_response
from herl_bench.policy.answerer import Answer
from herl_bench.rubric import extract_answer, judge
from herl_bench.types import Environment, Example, HindsightTemplate, Judgement

NO_TEMPLATE = HindsightTemplate("none", "", "")  # of an environment in which responses are judged and never revised


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


def judge_responses(
    environment: Environment,
    examples: Sequence[Example],
    responses: Sequence[str | Answer],
    *,
    doc_ids: Sequence[int] | None = None,
    samples: Sequence[int] | None = None,
) -> list[Row]:
    """One row per (example, response). A response is a text, or an `Answer`, which knows how it ended or why not."""
    answers = [Answer(response) if isinstance(response, str) else response for response in responses]
    given = [i for i, answer in enumerate(answers) if not answer.error]
    texts, rubric, metrics = [answers[i].text for i in given], environment.rubric, environment.metrics
    sandbox, think = environment.sandbox, environment.think
    found = judge([examples[i] for i in given], texts, rubric, metrics, sandbox, think) if given else []
    judgements = dict(zip(given, found, strict=True))
    unjudged = Judgement((), None, {metric.key: None for metric in metrics})
    rows = []
    for i, (example, answer) in enumerate(zip(examples, answers, strict=True)):
        judgement, extracted = judgements.get(i, unjudged), None
        if answer.error:
            errors = [f"no response: {answer.error}"]
        else:
            extracted, failure = extract_answer(environment.task, example, show_response(answer.text, think))
            errors = [*judgement.errors, *([f"extract: {failure}"] if failure else [])]
        doc_id, sample = doc_ids[i] if doc_ids else i, samples[i] if samples else 0
        rows.append(Row(example, doc_id, sample, answer, judgement, extracted, tuple(errors)))
    return rows


def describe_row(row: Row, **place: int) -> dict[str, Any]:
    """What is told of a judged response, as JSON. place: where it stood."""
    return {
        "id": row.example.id,
        **place,
        "sample": row.sample,
        "metrics": dict(row.judgement.metrics),
        "criteria": row.judgement.criteria,
        "reward": row.judgement.reward,
        "extracted": row.extracted,
        "status": row.judgement.status,
        "integrity": row.judgement.integrity,
        "errors": list(row.errors),
        "verdicts": [
            {"criterion": v.criterion, "part": v.part, "met": v.met, "evidence": v.evidence or v.error}
            for v in row.judgement.verdicts
        ],
    }
