"""Length-prefixed JSON over a stream socket. Leaves out what the JSON means.

A frame is four bytes of length and that many bytes of UTF-8 JSON. The reader refuses a frame above its cap before reading it.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

HEADER = struct.Struct("=I")
PIECE = 1 << 18
ENCODER = json.JSONEncoder(separators=(",", ":"), check_circular=False)  # made once: json.dumps would make one per message
DECODER = json.JSONDecoder(parse_constant=float)  # each nan a new one: containers take the same object for equal


class BadFrame(Exception):
    """The other side sent something that is no frame."""


class Closed(Exception):
    """The other side is gone."""


def pack(message: Any) -> bytes:
    body = ENCODER.encode(message).encode()
    return HEADER.pack(len(body)) + body


def send(stream: socket.socket, message: Any) -> None:
    try:
        stream.sendall(pack(message))
    except (BrokenPipeError, ConnectionResetError) as error:
        raise Closed from error


def read_exactly(stream: socket.socket, count: int) -> bytes:
    pieces = []
    while count:
        try:
            piece = stream.recv(min(count, PIECE))
        except ConnectionResetError as error:
            raise Closed from error
        if not piece:
            raise Closed
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def receive(stream: socket.socket, limit: int) -> Any:
    return receive_sized(stream, limit)[0]


def receive_sized(stream: socket.socket, limit: int) -> tuple[Any, int]:
    (size,) = HEADER.unpack(read_exactly(stream, HEADER.size))
    if size > limit:
        raise BadFrame(f"a message of {size} bytes, above the limit of {limit}")
    body = read_exactly(stream, size)
    try:
        return DECODER.decode(body.decode()), size
    except (ValueError, RecursionError) as error:
        raise BadFrame("not JSON") from error
