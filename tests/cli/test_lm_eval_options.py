"""Our tasks in lm-eval, our files for lm-eval, and lm-eval's files for us: the numbers must be equal."""

import copy
import json
import os
import random
import warnings
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from helpers.evaluations import list_columns, write_evaluation

from herl_bench.cli import main
from herl_bench.errors import DataError
from herl_bench.evaluation.evaluate import Evaluation
from herl_bench.evaluation.judging import judge_responses
from herl_bench.evaluation.lm_eval_tasks import find_environment, name_column, offer_documents
from herl_bench.evaluation.result_files import criterion_column, read_summary
from herl_bench.evaluation.tally import sum_up
from herl_bench.locate import tasks_path
from herl_bench.policy.answerer import ResolvedSampling
from herl_bench.types import Example

TASKS = {
    "gsm8k": "herl_gsm8k",
    "humaneval": "herl_humaneval",
    "bbh": "herl_bbh_tracking_shuffled_objects_three_objects",
}
LIMIT = 12

if "HERL_BENCH_DATA" not in os.environ:
    pytest.skip("needs the published files", allow_module_level=True)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import lm_eval
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
        gold = find_environment(name).task.gold(
            Example(doc["id"], doc["prompt"], doc["target"], json.loads(doc["info"]))
        )
        return gold if random.Random(doc["id"]).random() < 0.67 else gold[: len(gold) // 2]

    return answer


@pytest.fixture(scope="module")
def manager():
    return TaskManager(include_defaults=False, include_path=[str(tasks_path())])


@pytest.fixture(scope="module", params=TASKS)
def outcome(request, manager):
    return request.param, lm_eval.simple_evaluate(
        model=ReplayLM(replay(request.param)),
        tasks=[TASKS[request.param]],
        task_manager=manager,
        limit=LIMIT,
        bootstrap_iters=10,
    )


def ours(name, samples):
    b = find_environment(name)
    place = os.environ["HERL_BENCH_DATA"]
    from herl_bench.data.sources import open_eval
    from herl_bench.experiment.resolve import open_sandbox
    from herl_bench.plugins import load_host

    examples = {e.id: e for e in open_eval(b.task, place, embedded=False, eval_items=None).eval}
    chosen = [examples[s["doc"]["id"]] for s in samples]
    with open_sandbox(load_host(), b.task) as sandbox:
        rows = judge_responses(replace(b, sandbox=sandbox), chosen, [s["resps"][0][0] for s in samples])
    return b, rows, sum_up(rows, b.rubric, b.metrics)


def test_lm_eval_and_we_give_the_same_numbers(outcome):
    name, theirs = outcome
    b, rows, summary = ours(name, theirs["samples"][TASKS[name]])
    scores = theirs["results"][TASKS[name]]
    assert len(rows) == LIMIT
    pairs = [(name_column(m), summary.metrics[m.key]) for m in b.metrics]
    pairs += [(criterion_column(c), score) for c, score in summary.criteria.items() if score.items]
    for key, score in pairs:
        assert scores[f"{key},none"] == pytest.approx(score.value), key
        assert scores[f"{key}_stderr,none"] == pytest.approx(score.stderr), key
    assert 0 < summary.metrics[b.metrics[0].key].value < 1


def test_lm_eval_prints_our_results(outcome, tmp_path):
    name, theirs = outcome
    b, rows, summary = ours(name, theirs["samples"][TASKS[name]])
    results, samples = write_evaluation(
        Evaluation(tuple(rows), summary, ResolvedSampling()), tmp_path, b, model_name="replay"
    )
    written = json.loads(results.read_text())
    table = make_table(written)
    for key in [m.name for m in b.metrics] + [criterion_column(c.name) for c in b.rubric.criteria]:
        assert f"|{key}" in table
    missing = set(theirs) - set(written) - {"samples"}
    assert not missing, "keys of lm-eval's results that ours lack"
    assert set(theirs["config"]) <= set(written["config"])
    first = json.loads(samples.read_text().splitlines()[0])
    lacking = set(theirs["samples"][TASKS[name]][0]) - set(first)
    assert all(key in [name_column(m) for m in b.metrics] or key.startswith("criterion_") for key in lacking)
    assert read_summary(tmp_path)["items"] == LIMIT


def test_score_takes_lm_evals_own_samples_file(outcome, tmp_path, capsys):
    name, theirs = outcome
    tracker = EvaluationTracker(output_path=str(tmp_path))
    tracker.general_config_tracker.model_name_sanitized = "replay"
    tracker.date_id = "now"
    tracker.save_results_samples(TASKS[name], copy.deepcopy(theirs["samples"][TASKS[name]]))
    (path,) = tmp_path.rglob("samples_*.jsonl")
    for data in ([], ["--data", os.environ["HERL_BENCH_DATA"]]):
        with pytest.raises(SystemExit) as left:
            main(["score", str(path), "--task", name, "--format", "json", *data])
        assert left.value.code == 0
        scored = json.loads(capsys.readouterr().out)["metrics"]
        for metric in find_environment(name).metrics:
            assert scored[metric.key]["value"] == pytest.approx(
                theirs["results"][TASKS[name]][f"{name_column(metric)},none"]
            )


def test_num_fewshot_takes_worked_examples_from_the_training_split(manager):
    outcome = lm_eval.simple_evaluate(
        model=ReplayLM(lambda doc: doc["target"]),
        tasks=["herl_gsm8k"],
        task_manager=manager,
        limit=2,
        num_fewshot=3,
        bootstrap_iters=0,
    )
    training = {e.prompt for e in find_environment("gsm8k").task.read(Path(os.environ["HERL_BENCH_DATA"]), "train")}
    for row in outcome["samples"]["herl_gsm8k"]:
        *shots, question = row["arguments"][0][0].split("\n\n")
        assert len(shots) == 3
        assert question == row["doc"]["prompt"]
        assert all(shot[: shot.index("\nAnswer:") + len("\nAnswer:")] in training for shot in shots)
    assert outcome["results"]["herl_gsm8k"]["exact_match_strict_match,none"] == 1
    assert outcome["n-shot"]["herl_gsm8k"] == 3


@pytest.mark.parametrize("place", ["synthetic", "files"])
def test_the_bbh_group_has_every_column_and_three_worked_examples(place):
    folder = os.environ["HERL_BENCH_DATA"] if place == "files" else place
    group = "herl_bbh" if place == "files" else "herl_bbh_synthetic"
    manager = TaskManager(include_defaults=False, include_path=[str(tasks_path())], metadata={"data_dir": folder})
    outcome = lm_eval.simple_evaluate(
        model=ReplayLM(lambda doc: replay("bbh")(doc) if len(doc["id"]) % 2 else ""),
        tasks=[group],
        task_manager=manager,
        limit=2,
        bootstrap_iters=0,
    )
    assert len(outcome["group_subtasks"][group]) == (27 if place == "files" else len(outcome["samples"]))
    unshown = (
        {"criterion_steps_valid", "criterion_steps_match"} if place == "files" else set()
    )  # the published answers come without steps
    assert {f"{column},none" for column in set(list_columns(find_environment("bbh"))) - unshown} <= set(
        outcome["groups"][group]
    )
    for name, rows in outcome["samples"].items():
        assert rows[0]["arguments"][0][0].count("So the answer is") == 3, name
        assert all(
            "synthetic" in folder or row["doc"]["id"].startswith(f"bbh/{name.removeprefix('herl_bbh_')}/")
            for row in rows
        )
    assert make_table(outcome, "groups")


def test_a_family_that_the_world_lacks_is_named():
    with pytest.raises(DataError, match="no items of snarks: it has boolean_expressions"):
        offer_documents("bbh")(data_dir="synthetic", family="snarks")


def test_lm_eval_finds_and_validates_all_files(tmp_path):
    """As its command does, with the folder that ours prints."""
    names = [path.stem for path in tasks_path().rglob("herl_*.yaml")]
    assert len(names) == 2 + 2 + 27
    assert sorted(TaskManager(include_defaults=False, include_path=str(tasks_path())).match_tasks(names)) == sorted(
        names
    )
    (group,) = [e for e in entry_points(group="lm_eval.tasks") if e.name == "herl_bench"]
    assert group.load()() == tasks_path()
