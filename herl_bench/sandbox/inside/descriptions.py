"""What the tester is told of an object that stays with the candidate: sort, behaviour, all there is of an exception.

Runs in the candidate's process. Nothing of it is trusted: the tester holds it against nothing but the tests' questions.
"""

from __future__ import annotations

import types
from typing import Any

from . import codec, containers
from .protocol import ERROR_PARTS, OWN_MODULE, SPECIAL, TEXT_CAP, spell_dunders

CHAIN_AT_MOST = 10  # exceptions that come with the one that was raised, as its cause and so on
SPECIAL_NAMES = spell_dunders(SPECIAL)
WORDS: dict[int, tuple[type, str]] = {}  # by identity: a metaclass may have a hash of its own, or none


def is_own(value: Any) -> bool:
    """An instance of a class that the program wrote stays an object, even where it derives from a builtin type."""
    return type(value).__module__ == OWN_MODULE


def find_sort(value: Any, kind: type) -> str:
    if isinstance(value, type):
        return "exception" if issubclass(value, BaseException) else "class"
    if hasattr(kind, "__await__") and hasattr(kind, "send"):
        return "coroutine"
    if hasattr(kind, "__next__"):
        return "generator" if kind is types.GeneratorType else "iterator"
    return "function" if kind is types.FunctionType else "callable" if callable(value) else "object"


def describe_class(kind: type) -> str:
    """Its special methods, and in a word how it compares; looked up once."""
    if id(kind) not in WORDS:
        WORDS[id(kind)] = kind, " ".join(list_special_methods(kind))
    return WORDS[id(kind)][1]


def list_special_methods(kind: type) -> list[str]:
    """Those that `object` has not, and in a word how it compares: as its fields (a dataclass), or as its builtin."""
    words = [name for name in SPECIAL_NAMES if getattr(kind, name, None) not in (None, getattr(object, name, None))]
    if hasattr(kind, "__next__"):
        words = [name for name in words if name not in ("__iter__", "__next__")]
    if not isinstance(getattr(kind, "__contains__", None), types.FunctionType):
        words = [name for name in words if name != "__contains__"]  # a builtin's, which looks at the items
    if kind.__hash__ is None:
        words.append("__hash__")
    is_generated = getattr(getattr(kind.__eq__, "__code__", None), "co_filename", "") == "<string>"
    if is_generated and hasattr(kind, "__dataclass_fields__"):
        words.append("narrow")
    if any(kind.__eq__ is base.__eq__ for base in containers.MUTABLE) or codec.name_in_tables(kind) in codec.KEPT:
        words.append("data")
    return words


def name_bases(kind: type) -> list[str]:
    """Its own full name and those of its bases."""
    return [f"{parent.__module__}.{parent.__qualname__}" for parent in kind.__mro__]


def describe_error(error: BaseException, export: codec.Export) -> list[Any]:
    """[names of its classes, its plain args or None, its text, the last line of the program that it passed through]."""
    try:
        text = str(error)[:TEXT_CAP]
    except BaseException:
        text = ""
    try:
        arguments = codec.encode(list(error.args), export)
    except BaseException:
        arguments = None
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<program>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return [name_bases(type(error)), arguments, text, line]


def list_attributes(error: BaseException, depth: int) -> dict[str, Any]:
    """Those of an exception that are plain or exceptions. depth: of which chain of causes it is a part."""
    parts = {name: getattr(error, name, None) for name in ERROR_PARTS} if depth < CHAIN_AT_MOST else {}
    parts |= {} if is_own(error) else vars(error)
    return {name: value for name, value in parts.items() if can_travel(value)}


def can_travel(value: Any) -> bool:
    if value is None or isinstance(value, BaseException):
        return value is not None
    try:
        codec.encode(value)
    except Exception:
        return False
    return True
