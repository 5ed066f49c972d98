"""The socket to a candidate's process, on the tester's side: frames out and in, what the program printed, and the end.
What comes from the program is data: it is put into words by `Channel.put_into_words` alone, which asks the program
nothing and never fails."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from . import frames
from .protocol import OUTPUT_CAP, TEXT_CAP


class Stop(BaseException):
    """The job cannot go on. A BaseException, and raised again at every later call, so that no test can swallow it."""


class Channel:
    """dead: (status, detail) once nothing more can be asked. unproven: a refusal may be the program's doing, so the
    same tests have to be seen to do it without it. silent: the program must not be asked now."""

    def __init__(self, stream: socket.socket, limit: int):
        self.stream = stream
        self.reader = frames.Reader(stream)
        self.limit = limit
        self.dead: tuple[str, str] | None = None
        self.unproven = False
        self.silent = False
        self.output: list[str] = []
        self.output_room = OUTPUT_CAP
        self.stdout = sys.stdout

    def stop(self, status: str, detail: str) -> NoReturn:
        if self.dead is None:
            self.dead = (status, detail[:TEXT_CAP])
        raise Stop(detail)

    def stop_if_dead(self) -> None:
        if self.dead:
            raise Stop(self.dead[1])

    def refuse(self, why: str, certain: bool = True) -> NoReturn:
        """The tests use what cannot work across two processes. certain: no program could have made them do so."""
        self.unproven = self.unproven or (self.dead is None and not certain)
        self.stop("refused", why)

    def put_into_words(self, make: Callable[[], str], otherwise: str = "") -> str:
        """Bounded text for people of what came from the program: the one place where its `str` or `repr` is taken."""
        silent_before, self.silent = self.silent, True
        try:
            return make()[:TEXT_CAP]
        except Stop:
            raise
        except BaseException:  # what the program raises is a class of its choice
            return otherwise
        finally:
            self.silent = silent_before

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
        self.stop_if_dead()
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

    def unpack(self, message: list[Any], count: int) -> list[Any]:
        """What follows the tag; the last part is always a piece of output."""
        if len(message) != count + 1 or type(message[-1]) is not str:
            self.stop_misshapen()
        printed = message[-1][: self.output_room]
        if printed:
            self.output.append(printed)
            self.output_room -= len(printed)
            if sys.stdout is not self.stdout:  # the tests look at what is printed
                sys.stdout.write(printed)
        return message[1:]

    def stop_misshapen(self, what: str = "sent a message of the wrong shape") -> NoReturn:
        self.stop("protocol", f"the program's process {what}")
