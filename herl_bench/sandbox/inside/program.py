"""The program under test, seen from the tester: its requests, one after another, and what they change.

Covers: calls and all that `remote.py` asks, sent ahead where the program cannot tell; arguments changed in place;
containers that both sides keep; calls back into the tests. `shared` says where the program's own word decided. Leaves
out: which names of the program the tests may see (`report.py`).
"""

from __future__ import annotations

import collections
import contextlib
import socket
import threading
from collections.abc import Sequence
from typing import Any

from . import codec, containers, frames
from .channel import Stop
from .protocol import LENT_AT_ONCE, TEXT_CAP, Unsendable
from .remote import Known, Remote, RemoteCallable, look_up, make_remote
from .rewrite import Call
from .values import Values, is_made_by_tests

ERROR_CAP = 400
OURS = ("seed", "global", "absorb")  # what the tests do not ask for
AHEAD = 16 << 10  # bytes: surely fits into a socket that nobody reads

# What an object is asked without any value but the key, the name or the arguments of the question itself. Whatever is
# not among these is an operator: it hands the program what its answer will be held against, or lets it compare.
QUESTIONS = (
    "call getattr setattr delattr getitem setitem delitem len iter take await aiter anext aenter aexit enter exit"
    " bool str repr format seed global absorb neg pos invert abs int float complex index round trunc floor ceil hash"
    " reversed contains send throw close dir next bytes fspath length_hint copy deepcopy type plain"
)
NO_OPERATORS = frozenset(QUESTIONS.split())


class Silent(Exception):
    """The program would have to be asked, and must not be."""


class Program(Values):
    """calls: how often the tests called anything of the program. upcoming: calls that they will make next. ahead: those
    of them that were sent, with the reply where it was read. shared: what the program's objects were asked to judge, ""
    where nothing; see `is_own_word`. spelled: the attributes that the tests name. bare: they are at an assertion that
    compares nothing. waiting: how many threads of theirs wait for another one's request."""

    def __init__(self, stream: socket.socket, limit: int):
        super().__init__(stream, limit)
        self.shared = ""
        self.spelled: frozenset[str] = frozenset()
        self.bare = False
        self.calls = 0
        self.requests = 0
        self.waiting = 0
        self.out_of_memory = False
        self.last_call: tuple[str, list[Any], dict[str, Any]] | None = None
        self.load_error: BaseException = RuntimeError("the program was not loaded")
        self.turn = threading.RLock()
        self.upcoming: Sequence[Call] = ()
        self.ahead: collections.deque[list[Any]] = collections.deque()

    # ---- the beginning, and a script's end
    def receive_names(self, names: list[str]) -> dict[str, Any] | None:
        """The answer to a load: names to values, or None where the program's body raised (`load_error` tells)."""
        message = self.receive()
        if message[0] == "loaderror":
            self.load_error = self.read_exception(self.unpack(message, 2)[0])
            return None
        if message[0] != "loaded":
            self.stop_misshapen("sent a message of the wrong kind")
        found, _ = self.unpack(message, 2)
        if type(found) is not dict or not set(found) <= set(names):
            self.stop_misshapen("named what nobody asked for")
        values = {name: self.decode(value) for name, value in found.items()}
        for name, value in values.items():
            if isinstance(value, RemoteCallable):
                look_up(value).label = name
                self.named.add(look_up(value).number)
        return values

    def receive_end(self) -> tuple[str, int]:
        """The end of a script: what it raised (or nothing), and its exit status."""
        message = self.receive()
        if message[0] != "ended" or len(message) != 4 or type(message[2]) is not int:
            self.stop_misshapen("sent a message of the wrong kind")
        description, code, _ = self.unpack(message, 3)
        if description is None:
            return "", code
        return self.describe(self.read_exception(description), self.last_line), code or 1

    def read_exception(self, message: Any) -> BaseException:
        """What the program raised."""
        error = self.decode(message)
        if not isinstance(error, BaseException):
            self.stop_misshapen("raised what is no exception")
        self.out_of_memory = self.out_of_memory or isinstance(error, MemoryError)
        return error

    def describe(self, error: BaseException, line: int | None = None) -> str:
        text = self.put_into_words(lambda: str(error))
        where = f" (line {line})" if line is not None else ""
        return f"{type(error).__name__}{': ' if text else ''}{text[:ERROR_CAP]}{where}"

    # ---- requests
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
        self.mark_known(args, encoded)
        self.calls += operation not in OURS
        self.requests += operation != "plain"
        question, given = (args[1].strip("_"), args[2:]) if operation == "special" else (operation, args[1:])
        if question not in NO_OPERATORS:  # before its answer, which may be an exception
            self.shared = self.shared or question
        if operation == "call":
            self.last_call = (look_up(args[0]).label, encoded[1:], keywords)
        message = self.ask(["do", operation, encoded, keywords]) or self.receive()
        while message[0] == "cb":
            *call, changes, _ = self.unpack(message, 5)
            self.take_changes(changes, (), {})
            self.call_back(*call)
            message = self.receive()
        value = self.read_reply(message, args, kwargs)
        if not self.shared and self.is_own_word(question, encoded[0], given, kwargs, value):
            self.shared = question
        if self.upcoming and operation == "call" and not isinstance(value, Remote):
            self.ask_ahead(encoded[0])
        return value

    def read_reply(self, message: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The value that came back; raises what the program raised."""
        if message[0] not in ("ret", "exc", "bad"):
            self.stop_misshapen("sent a message of the wrong kind")
        value, changes, _ = self.unpack(message, 3)
        if message[0] == "bad":
            raise TypeError(f"the program returned {str(value)[:TEXT_CAP]}")
        self.take_changes(changes, args, kwargs)
        if message[0] == "exc":
            raise self.read_exception(value)
        if type(value) is dict and list(value) == ["a"]:
            return self.find_argument(value["a"], args, kwargs)
        if type(value) is dict and list(value) == ["m"]:
            return self.lend(*self.read_lent(value["m"]))
        return self.decode(value)

    def is_own_word(
        self, question: str, asked: Any, given: tuple[Any, ...], kwargs: dict[str, Any], answer: Any
    ) -> bool:
        """Was an object of the program's given a value and did it answer yes or no? Tests cannot hold that to anything.
        What the tests call by its name is the function under test, and a value its argument."""
        is_yes_or_no = type(answer) is bool or is_empty(answer) or (self.bare and type(answer) in (int, float))
        if not is_yes_or_no or not (given or kwargs):
            return False
        if question == "call":
            return asked.get("r") not in self.named
        if question in ("exit", "aexit"):  # it may swallow what the tests found
            return answer is True and isinstance(given[0], AssertionError)
        return question != "getattr" or given[0] not in self.spelled

    # ---- requests ahead
    def ask(self, message: list[Any]) -> list[Any] | None:
        """Send a request, unless that was done ahead; its reply, where that was read already."""
        if self.ahead and self.ahead[0][0] == message:
            return self.ahead.popleft()[1]
        for earlier in self.ahead:  # replies come in the order of the requests
            earlier[1] = earlier[1] or self.receive()
        self.send(message)
        return None

    def ask_ahead(self, function: Any) -> None:
        """Send the next calls, so that neither waits for the other each time. Only as far as the program cannot tell:
        up to the first result of which more may be asked, and not where it may call back, for it would take the next
        request for the answer. In one piece that surely fits into the socket, so that nobody waits for room in it."""
        if self.ahead or self.callbacks or self.iterators:
            return
        pieces, size = [], 0
        for call in self.upcoming:
            keywords = {name: self.encode(argument) for name, argument in call.kwargs.items()}
            message = ["do", "call", [function, *map(self.encode, call.args)], keywords]
            piece = frames.pack(message)
            size += len(piece)
            if size > min(AHEAD, self.limit):
                break
            pieces.append(piece)
            self.ahead.append([message, None])
            if not call.final:
                break
        self.deliver(b"".join(pieces))

    # ---- containers that both sides have
    def lend(self, number: int, new: Any, given: Any = None) -> Any:
        """What the program keeps and the tests have (given: by them): one object for both, however often it changes."""
        value = self.lent.pop(number, (new if given is None else given, None))[0]
        if value is not new:
            containers.absorb(value, new)
        self.lent[number] = (value, codec.encode(value, self.export))
        if len(self.lent) > LENT_AT_ONCE:
            del self.lent[next(iter(self.lent))]
        return value

    def read_lent(self, payload: Any) -> tuple[int, Any]:
        if type(payload) is not list or len(payload) != 2 or type(payload[0]) is not int:
            self.stop_misshapen()
        return payload[0], self.decode(payload[1])

    def mark_known(self, args: tuple[Any, ...], encoded: list[Any]) -> None:
        """What the program keeps, or is given twice, is told by its number or place: it is one object there, too."""
        for place, value in enumerate(args):
            if type(value) in containers.MUTABLE:
                first = next(i for i, other in enumerate(args) if other is value)
                number = next((number for number, (known, _) in self.lent.items() if known is value), None)
                if number is not None:
                    encoded[place] = {"r": number}
                elif first != place:
                    encoded[place] = {"=": first}

    def give_back(self) -> None:
        """Tell the program what the tests changed in what was lent, unless it has changed it itself meanwhile."""
        lent, self.lent = self.lent, {}
        for number, (value, before) in lent.items():
            # The tests have put into it what cannot be sent, or the program cannot compare it.
            with contextlib.suppress(Exception):
                after = codec.encode(value, self.export)
                if after != before:
                    theirs = make_remote(Remote, Known(self, number, "object"))
                    self.exchange("absorb", (theirs, self.decode_sent(before), value), {})
                self.lent[number] = (value, after)

    def take_changes(self, changes: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if changes is None:
            return
        if type(changes) is not list or not all(type(change) is list and len(change) == 3 for change in changes):
            self.stop_misshapen()
        for place, number, value in changes:
            argument = None if place is None else self.find_argument(place, args, kwargs)
            if containers.holds_twice(argument):
                self.refuse("the tests pass a list that is in two places, and the program changes it in one")
            if type(number) is int and (place is not None or number in self.lent):
                self.lend(number, self.decode(value), argument)
            elif argument is not None:
                containers.absorb(argument, self.decode(value))

    def find_argument(self, place: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if type(place) is str and place in kwargs:
            return kwargs[place]
        if type(place) is int and 0 < place < len(args):
            return args[place]
        self.stop_misshapen("changed what it was not given")

    # ---- the tests' own functions
    def call_back(self, number: Any, args: Any, kwargs: Any) -> None:
        known = type(number) is int and 0 <= number < len(self.callbacks)
        if not known or type(args) is not list or type(kwargs) is not dict:
            self.stop_misshapen("called a function that it was not given")
        values = [self.decode(argument) for argument in args]
        keywords = {name: self.decode(argument) for name, argument in kwargs.items()}
        try:
            answer = ["ok", codec.encode(self.callbacks[number](*values, **keywords), self.export)]
            answer.append([[i, self.encode(value)] for i, value in enumerate(values) if containers.has_mutable(value)])
            self.give_back()
        except Unsendable as why:
            if is_made_by_tests(why):
                self.refuse(f"a function of the tests returns a value that cannot be sent: {why}")
            answer = ["raise", self.encode(TypeError(f"a value that cannot be sent: {why}"))]
        except Stop:
            raise
        except BaseException as error:
            answer = ["raise", self.encode(error)]
        self.stop_if_dead()
        packed = frames.pack(answer)
        if len(packed) > self.limit:  # of which the program decides by what it calls the function with
            packed = frames.pack(["raise", self.encode(ValueError("a value that is larger than message_mb"))])
        self.deliver(packed)


def is_empty(answer: Any) -> bool:
    kind = type(answer)
    return (kind in containers.MUTABLE or kind in (str, bytes, tuple, frozenset)) and not answer
