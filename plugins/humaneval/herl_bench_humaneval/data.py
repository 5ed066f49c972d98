"""Read HumanEval and MBPP from their own published files or from the hub.

HumanEval is for evaluation only. Training is on MBPP's validation and train parts (task ids 511 to 974), rendered in
HumanEval's
format: the signature of the reference program's entry function (the one that its assertions call), a docstring of the
task's text and its first assertion, and the reference program rearranged so that it continues that prompt.

An example's `info`: `entry_point`; `test`, the hidden tests as Python source; `examples`, the docstring's own examples
as pairs of `call` and `expected`; `preamble`, what the tests may use of the prompt's helper functions, where they do.

Left out: MBPP's prompt and test parts (ids 1 to 510) are read for validation but never trained or evaluated on.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from herl_bench import Example
from herl_bench.errors import DataError
from herl_bench.reading import read_json_lines
from herl_bench_humaneval.code import find_preamble, parse

HUMANEVAL = (
    ("humaneval/HumanEval.jsonl.gz", "humaneval/HumanEval.jsonl"),
    "https://github.com/openai/human-eval/raw/master/data/HumanEval.jsonl.gz",
)
MBPP = (
    ("mbpp/mbpp.jsonl", "mbpp/mbpp.jsonl.gz"),
    "https://github.com/google-research/google-research/raw/master/mbpp/mbpp.jsonl",
)
"""The names that a file may have in a data folder, and where its first one is fetched from."""
TRAIN_IDS = range(511, 975)

HUMANEVAL_FIELDS = ("task_id", "prompt", "entry_point", "canonical_solution", "test")
MBPP_FIELDS = ("task_id", "text", "code", "test_list")

DOCSTRING_ERRATA: Mapping[str, tuple[int, ...]] = {
    "HumanEval/47": (1,),
    "HumanEval/116": (0, 1),
    "HumanEval/130": (0, 1),
    "HumanEval/148": (1,),
}
"""Docstring examples that the benchmark's own solution fails, by task id: positions among the examples found, from 0.
Measured by running every canonical solution on every example that `find_docstring_examples` finds; a test repeats the
measurement."""


# ---------------------------------------------------------------------------------------------------------------- files
def read(directory: Path, split: str) -> list[Example]:
    """`eval`: HumanEval. `train`: MBPP, ids 511 to 974."""
    if split == "eval":
        return read_humaneval(directory)
    return [e for e in read_mbpp(directory) if e.info["task_id"] in TRAIN_IDS]


def list_files(directory: Path, split: str) -> list[Path]:
    return [_find_file(directory, *(HUMANEVAL if split == "eval" else MBPP))]


def read_humaneval(directory: Path) -> list[Example]:
    """`humaneval/HumanEval.jsonl.gz` (or `.jsonl`) in `directory`."""
    rows = _read_rows(_find_file(directory, *HUMANEVAL), HUMANEVAL_FIELDS)
    return [_build(_build_humaneval, row, where) for where, row in rows]


def read_mbpp(directory: Path) -> list[Example]:
    """`mbpp/mbpp.jsonl` in `directory`, all of it."""
    rows = _read_rows(_find_file(directory, *MBPP), MBPP_FIELDS)
    return [_build(_build_mbpp, row, where) for where, row in rows]


def read_hub(split: str) -> list[Example]:
    """The same rows through `datasets`."""
    from datasets import load_dataset

    if split == "eval":
        return [_build_humaneval(row) for row in load_dataset("openai/openai_humaneval", split="test")]
    rows = load_dataset("google-research-datasets/mbpp", "full", split="train+validation")
    return [_build_mbpp(row) for row in sorted(rows, key=lambda row: row["task_id"]) if row["task_id"] in TRAIN_IDS]


def _find_file(directory: Path, names: tuple[str, ...], url: str) -> Path:
    for name in names:
        if (directory / name).is_file():
            return directory / name
    target = directory / names[0]
    raise DataError(f"{target} is missing: fetch it with `curl -L --create-dirs -o {target} {url}`")


def _read_rows(path: Path, fields: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, row in read_json_lines(path):
        yield f"{path}:{number}", _check_row(row, fields, f"{path}:{number}")


def _check_row(row: Any, fields: Iterable[str], where: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise DataError(f"{where}: an object is needed, not {type(row).__name__}")
    missing = [name for name in fields if name not in row]
    if missing:
        raise DataError(f"{where}: the field {missing[0]!r} is missing; a row has {', '.join(fields)}")
    return row


def _build(make: Any, row: Mapping[str, Any], where: str) -> Example:
    try:
        example: Example = make(row)
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{where}: {error}") from None
    return example


# ------------------------------------------------------------------------------------------------------------ HumanEval
def _build_humaneval(row: Mapping[str, Any]) -> Example:
    prompt, entry, identity = row["prompt"], row["entry_point"], str(row["task_id"])
    errata = DOCSTRING_ERRATA.get(identity, ())
    info: dict[str, Any] = {
        "task_id": identity,
        "entry_point": entry,
        "test": row["test"],
        "examples": [e for i, e in enumerate(find_docstring_examples(prompt, entry)) if i not in errata],
    }
    head = find_preamble(prompt, entry)
    # Two tests call a helper function of the prompt; the tests run apart from the program, so they bring it along.
    if any(re.search(rf"\b{name}\b", row["test"]) for name in re.findall(r"^def\s+(\w+)", head, re.MULTILINE)):
        info["preamble"] = head
    return Example(identity, prompt, row["canonical_solution"], info)


# ----------------------------------------------------------------------------------------------------------------- MBPP
def _build_mbpp(row: Mapping[str, Any]) -> Example:
    code, tests = row["code"].replace("\r\n", "\n"), [*row["test_list"], *(row.get("challenge_test_list") or [])]
    if not tests:
        raise ValueError("test_list is empty")
    tree = parse(code)
    if tree is None:
        raise ValueError("the field 'code' does not parse")
    function = _find_entry_function(tree, tests)
    imports = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    rest = [n for n in tree.body if n is not function and n not in imports]
    head = "".join(ast.unparse(n) + "\n" for n in imports)
    shown = _render_example(tests[0], function.name)
    prompt = (
        f'{head}{chr(10) * 2 if head else ""}def {function.name}({ast.unparse(function.args)}):\n    """'
        f' {_quote_text(row["text"])}\n{shown}    """\n'
    )
    # Helper functions may come after the body: they are looked up when the function is called.
    solution = textwrap.indent("\n".join(map(ast.unparse, function.body)), "    ") + "\n"
    solution += "".join(f"\n\n{ast.unparse(n)}\n" for n in rest)
    setup = (row.get("test_setup_code") or "").replace("\r\n", "\n")
    info = {
        "task_id": row["task_id"],
        "entry_point": function.name,
        "test": "\n".join([setup, *(t.replace("\r\n", "\n") for t in tests)]).strip() + "\n",
        "examples": find_docstring_examples(prompt, function.name),
    }
    return Example(f"mbpp/{row['task_id']}", prompt, solution, info)


def _find_entry_function(tree: ast.Module, tests: Iterable[str]) -> ast.FunctionDef:
    """The function of the reference program that the assertions call (the last definition of it)."""
    functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
    for test in tests:
        called = parse(test.strip())
        for node in ast.walk(called) if called else ():
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions:
                return functions[node.func.id]
    raise ValueError("no assertion of test_list calls a function that 'code' defines")


def _quote_text(text: str) -> str:
    return " ".join(text.replace("\\", "\\\\").replace('"""', "'''").split())


def _render_example(test: str, entry: str) -> str:
    """The first assertion as a docstring example; as it stands where it does not compare a call with a plain value."""
    test = test.strip().replace("\\", "\\\\").replace('"""', "'''")
    found = parse(test)
    node = found.body[0] if found and len(found.body) == 1 else None
    if isinstance(node, ast.Assert) and isinstance(node.test, ast.Compare) and isinstance(node.test.ops[0], ast.Eq):
        left, right = node.test.left, node.test.comparators[0]
        if (
            isinstance(left, ast.Call)
            and isinstance(left.func, ast.Name)
            and left.func.id == entry
            and _is_literal(ast.unparse(right))
        ):
            return f"    >>> {ast.unparse(left)}\n    {ast.unparse(right)}\n"
    return textwrap.indent(test, "    ") + "\n"


# --------------------------------------------------------------------------------------------------- docstring examples
_ARROW = re.compile(
    r"\s*(?:#\s*)?(?:==+>|=+>|-+>|➞|→|==|=|\bshould\s+return\b|\breturns?\b|\bthe\s+output\s+should\s+be\b)\s*"
)
_NAMES = {"true": "True", "false": "False", "null": "None"}


def find_docstring_examples(prompt: str, entry: str) -> list[dict[str, str]]:
    """The examples in the entry function's docstring, as `{"call", "expected"}`, both Python source.

    Three notations, the first that gives any: `>>> f(1)` with the value on the next lines; `f(1)` followed on its line
    by one of `==`, `=>`, `==>`, `->`, `➞`, `=`, `returns`, `should return` and a value; and `Input: 1` or `For x = 1`
    with `Output:` or `the output should be` and a value. The value must be a plain literal (`true` and `false` count);
    an example that breaks this rule, or whose call has other names than Python's, is left out.
    """
    tree = parse(prompt)
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == entry] if tree else []
    text = (ast.get_docstring(functions[-1], clean=True) or "") if functions else ""
    found = (
        list(_find_interactive(text))
        or list(_find_inline(text, entry))
        or list(_find_stated(text, functions[-1]) if functions else ())
    )
    unique = {
        (call, expected): None for call, expected in found if _is_literal(expected) and _is_plain_call(call, entry)
    }
    return [{"call": call, "expected": expected} for call, expected in unique]


def _find_interactive(text: str) -> Iterator[tuple[str, str]]:
    lines = text.split("\n")
    for i, line in enumerate(lines):
        if not line.strip().startswith(">>>"):
            continue
        source = line.strip()[3:].strip()
        value: list[str] = []
        for following in lines[i + 1 :]:
            if not following.strip() or following.strip().startswith(">>>"):
                break
            value.append(following.strip())
        # Prose may follow the value without a blank line between them.
        for size in range(len(value), 0, -1):
            if _is_literal(joined := " ".join(value[:size])):
                yield source, _spell_in_python(joined)
                break


def _find_inline(text: str, entry: str) -> Iterator[tuple[str, str]]:
    for found in re.finditer(rf"\b{re.escape(entry)}\(", text):
        end = _find_closing(text, found.end() - 1)
        arrow = _ARROW.match(text, end) if end else None
        if arrow is None:
            continue
        rest = text[arrow.end() :]
        value = _read_leading_literal(rest)
        if value is not None:
            yield _join_lines(text[found.start() : end]), value


_STATED = re.compile(r"(?:\bInput:|\bFor\b)\s*(.+?),?\s*(?:\bOutput:|\bthe (?:output|result) should be)\s*", re.DOTALL)


def _find_stated(text: str, function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    params = [a.arg for a in function.args.args]
    for found in _STATED.finditer(text):
        call = f"{function.name}({_join_lines(found[1])})"
        tree = parse(call)
        value = _read_leading_literal(text[found.end() :])
        if tree is None or value is None or not isinstance(node := tree.body[0].value, ast.Call):  # type: ignore[attr-defined]
            continue
        if len(node.args) + len(node.keywords) == len(params) and all(k.arg in params for k in node.keywords):
            yield call, value


def _find_closing(text: str, opening: int) -> int:
    """The index after the bracket that closes the one at `opening`; 0 where there is none. Brackets in string literals
    do not count."""
    depth, quote = 0, ""
    for i in range(opening, len(text)):
        c = text[i]
        if quote:
            quote = "" if c == quote else quote
        elif c in "'\"":
            quote = c
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
            if depth == 0:
                return i + 1
    return 0


def _read_leading_literal(text: str) -> str | None:
    """The literal that the first line of `text` begins with, if nothing but a remark or punctuation follows it."""
    line = re.sub(r"\s+#.*", "", text.split("\n", 1)[0])
    if line[:1] and line[0] in "([{":
        end = _find_closing(text, 0)
        found = end and _is_literal(text[:end]) and _is_end(text[end:])
        return _spell_in_python(text[:end]) if found else None
    for cut in range(len(line), 0, -1):
        if _is_literal(line[:cut]) and _is_end(line[cut:]):
            stated = line[:cut].removesuffix(".")  # a full stop, rather than `1.`
            return _spell_in_python(stated if _is_literal(stated) else line[:cut])
    return None


def _join_lines(call: str) -> str:
    return re.sub(r"\s*\n\s*", " ", call).strip()


def _is_end(rest: str) -> bool:
    return re.match(r"[.,;]?\s*(?:$|\n|#|\()|\s*(?:#|\()", rest) is not None


def _spell_in_python(text: str) -> str:
    return _NAMES.get(text.strip(), text.strip())


def _is_literal(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.literal_eval(_spell_in_python(text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False
    return True


def _is_plain_call(call: str, entry: str) -> bool:
    """Is it one call of the entry function, on literals or calls of the same kind?"""
    tree = parse(call)
    if (
        tree is None
        or len(tree.body) != 1
        or not isinstance(tree.body[0], ast.Expr)
        or not isinstance(tree.body[0].value, ast.Call)
    ):
        return False
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    return entry in names and names <= {entry, "int", "float", "str", "list", "set", "tuple", "dict", "range", "len"}
