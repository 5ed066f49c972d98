"""Test source to instrumented code: every `assert` reports to a recorder instead of stopping the tests.

Covers: asserts anywhere in the source (loops, helpers, nested functions); a failing or raising statement of the main body is reported and
the next one is still tried. Leaves out: running anything (`tester.py`). The recorder is reached under the global name `__hb__`:

    assert f(x) == y   →   try: __hb__.start(0); __hb__.compare(0, "Eq", f(x), y)
                           except __hb__.Stop: raise
                           except BaseException: __hb__.raised(0)
"""

from __future__ import annotations

import ast
import builtins
import symtable
from types import CodeType
from typing import NamedTuple

RECORDER = "__hb__"
BUILTINS = frozenset(dir(builtins))
LONGEST_SOURCE = 500


class Site(NamedTuple):
    """One assert statement.

    conditional: it sits in a branch (`if`, `except`, `else` of `try`, `case`), so that not reaching it says nothing.
    """

    source: str
    conditional: bool
    left_call: bool = False


class Tests(NamedTuple):
    """free: global names that the source reads and nobody defines; they can only mean the program's. calls_check: it does so itself."""

    code: CodeType
    sites: tuple[Site, ...]
    statements: tuple[str, ...]
    free: frozenset[str]
    has_check: bool
    calls_check: bool


def prepare(source: str) -> Tests:
    """Raises SyntaxError (or ValueError for a NUL byte) where the tests do not parse."""
    source = source.replace("\r\n", "\n")
    tree = ast.parse(source)
    has_check = any(isinstance(node, ast.FunctionDef) and node.name == "check" for node in tree.body)
    calls_check = any(
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id == "check"
        for node in tree.body
    )
    writer = _Writer(source)
    body = writer.main_body(tree.body)
    new = ast.fix_missing_locations(ast.Module(body, tree.type_ignores))
    code = compile(new, "<tests>", "exec", dont_inherit=True)
    return Tests(code, tuple(writer.sites), tuple(writer.statements), free_names(source), has_check, calls_check)


def free_names(source: str) -> frozenset[str]:
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


class _Writer(ast.NodeTransformer):
    def __init__(self, source: str):
        self.source = source
        self.sites: list[Site] = []
        self.statements: list[str] = []
        self.branches = 0

    def main_body(self, body: list[ast.stmt]) -> list[ast.stmt]:
        return [self._guarded(node) for node in body]

    def _guarded(self, node: ast.stmt) -> ast.stmt:
        if isinstance(node, ast.FunctionDef) and node.name == "check":
            node.body = self.main_body(node.body)
            return node
        text = self._text(node)
        new: ast.stmt = self.visit(node)
        unguarded = (ast.Assert, ast.FunctionDef, ast.AsyncFunctionDef, ast.Global, ast.Nonlocal, ast.Pass)
        if isinstance(node, unguarded) or (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            return new
        self.statements.append(text)
        imports = isinstance(node, ast.Import | ast.ImportFrom)
        return self._try([new], self._call("broken", ast.Constant(len(self.statements) - 1), ast.Constant(imports)))

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        test = node.test
        left_call = isinstance(test, ast.Compare) and isinstance(test.left, ast.Call)
        never = isinstance(test, ast.Constant) and not test.value  # `assert False` marks a place that must not be reached
        number = len(self.sites)
        self.sites.append(Site(self._text(node), never or self.branches > 0, left_call))
        test = self.visit(test)
        where = ast.Constant(number)
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            report = self._call("compare", where, ast.Constant(type(test.ops[0]).__name__), test.left, test.comparators[0])
        else:
            report = self._call("truth", where, test)
        return ast.copy_location(self._try([self._call("start", where), report], self._call("raised", where)), node)

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

    def _text(self, node: ast.AST) -> str:
        return " ".join((ast.get_source_segment(self.source, node) or ast.unparse(node)).split())[:LONGEST_SOURCE]

    def _call(self, method: str, *args: ast.expr) -> ast.Expr:
        function = ast.Attribute(ast.Name(RECORDER, ast.Load()), method, ast.Load())
        return ast.Expr(ast.Call(function, list(args), []))

    def _try(self, body: list[ast.stmt], on_error: ast.stmt) -> ast.Try:
        stop = ast.Attribute(ast.Name(RECORDER, ast.Load()), "Stop", ast.Load())
        handlers = [
            ast.ExceptHandler(stop, None, [ast.Raise()]),
            ast.ExceptHandler(ast.Name("BaseException", ast.Load()), None, [on_error]),
        ]
        return ast.Try(body, handlers, [], [])
