"""What a value's class says of it: which types travel by name, which values are made of plain data, and what a subclass
of a builtin adds to that. Asked without running anything of the class's own.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import itertools
import operator
import sys
from collections.abc import Callable, Iterator
from typing import Any

from .protocol import OWN_MODULE, BadValue

# Types that travel by name: by module. The receiver looks them up in its own interpreter.
PLAIN_TYPES = (
    "int float str bool list dict set frozenset tuple bytes bytearray complex type object range slice memoryview"
)
EXCEPTIONS = [
    name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, BaseException)
]
NAMED_TYPES = {
    "builtins": frozenset({*PLAIN_TYPES.split(), *EXCEPTIONS}),
    "collections": frozenset({"Counter", "OrderedDict", "defaultdict", "deque"}),
    "decimal": frozenset({"Decimal"}),
    "fractions": frozenset({"Fraction"}),
    "datetime": frozenset({"date", "datetime", "time", "timedelta", "timezone"}),
}
NONE_TYPE = "builtins.NoneType"  # no name in its module


def name_type(value: Any) -> str | None:
    """`module.name` of a type that travels by name, else None. By identity, so an impostor's name does not help it."""
    if value is type(None):
        return NONE_TYPE
    module, name = getattr(value, "__module__", None), getattr(value, "__name__", None)
    if type(module) is not str or type(name) is not str or name not in NAMED_TYPES.get(module, ()):
        return None
    return f"{module}.{name}" if getattr(sys.modules.get(module), name, None) is value else None


def find_type(name: Any) -> Any:
    if name == NONE_TYPE:
        return type(None)
    if type(name) is not str:
        raise BadValue("a type is named by a string")
    module, _, short = name.rpartition(".")
    if short not in NAMED_TYPES.get(module, ()):
        raise BadValue("a type that does not travel")
    return getattr(importlib.import_module(module), short)


class Dressed:
    """A builtin's immutable value that a class of the program's own only adds to (a named tuple, a member of an
    `IntEnum`), as the tests have it: its worth is a copy, compared as such, all else is asked of the original."""


IMMUTABLE = (int, float, str, bytes, tuple, frozenset)
# A builtin, and what gives a copy as that builtin without asking the subclass.
BASES: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (int, int.__index__),
    (float, float.__float__),
    (str, str.__str__),
    (tuple, lambda value: tuple(tuple.__iter__(value))),
    (list, lambda value: list(list.__iter__(value))),
    (dict, lambda value: dict(dict.items(value))),
    (set, lambda value: set(set.__iter__(value))),
    (frozenset, lambda value: frozenset(frozenset.__iter__(value))),
    (bytes, lambda value: bytes.__getitem__(value, slice(None))),
)
# What a class that dresses a value may define without meaning anything else by ==, < or +.
ADDITIONS = (
    "__annotations__ __dict__ __doc__ __format__ __getnewargs__ __init__ __match_args__ __module__ __new__"
    " __orig_bases__ __reduce_ex__ __reduce__ __repr__ __slots__ __str__ __static_attributes__ __firstlineno__"
    " __weakref__"
)
HARMLESS = frozenset(ADDITIONS.split())


def copy_plain(value: Any) -> Any:
    """A copy as the builtin type that its class derives from."""
    return next(copy(value) for base, copy in BASES if isinstance(value, base))


def undress(value: Any, kind: type) -> Any:
    """The plain value of what the tests shall have as `Dressed`, None for anything else."""
    if kind.__module__ == OWN_MODULE or (isinstance(value, tuple) and has_more_than_fields(kind)):
        for base, copy in BASES:
            if base in IMMUTABLE and isinstance(value, base) and find_dunders(kind, base) <= HARMLESS:
                return copy(value)
    return None


def strip_subclass(value: Any, kind: type) -> Any:
    """The plain value of a subclass that is a dressed-up value, None where it adds public methods, and so behaviour."""
    return next(
        (copy(value) for base, copy in BASES if isinstance(value, base) and not has_own_methods(kind, base)), None
    )


def list_own_members(kind: type, base: type) -> Iterator[tuple[str, Any]]:
    """What a class and its parents add to a base, by name."""
    for parent in itertools.takewhile(lambda parent: parent is not base, kind.__mro__):
        yield from vars(parent).items()


def has_more_than_fields(kind: type) -> bool:
    """Has a tuple's class attributes of its own that are not just the names of its fields?"""
    known = {*getattr(kind, "_fields", ()), "count", "index"}
    return any(not name.startswith("_") and name not in known for name, _ in list_own_members(kind, tuple))


def has_own_methods(kind: type, base: type) -> bool:
    return any(not name.startswith("_") and callable(member) for name, member in list_own_members(kind, base))


def find_dunders(kind: type, base: type) -> set[str]:
    return {name for name, _ in list_own_members(kind, base) if name.startswith("__") and name.endswith("__")}


def is_named_tuple(kind: type) -> bool:
    fields = getattr(kind, "_fields", None)
    return issubclass(kind, tuple) and type(fields) is tuple and all(type(field) is str for field in fields)


@functools.lru_cache(maxsize=256)
def make_named_tuple(name: str, fields: tuple[str, ...]) -> Any:
    """collections.namedtuple would eval. Kept: classes are dear, and only the garbage collector takes them away."""
    members: dict[str, Any] = {field: property(operator.itemgetter(i)) for i, field in enumerate(fields)}
    return type(name, (tuple,), {**members, "_fields": fields, "__slots__": ()})
