"""Our tasks in lm-eval, our files for lm-eval, and lm-eval's files for us: the numbers must be equal."""

import copy
import json
import os
import random
import warnings
from pathlib import Path

import pytest
import yaml

from herl_bench.cli import main
from herl_bench.evaluate import Evaluation, judge_responses, read_summary, sum_up, write_evaluation
from herl_bench.evaluate.bridge import bridge, column
from herl_bench.evaluate.files import criterion_column
from herl_bench.evaluate.stored import Stored, items_of
from herl_bench.locate import tasks_path
from herl_bench.types import Example

TASKS = ("gsm8k", "humaneval", "bbh")
LIMIT = 12

if "HERL_BENCH_DATA" not in os.environ:
    pytest.skip("needs the published files", allow_module_level=True)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    lm_eval = pytest.importorskip("lm_eval")
    from lm_eval.api.model import LM
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager
    from lm_eval.utils import make_table

pytestmark = pytest.mark.filterwarnings("ignore")  # lm-eval's own


class ReplayLM(LM):
    """Answers each document with what `responses` says for its id."""

    def __init__(self, responses):
        super().__init__()
        self.responses = responses

    def generate_until(self, requests, disable_tqdm=False):
        return [self.responses(r.doc) for r in requests]

    def loglikelihood(self, requests, disable_tqdm=False):
        raise NotImplementedError

    loglikelihood_rolling = loglikelihood


def replay(name):
    """The gold answer to about two documents in three, a part of it to the others."""

    def answer(doc):
        gold = bridge(name).task.gold(Example(doc["id"], doc["prompt"], doc["target"], json.loads(doc["info"])))
        return gold if random.Random(doc["id"]).random() < 0.67 else gold[: len(gold) // 2]

    return answer


@pytest.fixture(scope="module")
def manager():
    return TaskManager(include_path=[str(tasks_path())])


@pytest.fixture(scope="module", params=TASKS)
def outcome(request, manager):
    return request.param, lm_eval.simple_evaluate(
        model=ReplayLM(replay(request.param)), tasks=[f"herl_{request.param}"], task_manager=manager, limit=LIMIT, bootstrap_iters=10
    )


def ours(name, samples):
    b = bridge(name)
    place = os.environ["HERL_BENCH_DATA"]
    from herl_bench.cli.resolve import sandbox_of
    from herl_bench.data import open_eval
    from herl_bench.plugins import load_host

    examples = {e.id: e for e in open_eval(b.task, place, embedded=False, eval_items=None).eval}
    chosen = [examples[s["doc"]["id"]] for s in samples]
    with sandbox_of(load_host(), b.task) as sandbox:
        rows = judge_responses(b.task, b.rubric, b.metrics, chosen, [s["resps"][0][0] for s in samples], sandbox=sandbox)
    return b, rows, sum_up(rows, b.rubric, b.metrics)


def test_lm_eval_and_we_give_the_same_numbers(outcome):
    name, theirs = outcome
    b, rows, summary = ours(name, theirs["samples"][f"herl_{name}"])
    scores = theirs["results"][f"herl_{name}"]
    assert len(rows) == LIMIT
    pairs = [(column(m), summary.metrics[m.key]) for m in b.metrics]
    pairs += [(criterion_column(c), score) for c, score in summary.criteria.items() if score.items]
    for key, score in pairs:
        assert scores[f"{key},none"] == pytest.approx(score.value), key
        assert scores[f"{key}_stderr,none"] == pytest.approx(score.stderr), key
    assert 0 < summary.metrics[b.metrics[0].key].value < 1


def test_lm_eval_prints_our_results(outcome, tmp_path):
    name, theirs = outcome
    b, rows, summary = ours(name, theirs["samples"][f"herl_{name}"])
    results, samples = write_evaluation(
        Evaluation(tuple(rows), summary, {"temperature": 0.0}),
        tmp_path,
        task=b.task,
        rubric=b.rubric,
        metrics=b.metrics,
        model_name="replay",
    )
    written = json.loads(results.read_text())
    table = make_table(written)
    for key in [m.name for m in b.metrics] + [criterion_column(c.name) for c in b.rubric.criteria]:
        assert f"|{key}" in table
    missing = set(theirs) - set(written) - {"samples"}
    assert not missing, "keys of lm-eval's results that ours lack"
    assert set(theirs["config"]) <= set(written["config"])
    first = json.loads(samples.read_text().splitlines()[0])
    lacking = set(theirs["samples"][f"herl_{name}"][0]) - set(first)
    assert all(key in [column(m) for m in b.metrics] or key.startswith("criterion_") for key in lacking)
    assert read_summary(tmp_path)["items"] == LIMIT


def test_score_takes_lm_evals_own_samples_file(outcome, tmp_path, capsys):
    name, theirs = outcome
    tracker = EvaluationTracker(output_path=str(tmp_path))
    tracker.general_config_tracker.model_name_sanitized = "replay"
    tracker.date_id = "now"
    tracker.save_results_samples(f"herl_{name}", copy.deepcopy(theirs["samples"][f"herl_{name}"]))
    (path,) = tmp_path.rglob("samples_*.jsonl")
    for data in ([], ["--data", os.environ["HERL_BENCH_DATA"]]):
        with pytest.raises(SystemExit) as left:
            main(["score", str(path), "--task", name, "--format", "json", *data])
        assert left.value.code == 0
        scored = json.loads(capsys.readouterr().out)["metrics"]
        for metric in bridge(name).metrics:
            assert scored[metric.key]["value"] == pytest.approx(theirs["results"][f"herl_{name}"][f"{column(metric)},none"])


# ------------------------------------------------------------------------------------------- lm-eval's own tasks on the same answers
def messy_gsm8k(doc):
    number = doc["answer"].rpartition("#### ")[2]
    forms = ("#### {}", "#### ${}", "The answer is {}.", "#### {}.", "so {} dollars", "#### {}\n#### 7", "= {},000", "", "#### -{}", "####{}",
             "#### {} apples", "#### {}.00")  # fmt: skip
    return random.Random(doc["question"]).choice((doc["answer"], *(form.format(number) for form in forms)))


def messy_bbh(doc):
    forms = ("So the answer is {}.", "So the answer is {}", "The answer is {}.", "the answer is {}.\nthe answer is no.", "{}", "",
             "the answer is  {}.", "I think the answer is {}, surely.", "the answer is **{}**.")  # fmt: skip
    return random.Random(doc["input"]).choice(forms).format(doc["target"])


STOCK = {
    "gsm8k/gsm8k": (messy_gsm8k, {"train": "gsm8k/train.jsonl", "test": "gsm8k/test.jsonl"}, {}),
    "bbh/cot_fewshot/date_understanding": (messy_bbh, {"test": "bbh/date_understanding.json"}, {"field": "examples"}),
    "bbh/cot_fewshot/word_sorting": (messy_bbh, {"test": "bbh/word_sorting.json"}, {"field": "examples"}),
}


@pytest.mark.parametrize("stock", STOCK)
def test_lm_evals_own_task_agrees_item_by_item(stock, tmp_path):
    answer, files, more = STOCK[stock]
    name, folder = stock.split("/")[0], os.environ["HERL_BENCH_DATA"]
    spec = {
        "include": f"{os.path.dirname(lm_eval.__file__)}/tasks/{stock}.yaml",
        "task": "stock",
        "tag": None,
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": {k: f"{folder}/{v}" for k, v in files.items()}, "cache_dir": str(tmp_path), **more},
    }
    (tmp_path / "stock.yaml").write_text(yaml.safe_dump(spec))
    manager = TaskManager(include_path=[str(tmp_path)])
    theirs = lm_eval.simple_evaluate(
        model=ReplayLM(answer), tasks=["stock"], task_manager=manager, num_fewshot=0, limit=80, bootstrap_iters=10
    )
    b = bridge(name)
    items = items_of(b.task, Path(folder))
    for metric in b.metrics:
        rows = [s for s in theirs["samples"]["stock"] if s["filter"] == metric.filter]
        if metric.name != "exact_match" or not rows:
            continue
        examples = [items.find(Stored("", 0, 0, 0, s["doc_id"], (), s["doc"])) for s in rows]
        judged = judge_responses(b.task, b.rubric, b.metrics, examples, [s["resps"][0][0] for s in rows])
        for row, sample in zip(judged, rows, strict=True):
            assert row.judgement.metrics[metric.key] == sample["exact_match"], (row.response, sample["filtered_resps"], sample["target"])
        assert 0.2 < sum(s["exact_match"] for s in rows) / len(rows) < 0.8
