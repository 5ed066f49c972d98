"""Test source to instrumented code: every `assert` reports to a recorder instead of stopping the tests.

Covers: asserts anywhere in the source (loops, helpers, nested functions); a failing or raising statement of the main
body is reported and the next one is still tried. Leaves out: running (`tester.py`). The recorder's name is `__hb__`:

    assert f(x) == y   →   try: __hb__.start(0); __hb__.compare(0, "Eq", f(x), y)
                           except __hb__.Stop: raise
                           except BaseException: __hb__.report_error(0)
"""

from __future__ import annotations

import ast
import builtins
import re
import symtable
from types import CodeType
from typing import Any, NamedTuple

RECORDER = "__hb__"
BUILTINS = frozenset(dir(builtins))
LONGEST_SOURCE = 500
LOAD = ast.Load()
# Of the nodes that stand nowhere in the source; asking ast to find them all takes longer than parsing.
ANYWHERE: Any = {"lineno": 1, "col_offset": 0}


class Call(NamedTuple):
    """A call of the program's `function` with plain data. final: nothing more is asked of what it returns."""

    function: str
    args: list[Any]
    kwargs: dict[str, Any]
    final: bool


class Site(NamedTuple):
    """An assert. conditional: in a branch (`if`, `except`, `else` of `try`, `case`), so that not reaching it says
    nothing. ahead: where in `Tests.calls` those begin and end that the assert statements right after this one make, if
    reading them is enough to tell. bare: it compares nothing."""

    source: str
    conditional: bool
    left_call: bool = False
    ahead: tuple[int, int] = (0, 0)
    bare: bool = True


class Tests(NamedTuple):
    """free: global names that the source reads and nobody defines; they can only mean the program's. calls_check: it
    does so itself. attributes: those that the source names. replaces: which name of a module they put something else in
    place of. doubt: what else they do to their own process that an honest program may need done to its own."""

    code: CodeType
    sites: tuple[Site, ...]
    statements: tuple[str, ...]
    free: frozenset[str]
    has_check: bool
    calls_check: bool
    calls: tuple[Call, ...] = ()
    attributes: frozenset[str] = frozenset()
    replaces: str = ""
    doubt: str = ""


def prepare(source: str) -> Tests:
    """Raises SyntaxError (or ValueError for a NUL byte) where the tests do not parse."""
    source = source.replace("\r\n", "\n").replace("\r", "\n")  # as the parser counts lines
    tree = ast.parse(source)
    has_check = any(isinstance(node, ast.FunctionDef) and node.name == "check" for node in tree.body)
    calls_check = any(
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and is_check(node.value.func)
        for node in tree.body
    )
    free = find_free_names(source)
    writer = _Writer(source, free, checks_only_program(tree, free))
    attributes = frozenset(node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    body = writer.main_body(tree.body)
    code = compile(ast.Module(body, tree.type_ignores), "<tests>", "exec", dont_inherit=True)
    effects = find_effects(source, tree, free)
    sites, statements = tuple(writer.sites), tuple(writer.statements)
    return Tests(code, sites, statements, free, has_check, calls_check, tuple(writer.calls), attributes, *effects)


def find_free_names(source: str) -> frozenset[str]:
    top = symtable.symtable(source, "<tests>", "exec")
    read, bound = set(), set()
    tables = [top]
    while tables:
        table = tables.pop()
        tables.extend(table.get_children())
        for symbol in table.get_symbols():
            if table is top or symbol.is_global():
                if symbol.is_referenced():
                    read.add(symbol.get_name())
                if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace():
                    bound.add(symbol.get_name())
    return frozenset(read - bound - BUILTINS)


WORLD = (  # what changes the tests' own process, files or modules
    "chdir mkdir makedirs touch write_text write_bytes putenv setrecursionlimit getcontext setcontext setlocale mkstemp"
    " mkdtemp NamedTemporaryFile TemporaryDirectory"
)
TRACES = re.compile(rf"\b(import|open|case|{WORLD.replace(' ', '|')})\b")
OWN_STREAMS = ("stdout", "stderr")  # where the program's output goes too


def find_effects(source: str, tree: ast.Module, free: frozenset[str]) -> tuple[str, str]:
    """What the tests replace, and what else they do, in words: in a single process the program would see it."""
    if not TRACES.search(source):  # walking through the tree takes half as long as all else that is done with it
        return "", ""
    imported = {
        (name.asname or name.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    replaces = doubt = ""
    for node in ast.walk(tree):
        name = spell_dotted(node.func if isinstance(node, ast.Call) else node)
        words = set(name.split("."))
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            if name.partition(".")[0] in imported and not words & set(OWN_STREAMS):
                replaces = name
        elif isinstance(node, ast.MatchClass) and spell_dotted(node.cls) in free:
            doubt = f"match the class {spell_dotted(node.cls)}"
        elif isinstance(node, ast.Call):
            arguments = [*node.args, *(word.value for word in node.keywords)]
            texts = [part.value for part in arguments if isinstance(part, ast.Constant) and isinstance(part.value, str)]
            if "patch" in words and words & imported and not any(text.endswith(OWN_STREAMS) for text in texts):
                replaces = next(iter(texts), name)
            elif words & set(WORLD.split()) or (
                name == "open" and any(set(text) & set("wax+") and len(text) < 4 for text in texts[-1:])
            ):
                doubt = f"call {name}"
    return replaces, doubt


def spell_dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{spell_dotted(node.value)}.{node.attr}"
    return spell_dotted(node.value) if isinstance(node, ast.Subscript) else ""


def checks_only_program(tree: ast.Module, free: frozenset[str]) -> bool:
    """Is `check` only given what the program defines? A wrapper of the tests may call it otherwise than it shows."""
    nodes = list(ast.walk(tree))
    tested = [node.args[0] for node in nodes if isinstance(node, ast.Call) and is_check(node.func) and node.args]
    uses = sum(map(is_check, nodes))
    return uses == len(tested) and all(isinstance(argument, ast.Name) and argument.id in free for argument in tested)


def is_check(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "check"


AROUND = (
    *(ast.Constant, ast.Tuple, ast.List, ast.Set, ast.Dict, ast.expr_context),
    *(ast.UnaryOp, ast.unaryop, ast.BinOp, ast.operator, ast.Compare, ast.cmpop),
)
FINAL = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot)
WRAPPERS = frozenset({"abs", "round", "list", "tuple", "set", "sorted", "dict", "str", "int", "float", "bool"})


def find_only_call(test: ast.expr, names: frozenset[str]) -> Call | None:
    """The one call of a name among `names` that evaluating the test comes down to; None where that cannot be told."""
    found: ast.Call | None = None
    nodes: list[ast.AST] = [test]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Call):
            if not isinstance(node.func, ast.Name):
                return None
            if node.func.id in names and found is None:
                found = node
            elif node.func.id in WRAPPERS and not node.keywords:
                nodes += node.args
            else:
                return None
        elif isinstance(node, ast.Compare) and any(
            isinstance(part, ast.Call) for last in node.comparators[1:] for part in ast.walk(last)
        ):
            return None  # a chain may end before it comes to this
        elif isinstance(node, AROUND):
            nodes += ast.iter_child_nodes(node)
        else:
            return None
    if found is None or not all(keyword.arg for keyword in found.keywords):
        return None
    try:
        args = [ast.literal_eval(argument) for argument in found.args]
        kwargs = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in found.keywords}
    except (ValueError, TypeError, RecursionError, MemoryError):
        return None
    assert isinstance(found.func, ast.Name)
    final = (
        isinstance(test, ast.Compare) and isinstance(test.ops[0], FINAL) and found in (test.left, test.comparators[0])
    )
    return Call(found.func.id, args, kwargs, final)


def cannot_raise(node: ast.stmt) -> bool:
    """By itself, or reports it by itself."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):  # its decorators and defaults may call the program
        arguments = node.args
        known = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        annotated = node.returns or any(argument and argument.annotation for argument in known)
        return not (node.decorator_list or arguments.defaults or any(arguments.kw_defaults) or annotated)
    future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
    return future or isinstance(node, ast.Assert | ast.Global | ast.Nonlocal | ast.Pass)


class _Writer(ast.NodeTransformer):
    """names: what means the program's own. checks_program: so does the argument of `check`."""

    def __init__(self, source: str, names: frozenset[str], checks_program: bool):
        self.lines = source.encode().split(b"\n")
        self.names = names
        self.checks_program = checks_program
        self.calls: list[Call] = []
        self.sites: list[Site] = []
        self.statements: list[str] = []
        self.branches = 0

    def main_body(self, body: list[ast.stmt]) -> list[ast.stmt]:
        new: list[ast.stmt] = []
        run: list[tuple[int, Call]] = []
        for node in body:
            call = find_only_call(node.test, self.names) if isinstance(node, ast.Assert) else None
            if call is None or (run and run[0][1].function != call.function):
                self._foresee(run)
                run = []
            if call is not None:
                run.append((len(self.sites), call))
            new.append(self._guard(node))
        self._foresee(run)
        return new

    def _foresee(self, run: list[tuple[int, Call]]) -> None:
        """Asserts in a row, each with one call that is known: each site gets those of the sites behind it."""
        first = len(self.calls)
        self.calls += [call for _, call in run]
        for i, (site, _) in enumerate(run):
            self.sites[site] = self.sites[site]._replace(ahead=(first + i + 1, len(self.calls)))

    def _guard(self, node: ast.stmt) -> ast.stmt:
        if isinstance(node, ast.FunctionDef) and node.name == "check":
            names = self.names
            stored = {
                part.id for part in ast.walk(node) if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load)
            }
            stored |= {part.name for part in ast.walk(node) if isinstance(part, ast.FunctionDef | ast.ClassDef)}
            parameters = node.args.args[:1] if self.checks_program and not node.decorator_list else []
            self.names = frozenset({*names, *(parameter.arg for parameter in parameters)} - stored)
            node.body = self.main_body(node.body)
            self.names = names
            new: ast.stmt = node
        else:
            new = self.visit(node)
        if cannot_raise(node):
            return new
        text = self._text(node)
        self.statements.append(text)
        imports = isinstance(node, ast.Import | ast.ImportFrom)
        return self._try([new], self._call("report_broken", constant(len(self.statements) - 1), constant(imports)))

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        test = node.test
        left_call = isinstance(test, ast.Compare) and isinstance(test.left, ast.Call)
        # `assert False` marks a place that must not be reached.
        never = isinstance(test, ast.Constant) and not test.value
        number = len(self.sites)
        bare = not isinstance(test, ast.Compare)
        self.sites.append(Site(self._text(node), never or self.branches > 0, left_call, bare=bare))
        test = self.visit(test)
        where = constant(number)
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            report = self._call("compare", where, constant(type(test.ops[0]).__name__), test.left, test.comparators[0])
        else:
            report = self._call("check", where, test)
        return ast.copy_location(
            self._try([self._call("start", where), report], self._call("report_error", where)), node
        )

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        one = isinstance(node.func, ast.Name) and node.func.id == "type" and len(node.args) == 1 and not node.keywords
        return self._type_of(node, node.args[0]) if one else node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        return self._type_of(node, node.value) if node.attr == "__class__" and isinstance(node.ctx, ast.Load) else node

    def _type_of(self, node: ast.expr, value: ast.expr) -> ast.expr:
        """The class of the program's, where the value is an object of the program's."""
        return ast.copy_location(self._call("type_of", value).value, node)

    def visit_If(self, node: ast.If) -> ast.If:
        node.test = self.visit(node.test)
        always = isinstance(node.test, ast.Constant) and bool(node.test.value)
        node.body = self._block(node.body, branch=not always)
        node.orelse = self._block(node.orelse, branch=True)
        return node

    def visit_Try(self, node: ast.Try) -> ast.Try:
        node.body = self._block(node.body, branch=False)
        for handler in node.handlers:
            handler.body = self._block(handler.body, branch=True)
        node.orelse = self._block(node.orelse, branch=True)
        node.finalbody = self._block(node.finalbody, branch=False)
        return node

    def visit_match_case(self, node: ast.match_case) -> ast.match_case:
        node.body = self._block(node.body, branch=True)
        return node

    def _block(self, body: list[ast.stmt], branch: bool) -> list[ast.stmt]:
        self.branches += branch
        new = [self.visit(statement) for statement in body]
        self.branches -= branch
        return new

    def _text(self, node: ast.stmt) -> str:
        """As written, in one line. `ast.get_source_segment` would split the whole source for each."""
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        lines = self.lines[first : last + 1]
        lines[-1] = lines[-1][: node.end_col_offset]
        lines[0] = lines[0][node.col_offset :]
        return " ".join(b"\n".join(lines).decode().split())[:LONGEST_SOURCE]

    def _call(self, method: str, *args: ast.expr) -> ast.Expr:
        function = ast.Attribute(ast.Name(RECORDER, LOAD, **ANYWHERE), method, LOAD, **ANYWHERE)
        return ast.Expr(ast.Call(function, list(args), [], **ANYWHERE), **ANYWHERE)

    def _try(self, body: list[ast.stmt], on_error: ast.stmt) -> ast.Try:
        stop = ast.Attribute(ast.Name(RECORDER, LOAD, **ANYWHERE), "Stop", LOAD, **ANYWHERE)
        handlers = [
            ast.ExceptHandler(stop, None, [ast.Raise(None, None, **ANYWHERE)], **ANYWHERE),
            ast.ExceptHandler(ast.Name("BaseException", LOAD, **ANYWHERE), None, [on_error], **ANYWHERE),
        ]
        return ast.Try(body, handlers, [], [], **ANYWHERE)


def constant(value: int | bool | str) -> ast.Constant:
    return ast.Constant(value, **ANYWHERE)
