"""What stands beside a score on the command line: intervals, coverage, what was undecided or shared, and why. A plugin
in process, real models."""

import json
import math
import types as modules
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from helpers.evaluations import write_evaluation

from herl_bench import Criterion, Example, HindsightTemplate, Method, Metric, Rubric, SandboxProvider, Task, hookimpl
from herl_bench.cli import cli, run_command
from herl_bench.cli.output import open_console
from herl_bench.cli.score_tables import find_interval, make_score_table
from herl_bench.comparison.finished_runs import read_run
from herl_bench.comparison.statistics import share_interval
from herl_bench.errors import UsageError
from herl_bench.evaluation.evaluate import Evaluation
from herl_bench.evaluation.judging import NO_TEMPLATE, judge_responses
from herl_bench.evaluation.scores import mean_and_stderr
from herl_bench.evaluation.tally import sum_up
from herl_bench.experiment.resolve import find_metrics, find_rubric, find_sandbox
from herl_bench.plugins import Plugin, load_host
from herl_bench.sweep.cells import find_difference
from herl_bench.types import Environment


def read(directory, split):
    for i, line in enumerate((Path(directory) / "convert.jsonl").read_text().splitlines()):
        row = json.loads(line)
        yield Example(f"convert/{split}/{i}", f"{split} {row['q']}", row["a"], {"unit": row["q"][-1:]})


def convert(*, right=lambda e, r: r == e.target, score=lambda e, r: float(r == e.target), read=read):
    """A host with a plugin whose check and metric are these."""
    task = Task(
        "convert",
        "Units.",
        read,
        None,
        {"test": lambda d: read(d, "eval")},
        lambda e: e.target,
        lambda e, r: r or None,
        "convert",
        "convert",
        ("convert/acc",),
        max_new_tokens=4,
    )
    module = modules.ModuleType("herl_convert")
    module.tasks = hookimpl(specname="herl_tasks")(lambda: [task])
    criteria = (
        Criterion("right", "Be right.", right, needs_reference=True),
        Criterion("brief", "Be brief.", lambda e, r: np.bool_(len(r) < 9)),
    )
    module.rubrics = hookimpl(specname="herl_rubrics")(lambda: [Rubric("convert", criteria)])
    module.templates = hookimpl(specname="herl_hindsight_templates")(
        lambda: [HindsightTemplate("convert", "{{ unmet|length }} unmet", "{{ example.prompt }} {{ guidance }}")]
    )
    module.metrics = hookimpl(specname="herl_metrics")(lambda: [Metric("acc", score, id="convert/acc")])
    host = load_host()
    host.manager.register(module, name="convert")
    host.plugins.append(Plugin("convert", "herl-convert", "1", ""))
    return host


def command(capsys, host, *args):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("herl_bench.experiment.train.load_host", lambda: host)  # a run finds its plugins itself
        code = run_command(lambda: cli.main([str(a) for a in args], "herl-bench", standalone_mode=False, obj=host))
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    rows = [{"q": f"{i} km in m", "a": f"{i}000 m"} for i in range(6)]
    (tmp_path / "data" / "convert.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "data"


def responses(path, texts):
    """One response each to the first items; several where a list stands."""
    rows = [
        {"id": f"convert/eval/{i}", "response": t}
        for i, given in enumerate(texts)
        for t in ([given] if isinstance(given, str) else given)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def boom(example, response):
    raise ValueError(f"no unit in {response!r}\x1b[31m")


def test_an_interval_where_all_are_wrong_or_right_and_none_of_what_is_no_share():
    for right in (0, 3, 12):
        score = vars(mean_and_stderr([1.0] * right + [0.0] * (12 - right)))
        assert find_interval(score) == share_interval(right, 12)
    assert find_interval(vars(mean_and_stderr([0.0]))) == share_interval(0, 1)
    for values in ([], [0.5], [0.25, 0.75, 1.0], [3.0, 4.0], [0.5, 0.5], [0.0, 0.5, 1.0]):
        assert find_interval(vars(mean_and_stderr(values))) is None


def test_part_of_the_items_is_said_and_can_be_refused(capsys, tmp_path, data):
    file = responses(tmp_path / "f.jsonl", ["wrong", "no"])
    host = convert()
    code, out, _ = command(capsys, host, "score", file, "--task", "convert", "--data", data)
    line = next(row for row in out.splitlines() if "acc,none" in row)
    assert (code, "2 of 6" in line, "0.0000 [0.0000, 0.6576]" in line) == (0, True, True)
    code, out, _ = command(capsys, host, "score", file, "--task", "convert", "--data", data, "--format", "json")
    got = json.loads(out)
    assert (got["items"], got["available"], got["metrics"]["acc,none"]["stderr"]) == (2, 6, 0.0)
    assert got["metrics"]["acc,none"]["interval"] == list(share_interval(0, 2))
    code, out, err = command(capsys, host, "score", file, "--task", "convert", "--data", data, "--require_all")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "answers 2 of 6 items" in err
    assert "convert/eval/2, convert/eval/3, convert/eval/4, convert/eval/5 missing" in err
    whole = responses(tmp_path / "whole.jsonl", ["x"] * 6)
    assert command(capsys, host, "score", whole, "--task", "convert", "--data", data, "--require_all")[0] == 0


@pytest.mark.parametrize("width", [100, 80, 60])
def test_a_name_that_is_too_long_for_the_screen_is_not_cut(capsys, width):
    table = make_score_table("gsm8k", "before", "after", "change")
    table.add_row("exact_match,strict-match", "0.380 [0.316, 0.449]", "0.510 [0.441, 0.578]", "+0.130")
    open_console(width=width).print(table)
    names = [line.split("│")[1].strip() for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert "".join(names) == "exact_match,strict-match"


def test_a_column_for_what_is_undecided_stands_only_where_something_is(capsys, tmp_path, data):
    for check, columns in ((lambda e, r: r == e.target, 4), (lambda e, r: None, 5)):
        file = responses(tmp_path / "r.jsonl", ["0000 m", "x"])
        code, out, _ = command(capsys, convert(right=check), "score", file, "--task", "convert", "--data", data)
        assert [line.count("┃") for line in out.splitlines() if "value" in line] == [columns]
    assert code == 1


def test_undecided_in_a_table_with_what_was_raised_where_and_how_often(capsys, tmp_path, data):
    def right(example, response):
        if response == "odd":
            raise KeyError("unit")
        return response == example.target

    file = responses(tmp_path / "f.jsonl", ["0000 m", "odd", "odd", "x"])
    host = convert(right=right, score=lambda e, r: {"0000 m": 1.0, "x": 0.0}[r])
    code, out, err = command(capsys, host, "score", file, "--task", "convert", "--data", data)
    assert code == 0
    metric, criterion = (next(row for row in out.splitlines() if name in row) for name in ("acc,none", " right "))
    assert "2 of 4 undecided" in metric
    assert "0.2500" in metric
    assert "0.5000" in criterion
    assert "2 of 4 undecided" in criterion
    assert f"criterion right ({__name__}.test_undecided" in err
    assert "KeyError: 'unit', in 2 of 4 responses" in err
    assert f"metric acc,none ({__name__}." in err


@pytest.mark.parametrize("broken", [{"score": boom}, {"right": boom}], ids=["metric", "check"])
def test_where_nothing_can_be_judged_it_says_why_and_fails(capsys, tmp_path, data, checkpoint, broken):
    host = convert(**broken)
    file = responses(tmp_path / "f.jsonl", list("abcdef"))
    for args in (
        ("score", file, "--task", "convert", "--data", data),
        ("eval", "--tasks", "convert", "--model", checkpoint, "--data", data, "--max_new_tokens", 3),
    ):
        code, _, err = command(capsys, host, *args)
        assert code == 1
        last = err.splitlines()[-1]
        assert "none of the 6 responses was given or could be judged" in last
        assert f"({__name__}.boom): ValueError: no unit in" in last
        assert "in 6 of 6 responses" in last
        assert "\x1b" not in err


def test_a_budget_that_pays_for_no_step_is_said(capsys, tmp_path, data, checkpoint):
    code, out, err = command(
        capsys,
        convert(read=apart),
        "run",
        "--task",
        "convert",
        "--model",
        checkpoint,
        "--data",
        data,
        "--budget",
        3,
        "--method",
        "ppo",
        "--output_dir",
        tmp_path / "runs",
        "--set",
        "max_new_tokens=4",
    )
    assert code == 0
    assert (
        "Warning: nothing was trained: a step of answers of up to 4 tokens does not fit into 3: raise --budget" in out
    )
    assert err == ""
    with pytest.raises(UsageError, match=r"no metrics\.jsonl, or an empty one: nothing was trained"):
        read_run(tmp_path / "runs" / "convert-ppo-s0")


@dataclass(frozen=True)
class IdleConfig:
    rounds: int = 1


def test_a_method_that_samples_nothing_is_not_said_to_lack_a_budget(capsys, tmp_path, data, checkpoint):
    host, module = convert(read=apart), modules.ModuleType("herl_idle")
    module.methods = hookimpl(specname="herl_methods")(lambda: [Method("idle", IdleConfig, lambda run: None, "")])
    host.manager.register(module, name="idle")
    host.plugins.append(Plugin("idle", "herl-idle", "1", ""))
    run = ("run", "--task", "convert", "--method", "idle", "--data", data, "--output_dir", tmp_path / "runs")
    code, out, _ = command(capsys, host, *run, "--model", checkpoint)
    assert code == 0
    assert "Warning: nothing was trained: method idle sampled no responses.\n" in out
    assert "raise --budget" not in out


@pytest.mark.parametrize("broken", [{"score": boom}, {"right": boom}], ids=["metric", "check"])
def test_a_run_that_cannot_judge_spends_nothing(capsys, tmp_path, data, checkpoint, broken):
    code, out, err = command(
        capsys,
        convert(**broken, read=apart),
        "run",
        "--task",
        "convert",
        "--model",
        checkpoint,
        "--data",
        data,
        "--budget",
        300,
        "--method",
        "ppo",
        "--output_dir",
        tmp_path / "runs",
        "--set",
        "max_new_tokens=4",
    )
    assert code == 1, err
    assert "nothing was trained: before training, none of the 6 responses was given or could be judged" in err
    assert "boom): ValueError" in err
    assert "empty slice" not in out + err
    (run,) = (tmp_path / "runs").iterdir()
    assert not (run / "metrics.jsonl").exists()


def apart(directory, split):
    """Other questions in the two splits."""
    for e in read(directory, split):
        yield Example(e.id, f"{'Say' if split == 'train' else 'Convert'} {e.prompt}", e.target, e.info)


def spoilt(field):
    def read_spoilt(directory, split):
        for i, e in enumerate(read(directory, split)):
            values = {"id": e.id, "prompt": e.prompt, "target": e.target, "info": dict(e.info)}
            if i == 3:
                values |= field
            yield Example(**values)

    return read_spoilt


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"info": {"unit": {"m"}}}, "info['unit'] cannot be written as JSON"),
        ({"info": {"unit": np.int64(3)}}, "info['unit'] cannot be written as JSON"),
        ({"info": {"x": math.nan}}, "info['x'] cannot be written as JSON"),
        ({"info": {(1, 2): 3}}, "cannot be written as JSON"),
        ({"info": [1]}, "cannot be written as JSON"),
        ({"target": 5}, "target is a int, not text"),
        ({"target": None}, "target is a NoneType, not text"),
        ({"prompt": b"x"}, "prompt is a bytes, not text"),
        ({"id": 7}, "id is a int, not text"),
    ],
)
def test_an_example_that_no_file_can_hold_is_named_before_anything_runs(capsys, tmp_path, data, field, said):
    host = convert(read=spoilt(field))
    for args in (("eval", "--tasks", "convert"), ("run", "--task", "convert", "--output_dir", tmp_path / "runs")):
        code, out, err = command(capsys, host, *args, "--model", "nowhere", "--data", data)
        if "nowhere" in err:  # the model is looked for first
            continue
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert said in err
        assert "convert (" in err
        assert "convert/eval/3" in err or "7" in err or "convert/train/3" in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("value", ["0", "5,", "a", "-1", "1.5", "", "5;6", "9" * 30])
def test_a_bad_k_is_one_line(capsys, tmp_path, data, value):
    file = responses(tmp_path / "f.jsonl", ["x"])
    code, out, err = command(capsys, convert(), "score", file, "--task", "convert", "--data", data, "--pass_at", value)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "pass_at" in err


def test_any_k_that_there_are_responses_for(capsys, tmp_path, data, checkpoint):
    file = responses(tmp_path / "f.jsonl", [["0000 m", "x", "x", "x"], ["x"] * 4])
    args = ("score", file, "--task", "convert", "--data", data, "--allow_duplicates", "--format", "json")
    code, out, _ = command(capsys, convert(), *args, "--pass_at", "2,1,4,2")
    assert code == 0
    values = {key: score["value"] for key, score in json.loads(out)["metrics"].items()}
    assert values == {"acc,none": 0.125, "pass@1,none": 0.125, "pass@2,none": 0.25, "pass@4,none": 0.5}
    code, _, err = command(capsys, convert(), *args, "--pass_at", "5")
    assert (code, err.count("\n")) == (2, 1)
    assert "has 4 responses to convert/eval/0" in err
    evaluated = (
        "eval",
        "--tasks",
        "convert",
        "--model",
        checkpoint,
        "--data",
        data,
        "--n",
        2,
        "--temperature",
        1,
        "--max_new_tokens",
        2,
    )
    code, out, err = command(
        capsys, convert(), *evaluated, "--limit", 2, "--pass_at", "2", "--output_path", tmp_path / "o", "--log_samples"
    )
    assert code == 0, err
    assert "2 of 6" in next(row for row in out.splitlines() if "pass@2,none" in row)
    (samples,) = (tmp_path / "o").rglob("samples_*.jsonl")
    assert json.loads(samples.read_text().splitlines()[0])["pass@2"] == 0.0
    code, _, err = command(capsys, convert(), *evaluated, "--pass_at", "3")
    assert (code, "--n 3 or more" in err) == (2, True)


# ------------------------------------------------------------------------------------------------------------ integrity
PROGRAM = """class Like:
    def __init__(self, x): self.x = x
    def __eq__(self, other): return True
def f(x): return Like(x)
"""


def test_shared_verdicts_are_said_and_can_be_refused(capsys, tmp_path):
    """Two objects of the program's are equal by its own word."""
    doc = {
        "id": "t/1",
        "prompt": "def f(x):\n",
        "target": "    return 5\n",
        "info": {
            "entry_point": "f",
            "test": "def check(candidate):\n    assert candidate(3) == candidate(5)\n",
            "examples": [],
        },
    }
    file = tmp_path / "f.jsonl"
    file.write_text(json.dumps({"doc_id": 0, "doc": doc, "resps": [[PROGRAM]]}) + "\n")
    args = ("score", file, "--task", "humaneval", "--jobs", 1)
    code, out, err = command(capsys, load_host(), *args)
    assert code == 0, err
    assert "1 shared" in next(row for row in out.splitlines() if "pass@1,extracted" in row)
    code, out, err = command(capsys, load_host(), *args, "--integrity", "split")
    assert code == 1
    assert "refuse" in err
    code, out, _ = command(capsys, load_host(), *args, "--integrity", "split", "--format", "json")
    got = json.loads(out)
    assert (got["metrics"]["pass@1,extracted"]["value"], got["undecided"], got["shared"]) == (0.0, 1, 0)
    assert command(capsys, load_host(), *args, "--integrity", "none")[0] == 2


def test_a_sandbox_that_knows_no_integrity_is_asked_for_nothing_or_named():
    opened = []
    module = modules.ModuleType("herl_boxes")
    module.boxes = hookimpl(specname="herl_sandboxes")(
        lambda: [
            SandboxProvider("plain", lambda workers=None: opened.append(("plain", workers))),
            SandboxProvider("whole", lambda **options: opened.append(("whole", options))),
        ]
    )
    host = load_host()
    host.manager.register(module, name="boxes")
    host.plugins.append(Plugin("boxes", "herl-boxes", "1", ""))
    find_sandbox(host, "plain")(workers=1)
    find_sandbox(host, "whole", "split")()
    assert opened == [("plain", 1), ("whole", {"integrity": "split"})]
    with pytest.raises(UsageError, match="the sandbox 'plain' has no such option"):
        find_sandbox(host, "plain", "split")


def test_a_run_of_a_version_without_the_setting_was_a_shared_one():
    older = {"task": "humaneval", "method": "ppo"}
    assert find_difference(json.dumps(older), json.dumps({**older, "integrity": "shared"})) == ""
    assert (
        find_difference(json.dumps(older), json.dumps({**older, "integrity": "split"}))
        == "integrity=shared, and this asks for split"
    )


# ------------------------------------------------------------------------------------------------------------- thoughts
def test_samples_are_judged_as_the_results_beside_them_say(capsys, tmp_path, data):
    host = convert()
    task = host.get("task", "convert")
    kept = Environment(task, find_rubric(host, task), NO_TEMPLATE, find_metrics(host, task), think="keep")
    examples = list(task.read(data, "eval"))
    rows = judge_responses(kept, examples, [f"<think>so</think>{e.target}" for e in examples])
    evaluation = Evaluation(tuple(rows), sum_up(rows, kept.rubric, kept.metrics))
    _, samples = write_evaluation(evaluation, tmp_path, kept, model_name="m")
    for args, right in (((), 0.0), (("--think", "drop"), 1.0)):
        code, out, err = command(capsys, host, "score", samples, "--task", "convert", "--format", "json", *args)
        assert code == 0, err
        assert json.loads(out)["metrics"]["acc,none"]["value"] == json.loads(out)["criteria"]["right"] == right
