"""Render a plugin's Jinja template in a sandbox, so that a mistake in it is one line and no endless loop.

Bounded are the turns of loops and the calls together, the processor time between them, how long the text becomes, and
what a multiplication or a number given to a filter or a method can blow up. Not bounded is memory as such: a template
comes with a plugin, and plugins are code that somebody chose to install. Chat templates come with models that nobody
chose for their code; they are rendered in a process of their own (`bounded.py`).
"""

from __future__ import annotations

import functools
import time
import traceback
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from herl_bench.errors import UsageError
from herl_bench.plain_text import flatten

MOST_TURNS = 500_000
MOST_TEXT = 4_000_000
SECONDS = 10.0
CLOCK = "_clock"


class _Clock:
    """What one rendering has used."""

    def __init__(self) -> None:
        self.turns, self.began = 0, time.thread_time()

    def tick(self) -> None:
        from jinja2 import TemplateRuntimeError

        self.turns += 1
        if self.turns > MOST_TURNS or time.thread_time() - self.began > SECONDS:
            raise TemplateRuntimeError(f"its loops take more than {MOST_TURNS:,} turns or {SECONDS:g} s")


@lru_cache(maxsize=1)
def _make_environment() -> Any:
    from jinja2 import StrictUndefined, TemplateRuntimeError, pass_context
    from jinja2.sandbox import SandboxedEnvironment

    def refuse_large(*values: Any) -> None:
        if any(isinstance(value, int) and abs(value) > MOST_TEXT for value in values):
            raise TemplateRuntimeError(f"a number above {MOST_TEXT:,}")

    class Environment(SandboxedEnvironment):
        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            if operator == "**":
                raise TemplateRuntimeError("powers are not for templates")
            for values, times in ((left, right), (right, left)):
                if isinstance(times, int) and hasattr(values, "__len__"):
                    refuse_large(len(values) * times)
            return super().call_binop(context, operator, left, right)

        def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
            __context[CLOCK].tick()
            refuse_large(*args, *kwargs.values())
            return super().call(__context, __obj, *args, **kwargs)

    @pass_context
    def count_turns(context: Any, values: Iterable[Any]) -> Iterator[Any]:
        for value in values:
            context[CLOCK].tick()
            yield value

    def guard_numbers(function: Any) -> Any:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            refuse_large(*args, *kwargs.values())
            return function(*args, **kwargs)

        return call

    made = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    made.filters = {name: guard_numbers(function) for name, function in made.filters.items()} | {"counted": count_turns}
    made.globals.pop("lipsum")
    return made


@lru_cache(maxsize=64)
def _compile(source: str) -> Any:
    """Raises jinja2's errors."""
    from jinja2 import TemplateSyntaxError, nodes

    environment = _make_environment()
    tree = environment.parse(source)
    for loop in list(tree.find_all(nodes.For)):
        if loop.recursive:
            raise TemplateSyntaxError("recursive loops are not for templates", loop.lineno)
        loop.iter = nodes.Filter(loop.iter, "counted", [], [], None, None, lineno=loop.lineno)
    return environment.from_string(tree)


def compile_template(source: str, what: str) -> Any:
    """Raises `UsageError` with what, line and reason where it is no template. what: the template in words."""
    from jinja2 import TemplateSyntaxError

    try:
        return _compile(source)
    except TemplateSyntaxError as error:
        raise UsageError(f"{what}, line {error.lineno}: {flatten(error.message or str(error))}") from None
    except RecursionError:
        raise UsageError(f"{what}: nested too deep") from None
    except (ValueError, ArithmeticError, MemoryError) as error:  # Jinja folds constants, such as one of 5,000 digits
        raise UsageError(f"{what}: {type(error).__name__}: {flatten(str(error))[:200]}") from None


def render_template(source: str, what: str, **names: Any) -> str:
    """Raises `UsageError` for whatever goes wrong inside, Jinja's error or a value's: it is its author's to mend."""
    from jinja2 import TemplateError

    template, pieces, size = compile_template(source, what), [], 0
    try:
        for piece in template.generate(**names, **{CLOCK: _Clock()}):
            pieces.append(piece)
            size += len(piece)
            if size > MOST_TEXT:
                raise TemplateError(f"it makes more than {MOST_TEXT:,} characters")
    except Exception as error:
        kind = "" if isinstance(error, TemplateError) else f"{type(error).__name__}: "
        raise UsageError(f"{what}{_find_line(error)}: {kind}{flatten(str(error))}") from None
    return "".join(pieces)


def _find_line(error: BaseException) -> str:
    """Jinja gives a template's frames its own line numbers."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<template>"]
    return f", line {lines[-1]}" if lines else ""
