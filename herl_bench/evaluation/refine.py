"""Self-improvement at test time: draft, critique, revise, for some rounds, and what each round did to the metric.

There is no gold answer at test time, so a critique is made of the rubric's criteria that need none (`reference_free`),
or of the model's own words (`self`). With the gold answer (`oracle`) it is for study only, and every output says so. A
revision replaces its draft where the score by the criteria that need no gold answer does not fall, and never where it
made one of them undecidable; the metric is looked at for the report alone.

Left out: several revisions per draft. Rounds that were killed start anew (a server's kept answers aside).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal

from herl_bench.answers import NO_ANSWER, UNCLOSED, show_response
from herl_bench.conversation import Prompt, Turn
from herl_bench.evaluation.judging import Row, judge_responses
from herl_bench.evaluation.sampling import ask, derive_seed
from herl_bench.evaluation.scores import Score
from herl_bench.evaluation.tally import sum_up
from herl_bench.hindsight import choose_form, find_first_error, write_guidance, write_revision
from herl_bench.policy.answerer import Answer, Answerer, ResolvedSampling
from herl_bench.rubric import weigh_verdicts
from herl_bench.types import Environment, ReviseForm, Rubric

Critique = Literal["reference_free", "self", "oracle"]
CRITIQUES: Mapping[Critique, str] = {
    "reference_free": "criteria that need no gold answer",
    "self": "the model's own critique",
    "oracle": "ORACLE: the critique has seen the gold answer",
}
QUESTION = "What is wrong with this answer? Name the first mistake in one sentence."
ASK = "{prompt}{apart}{draft}\n\n" + QUESTION + "\n"


@dataclass(frozen=True)
class Revision:
    """critique: what the model was told. kept: it replaced its draft. tokens: of the critique and the revision."""

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
    right and are not any more, undecided ones among them. tokens: generated in this round, critiques included.
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
        rounds = [asdict(r) for r in self.rounds]
        return {"critique": self.critique, "critique_is": CRITIQUES[self.critique], "rounds": rounds}

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
    environment: Environment,
    drafts: Sequence[Row],
    settings: ResolvedSampling,
    *,
    rounds: int,
    critique: Critique,
    form: ReviseForm | Literal["auto"] = "auto",
) -> Refinement:
    """Revise `drafts` (rows of `evaluate`) for so many rounds. settings: of the drafts' sampling, and the revisions'.
    form: how revisions are asked for, as `revise_form` of a run.

    Every critique and revision has a seed of its own, made of the settings' seed, the item, the sample and the round.
    """
    current, made, chosen = list(drafts), [], choose_form(form, model.chat)
    states = [_describe_round(environment, 0, current, drafts, [])]
    for number in range(1, rounds + 1):
        reviser = _Reviser(model, environment, settings, critique, number, chosen)
        fresh: list[Revision] = []
        size = max(1, model.batch_size)
        for start in range(0, len(current), size):
            fresh += reviser.revise([row for row in current[start : start + size] if not row.answer.error])
        kept = {(r.row.doc_id, r.row.sample): r.row for r in fresh if r.kept}
        current = [kept.get((row.doc_id, row.sample), row) for row in current]
        made += fresh
        states.append(_describe_round(environment, number, current, drafts, fresh))
    return Refinement(critique, tuple(states), tuple(made))


def reference_free_score(rubric: Rubric, row: Row) -> float:
    """The share of weight that is met, among the criteria that need no gold answer; 0 where none was decided."""
    return weigh_verdicts([c for c in rubric.criteria if not c.needs_reference], row.judgement.verdicts) or 0.0


def is_replacement(rubric: Rubric, revision: Row, draft: Row) -> bool:
    """Without the gold answer: is the revision at least as good, and nothing undecided that was decided before?"""
    if revision.answer.error or _list_undecided(rubric, revision) - _list_undecided(rubric, draft):
        return False
    return reference_free_score(rubric, revision) >= reference_free_score(rubric, draft)


def _list_undecided(rubric: Rubric, row: Row) -> set[str]:
    free = {c.name for c in rubric.criteria if not c.needs_reference}
    return {v.criterion for v in row.judgement.verdicts if v.met is None and v.criterion in free}


@dataclass(frozen=True)
class _Reviser:
    """Asks for the critiques and revisions of one round."""

    model: Answerer
    environment: Environment
    settings: ResolvedSampling
    critique: Critique
    round: int
    form: ReviseForm

    def revise(self, batch: Sequence[Row]) -> list[Revision]:
        pairs = zip(batch, self.criticise(batch), strict=True)
        told = [(draft, answer) for draft, answer in pairs if answer.text and not answer.error]
        if not told:
            return []
        rubric, drafts = self.environment.rubric, [draft for draft, _ in told]
        prompts = [self.write_revision(row, answer.text) for row, answer in told]
        examples, answers = [draft.example for draft in drafts], self.ask("revision", prompts, drafts)
        doc_ids, samples = [draft.doc_id for draft in drafts], [draft.sample for draft in drafts]
        rows = judge_responses(self.environment, examples, answers, doc_ids=doc_ids, samples=samples)
        revisions = []
        for (draft, answer), row in zip(told, rows, strict=True):
            kept, tokens = is_replacement(rubric, row, draft), answer.tokens + row.answer.tokens
            revisions.append(Revision(self.round, answer.text, draft, row, kept, tokens))
        return revisions

    def criticise(self, batch: Sequence[Row]) -> list[Answer]:
        """One per draft; without text where there is nothing to say. Of a draft that is all thought nobody is asked."""
        if self.critique == "self":
            given = [row for row in batch if self.show(row) != NO_ANSWER]
            shown = [(row.example.prompt, self.show(row).strip()) for row in given]
            questions = [_ask_for_critique(*each, self.model.chat) for each in shown]
            answers = iter(self.ask("critique", questions, given) if given else ())
            told = [next(answers) if self.show(row) != NO_ANSWER else Answer(UNCLOSED) for row in batch]
            return [replace(answer, text=answer.text.strip()) for answer in told]
        environment, free = self.environment, self.critique == "reference_free"
        write = partial(write_guidance, environment.template, environment.rubric, reference_free=free, form=self.form)
        return [Answer(write(row.example, self.show(row), row.judgement.verdicts)) for row in batch]

    def write_revision(self, row: Row, words: str) -> Prompt:
        rubric, template = self.environment.rubric, self.environment.template
        error_at = None
        if self.critique != "self":
            free = self.critique == "reference_free"
            error_at = find_first_error(rubric, row.judgement.verdicts, reference_free=free)
        return write_revision(template, row.example, words, self.show(row), self.form, error_at)

    def show(self, row: Row) -> str:
        return show_response(row.response, self.environment.think)

    def ask(self, purpose: str, prompts: Sequence[Prompt], rows: Sequence[Row]) -> list[Answer]:
        seed, place = self.settings.seed, f"{purpose}/{self.round}"
        seeds = [derive_seed(seed, f"{row.example.id}/{place}", row.sample) for row in rows]
        return ask(self.model, self.settings, prompts, seeds)


def _ask_for_critique(prompt: str, draft: str, chat: bool) -> Prompt:
    if chat:
        return (Turn("user", prompt), Turn("assistant", draft), Turn("user", QUESTION))
    return ASK.format(prompt=prompt, apart="" if prompt[-1:].isspace() else " ", draft=draft)


def _describe_round(
    environment: Environment, number: int, rows: Sequence[Row], drafts: Sequence[Row], fresh: Sequence[Revision]
) -> Round:
    summary, primary = sum_up(rows, environment.rubric, environment.metrics), environment.metrics[0].key
    values = ([row.judgement.metrics.get(primary) for row in version] for version in (drafts, rows))
    pairs = list(zip(*values, strict=True))
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
