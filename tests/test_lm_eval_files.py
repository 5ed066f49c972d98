"""The task files for lm-eval name exactly what the bridge gives; lm-eval itself is not needed to see that."""

import json

import pytest
import yaml

from herl_bench.data import EVAL_SEED
from herl_bench.evaluate.bridge import bridge, documents, judged
from herl_bench.locate import tasks_path

TASKS = ("gsm8k", "humaneval", "bbh")


@pytest.mark.parametrize("name", TASKS)
def test_the_task_files_match_the_tasks(name):
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: node.value)
    spec = yaml.load((tasks_path() / name / f"herl_{name}.yaml").read_text(), Loader)
    b = bridge(name)
    assert {row["metric"]: row["higher_is_better"] for row in spec["metric_list"]} == b.columns
    assert spec["generation_kwargs"] == {"until": list(b.task.stop), "do_sample": False, "max_gen_toks": b.task.max_new_tokens}


@pytest.mark.filterwarnings("ignore")  # of the table library
def test_documents_survive_the_table_and_are_judged(monkeypatch):
    monkeypatch.delenv("HERL_BENCH_DATA", raising=False)
    task = bridge("gsm8k").task
    (first, *rest) = documents("gsm8k")(data="synthetic", pretrained="ignored")["test"]
    assert rest
    example = next(task.world.examples("eval", EVAL_SEED, task.world.difficulty))
    assert (first["id"], json.loads(first["info"])) == (example.id, json.loads(json.dumps(dict(example.info))))
    right, wrong = (judged("gsm8k")(first, [text]) for text in (task.gold(example), "no idea"))
    assert (right["exact_match_strict_match"], right["criterion_final_answer"]) == (1, 1)
    assert wrong["exact_match_strict_match"] == 0
    assert "criterion_steps_valid" not in wrong  # no steps, nothing to decide
