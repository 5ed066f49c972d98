"""Containers that tests and program both have: which they are, and how one side's takes over the other's changes."""

from __future__ import annotations

import array
import collections
from typing import Any

from .arrays import is_array

DEPTH = 100  # of nested containers in one message: less than what the interpreter's own stack bears
MUTABLE = frozenset(
    {
        *(list, dict, set, bytearray, array.array),
        *(collections.deque, collections.Counter, collections.OrderedDict, collections.defaultdict),
    }
)


def has_mutable(value: Any, depth: int = 0) -> bool:
    """Could a callee change this value, or something inside it, in a way that the caller would see?"""
    kind = type(value)
    if kind in MUTABLE or is_array(kind):
        return True
    return kind is tuple and depth < DEPTH and any(has_mutable(item, depth + 1) for item in value)


def holds_twice(value: Any) -> bool:
    """Is one list or the like inside it in two places?"""
    seen: set[int] = set()
    values = [value]
    while values:
        value = values.pop()
        if type(value) in MUTABLE or type(value) is tuple:
            if id(value) in seen and type(value) in MUTABLE:
                return True
            seen.add(id(value))
            if isinstance(value, dict):
                values += value.values()
            elif not isinstance(value, bytearray | array.array):
                values += value
    return False


def absorb(old: Any, new: Any) -> None:
    """Make `old` equal to `new` in place, keeping the identity of the containers inside where they correspond."""
    kind = type(old)
    if kind is not type(new):
        return
    if is_array(kind):
        if old.dtype == new.dtype and old.shape == new.shape and old.flags.writeable:
            old[...] = new
    elif kind is tuple:
        for before, after in zip(old, new, strict=False):
            absorb(before, after)
    elif kind is list or kind is collections.deque:
        kept = [_merge(before, after) for before, after in zip(old, new, strict=False)]
        rest = list(new)[len(kept) :]
        old.clear()
        old.extend(kept + rest)
    elif kind is bytearray or kind is array.array:
        old[:] = new
    elif kind is set:
        old.clear()
        old.update(new)
    elif kind in MUTABLE:
        merged = {key: _merge(old[key], item) if key in old else item for key, item in new.items()}
        old.clear()
        old.update(merged)


def _merge(before: Any, after: Any) -> Any:
    if type(before) is tuple and type(after) is tuple:
        return (*(_merge(old, new) for old, new in zip(before, after, strict=False)), *after[len(before) :])
    if type(before) is type(after) and has_mutable(before):
        absorb(before, after)
        return before
    return after
