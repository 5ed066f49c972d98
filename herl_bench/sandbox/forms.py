"""The forms in which tests come, turned into what the tester reads: Python source, or pairs of input and output.

Covers: source, lists of assertions (as in MBPP), functions `check(candidate)` (as in HumanEval), stdio tests, examples
in docstrings. Leaves out: running them (`inside/tester.py`, `inside/stdio.py`); ellipses and other options of doctest,
and examples whose expected text is printed by the program itself (write a `Stdio` for those).
"""

from __future__ import annotations

import ast
import doctest
from collections.abc import Mapping, Sequence
from typing import Any

from herl_bench.errors import UsageError
from herl_bench.sandbox.model import Stdio, Tests

WHOLE = "tests"
"""The name of the group where there is only one."""


def group_tests(tests: Tests) -> dict[str, Any]:
    """Group name -> source, or [[stdin, stdout], …]. UsageError where the tests are of another form."""
    named = tests if isinstance(tests, Mapping) else {WHOLE: tests}
    return {str(name): _read_group(name, group) for name, group in named.items()}


def _read_group(name: str, group: Any) -> Any:
    if isinstance(group, str):
        return group
    if isinstance(group, Sequence) and group:
        if all(
            isinstance(item, Stdio) and isinstance(item.stdin, str) and isinstance(item.stdout, str) for item in group
        ):
            return [[item.stdin, item.stdout] for item in group]
        if all(isinstance(item, str) for item in group):
            return "\n".join(group)
    raise UsageError(f"tests of group {name!r}: write Python source, a list of assertions, or a list of Stdio")


def docstring_examples(source: str) -> str:
    """The `>>>` examples of a source or docstring as source for `Job.tests`, "" where none. A literal is compared as a
    value, other text with the repr (str under `print`), an exception by name and message. UsageError: no Python."""
    lines: list[str] = []
    for text in _find_docstrings(source):
        try:
            examples = doctest.DocTestParser().get_examples(text)
        except ValueError as error:
            raise UsageError(f"docstring examples: {error}") from None
        for example in examples:
            lines += _convert_example(example)
    return "".join(f"{line}\n" for line in lines)


def _find_docstrings(source: str) -> list[str]:
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return [source]  # a docstring's own text
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, documented)]
    return [text for text in found if text is not None]


def _convert_example(example: doctest.Example) -> list[str]:
    source, want = example.source.strip(), example.want.strip()
    if example.exc_msg is not None:
        name, colon, message = example.exc_msg.strip().partition(": ")
        body = [f"    {line}" for line in source.splitlines()]
        text = "': '.join(filter(None, (type(_error).__name__, str(_error))))"
        caught = ["_raised = None", "try:", *body, "except Exception as _error:", f"    _raised = {text}"]
        return [*caught, f"assert _raised == {name.rpartition('.')[2] + colon + message!r}"]
    try:
        tree = ast.parse(source, mode="eval").body
    except SyntaxError:
        try:
            ast.parse(source)
        except SyntaxError as error:
            raise UsageError(f"docstring example `{source}`: {error.msg}") from None
        return source.splitlines()
    if not want:
        return source.splitlines()
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id == "print" and not tree.keywords:
        shown = ", ".join(ast.unparse(argument) for argument in tree.args)
        return [f"assert ' '.join(map(str, [{shown}])) == {want!r}"]
    try:
        ast.literal_eval(want)
    except (ValueError, SyntaxError):
        return [f"assert repr({source}) == {want!r}"]
    return [f"assert {source} == {want}" if isinstance(tree, ast.Call | ast.Name) else f"assert ({source}) == {want}"]
