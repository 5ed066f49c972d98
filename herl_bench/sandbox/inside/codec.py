"""Values to JSON and back: plain Python data, exactly, and nothing else. Never pickle, marshal or eval.

Covers: None, bool, int of any size, float (nan and inf included), complex, str, bytes, bytearray, list, tuple, dict,
set, frozenset, deque, Counter, OrderedDict, defaultdict, named tuples, ranges, slices, dict views and proxies, Decimal,
Fraction, dates and times with their zones, arrays, views of constant memory, paths, UUIDs, addresses, and the types
themselves; numpy's arrays and scalars (`arrays.py`). A subclass of one of these travels as its base (`classes.py`), so
that no `__eq__` of the sender's comes along. Everything else is handed to `export`, which gives a reference or raises
`Unsendable`. Leaves out: shared references and cycles (a cycle is "nested too deeply").
"""

from __future__ import annotations

import collections
import importlib
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from . import arrays, classes
from .containers import DEPTH
from .protocol import BadValue, Unsendable

INLINE = 1 << 53  # larger whole numbers are no exact ones to other readers of JSON
DEFINITE = frozenset({type(None), bool, float, str})  # written as they are

Export = Callable[[Any], Any]
Import = Callable[[str, Any], Any]


# ---------------------------------------------------------------------------------------------------------------- there
def refuse(value: Any) -> Any:
    raise Unsendable(type(value).__name__)


def encode(value: Any, export: Export = refuse, depth: int = 0) -> Any:
    kind = type(value)
    if kind in DEFINITE:
        return value
    if kind is int:
        return value if -INLINE < value < INLINE else {"i": hex(value)}
    if depth >= DEPTH:
        raise Unsendable("nested too deeply")
    deeper = depth + 1
    if kind is list:
        return [item if type(item) in DEFINITE else encode(item, export, deeper) for item in value]
    if kind is tuple:
        return {"t": [encode(item, export, deeper) for item in value]}
    if kind is dict:
        return {"d": _encode_pairs(value.items(), export, deeper)}
    form = _FORMS_BY_TYPE.get(kind)
    if form is not None:
        return {form.tag: form.encode(value, export, deeper)}
    return _encode_rare(value, kind, export, deeper)


def _encode_items(items: Iterable[Any], export: Export, depth: int) -> list[Any]:
    return [encode(item, export, depth) for item in items]


def _encode_pairs(items: Iterable[tuple[Any, Any]], export: Export, depth: int) -> list[list[Any]]:
    return [[encode(key, export, depth), encode(item, export, depth)] for key, item in items]


def _encode_mapping(value: Any, export: Export, depth: int) -> list[list[Any]]:
    return _encode_pairs(value.items(), export, depth)


def _encode_hex(value: Any, export: Export, depth: int) -> str:
    return value.hex()  # type: ignore[no-any-return]


def _encode_rare(value: Any, kind: type, export: Export, depth: int) -> Any:
    if isinstance(value, classes.Dressed):
        return export(value)
    if kind is collections.defaultdict:
        factory = None if value.default_factory is None else classes.name_type(value.default_factory)
        if factory is None and value.default_factory is not None:
            return {"d": _encode_mapping(value, export, depth)}  # a lambda stays behind; equality does not look at it
        return {"dd": [factory, _encode_mapping(value, export, depth)]}
    dressed = encode_dressed(value, export, depth)
    if dressed is not None:
        return dressed
    if isinstance(value, type):
        name = classes.name_type(value)
        return {"T": name} if name else export(value)
    if name_in_tables(kind) in MADE:
        return _encode_made(value, kind, export, depth)
    if kind is memoryview:
        is_plain = value.readonly and value.contiguous and value.ndim == 1
        return {"mv": [value.tobytes().hex(), value.format]} if is_plain else export(value)
    if classes.is_named_tuple(kind):
        fields = list(kind._fields)  # type: ignore[attr-defined]
        return {"nt": [kind.__name__, fields, _encode_items(tuple.__iter__(value), export, depth)]}
    if arrays.NUMPY is not None and isinstance(value, arrays.NUMPY.generic | arrays.NUMPY.ndarray):
        return arrays.encode_array(value, kind) or export(value)
    plain = classes.strip_subclass(value, kind)
    return export(value) if plain is None else encode(plain, export, depth)


def encode_dressed(value: Any, export: Export, depth: int = 0) -> Any:
    """{"w": [reference, plain value]} for what the tests shall have as `Dressed`, else None."""
    plain = None if export is refuse else classes.undress(value, type(value))
    return None if plain is None else {"w": [export(value), encode(plain, export, depth)]}


def encode_data(value: Any, export: Export) -> Any:
    """By value what else stays where it is: an object whose class derives from a container, or is among `KEPT`."""
    if name_in_tables(type(value)) in KEPT:
        return _encode_made(value, type(value), export, 0)
    return encode(classes.copy_plain(value), export)


def _encode_made(value: Any, kind: type, export: Export, depth: int) -> Any:
    key = name_in_tables(kind)
    parts = PARTS[key].split(value)
    return export(value) if parts is None else {"V": [*key, _encode_items(parts, export, depth)]}


# ----------------------------------------------------------------------------------------------------------------- back
def refuse_tag(tag: str, payload: Any) -> Any:
    raise BadValue(f"unknown tag {tag[:20]!r}")


def decode(message: Any, resolve: Import = refuse_tag, depth: int = 0) -> Any:
    """What `encode` was given; BadValue for what `encode` does not write. `resolve(tag, payload)` reads references."""
    kind = type(message)
    if kind in DEFINITE or kind is int:
        return message
    if depth > DEPTH:
        raise BadValue("nested too deeply")
    if kind is list:
        return [item if type(item) in DEFINITE else decode(item, resolve, depth + 1) for item in message]
    if len(message) != 1:
        raise BadValue("a tagged value has one tag")
    ((tag, payload),) = message.items()
    decoder = DECODERS.get(tag)
    if decoder is None:
        return resolve(tag, payload)
    try:
        return decoder(payload, resolve, depth + 1)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError, ImportError) as error:
        raise BadValue(f"{tag}: {type(error).__name__}") from error


def _decode_list(payload: Any, resolve: Import, depth: int) -> list[Any]:
    if type(payload) is not list:
        raise BadValue("a list was expected")
    return [decode(item, resolve, depth) for item in payload]


def _decode_set(payload: Any, resolve: Import, depth: int) -> set[Any]:
    # one item at a time, not set(list): colliding hashes would make that one long call which no alarm interrupts
    return {item for item in _decode_list(payload, resolve, depth)}  # noqa: C416


def _decode_dict(payload: Any, resolve: Import, depth: int) -> dict[Any, Any]:
    return {decode(key, resolve, depth): decode(item, resolve, depth) for key, item in payload}


def _check_integers(values: list[Any]) -> list[int]:
    if not all(type(value) is int for value in values):
        raise BadValue("whole numbers were expected")
    return values


def _decode_complex(payload: Any, resolve: Import, depth: int) -> complex:
    real, imaginary = payload
    if type(real) is not float or type(imaginary) is not float:
        raise BadValue("a complex number has two floats")
    return complex(real, imaginary)


def _decode_keys(payload: Any, resolve: Import, depth: int) -> Any:
    return {key: None for key in _decode_list(payload, resolve, depth)}.keys()  # noqa: C420 (one at a time, as for sets)


def _decode_deque(payload: Any, resolve: Import, depth: int) -> Any:
    size, items = payload
    return collections.deque(_decode_list(items, resolve, depth), size)


def _decode_ordered(payload: Any, resolve: Import, depth: int) -> Any:
    ordered: collections.OrderedDict[Any, Any] = collections.OrderedDict()
    for key, item in _decode_dict(payload, resolve, depth).items():  # one at a time, as for sets
        ordered[key] = item
    return ordered


def _decode_defaultdict(payload: Any, resolve: Import, depth: int) -> Any:
    factory, items = payload
    make = None if factory is None else classes.find_type(factory)
    return collections.defaultdict(make, _decode_dict(items, resolve, depth))


def _decode_named_tuple(payload: Any, resolve: Import, depth: int) -> Any:
    name, fields, items = payload
    words = [name, *fields]
    if not all(type(word) is str and word.isidentifier() for word in words) or any(
        field.startswith("_") for field in fields
    ):
        raise BadValue("a named tuple has identifiers for names")
    values = _decode_list(items, resolve, depth)
    if len(fields) != len(values) or len(set(fields)) != len(fields):
        raise BadValue("a named tuple has one value per field")
    return classes.make_named_tuple(name, tuple(fields))(values)


def _decode_made(payload: Any, resolve: Import, depth: int) -> Any:
    module, name, parts = payload
    if (module, name) not in PARTS:
        raise BadValue("a type that is not made of plain data")
    kind = getattr(importlib.import_module(module), name)
    return PARTS[module, name].make(kind, _decode_list(parts, resolve, depth))


# ------------------------------------------------------------------------- types that one call with plain data makes
def _call(kind: Any, parts: list[Any]) -> Any:
    return kind(*parts)


def _call_with_text(kind: Any, parts: list[Any]) -> Any:
    if [type(part) for part in parts] != [str]:
        raise BadValue("a text was expected")
    return kind(*parts)


def _call_with_integers(kind: Any, parts: list[Any]) -> Any:
    return kind(*_check_integers(parts))


def _call_with_clock(kind: Any, parts: list[Any]) -> Any:
    *numbers, zone, fold = parts
    return kind(*_check_integers(numbers), tzinfo=zone, fold=fold)


def _split_clock(value: Any) -> list[Any] | None:
    """Of a date with a time, or a time; None where its zone is another class's than the standard library's."""
    zone = value.tzinfo
    is_plain = zone is None or type(zone).__module__ == "datetime" or (name_in_tables(type(zone)) in MADE and zone.key)
    calendar = [value.year, value.month, value.day] if hasattr(value, "year") else []
    clock = [value.hour, value.minute, value.second, value.microsecond]
    return [*calendar, *clock, zone, value.fold] if is_plain else None


class Parts(NamedTuple):
    """split: a value's plain data, None where it has none. make: the value again, of its type and that data."""

    split: Callable[[Any], Any]
    make: Callable[[Any, list[Any]], Any] = _call


MADE = {
    ("decimal", "Decimal"): Parts(lambda value: [str(value)], _call_with_text),
    ("fractions", "Fraction"): Parts(lambda value: [value.numerator, value.denominator], _call_with_integers),
    ("datetime", "timedelta"): Parts(
        lambda value: [value.days, value.seconds, value.microseconds], _call_with_integers
    ),
    ("datetime", "date"): Parts(lambda value: [value.year, value.month, value.day], _call_with_integers),
    ("datetime", "timezone"): Parts(lambda value: value.__getinitargs__()),
    **{("datetime", name): Parts(_split_clock, _call_with_clock) for name in ("datetime", "time")},
    ("zoneinfo", "ZoneInfo"): Parts(lambda value: [value.key]),
    ("uuid", "UUID"): Parts(lambda value: [str(value)]),
    ("array", "array"): Parts(lambda value: [value.typecode, value.tobytes()]),
    **{
        ("pathlib", name): Parts(lambda value: [str(value)])
        for name in ("PurePosixPath", "PureWindowsPath", "PosixPath")
    },
    **{
        ("ipaddress", f"IPv{version}{what}"): Parts(lambda value: [str(value)])
        for version in (4, 6)
        for what in ("Address", "Network", "Interface")
    },
}
# The mutable ones stay where they are, unless their data is asked for.
KEPT = {
    ("types", "SimpleNamespace"): Parts(lambda value: [dict(vars(value))], lambda kind, parts: kind(**parts[0])),
    ("collections", "ChainMap"): Parts(lambda value: list(value.maps)),
    **{("collections", name): Parts(lambda value: [value.data]) for name in ("UserDict", "UserList", "UserString")},
}
PARTS = MADE | KEPT


def name_in_tables(kind: type) -> tuple[str, str]:
    """(module, name) of a class of the tables that is what its name says, else of none."""
    key = kind.__module__, kind.__name__
    return key if key in PARTS and getattr(sys.modules.get(key[0]), key[1], None) is kind else ("", "")


# ------------------------------------------------------------------------------------------------------------ the forms
class Form(NamedTuple):
    """How the values of one type travel: as {tag: what `encode` gives}."""

    tag: str
    kind: type
    encode: Callable[[Any, Export, int], Any]
    decode: Callable[[Any, Import, int], Any]


def _then(make: Callable[[Any], Any], read: Callable[[Any, Import, int], Any]) -> Callable[[Any, Import, int], Any]:
    return lambda payload, resolve, depth: make(read(payload, resolve, depth))


def _encode_bounds(value: Any, export: Export, depth: int) -> list[Any]:
    return _encode_items((value.start, value.stop, value.step), export, depth)


def _as_is(payload: Any, resolve: Import, depth: int) -> Any:
    return payload


SINGLETONS = {"Ellipsis": Ellipsis, "NotImplemented": NotImplemented}
FORMS = (
    Form("s", set, _encode_items, _decode_set),
    Form("z", frozenset, _encode_items, _then(frozenset, _decode_set)),
    Form("b", bytes, _encode_hex, _then(bytes.fromhex, _as_is)),
    Form("ba", bytearray, _encode_hex, _then(bytearray.fromhex, _as_is)),
    Form("c", complex, lambda value, export, depth: [value.real, value.imag], _decode_complex),
    Form("range", range, _encode_bounds, _then(lambda bounds: range(*_check_integers(bounds)), _decode_list)),
    Form("slice", slice, _encode_bounds, _then(lambda bounds: slice(*bounds), _decode_list)),
    Form("q", collections.deque, lambda value, *to: [value.maxlen, _encode_items(value, *to)], _decode_deque),
    Form("n", collections.Counter, _encode_mapping, _then(collections.Counter, _decode_dict)),
    Form("o", collections.OrderedDict, _encode_mapping, _decode_ordered),
    Form("d", type(type.__dict__), _encode_mapping, _decode_dict),
    Form("keys", type({}.keys()), _encode_items, _decode_keys),
    Form(
        "values", type({}.values()), _encode_items, _then(lambda items: dict(enumerate(items)).values(), _decode_list)
    ),
    Form("items", type({}.items()), _encode_pairs, _then(dict.items, _decode_dict)),
    *(
        Form("S", type(value), lambda value, *to: repr(value), _then(SINGLETONS.__getitem__, _as_is))
        for value in SINGLETONS.values()
    ),
)
_FORMS_BY_TYPE = {form.kind: form for form in FORMS}
DECODERS: dict[str, Callable[[Any, Import, int], Any]] = {
    **{form.tag: form.decode for form in FORMS},
    "i": _then(lambda digits: int(digits, 16), _as_is),
    "t": _then(tuple, _decode_list),
    "dd": _decode_defaultdict,
    "T": _then(classes.find_type, _as_is),
    "nt": _decode_named_tuple,
    "V": _decode_made,
    "mv": _then(lambda parts: memoryview(bytes.fromhex(parts[0])).cast(parts[1]), _as_is),
    "nd": _then(lambda parts: arrays.decode_array(*parts), _as_is),
    "np": _then(lambda parts: arrays.decode_scalar(*parts), _as_is),
}
