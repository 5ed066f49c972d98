"""Find the program in an answer, and compare it with a working one. Pure text and syntax trees; nothing is run here.

What is thought is left out first. Then a policy answers a HumanEval prompt in one of four ways, tried in this order:

1. a continuation: `prompt + answer` is a program. That is what base models write and what lm-eval runs. It also covers
   an answer that repeats the whole function, because the second definition replaces the first.
2. code in fences, with or without the signature; of several blocks, the last that defines the function and shows more
   than its signature, since an answer that corrects itself gives the right one last; else what stands before the first
   fence, if it is an indented body or defines the function (as where the fence was opened before the answer began);
   else the first block that continues the prompt.
3. a whole function without fences, with prose around it.
4. a body whose indentation was lost, or that is followed by prose or by further code that does not parse.

A whole function counts where what comes after it breaks off: tests, a call, a second function. And what only tries the
function out is left out of the program: calls and assertions after its definition, `if __name__ == "__main__":`, input
that is read for them. They may be wrong, wait for a terminal or end the process, and the function is as good as before.

Every answer is bounded: so many characters are looked at, and so many are parsed in all attempts together.

A fence in a docstring closes no block where the code parses up to a later one.

Left out: code in other languages' fences is not translated, and a function that breaks off in the middle is not
repaired.
"""

from __future__ import annotations

import ast
import builtins
import re
import textwrap
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from herl_bench import answer_text
from herl_bench.answers import UNCLOSED

LONGEST = 20_000
"""Characters of an answer that are looked at; anything longer is not an answer to these tasks."""
LONGEST_SOURCE = 40_000
"""Characters of a program that is parsed and run; Python needs seconds and gigabytes for some of a megabyte."""
MOST_PARSED = 400_000
"""Characters parsed in search of a program, over all pieces of one answer."""
MOST_BLOCKS = 8
"""Blocks that are tried: so many of the last ones that define the function, else of the first ones."""


@dataclass(frozen=True)
class Program:
    """What was found in an answer.

    code: the answer's own part of the program, None where it holds no code.
    source: the whole program that is run, None where there is none or where it does not parse.
    error: why it does not parse ("line 2: '(' was never closed", counted in `code`).
    defined: does the source define the entry point? Not where the answer has another function and none of that name.
    """

    code: str | None
    source: str | None
    error: str = ""
    defined: bool = False


# ----------------------------------------------------------------------------------------------------------- extraction
def find_program(prompt: str, entry: str, answer: str) -> Program:
    """The program in `answer`, by the rules above."""
    answered = answer_text(answer)
    if answered is None:
        return Program(None, None, UNCLOSED)
    answer = answered[:LONGEST].replace("\r\n", "\n")
    if not answer.strip():
        return Program(None, None)
    blocks = find_fenced_blocks(answer)
    if not blocks and parses(prompt + answer):
        return _accept(answer, prompt + answer, entry)
    pieces = list(_split_fenced(answer, blocks, entry)) if blocks else list(_split_unfenced(answer, entry))
    left, empty = MOST_PARSED, None
    for piece in pieces:
        for source in _complete(prompt, entry, piece):
            left -= len(source)
            if left >= 0 and parses(source):
                if not _is_empty(source, entry):
                    return _accept(piece, source, entry)
                empty = empty or _accept(piece, source, entry)
    if empty:
        return empty
    if blocks:
        return _explain_broken(prompt, entry, pieces[0])
    return _explain_broken(prompt, entry, answer) if _looks_like_code(answer, entry) else Program(None, None)


def _split_fenced(answer: str, blocks: Sequence[str], entry: str) -> Iterator[str]:
    """Pieces of an answer with fences that may be the program, likeliest first."""
    defining = [block for block in blocks if f"def {entry}" in block]
    for block in defining[: -MOST_BLOCKS - 1 : -1]:
        yield block
        lines = block.split("\n")
        begins = next(i for i, line in enumerate(lines) if f"def {entry}" in line)
        yield from ("\n".join(lines[:end]) for end in _find_ends(lines, begins))
    ahead = _FENCE.split(answer, maxsplit=1)[0].rstrip() + "\n"  # of a fence that closes what the prompt's end opened
    if ahead.strip("\n")[:1].isspace() or _has_definition(ahead, entry):
        yield from _split_unfenced(ahead, entry)
    yield from [block for block in blocks if block not in defining][:MOST_BLOCKS]


def find_fenced_blocks(answer: str) -> list[str]:
    """The contents of the answer's ``` blocks; the last one may be left open, as a cut-off answer leaves it."""
    blocks = [
        textwrap.dedent(body) if re.match(r"\s*(?:def|from|import|@|class|async)\b", body) else body
        for body in _cut_fenced(answer)
    ]
    return [body for body in blocks if body.strip()]


_FENCE = re.compile(r"^[ \t]*(```|~~~)", re.MULTILINE)
_FENCE_LINE = re.compile(rf"{_FENCE.pattern}[^\n]*\n", re.MULTILINE)


def _cut_fenced(answer: str) -> Iterator[str]:
    place = 0
    while opening := _FENCE_LINE.search(answer, place):
        begins, same = opening.end(), (m for m in _FENCE.finditer(answer, opening.end()) if m[1] == opening[1])
        ends = [*(m.span() for m in islice(same, MOST_BLOCKS)), (len(answer), len(answer))]
        closing = ends[0]
        if _has_open_string(answer[begins : closing[0]]):  # a fence in a docstring, if a later end makes a program
            closing = next((end for end in ends if _is_program(answer[begins : end[0]])), closing)
        yield answer[begins : closing[0]]
        place = closing[1]


def _has_open_string(code: str) -> bool:
    return any(code.count(quotes) % 2 for quotes in ('"""', "'''"))


def _is_program(code: str) -> bool:
    return not _has_open_string(code) and parses(textwrap.dedent(code))


def find_preamble(prompt: str, entry: str) -> str:
    """What the prompt says before the function itself: imports and helper functions."""
    found = re.search(rf"^(?:async\s+)?def\s+{re.escape(entry)}\b", prompt, re.MULTILINE)
    return prompt[: found.start()] if found else ""


def _complete(prompt: str, entry: str, piece: str) -> Iterator[str]:
    """The programs that `piece` may stand for, likeliest first."""
    if _has_definition(piece, entry) or re.search(rf"^{re.escape(entry)}\s*=", piece, re.MULTILINE):
        yield find_preamble(prompt, entry) + piece
        yield piece  # `from __future__` must come first
        return
    yield prompt + piece
    yield prompt + textwrap.indent(textwrap.dedent(piece), "    ")
    # Chat formats and `strip()` take the first line's indentation and leave that of the others.
    yield prompt + "    " + piece.lstrip()


def _has_definition(text: str, entry: str) -> bool:
    return re.search(rf"^(?:async\s+)?def\s+{re.escape(entry)}\b", text, re.MULTILINE) is not None


def _split_unfenced(answer: str, entry: str) -> Iterator[str]:
    """Pieces of `answer` that may be code, longest first: from the first line of code, without what follows the
    code."""
    lines = answer.split("\n")
    start = 0
    if _has_definition(answer, entry):
        start = next(
            i
            for i, line in enumerate(lines)
            if re.match(r"(?:from\s+\S+\s+import|import|async\s+def|def|class|@)\b|@\w", line)
        )
    lines = lines[start:]
    seen_code = next((i for i, line in enumerate(lines) if line.strip()), 0)
    yield "\n".join(lines)
    yield from ("\n".join(lines[:end]) for end in _find_ends(lines, seen_code))


def _find_ends(lines: Sequence[str], begins: int) -> list[int]:
    """Where code that begins on line `begins` may end: before a line at the margin. The last 20 places, last first."""
    return [i for i in range(begins + 1, len(lines)) if lines[i].strip() and not lines[i][0].isspace()][:-21:-1]


def _looks_like_code(answer: str, entry: str) -> bool:
    first = next(line for line in answer.split("\n") if line.strip())
    keyword = re.match(
        r"\s*(?:return|for|while|if|def|import|from|with|try|raise|yield|assert)\b|\s*[\w.\[\]]+(?:, *\w+)* *[-+*/]?= ",
        first,
    )
    return first[0].isspace() or keyword is not None or f"def {entry}" in answer


def _accept(code: str, source: str, entry: str) -> Program:
    named_otherwise = re.search(r"^(?:async def|def|class)\b", code, re.MULTILINE) and not _has_definition(code, entry)
    defined = defines(source, entry) and not (named_otherwise and _is_empty(source, entry))
    return Program(code, leave_out_trials(source, entry), defined=defined)


def _is_empty(source: str, entry: str) -> bool:
    """Does the function do nothing: a signature shown alone, or the prompt's own beside one of another name?"""
    tree = parse(source)
    found = _find_definition(tree, entry) if tree else None
    idle = (*_DEFINITIONS, ast.Import, ast.ImportFrom, ast.Pass)
    return isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef) and all(
        isinstance(node, idle) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in found.body
    )


_OF_TRIALS = {"__name__", "input", "unittest", "doctest", "exit", "quit"}


def leave_out_trials(source: str, entry: str) -> str:
    """A program that parses, without the statements that only try the function out; their lines are left empty."""
    tree = parse(source) if "\r" not in source else None  # which Python takes for a line's end
    body = tree.body if tree else []
    begins = next((i for i, node in enumerate(body) if entry in _list_made(node)), len(body))
    later = {node: _list_read(node) for node in body[begins + 1 :]}
    callers, known = {entry}, 0  # the function's, such as a `main` or a `test_add`
    while known < len(callers):
        known = len(callers)
        callers |= {node.name for node, read in later.items() if isinstance(node, _DEFINITIONS) and callers & read}
    trials = {
        node
        for node, read in later.items()
        if not isinstance(node, (*_DEFINITIONS, ast.Import, ast.ImportFrom))
        and entry not in _list_made(node)
        and (callers | _OF_TRIALS) & read
    }
    kept = {line for node in body if node not in trials for line in _list_lines(node)}
    empty = {line for node in trials for line in _list_lines(node)} - kept
    return "\n".join("" if i in empty else line for i, line in enumerate(source.split("\n"), 1)) if empty else source


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _list_made(node: ast.stmt) -> set[str]:
    """The names that a statement at the top level gives a meaning, an item or an attribute to."""
    if isinstance(node, _DEFINITIONS):
        return {node.name}
    made = [n for n in ast.walk(node) if not isinstance(getattr(n, "ctx", ast.Load()), ast.Load)]
    return {n.id for target in made for n in ast.walk(target) if isinstance(n, ast.Name)}


def _list_read(node: ast.stmt) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _list_lines(node: ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _explain_broken(prompt: str, entry: str, code: str) -> Program:
    source = next(iter(_complete(prompt, entry, code)))
    return Program(
        code,
        None,
        find_syntax_error(source, len(source[: source.rfind(code)].split("\n")) - 1 if code in source else 0),
    )


# -------------------------------------------------------------------------------------------------------------- parsing
def parse(source: str) -> ast.Module | None:
    """The syntax tree, not to be changed; None where `source` is no program."""
    return _read(source)[0]


def parses(source: str) -> bool:
    return parse(source) is not None


def find_syntax_error(source: str, lines_before: int = 0) -> str:
    """One line that says why `source` is no program; empty if it is one. Line numbers count from `lines_before`."""
    _, line, message = _read(source)
    return f"line {max(1, line - lines_before)}: {message}" if line else message


def _read(source: str) -> tuple[ast.Module | None, int, str]:
    """Tree, or line and message, whatever the parser dies of: null bytes, nesting, bad literals. Nothing is run."""
    return (
        _read_short(source)
        if len(source) <= LONGEST_SOURCE
        else (None, 0, f"longer than {LONGEST_SOURCE:,} characters")
    )


@lru_cache(maxsize=128)
def _read_short(source: str) -> tuple[ast.Module | None, int, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
            compile(
                tree, "answer", "exec", dont_inherit=True
            )  # finds what parsing lets through, such as a `return` at the margin
    except SyntaxError as error:
        return None, error.lineno or 1, error.msg
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        return None, 0, str(error) or type(error).__name__
    return tree, 0, ""


def defines(source: str, entry: str) -> bool:
    tree = parse(source)
    return tree is not None and _find_definition(tree, entry) is not None


def _find_definition(tree: ast.Module, entry: str) -> ast.AST | None:
    """The last definition of `entry` at the top level, where the tests look for it."""
    for node in reversed(tree.body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == entry:
            return node
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(t, ast.Name) and t.id == entry for t in targets):
                return node
        if isinstance(node, ast.Import | ast.ImportFrom) and any((a.asname or a.name) == entry for a in node.names):
            return node
    return None


# ----------------------------------------------------------------------------------------------------------- comparison
_SIGNS: dict[type, str] = {
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.In: "in",
    ast.NotIn: "not in",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.MatMult: "@",
    ast.And: "and",
    ast.Or: "or",
    ast.Not: "not",
    ast.USub: "a minus sign",
    ast.Invert: "~",
}
_STATEMENTS: dict[type, str] = {
    ast.For: "a loop",
    ast.While: "a while loop",
    ast.If: "an if",
    ast.IfExp: "a conditional expression",
    ast.ListComp: "a list comprehension",
    ast.SetComp: "a set comprehension",
    ast.DictComp: "a dict comprehension",
    ast.GeneratorExp: "a generator expression",
    ast.Lambda: "a lambda",
    ast.Try: "a try",
    ast.Return: "a return",
    ast.Yield: "a yield",
    ast.Break: "a break",
    ast.Continue: "a continue",
}
_KINDS = ("comparison", "operator", "call", "argument", "slice", "constant", "statement")

MOST_WORDS = 3
"""Differences that one correction names; the first ones are the likeliest to matter."""


def write_correction(draft: str, solution: str, entry: str) -> str:
    """In words, what a working solution uses and the draft does not, and the other way round; empty where the draft
    does not parse.

    Both programs are taken apart into operators, calls, keyword arguments, slices, constants and statements; the
    differences are paired within each kind. Names that are defined nowhere come first, paired with the parameters that
    the draft forgot. Names that the solution chose, and whole expressions, are never told.
    """
    try:
        have, want, hints = (
            _collect_features(draft, entry),
            _collect_features(solution, entry),
            _find_misnamed(draft, entry),
        )
    # Nesting, or a number of thousands of digits, must not leave the tests of a draft undecided.
    except (RecursionError, ValueError):
        return ""
    if have is None or want is None:
        return ""
    for kind in _KINDS:
        missing, extra = list((want[kind] - have[kind]).elements()), list((have[kind] - want[kind]).elements())
        hints += [f"use {new} where the draft has {old}" for new, old in zip(missing, extra, strict=False)]
        hints += [f"a working solution also uses {new}" for new in missing[len(extra) :]]
        hints += [f"leave out {old}" for old in extra[len(missing) :]]
    hints = list(dict.fromkeys(hints))[:MOST_WORDS] or [
        "the right operators and calls are there, but in another order or on other values"
    ]
    return _write_sentence("; ".join(hints))


def _find_misnamed(draft: str, entry: str) -> list[str]:
    tree = parse(draft)
    function = _find_definition(tree, entry) if tree else None
    if tree is None or not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        return []
    made = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)} | {
        *vars(builtins)
    }
    made |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    made |= {
        n.name
        for n in ast.walk(tree)
        if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler) and n.name
    }
    made |= {
        (a.asname or a.name).split(".")[0]
        for n in ast.walk(tree)
        if isinstance(n, ast.Import | ast.ImportFrom)
        for a in n.names
    }
    read = dict.fromkeys(n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))
    unknown = [name for name in read if name not in made]
    forgotten = [a.arg for a in function.args.args if a.arg not in read]
    pairs = [f"use {right} where the draft has {name}" for name, right in zip(unknown, forgotten, strict=False)]
    return pairs + [f"{name} is not defined" for name in unknown[len(forgotten) :]]


def _write_sentence(text: str) -> str:
    return (text if " is not defined" in text.split(";")[0] else text[:1].upper() + text[1:]) + "."


def _collect_features(source: str, entry: str) -> dict[str, Counter[str]] | None:
    tree = parse(source)
    if tree is None:
        return None
    found: dict[str, Counter[str]] = {kind: Counter() for kind in _KINDS}
    root = _find_definition(tree, entry) or tree
    local = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    body = root.body if isinstance(root, ast.FunctionDef | ast.AsyncFunctionDef) else [root]
    for statement in body:
        if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):  # a docstring
            _count(statement, local, found)
    return found


def _count(node: ast.AST, local: set[str], found: dict[str, Counter[str]]) -> None:
    """Add what `node` is made of to `found`, by kind."""
    if isinstance(node, ast.Compare):
        found["comparison"].update(_SIGNS[type(op)] for op in node.ops)
    elif isinstance(node, ast.BinOp | ast.UnaryOp | ast.BoolOp | ast.AugAssign):
        if type(node.op) in _SIGNS:
            found["operator"][_SIGNS[type(node.op)]] += 1
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute):
            found["call"][f".{node.func.attr}"] += 1
        elif isinstance(node.func, ast.Name) and node.func.id not in local:
            found["call"][node.func.id] += 1
    elif isinstance(node, ast.keyword) and node.arg:
        found["argument"][f"{node.arg}={_shorten(node.value)}"] += 1
        if _shorten(node.value) != "…":
            return
    elif isinstance(node, ast.Slice):
        found["slice"][
            f"[{_shorten(node.lower)}:{_shorten(node.upper)}{':' + _shorten(node.step) if node.step else ''}]"
        ] += 1
        return  # its numbers were just told
    elif isinstance(node, ast.Constant) and not isinstance(node.value, str | bytes) and node.value is not None:
        found["constant"][repr(node.value)[:20]] += 1
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and 0 < len(node.value) <= 12:
        found["constant"][repr(node.value)] += 1
    elif type(node) in _STATEMENTS:
        found["statement"][_STATEMENTS[type(node)]] += 1
    for child in ast.iter_child_nodes(node):
        _count(child, local, found)


def _shorten(node: ast.expr | None) -> str:
    """A bound or an argument, where it is a name or a number; longer expressions are not told."""
    if node is None:
        return ""
    text = ast.unparse(node)
    return text if len(text) <= 9 else "…"
