"""No wrong program is passed: each HumanEval solution with one seeded mutation, statement by statement against a plain
interpreter.

The other side is independent of ours: it runs the published `check` statement by statement with `exec`, in a process of
its own, with a clock per program. The data set's code is trusted, and a mutation of it does no harm.
"""

from __future__ import annotations

import ast
import gzip
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from herl_bench.sandbox import Job, Limits, Sandbox

DATA = os.environ.get("HERL_BENCH_DATA")
SECONDS = 3  # the same in PLAIN
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
}

PLAIN = """
import ast, json, os, resource, signal, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
for line in sys.stdin:
    task = json.loads(line)
    out, into = os.pipe()
    if os.fork() == 0:
        signal.alarm(3)
        space = {"__name__": "plain"}
        try:
            exec(task["code"], space)
            nodes = ast.parse(task["test"]).body
            functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
            body = next(node for node in functions if node.name == "check").body
            before = [node for node in nodes if node not in functions]
            exec(compile(ast.Module(before, []), "<before>", "exec"), space)
            space["candidate"] = space[task["entry"]]
            for node in body:
                try:
                    exec(compile(ast.Module([node], []), "<statement>", "exec"), space)
                    os.write(into, b"1")
                except BaseException:
                    os.write(into, b"0")
        finally:
            os._exit(0)
    os.close(into)
    with os.fdopen(out, "rb") as answers:
        print(answers.read().decode(), flush=True)
    os.wait()
"""


def mutated(task: dict[str, Any]) -> str:
    """The solution with one operator, comparison or constant changed, chosen by the task's name."""
    tree = ast.parse(task["prompt"] + task["canonical_solution"])
    function = next(
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == task["entry_point"]
    )
    function.body = function.body[ast.get_docstring(function) is not None :]
    places: list[tuple[Any, Any]] = []
    for node in ast.walk(function):
        if isinstance(node, ast.Constant) and type(node.value) in (int, bool, str):
            places.append((node, None))
        operators = node.ops if isinstance(node, ast.Compare) else [getattr(node, "op", None)]
        places.extend((node, i) for i, operator in enumerate(operators) if type(operator) in SWAPS)
    if not places:
        places = [(node, None) for node in ast.walk(function) if isinstance(node, ast.Return)]
    node, place = random.Random(task["task_id"]).choice(places)
    if isinstance(node, ast.Return):
        node.value = ast.List([], ast.Load())
    elif isinstance(node, ast.Constant):
        node.value = (
            not node.value if type(node.value) is bool else node.value + (1 if type(node.value) is int else "x")
        )
    elif isinstance(node, ast.Compare):
        node.ops[place] = SWAPS[type(node.ops[place])]()  # type: ignore[call-overload]
    else:
        node.op = SWAPS[type(node.op)]()
    return ast.unparse(ast.fix_missing_locations(tree))


def plain(tasks: list[dict[str, str]]) -> list[str]:
    """Per program a letter per statement of `check`: 1 it held, 0 it did not; fewer where time was up."""
    text = "".join(json.dumps(task) + "\n" for task in tasks)
    done = subprocess.run(
        [sys.executable, "-I", "-c", PLAIN], input=text, capture_output=True, text=True, timeout=600, check=True
    )
    return done.stdout.split("\n")[:-1]


def asserts_per_statement(test: str) -> list[int]:
    check = next(node for node in ast.parse(test).body if isinstance(node, ast.FunctionDef) and node.name == "check")
    return [sum(isinstance(inner, ast.Assert) for inner in ast.walk(node)) for node in check.body]


@pytest.mark.skipif(not DATA, reason="HERL_BENCH_DATA is not set")
def test_no_mutation_is_passed_where_a_plain_interpreter_fails_it():
    with gzip.open(Path(str(DATA)) / "humaneval" / "HumanEval.jsonl.gz", "rt", encoding="utf-8") as file:
        tasks = [json.loads(line) for line in file]
    programs = [{"code": mutated(task), "test": task["test"], "entry": task["entry_point"]} for task in tasks]
    truths = plain(programs)
    jobs = [Job(p["code"], p["entry"], {"test": p["test"]}, Limits(wall_s=SECONDS)) for p in programs]
    caught = 0
    with Sandbox(workers=2) as sandbox:
        for task, truth, verdict in zip(tasks, truths, sandbox.map(jobs), strict=True):
            name = task["task_id"]
            assert verdict.status != "infra", (name, verdict)
            rows = [row.passed for row in verdict.results]
            for place, count in enumerate(asserts_per_statement(task["test"])):
                ours, rows = rows[:count], rows[count:]
                held = truth[place : place + 1] == "1"
                assert held or not count or not all(ours), (name, place, truth, verdict)
                if verdict.status != "timeout" and len(truth) > place:
                    assert not count or all(ours) == held, (name, place, truth, verdict)
            assert (verdict.status == "pass") <= ("0" not in truth), (name, truth, verdict)
            caught += verdict.status != "pass"
    assert caught > 100  # most mutations change something
