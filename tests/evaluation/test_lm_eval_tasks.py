"""The task files for lm-eval name exactly what the bridge gives; lm-eval itself is not needed to see that."""

import json
import os
from pathlib import Path

import pytest
import yaml
from helpers.evaluations import list_columns
from herl_bench_bbh.data import SUBTASKS, read_all
from herl_bench_bbh.solvers import solve
from herl_bench_bbh.world import KINDS, read_answer, write_prompt

from herl_bench.data.sources import EVAL_SEED
from herl_bench.evaluation.lm_eval_tasks import find_environment, judge_results, offer_documents
from herl_bench.locate import tasks_path
from herl_bench.rubric import judge
from herl_bench.types import Example

FILES = {"gsm8k": "herl_gsm8k.yaml", "humaneval": "herl_humaneval.yaml", "bbh": "_herl_bbh_base"}


class Loader(yaml.SafeLoader):
    pass


Loader.add_constructor("!function", lambda loader, node: node.value)


def read(path):
    return yaml.load((tasks_path() / path).read_text(), Loader)


@pytest.mark.parametrize("name", FILES)
def test_the_task_files_match_the_tasks(name):
    spec, b = read(f"{name}/{FILES[name]}"), find_environment(name)
    assert {row["metric"]: row["higher_is_better"] for row in spec["metric_list"]} == list_columns(b)
    assert spec["generation_kwargs"] == {
        "until": list(b.task.stop),
        "do_sample": False,
        "max_gen_toks": b.task.max_new_tokens,
    }


@pytest.mark.parametrize(
    ("group", "families"), [("herl_bbh", SUBTASKS), ("herl_bbh_synthetic", sorted({k.family for k in KINDS}))]
)
def test_a_group_holds_its_subtasks_and_sums_up_every_column(group, families):
    spec = read(f"bbh/{group}.yaml")
    assert spec["task"] == [f"herl_bbh_{family}" for family in families]
    assert {row["metric"] for row in spec["aggregate_metric_list"]} == set(list_columns(find_environment("bbh")))


def shots(family):
    return read(f"bbh/herl_bbh_{family}.yaml")["fewshot_config"]["samples"]


@pytest.mark.parametrize("family", SUBTASKS)
def test_our_worked_examples_are_right(family):
    """By our own rubric; where the solver knows the family, its answer is the target and the steps count."""
    b = find_environment("bbh")
    for shot in shots(family):
        question, solution = shot["input"], shot["target"]
        answer = read_answer(solution)
        solved = solve(family, question)
        assert solved in (answer, None), question
        example = Example(
            "shot",
            write_prompt(question),
            answer,
            {"input": question, "family": family, "solution": solution if solved else ""},
        )
        (judgement,) = judge([example], [solution], b.rubric, b.metrics)
        assert (judgement.reward, judgement.errors, set(judgement.metrics.values())) == (1, (), {1.0}), (
            judgement.verdicts
        )
        assert not solved or (judgement.criteria["steps_valid"] and judgement.criteria["steps_match"]), question


@pytest.mark.skipif("HERL_BENCH_DATA" not in os.environ, reason="needs the published files")
def test_no_worked_example_is_an_item():
    published = {" ".join(e.info["input"].split()) for e in read_all(Path(os.environ["HERL_BENCH_DATA"]))}
    assert [
        shot["input"] for family in SUBTASKS for shot in shots(family) if " ".join(shot["input"].split()) in published
    ] == []


@pytest.mark.filterwarnings("ignore")  # of the table library
def test_documents_survive_the_table_and_are_judged(monkeypatch):
    monkeypatch.delenv("HERL_BENCH_DATA", raising=False)
    task = find_environment("gsm8k").task
    (first, *rest) = offer_documents("gsm8k")(data="synthetic", pretrained="ignored")["test"]
    assert rest
    example = next(task.world.examples("eval", EVAL_SEED, task.world.difficulty))
    assert (first["id"], json.loads(first["info"])) == (example.id, json.loads(json.dumps(dict(example.info))))
    right, wrong = (judge_results("gsm8k")(first, [text]) for text in (task.gold(example), "no idea"))
    assert (right["exact_match_strict_match"], right["criterion_final_answer"]) == (1, 1)
    assert wrong["exact_match_strict_match"] == 0
    assert "criterion_steps_valid" not in wrong  # no steps, nothing to decide
