"""Arrays and scalars of numpy, exactly: type, shape and bytes. Only where numpy was loaded before the first program.
Leaves out: arrays of objects, records, and subclasses of `ndarray`. They stay in the program."""

from __future__ import annotations

import math
from typing import Any

from .protocol import BadValue

NUMPY: Any = None  # the module, given by `main.py` where it is among the packages
ARRAY_KINDS = "biufcSUmM"  # what is a block of plain bytes: no objects, no records


def is_array(kind: type) -> bool:
    return NUMPY is not None and kind is NUMPY.ndarray


def encode_array(value: Any, kind: type) -> Any:
    """None for what is no array or scalar, or does not travel."""
    if NUMPY is None or not isinstance(value, NUMPY.generic | NUMPY.ndarray):
        return None
    dtype = NUMPY.asarray(value).dtype
    if dtype.kind not in ARRAY_KINDS or not dtype.itemsize:
        return None
    if kind is NUMPY.ndarray:
        return {"nd": [dtype.str, list(value.shape), value.tobytes().hex()]}
    return {"np": [dtype.str, value.tobytes().hex()]} if kind is dtype.type else None


def decode_array(description: Any, shape: Any, data: Any) -> Any:
    if NUMPY is None:
        raise BadValue("no array was to be expected")
    if type(description) is not str or type(data) is not str or type(shape) is not list:
        raise BadValue("an array has a type, a shape and bytes")
    dtype = NUMPY.dtype(description)
    if dtype.kind not in ARRAY_KINDS or dtype.str != description or not dtype.itemsize:
        raise BadValue("an array of a type that does not travel")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise BadValue("an array has sizes")
    content = bytes.fromhex(data)
    if math.prod(shape) * dtype.itemsize != len(content):
        raise BadValue("an array has as many bytes as its shape says")
    return NUMPY.ndarray(shape, dtype, content).copy()


def decode_scalar(description: Any, data: Any) -> Any:
    return decode_array(description, [], data)[()]
