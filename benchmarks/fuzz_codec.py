"""Coverage-guided fuzzing of the sandbox's codec, by hand; needs `pip install atheris`.

    python benchmarks/fuzz_codec.py -max_total_time=600          exits 1 at the first input that breaks a property

Each input becomes a message, half of the time any JSON at all, half of the time a tree of the codec's own tags.
Properties: `decode` gives a value or raises BadValue, nothing else; the value is made of plain types alone, none with
an `__eq__` of its own; it goes back through `encode` and arrives as the same value of the same type. Leaves out:
references, which the tester resolves (`inside/values.py`).
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import atheris

sys.path.insert(0, str(Path(__file__).parent.parent / "herl_bench" / "sandbox"))
with atheris.instrument_imports():
    from inside import codec, frames, protocol

TAGS = [*codec.DECODERS, "r", "cb", "f"]
WORDS = [
    "builtins.int",
    "builtins.eval",
    "collections.Counter",
    "P",
    "x",
    "_x",
    "Ellipsis",
    "1e9",
    "0x10",
    "00ff",
    "NaN",
    "\ud800",
    "",
]
PLAIN = {"builtins", "collections", "decimal", "fractions", "datetime", *(module for module, _ in codec.PARTS)}


def tree(data: Any, depth: int = 0) -> Any:
    kind = data.ConsumeIntInRange(0, 9 if depth < 6 else 5)
    if kind <= 1:
        return data.PickValueInList(
            [None, True, False, 0, 1, -1, 0.0, -0.0, 1.0, math.nan, math.inf, 1 << 53, -(1 << 70)]
        )
    if kind == 2:
        return data.ConsumeInt(9)
    if kind == 3:
        return data.ConsumeFloat()
    if kind <= 5:
        return data.PickValueInList(WORDS) if kind == 4 else data.ConsumeUnicode(6)
    items = [tree(data, depth + 1) for _ in range(data.ConsumeIntInRange(0, 4))]
    if kind == 6:
        return items
    payload = items if data.ConsumeBool() else tree(data, depth + 1)
    return {data.PickValueInList(TAGS): payload, **({"x": 1} if data.ConsumeIntInRange(0, 30) == 0 else {})}


def check_plain(value: Any) -> None:
    kind = type(value)
    own_tuple = issubclass(kind, tuple) and kind.__eq__ is tuple.__eq__ and kind.__hash__ is tuple.__hash__
    if kind.__module__ not in PLAIN and not own_tuple and value is not type(None):
        raise AssertionError(f"{kind} is no plain type")
    if isinstance(value, dict):
        for pair in value.items():
            check_plain(pair)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            check_plain(item)


def spelled(value: Any) -> str:
    """The value's own message: the bits, not only equality, so that 0.0 is not -0.0 and 1 is not True. Sets have no
    order."""
    return json.dumps(sorted_sets(codec.encode(value)))


def sorted_sets(message: Any) -> Any:
    if isinstance(message, list):
        return [sorted_sets(item) for item in message]
    if not isinstance(message, dict):
        return message
    ((tag, payload),) = message.items()
    payload = sorted_sets(payload)
    return {tag: sorted(payload, key=json.dumps) if tag in ("s", "z") else payload}


def one_input(raw: bytes) -> None:
    data = atheris.FuzzedDataProvider(raw)
    if data.ConsumeBool():
        message = tree(data)
    else:
        try:
            message = frames.from_text(data.ConsumeBytes(data.remaining_bytes()).decode("utf-8", "replace"))
        except frames.BadFrame:
            return
    try:
        value = codec.decode(message)
    except protocol.BadValue:
        return
    check_plain(value)
    try:
        again = codec.decode(frames.from_text(spelled(value)))
    except protocol.Unsendable:  # one of those that only travel when their data is asked for
        return
    if type(again) is not type(value) and not hasattr(type(value), "_fields"):
        raise AssertionError(f"{value!r} came back as {again!r}")
    if spelled(again) != spelled(value):
        raise AssertionError(f"{value!r} came back as {again!r}")


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
