"""Objects that stay in the candidate's process, as the tests have them.

A reference is never compared with a plain value: where its class has a comparison of its own the tests are refused,
else the two differ, so an object whose `__eq__` says True to everything wins nothing. Where two references are compared
the candidate has to be asked. A class is made for each of the program's: a base by its sort, and of the special methods
those that the program's class has. Leaves out: how the program is asked (`program.py`), and exceptions' classes
(`values.py`).
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import math
import operator
import types
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from . import classes, codec, containers
from .protocol import COMPARISONS, OPERATORS, OWN_MODULE, TAKE_AT_MOST, BadValue, spell_dunders

NAME_CAP = 80
ONE_BY_ONE = 16  # items of an iterator that are fetched singly
KEY, TEXT = "<known>", "<text>"  # in the dictionaries of exceptions and dressed values: no names that a program can use
OUT_OF_REACH = ("__signature__", "__dataclass_fields__")
# A program that returns an object where a text, a number or a set was asked for could answer these as it likes.
VERDICTS_OF_BUILTINS = frozenset(
    {"startswith", "endswith", "isdisjoint", "issubset", "issuperset"}
    | {name for kind in (str, float, bytes) for name in dir(kind) if name.startswith("is")}
)


class Known:
    """What the tester knows of an object that stays there. program: whom to ask (`program.Program`). told: it came out
    of an operation that told the program a value of the tests'. copied: of a container, how much the program had been
    asked for, and its data then. ahead, ended, taken: of an iterator, items not yet given, its end, count fetched."""

    __slots__ = ("ahead", "copied", "ended", "hash", "label", "number", "program", "taken", "told")

    def __init__(self, program: Any, number: int, label: str, hashed: int | None = None):
        self.program, self.number, self.label = program, number, label
        self.hash = hash(("remote", number)) if hashed is None else hashed
        self.told = False
        self.copied: tuple[int, Any] | None = None
        self.ahead: list[Any] = []
        self.ended: Any = None
        # Each group of `groupby` lives as long as it is the last one: never more than one at a time.
        self.taken = -math.inf if label == "groupby" else 0


class Remote:
    """An object that stays in the candidate's process. It has no name of ours that the program may use for its own."""

    __slots__ = ("__weakref__", "known")
    __doc__ = property(lambda self: ask(self, "getattr", "__doc__"))  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        if name in SPECIAL or name.startswith("__array"):  # its class has none, or it would be a method here
            raise AttributeError(f"{get_label(self)!r} object has no attribute {name!r}")
        if name in VERDICTS_OF_BUILTINS or name in OUT_OF_REACH:
            refuse(self, f"ask for {name}")
        return ask(self, "getattr", name)

    def __setattr__(self, name: str, value: Any) -> None:
        ask(self, "setattr", name, value)

    def __delattr__(self, name: str) -> None:
        ask(self, "delattr", name)

    def __repr__(self) -> str:
        return as_text(ask(self, "repr"))

    def __str__(self) -> str:
        return as_text(ask(self, "str"))

    def __format__(self, form: str) -> str:
        return as_text(ask(self, "format", form))

    def __hash__(self) -> int:
        return look_up(self).hash

    def __copy__(self) -> Any:
        return ask(self, "copy")

    def __deepcopy__(self, memo: Any) -> Any:
        return ask(self, "deepcopy")

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        refuse(self, "pickle")


KNOWN: Any = Remote.known  # type: ignore[attr-defined]
del Remote.known  # type: ignore[attr-defined]


def look_up(value: Any) -> Known:
    return KNOWN.__get__(value) if isinstance(value, Remote) else vars(value)[KEY]  # type: ignore[no-any-return]


def make_remote(kind: type[Remote], known: Known) -> Remote:
    value = kind()
    KNOWN.__set__(value, known)
    return value


def get_label(remote: Remote) -> str:
    return look_up(remote).label


def ask(remote: Any, operation: str, *args: Any) -> Any:
    return look_up(remote).program.request(operation, (remote, *args))


def refuse(remote: Any, what: str) -> NoReturn:
    """What only the program could answer, where its word must not count, or what means nothing across two processes."""
    known = look_up(remote)
    why = f"the tests {what} of an object of the program's ({known.label}), which only the program could answer"
    raise known.program.refuse(why)  # which does not return


def is_remote(value: Any) -> bool:
    return isinstance(value, Remote | classes.Dressed)


def as_text(value: Any) -> str:
    return value if type(value) is str else f"<{type(value).__name__}>"


class Reference(NamedTuple):
    """What the program says of an object. words: its class's special methods; more: hash, or an exception's classes."""

    number: int
    sort: str
    label: str
    words: list[str]
    class_number: int
    more: Any


def read_reference(payload: Any) -> Reference:
    kinds = [int, str, str, str, int]
    if type(payload) is not list or [type(part) for part in payload[:5]] != kinds or len(payload) != 6:
        raise BadValue("a reference has six parts")
    number, sort, label, words, class_number, more = payload
    return Reference(number, sort, to_identifier(label), words.split(), class_number, more)


def to_identifier(word: str) -> str:
    return word[:NAME_CAP] if word[:NAME_CAP].isidentifier() else "object"


@functools.lru_cache(maxsize=256)
def make_class(sort: str, name: str, words: tuple[str, ...]) -> type[Remote]:
    """The tester's class for one of the program's. Kept: classes are dear."""
    compare = compare_data if "data" in words else compare_narrowly if "narrow" in words else compare_remotes
    names = [name for name in words if name in SPECIAL]
    members = {name: bind(compare, name) if name in COMPARING else SPECIAL[name] for name in names}
    members.setdefault("__hash__", Remote.__hash__)  # not None, as Python has it beside __eq__
    members |= {"__slots__": (), "__doc__": vars(Remote)["__doc__"], "__module__": OWN_MODULE}
    return type(name, (SORTS.get(sort, Remote),), members)


def find_type(value: Any) -> Any:
    """`type(value)`, for the tests: of an object of the program's its class there."""
    if not isinstance(value, Remote) or value.__class__ is not type(value):
        return value.__class__ if isinstance(value, Remote) else type(value)
    kind = ask(value, "type")
    if not isinstance(kind, Remote):
        look_up(value).program.stop_misshapen("sent a type that is not its own")
    return kind


# ---- the special methods that the tester's class of an object has where the program's class has them
def bind(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The special method of that name, by a function that is told the name."""

    def method(self: Any, *args: Any) -> Any:
        return function(self, name, *args)

    return method


def ask_special(self: Any, name: str, *args: Any) -> Any:
    return ask(self, "special", name, *args)


def compare_remotes(self: Any, name: str, other: Any) -> Any:
    """Two objects of the program only it can compare. Whether one equals a value of the tests is not for it to say."""
    if is_remote(other):
        return ask(self, "special", name, other)
    if other is None and name in ("__eq__", "__ne__"):
        return NotImplemented
    refuse(self, f"compare ({name}) a value of their own with that")


def compare_narrowly(self: Any, name: str, other: Any) -> Any:
    """As dataclasses do."""
    return compare_remotes(self, name, other) if is_remote(other) else NotImplemented


def compare_data(self: Any, name: str, other: Any) -> Any:
    """Of a class derived from a container, which compares as that does: the tester has a copy made, and compares."""
    if look_up(self).told:
        refuse(self, f"compare ({name}) a value of their own with that")
    mine, theirs = (copy_data(side) if isinstance(side, Remote) else side for side in (self, other))
    return getattr(operator, name)(mine, theirs)


def copy_data(value: Remote) -> Any:
    """A copy, the same until the program is asked for more: not one list after another, until the tests like one."""
    known = look_up(value)
    if known.copied is None or known.copied[0] != known.program.requests:
        known.copied = (known.program.requests, ask(value, "plain"))
    copy = known.copied[1]
    if type(copy) not in containers.MUTABLE and codec.name_in_tables(type(copy)) not in codec.KEPT:
        refuse(value, "compare a value of their own with the data")
    return copy


def combine(self: Any, name: str, *others: Any) -> Any:
    """An operator. Told a value of the tests', it may only give an object: plain, it says what tests want to hear."""
    result = ask(self, "special", name, *others)
    if all(map(is_remote, others)):
        return result
    if isinstance(result, Remote):
        look_up(result).told = True
    elif result is not NotImplemented:
        refuse(self, f"look at the plain result of {name} with a value of their own")
    return result


def ask_number(self: Any, name: str, *args: Any) -> Any:
    """What gives a number in place of the object: that of `f(x) - expected`, say."""
    result = ask(self, "special", name, *args) if name in ROUNDING else None
    return result if isinstance(result, Remote) else refuse(self, f"ask for {name}")


def contains_item(self: Any, item: Any) -> bool:
    """Its own answer, where its items do not belie it."""
    answer = bool(ask(self, "special", "__contains__", item))
    if hasattr(type(self), "__iter__") and answer != any(item is other or item == other for other in self):
        refuse(self, "ask whether a value of their own is in the items")
    return answer


async def ask_aenter(self: Any) -> Any:
    return ask(self, "aenter")


async def ask_aexit(self: Any, kind: Any, error: Any, trace: Any) -> bool:
    return ask(self, "aexit", error) is True


async def ask_anext(self: Any) -> Any:
    return ask(self, "anext")


PLAIN_QUESTIONS = "len bool iter next reversed getitem setitem delitem bytes fspath length_hint enter aiter"
ROUNDING = spell_dunders("neg pos invert abs round trunc floor ceil")
COMPARING = spell_dunders(COMPARISONS)
SPECIAL: dict[str, Any] = {
    **{name: bind(ask_special, name) for name in spell_dunders(PLAIN_QUESTIONS)},
    **{name: bind(combine, name) for name in spell_dunders(OPERATORS)},
    **{name: bind(ask_number, name) for name in [*ROUNDING, *spell_dunders("int float complex index")]},
    **dict.fromkeys(COMPARING),  # by how its class compares
    "__contains__": contains_item,
    "__exit__": lambda self, kind, error, trace: ask(self, "exit", error) is True,
    "__aenter__": ask_aenter,
    "__aexit__": ask_aexit,
    "__anext__": ask_anext,
    "__hash__": None,
    "__dataclass_fields__": property(lambda self: refuse(self, "ask for the fields")),
}


# ---- the sorts of objects
class RemoteCallable(Remote):
    __slots__ = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return look_up(self).program.request("call", (self, *args), kwargs)


class RemoteFunction(RemoteCallable):
    __slots__ = ()
    __class__ = property(lambda self: types.FunctionType)  # type: ignore[assignment]


class RemoteClass(RemoteCallable):
    __slots__ = ()

    def __mro_entries__(self, bases: tuple[Any, ...]) -> NoReturn:
        refuse(self, "derive a class")

    def __instancecheck__(self, instance: object) -> bool:
        return is_remote(instance) and look_up(self).program.request("isinstance", (instance, self)) is True

    def __subclasscheck__(self, other: object) -> bool:
        return isinstance(other, Remote) and ask(other, "issubclass", self) is True


class RemoteCoroutine(Remote):
    """Runs to its end, in an event loop of the candidate's, when it is first awaited."""

    __slots__ = ()
    __class__ = property(lambda self: types.CoroutineType)  # type: ignore[assignment]

    def send(self, value: Any) -> NoReturn:
        raise StopIteration(ask(self, "await"))

    def throw(self, kind: Any, error: Any = None, trace: Any = None) -> NoReturn:
        raise kind if error is None else error

    def close(self) -> None:
        pass

    def __await__(self) -> Any:
        yield from ()
        return ask(self, "await")


collections.abc.Coroutine.register(RemoteCoroutine)


class RemoteIterator(Remote):
    """The first items are fetched one by one, as the tests ask for them, for what they do between may matter to the
    program; then in growing pieces, so that a long generator costs few messages. Never in pieces where the tests do
    more than iterate, or an item lives as long as it is the last one."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        look_up(self).taken = -math.inf
        return super().__getattr__(name)

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        known = look_up(self)
        if not known.ahead and known.ended is None:
            count = 1 if known.taken < ONE_BY_ONE else min(known.taken, TAKE_AT_MOST)
            items, ended, error = read_items(ask(self, "take", count))
            known.ahead = items[::-1]
            known.taken += len(items)
            if ended or error is not None:
                known.ended = StopIteration if error is None else error
        if known.ahead:
            return known.ahead.pop()
        ended, known.ended = known.ended, StopIteration
        raise ended


class RemoteGenerator(RemoteIterator):
    """Tests ask whether it is one."""

    __slots__ = ()
    __class__ = property(lambda self: types.GeneratorType)  # type: ignore[assignment]


SORTS: dict[str, type[Remote]] = {
    "iterator": RemoteIterator,
    "generator": RemoteGenerator,
    "coroutine": RemoteCoroutine,
    "callable": RemoteCallable,
    "function": RemoteFunction,
    "class": RemoteClass,
}


def read_items(answer: Any) -> tuple[list[Any], bool, BaseException | None]:
    if type(answer) is not list or len(answer) != 3 or type(answer[0]) is not list:
        raise TypeError("the program's iterator gave no items")
    items, ended, error = answer
    if error is not None and not isinstance(error, BaseException):
        raise TypeError("the program's iterator gave no items")
    return items, ended is True or (not items and error is None), error


class RemoteError:
    """The other base of its class is the builtin exception's. What that lacks is asked of the original."""

    def __getattr__(self, name: str) -> Any:
        if KEY not in vars(self) or name.startswith("__"):
            raise AttributeError(name)
        return ask(self, "getattr", name)

    def __str__(self) -> str:
        return str(vars(self)[TEXT]) if TEXT in vars(self) else super().__str__()


class RemoteDressed(classes.Dressed):
    """The other base of its class is the builtin's."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return ask(self, "getattr", name)

    def __repr__(self) -> str:
        return ask_text_once(self, "repr")

    def __str__(self) -> str:
        return ask_text_once(self, "str")


def ask_text_once(value: RemoteDressed, operation: str) -> str:
    """What does not change must not be one text after another, until the tests like one."""
    texts, key = vars(value), f"<{operation}>"
    if key not in texts:
        texts[key] = as_text(ask(value, operation))
    return str(texts[key])


def spell_parameters(function: Any) -> list[str]:
    """As in its definition, but for what is default; and how a call passes them on."""
    code = function.__code__
    plain, all_named = code.co_argcount, code.co_argcount + code.co_kwonlyargcount
    names = iter(code.co_varnames)
    defaults = {*code.co_varnames[plain - len(function.__defaults__ or ()) : plain], *(function.__kwdefaults__ or ())}
    named = [next(names) for _ in range(all_named)]
    star = [f"*{next(names)}"] if code.co_flags & inspect.CO_VARARGS else []
    stars = [f"**{next(names)}"] if code.co_flags & inspect.CO_VARKEYWORDS else []
    passed_on = [*named[:plain], *star, *(f"{name}={name}" for name in named[plain:]), *stars]
    spelled = [f"{name}=_default" if name in defaults else name for name in named]
    spelled[plain:plain] = star or ["*"] * (all_named > plain)
    if code.co_posonlyargcount:
        spelled.insert(code.co_posonlyargcount, "/")
    return [", ".join([*spelled, *stars]), ", ".join(passed_on)]
