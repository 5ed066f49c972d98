"""The program under test, seen from the tester: calls go over the socket, values come back through the codec.

Covers: calls, exceptions, arguments changed in place, the tests' own functions and iterators as arguments, coroutines, references to objects
that stay in the candidate's process. A reference never takes part in a comparison with a plain value: it is unequal to all of them, so an object whose
`__eq__` says True to everything wins nothing. Where two references are compared the candidate has to be asked; `shared` then says so.
What comes from the program is data: it is put into words by `Program.words` alone, which asks the program nothing and never fails.
Leaves out: which names of the program the tests may see (`tester.py`).
"""

from __future__ import annotations

import builtins
import collections
import collections.abc
import contextlib
import functools
import io
import math
import socket
import sys
import threading
import types
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from . import codec, frames
from .rewrite import Call

CATCHABLE = {
    f"builtins.{name}": kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, Exception | SystemExit | KeyboardInterrupt)
}
PURE = {getattr(builtins, name): name for name in codec.PURE_FUNCTIONS.split()}
COMPARISONS = frozenset({"eq", "ne", "lt", "le", "gt", "ge"})
TEXT_CAP = 500
ERROR_CAP = 400
NAME_CAP = 80
OUTPUT_CAP = 64 << 10
TAKE_AT_MOST = 256
ONE_BY_ONE = 16
LENT_AT_ONCE = 16
AHEAD = 16 << 10  # bytes
REFERENCES_AT_MOST = 100_000  # what the program may have the tester remember: its memory is bounded too
CLASSES_AT_MOST = 1000

# What an object is asked without any value but the key, the name or the arguments of the question itself. Whatever is not among these is an
# operator: it hands the program what its answer will be held against, or lets it compare.
QUESTIONS = (
    "call getattr setattr delattr getitem setitem delitem len iter take await aiter anext aenter aexit enter exit bool str repr format seed global "
    "absorb neg pos invert abs int float complex index round trunc floor ceil hash reversed contains send throw close dir"
)
NO_OPERATORS = frozenset(QUESTIONS.split())

# A program that returns an object where a text, a number or a set was asked for could answer these as it likes.
VERDICTS_OF_BUILTINS = frozenset(
    {"startswith", "endswith", "isdisjoint", "issubset", "issuperset"}
    | {name for kind in (str, float, bytes) for name in dir(kind) if name.startswith("is")}
)


class Stop(BaseException):
    """The job cannot go on. Derived from BaseException, and raised again at every later call, so that no test can swallow it."""


class Silent(Exception):
    """The program would have to be asked, and must not be."""


class Program:
    """dead: (status, detail) once nothing more can be asked. doubt: a refusal may be the program's doing, so the same tests have to be seen to
    do it without it. calls: how often the tests called anything of the program. upcoming: calls that they will make next. ahead: those of them
    that were sent, with the reply where it was read.

    shared: what the program's objects were asked to judge, "" where nothing; see `judged`. named: the numbers of the functions and classes that
    the tests name. spelled: the attributes that they name. bare: they are at an assertion that compares nothing.
    """

    def __init__(self, stream: socket.socket, limit: int):
        self.stream = stream
        self.reader = frames.Reader(stream)
        self.limit = limit
        self.dead: tuple[str, str] | None = None
        self.shared = ""
        self.named: set[int] = set()
        self.spelled: frozenset[str] = frozenset()
        self.bare = False
        self.doubt = False
        self.silent = False
        self.calls = 0
        self.out_of_memory = False
        self.output: list[str] = []
        self.output_room = OUTPUT_CAP
        self.last_call: tuple[str, list[Any], dict[str, Any]] | None = None
        self.last_line: int | None = None
        self.load_error: BaseException = RuntimeError("the program was not loaded")
        self.stdout = sys.stdout
        self.turn = threading.RLock()
        self.upcoming: Sequence[Call] = ()
        self.ahead: collections.deque[list[Any]] = collections.deque()
        self.callbacks: list[Callable[..., Any]] = []
        self.iterators: list[tuple[Any, int]] = []
        self.references: dict[int, Any] = {}
        self.lent: dict[int, tuple[Any, Any]] = {}
        self.dresses: dict[tuple[str, type], Any] = {}
        self.errors: dict[str, type[BaseException]] = {}
        self.error_numbers: dict[type[BaseException], int] = {}

    def stop(self, status: str, detail: str) -> NoReturn:
        if self.dead is None:
            self.dead = (status, detail[:TEXT_CAP])
        raise Stop(detail)

    def refuse(self, why: str, certain: bool = True) -> NoReturn:
        """The tests use what cannot work across two processes. certain: no program could have made them do so."""
        self.doubt = self.doubt or (self.dead is None and not certain)
        self.stop("refused", why)

    def words(self, make: Callable[[], str], otherwise: str = "") -> str:
        """Text for people of what came from the program: the one place where such a value's `str` or `repr` is taken. Bounded."""
        before, self.silent = self.silent, True
        try:
            return make()[:TEXT_CAP]
        except Stop:
            raise
        except BaseException:  # what the program raises is a class of its choice
            return otherwise
        finally:
            self.silent = before

    # ---- messages
    def receive(self) -> list[Any]:
        try:
            message, _ = self.reader.receive(self.limit)
        except frames.Closed:
            self.stop("crash", "the program's process ended")
        except (frames.BadFrame, MemoryError) as error:
            self.stop("protocol", f"the program's process sent no proper message: {error}")
        if type(message) is not list or not message or type(message[0]) is not str:
            self.stop("protocol", "the program's process sent no proper message")
        return message

    def send(self, message: list[Any]) -> None:
        if self.dead:
            raise Stop(self.dead[1])
        packed = frames.pack(message)
        if len(packed) > self.limit:
            if message[0] in ("load", "run"):
                self.stop("protocol", "the program is larger than message_mb")
            self.refuse("the tests pass a value that is larger than message_mb", certain=False)
        self.deliver(packed)

    def deliver(self, packed: bytes) -> None:
        try:
            self.stream.sendall(packed)
        except (BrokenPipeError, ConnectionResetError):
            self.stop("crash", "the program's process ended")

    def parts(self, message: list[Any], count: int) -> list[Any]:
        """What follows the tag; the last part is always a piece of output."""
        if len(message) != count + 1 or type(message[-1]) is not str:
            self.stop("protocol", "the program's process sent a message of the wrong shape")
        printed = message[-1][: self.output_room]
        if printed:
            self.output.append(printed)
            self.output_room -= len(printed)
            if sys.stdout is not self.stdout:  # the tests look at what is printed
                sys.stdout.write(printed)
        return message[1:]

    # ---- values
    def encode(self, value: Any) -> Any:
        try:
            return codec.encode(value, self.export)
        except codec.Unsendable as why:
            self.refuse(f"the tests pass a value that cannot be sent: {why}", certain=made_by_tests(why))

    def export(self, value: Any) -> Any:
        if isinstance(value, Remote):
            return {"r": object.__getattribute__(value, "_number")}
        if isinstance(value, codec.Dressed):
            return {"r": vars(value)["_number"]}
        if isinstance(value, type) and value in self.error_numbers:
            return {"r": self.error_numbers[value]}
        if isinstance(value, BaseException):
            return {"e": [self.encode(self.error_base(type(value))), self.error_arguments(value)]}
        try:
            if value in PURE:
                return {"f": PURE[value]}
        except TypeError:
            pass
        if hasattr(type(value), "__next__") and not isinstance(value, io.IOBase):
            return {"it": self.iterator(value)}
        if callable(value):
            number = next((number for number, known in enumerate(self.callbacks) if known is value), len(self.callbacks))
            if number == len(self.callbacks):
                self.callbacks.append(value)
            if type(value) is types.FunctionType:  # decorators keep these
                return {"cb": [number, value.__name__, (value.__doc__ or "")[:TEXT_CAP]]}
            return {"cb": number}
        raise Untravelled(type(value))

    def error_base(self, kind: type[BaseException]) -> type[BaseException]:
        """The nearest class that the program knows."""
        known = (base for base in kind.__mro__ if base in self.error_numbers or codec.type_name(base))
        return next((base for base in known if issubclass(base, Exception)), Exception)

    def error_arguments(self, error: BaseException) -> Any:
        try:
            return codec.encode(list(error.args), self.export)
        except codec.Unsendable:
            return [self.words(lambda: str(error))]

    def iterator(self, value: Any) -> int:
        """The number of the callback that is its next step."""
        for known, number in self.iterators:
            if known is value:
                return number
        self.callbacks.append(value.__next__)
        self.iterators.append((value, len(self.callbacks) - 1))
        return len(self.callbacks) - 1

    def decode(self, message: Any) -> Any:
        try:
            return codec.decode(message, self.resolve)
        except (
            Exception
        ) as error:  # in a set or a dictionary, its objects may have to be compared: by the program, which may raise anything
            why = str(error) if isinstance(error, codec.BadValue) else type(error).__name__
            self.stop("protocol", f"the program's process sent no proper value: {why}")

    def decode_sent(self, message: Any) -> Any:
        """What `encode` made, back again (for evidence: the arguments as they were before the call)."""
        kept: dict[str, Callable[[Any], Any]] = {
            "cb": lambda payload: self.callbacks[payload[0] if type(payload) is list else payload],
            "it": self.callbacks.__getitem__,
            "r": self.references.get,
            "f": lambda name: getattr(builtins, name),
            "e": lambda parts: Exception(*self.decode_sent(parts[1])),
        }
        return codec.decode(message, lambda tag, payload: kept[tag](payload))

    def resolve(self, tag: str, payload: Any) -> Any:
        if tag == "cb":
            number = payload[0] if type(payload) is list and payload else payload
            if type(number) is int and 0 <= number < len(self.callbacks):
                return self.callbacks[number]
        if tag == "w" and type(payload) is list and len(payload) == 2:
            return self.dressed(*payload)
        if tag != "r" or type(payload) is not list or len(payload) not in (3, 4):
            return codec.no_import(tag, payload)
        number, sort, label = payload[:3]
        if type(number) is not int or type(sort) is not str or type(label) is not str:
            raise codec.BadValue("a reference has a number and two words")
        label = label[:NAME_CAP]
        if sort == "exception":
            return self.error_class(number, label, payload[-1])
        self.named.discard(number)  # what it gives back is an object like any other
        if number not in self.references:
            self.make_room()
            kind = RemoteGenerator if (sort, label) == ("iterator", "generator") else REMOTES.get(sort, Remote)
            self.references[number] = kind(self, number, label if label.isidentifier() else "object")
            if sort == "hashable" and type(payload[-1]) is int:  # equal objects have equal ones
                object.__setattr__(self.references[number], "_hash", payload[-1])
        return self.references[number]

    def make_room(self) -> None:
        if len(self.references) >= REFERENCES_AT_MOST:
            self.stop("memory", f"the program gave the tests more than {REFERENCES_AT_MOST} objects")
        if len(self.errors) + len(self.dresses) >= CLASSES_AT_MOST:
            self.stop("memory", f"the program gave the tests objects of more than {CLASSES_AT_MOST} classes")

    def dressed(self, reference: Any, message: Any) -> Any:
        if type(reference) is not dict or list(reference) != ["r"] or type(reference["r"]) is not list or len(reference["r"]) not in (3, 4):
            raise codec.BadValue("a dressed value has a reference")
        number, _, label = reference["r"][:3]
        plain = self.decode(message)
        if type(number) is not int or type(label) is not str or type(plain) not in codec.IMMUTABLE:
            raise codec.BadValue("a dressed value is a number, a text, a tuple or a frozenset")
        if number not in self.references:
            self.make_room()
            named = (label[:NAME_CAP] if label.isidentifier() else "object", type(plain))
            kind = self.dresses.get(named)
            if kind is None:
                kind = self.dresses[named] = type(named[0], (RemoteDressed, named[1]), {"_program": self})
            value = self.references[number] = kind(plain)
            vars(value).update(_number=number, _plain=plain)
        return self.references[number]

    def error_class(self, number: int, label: str, names: Any) -> type[BaseException]:
        """A class of our own that stands for an exception class of the program, so that the tests can catch it."""
        if type(names) is not list or not names or not all(type(name) is str for name in names):
            raise codec.BadValue("an exception class has names")
        if names[0] not in self.errors:
            self.make_room()
            base = next((CATCHABLE[name] for name in names if name in CATCHABLE), Exception)
            kind = type(label if label.isidentifier() else "ProgramError", (RemoteError, base), {})
            self.errors[names[0]] = kind
            self.error_numbers[kind] = number
        return self.errors[names[0]]

    # ---- requests
    def loaded(self, names: list[str]) -> dict[str, Any] | None:
        """The answer to a load: names to values, or None where the program's body raised (`load_error` tells)."""
        message = self.receive()
        if message[0] == "loaderror":
            self.load_error = self.error(self.parts(message, 6)[:5])
            return None
        if message[0] != "loaded":
            self.stop("protocol", "the program's process sent a message of the wrong kind")
        found, _ = self.parts(message, 2)
        if type(found) is not dict or not set(found) <= set(names):
            self.stop("protocol", "the program's process named what nobody asked for")
        values = {name: self.decode(value) for name, value in found.items()}
        for name, value in values.items():
            if isinstance(value, RemoteCallable):
                object.__setattr__(value, "_label", name)
                self.named.add(object.__getattribute__(value, "_number"))
        return values

    def ended(self) -> tuple[str, int]:
        """The end of a script: what it raised (or nothing), and its exit status."""
        message = self.receive()
        if message[0] != "ended" or len(message) != 4 or type(message[2]) is not int:
            self.stop("protocol", "the program's process sent a message of the wrong kind")
        described, code, _ = self.parts(message, 3)
        if described is None:
            return "", code
        if type(described) is not list or len(described) != 5:
            self.stop("protocol", "the program's process sent a message of the wrong shape")
        return self.error_text(self.error(described), self.last_line), code or 1

    def error_text(self, error: BaseException, line: int | None = None) -> str:
        text = self.words(lambda: str(error))
        where = f" (line {line})" if line is not None else ""
        return f"{type(error).__name__}{': ' if text else ''}{text[:ERROR_CAP]}{where}"

    def request(self, operation: str, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> Any:
        if self.silent:
            raise Silent(operation)
        with self.turn:  # the tests may have threads
            return self.exchange(operation, args, kwargs or {})

    def exchange(self, operation: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.lent:
            self.give_back()
        encoded = [self.encode(argument) for argument in args]
        keywords = {name: self.encode(argument) for name, argument in kwargs.items()}
        if operation not in NO_OPERATORS:  # before its answer, which may be an exception
            self.shared = self.shared or operation
        if operation == "call":
            self.calls += 1
            self.last_call = (object.__getattribute__(args[0], "_label"), encoded[1:], keywords)
        early = self.ask(["do", operation, encoded, keywords])
        while True:
            message, early = early or self.receive(), None
            if message[0] == "ret":
                value, changes, _ = self.parts(message, 3)
                self.take_changes(changes, args, kwargs)
                result = self.result(value, args, kwargs)
                if not self.shared and self.judged(operation, encoded[0], args[1:], kwargs, result):
                    self.shared = operation
                if self.upcoming and operation == "call" and not isinstance(result, Remote):
                    self.ask_ahead(encoded[0])
                return result
            if message[0] == "exc":
                *described, changes, _ = self.parts(message, 7)
                self.take_changes(changes, args, kwargs)
                raise self.error(described)
            if message[0] == "bad":
                why, _, _ = self.parts(message, 3)
                raise TypeError(f"the program returned {str(why)[:TEXT_CAP]}")
            if message[0] != "cb":
                self.stop("protocol", "the program's process sent a message of the wrong kind")
            self.call_back(self.parts(message, 4))

    def result(self, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if type(value) is dict and list(value) == ["a"]:
            return self.argument(value["a"], args, kwargs)
        if type(value) is dict and list(value) == ["m"]:
            return self.lend(value["m"])
        return self.decode(value)

    def judged(self, operation: str, asked: Any, args: tuple[Any, ...], kwargs: dict[str, Any], answer: Any) -> bool:
        """Was an object of the program's given a value, and did it answer no more than yes or no? Then the tests have nothing to hold that against.

        What the tests call by its name is the function under test, and a value its argument.
        """
        if not (args or kwargs) or not (type(answer) is bool or empty(answer) or (self.bare and type(answer) in (int, float))):
            return False
        if operation == "call":
            return asked.get("r") not in self.named
        if operation in ("exit", "aexit"):  # it may swallow what the tests found
            return answer is True and isinstance(args[0], AssertionError)
        return operation != "getattr" or args[0] not in self.spelled

    def lend(self, payload: Any) -> Any:
        """A list or the like that belongs to an object of the program."""
        if type(payload) is not list or len(payload) != 2 or type(payload[0]) is not int:
            self.stop("protocol", "the program's process sent a message of the wrong shape")
        number, message = payload
        value = self.decode(message)
        self.lent.pop(number, None)
        self.lent[number] = (value, codec.encode(value, self.export))
        if len(self.lent) > LENT_AT_ONCE:
            del self.lent[next(iter(self.lent))]
        return value

    def give_back(self) -> None:
        """Tell the program what the tests changed in that, unless it has changed it itself meanwhile."""
        lent, self.lent = self.lent, {}
        for number, (value, before) in lent.items():
            with contextlib.suppress(Exception):  # the tests have put into it what cannot be sent, or the program cannot compare it
                after = codec.encode(value, self.export)
                if after != before:
                    self.exchange("absorb", (Remote(self, number, "object"), self.decode_sent(before), value), {})
                self.lent[number] = (value, after)

    def ask(self, message: list[Any]) -> list[Any] | None:
        """Send a request, unless that was done ahead; its reply, where that was read already."""
        if self.ahead and self.ahead[0][0] == message:
            return self.ahead.popleft()[1]
        for earlier in self.ahead:  # replies come in the order of the requests
            earlier[1] = earlier[1] or self.receive()
        self.send(message)
        return None

    def ask_ahead(self, function: Any) -> None:
        """Send the next calls, so that the program works on them while the tests look at what it gave: neither waits for the other at every call.

        Only as far as the program cannot tell: up to the first result of which more may be asked, and not where it may call back, for it
        would read the next request in place of the answer. In one piece that surely fits into the socket, so that nobody waits for room in it.
        """
        if self.ahead or self.callbacks or self.iterators:
            return
        pieces, size = [], 0
        for call in self.upcoming:
            message = ["do", "call", [function, *map(self.encode, call.args)], {name: self.encode(x) for name, x in call.kwargs.items()}]
            piece = frames.pack(message)
            size += len(piece)
            if size > min(AHEAD, self.limit):
                break
            pieces.append(piece)
            self.ahead.append([message, None])
            if not call.final:
                break
        self.deliver(b"".join(pieces))

    def take_changes(self, changes: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if changes is None:
            return
        if type(changes) is not list or not all(type(change) is list and len(change) == 2 for change in changes):
            self.stop("protocol", "the program's process sent a message of the wrong shape")
        for place, value in changes:
            codec.absorb(self.argument(place, args, kwargs), self.decode(value))

    def argument(self, place: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        known: Any = kwargs if type(place) is str else args
        if type(place) not in (int, str) or (place not in kwargs if type(place) is str else not 0 < place < len(args)):
            self.stop("protocol", "the program's process changed what it was not given")
        return known[place]

    def call_back(self, parts: list[Any]) -> None:
        number, args, kwargs, _ = parts
        if type(number) is not int or not 0 <= number < len(self.callbacks) or type(args) is not list or type(kwargs) is not dict:
            self.stop("protocol", "the program's process called a function that it was not given")
        values = [self.decode(argument) for argument in args]
        keywords = {name: self.decode(argument) for name, argument in kwargs.items()}
        try:
            answer = ["ok", codec.encode(self.callbacks[number](*values, **keywords), self.export)]
        except codec.Unsendable as why:
            if made_by_tests(why):
                self.refuse(f"a function of the tests returns a value that cannot be sent: {why}")
            answer = ["raise", "TypeError", f"a value that cannot be sent: {why}"]
        except Stop:
            raise
        except BaseException as error:
            answer = ["raise", type(error).__name__, self.words(functools.partial(str, error))]
        if self.dead:
            raise Stop(self.dead[1])
        packed = frames.pack(answer)
        if len(packed) > self.limit:  # of which the program decides by what it calls the function with
            packed = frames.pack(["raise", "ValueError", "a value that is larger than message_mb"])
        self.deliver(packed)

    def error(self, described: list[Any]) -> BaseException:
        """The exception that the program raised, as one of the same class here."""
        names, args, text, line, number = described
        if type(names) is not list or not all(type(name) is str for name in names) or type(text) is not str:
            self.stop("protocol", "the program's process sent a message of the wrong shape")
        self.last_line = line if type(line) is int else None
        kind = next((self.errors.get(name) or CATCHABLE[name] for name in names if name in self.errors or name in CATCHABLE), Exception)
        self.out_of_memory = self.out_of_memory or kind is MemoryError
        if names and names[0] not in self.errors and names[0] not in CATCHABLE:
            short = names[0].rpartition(".")[2][:NAME_CAP]
            kind = type(short if short.isidentifier() else "ProgramError", (RemoteError, kind), {})
        values = self.decode(args)
        try:
            error = kind(*values) if type(values) is list else kind(text)
        except Exception:
            return RuntimeError(f"{kind.__name__}: {text}")
        if isinstance(error, RemoteError) and type(number) is int:
            vars(error)["_original"] = self.references.setdefault(number, Remote(self, number, "exception"))
            if self.words(lambda: super(RemoteError, error).__str__()) != text:
                vars(error)["_text"] = text
        return error


class Untravelled(codec.Unsendable):
    """Of a type that does not travel."""

    def __init__(self, kind: type):
        super().__init__(kind.__name__)
        self.kind = kind


def made_by_tests(why: codec.Unsendable) -> bool:
    """No operation on plain data, which a program may choose, makes a value of this type: generic aliases and descriptors are `builtins`' or
    `types`', and an array's type is its items'."""
    return isinstance(why, Untravelled) and why.kind.__module__ not in ("builtins", "types", "numpy")


def empty(answer: Any) -> bool:
    kind = type(answer)
    return (kind in codec.MUTABLE or kind in (str, bytes, tuple, frozenset)) and not answer


THE_PROGRAMS_OWN = property(lambda self: self._ask("getattr", "__doc__"))


def operator_method(operation: str) -> Callable[[Remote, object], Any]:
    return lambda self, other: self._with(operation, other)


class Remote:  # an object that stays in the candidate's process
    __doc__ = THE_PROGRAMS_OWN
    __slots__ = ("_hash", "_label", "_number", "_program")

    def __init__(self, program: Program, number: int, label: str):
        object.__setattr__(self, "_program", program)
        object.__setattr__(self, "_number", number)
        object.__setattr__(self, "_label", label)
        object.__setattr__(self, "_hash", hash(("remote", number)))

    def _ask(self, operation: str, *args: Any) -> Any:
        program: Program = object.__getattribute__(self, "_program")
        return program.request(operation, (self, *args))

    def __getattr__(self, name: str) -> Any:
        if not may_be_asked(name):
            raise AttributeError(f"{self._label!r} object of the program has no attribute {name!r} that the tests may use")
        return self._ask("getattr", name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._ask("setattr", name, value)

    def __delattr__(self, name: str) -> None:
        self._ask("delattr", name)

    def __repr__(self) -> str:
        return plain_text(self._ask("repr"))

    def __str__(self) -> str:
        return plain_text(self._ask("str"))

    def __bool__(self) -> bool:
        return self._ask("bool") is True

    def __len__(self) -> int:
        length = self._ask("len")
        return length if type(length) is int else 0

    def __iter__(self) -> Any:
        return self._ask("iter")

    def __contains__(self, item: Any) -> bool:
        return any(item is other or item == other for other in self)  # the tester compares, not the object

    def __getitem__(self, key: Any) -> Any:
        return self._ask("getitem", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._ask("setitem", key, value)

    def __delitem__(self, key: Any) -> None:
        self._ask("delitem", key)

    def __enter__(self) -> Any:
        return self._ask("enter")

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        return self._ask("exit", error) is True

    async def __aenter__(self) -> Any:
        return self._ask("aenter")

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> bool:
        return self._ask("aexit", error) is True

    def __aiter__(self) -> Any:
        return self._ask("aiter")

    async def __anext__(self) -> Any:
        return self._ask("anext")

    def __hash__(self) -> int:
        return int(object.__getattribute__(self, "_hash"))

    def __eq__(self, other: object) -> Any:
        return True if self is other else self._with("eq", other)

    def __ne__(self, other: object) -> Any:
        return False if self is other else self._with("ne", other)

    def _with(self, operation: str, other: object) -> Any:
        """An operator between two objects of the program is the program's to answer. With a plain value it is not defined, unless what comes
        out is one more object: a plain result would be whatever the test wants to hear."""
        if not isinstance(other, Remote):
            result = None if operation in COMPARISONS else self._ask(operation, other)
            return result if isinstance(result, Remote) else NotImplemented
        return self._ask(operation, other)

    def __lt__(self, other: object) -> Any:
        return self._with("lt", other)

    def __le__(self, other: object) -> Any:
        return self._with("le", other)

    def __gt__(self, other: object) -> Any:
        return self._with("gt", other)

    def __ge__(self, other: object) -> Any:
        return self._with("ge", other)

    def __neg__(self) -> Any:
        return self._ask("neg")

    def __invert__(self) -> Any:
        return self._ask("invert")

    def __reversed__(self) -> Any:
        return self._ask("reversed")

    def __format__(self, form: str) -> str:
        return plain_text(self._ask("format", form))

    def __instancecheck__(self, instance: object) -> bool:
        if not isinstance(instance, Remote | codec.Dressed):
            return False
        program: Program = object.__getattribute__(self, "_program")
        return program.request("isinstance", (instance, self)) is True

    def __subclasscheck__(self, other: object) -> bool:
        return isinstance(other, Remote) and other._ask("issubclass", self) is True


for _operator in codec.BINARY.split():
    for _kind in ("", "r", "i"):
        setattr(Remote, f"__{_kind}{_operator}__", operator_method(_kind + _operator))


def may_be_asked(name: str) -> bool:
    return name not in VERDICTS_OF_BUILTINS and (not name.startswith("__") or name in ("__name__", "__doc__", "__dict__"))


class RemoteError:
    """The other base of its class is the builtin exception's. What that lacks is asked of the original."""

    def __getattr__(self, name: str) -> Any:
        if "_original" not in vars(self) or not may_be_asked(name):
            raise AttributeError(name)
        return getattr(vars(self)["_original"], name)

    def __str__(self) -> str:
        return str(vars(self).get("_text", super().__str__()))


class RemoteDressed(codec.Dressed):
    """The other base of its class is the builtin's."""

    _program: Program
    _number: int
    _plain: Any

    def __getattr__(self, name: str) -> Any:
        if not may_be_asked(name):
            raise AttributeError(name)
        return self._program.request("getattr", (self, name))

    def __repr__(self) -> str:
        return self._text("repr")

    def __str__(self) -> str:
        return self._text("str")

    def _text(self, operation: str) -> str:
        """Asked for once: what does not change must not be one text after another, until the tests like one."""
        known = vars(self)
        if operation not in known:
            known[operation] = plain_text(self._program.request(operation, (self,)))
        return str(known[operation])


class RemoteCallable(Remote):
    __doc__ = THE_PROGRAMS_OWN
    __slots__ = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        program: Program = object.__getattribute__(self, "_program")
        return program.request("call", (self, *args), kwargs)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> NoReturn:
        program: Program = object.__getattribute__(self, "_program")
        program.refuse("the tests derive a class from one of the program's, which has to stay with the program")


class RemoteCoroutine(Remote):
    """Runs to its end, in an event loop of the candidate's, when it is first awaited."""

    __slots__ = ()

    def send(self, value: Any) -> NoReturn:
        raise StopIteration(self._ask("await"))

    def throw(self, kind: Any, error: Any = None, trace: Any = None) -> NoReturn:
        raise kind if error is None else error

    def close(self) -> None:
        pass

    def __await__(self) -> Any:
        yield from ()
        return self._ask("await")


collections.abc.Coroutine.register(RemoteCoroutine)


class RemoteIterator(Remote):
    """The first items are fetched one by one, as the tests ask for them, for what they do between may matter to the program; then in growing
    pieces, so that a long generator costs few messages. Never in pieces where the tests do more than iterate, or an item lives as long as it is
    the last one."""

    __slots__ = ("_ahead", "_ended", "_taken")

    def __init__(self, program: Program, number: int, label: str):
        super().__init__(program, number, label)
        object.__setattr__(self, "_ahead", [])
        object.__setattr__(self, "_ended", None)
        object.__setattr__(self, "_taken", -math.inf if label == "groupby" else 0)

    def __getattr__(self, name: str) -> Any:
        object.__setattr__(self, "_taken", -math.inf)
        return super().__getattr__(name)

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        if not self._ahead and self._ended is None:
            count = 1 if self._taken < ONE_BY_ONE else min(self._taken, TAKE_AT_MOST)
            items, ended, error = unpacked(self._ask("take", count))
            object.__setattr__(self, "_ahead", items[::-1])
            object.__setattr__(self, "_taken", self._taken + len(items))
            if ended or error is not None:
                object.__setattr__(self, "_ended", StopIteration if error is None else error)
        if self._ahead:
            return self._ahead.pop()
        ended = self._ended
        object.__setattr__(self, "_ended", StopIteration)
        if ended is StopIteration:
            raise StopIteration
        raise object.__getattribute__(self, "_program").error(ended)


class RemoteGenerator(RemoteIterator):
    """Tests ask whether it is one."""

    __class__ = property(lambda self: types.GeneratorType)  # type: ignore[assignment]


REMOTES: dict[str, type[Remote]] = {
    "iterator": RemoteIterator,
    "coroutine": RemoteCoroutine,
    "function": RemoteCallable,
    "class": RemoteCallable,
}


def unpacked(answer: Any) -> tuple[list[Any], bool, list[Any] | None]:
    if type(answer) is not list or len(answer) != 3 or type(answer[0]) is not list:
        raise TypeError("the program's iterator gave no items")
    items, ended, error = answer
    if error is not None and (type(error) is not list or len(error) != 5):
        raise TypeError("the program's iterator gave no items")
    return items, ended is True or (not items and error is None), error


def plain_text(value: Any) -> str:
    return value if type(value) is str else f"<{type(value).__name__}>"
