"""A probe's answers: asked and judged in batches, each kept in a file as soon as it is judged.

The file has a line that says what the answers depend on, and then a line per answer, in the order of the questions. A
batch is sampled from one random state, so the same command goes on after the last whole batch and ends with the same
bytes. Left out: which questions there are (`probe_arms.py`, `experiment/probe.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from herl_bench.answers import show_response
from herl_bench.conversation import Prompt, put_before, write_as_text
from herl_bench.errors import DataError
from herl_bench.evaluation.judging import Row, judge_responses
from herl_bench.evaluation.probe_arms import Arm, Failure, find_other, write_request
from herl_bench.evaluation.sampling import ask, derive_seed
from herl_bench.policy.answerer import Answer, Answerer, ResolvedSampling
from herl_bench.reading import parse_json, read_lines
from herl_bench.saving import append_lines, cut
from herl_bench.types import Environment, Example, Think, Verdict

DRAFT = "draft"
Record = Mapping[str, Any]
"""A judged answer, as the file holds it; docs/probe.md says what each field is."""


@dataclass(frozen=True)
class Question:
    """key: unique. arm: `draft`, or an arm's key. draft: the key of the failure that is asked again."""

    key: str
    arm: str
    example: Example
    prompt: Prompt
    temperature: float
    draft: str = ""


class AnswerFile:
    """Judged answers in a JSONL file that only grows. mark: of all that they depend on, in the first line.
    made: how many were appended since it was opened."""

    def __init__(self, path: Path, mark: str):
        self.path = path
        self._kept: list[tuple[int, Record]] = []
        self._given = self.made = 0
        if read_mark(path) != mark:
            cut(path, 0)
            append_lines(path, [{"mark": mark}])
            return
        for number, start, line in read_lines(path):
            record = _read_whole(line)
            if record is None:
                cut(path, start)
                break
            if number > 1:
                self._kept.append((start, record))

    def __len__(self) -> int:
        """Answers of an earlier attempt."""
        return len(self._kept)

    def restore(self, batch: Sequence[Question]) -> list[Record]:
        """The kept answers to this batch, where it was kept whole; else nothing, and what comes after is cut off."""
        found = self._kept[self._given : self._given + len(batch)]
        if [record["key"] for _, record in found] == [question.key for question in batch]:
            self._given += len(batch)
            return [record for _, record in found]
        if found:
            cut(self.path, found[0][0])
            del self._kept[self._given :]
        return []

    def append(self, records: Sequence[Record]) -> None:
        append_lines(self.path, records)
        self.made += len(records)


def read_mark(path: Path) -> str:
    """The mark of an answer file; empty where there is none."""
    try:
        with path.open("rb") as file:
            return str((_read_whole(file.readline(1000)) or {}).get("mark", ""))
    except OSError:
        return ""


def _read_whole(line: bytes) -> dict[str, Any] | None:
    """None for what a kill tore."""
    try:
        found = parse_json(line, "")
    except DataError:
        return None
    return found if line.endswith(b"\n") and isinstance(found, dict) else None


@dataclass(frozen=True)
class Asker:
    """truncation: as a run's: an answer that was cut off has reward 0 (`penalise`) or none (`mask`); None takes the
    rubric's word on it."""

    model: Answerer
    environment: Environment
    sampling: ResolvedSampling
    truncation: Literal["penalise", "mask"] | None = "penalise"

    def answer_all(
        self, questions: Sequence[Question], file: AnswerFile, on_batch: Callable[[int], None]
    ) -> list[Record]:
        """A record per question, in order; the file's, as far as it has them. on_batch: told how many came."""
        records: list[Record] = []
        for batch in split_batches(questions, self.model.batch_size):
            fresh = file.restore(batch)
            if not fresh:
                fresh = self.answer(batch)
                file.append(fresh)
            records += fresh
            on_batch(len(batch))
        return records

    def answer(self, batch: Sequence[Question]) -> list[Record]:
        """A record per question; all have one temperature."""
        sampling = replace(self.sampling, temperature=batch[0].temperature)
        prompts = [question.prompt for question in batch]
        answers = ask(self.model, sampling, prompts, [derive_seed(sampling.seed, q.key, 0) for q in batch])
        rows = judge_responses(self.environment, [question.example for question in batch], answers)
        read = self._count_read(prompts, answers)
        return [self._describe(*each) for each in zip(batch, rows, read, strict=True)]

    def _count_read(self, prompts: Sequence[Prompt], answers: Sequence[Answer]) -> Sequence[int | None]:
        """Prompt tokens; a server does not say."""
        encode = getattr(self.model, "encode", None)
        if encode is None:
            return [None] * len(prompts)
        given = encode([put_before(self.sampling.prefix, prompt) for prompt in prompts], self.sampling.instruction)
        return [len(ids) - answer.dropped for ids, answer in zip(given, answers, strict=True)]

    def _describe(self, question: Question, row: Row, read: int | None) -> Record:
        answer, reward = row.answer, row.judgement.reward
        if answer.finish == "length" and self.truncation is not None:  # one truth with training
            reward = 0.0 if self.truncation == "penalise" and reward is not None else None
        verdicts = [list(astuple(verdict)) for verdict in row.judgement.verdicts]
        return {
            "key": question.key,
            "arm": question.arm,
            "id": question.example.id,
            "draft": question.draft,
            "temperature": question.temperature,
            "prompt": write_as_text(question.prompt),
            "text": answer.text,
            "finish": answer.finish,
            "tokens": answer.tokens,
            "read": read,
            "reward": reward,
            "metric": row.judgement.metrics.get(self.environment.metrics[0].key),
            "extracted": row.extracted,
            "errors": list(row.errors),
            **({"verdicts": verdicts} if question.arm == DRAFT else {}),
        }


def split_batches(questions: Sequence[Question], size: int) -> Iterator[list[Question]]:
    """At most `size` each, in order, of one temperature."""
    batch: list[Question] = []
    for question in questions:
        if batch and (len(batch) >= size or question.temperature != batch[0].temperature):
            yield batch
            batch = []
        batch.append(question)
    if batch:
        yield batch


# ------------------------------------------------------------------------------------------------------------ questions
def list_drafts(examples: Sequence[Example], temperature: float) -> list[Question]:
    return [Question(e.id, DRAFT, e, e.prompt, temperature) for e in examples]


def find_failures(drafts: Sequence[Record], examples: Mapping[str, Example], think: Think) -> list[Failure]:
    """The drafts that were decided and have less than full reward. examples: by id."""
    return [
        Failure(
            draft["key"],
            examples[draft["id"]],
            show_response(draft["text"], think),
            tuple(Verdict(*verdict) for verdict in draft["verdicts"]),
        )
        for draft in drafts
        if draft["reward"] is not None and draft["reward"] < 1
    ]


def list_revisions(failures: Sequence[Failure], arms: Sequence[Arm], environment: Environment) -> list[Question]:
    """Arm by arm, so that a batch holds prompts of like length."""
    questions = []
    for arm in arms:
        for place, failure in enumerate(failures):
            prompt = write_request(arm, environment, failure, find_other(failures, place))
            if prompt is not None:
                keys = [f"{failure.key}|{arm.key}#{sample}" for sample in range(arm.samples)]
                asked = Question("", arm.key, failure.example, prompt, arm.temperature, failure.key)
                questions += [replace(asked, key=key) for key in keys]
    return questions


# --------------------------------------------------------------------------------------------------------------- copies
def is_copy(draft: Record, revision: Record) -> bool:
    """Does a revision repeat its draft: its text, or the final answer's text where that is a program or the like?"""
    ours, theirs = revision["extracted"], draft["extracted"]
    if revision["text"].strip() == draft["text"].strip():
        return True
    return ours is not None and theirs is not None and "\n" in ours.strip() and ours.strip() == theirs.strip()
