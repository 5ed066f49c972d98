"""What goes to the program and comes back, on the tester's side: plain values by the codec, and what cannot travel.
Covers: references to objects that stay in the candidate's process, exceptions and their classes, the tests' own
functions and iterators as arguments. Leaves out: the objects' behaviour (`remote.py`), and requests (`program.py`)."""

from __future__ import annotations

import builtins
import contextlib
import io
import socket
import sys
import types
from collections.abc import Callable
from typing import Any

from . import classes, codec, remote
from .channel import Channel
from .protocol import ERROR_PARTS, OF_TESTS, PURE_FUNCTIONS, TEXT_CAP, BadValue, Unsendable
from .remote import KEY, TEXT, Known, Reference, RemoteDressed, RemoteError, is_remote, look_up, read_reference

PURE = {getattr(builtins, name): name for name in PURE_FUNCTIONS.split()}
RUNNERS = ("unittest", "doctest")  # whose exceptions are words to the one who runs the tests
# What the program may have the tester remember is bounded, for the tester's memory is. More than any honest one needs.
BASES_AT_MOST = 40
REFERENCES_AT_MOST = 100_000
CLASSES_AT_MOST = 1000


class Untravelled(Unsendable):
    """Of a type that does not travel."""

    def __init__(self, kind: type):
        super().__init__(kind.__name__)
        self.kind = kind


def is_made_by_tests(why: Unsendable) -> bool:
    """No operation on plain data, which a program may choose, makes a value of this type: generic aliases and
    descriptors are `builtins`' or `types`', and an array's type is its items'."""
    return isinstance(why, Untravelled) and why.kind.__module__ not in ("builtins", "types", "numpy")


def number_in(kept: list[Any], value: Any) -> int:
    """Where it is in the list, by identity; at its end from now on, where it was not."""
    for number, other in enumerate(kept):
        if other is value:
            return number
    kept.append(value)
    return len(kept) - 1


class Values(Channel):
    """references: the program's objects by number. classes: those of dressed values, by number and builtin. errors: the
    program's exception classes by name; error_numbers: back. callbacks, iterators (with the number of the callback that
    is their next step), thrown: the tests' own that the program has. lent: the containers that both have. named: the
    numbers of the functions and classes that the tests name. last_line: where in the program the last error rose."""

    def __init__(self, stream: socket.socket, limit: int):
        super().__init__(stream, limit)
        self.named: set[int] = set()
        self.last_line: int | None = None
        self.callbacks: list[Callable[..., Any]] = []
        self.iterators: list[tuple[Any, int]] = []
        self.references: dict[int, Any] = {}
        self.lent: dict[int, tuple[Any, Any]] = {}
        self.classes: dict[tuple[int, str], Any] = {}
        self.thrown: list[BaseException] = []
        self.errors: dict[str, type[BaseException]] = {}
        self.error_numbers: dict[type[BaseException], int] = {}

    # ---- there
    def encode(self, value: Any) -> Any:
        try:
            return codec.encode(value, self.export)
        except Unsendable as why:
            self.refuse(f"the tests pass a value that cannot be sent: {why}", certain=is_made_by_tests(why))

    def export(self, value: Any) -> Any:
        if is_remote(value) or (isinstance(value, RemoteError) and KEY in vars(value)):
            return {"r": look_up(value).number}
        if isinstance(value, type) and value in self.error_numbers:
            return {"r": self.error_numbers[value]}
        if isinstance(value, BaseException):
            number = number_in(self.thrown, value)
            return {"e": [self.encode(type(value)), self.encode_arguments(value), number]}
        if isinstance(value, type) and issubclass(value, BaseException):
            number, base = number_in(self.callbacks, value), self.find_known_base(value)
            return {"X": [number, value.__module__, value.__name__, self.encode(base)]}
        with contextlib.suppress(TypeError):  # of what has no hash
            if value in PURE:
                return {"f": PURE[value]}
        if hasattr(type(value), "__next__") and not isinstance(value, io.IOBase):
            return {"it": self.number_iterator(value)}
        if callable(value):
            number = number_in(self.callbacks, value)
            if type(value) is types.FunctionType:  # decorators keep these
                return {
                    "cb": [number, value.__name__, (value.__doc__ or "")[:TEXT_CAP], *remote.spell_parameters(value)]
                }
            return {"cb": number}
        raise Untravelled(type(value))

    def find_known_base(self, kind: type[BaseException]) -> type[BaseException]:
        """The nearest class that the program knows."""
        known = (base for base in kind.__mro__ if base in self.error_numbers or classes.name_type(base))
        return next((base for base in known if issubclass(base, BaseException)), Exception)

    def encode_arguments(self, error: BaseException) -> Any:
        try:
            return codec.encode(list(error.__reduce__()[1] if isinstance(error, OSError) else error.args), self.export)
        except Unsendable:
            return [self.put_into_words(lambda: str(error))]

    def number_iterator(self, value: Any) -> int:
        for iterator, number in self.iterators:
            if iterator is value:
                return number
        self.callbacks.append(value.__next__)
        self.iterators.append((value, len(self.callbacks) - 1))
        return len(self.callbacks) - 1

    def decode_sent(self, message: Any) -> Any:
        """What `encode` made, back again (for evidence: the arguments as they were before the call)."""
        kept: dict[str, Callable[[Any], Any]] = {
            "cb": lambda payload: self.callbacks[payload[0] if type(payload) is list else payload],
            "it": self.callbacks.__getitem__,
            "r": lambda number: self.lent[number][0] if number in self.lent else self.references.get(number),
            "X": lambda parts: self.callbacks[parts[0]],
            "f": lambda name: getattr(builtins, name),
            "e": lambda parts: self.thrown[parts[2]],
        }
        return codec.decode(message, lambda tag, payload: kept[tag](payload))

    # ---- back
    def decode(self, message: Any) -> Any:
        try:
            return codec.decode(message, self.resolve)
        except Exception as error:
            # In a set or a dictionary its objects may have to be compared: by the program, which may raise anything.
            why = str(error) if isinstance(error, BadValue) else type(error).__name__
            self.stop_misshapen(f"sent no proper value: {why}")

    def resolve(self, tag: str, payload: Any) -> Any:
        if tag == "cb":
            number = payload[0] if type(payload) is list and payload else payload
            if type(number) is int and 0 <= number < len(self.callbacks):
                return self.callbacks[number]
        if tag == "w" and type(payload) is list and len(payload) == 2:
            return self.find_dressed(*payload)
        if tag == "f" and payload in PURE.values():
            return getattr(builtins, payload)
        if tag == "E":
            return self.make_error(payload)
        if tag == "x" and type(payload) is int and 0 <= payload < len(self.thrown):
            return self.thrown[payload]
        if tag != "r":
            return codec.refuse_tag(tag, payload)
        reference = read_reference(payload)
        if reference.sort == "exception":
            return self.register_error_class(reference)
        self.named.discard(reference.number)  # what it gives back is an object like any other
        return self.find_remote(reference)

    def find_remote(self, reference: Reference) -> Any:
        number, sort, label, words, _, more = reference
        if number not in self.references:
            self.make_room()
            kind = remote.make_class(sort, sort if sort in ("function", "class") else label, tuple(words))
            self.references[number] = remote.make_remote(
                kind, Known(self, number, label, more if type(more) is int else None)
            )
        return self.references[number]

    def find_dressed(self, whose: Any, message: Any) -> Any:
        if type(whose) is not dict or list(whose) != ["r"]:
            raise BadValue("a dressed value has a reference")
        reference = read_reference(whose["r"])
        plain = self.decode(message)
        if type(plain) not in classes.IMMUTABLE:
            raise BadValue("a dressed value is a number, a text, a tuple or a frozenset")
        number, key = reference.number, (reference.class_number, type(plain).__name__)
        if number not in self.references:
            self.make_room()
            if key not in self.classes:
                self.classes[key] = type(reference.label, (RemoteDressed, type(plain)), {})
            value = self.references[number] = self.classes[key](plain)
            vars(value)[KEY] = Known(self, number, reference.label)
        return self.references[number]

    def make_room(self) -> None:
        if len(self.references) >= REFERENCES_AT_MOST:
            self.stop("memory", f"the program gave the tests more than {REFERENCES_AT_MOST} objects")
        if len(self.errors) + len(self.classes) >= CLASSES_AT_MOST:
            self.stop("memory", f"the program gave the tests objects of more than {CLASSES_AT_MOST} classes")

    # ---- exceptions of the program's
    def make_error(self, description: Any) -> BaseException:
        """One of the same class here."""
        if type(description) is not list or len(description) != 6:
            raise BadValue("an exception has six parts")
        names, args, text, line, number, attributes = description
        if type(names) is not list or not all(type(name) is str for name in names) or type(text) is not str:
            raise BadValue("an exception has names and a text")
        self.last_line = line if type(line) is int else None
        if type(number) is int and number in self.references:
            return self.references[number]  # type: ignore[no-any-return]
        kind = self.make_error_class(names)
        values, attributes = self.decode(args), self.decode(attributes)
        arguments = values if type(values) is list else [text]
        is_plain = issubclass(kind, RemoteError) or kind.__module__ == "builtins"
        try:  # another's `__init__` may want other arguments than it keeps
            error: BaseException = kind(*arguments) if is_plain else kind.__new__(kind, *arguments)
        except Exception:
            return RuntimeError(f"{kind.__name__}: {text}")
        for name, value in attributes.items() if type(attributes) is dict else ():
            if name in ERROR_PARTS or (type(name) is str and not name.startswith("_")):
                with contextlib.suppress(AttributeError, TypeError):
                    setattr(error, name, value)
        if isinstance(error, RemoteError) and type(number) is int:
            vars(error)[KEY] = Known(self, number, "exception")
            self.references[number] = error
            if self.put_into_words(lambda: super(RemoteError, error).__str__()) != text:
                vars(error)[TEXT] = text
        return error

    def register_error_class(self, reference: Reference) -> type[BaseException]:
        """A class of our own that stands for an exception class of the program, so that the tests can catch it."""
        names = reference.more
        if type(names) is not list or not names or not all(type(name) is str for name in names):
            raise BadValue("an exception class has names")
        kind = self.make_error_class(names)
        self.error_numbers[kind] = reference.number
        return kind

    def make_error_class(self, names: list[str]) -> type[BaseException]:
        """The class of these names, its own and those of its bases; what tests cannot know is made, once."""
        base: type[BaseException] = BaseException
        for name in reversed(names[:BASES_AT_MOST]):
            kind = self.find_error_class(name)
            if kind is None and name != "builtins.object":
                self.make_room()
                bases = (base,) if issubclass(base, RemoteError) else (RemoteError, base)
                kind = self.errors[name] = type(remote.to_identifier(name.rpartition(".")[2]), bases, {})
            base = kind or base
        return base

    def find_error_class(self, name: str) -> type[BaseException] | None:
        """The class of that name that tests may know: the program's, a builtin, or the standard library's if loaded."""
        module, _, short = name.rpartition(".")
        kind: Any = self.errors.get(name)
        root = module.partition(".")[0]
        if module == OF_TESTS and short.isdecimal() and int(short) < len(self.callbacks):
            kind = self.callbacks[int(short)]
        if kind is None and root in sys.stdlib_module_names and root not in RUNNERS:
            kind = getattr(sys.modules.get(module), short, None)
        return kind if isinstance(kind, type) and issubclass(kind, BaseException) else None
