import gzip
import io
import json
import os
import signal
import threading
from itertools import islice

import pytest
import yaml
from helpers.evaluations import write_evaluation

from herl_bench.cli import main
from herl_bench.comparison.statistics import share_interval
from herl_bench.data.sources import EVAL_SEED
from herl_bench.errors import HerlBenchError
from herl_bench.evaluation.evaluate import Evaluation
from herl_bench.evaluation.judging import NO_TEMPLATE, judge_responses
from herl_bench.evaluation.rescore import Job, find_places, rescore
from herl_bench.evaluation.stored_responses import open_items
from herl_bench.evaluation.tally import sum_up
from herl_bench.experiment.resolve import find_metrics, find_rubric
from herl_bench.plugins import load_host
from herl_bench.types import Environment, Metric

HOST = load_host()
TASK = HOST.get("task", "gsm8k")
RUBRIC, METRICS = find_rubric(HOST, TASK), find_metrics(HOST, TASK)
STRICT = "exact_match,strict-match"
ITEMS = list(islice(TASK.world.examples("eval", EVAL_SEED, TASK.world.difficulty), 6))


def score(capsys, path, *args):
    with pytest.raises(SystemExit) as left:
        main(["score", str(path), "--task", "gsm8k", *args])
    out, err = capsys.readouterr()
    return left.value.code, out, err


def result(capsys, path, *args):
    code, out, err = score(capsys, path, "--format", "json", *args)
    assert code == 0, err
    return json.loads(out)


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    "row",
    [
        lambda i, e, text: {"id": e.id, "response": text},
        lambda i, e, text: {"task_id": e.id, "completion": text},
        lambda i, e, text: {"task_id": e.id, "solution": text},
        lambda i, e, text: {"doc_id": i, "resps": [[text]]},
        lambda i, e, text: {
            "doc_id": i,
            "doc": {"question": e.info["question"], "answer": e.target},
            "resps": [[text]],
        },
        lambda i, e, text: {
            "doc_id": 999 - i,
            "doc": {"question": e.info["question"], "answer": e.target},
            "resps": [[text]],
        },
    ],
)
def test_rows_of_many_kinds_go_in_as_they_are(capsys, tmp_path, row):
    path = write(tmp_path / "f.jsonl", [row(i, e, e.target if i < 3 else "no idea") for i, e in enumerate(ITEMS)])
    got = result(capsys, path, "--data", "synthetic")
    keys = [
        "task",
        "items",
        "available",
        "responses",
        "metrics",
        "criteria",
        "rates",
        "unparsed",
        "errors",
        "undecided",
        "shared",
        "problems",
    ]
    assert list(got) == keys
    assert got["rates"] == {"truncated": None, "empty": 0.0, "unparsed": 0.5, "timed_out": 0.0, "error_rate": 0.0}
    assert (got["task"], got["items"], got["unparsed"], got["errors"]) == ("gsm8k", 6, 3, 0)
    assert got["metrics"][STRICT] == {
        "value": 0.5,
        "stderr": pytest.approx((0.25 * 6 / 5 / 6) ** 0.5),
        "items": 6,
        "undecided": 0,
        "interval": list(share_interval(3, 6)),
    }
    assert set(got["criteria"]) == {c.name for c in RUBRIC.criteria}


def test_one_row_per_response_is_written(capsys, tmp_path):
    path = write(tmp_path / "f.jsonl", [{"id": e.id, "response": e.target} for e in ITEMS])
    result(capsys, path, "--data", "synthetic", "--output_path", str(tmp_path / "out.jsonl"))
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(r["id"], r["line"]) for r in rows] == [(e.id, i + 1) for i, e in enumerate(ITEMS)]
    assert all(r["metrics"][STRICT] == 1 and r["criteria"]["final_answer"] for r in rows)


def test_our_own_samples_give_their_own_summary(capsys, tmp_path):
    rows = judge_responses(
        Environment(TASK, RUBRIC, NO_TEMPLATE, METRICS),
        ITEMS,
        [e.target if i % 2 else "4" for i, e in enumerate(ITEMS)],
    )
    summary = sum_up(rows, RUBRIC, METRICS)
    _, samples = write_evaluation(
        Evaluation(tuple(rows), summary), tmp_path, Environment(TASK, RUBRIC, NO_TEMPLATE, METRICS), model_name="m"
    )
    got = result(capsys, samples)
    assert got["items"] == len(ITEMS)
    assert {k: v["value"] for k, v in got["metrics"].items()} == {k: v.value for k, v in summary.metrics.items()}
    assert got["criteria"] == {k: v.value for k, v in summary.criteria.items()}


def test_rollouts_find_their_items_by_the_settings_of_their_run(capsys, tmp_path):
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump({"task": "gsm8k", "data": "synthetic", "seed": 3, "difficulty": 0.2})
    )
    (tmp_path / "manifest.json").write_text("{}")
    trained = list(islice(TASK.world.examples("train", 3, 0.2), 4))
    rows = [
        {"step": s, "kind": kind, "id": e.id, "response": e.target if kind == "revision" else ""}
        for s, e in enumerate(trained)
        for kind in ("plain", "revision")
    ]
    got = result(capsys, write(tmp_path / "rollouts.jsonl", rows))
    assert (got["items"], got["metrics"][STRICT]["value"]) == (4, 0.5)


def test_a_runs_rubric_is_used_again(capsys, tmp_path):
    (tmp_path / "brief.yaml").write_text(
        "name: brief\ncriteria:\n  - {name: brief, text: Be brief., check: max_words, with: {words: 2}}\n"
    )
    settings = {"task": "gsm8k", "data": "synthetic", "rubric": str(tmp_path / "brief.yaml")}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "manifest.json").write_text("{}")
    path = write(tmp_path / "f.jsonl", [{"id": ITEMS[0].id, "response": "#### 4"}])
    assert result(capsys, path)["criteria"] == {"brief": 1.0}
    assert set(result(capsys, path, "--rubric", "gsm8k")["criteria"]) == {c.name for c in RUBRIC.criteria}


def test_code_is_run_in_the_sandbox(capsys, tmp_path):
    task = HOST.get("task", "humaneval")
    items = list(islice(task.world.examples("eval", EVAL_SEED, task.world.difficulty), 3))
    written = [items[0].target, "    return\n", "    while True: pass\n"]
    path = write(
        tmp_path / "f.jsonl", [{"task_id": e.id, "completion": text} for e, text in zip(items, written, strict=True)]
    )
    with pytest.raises(SystemExit) as left:
        main(["score", str(path), "--task", "humaneval", "--data", "synthetic", "--format", "json"])
    out, err = capsys.readouterr()
    if left.value.code == 3:
        pytest.skip(err)
    got = json.loads(out)
    assert got["errors"] == 0
    assert got["rates"]["timed_out"] == pytest.approx(1 / 3)
    assert all(m["value"] == pytest.approx(1 / 3) for m in got["metrics"].values())
    assert "33.3% of the responses are programs that did not end in time; they count as wrong" in err


def test_several_processes_give_what_one_gives(capsys, tmp_path):
    stream = TASK.world.examples("eval", EVAL_SEED, TASK.world.difficulty)
    rows = [{"id": e.id, "response": e.target if i % 3 else f"{i}"} for i, e in enumerate(islice(stream, 1600))]
    path, made = write(tmp_path / "f.jsonl", rows), {}
    for jobs in ("1", "3"):
        out = tmp_path / f"{jobs}.jsonl"
        made[jobs] = (
            result(capsys, path, "--data", "synthetic", "--jobs", jobs, "--output_path", str(out)),
            out.read_bytes(),
        )
    assert made["1"] == made["3"]
    assert [json.loads(line)["line"] for line in made["3"][1].splitlines()] == list(range(1, 1601))


def test_a_process_that_is_killed_is_one_line(tmp_path, monkeypatch):
    """As the system kills one for lack of memory."""
    path = write(tmp_path / "f.jsonl", [{"id": ITEMS[0].id, "response": "4"}] * 1100)
    killer = Metric("kill", lambda e, r: os.kill(os.getpid(), signal.SIGKILL) or 0.0)
    _, places = find_places(path, lambda: open_items(TASK, "synthetic"), own=False, allow_duplicates=True)
    with pytest.raises(HerlBenchError, match="was killed"):
        list(rescore(Job(path, places, Environment(TASK, RUBRIC, NO_TEMPLATE, [killer])), 2))


def test_two_answers_to_one_item_are_an_error_unless_allowed(capsys, tmp_path):
    path = write(tmp_path / "f.jsonl", [{"id": ITEMS[0].id, "response": text} for text in (ITEMS[0].target, "no")])
    code, _, err = score(capsys, path, "--data", "synthetic")
    assert code == 2
    assert f"{path}:2: " in err
    assert "in line 1" in err
    strict = result(capsys, path, "--data", "synthetic", "--allow_duplicates")["metrics"][STRICT]
    assert strict == {"value": 0.5, "stderr": None, "items": 1, "undecided": 0, "interval": None}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id": "x", "respo', ":1: not JSON, perhaps cut off"),
        ("[1]\n", ":1: a row is a JSON object, not int"),
        ('[{"id": "x"},\n', "it begins as a JSON array: write a whole one, or one JSON object per line"),
        ('"x"\n', ":1: a row is a JSON object, not str"),
        ("[" * 100_000, ": JSON that is more than 100 levels deep"),
        ('{"id": ' * 100_000, ":1: JSON that is more than 100 levels deep"),
        (
            '{"response": "4"}\n',
            ": no ids: rows need one of id, task_id, doc_id; without any there is one row per item",
        ),
        ('{"id": "x", "response": "4"}\n{"response": "4"}\n', ":1: no item 'x'"),
        ('{"id": "x"}\n', ":1: no response: a row needs one of response, completion, resps, solution"),
        ('{"id": "x", "response": 4}\n', ":1: response must be a text, not int"),
        ('{"doc_id": 0, "resps": [[-1.5, true]]}\n', ":1: resps must hold texts"),
        ('\n{"doc_id": 10000000, "response": "4"}\n', ":2: no item 10000000"),
        (
            '{"doc_id": 0, "doc": {"question": "What is the capital of France?"}, "resps": [["4"]]}\n',
            ":1: 0 in the synthetic world is another",
        ),
        ("\n", ": no rows in it"),
        ("\udcff", "not UTF-8"),
    ],
)
def test_bad_rows_are_one_line_with_file_and_line(capsys, tmp_path, text, message):
    path = tmp_path / "f.jsonl"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    code, out, err = score(capsys, path, "--data", "synthetic")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"{path}{message}" in err or message in err


@pytest.fixture
def folder(tmp_path):
    """Published files with two test items, whose reference answers are 5 and 6."""
    (tmp_path / "data" / "gsm8k").mkdir(parents=True)
    for name, numbers in (("test", (5, 6)), ("train", (7,))):
        rows = [
            {"question": f"What comes before {n + 1}, and after {n - 1}?", "answer": f"It is {n}.\n#### {n}"}
            for n in numbers
        ]
        write(tmp_path / "data" / "gsm8k" / f"{name}.jsonl", rows)
    return str(tmp_path / "data")


ANSWERS = [{"response": "#### 5"}, {"response": "#### 0"}]


def test_a_file_may_be_packed_or_an_array_or_a_pipe(capsys, tmp_path, folder, monkeypatch):
    rows = [{"id": f"gsm8k/test/{i}", **row} for i, row in enumerate(ANSWERS)]
    plain = write(tmp_path / "plain.jsonl", rows)
    (tmp_path / "array.json").write_text(" \ufeff\n"[2:] + json.dumps(rows, indent=1))
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    (tmp_path / "array.json.gz").write_bytes(gzip.compress((tmp_path / "array.json").read_bytes()))
    wanted = result(capsys, plain, "--data", folder)
    assert wanted["metrics"][STRICT]["value"] == 0.5
    for name in ("array.json", "packed.jsonl.gz", "array.json.gz"):
        assert result(capsys, tmp_path / name, "--data", folder) == wanted
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(
        target=lambda: (tmp_path / "pipe").write_bytes((tmp_path / "packed.jsonl.gz").read_bytes())
    )
    writer.start()
    assert result(capsys, tmp_path / "pipe", "--data", folder) == wanted
    writer.join()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(plain.read_bytes())))
    assert result(capsys, "-", "--data", folder) == wanted


def test_rows_without_ids_are_the_items_in_order(capsys, tmp_path, folder):
    assert result(capsys, write(tmp_path / "f.jsonl", ANSWERS), "--data", folder)["metrics"][STRICT]["value"] == 0.5
    code, _, err = score(capsys, write(tmp_path / "f.jsonl", [*ANSWERS, ANSWERS[0]]), "--data", folder)
    assert (code, "has 2 items, the file more rows" in err) == (2, True)
    assert (
        "has 2 items, the file only 1 rows"
        in score(capsys, write(tmp_path / "f.jsonl", ANSWERS[:1]), "--data", folder)[2]
    )
    mixed = write(tmp_path / "f.jsonl", [{"id": "gsm8k/test/0", **ANSWERS[0]}, ANSWERS[1]])
    assert "f.jsonl:2: no id: a row needs one of id" in score(capsys, mixed, "--data", folder)[2]


@pytest.mark.parametrize("cut", [20, -8, -1])
def test_a_packed_file_that_is_not_whole_is_named(capsys, tmp_path, cut):
    packed = gzip.compress(json.dumps({"id": "x", "response": "4" * 5000}).encode())
    (tmp_path / "f.jsonl.gz").write_bytes(packed[:cut])
    code, _, err = score(capsys, tmp_path / "f.jsonl.gz")
    assert (code, err.count("\n")) == (2, 1)
    assert "f.jsonl.gz: not a whole gzip file: " in err


def test_a_folder_is_answered_with_the_file_in_it(capsys, tmp_path):
    (tmp_path / "samples_gsm8k_2026.jsonl").touch()
    assert f"did you mean {tmp_path}/samples_gsm8k_2026.jsonl?" in score(capsys, tmp_path)[2]


def test_files_that_cannot_be_used_are_named(capsys, tmp_path):
    assert "No such file" in score(capsys, tmp_path / "gone.jsonl")[2]
    path = write(tmp_path / "f.jsonl", [{"id": ITEMS[0].id, "response": "4"}])
    assert score(capsys, path, "--output_path", str(tmp_path))[0] == 2
    (tmp_path / "file").touch()
    code, _, err = score(capsys, path, "--data", "synthetic", "--output_path", str(tmp_path / "file" / "out.jsonl"))
    assert (code, err.count("\n")) == (1, 1)
