"""A probe's answers are kept by whole batches, and a cut-off one is worth what training pays for it."""

from dataclasses import replace
from itertools import islice

import pytest

from herl_bench.evaluation.probe_answers import AnswerFile, Asker, Question, find_failures, is_copy, list_drafts
from herl_bench.policy.answerer import Answer, ResolvedSampling
from herl_bench.testing import TOY_METRIC, TOY_RUBRIC, TOY_TASK, TOY_TEMPLATE
from herl_bench.types import Environment

EXAMPLES = list(islice(TOY_TASK.world.examples("train", 0, 0.5), 5))
ENVIRONMENT = Environment(TOY_TASK, TOY_RUBRIC, TOY_TEMPLATE, [TOY_METRIC])


class Author:
    """Gives every problem's right answer, and counts how often it was asked."""

    name, identity, batch_size, chat = "author", {}, 2, False

    def __init__(self, finish="eos"):
        self.finish, self.batches = finish, 0

    def answer(self, prompts, seeds, sampling, on_answers):
        self.batches += 1
        answers = {example.prompt: example.target for example in EXAMPLES}
        return [Answer(answers[prompt], self.finish, 3) for prompt in prompts]


def draft(author, path, truncation="penalise", mark="m"):
    asker = Asker(author, ENVIRONMENT, ResolvedSampling(6, seed=0), truncation)
    return asker.answer_all(list_drafts(EXAMPLES, 1.0), AnswerFile(path, mark), lambda count: None)


def test_what_was_kept_is_not_asked_again(tmp_path):
    path = tmp_path / "answers.jsonl"
    records = draft(Author(), path)
    whole = path.read_bytes()
    for kept, batches in ((len(whole), 0), (len(whole) - 3, 1), (whole.index(b"\n") + 20, 3)):
        path.write_bytes(whole[:kept])
        author = Author()
        assert draft(author, path) == records
        assert author.batches == batches
        assert path.read_bytes() == whole
    author = Author()
    draft(author, path, mark="another")
    assert author.batches == 3


@pytest.mark.parametrize(("truncation", "reward", "failures"), [("penalise", 0.0, 5), ("mask", None, 0)])
def test_a_cut_off_answer_is_worth_what_training_pays(tmp_path, truncation, reward, failures):
    records = draft(Author("length"), tmp_path / "answers.jsonl", truncation)
    assert {record["reward"] for record in records} == {reward}
    assert {record["metric"] for record in records} == {1.0}
    assert len(find_failures(records, {e.id: e for e in EXAMPLES}, "drop")) == failures


def test_batches_have_one_temperature(tmp_path):
    questions = list_drafts(EXAMPLES, 1.0)
    cooler = [replace(question, key=f"{question.key}|cool", temperature=0.7) for question in questions]
    author = Author()
    asker = Asker(author, ENVIRONMENT, ResolvedSampling(6, seed=0))
    asker.answer_all([*questions, *cooler], AnswerFile(tmp_path / "answers.jsonl", "m"), lambda count: None)
    assert author.batches == 6
    assert isinstance(questions[0], Question)


def test_a_copy_is_the_text_or_the_program_again():
    program = {"text": "Here: ```x\ny```", "extracted": "x\ny"}
    assert is_copy(program, {"text": "Again: ```x\ny```", "extracted": "x\ny"})
    assert is_copy({"text": " 3", "extracted": "3"}, {"text": "3 ", "extracted": "3"})
    assert not is_copy({"text": "1 + 2 = 3", "extracted": "3"}, {"text": "2 + 1 = 3", "extracted": "3"})
