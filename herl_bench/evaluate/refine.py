"""Self-improvement at test time: draft, critique, revise, for some rounds, and what each round did to the metric.

There is no gold answer at test time, so a critique is made of the rubric's criteria that need none (`reference_free`),
or of the model's own words (`self`). With the gold answer (`oracle`) it is for study only, and every output says so. A
revision replaces its draft where the score by the criteria that need no gold answer does not fall, and never where it
made one of them undecidable; the metric is looked at for the report alone.

Left out: several revisions per draft, and going on with rounds that were killed: they start anew from the drafts (a
server's kept answers aside).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from herl_bench.evaluate.evaluation import Row, Score, judge_responses, response_seed, sum_up
from herl_bench.hindsight import write_guidance, write_revision_prompt
from herl_bench.policy.answerer import Answer, Answerer
from herl_bench.rubric import weigh_verdicts
from herl_bench.types import HindsightTemplate, Metric, Rubric, Task

Critique = Literal["reference_free", "self", "oracle"]
CRITIQUES: Mapping[Critique, str] = {
    "reference_free": "criteria that need no gold answer",
    "self": "the model's own critique",
    "oracle": "ORACLE: the critique has seen the gold answer",
}
ASK = "{prompt}{apart}{draft}\n\nWhat is wrong with this answer? Name the first mistake in one sentence.\n"


@dataclass(frozen=True)
class Revision:
    """One revision in one round. critique: what the model was told. kept: it replaced its draft. tokens: of the
    critique and the revision."""

    round: int
    critique: str
    draft: Row
    row: Row
    kept: bool
    tokens: int


@dataclass(frozen=True)
class Round:
    """The state after a round; round 0 is the drafts.

    metrics, reward: means over items. revised: drafts that there was something to say about. kept: of these, replaced.
    fixed: responses that were wrong as drafts of round 0 and are right now (primary metric). broken: those that were
    right and are not any more, undecided ones among them.
    tokens: generated in this round, critiques included.
    """

    round: int
    metrics: Mapping[str, Score]
    reward: Score
    revised: int
    kept: int
    fixed: int
    broken: int
    tokens: int
    errors: int


@dataclass(frozen=True)
class Refinement:
    critique: Critique
    rounds: tuple[Round, ...]
    revisions: tuple[Revision, ...]

    def as_json(self) -> dict[str, Any]:
        """For results files: the rounds, without the texts."""
        return {
            "critique": self.critique,
            "critique_is": CRITIQUES[self.critique],
            "rounds": [asdict(r) for r in self.rounds],
        }

    def lines(self) -> list[dict[str, Any]]:
        """One JSON object per revision, with the texts."""
        return [
            {
                "round": r.round,
                "id": r.row.example.id,
                "doc_id": r.row.doc_id,
                "sample": r.row.sample,
                "critique_by": self.critique,
                "draft": r.draft.response,
                "critique": r.critique,
                "response": r.row.response,
                "kept": r.kept,
                "tokens": r.tokens,
                "reward_before": r.draft.judgement.reward,
                "reward_after": r.row.judgement.reward,
                "metrics_before": dict(r.draft.judgement.metrics),
                "metrics_after": dict(r.row.judgement.metrics),
                "errors": list(r.row.errors),
            }
            for r in self.revisions
        ]


def refine(
    model: Answerer,
    task: Task,
    rubric: Rubric,
    template: HindsightTemplate,
    metrics: Sequence[Metric],
    drafts: Sequence[Row],
    *,
    rounds: int,
    critique: Critique,
    settings: Mapping[str, Any],
    sandbox: Any = None,
) -> Refinement:
    """Revise `drafts` (rows of `evaluate`) for so many rounds. settings: those the drafts were sampled with; revisions
    are sampled alike.

    Every critique and revision has a seed of its own, made of the settings' seed, the item, the sample and the round.
    """
    current, made = list(drafts), []
    states = [_state(0, current, drafts, rubric, metrics, [])]
    for number in range(1, rounds + 1):
        fresh: list[Revision] = []
        size = max(1, model.batch_size)
        for start in range(0, len(current), size):
            batch = [row for row in current[start : start + size] if not row.answer.error]
            fresh += _revisions(model, task, rubric, template, metrics, batch, number, critique, settings, sandbox)
        replaced = {(r.row.doc_id, r.row.sample): r.row for r in fresh if r.kept}
        current = [replaced.get((row.doc_id, row.sample), row) for row in current]
        made += fresh
        states.append(_state(number, current, drafts, rubric, metrics, fresh))
    return Refinement(critique, tuple(states), tuple(made))


def reference_free_score(rubric: Rubric, row: Row) -> float:
    """The share of weight that is met, among the criteria that need no gold answer; 0 where none was decided."""
    return weigh_verdicts([c for c in rubric.criteria if not c.needs_reference], row.judgement.verdicts) or 0.0


def replaces(rubric: Rubric, revision: Row, draft: Row) -> bool:
    """Is the revision at least as good, as far as can be told without the gold answer, and nothing undecided that was
    decided before?"""
    if revision.answer.error or _undecided(rubric, revision) - _undecided(rubric, draft):
        return False
    return reference_free_score(rubric, revision) >= reference_free_score(rubric, draft)


def _undecided(rubric: Rubric, row: Row) -> set[str]:
    free = {c.name for c in rubric.criteria if not c.needs_reference}
    return {v.criterion for v in row.judgement.verdicts if v.met is None and v.criterion in free}


def _revisions(
    model: Answerer,
    task: Task,
    rubric: Rubric,
    template: HindsightTemplate,
    metrics: Sequence[Metric],
    batch: Sequence[Row],
    number: int,
    critique: Critique,
    settings: Mapping[str, Any],
    sandbox: Any,
) -> list[Revision]:
    said = _critiques(model, rubric, template, batch, number, critique, settings)
    told = [(row, answer) for row, answer in zip(batch, said, strict=True) if answer.text and not answer.error]
    if not told:
        return []
    prompts = [write_revision_prompt(template, row.example, answer.text, row.response) for row, answer in told]
    answers = _ask(model, prompts, [row for row, _ in told], f"revision/{number}", settings)
    rows = judge_responses(
        task,
        rubric,
        metrics,
        [row.example for row, _ in told],
        answers,
        doc_ids=[row.doc_id for row, _ in told],
        samples=[row.sample for row, _ in told],
        sandbox=sandbox,
    )
    return [
        Revision(
            round=number,
            critique=answer.text,
            draft=draft,
            row=row,
            kept=replaces(rubric, row, draft),
            tokens=answer.tokens + row.answer.tokens,
        )
        for (draft, answer), row in zip(told, rows, strict=True)
    ]


def _critiques(
    model: Answerer,
    rubric: Rubric,
    template: HindsightTemplate,
    batch: Sequence[Row],
    number: int,
    critique: Critique,
    settings: Mapping[str, Any],
) -> list[Answer]:
    """One per draft; without text where there is nothing to say."""
    if critique == "self":
        prompts = [
            ASK.format(
                prompt=row.example.prompt,
                apart="" if row.example.prompt[-1:].isspace() else " ",
                draft=row.response.strip(),
            )
            for row in batch
        ]
        answers = _ask(model, prompts, batch, f"critique/{number}", settings)
        return [replace(answer, text=answer.text.strip()) for answer in answers]
    return [
        Answer(
            write_guidance(
                template,
                rubric,
                row.example,
                row.response,
                row.judgement.verdicts,
                "reference",
                reference_free=critique == "reference_free",
            )
        )
        for row in batch
    ]


def _ask(
    model: Answerer, prompts: Sequence[str], rows: Sequence[Row], purpose: str, settings: Mapping[str, Any]
) -> list[Answer]:
    return model.answer(
        [settings["prefix"] + prompt for prompt in prompts],
        instruction=settings["instruction"],
        stop=settings["stop"],
        temperature=settings["temperature"],
        max_new_tokens=settings["max_new_tokens"],
        seeds=[response_seed(settings["seed"], f"{row.example.id}/{purpose}", row.sample) for row in rows],
    )


def _state(
    number: int,
    rows: Sequence[Row],
    drafts: Sequence[Row],
    rubric: Rubric,
    metrics: Sequence[Metric],
    fresh: Sequence[Revision],
) -> Round:
    summary = sum_up(rows, rubric, metrics)
    primary = metrics[0].key
    pairs = [
        (d.judgement.metrics.get(primary), r.judgement.metrics.get(primary)) for d, r in zip(drafts, rows, strict=True)
    ]
    return Round(
        round=number,
        metrics=summary.metrics,
        reward=summary.reward,
        revised=len(fresh),
        kept=sum(r.kept for r in fresh),
        fixed=sum(before is not None and before < 1 <= (after or 0.0) for before, after in pairs),
        broken=sum((before or 0.0) >= 1 and (after is None or after < 1) for before, after in pairs),
        tokens=sum(r.tokens for r in fresh) if number else summary.generated_tokens,
        errors=sum(bool(r.row.errors) for r in fresh) if number else summary.errors,
    )
