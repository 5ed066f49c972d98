"""Values to JSON and back: plain Python data, exactly, and nothing else. Never pickle, marshal or eval.

Covers: None, bool, int of any size, float (nan and inf included), complex, str, bytes, bytearray, list, tuple, dict,
set, frozenset, deque, Counter, OrderedDict, defaultdict, named tuples, ranges, slices, dict views and proxies, Decimal,
Fraction, dates and times with their zones, arrays, views of constant memory, paths, UUIDs, addresses, and the types
themselves; where numpy was loaded before the first program, its arrays and scalars of numbers, booleans, text and
times. A subclass of one of these travels as its base, so that no `__eq__` of the sender's comes along. Everything else
is handed to `export`, which gives a reference or raises `Unsendable`. Leaves out: shared references and cycles (a cycle
is "nested too deeply").
"""

from __future__ import annotations

import array
import builtins
import collections
import functools
import importlib
import itertools
import math
import operator
import sys
from collections.abc import Callable, Iterable
from typing import Any

DEPTH = 100
INLINE = 1 << 53
DEFINITE = frozenset({type(None), bool, float, str})
VIEWS = {type({}.keys()): "keys", type({}.values()): "values", type({}.items()): "items"}

# Types and a few pure functions that travel by name: (module, name). The receiver looks them up in its own interpreter.
NAMED_TYPES = {
    "builtins": (
        "int float str bool list dict set frozenset tuple bytes bytearray complex type object range slice memoryview "
        + " ".join(
            name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, BaseException)
        )
    ),
    "collections": "Counter OrderedDict defaultdict deque",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "datetime": "date datetime time timedelta timezone",
}

# What one call of its type with plain data makes: (module, name) to that data. The mutable ones stay where they are,
# unless their data is asked for.
MADE: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("uuid", "UUID"): lambda value: [str(value)],
    ("zoneinfo", "ZoneInfo"): lambda value: [value.key],
    ("array", "array"): lambda value: [value.typecode, value.tobytes()],
    **{("pathlib", name): lambda value: [str(value)] for name in ("PurePosixPath", "PureWindowsPath", "PosixPath")},
    **{
        ("ipaddress", f"IPv{version}{what}"): lambda value: [str(value)]
        for version in (4, 6)
        for what in ("Address", "Network", "Interface")
    },
}
KEPT: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("types", "SimpleNamespace"): lambda value: [dict(vars(value))],
    ("collections", "ChainMap"): lambda value: list(value.maps),
    **{("collections", name): lambda value: [value.data] for name in ("UserDict", "UserList", "UserString")},
}
COMPARISONS = "eq ne lt le gt ge"
BINARY = "add sub mul truediv floordiv mod pow matmul lshift rshift and or xor divmod"
SPECIAL = (
    f"{COMPARISONS} {' '.join(kind + word for kind in ('', 'r', 'i') for word in BINARY.split())} neg pos invert abs"
    " round trunc floor ceil int float complex index len bool iter next reversed getitem setitem delitem contains"
    " bytes fspath length_hint enter exit aiter anext aenter aexit dataclass_fields"
)
ERROR_PARTS = (
    "__cause__",
    "__context__",
    "__suppress_context__",
    "__notes__",
    "filename",
    "filename2",
    "name",
    "path",
    "obj",
)
PURE_FUNCTIONS = (
    "abs all any len max min sorted sum round pow divmod hash ord chr repr reversed enumerate zip map filter"
)


LENT_AT_ONCE = 16  # lists and the like that tests and program have in common


class Unsendable(Exception):
    """The value is no plain data."""


class BadValue(Exception):
    """The message does not spell a value."""


Export = Callable[[Any], Any]
Import = Callable[[str, Any], Any]


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
        return {"d": _pairs(value.items(), export, deeper)}
    encoder = _ENCODERS.get(kind)
    if encoder is not None:
        return encoder(value, export, deeper)
    return _encode_rare(value, kind, export, deeper)


def _pairs(items: Iterable[tuple[Any, Any]], export: Export, depth: int) -> list[list[Any]]:
    return [[encode(key, export, depth), encode(item, export, depth)] for key, item in items]


def _items(tag: str) -> Callable[[Any, Export, int], Any]:
    return lambda value, export, depth: {tag: [encode(item, export, depth) for item in value]}


def _encode_view(value: Any, export: Export, depth: int) -> Any:
    if type(value) is type({}.items()):
        return {"items": _pairs(value, export, depth)}
    return {VIEWS[type(value)]: [encode(item, export, depth) for item in value]}


def _encode_defaultdict(value: Any, export: Export, depth: int) -> Any:
    factory = value.default_factory
    named = None if factory is None else type_name(factory)
    if factory is not None and named is None:
        return {"d": _pairs(value.items(), export, depth)}  # a lambda stays behind; equality does not look at it
    return {"dd": [named, _pairs(value.items(), export, depth)]}


_ENCODERS: dict[type, Callable[[Any, Export, int], Any]] = {
    set: _items("s"),
    frozenset: _items("z"),
    bytes: lambda value, export, depth: {"b": value.hex()},
    bytearray: lambda value, export, depth: {"ba": value.hex()},
    complex: lambda value, export, depth: {"c": [value.real, value.imag]},
    range: lambda value, export, depth: {"range": [encode(part) for part in (value.start, value.stop, value.step)]},
    slice: lambda value, export, depth: {
        "slice": [encode(part, export, depth) for part in (value.start, value.stop, value.step)]
    },
    type(type.__dict__): lambda value, export, depth: {"d": _pairs(value.items(), export, depth)},
    collections.deque: lambda value, export, depth: {
        "q": [value.maxlen, [encode(item, export, depth) for item in value]]
    },
    collections.Counter: lambda value, export, depth: {"n": _pairs(value.items(), export, depth)},
    collections.OrderedDict: lambda value, export, depth: {"o": _pairs(value.items(), export, depth)},
    collections.defaultdict: _encode_defaultdict,
    type({}.keys()): _encode_view,
    type({}.values()): _encode_view,
    type({}.items()): _encode_view,
    type(Ellipsis): lambda value, export, depth: {"S": "Ellipsis"},
    type(NotImplemented): lambda value, export, depth: {"S": "NotImplemented"},
}
SINGLETONS = {"Ellipsis": Ellipsis, "NotImplemented": NotImplemented}


def type_name(value: Any) -> str | None:
    """`module.name` of a type that travels by name, else None. Compared by identity, so an impostor's name does not
    help it."""
    if value is type(None):
        return "builtins.NoneType"
    module, name = getattr(value, "__module__", None), getattr(value, "__name__", None)
    if type(module) is not str or type(name) is not str or name not in NAMED_TYPES.get(module, "").split():
        return None
    return f"{module}.{name}" if getattr(sys.modules.get(module), name, None) is value else None


def named_type(name: Any) -> Any:
    if name == "builtins.NoneType":
        return type(None)
    if type(name) is not str:
        raise BadValue("a type is named by a string")
    module, _, short = name.rpartition(".")
    if short not in NAMED_TYPES.get(module, "").split():
        raise BadValue("a type that does not travel")
    return getattr(importlib.import_module(module), short)


class Dressed:
    """A builtin's immutable value that a class of the program's own only adds to (a named tuple, a member of an
    `IntEnum`), as the tests have it: what it is worth is a copy, compared as such, and what else it has is asked of the
    original."""


# What such a class may define without meaning anything else by ==, < or +.
HARMLESS = (
    "__annotations__ __dict__ __doc__ __format__ __getnewargs__ __init__ __match_args__ __module__ __new__"
    " __orig_bases__ __reduce_ex__ __reduce__ __repr__ __slots__ __str__ __static_attributes__ __firstlineno__"
    " __weakref__"
)
IMMUTABLE = (int, float, str, bytes, tuple, frozenset)


def dressed(value: Any, export: Export, depth: int = 0) -> Any:
    """{"w": [reference, plain value]} for what the tests shall have as `Dressed`, else None."""
    kind = type(value)
    if export is not refuse and (kind.__module__ == OWN_MODULE or (isinstance(value, tuple) and has_more(kind))):
        for base, plain in _BASES:
            if base in IMMUTABLE and isinstance(value, base) and _own_special(kind, base) <= set(HARMLESS.split()):
                return {"w": [export(value), encode(plain(value), export, depth)]}
    return None


def has_more(kind: type) -> bool:
    """Has a tuple's class attributes of its own that are not just the names of its fields?"""
    own = itertools.takewhile(lambda parent: parent is not tuple, kind.__mro__)
    known = {*getattr(kind, "_fields", ()), "count", "index"}
    return any(not name.startswith("_") and name not in known for parent in own for name in vars(parent))


def _own_special(kind: type, base: type) -> set[str]:
    own = itertools.takewhile(lambda parent: parent is not base, kind.__mro__)
    return {name for parent in own for name in vars(parent) if name.startswith("__") and name.endswith("__")}


OF_TESTS = "<tests>"  # that of their exception classes, as the program has them
OWN_MODULE = "program"  # that of the classes which a program defines


def _encode_rare(value: Any, kind: type, export: Export, depth: int) -> Any:
    if isinstance(value, Dressed):
        return export(value)
    dress = dressed(value, export, depth)
    if dress is not None:
        return dress
    if isinstance(value, type):
        name = type_name(value)
        return {"T": name} if name else export(value)
    if table_name(kind) in MADE:
        return made(value, kind, export, depth)
    if kind is memoryview:
        plain_bytes = value.readonly and value.contiguous and value.ndim == 1
        return {"mv": [value.tobytes().hex(), value.format]} if plain_bytes else export(value)
    module = kind.__module__
    if module in ("decimal", "fractions", "datetime"):
        encoded = _encode_number_or_date(value, kind, module)
        if encoded is not None:
            return encoded
    if isinstance(value, tuple) and _is_named_tuple(kind):
        fields = list(kind._fields)  # type: ignore[attr-defined]
        return {"nt": [kind.__name__, fields, [encode(item, export, depth) for item in tuple.__iter__(value)]]}
    if NUMPY is not None and isinstance(value, NUMPY.generic | NUMPY.ndarray):
        return _encode_array(value, kind) or export(value)
    for base, plain in _BASES:
        if isinstance(value, base) and not _has_behaviour(kind, base):
            return encode(plain(value), export, depth)
    return export(value)


def table_name(kind: type) -> tuple[str, str]:
    """(module, name) of a class that is what its name says, else of none."""
    module, name = kind.__module__, kind.__name__
    return (
        (module, name)
        if (module, name) in MADE | KEPT and getattr(sys.modules.get(module), name, None) is kind
        else ("", "")
    )


def made(value: Any, kind: type, export: Export, depth: int = 0) -> Any:
    name = table_name(kind)
    parts = (MADE | KEPT)[name](value)
    return {"V": [*name, [encode(part, export, depth) for part in parts]]}


def as_data(value: Any, export: Export) -> Any:
    """By value what else stays where it is: an object whose class derives from a container, or is among those of
    `KEPT`."""
    return made(value, type(value), export) if table_name(type(value)) in KEPT else encode(plain(value), export)


def _decode_made(payload: Any, resolve: Import, depth: int) -> Any:
    module, name, parts = payload
    if (module, name) not in MADE and (module, name) not in KEPT:
        raise BadValue("a type that is not made of plain data")
    kind, values = getattr(importlib.import_module(module), name), _list(parts, resolve, depth)
    return kind(**values[0]) if name == "SimpleNamespace" else kind(*values)


def _encode_number_or_date(value: Any, kind: type, module: str) -> Any:
    name = kind.__name__
    if getattr(sys.modules.get(module), name, None) is not kind:
        return None
    if name == "Decimal":
        return {"D": str(value)}
    if name == "Fraction":
        return {"F": [encode(value.numerator), encode(value.denominator)]}
    if name == "timedelta":
        return {"td": [value.days, value.seconds, value.microseconds]}
    if name == "timezone":
        return {"tz": [encode(part) for part in value.__getinitargs__()]}
    clock = [value.hour, value.minute, value.second, value.microsecond] if name in ("datetime", "time") else []
    calendar = [value.year, value.month, value.day] if name in ("datetime", "date") else []
    zone = getattr(value, "tzinfo", None)
    if name not in ("datetime", "date", "time") or not (
        zone is None or type(zone).__module__ == "datetime" or (table_name(type(zone)) in MADE and zone.key)
    ):
        return None
    return {name: calendar + clock + ([encode(zone), value.fold] if clock else [])}


NUMPY: Any = None  # the module, given by `main.py` where it is among the packages
ARRAY_KINDS = "biufcSUmM"  # what is a block of plain bytes: no objects, no records


def _encode_array(value: Any, kind: type) -> Any:
    dtype = NUMPY.asarray(value).dtype
    if dtype.kind not in ARRAY_KINDS or not dtype.itemsize:
        return None
    if kind is NUMPY.ndarray:
        return {"nd": [dtype.str, list(value.shape), value.tobytes().hex()]}
    return {"np": [dtype.str, value.tobytes().hex()]} if kind is dtype.type else None


def _array(description: Any, shape: Any, data: Any) -> Any:
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


def _decode_array(payload: Any, resolve: Import, depth: int) -> Any:
    description, shape, data = payload
    return _array(description, shape, data)


def _decode_scalar(payload: Any, resolve: Import, depth: int) -> Any:
    description, data = payload
    return _array(description, [], data)[()]


def _is_named_tuple(kind: type) -> bool:
    fields = getattr(kind, "_fields", None)
    return type(fields) is tuple and all(type(field) is str for field in fields)


# Where a subclass adds public methods it is an object with behaviour, not a dressed-up value.
_BASES: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (int, int.__index__),
    (float, float.__float__),
    (str, str.__str__),
    (tuple, lambda value: tuple(tuple.__iter__(value))),
    (list, lambda value: list(list.__iter__(value))),
    (dict, lambda value: dict(dict.items(value))),
    (set, lambda value: set(set.__iter__(value))),
    (frozenset, lambda value: frozenset(frozenset.__iter__(value))),
    (bytes, lambda value: bytes.__getitem__(value, slice(None))),
)


def plain(value: Any) -> Any:
    """A copy as the builtin type that its class derives from."""
    return next(copy(value) for base, copy in _BASES if isinstance(value, base))


def _has_behaviour(kind: type, base: type) -> bool:
    own = itertools.takewhile(lambda parent: parent is not base, kind.__mro__)
    return any(not name.startswith("_") and callable(member) for parent in own for name, member in vars(parent).items())


# ----------------------------------------------------------------------------------------------------------------- back
def no_import(tag: str, payload: Any) -> Any:
    raise BadValue(f"unknown tag {tag[:20]!r}")


def decode(message: Any, resolve: Import = no_import, depth: int = 0) -> Any:
    """The value that `encode` was given; BadValue for anything that `encode` does not write. `resolve(tag, payload)`
    reads references."""
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
    decoder = _DECODERS.get(tag)
    if decoder is None:
        return resolve(tag, payload)
    try:
        return decoder(payload, resolve, depth + 1)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError, ImportError) as error:
        raise BadValue(f"{tag}: {type(error).__name__}") from error


def _list(payload: Any, resolve: Import, depth: int) -> list[Any]:
    if type(payload) is not list:
        raise BadValue("a list was expected")
    return [decode(item, resolve, depth) for item in payload]


def _set(payload: Any, resolve: Import, depth: int) -> set[Any]:
    # one item at a time, not set(list): colliding hashes would make that one long call which no alarm interrupts
    return {item for item in _list(payload, resolve, depth)}  # noqa: C416


def _dict(payload: Any, resolve: Import, depth: int) -> dict[Any, Any]:
    return {decode(key, resolve, depth): decode(item, resolve, depth) for key, item in payload}


def _integers(payload: Any) -> list[int]:
    values = _list(payload, no_import, 0)
    if not all(type(value) is int for value in values):
        raise BadValue("whole numbers were expected")
    return values


def _decode_int(payload: Any, resolve: Import, depth: int) -> int:
    return int(payload, 16)


def _decode_complex(payload: Any, resolve: Import, depth: int) -> complex:
    real, imaginary = payload
    if type(real) is not float or type(imaginary) is not float:
        raise BadValue("a complex number has two floats")
    return complex(real, imaginary)


def _decode_deque(payload: Any, resolve: Import, depth: int) -> Any:
    size, items = payload
    return collections.deque(_list(items, resolve, depth), size)


def _decode_ordered(payload: Any, resolve: Import, depth: int) -> Any:
    ordered: collections.OrderedDict[Any, Any] = collections.OrderedDict()
    for key, item in _dict(payload, resolve, depth).items():
        ordered[key] = item
    return ordered


def _decode_defaultdict(payload: Any, resolve: Import, depth: int) -> Any:
    factory, items = payload
    return collections.defaultdict(None if factory is None else named_type(factory), _dict(items, resolve, depth))


def _decode_named_tuple(payload: Any, resolve: Import, depth: int) -> Any:
    name, fields, items = payload
    words = [name, *fields]
    if not all(type(word) is str and word.isidentifier() for word in words) or any(
        field.startswith("_") for field in fields
    ):
        raise BadValue("a named tuple has identifiers for names")
    values = _list(items, resolve, depth)
    if len(fields) != len(values) or len(set(fields)) != len(fields):
        raise BadValue("a named tuple has one value per field")
    return _named_tuple(name, tuple(fields))(values)


@functools.lru_cache(maxsize=256)
def _named_tuple(name: str, fields: tuple[str, ...]) -> Any:
    """collections.namedtuple would build its class with eval. Kept: classes are dear, and only the garbage collector
    takes them away."""
    members: dict[str, Any] = {field: property(operator.itemgetter(i)) for i, field in enumerate(fields)}
    return type(name, (tuple,), {**members, "_fields": fields, "__slots__": ()})


def _decode_range(payload: Any, resolve: Import, depth: int) -> range:
    return range(*_integers(payload))


def _decode_decimal(payload: Any, resolve: Import, depth: int) -> Any:
    import decimal

    if type(payload) is not str:
        raise BadValue("a decimal is a string")
    return decimal.Decimal(payload)


def _decode_fraction(payload: Any, resolve: Import, depth: int) -> Any:
    import fractions

    return fractions.Fraction(*_integers(payload))


def _decode_date(name: str) -> Callable[[Any, Import, int], Any]:
    def decoder(payload: Any, resolve: Import, depth: int) -> Any:
        import datetime

        if name in ("datetime", "time"):
            *parts, zone, fold = payload
            return getattr(datetime, name)(*_integers(parts), tzinfo=decode(zone, resolve, depth), fold=fold)
        return getattr(datetime, name)(*_integers(payload))

    return decoder


def _decode_timezone(payload: Any, resolve: Import, depth: int) -> Any:
    import datetime

    return datetime.timezone(*_list(payload, resolve, depth))


_DECODERS: dict[str, Callable[[Any, Import, int], Any]] = {
    "i": _decode_int,
    "t": lambda payload, resolve, depth: tuple(_list(payload, resolve, depth)),
    "d": _dict,
    "s": _set,
    "z": lambda payload, resolve, depth: frozenset(_set(payload, resolve, depth)),
    "b": lambda payload, resolve, depth: bytes.fromhex(payload),
    "ba": lambda payload, resolve, depth: bytearray.fromhex(payload),
    "c": _decode_complex,
    "range": _decode_range,
    "slice": lambda payload, resolve, depth: slice(*_list(payload, resolve, depth)),
    "q": _decode_deque,
    "n": lambda payload, resolve, depth: collections.Counter(_dict(payload, resolve, depth)),
    "o": _decode_ordered,
    "dd": _decode_defaultdict,
    "keys": (lambda payload, resolve, depth: {item: None for item in _list(payload, resolve, depth)}.keys()),  # noqa: C420 (as for sets)
    "values": lambda payload, resolve, depth: dict(enumerate(_list(payload, resolve, depth))).values(),
    "items": lambda payload, resolve, depth: _dict(payload, resolve, depth).items(),
    "S": lambda payload, resolve, depth: SINGLETONS[payload],
    "T": lambda payload, resolve, depth: named_type(payload),
    "nt": _decode_named_tuple,
    "D": _decode_decimal,
    "F": _decode_fraction,
    "td": _decode_date("timedelta"),
    "datetime": _decode_date("datetime"),
    "date": _decode_date("date"),
    "time": _decode_date("time"),
    "tz": _decode_timezone,
    "V": _decode_made,
    "mv": lambda payload, resolve, depth: memoryview(bytes.fromhex(payload[0])).cast(payload[1]),
    "nd": _decode_array,
    "np": _decode_scalar,
}


def has_mutable(value: Any, depth: int = 0) -> bool:
    """Could a callee change this value, or something inside it, in a way that the caller would see?"""
    kind = type(value)
    if kind in MUTABLE or (NUMPY is not None and kind is NUMPY.ndarray):
        return True
    return kind is tuple and depth < DEPTH and any(has_mutable(item, depth + 1) for item in value)


MUTABLE = frozenset(
    {
        list,
        dict,
        set,
        bytearray,
        collections.deque,
        collections.Counter,
        collections.OrderedDict,
        collections.defaultdict,
        array.array,
    }
)


def holds_twice(value: Any) -> bool:
    """Is one list or the like inside it in two places?"""
    seen: set[int] = set()
    values = [value]
    while values:
        value = values.pop()
        if type(value) in MUTABLE or type(value) is tuple:
            if id(value) in seen and type(value) in MUTABLE:
                return True
            seen.add(id(value))
            values += (
                value.values()
                if isinstance(value, dict)
                else []
                if isinstance(value, bytearray | array.array)
                else value
            )
    return False


def absorb(old: Any, new: Any) -> None:
    """Make `old` equal to `new` in place, keeping the identity of the containers inside where they correspond."""
    kind = type(old)
    if kind is not type(new):
        return
    if NUMPY is not None and kind is NUMPY.ndarray:
        if old.dtype == new.dtype and old.shape == new.shape and old.flags.writeable:
            old[...] = new
    elif kind is tuple:
        for before, after in zip(old, new, strict=False):
            absorb(before, after)
    elif kind is list or kind is collections.deque:
        kept = [_merged(before, after) for before, after in zip(old, new, strict=False)]
        rest = list(new)[len(kept) :]
        old.clear()
        old.extend(kept + rest)
    elif kind is bytearray or kind is array.array:
        old[:] = new
    elif kind is set:
        old.clear()
        old.update(new)
    elif kind in MUTABLE:
        merged = {key: _merged(old[key], item) if key in old else item for key, item in new.items()}
        old.clear()
        old.update(merged)


def _merged(before: Any, after: Any) -> Any:
    if type(before) is tuple and type(after) is tuple:
        return (*(_merged(old, new) for old, new in zip(before, after, strict=False)), *after[len(before) :])
    if type(before) is type(after) and has_mutable(before):
        absorb(before, after)
        return before
    return after
