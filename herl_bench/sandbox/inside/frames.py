"""Length-prefixed JSON over a stream socket. Leaves out what the JSON means.

A frame is four bytes of length and that many bytes of JSON in UTF-8, halves of surrogate pairs included. The reader
refuses a frame above its cap before reading it.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

HEADER = struct.Struct("=I")
PIECE = 1 << 16
# Both made once, and without what `json.dumps` and `json.loads` do around them for each message. Each nan is a new one:
# containers take the same object for equal. Text is not escaped: two halves of a surrogate pair would come back as one
# character.
ENCODE = json.encoder.c_make_encoder(None, None, json.encoder.encode_basestring, None, ":", ",", False, False, True)  # type: ignore[attr-defined]
SCAN = json.JSONDecoder(parse_constant=float).scan_once  # type: ignore[attr-defined]


class BadFrame(Exception):
    """The other side sent something that is no frame."""


class Closed(Exception):
    """The other side is gone."""


def to_text(message: Any) -> str:
    return "".join(ENCODE(message, 0))


def from_text(text: str) -> Any:
    """Raises `BadFrame` for anything but one JSON value."""
    try:
        message, end = SCAN(text, 0)
    except (ValueError, RecursionError, StopIteration) as error:
        raise BadFrame("not JSON") from error
    if end != len(text):
        raise BadFrame("more than JSON")
    return message


def pack(message: Any) -> bytes:
    body = to_text(message).encode("utf-8", "surrogatepass")
    return HEADER.pack(len(body)) + body


def send(stream: socket.socket, message: Any) -> None:
    try:
        stream.sendall(pack(message))
    except (BrokenPipeError, ConnectionResetError) as error:
        raise Closed from error


class Reader:
    """The frames on a socket. What came along with a frame is kept for the next one: a call to the kernel is dear."""

    def __init__(self, stream: socket.socket):
        self.stream = stream
        self.rest = b""

    def receive(self, limit: int) -> tuple[Any, int]:
        """A message and its size in bytes; `BadFrame` above the limit, or where it is no JSON; `Closed` at the end."""
        data = self.rest
        while len(data) < HEADER.size:
            data += self._more(PIECE)
        (size,) = HEADER.unpack_from(data)
        if size > limit:
            raise BadFrame(f"a message of {size} bytes, above the limit of {limit}")
        end = HEADER.size + size
        if len(data) < end:
            pieces, missing = [data], end - len(data)
            while missing > 0:
                pieces.append(self._more(max(missing, PIECE)))
                missing -= len(pieces[-1])
            data = b"".join(pieces)
        body, self.rest = data[HEADER.size : end], data[end:]
        try:
            text = body.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise BadFrame("not UTF-8") from error
        return from_text(text), size

    def _more(self, count: int) -> bytes:
        try:
            piece = self.stream.recv(count)
        except ConnectionResetError as error:
            raise Closed from error
        if not piece:
            raise Closed
        return piece


def receive(stream: socket.socket, limit: int) -> Any:
    """For a stream on which nothing follows this message until it is answered."""
    return Reader(stream).receive(limit)[0]
