"""The program under test, seen from the tester: calls go over the socket, values come back through the codec.

Covers: calls, exceptions, arguments changed in place, the tests' own functions and iterators as arguments, coroutines,
references to objects that stay in the candidate's process, lists and the like that both sides keep. A reference is
never compared with a plain value: where its class has a comparison of its own the tests are refused, else the two
differ, so an object whose `__eq__` says True to everything wins nothing. Where two references are compared the
candidate has to be asked; `shared` then says so. What comes from the program is data: it is put into words by
`Program.words` alone, which asks the program nothing and never fails. Leaves out: which names of the program the tests
may see (`tester.py`).
"""

from __future__ import annotations

import builtins
import collections
import collections.abc
import contextlib
import functools
import inspect
import io
import math
import operator
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
    if isinstance(kind, type) and issubclass(kind, BaseException)
}
PURE = {getattr(builtins, name): name for name in codec.PURE_FUNCTIONS.split()}
OF_TESTS = ("unittest", "doctest")  # whose exceptions are words to the one who runs the tests
TEXT_CAP = 500
ERROR_CAP = 400
NAME_CAP = 80
BASES_AT_MOST = 40
OUTPUT_CAP = 64 << 10
TAKE_AT_MOST = 256
ONE_BY_ONE = 16
OURS = ("seed", "global", "absorb")  # what the tests do not ask for
AHEAD = 16 << 10  # bytes
REFERENCES_AT_MOST = 100_000  # what the program may have the tester remember: its memory is bounded too
CLASSES_AT_MOST = 1000

# What an object is asked without any value but the key, the name or the arguments of the question itself. Whatever is
# not among these is an operator: it hands the program what its answer will be held against, or lets it compare.
QUESTIONS = (
    "call getattr setattr delattr getitem setitem delitem len iter take await aiter anext aenter aexit enter exit bool"
    " str repr format seed global absorb neg pos invert abs int float complex index round trunc floor ceil hash"
    " reversed contains send throw close dir next bytes fspath length_hint copy deepcopy type plain"
)
NO_OPERATORS = frozenset(QUESTIONS.split())

# A program that returns an object where a text, a number or a set was asked for could answer these as it likes.
VERDICTS_OF_BUILTINS = frozenset(
    {"startswith", "endswith", "isdisjoint", "issubset", "issuperset"}
    | {name for kind in (str, float, bytes) for name in dir(kind) if name.startswith("is")}
)


class Stop(BaseException):
    """The job cannot go on. Derived from BaseException, and raised again at every later call, so that no test can
    swallow it."""


class Silent(Exception):
    """The program would have to be asked, and must not be."""


class Program:
    """dead: (status, detail) once nothing more can be asked. unproven: a refusal may be the program's doing, so the
    same tests have to be seen to do it without it. calls: how often the tests called anything of the program. upcoming:
    calls that they will make next. ahead: those of them that were sent, with the reply where it was read.

    shared: what the program's objects were asked to judge, "" where nothing; see `judged`. named: the numbers of the
    functions and classes that the tests name. spelled: the attributes that they name. bare: they are at an assertion
    that compares nothing.
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
        self.unproven = False
        self.silent = False
        self.calls = 0
        self.out_of_memory = False
        self.requests = 0
        self.waiting = 0
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
        self.classes: dict[tuple[int, str], Any] = {}
        self.thrown: list[BaseException] = []
        self.errors: dict[str, type[BaseException]] = {}
        self.error_numbers: dict[type[BaseException], int] = {}

    def stop(self, status: str, detail: str) -> NoReturn:
        if self.dead is None:
            self.dead = (status, detail[:TEXT_CAP])
        raise Stop(detail)

    def refuse(self, why: str, certain: bool = True) -> NoReturn:
        """The tests use what cannot work across two processes. certain: no program could have made them do so."""
        self.unproven = self.unproven or (self.dead is None and not certain)
        self.stop("refused", why)

    def words(self, make: Callable[[], str], otherwise: str = "") -> str:
        """Text for people of what came from the program: the one place where such a value's `str` or `repr` is taken.
        Bounded."""
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
        if is_own(value) or (isinstance(value, RemoteError) and KEY in vars(value)):
            return {"r": known(value).number}
        if isinstance(value, type) and value in self.error_numbers:
            return {"r": self.error_numbers[value]}
        if isinstance(value, BaseException):
            number = next((number for number, error in enumerate(self.thrown) if error is value), len(self.thrown))
            self.thrown[number:] = [value, *self.thrown[number + 1 :]]
            return {"e": [self.encode(type(value)), self.error_arguments(value), number]}
        if isinstance(value, type) and issubclass(value, BaseException):
            return {"X": [self.callback(value), value.__module__, value.__name__, self.encode(self.error_base(value))]}
        try:
            if value in PURE:
                return {"f": PURE[value]}
        except TypeError:
            pass
        if hasattr(type(value), "__next__") and not isinstance(value, io.IOBase):
            return {"it": self.iterator(value)}
        if callable(value):
            number = self.callback(value)
            if type(value) is types.FunctionType:  # decorators keep these
                return {"cb": [number, value.__name__, (value.__doc__ or "")[:TEXT_CAP], *parameters(value)]}
            return {"cb": number}
        raise Untravelled(type(value))

    def callback(self, value: Any) -> int:
        number = next((number for number, known in enumerate(self.callbacks) if known is value), len(self.callbacks))
        self.callbacks[number:] = [value, *self.callbacks[number + 1 :]]
        return number

    def error_base(self, kind: type[BaseException]) -> type[BaseException]:
        """The nearest class that the program knows."""
        known = (base for base in kind.__mro__ if base in self.error_numbers or codec.type_name(base))
        return next((base for base in known if issubclass(base, BaseException)), Exception)

    def error_arguments(self, error: BaseException) -> Any:
        try:
            return codec.encode(list(error.__reduce__()[1] if isinstance(error, OSError) else error.args), self.export)
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
        except Exception as error:
            # In a set or a dictionary its objects may have to be compared: by the program, which may raise anything.
            why = str(error) if isinstance(error, codec.BadValue) else type(error).__name__
            self.stop("protocol", f"the program's process sent no proper value: {why}")

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

    def resolve(self, tag: str, payload: Any) -> Any:
        if tag == "cb":
            number = payload[0] if type(payload) is list and payload else payload
            if type(number) is int and 0 <= number < len(self.callbacks):
                return self.callbacks[number]
        if tag == "w" and type(payload) is list and len(payload) == 2:
            return self.dressed(*payload)
        if tag == "f" and payload in PURE.values():
            return getattr(builtins, payload)
        if tag == "E":
            return self.error(payload)
        if tag == "x" and type(payload) is int and 0 <= payload < len(self.thrown):
            return self.thrown[payload]
        if tag != "r":
            return codec.no_import(tag, payload)
        number, sort, label, words, _, more = reference(payload)
        if sort == "exception":
            return self.error_class(number, more)
        self.named.discard(number)  # what it gives back is an object like any other
        if number not in self.references:
            self.make_room()
            kind = remote_class(sort, sort if sort in ("function", "class") else label, tuple(words))
            self.references[number] = remote(kind, Known(self, number, label, more if type(more) is int else None))
        return self.references[number]

    def make_room(self) -> None:
        if len(self.references) >= REFERENCES_AT_MOST:
            self.stop("memory", f"the program gave the tests more than {REFERENCES_AT_MOST} objects")
        if len(self.errors) + len(self.classes) >= CLASSES_AT_MOST:
            self.stop("memory", f"the program gave the tests objects of more than {CLASSES_AT_MOST} classes")

    def dressed(self, whose: Any, message: Any) -> Any:
        if type(whose) is not dict or list(whose) != ["r"]:
            raise codec.BadValue("a dressed value has a reference")
        number, _, label, _, class_number, _ = reference(whose["r"])
        plain = self.decode(message)
        if type(plain) not in codec.IMMUTABLE:
            raise codec.BadValue("a dressed value is a number, a text, a tuple or a frozenset")
        if number not in self.references:
            self.make_room()
            key = (class_number, type(plain).__name__)
            if key not in self.classes:
                self.classes[key] = type(label, (RemoteDressed, type(plain)), {})
            value = self.references[number] = self.classes[key](plain)
            vars(value)[KEY] = Known(self, number, label)
        return self.references[number]

    def error_class(self, number: int, names: Any) -> type[BaseException]:
        """A class of our own that stands for an exception class of the program, so that the tests can catch it."""
        if type(names) is not list or not names or not all(type(name) is str for name in names):
            raise codec.BadValue("an exception class has names")
        kind = self.error_kinds(names)
        self.error_numbers[kind] = number
        return kind

    # ---- requests
    def loaded(self, names: list[str]) -> dict[str, Any] | None:
        """The answer to a load: names to values, or None where the program's body raised (`load_error` tells)."""
        message = self.receive()
        if message[0] == "loaderror":
            self.load_error = self.raised(self.parts(message, 2)[0])
            return None
        if message[0] != "loaded":
            self.stop("protocol", "the program's process sent a message of the wrong kind")
        found, _ = self.parts(message, 2)
        if type(found) is not dict or not set(found) <= set(names):
            self.stop("protocol", "the program's process named what nobody asked for")
        values = {name: self.decode(value) for name, value in found.items()}
        for name, value in values.items():
            if isinstance(value, RemoteCallable):
                known(value).label = name
                self.named.add(known(value).number)
        return values

    def ended(self) -> tuple[str, int]:
        """The end of a script: what it raised (or nothing), and its exit status."""
        message = self.receive()
        if message[0] != "ended" or len(message) != 4 or type(message[2]) is not int:
            self.stop("protocol", "the program's process sent a message of the wrong kind")
        described, code, _ = self.parts(message, 3)
        if described is None:
            return "", code
        return self.error_text(self.raised(described), self.last_line), code or 1

    def error_text(self, error: BaseException, line: int | None = None) -> str:
        text = self.words(lambda: str(error))
        where = f" (line {line})" if line is not None else ""
        return f"{type(error).__name__}{': ' if text else ''}{text[:ERROR_CAP]}{where}"

    def request(self, operation: str, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> Any:
        if self.silent:
            raise Silent(operation)
        self.waiting += 1
        with self.turn:  # the tests may have threads
            self.waiting -= 1
            return self.exchange(operation, args, kwargs or {})

    def exchange(self, operation: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.lent:
            self.give_back()
        encoded = [self.encode(argument) for argument in args]
        keywords = {name: self.encode(argument) for name, argument in kwargs.items()}
        self.by_reference(args, encoded)
        self.calls += operation not in OURS
        self.requests += operation != "plain"
        question, told = (args[1].strip("_"), args[2:]) if operation == "special" else (operation, args[1:])
        if question not in NO_OPERATORS:  # before its answer, which may be an exception
            self.shared = self.shared or question
        if operation == "call":
            self.last_call = (known(args[0]).label, encoded[1:], keywords)
        early = self.ask(["do", operation, encoded, keywords])
        while True:
            message, early = early or self.receive(), None
            if message[0] == "ret":
                value, changes, _ = self.parts(message, 3)
                self.take_changes(changes, args, kwargs)
                result = self.result(value, args, kwargs)
                if not self.shared and self.judged(question, encoded[0], told, kwargs, result):
                    self.shared = question
                if self.upcoming and operation == "call" and not isinstance(result, Remote):
                    self.ask_ahead(encoded[0])
                return result
            if message[0] == "exc":
                error, changes, _ = self.parts(message, 3)
                self.take_changes(changes, args, kwargs)
                raise self.raised(error)
            if message[0] == "bad":
                why, _, _ = self.parts(message, 3)
                raise TypeError(f"the program returned {str(why)[:TEXT_CAP]}")
            if message[0] != "cb":
                self.stop("protocol", "the program's process sent a message of the wrong kind")
            *called, changes, _ = self.parts(message, 5)
            self.take_changes(changes, (), {})
            self.call_back(called)

    def result(self, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if type(value) is dict and list(value) == ["a"]:
            return self.argument(value["a"], args, kwargs)
        if type(value) is dict and list(value) == ["m"]:
            return self.lend(*self.pair(value["m"]))
        return self.decode(value)

    def judged(self, operation: str, asked: Any, args: tuple[Any, ...], kwargs: dict[str, Any], answer: Any) -> bool:
        """Was an object of the program's given a value, and did it answer no more than yes or no? Then the tests have
        nothing to hold that against.

        What the tests call by its name is the function under test, and a value its argument.
        """
        if not (args or kwargs) or not (
            type(answer) is bool or empty(answer) or (self.bare and type(answer) in (int, float))
        ):
            return False
        if operation == "call":
            return asked.get("r") not in self.named
        if operation in ("exit", "aexit"):  # it may swallow what the tests found
            return answer is True and isinstance(args[0], AssertionError)
        return operation != "getattr" or args[0] not in self.spelled

    def pair(self, payload: Any) -> tuple[int, Any]:
        if type(payload) is not list or len(payload) != 2 or type(payload[0]) is not int:
            self.stop("protocol", "the program's process sent a message of the wrong shape")
        return payload[0], self.decode(payload[1])

    def lend(self, number: int, new: Any, own: Any = None) -> Any:
        """A list or the like that the program keeps and the tests have (own: they gave it): one object for both,
        however often it changes."""
        value = self.lent.pop(number, (new if own is None else own, None))[0]
        if value is not new:
            codec.absorb(value, new)
        self.lent[number] = (value, codec.encode(value, self.export))
        if len(self.lent) > codec.LENT_AT_ONCE:
            del self.lent[next(iter(self.lent))]
        return value

    def by_reference(self, args: tuple[Any, ...], encoded: list[Any]) -> None:
        """What the program keeps already, and what is given twice, is told by its number or place: it is one object
        there, too."""
        for place, value in enumerate(args):
            if type(value) in codec.MUTABLE:
                first = next(i for i, other in enumerate(args) if other is value)
                number = next((number for number, (known, _) in self.lent.items() if known is value), None)
                encoded[place] = encoded[place] if first == place else {"=": first}
                encoded[place] = encoded[place] if number is None else {"r": number}

    def give_back(self) -> None:
        """Tell the program what the tests changed in that, unless it has changed it itself meanwhile."""
        lent, self.lent = self.lent, {}
        for number, (value, before) in lent.items():
            with contextlib.suppress(
                Exception
            ):  # the tests have put into it what cannot be sent, or the program cannot compare it
                after = codec.encode(value, self.export)
                if after != before:
                    self.exchange(
                        "absorb", (remote(Remote, Known(self, number, "object")), self.decode_sent(before), value), {}
                    )
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
        """Send the next calls, so that the program works on them while the tests look at what it gave: neither waits
        for the other at every call.

        Only as far as the program cannot tell: up to the first result of which more may be asked, and not where it may
        call back, for it would read the next request in place of the answer. In one piece that surely fits into the
        socket, so that nobody waits for room in it.
        """
        if self.ahead or self.callbacks or self.iterators:
            return
        pieces, size = [], 0
        for call in self.upcoming:
            message = [
                "do",
                "call",
                [function, *map(self.encode, call.args)],
                {name: self.encode(x) for name, x in call.kwargs.items()},
            ]
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
        if type(changes) is not list or not all(type(change) is list and len(change) == 3 for change in changes):
            self.stop("protocol", "the program's process sent a message of the wrong shape")
        for place, number, value in changes:
            argument = None if place is None else self.argument(place, args, kwargs)
            if codec.holds_twice(argument):
                self.refuse("the tests pass a list that is in two places, and the program changes it in one")
            if type(number) is int and (place is not None or number in self.lent):
                self.lend(number, self.decode(value), argument)
            elif argument is not None:
                codec.absorb(argument, self.decode(value))

    def argument(self, place: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        known: Any = kwargs if type(place) is str else args
        if type(place) not in (int, str) or (place not in kwargs if type(place) is str else not 0 < place < len(args)):
            self.stop("protocol", "the program's process changed what it was not given")
        return known[place]

    def call_back(self, parts: list[Any]) -> None:
        number, args, kwargs = parts
        if (
            type(number) is not int
            or not 0 <= number < len(self.callbacks)
            or type(args) is not list
            or type(kwargs) is not dict
        ):
            self.stop("protocol", "the program's process called a function that it was not given")
        values = [self.decode(argument) for argument in args]
        keywords = {name: self.decode(argument) for name, argument in kwargs.items()}
        try:
            answer = ["ok", codec.encode(self.callbacks[number](*values, **keywords), self.export)]
            answer.append([[i, self.encode(value)] for i, value in enumerate(values) if codec.has_mutable(value)])
            self.give_back()
        except codec.Unsendable as why:
            if made_by_tests(why):
                self.refuse(f"a function of the tests returns a value that cannot be sent: {why}")
            answer = ["raise", self.encode(TypeError(f"a value that cannot be sent: {why}"))]
        except Stop:
            raise
        except BaseException as error:
            answer = ["raise", self.encode(error)]
        if self.dead:
            raise Stop(self.dead[1])
        packed = frames.pack(answer)
        if len(packed) > self.limit:  # of which the program decides by what it calls the function with
            packed = frames.pack(["raise", self.encode(ValueError("a value that is larger than message_mb"))])
        self.deliver(packed)

    def raised(self, message: Any) -> BaseException:
        """What the program raised."""
        error = self.decode(message)
        if not isinstance(error, BaseException):
            self.stop("protocol", "the program's process raised what is no exception")
        self.out_of_memory = self.out_of_memory or isinstance(error, MemoryError)
        return error

    def error(self, described: Any) -> BaseException:
        """An exception of the program's, as one of the same class here."""
        if type(described) is not list or len(described) != 6:
            raise codec.BadValue("an exception has six parts")
        names, args, text, line, number, more = described
        if type(names) is not list or not all(type(name) is str for name in names) or type(text) is not str:
            raise codec.BadValue("an exception has names and a text")
        self.last_line = line if type(line) is int else None
        if type(number) is int and number in self.references:
            return self.references[number]
        kind = self.error_kinds(names)
        values, more = self.decode(args), self.decode(more)
        try:
            arguments = values if type(values) is list else [text]
            plain = issubclass(kind, RemoteError) or kind.__module__ == "builtins"
            error = (
                kind(*arguments) if plain else kind.__new__(kind, *arguments)
            )  # which may want other arguments than it keeps
        except Exception:
            return RuntimeError(f"{kind.__name__}: {text}")
        for name, value in more.items() if type(more) is dict else ():
            if name in codec.ERROR_PARTS or (type(name) is str and not name.startswith("_")):
                with contextlib.suppress(AttributeError, TypeError):
                    setattr(error, name, value)
        if isinstance(error, RemoteError) and type(number) is int:
            vars(error)[KEY] = Known(self, number, "exception")
            self.references[number] = error
            if self.words(lambda: super(RemoteError, error).__str__()) != text:
                vars(error)[TEXT] = text
        return error

    def error_kinds(self, names: list[str]) -> type[BaseException]:
        """The class of these names, its own and those of its bases; what tests cannot know is made, once."""
        base: type[BaseException] = BaseException
        for name in reversed(names[:BASES_AT_MOST]):
            kind = self.error_kind(name)
            if kind is None and name != "builtins.object":
                self.make_room()
                bases = (base,) if issubclass(base, RemoteError) else (RemoteError, base)
                kind = self.errors[name] = type(identifier(name.rpartition(".")[2]), bases, {})
            base = kind or base
        return base

    def error_kind(self, name: str) -> type[BaseException] | None:
        """The class of that name, where tests may know it: one of the program's, a builtin, or the standard library's
        if it is loaded."""
        module, _, short = name.rpartition(".")
        kind: Any = self.errors.get(name) or CATCHABLE.get(name)
        root = module.partition(".")[0]
        if module == codec.OF_TESTS and short.isdecimal() and int(short) < len(self.callbacks):
            kind = self.callbacks[int(short)]
        if kind is None and root in sys.stdlib_module_names and root not in OF_TESTS:
            kind = getattr(sys.modules.get(module), short, None)
        return kind if isinstance(kind, type) and issubclass(kind, BaseException) else None


class Untravelled(codec.Unsendable):
    """Of a type that does not travel."""

    def __init__(self, kind: type):
        super().__init__(kind.__name__)
        self.kind = kind


def made_by_tests(why: codec.Unsendable) -> bool:
    """No operation on plain data, which a program may choose, makes a value of this type: generic aliases and
    descriptors are `builtins`' or `types`', and an array's type is its items'."""
    return isinstance(why, Untravelled) and why.kind.__module__ not in ("builtins", "types", "numpy")


def empty(answer: Any) -> bool:
    kind = type(answer)
    return (kind in codec.MUTABLE or kind in (str, bytes, tuple, frozenset)) and not answer


class Known:
    """What the tester knows of an object that stays in the candidate's process.

    told: it came out of an operation that told the program a value of the tests'. copied: of a container, how much the
    program had been asked for, and its data then. ahead, ended, taken: of an iterator, the items fetched and not yet
    given, its end, and how many were fetched.
    """

    __slots__ = ("ahead", "copied", "ended", "hash", "label", "number", "program", "taken", "told")

    def __init__(self, program: Program, number: int, label: str, hashed: int | None = None):
        self.program, self.number, self.label = program, number, label
        self.hash = hash(("remote", number)) if hashed is None else hashed
        self.told = False
        self.copied: tuple[int, Any] | None = None
        self.ahead: list[Any] = []
        self.ended: Any = None
        self.taken = -math.inf if label == "groupby" else 0


class Remote:
    """An object that stays in the candidate's process. It has no name of ours that the program may use for its own."""

    __slots__ = ("__weakref__", "known")
    __doc__ = property(lambda self: ask(self, "getattr", "__doc__"))  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        if name in SPECIAL or name.startswith("__array"):  # its class has none, or it would be a method here
            raise AttributeError(f"{label(self)!r} object has no attribute {name!r}")
        if name in VERDICTS_OF_BUILTINS or name in OUT_OF_REACH:
            refuse(self, f"ask for {name}")
        return ask(self, "getattr", name)

    def __setattr__(self, name: str, value: Any) -> None:
        ask(self, "setattr", name, value)

    def __delattr__(self, name: str) -> None:
        ask(self, "delattr", name)

    def __repr__(self) -> str:
        return plain_text(ask(self, "repr"))

    def __str__(self) -> str:
        return plain_text(ask(self, "str"))

    def __format__(self, form: str) -> str:
        return plain_text(ask(self, "format", form))

    def __hash__(self) -> int:
        return known(self).hash

    def __copy__(self) -> Any:
        return ask(self, "copy")

    def __deepcopy__(self, memo: Any) -> Any:
        return ask(self, "deepcopy")

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        refuse(self, "pickle")


KNOWN: Any = Remote.known  # type: ignore[attr-defined]
del Remote.known  # type: ignore[attr-defined]
OUT_OF_REACH = ("__signature__", "__dataclass_fields__")


def known(value: Any) -> Known:
    return KNOWN.__get__(value) if isinstance(value, Remote) else vars(value)[KEY]  # type: ignore[no-any-return]


def remote(kind: type[Remote], what: Known) -> Remote:
    value = kind()
    KNOWN.__set__(value, what)
    return value


@functools.lru_cache(maxsize=256)
def remote_class(sort: str, name: str, words: tuple[str, ...]) -> type[Remote]:
    """The tester's class for one of the program's: a base by its sort, and the special methods that it says it has.
    Kept: classes are dear."""
    base = REMOTES.get(sort, Remote)
    compares = compared_as_data if "data" in words else compared_in_its_kind if "narrow" in words else compared
    members = {name: compares(name) if name in COMPARISONS else SPECIAL[name] for name in words if name in SPECIAL}
    members.setdefault("__hash__", Remote.__hash__)  # not None, as Python has it beside __eq__
    return type(
        name, (base,), {**members, "__slots__": (), "__doc__": vars(Remote)["__doc__"], "__module__": codec.OWN_MODULE}
    )


def reference(payload: Any) -> tuple[int, str, str, list[str], int, Any]:
    """(number, sort, name, special methods, number of the class, what more there is)"""
    if (
        type(payload) is not list
        or [type(part) for part in payload[:5]] != [int, str, str, str, int]
        or len(payload) != 6
    ):
        raise codec.BadValue("a reference has six parts")
    number, sort, label, words, class_number, more = payload
    return number, sort, identifier(label), words.split(), class_number, more


def identifier(word: str) -> str:
    return word[:NAME_CAP] if word[:NAME_CAP].isidentifier() else "object"


def label(remote: Remote) -> str:
    return known(remote).label


def ask(remote: Any, operation: str, *args: Any) -> Any:
    return known(remote).program.request(operation, (remote, *args))


def refuse(remote: Any, what: str) -> NoReturn:
    """What an honest program could answer, but only by itself, where its word must not count, and what has no meaning
    across two processes."""
    known(remote).program.refuse(
        f"the tests {what} of an object of the program's ({label(remote)}), which only the program could answer"
    )


def is_own(value: Any) -> bool:
    return isinstance(value, Remote | codec.Dressed)


# ---- the special methods that the tester's class of an object has where the program's class has them
def asked(name: str) -> Callable[..., Any]:
    return lambda self, *args: ask(self, "special", name, *args)


def compared(name: str) -> Callable[[Any, Any], Any]:
    """Two objects of the program can only be compared by it. Whether one equals a value of the tests is not for the
    program to say."""

    def method(self: Any, other: Any) -> Any:
        if is_own(other):
            return ask(self, "special", name, other)
        if other is None and name in ("__eq__", "__ne__"):
            return NotImplemented
        refuse(self, f"compare ({name}) a value of their own with that")

    return method


def compared_in_its_kind(name: str) -> Callable[[Any, Any], Any]:
    """As dataclasses do."""
    method = compared(name)
    return lambda self, other: method(self, other) if is_own(other) else NotImplemented


def compared_as_data(name: str) -> Callable[[Any, Any], Any]:
    """Of a class derived from a container, which compares as that does: the tester has a copy made, and compares."""

    def method(self: Any, other: Any) -> Any:
        if known(self).told:
            refuse(self, f"compare ({name}) a value of their own with that")
        mine, theirs = (data(side) if isinstance(side, Remote) else side for side in (self, other))
        return getattr(operator, name)(mine, theirs)

    return method


def data(value: Remote) -> Any:
    """A copy, the same one until the program was asked for something else: it must not be one list after another, until
    the tests like one."""
    state = known(value)
    if state.copied is None or state.copied[0] != state.program.requests:
        state.copied = (state.program.requests, ask(value, "plain"))
    copy = state.copied[1]
    if type(copy) not in codec.MUTABLE and codec.table_name(type(copy)) not in codec.KEPT:
        refuse(value, "compare a value of their own with the data")
    return copy


def combined(name: str) -> Callable[..., Any]:
    """An operator. Where the program is told a value of the tests', only one more object may come out: a plain result
    would be whatever the tests want to hear."""

    def method(self: Any, *others: Any) -> Any:
        if all(map(is_own, others)):
            return ask(self, "special", name, *others)
        result = ask(self, "special", name, *others)
        if isinstance(result, Remote):
            known(result).told = True
        elif result is not NotImplemented:
            refuse(self, f"look at the plain result of {name} with a value of their own")
        return result

    return method


def as_number(name: str) -> Callable[..., Any]:
    """What gives a number in place of the object: that of `f(x) - expected`, say."""

    def method(self: Any, *args: Any) -> Any:
        result = ask(self, "special", name, *args) if name in ROUNDED else None
        return result if isinstance(result, Remote) else refuse(self, f"ask for {name}")

    return method


def contains(self: Any, item: Any) -> bool:
    """Its own answer, where its items do not belie it."""
    answer = bool(ask(self, "special", "__contains__", item))
    if hasattr(type(self), "__iter__") and answer != any(item is other or item == other for other in self):
        refuse(self, "ask whether a value of their own is in the items")
    return answer


def parameters(function: Any) -> list[str]:
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


def type_of(value: Any) -> Any:
    """`type(value)`, for the tests: of an object of the program's its class there."""
    if not isinstance(value, Remote) or value.__class__ is not type(value):
        return value.__class__ if isinstance(value, Remote) else type(value)
    kind = ask(value, "type")
    return (
        kind
        if isinstance(kind, Remote)
        else known(value).program.stop("protocol", "the program's process sent a type that is not its own")
    )


def every(words: str) -> list[str]:
    return [f"__{word}__" for word in words.split()]


ROUNDED = every("neg pos invert abs round trunc floor ceil")
COMPARISONS = every(codec.COMPARISONS)
SPECIAL: dict[str, Any] = {
    **{
        name: asked(name)
        for name in every("len bool iter next reversed getitem setitem delitem bytes fspath length_hint enter aiter")
    },
    **dict.fromkeys(COMPARISONS),
    **{
        name: combined(name)
        for kind in ("", "r", "i")
        for name in every(" ".join(kind + word for word in codec.BINARY.split()))
    },
    **{name: as_number(name) for name in [*ROUNDED, *every("int float complex index")]},
    "__contains__": contains,
    "__exit__": lambda self, kind, error, trace: ask(self, "exit", error) is True,
    "__hash__": None,
    "__dataclass_fields__": property(lambda self: refuse(self, "ask for the fields")),
}


async def aenter(self: Any) -> Any:
    return ask(self, "aenter")


async def aexit(self: Any, kind: Any, error: Any, trace: Any) -> bool:
    return ask(self, "aexit", error) is True


async def anext(self: Any) -> Any:
    return ask(self, "anext")


SPECIAL |= {"__aenter__": aenter, "__aexit__": aexit, "__anext__": anext}


KEY, TEXT = "<known>", "<text>"  # in the dictionaries of those below: no names that a program can use


class RemoteError:
    """The other base of its class is the builtin exception's. What that lacks is asked of the original."""

    def __getattr__(self, name: str) -> Any:
        if KEY not in vars(self) or name.startswith("__"):
            raise AttributeError(name)
        return ask(self, "getattr", name)

    def __str__(self) -> str:
        return str(vars(self)[TEXT]) if TEXT in vars(self) else super().__str__()


class RemoteDressed(codec.Dressed):
    """The other base of its class is the builtin's."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return ask(self, "getattr", name)

    def __repr__(self) -> str:
        return text_once(self, "repr")

    def __str__(self) -> str:
        return text_once(self, "str")


def text_once(value: RemoteDressed, operation: str) -> str:
    """What does not change must not be one text after another, until the tests like one."""
    texts = vars(value)
    if f"<{operation}>" not in texts:
        texts[f"<{operation}>"] = plain_text(ask(value, operation))
    return str(texts[f"<{operation}>"])


class RemoteCallable(Remote):
    __slots__ = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return known(self).program.request("call", (self, *args), kwargs)


class RemoteFunction(RemoteCallable):
    __slots__ = ()
    __class__ = property(lambda self: types.FunctionType)  # type: ignore[assignment]


class RemoteClass(RemoteCallable):
    __slots__ = ()

    def __mro_entries__(self, bases: tuple[Any, ...]) -> NoReturn:
        refuse(self, "derive a class")

    def __instancecheck__(self, instance: object) -> bool:
        if not is_own(instance):
            return False
        return known(self).program.request("isinstance", (instance, self)) is True

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
        known(self).taken = -math.inf
        return super().__getattr__(name)

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        state = known(self)
        if not state.ahead and state.ended is None:
            count = 1 if state.taken < ONE_BY_ONE else min(state.taken, TAKE_AT_MOST)
            items, ended, error = unpacked(ask(self, "take", count))
            state.ahead = items[::-1]
            state.taken += len(items)
            if ended or error is not None:
                state.ended = StopIteration if error is None else error
        if state.ahead:
            return state.ahead.pop()
        ended, state.ended = state.ended, StopIteration
        if ended is StopIteration:
            raise StopIteration
        raise ended


class RemoteGenerator(RemoteIterator):
    """Tests ask whether it is one."""

    __slots__ = ()
    __class__ = property(lambda self: types.GeneratorType)  # type: ignore[assignment]


REMOTES: dict[str, type[Remote]] = {
    "iterator": RemoteIterator,
    "generator": RemoteGenerator,
    "coroutine": RemoteCoroutine,
    "callable": RemoteCallable,
    "function": RemoteFunction,
    "class": RemoteClass,
}


def unpacked(answer: Any) -> tuple[list[Any], bool, BaseException | None]:
    if type(answer) is not list or len(answer) != 3 or type(answer[0]) is not list:
        raise TypeError("the program's iterator gave no items")
    items, ended, error = answer
    if error is not None and not isinstance(error, BaseException):
        raise TypeError("the program's iterator gave no items")
    return items, ended is True or (not items and error is None), error


def plain_text(value: Any) -> str:
    return value if type(value) is str else f"<{type(value).__name__}>"
