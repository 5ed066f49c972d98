"""The candidate's process: runs untrusted code, answers the tester's calls. Nothing in here is trusted once it started.

Covers: loading the program, or running it as a script; the tester's requests about what it defined (`operations.py`);
arguments changed in place; callables of the tests as arguments (reverse calls); objects that cannot travel (the tester
gets a reference); captured output, capped. Tests, expected values and verdicts never enter this process.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import gc
import importlib
import io
import os
import random
import socket
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

from . import codec, containers, descriptions, frames
from .operations import OPERATIONS
from .protocol import LENT_AT_ONCE, OF_TESTS, OUTPUT_CAP, PURE_FUNCTIONS, Unsendable

PROGRAM_FILE = "program.py"
ANY_SIZE = 1 << 31  # of the tester's messages, which are its own to bound
PURE = frozenset(getattr(builtins, name) for name in PURE_FUNCTIONS.split())

# What gives the tests a part of the program's own state: they may change it.
LENDING = ("getattr", "global")
LENT_LENGTH = 1000  # of the longest container that is looked at after every call
HELD_HERE = 3  # references to a result that nobody keeps: of two frames here, and of the one that counts
HELD_AS_ARGUMENT = 4  # to an argument: in the list of them, in that of places, in a frame, and of the one that counts


class Output(io.RawIOBase):
    """What the program prints: kept up to a cap, then swallowed."""

    def __init__(self) -> None:
        self.pending = bytearray()
        self.room = OUTPUT_CAP

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 1

    def isatty(self) -> bool:
        return False

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if self.room:
            piece = bytes(view[: self.room])
            self.pending += piece
            self.room -= len(piece)
        return len(view)

    def take(self) -> str:
        piece = bytes(self.pending).decode("utf-8", "replace")
        self.pending.clear()
        return piece


def is_lendable(value: Any) -> bool:
    return type(value) in containers.MUTABLE and len(value) <= LENT_LENGTH


class Callback:
    """A callable of the tests, seen from here."""

    def __init__(self, server: Server, number: int):
        self._server, self._number = server, number

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._server.call_back(self._number, args, kwargs)


def make_function(server: Server, payload: list[Any]) -> Any:
    """A function of the tests, seen from here: programs look at its name, its docstring and its parameters."""
    number, name, doc, parameters, passed_on = payload
    space = {
        "_default": NOT_GIVEN,
        "_call": lambda *args, **kwargs: server.call_back(number, drop_defaults(args), drop_defaults(kwargs)),
    }
    function = eval(f"lambda {parameters}: _call({passed_on})", space)
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


NOT_GIVEN = object()


def drop_defaults(arguments: Any) -> Any:
    if type(arguments) is dict:
        return {name: value for name, value in arguments.items() if value is not NOT_GIVEN}
    return tuple(value for value in arguments if value is not NOT_GIVEN)


class CallbackIterator:
    """An iterator of the tests, seen from here."""

    def __init__(self, step: Callback):
        self._step = step

    def __iter__(self) -> CallbackIterator:
        return self

    def __next__(self) -> Any:
        return self._step()


class Server:
    """Made before the fork, where it costs candidates nothing; `main` then gives it the largest message in bytes."""

    limit: int
    owner: int

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self.reader = frames.Reader(stream)
        self.kept: list[Any] = []
        self.numbers: dict[int, int] = {}
        self.turn = threading.RLock()
        self.output = Output()
        self.text = io.TextIOWrapper(
            io.BufferedWriter(self.output, 4096), "utf-8", "backslashreplace", write_through=False
        )
        self.globals: dict[str, Any] = {}
        self.callbacks: dict[int, Any] = {}
        self.chained = 0
        self.lent: dict[int, Any] = {}
        self.thrown: dict[int, tuple[int, BaseException]] = {}

    # ---- values
    def export(self, value: Any) -> Any:
        number = next((number for number, known in self.callbacks.items() if known is value), None)
        if number is not None:
            return {"cb": number}
        if type(value) is types.BuiltinFunctionType and value in PURE:
            return {"f": value.__name__}
        if isinstance(value, BaseException):
            thrown = self.thrown.get(id(value))
            return {"E": self.describe_error(value)} if thrown is None else {"x": thrown[0]}
        kind = type(value)
        sort = descriptions.find_sort(value, kind)
        label = getattr(value, "__name__", "") if sort in ("class", "function", "exception") else kind.__name__
        more: Any = None
        if sort == "exception":
            more = descriptions.name_bases(value)
        elif kind.__hash__ is not object.__hash__:
            with contextlib.suppress(Exception):
                more = hash(value)  # equal objects have equal ones
        words = descriptions.describe_class(kind)
        if sort == "class" and hasattr(value, "__class_getitem__"):
            words += " __getitem__"
        return {"r": [self.keep(value), sort, label if type(label) is str else "", words, self.keep(kind), more]}

    def keep(self, value: Any) -> int:
        number = self.numbers.get(id(value))
        if number is None:
            number = self.numbers[id(value)] = len(self.kept)
            self.kept.append(value)
        return number

    def resolve(self, tag: str, payload: Any) -> Any:
        if tag == "r":
            return self.kept[payload]
        if tag == "cb":
            number = payload[0] if type(payload) is list else payload
            if number not in self.callbacks:
                make = make_function if type(payload) is list else Callback
                self.callbacks[number] = make(self, payload)
            return self.callbacks[number]
        if tag == "X":
            return self.find_error_class(*payload)
        if tag == "it":
            return CallbackIterator(Callback(self, payload))
        if tag == "f":
            return getattr(builtins, payload)
        if tag == "e":
            kind, arguments, number = [codec.decode(part, self.resolve) for part in payload]
            is_plain = kind.__module__ in ("builtins", OF_TESTS)
            error = kind(*arguments) if is_plain else kind.__new__(kind, *arguments)
            self.thrown[id(error)] = (number, error)
            return error
        return codec.refuse_tag(tag, payload)

    def find_error_class(self, number: int, module: str, name: str, base: Any) -> Any:
        """An exception class of the tests, or of a library that they have imported."""
        if number not in self.callbacks:
            if module.partition(".")[0] in sys.stdlib_module_names:
                self.callbacks[number] = getattr(importlib.import_module(module), name)
            else:
                members = {"__module__": OF_TESTS, "__qualname__": str(number)}
                self.callbacks[number] = type(name, (codec.decode(base, self.resolve),), members)
        return self.callbacks[number]

    def describe_error(self, error: BaseException) -> list[Any]:
        """As `descriptions.describe_error`, its number unless a builtin's, its attributes, if plain or exceptions."""
        number = None if type(error).__module__ == "builtins" else self.keep(error)
        words = descriptions.describe_error(error, self.export)
        error.__traceback__ = None  # it may be kept, and would keep all that its frames hold
        attributes = descriptions.list_attributes(error, self.chained)
        self.chained += 1
        try:
            return [*words, number, codec.encode(attributes, self.export)]
        finally:
            self.chained -= 1

    # ---- messages
    def send(self, message: list[Any]) -> None:
        if os.getpid() != self.owner:  # a process that the program forked: the tester talks to its parent
            os._exit(0 if message[0] == "ret" else 1)
        self.text.flush()
        packed = frames.pack([*message, self.output.take()])
        if len(packed) - frames.HEADER.size > self.limit:
            packed = frames.pack(["bad", "a value too large to send", None, ""])
        self.stream.sendall(packed)

    def receive(self) -> list[Any]:
        message: list[Any] = self.reader.receive(ANY_SIZE)[0]
        return message

    def load(self, source: str, names: list[str]) -> None:
        module = type(sys)("program")  # not __main__: what a program does when run as a script is not asked for
        module.__file__ = PROGRAM_FILE
        self.globals = module.__dict__
        sys.modules["program"] = sys.modules["__main__"] = module
        try:
            exec(compile(source, "<program>", "exec", dont_inherit=True), self.globals)
        except BaseException as error:
            self.send(["loaderror", self.export(error)])
            return
        found = {name: self.globals[name] for name in names if name in self.globals}
        self.send(["loaded", {name: self._encode_global(value) for name, value in found.items()}])

    def run(self, source: str) -> None:
        """As a script, on the descriptors 0 and 1, to the end of its threads and exit handlers."""
        sys.stdin, sys.stdout = sys.__stdin__, sys.__stdout__
        module = type(sys)("__main__")
        module.__file__ = PROGRAM_FILE
        sys.modules["__main__"] = module
        raised, code = None, 0
        steps: list[Callable[[], Any]] = [
            lambda: exec(compile(source, "<program>", "exec", dont_inherit=True), module.__dict__),
            threading._shutdown,  # type: ignore[attr-defined]
            atexit._run_exitfuncs,
            lambda: getattr(sys.stdout, "closed", True) or sys.stdout.flush(),
            lambda: forget(module.__dict__),
        ]
        for step in steps:
            try:
                step()
            except SystemExit as error:
                code = find_exit_status(error)
            except BaseException as error:
                raised = raised or self.export(error)
        code = (code or int(raised is not None)) & 0xFF
        if os.getpid() == self.owner:
            self.send(["ended", raised, code])
        os._exit(code)

    def _encode_global(self, value: Any) -> Any:
        return self.export(value) if callable(value) else codec.encode(value, self.export)

    def serve(self) -> None:
        while True:
            self.answer(self.receive())

    def answer(self, message: list[Any]) -> None:
        """One "do" request."""
        _, operation, encoded, encoded_keywords = message
        args: list[Any] = []
        for argument in encoded:
            twice = type(argument) is dict and "=" in argument
            args.append(args[argument["="]] if twice else codec.decode(argument, self.resolve))
        kwargs = {name: codec.decode(argument, self.resolve) for name, argument in encoded_keywords.items()}
        try:
            value = OPERATIONS[operation](*args, **kwargs)
            reply = ["ret", self._encode_result(operation, value, args, kwargs)]
            value = None  # so that `_list_changes` does not take it for one that the program keeps
        except Unsendable as why:
            reply = ["bad", f"a value that cannot be sent: {why}"]
        except BaseException as error:
            if isinstance(error, SystemExit) and os.getpid() != self.owner:
                os._exit(find_exit_status(error) & 0xFF)
            reply = ["exc", self.export(error)]
        self.send([*reply, self._list_changes(operation, args, kwargs, encoded, encoded_keywords)])

    def _encode_result(self, operation: str, value: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """An argument that comes back, or what is kept, is told from an equal one: tests may look at identity."""
        kept = operation in LENDING or sys.getrefcount(value) > HELD_HERE
        if operation == "plain":
            return codec.encode_data(value, self.export)
        if containers.has_mutable(value):
            for place, argument in [*enumerate(args), *kwargs.items()][1:]:
                if argument is value:
                    return {"a": place}
        if operation == "call" and descriptions.is_own(value) and isinstance(args[0], type):
            return codec.encode_dressed(value, self.export) or self.export(value)
        try:
            encoded = codec.encode(value, self.export)
        except Unsendable:  # too deep for one message
            return self.export(value)
        return {"m": [self.lend(value, encoded), encoded]} if kept and is_lendable(value) else encoded

    def _list_changes(
        self, operation: str, args: list[Any], kwargs: dict[str, Any], encoded: list[Any], keywords: dict[str, Any]
    ) -> Any:
        """What the call changed in its arguments: [[place, new value], …], None where nothing did."""
        changes = self._list_lent_changes() if self.lent else []
        if operation != "call":
            return changes or None
        places = [(i, args[i], encoded[i]) for i in range(1, len(args))]
        places += [(name, kwargs[name], keywords[name]) for name in kwargs]  # type: ignore[misc]
        for place, value, before in places:
            if (type(before) is dict and ("r" in before or "=" in before)) or not containers.has_mutable(value):
                continue
            with contextlib.suppress(Unsendable):
                after = codec.encode(value, self.export)
                kept = is_lendable(value) and sys.getrefcount(value) > HELD_AS_ARGUMENT
                if kept or after != before:
                    changes.append([place, self.lend(value, after) if kept else None, after])
        return changes or None

    def lend(self, value: Any, encoded: Any) -> int:
        """The tests and the program have this from now on: what either changes is told to the other."""
        number = self.keep(value)
        self.lent.pop(number, None)
        self.lent[number] = encoded
        if len(self.lent) > LENT_AT_ONCE:
            del self.lent[next(iter(self.lent))]
        return number

    def _list_lent_changes(self) -> list[Any]:
        changes = []
        for number, before in list(self.lent.items()):
            with contextlib.suppress(Exception):  # too deep by now, or a thread of the program's is at it
                after = codec.encode(self.kept[number], self.export)
                if after != before:
                    self.lent[number] = after
                    changes.append([None, number, after])
        return changes

    def call_back(self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with self.turn:
            encoded = [codec.encode(argument, self.export) for argument in args]
            keywords = {name: codec.encode(argument, self.export) for name, argument in kwargs.items()}
            self.send(["cb", number, encoded, keywords, self._list_lent_changes() or None])
            while True:
                message = self.receive()
                if message[0] == "do":  # the callback itself calls into the program
                    self.answer(message)
                elif message[0] == "ok":
                    for place, after in message[2]:
                        if after != encoded[place]:
                            containers.absorb(args[place], codec.decode(after, self.resolve))
                    return codec.decode(message[1], self.resolve)
                else:
                    raise codec.decode(message[1], self.resolve)


def forget(names: dict[str, Any]) -> None:
    """As the interpreter does at its end: files that the program left open are written out, and finalizers run."""
    for name in list(names):
        if name != "__builtins__":
            names[name] = None
    gc.collect()
    with contextlib.suppress(Exception):  # closed, or taken apart
        (sys.__stdout__ or sys.stdout).flush()


def find_exit_status(error: SystemExit) -> int:
    return error.code if type(error.code) is int else 0 if error.code is None else 1


def prepare(stream: int) -> Server:
    """The same for every candidate, after the rehearsal; stream: its socket. The spawner prints and reads nothing."""
    server = Server(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=stream))
    sys.stdout = sys.stderr = server.text
    sys.stdin = io.StringIO()
    sys.argv = [PROGRAM_FILE]
    sys.modules.pop("program", None)  # what the rehearsal left
    random.seed(0)
    return server


def main(server: Server, message_limit: int) -> None:
    """Serve one tester until it goes away. Confinement is already on."""
    server.limit, server.owner = message_limit, os.getpid()
    request = server.receive()
    if request[0] == "run":
        server.run(request[1])
    server.load(request[1], request[2])
    server.serve()
