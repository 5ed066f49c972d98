"""The candidate's process: runs untrusted code and answers the tester's calls. Nothing in here is trusted once the code
has started.

Covers: loading the program; calls, attribute and operator requests on what it defined; arguments changed in place;
callables of the tests as arguments (reverse calls); objects that cannot travel (they stay here, the tester gets a
reference); captured output, capped. Leaves out: tests, expected values, verdicts. None of them ever enters this
process.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import copy
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

from . import codec, frames

OUTPUT_CAP = 64 << 10
TEXT_CAP = 500
TAKE_AT_MOST = 256
PROGRAM_FILE = "program.py"


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
        codec.absorb(known, after)


def run_to_end(awaitable: Any) -> Any:
    """In one event loop for all: what the program makes in it, such as a lock or a generator, may belong to it."""
    import asyncio

    async def wait() -> Any:
        return await awaitable

    if not LOOPS:
        LOOPS.append(asyncio.Runner())
    return LOOPS[0].run(wait())


LOOPS: list[Any] = []


def exit_arguments(error: BaseException | None) -> tuple[Any, Any, Any]:
    return (None, None, None) if error is None else (type(error), error, None)


def special(value: Any, name: str, *args: Any) -> Any:
    """By its class, as operators and builtin functions do."""
    if name == "__getitem__" and not hasattr(type(value), name):
        return value.__class_getitem__(*args)
    return getattr(type(value), name)(value, *args)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "call": lambda function, *args, **kwargs: function(*args, **kwargs),
    "getattr": getattr,
    "setattr": setattr,
    "delattr": delattr,
    "special": special,
    "take": take,
    "await": run_to_end,
    "anext": lambda value: run_to_end(type(value).__anext__(value)),
    "aenter": lambda manager: run_to_end(type(manager).__aenter__(manager)),
    "aexit": lambda manager, error: bool(run_to_end(type(manager).__aexit__(manager, *exit_arguments(error)))),
    "str": str,
    "repr": repr,
    "isinstance": isinstance,
    "issubclass": issubclass,
    "exit": lambda manager, error: bool(type(manager).__exit__(manager, *exit_arguments(error))),
    "seed": random.seed,
    "global": lambda name: vars(sys.modules["program"])[name],
    "absorb": absorb_unless_changed,
    "copy": lambda value: copy.copy(value),
    "deepcopy": lambda value: copy.deepcopy(value),
    "type": type,
    "plain": lambda value: value,
    "format": format,
}


PURE = frozenset(getattr(builtins, name) for name in codec.PURE_FUNCTIONS.split())

# What gives the tests a part of the program's own state: they may change it.
LENDING = ("getattr", "getitem", "global")
LENT_AT_MOST = 1000
CHAIN_AT_MOST = 10  # exceptions that come with the one that was raised, as its cause and so on
HELD_HERE = 3  # references to a result that nobody keeps: of two frames here, and of the one that counts
HELD_AS_ARGUMENT = 4  # to an argument: in the list of them, in that of places, in a frame, and of the one that counts


def lendable(value: Any) -> bool:
    return type(value) in codec.MUTABLE and len(value) <= LENT_AT_MOST


class Callback:
    """A callable of the tests, seen from here."""

    def __init__(self, server: Server, number: int):
        self._server, self._number = server, number

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._server.call_back(self._number, args, kwargs)


def as_function(server: Server, payload: list[Any]) -> Any:
    """A function of the tests, seen from here: programs look at its name, its docstring and its parameters."""
    number, name, doc, parameters, passed_on = payload
    space = {
        "_default": NOT_GIVEN,
        "_call": lambda *args, **kwargs: server.call_back(number, given(args), given(kwargs)),
    }
    function = eval(f"lambda {parameters}: _call({passed_on})", space)
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


NOT_GIVEN = object()


def given(arguments: Any) -> Any:
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
    """Made before the fork, where it costs every candidate nothing; `main` then gives it the largest message in
    bytes."""

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
            return {"E": self.describe(value)} if thrown is None else {"x": thrown[0]}
        kind = type(value)
        sort, more = sort_of(value, kind), None  # type: tuple[str, Any]
        label = getattr(value, "__name__", "") if sort in ("class", "function", "exception") else kind.__name__
        if sort == "exception":
            more = error_names(value)
        elif kind.__hash__ is not object.__hash__:
            with contextlib.suppress(Exception):
                more = hash(value)  # equal objects have equal ones
        words = special_methods(kind) + (
            " __getitem__" if sort == "class" and hasattr(value, "__class_getitem__") else ""
        )
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
                self.callbacks[number] = (
                    as_function(self, payload) if type(payload) is list else Callback(self, payload)
                )
            return self.callbacks[number]
        if tag == "X":
            return self.error_class(*payload)
        if tag == "it":
            return CallbackIterator(Callback(self, payload))
        if tag == "f":
            return getattr(builtins, payload)
        if tag == "e":
            kind, arguments, number = [codec.decode(part, self.resolve) for part in payload]
            error = (
                kind(*arguments) if kind.__module__ in ("builtins", codec.OF_TESTS) else kind.__new__(kind, *arguments)
            )
            self.thrown[id(error)] = (number, error)
            return error
        return codec.no_import(tag, payload)

    def error_class(self, number: int, module: str, name: str, base: Any) -> Any:
        """An exception class of the tests, or of a library that they have imported."""
        if number not in self.callbacks:
            known = module.partition(".")[0] in sys.stdlib_module_names
            members = {"__module__": codec.OF_TESTS, "__qualname__": str(number)}
            made = (
                getattr(importlib.import_module(module), name)
                if known
                else type(name, (codec.decode(base, self.resolve),), members)
            )
            self.callbacks[number] = made
        return self.callbacks[number]

    def describe(self, error: BaseException) -> list[Any]:
        """[names of its classes, its plain args or None, its text, the last line of the program that it passed through,
        its number here unless it is a builtin's, its attributes that are plain or exceptions]"""
        kind = type(error)
        number = None if kind.__module__ == "builtins" else self.keep(error)
        words = described(error, self.export)
        error.__traceback__ = None  # it may be kept, and would keep all that its frames hold
        more = {name: getattr(error, name, None) for name in codec.ERROR_PARTS} if self.chained < CHAIN_AT_MOST else {}
        more |= {} if is_own(error) else vars(error)
        self.chained += 1
        try:
            return [
                *words,
                number,
                codec.encode({name: value for name, value in more.items() if travels(value)}, self.export),
            ]
        finally:
            self.chained -= 1

    # ---- messages
    def send(self, message: list[Any]) -> None:
        if (
            os.getpid() != self.owner
        ):  # a process that the program forked has come back here: the tester talks to its parent
            os._exit(0 if message[0] == "ret" else 1)
        self.text.flush()
        packed = frames.pack([*message, self.output.take()])
        if len(packed) - frames.HEADER.size > self.limit:
            packed = frames.pack(["bad", "a value too large to send", None, ""])
        self.stream.sendall(packed)

    def receive(self) -> list[Any]:
        message: list[Any] = self.reader.receive(1 << 31)[0]
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
        self.send(["loaded", {name: self._encoded(value) for name, value in found.items()}])

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
                code = exit_status(error)
            except BaseException as error:
                raised = raised or self.export(error)
        code = (code or int(raised is not None)) & 0xFF
        if os.getpid() == self.owner:
            self.send(["ended", raised, code])
        os._exit(code)

    def _encoded(self, value: Any) -> Any:
        return self.export(value) if callable(value) else codec.encode(value, self.export)

    def serve(self) -> None:
        while True:
            self.answer(self.receive())

    def answer(self, message: list[Any]) -> None:
        """One request: ["do", operation, args, kwargs] -> ["ret", value, changes] | ["exc", exception, changes] |
        ["bad", why, …]."""
        _, operation, encoded, encoded_keywords = message
        args: list[Any] = []
        for argument in encoded:
            twice = type(argument) is dict and "=" in argument
            args.append(args[argument["="]] if twice else codec.decode(argument, self.resolve))
        kwargs = {name: codec.decode(argument, self.resolve) for name, argument in encoded_keywords.items()}
        try:
            value = OPERATIONS[operation](*args, **kwargs)
            reply = ["ret", self._result(operation, value, args, kwargs)]
            value = None  # so that `_changes` does not take it for one that the program keeps
        except codec.Unsendable as why:
            reply = ["bad", f"a value that cannot be sent: {why}"]
        except BaseException as error:
            if isinstance(error, SystemExit) and os.getpid() != self.owner:
                os._exit(exit_status(error) & 0xFF)
            reply = ["exc", self.export(error)]
        self.send([*reply, self._changes(operation, args, kwargs, encoded, encoded_keywords)])

    def _result(self, operation: str, value: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """An argument that comes back is told apart from an equal one, and so is what the program keeps: tests may look
        at identity."""
        kept = operation in LENDING or sys.getrefcount(value) > HELD_HERE
        if operation == "plain":
            return codec.as_data(value, self.export)
        if codec.has_mutable(value):
            for place, argument in [*enumerate(args), *kwargs.items()][1:]:
                if argument is value:
                    return {"a": place}
        if operation == "call" and is_own(value) and isinstance(args[0], type):
            return codec.dressed(value, self.export) or self.export(value)
        try:
            encoded = codec.encode(value, self.export)
        except codec.Unsendable:  # too deep for one message
            return self.export(value)
        return {"m": [self.lend(value, encoded), encoded]} if kept and lendable(value) else encoded

    def _changes(
        self, operation: str, args: list[Any], kwargs: dict[str, Any], encoded: list[Any], keywords: dict[str, Any]
    ) -> Any:
        """What the call changed in its arguments: [[place, new value], …], None where nothing did."""
        changes = self._lent_changes() if self.lent else []
        if operation != "call":
            return changes or None
        places = [(i, args[i], encoded[i]) for i in range(1, len(args))]
        places += [(name, kwargs[name], keywords[name]) for name in kwargs]  # type: ignore[misc]
        for place, value, before in places:
            if (type(before) is dict and ("r" in before or "=" in before)) or not codec.has_mutable(value):
                continue
            with contextlib.suppress(codec.Unsendable):
                after = codec.encode(value, self.export)
                kept = lendable(value) and sys.getrefcount(value) > HELD_AS_ARGUMENT
                if kept or after != before:
                    changes.append([place, self.lend(value, after) if kept else None, after])
        return changes or None

    def lend(self, value: Any, encoded: Any) -> int:
        """The tests and the program have this from now on: what either changes is told to the other."""
        number = self.keep(value)
        self.lent.pop(number, None)
        self.lent[number] = encoded
        if len(self.lent) > codec.LENT_AT_ONCE:
            del self.lent[next(iter(self.lent))]
        return number

    def _lent_changes(self) -> list[Any]:
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
            self.send(["cb", number, encoded, keywords, self._lent_changes() or None])
            while True:
                message = self.receive()
                if message[0] == "do":  # the callback itself calls into the program
                    self.answer(message)
                elif message[0] == "ok":
                    for place, after in message[2]:
                        if after != encoded[place]:
                            codec.absorb(args[place], codec.decode(after, self.resolve))
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


def exit_status(error: SystemExit) -> int:
    return error.code if type(error.code) is int else 0 if error.code is None else 1


def is_own(value: Any) -> bool:
    """An instance of a class that the program wrote stays an object, even where it derives from a builtin type."""
    return type(value).__module__ == codec.OWN_MODULE


def error_names(kind: type) -> list[str]:
    return [f"{parent.__module__}.{parent.__qualname__}" for parent in kind.__mro__]


def sort_of(value: Any, kind: type) -> str:
    if isinstance(value, type):
        return "exception" if issubclass(value, BaseException) else "class"
    if hasattr(kind, "__await__") and hasattr(kind, "send"):
        return "coroutine"
    if hasattr(kind, "__next__"):
        return "generator" if kind is types.GeneratorType else "iterator"
    return "function" if kind is types.FunctionType else "callable" if callable(value) else "object"


SPECIAL = [f"__{word}__" for word in codec.SPECIAL.split()]


WORDS: dict[int, tuple[type, str]] = {}  # by identity: a metaclass may have a hash of its own, or none


def special_methods(kind: type) -> str:
    if id(kind) not in WORDS:
        WORDS[id(kind)] = kind, " ".join(list_special_methods(kind))
    return WORDS[id(kind)][1]


def list_special_methods(kind: type) -> list[str]:
    """Those that it has and `object` has not, and in a word how it compares: as its fields do (a dataclass), or as the
    builtin that it derives from."""
    words = [name for name in SPECIAL if getattr(kind, name, None) not in (None, getattr(object, name, None))]
    if hasattr(kind, "__next__"):
        words = [name for name in words if name not in ("__iter__", "__next__")]
    if not isinstance(getattr(kind, "__contains__", None), types.FunctionType):
        words = [name for name in words if name != "__contains__"]  # a builtin's, which looks at the items
    if kind.__hash__ is None:
        words.append("__hash__")
    if getattr(getattr(kind.__eq__, "__code__", None), "co_filename", "") == "<string>" and hasattr(
        kind, "__dataclass_fields__"
    ):
        words.append("narrow")
    if any(kind.__eq__ is base.__eq__ for base in codec.MUTABLE) or codec.table_name(kind) in codec.KEPT:
        words.append("data")
    return words


def travels(value: Any) -> bool:
    if value is None or isinstance(value, BaseException):
        return value is not None
    try:
        codec.encode(value)
    except Exception:
        return False
    return True


def described(error: BaseException, export: codec.Export) -> list[Any]:
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
    return [error_names(type(error)), arguments, text, line]


def prepare(stream: int) -> Server:
    """What is the same for every candidate; stream: the descriptor of its socket. The spawner itself prints nothing and
    reads nothing."""
    rehearse()
    server = Server(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=stream))
    sys.stdout = sys.stderr = server.text
    sys.stdin = io.StringIO()
    sys.argv = [PROGRAM_FILE]
    sys.modules.pop("program", None)  # what the rehearsal left
    random.seed(0)
    return server


REHEARSAL = """
from typing import Any, Dict, List, Optional, Tuple
import math

def entry(numbers: List[int], text: str = "abc") -> Tuple[Any, ...]:
    \"\"\"What a program of a benchmark looks like.\"\"\"
    seen: Dict[str, int] = {}
    result, total, i = [], 0, 0
    for index, value in enumerate(numbers):
        if value % 2 == 0 and index > 0 or not value:
            result.append(value ** 2)
        elif value != len(text):
            total += value
    for char in text.lower().split(" "):
        seen[char] = seen.get(char, 0) + 1
    while i < len(result):
        i += 1
    return tuple(sorted([x + 1 for x in result], key=lambda x: -x)), total, "".join(reversed(text)), seen, max(total, i), [text[:1], True]

class Failure(Exception):
    def __init__(self, words):
        self.words = words

def fails(x):
    raise ValueError(f"{x} is wrong")
"""
REHEARSALS = 48


def rehearse() -> None:
    """Do, before the first fork, what every candidate does: the interpreter then has its caches filled and its bytecode
    specialised, for which each candidate would otherwise write to, and so copy, pages of its own."""
    ours, theirs = socket.socketpair()
    for _ in range(REHEARSALS):
        server = Server(theirs)
        server.limit, server.owner = 1 << 20, os.getpid()
        server.load(REHEARSAL, ["entry", "fails", "missing"])
        frames.receive(ours, 1 << 20)
        for function, argument in ((0, [1, 2, 3, 4]), (1, {"t": ["a", 2.5, None]}), (1, {"d": [["key", {"s": [1]}]]})):
            frames.send(ours, ["do", "call", [{"r": function}, argument], {}])
            server.answer(server.receive())
            frames.receive(ours, 1 << 20)
    ours.close()
    theirs.close()


def main(server: Server, message_limit: int) -> None:
    """Serve one tester until it goes away. Confinement is already on."""
    server.limit, server.owner = message_limit, os.getpid()
    request = server.receive()
    if request[0] == "run":
        server.run(request[1])
    server.load(request[1], request[2])
    server.serve()
