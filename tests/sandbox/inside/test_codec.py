"""The codec: exact on plain data, deaf to everything else."""

from __future__ import annotations

import array
import collections
import datetime
import ipaddress
import math
import pathlib
import uuid
import zoneinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from helpers.plain_values import same, values
from hypothesis import given, settings
from hypothesis import strategies as st

from herl_bench.sandbox.inside import codec, frames, protocol

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*codec.DECODERS, "r", "cb", "zz"]), inner, max_size=2)
    ),
    max_leaves=20,
)


def through(value: Any) -> Any:
    return codec.decode(frames.from_text(frames.to_text(codec.encode(value))))


@given(st.text(st.characters(min_codepoint=0xD7FF, max_codepoint=0x1F600) | st.characters(categories=["Cs"])))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_text_arrives_exactly(value: str):
    """Halves of surrogate pairs too: two of them are not the character that they would spell."""
    assert through(value) == value


@given(values)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_plain_values_arrive_exactly(value: Any):
    assert same(through(value), value)


@given(json_values)
@settings(max_examples=500, deadline=None, derandomize=True)
def test_any_json_is_a_value_or_refused(message: Any):
    try:
        value = codec.decode(message)
    except protocol.BadValue:
        return
    assert type(value).__module__ in (
        "builtins",
        "collections",
        "decimal",
        "fractions",
        "datetime",
        "herl_bench.sandbox.inside.classes",
    )


@pytest.mark.parametrize("value", [{}.keys(), {1: 2}.keys(), {1: "a"}.items()])
def test_views_stay_views(value: Any):
    assert type(through(value)) is type(value)
    assert through(value) == value


class Liar:
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


class LyingInt(int):
    __eq__ = Liar.__eq__
    __hash__ = int.__hash__


class LyingList(list):
    __eq__ = Liar.__eq__

    def __iter__(self):
        return iter([1, 2, 3])


def test_subclasses_travel_as_their_base():
    assert through(LyingInt(4)) != 5
    assert type(through(LyingInt(4))) is int
    assert through(LyingList()) == []
    with pytest.raises(protocol.Unsendable):
        codec.encode(Liar())


def test_two_nans_are_never_the_same_object():
    first, second = through([math.nan]), through([math.nan])
    assert first != second
    assert len(through({math.nan, float("nan")})) == 2


def test_named_tuples_keep_their_fields():
    point = collections.namedtuple("point", "x y")(1, [2])
    arrived = through(point)
    assert arrived == (1, [2])
    assert arrived.y == [2]


def test_types_are_not_confused():
    pairs = [
        (1, True),
        (1, 1.0),
        ((1,), [1]),
        ({1}, frozenset({1})),
        (b"a", bytearray(b"a")),
        (Decimal(1), Fraction(1)),
    ]
    for a, b in pairs:
        assert type(through(a)) is type(a)
        assert type(through(b)) is type(b)


@pytest.mark.parametrize(
    "message",
    [
        *({"x": 1}, {}, {"i": 5}, {"i": "0x"}, {"t": 3}, {"s": [[1]]}, {"d": [[1]]}, {"d": [[[1], 2]]}),
        *({"T": "builtins.eval"}, {"T": "os.system"}, {"T": ["builtins.int"]}, {"S": "exit"}, {"S": [1]}),
        *({"nt": ["P", ["_x"], [1]]}, {"nt": ["P", ["x; 1"], [1]]}, {"nt": ["P", ["x"], []]}),
        *({"range": [0, 1, 0]}, {"range": [0.5]}, {"dd": ["builtins.eval", []]}, {"q": [-1, []]}, {"q": [1, [], 2]}),
        *({"c": ["1", 2.0]}, {"b": "zz"}, {"mv": ["00", "i"]}, {"r": [0, "object", "X"]}, {"cb": 0}),
        *({"V": ["os", "system", ["x"]]}, {"V": ["zoneinfo", "ZoneInfo", ["../etc/passwd"]]}),
        *({"V": ["datetime", "datetime", [2024, 13, 1, 0, 0, 0, 0, None, 0]]}, {"V": ["datetime", "timezone", [1]]}),
        *({"V": ["datetime", "date", [2024.0, 1, 1]]}, {"V": ["datetime", "date", [{"b": "07e80101"}]]}),
        *({"V": ["decimal", "Decimal", ["1e"]]}, {"V": ["decimal", "Decimal", [1]]}),
        *({"V": ["fractions", "Fraction", [1, 0]]}, {"V": ["fractions", "Fraction", ["1e9"]]}),
        {"V": ["array", "array", ["i", ["x"]]]},
    ],
)
def test_wrong_messages_are_refused(message: Any):
    with pytest.raises(protocol.BadValue):
        codec.decode(message)


def test_depth_is_capped_on_both_sides():
    deep: list[Any] = []
    for _ in range(500):
        deep = [deep]
    with pytest.raises(protocol.Unsendable):
        codec.encode(deep)
    with pytest.raises(protocol.BadValue):
        codec.decode(deep)


def test_cycles_are_refused():
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(protocol.Unsendable):
        codec.encode(loop)


def test_dates_travel_with_their_zones():
    east = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
    for moment in (
        datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC),
        datetime.datetime(2024, 1, 1, tzinfo=east),
        datetime.time(1, tzinfo=east),
        datetime.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
        datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(0), "here")),
    ):
        assert repr(through(moment)) == repr(moment)


@pytest.mark.parametrize(
    "value",
    [
        array.array("d", [1.5, -0.0]), array.array("B"), memoryview(b"abc"), memoryview(bytes(8)).cast("i"),
        uuid.UUID(int=7),
        pathlib.PurePosixPath("/a/b"), pathlib.Path("x"), pathlib.PureWindowsPath("c:/x"), ipaddress.ip_address("::1"),
        ipaddress.ip_network("10.0.0.0/8"), zoneinfo.ZoneInfo("UTC"), datetime.UTC, FileNotFoundError,
    ],
)  # fmt: skip
def test_values_of_the_library_arrive_exactly(value: Any):
    assert type(through(value)) is type(value)
    assert through(value) == value
