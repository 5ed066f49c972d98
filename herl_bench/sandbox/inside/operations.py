"""What the tester may have done with an object of the program's: the operations of a "do" request, by name.

Runs in the candidate's process, as the untrusted program's. Leaves out: how values come in and go out (`candidate.py`).
"""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Callable
from typing import Any

from . import containers
from .protocol import TAKE_AT_MOST

LOOPS: list[Any] = []  # at most one


def take(iterator: Any, count: int) -> list[Any]:
    """Up to `count` items, then whether the end was reached or which exception came: [items, ended, error or None]."""
    items: list[Any] = []
    try:
        while len(items) < min(count, TAKE_AT_MOST):
            items.append(next(iterator))
    except Exception as error:
        if isinstance(error, StopIteration) and error.value is None:
            return [items, True, None]
        if not items:
            raise
        return [items, False, error]
    return [items, False, None]


def absorb_unless_changed(known: Any, before: Any, after: Any) -> None:
    if known == before:
        containers.absorb(known, after)


def run_to_end(awaitable: Any) -> Any:
    """In one event loop for all: what the program makes in it, such as a lock or a generator, may belong to it."""
    import asyncio

    async def wait() -> Any:
        return await awaitable

    if not LOOPS:
        LOOPS.append(asyncio.Runner())
    return LOOPS[0].run(wait())


def exit_arguments(error: BaseException | None) -> tuple[Any, Any, Any]:
    return (None, None, None) if error is None else (type(error), error, None)


def call_special(value: Any, name: str, *args: Any) -> Any:
    """By its class, as operators and builtin functions do."""
    if name == "__getitem__" and not hasattr(type(value), name):
        return value.__class_getitem__(*args)
    return getattr(type(value), name)(value, *args)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "call": lambda function, *args, **kwargs: function(*args, **kwargs),
    "getattr": getattr,
    "setattr": setattr,
    "delattr": delattr,
    "special": call_special,
    "take": take,
    "await": run_to_end,
    "anext": lambda value: run_to_end(type(value).__anext__(value)),
    "aenter": lambda manager: run_to_end(type(manager).__aenter__(manager)),
    "aexit": lambda manager, error: bool(run_to_end(type(manager).__aexit__(manager, *exit_arguments(error)))),
    "exit": lambda manager, error: bool(type(manager).__exit__(manager, *exit_arguments(error))),
    "str": str,
    "repr": repr,
    "format": format,
    "isinstance": isinstance,
    "issubclass": issubclass,
    "type": type,
    "seed": random.seed,
    "global": lambda name: vars(sys.modules["program"])[name],
    "absorb": absorb_unless_changed,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "plain": lambda value: value,
}
