"""HumanEval's canonical solutions through `herl-bench score`: all pass; with one character changed each, none does, and
it is said why."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from herl_bench.cli import main

if "HERL_BENCH_DATA" not in os.environ:
    pytest.skip("needs the published files", allow_module_level=True)

DATA = Path(os.environ["HERL_BENCH_DATA"])

# Changes one character of each solution, drawn by a seed, so that the published tests fail when the plain interpreter
# runs them, in a forked process without any part of herl-bench. Programs that would hang are passed over.
BREAK = """
import json, os, random, resource, signal, sys

def passes(program):
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        signal.alarm(2)
        resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
        code = 1
        try:
            exec(compile(program, "program", "exec"), {"__name__": "program"})
            code = 0
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    return None if os.WIFSIGNALED(status) else status == 0

def program(row, solution):
    return f"{row['prompt']}{solution}\\n{row['test']}\\ncheck({row['entry_point']})\\n"

for line in sys.stdin:
    row = json.loads(line)
    rng, solution = random.Random(row["task_id"]), row["canonical_solution"]
    assert passes(program(row, solution)), row["task_id"]
    while True:
        at, sign = rng.randrange(len(solution)), rng.choice("()[]<>=+-*/%:,.0123456789abcdefghijklmnopqrstuvwxyz_ ")
        broken = solution[:at] + sign + solution[at + 1:]
        if sign != solution[at] and passes(program(row, broken)) is False:
            break
    print(json.dumps({"task_id": row["task_id"], "completion": broken}), flush=True)
"""


def problems():
    with gzip.open(DATA / "humaneval" / "HumanEval.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def score(capsys, path, *args):
    with pytest.raises(SystemExit) as left:
        main(["score", str(path), "--task", "humaneval", "--data", str(DATA), "--format", "json", *args])
    out, err = capsys.readouterr()
    if left.value.code == 3:
        pytest.skip(err)
    assert left.value.code == 0, err
    return json.loads(out)


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_canonical_solutions_pass(capsys, tmp_path):
    rows = [{"task_id": row["task_id"], "completion": row["canonical_solution"]} for row in problems()]
    got = score(capsys, write(tmp_path / "gold.jsonl", rows))
    assert (got["items"], got["errors"], set(got["criteria"].values())) == (164, 0, {1.0})
    assert all((metric["value"], metric["stderr"]) == (1.0, 0.0) for metric in got["metrics"].values())


def test_with_one_character_broken_each_fails_and_it_is_said_why(capsys, tmp_path):
    lines = "".join(json.dumps(row) + "\n" for row in problems())
    made = subprocess.run([sys.executable, "-c", BREAK], input=lines, capture_output=True, text=True, check=True)
    broken = [json.loads(line) for line in made.stdout.splitlines()]
    assert all(
        sum(a != b for a, b in zip(row["canonical_solution"], new["completion"], strict=True)) == 1
        for row, new in zip(problems(), broken, strict=True)
    )
    got = score(capsys, write(tmp_path / "broken.jsonl", broken), "--output_path", str(tmp_path / "out.jsonl"))
    assert (got["items"], got["errors"]) == (164, 0)
    assert all(metric["value"] == 0.0 for metric in got["metrics"].values())
    for line in (tmp_path / "out.jsonl").read_text().splitlines():
        unmet = [v for v in json.loads(line)["verdicts"] if v["met"] is False]
        assert unmet, line
        assert any(v["evidence"] for v in unmet), line
