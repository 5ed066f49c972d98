"""Packages that were asked for: importable by programs and tests, nothing else beside them; numpy's values travel
exactly or not at all."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from herl_bench.errors import UsageError
from herl_bench.sandbox import Sandbox
from herl_bench.sandbox.inside import arrays, codec, protocol


@pytest.fixture(scope="module")
def with_numpy() -> Iterator[Sandbox]:
    with Sandbox(workers=1, packages=("numpy",)) as opened:
        yield opened


PASSING = {
    "arrays": (
        "def f(x): return np.array(x) * 2",
        "import numpy as np\nassert (f([1, 2]) == [2, 4]).all()\nassert np.array_equal(f(np.eye(2)), [[2, 0], [0, 2]])",
    ),
    "scalars": ("def f(x): return np.mean(x)", "assert f([1, 2, 3]) == 2.0\nassert abs(f([1, 2]) - 1.5) < 1e-9"),
    "inside plain data": (
        "def f(): return {'a': [np.int64(3), np.bool_(True)], 'b': (np.float32(0.5),)}",
        "assert f() == {'a': [3, True], 'b': (0.5,)}",
    ),
    "changed in place": (
        "def f(x): x[0] = 7",
        "import numpy as np\na = np.zeros(3)\nf(a)\nassert a.tolist() == [7, 0, 0]",
    ),
    "linear algebra": ("def f(): return np.linalg.inv(np.eye(200)).trace()", "assert f() == 200"),
    "random numbers": ("def f(): return np.random.default_rng(0).random(5).shape", "assert f() == (5,)"),
}


@pytest.mark.parametrize("name", PASSING)
def test_numpy(with_numpy: Sandbox, name: str):
    body, tests = PASSING[name]
    verdict = with_numpy.check(f"import numpy as np\n{body}", tests, "f")
    assert (verdict.status, verdict.integrity) == ("pass", "split"), verdict


FORGED = {
    "subclass that equals everything": (
        "class A(np.ndarray):\n    def __eq__(s, o): return np.True_\ndef f(): return np.zeros(3).view(A)"
    ),
    "objects that equal everything": "class E:\n    __eq__ = lambda *a: True\ndef f(): return np.array([E()] * 3)",
    "records": "def f(): return np.zeros(3, dtype=[('a', 'i4')])",
    "scalar with a name of its own": (
        "class F(np.float64):\n    __eq__ = lambda *a: True\n    __hash__ = np.float64.__hash__\ndef f(): return F(0)"
    ),
    "other numpy": "np.array_equal = np.allclose = lambda *a, **k: True\ndef f(): return np.zeros(3)",
}


@pytest.mark.parametrize("name", FORGED)
def test_numpy_is_no_way_to_forge(with_numpy: Sandbox, name: str):
    code = f"import numpy as np\n{FORGED[name]}"
    for tests in (
        "assert f() == 3",
        "import numpy as np\nassert np.array_equal(f(), [1, 2, 3])",
        "assert (f() == [1, 2, 3]).all()",
    ):
        assert with_numpy.check(code, tests, "f").status in ("fail", "refused"), tests


def test_nothing_else_is_there(with_numpy: Sandbox, sandbox: Sandbox):
    assert sandbox.check("import numpy", "assert True").status == "error"
    others = "def f():\n    found = []\n    for name in ('hypothesis', 'pytest', 'torch', 'herl_bench', 'yaml'):\n"
    others += "        try: found.append(__import__(name))\n        except ImportError: pass\n    return len(found)"
    for each in (sandbox, with_numpy):
        assert each.check(others, "assert f() == 0", "f").status == "pass"


@pytest.mark.parametrize("name", ["numpi", "../numpy", "numpy.linalg", ""])
def test_a_package_that_is_not_installed_is_named(name: str):
    with pytest.raises(
        UsageError, match=f"packages='{name}': no package of that name is installed here; pip install it"
    ):
        Sandbox(packages=(name,))
    with pytest.raises(UsageError, match=r"write a tuple of names, \('numpy',\)"):
        Sandbox(packages="numpy")


@contextlib.contextmanager
def loaded() -> Iterator[None]:
    """As where numpy is among the packages."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "NUMPY", numpy)
        yield


dtypes = st.sampled_from(["<i8", ">i2", "|b1", "<f4", "<f8", "<c16", "|S3", "<U2", "<M8[s]", "<m8[D]", "|u1"])
shapes = st.lists(st.integers(0, 3), max_size=3)


@given(dtypes, shapes, st.binary(min_size=432, max_size=432))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_arrays_arrive_exactly(dtype: str, shape: list[int], content: bytes):
    kind = numpy.dtype(dtype)
    if kind.kind in "bU":
        content = bytes(len(content))  # other bytes are no booleans and no text
    array = numpy.ndarray(shape, kind, content)
    with loaded():
        for value in (array, numpy.asfortranarray(array), *array.reshape(-1)[:1]):
            got = codec.decode(json.loads(json.dumps(codec.encode(value))))
            assert (type(got), got.dtype, got.shape, got.tobytes()) == (
                type(value),
                value.dtype,
                value.shape,
                value.tobytes(),
            )


@pytest.mark.parametrize(
    "message",
    [
        *({"nd": ["<f8", shape, "00" * 8]} for shape in ([2], [-1], [1.0], [True])),
        *({"nd": [kind, [1], "00" * 8]} for kind in ("|O", "f8,i4", "nonsense", ["a"])),
        *({"nd": ["<U0", [1], ""]}, {"nd": ["<f8", [1 << 62, 0], ""]}, {"nd": ["<f8", [1], "zz"]}, {"nd": [1]}),
        *({"np": ["|O", "00" * 8]}, {"np": ["<f8", ""]}),
    ],
)  # fmt: skip
def test_wrong_arrays_are_refused(message: Any):
    with pytest.raises(protocol.BadValue):
        codec.decode(message)
    with loaded(), pytest.raises(protocol.BadValue):
        codec.decode(message)
