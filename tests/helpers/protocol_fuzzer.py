"""Programs that speak the sandbox's protocol themselves and answer whatever they like, drawn from a seed.

Each program reads the tester's requests and answers them with random messages: mutations of honest ones, values of
every tag, references and exceptions of all sorts, halves of frames. None of them solves its tests. Properties: the
verdict is about the program, so never `pass`, `infra` or, but for what only an object could answer itself, `refused`;
an honest program passes afterwards; the workers live on. Leaves out: the codec by itself (`test_codec.py`), and what a
program does to its own process (`attacks.py`).
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterator
from typing import Any

from helpers.speaker import SPEAKER
from herl_bench.sandbox import Job, Limits, Sandbox

PROGRAM = f"""{SPEAKER}
given = False
for answer in {{answers}}:
    if b'["cb"' in answer and not given: continue
    send(answer)
    request = hear_bytes()
    given = given or b'{{"cb":' in request or b'{{"it":' in request
{{end}}
"""
ENDS = ("os._exit(0)", "while True: read(1)", "os.close(3)", "os.kill(os.getpid(), 9)", "def add(a, b): return None")
LIMITS = Limits(wall_s=1.0, cpu_s=1, busy_s=4.0)
HONEST = Job("def add(a, b): return a + b", "add", "assert add(1, 2) == 3")

# What the tests do with an answer. The last line needs what no random answer is.
USES = (
    "assert add(1, 2) == 3",
    "assert add(1, 2)",
    "assert not (add(1, 2) - 3)",
    "assert sorted(add(1, 2)) == [1, 2]\nassert max(add(1, 2), key=lambda x: x) == 2",
    "for x in add(1, 2):\n    assert x == 1\nassert {x: 1 for x in add(3, 4)}",
    "@add\ndef g(x, y=add): return x\nassert g(1) == 1",
    "def check(candidate=add):\n    assert candidate(1, candidate(2, 3)) in (1, candidate)\ncheck()",
    "try:\n    add(1, 2)\nexcept (ValueError, add) as e:\n    assert str(e) == repr(e.args) + e.x",
    "with add(1, 2) as x:\n    assert x == 1\n    raise ValueError(x)",
    "class D(add): pass\nassert D(1, 2) == 3",
    "assert f'{add(1, 2):>5} {add(1, 2)!r}' == '%s' % add(1, 2)\nassert str(add(1, 2)) in str([add(1, 2)])",
    "assert add(lambda x, y=1: x * y, [1, 2]) == 3\nassert add(iter([1, 2]), map(str, [3])) == 3",
    "a = [[1], {2: [3]}]\nassert add(a, b=a) is a\nassert a == [[1], {2: [3]}]",
    (
        "import unittest\nclass T(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(add(1, 2), 3)\n"
        "        with self.assertRaises(ValueError): add(1, 2)\nr = unittest.TestResult()\n"
        "unittest.defaultTestLoader.loadTestsFromTestCase(T).run(r)\nassert r.wasSuccessful() and r.testsRun == 1"
    ),
    (
        "x = add(1, 2)\nassert isinstance(x, (int, add)) and len(x) == 2 and x[0] == 1 and 3 in x and x.y == 4 and {x}"
        " == {x}"
    ),
    (
        "import math, json, copy\nassert math.isclose(add(1, 2), 3.0)\nassert json.dumps(add(1, 2)) == '3'\nassert"
        " copy.deepcopy(add(1, 2)) == 3"
    ),
    (
        "import asyncio\nasync def go():\n    async for x in add(1, 2):\n        assert x == await add(3,"
        " 4)\nasyncio.run(go())"
    ),
    (
        "x = add(1, 2)\nx += 1\nx.y = x\ndel x.z\nassert x + x == 2 * x\nassert divmod(x, 2) < (1, 1)\nassert [*x] +"
        " [*reversed(x)]"
    ),
)
LAST = "\nassert add('a', 'b') == 'a fuzzer does not find this: 48151623'\n"

NAMES = (
    "ValueError KeyError SystemExit KeyboardInterrupt GeneratorExit StopIteration MemoryError RecursionError"
    " UnicodeDecodeError OSError "
)
NAMES += "ExceptionGroup BaseException AssertionError SyntaxError ImportError AttributeError int eval"
WORDS = [
    *("add", "x", "", "__eq__", "__class__", "builtins.int", "program.E", "0x10", "00ff", "Ellipsis", "1e9", "NaN"),
    *("\ud800", "\x00", "a" * 700, "[<m>]"),
]
TAGS = "i t d s z b ba c range slice q n o dd keys values items S T nt V mv nd np r cb it f e E x w a m"
SORTS = "object class function callable exception iterator generator coroutine hashable other"
SPECIAL = (
    "eq ne lt hash len iter next getitem contains bool call enter exit add radd sub rsub mul abs float int index round"
    " getattr"
)


class Fuzzer:
    """Messages, drawn from one generator."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)

    def plain(self) -> Any:
        draw = self.random.choice
        numbers = [0, 1, -1, 3, 4.5, -0.0, 1e308, {"i": hex(1 << 70)}]
        return draw([None, True, False, *numbers, draw(WORDS), draw(WORDS), [], [1, 2], {"t": [1, 2]}, {"d": [[1, 2]]}])

    def reference(self) -> Any:
        draw, number = self.random.choice, self.random.randrange
        words = " ".join(f"__{draw(SPECIAL.split())}__" for _ in range(number(5)))
        sort = draw(SORTS.split())
        more = draw([None, None, None, number(9), "x"]) if sort != "exception" else self.names()
        kind = number(6)  # a number is one object's, and its class another's
        words += draw(["", " data", " narrow"])
        return {"r": [1 + number(20), sort, draw([*WORDS, "E"]), words, 30 + kind, more]}

    def names(self) -> Any:
        names = [f"builtins.{self.random.choice(NAMES.split())}" for _ in range(1 + self.random.randrange(3))]
        own = [f"program.{self.random.choice('EFG')}"]
        if self.random.randrange(40) == 0:
            return [*names, 3]
        others = ["asyncio.exceptions.CancelledError", *names]
        return self.random.choice([names, [*names, "builtins.object"], own + names, own + names, others])

    def error(self) -> Any:
        draw = self.random.choice
        attribute = [draw([*WORDS, "__cause__", "args", "<known>"]), self.value(4)]
        more = draw([{"d": []}, {"d": []}, {"d": [attribute]}, self.plain()])
        args = draw([[], [self.value(2)], [self.reference()], None, [self.plain(), self.reference()]])
        number = draw([None, 50 + self.random.randrange(6)])
        return {"E": [self.names(), args, draw(WORDS), draw([None, 1, "x"]), number, more]}

    def value(self, depth: int = 0) -> Any:
        kind = self.random.randrange(12 if depth < 4 else 4)
        if kind < 3:
            return self.plain()
        if kind < 7:
            return self.reference()
        if kind == 7:
            return self.error()
        items = [self.value(depth + 1) for _ in range(self.random.randrange(4))]
        if kind == 8:
            return items
        if kind == 9:
            return {"w": [self.reference(), self.random.choice([4, "x", {"t": items}])]}
        return self.tagged(items, [[self.plain(), item] for item in items])

    def tagged(self, items: list[Any], pairs: list[Any]) -> Any:
        draw, number = self.random.choice, self.random.randrange
        made = [
            ["types", "SimpleNamespace", [{"d": pairs}]],
            ["decimal", "Decimal", [draw(["1e999999", "NaN", "sNaN", "0.1"])]],
            ["fractions", "Fraction", [1, number(3)]],
            ["datetime", "datetime", [2024, 1, 1, 0, 0, 0, number(9), None, 0]],
            ["datetime", "date", [number(3000), 1, 2]],
            ["datetime", "time", [1, 2, 3, number(10**7), None, 0]],
            ["datetime", "timedelta", [number(9), 10 ** number(15), 1]],
        ]
        right = {
            **dict.fromkeys(("t", "s", "z", "keys", "values"), items),
            **dict.fromkeys(("d", "n", "o", "items"), pairs),
            "i": hex(1 << number(20000)),
            "b": "00ff",
            "ba": "61" * number(9),
            "c": [1.5, float("nan")],
            "range": [0, 10 ** number(20), 1 + number(3)],
            "slice": [None, *items, None][:3],
            "q": [draw([None, number(5)]), items],
            "dd": [draw([None, "builtins.list"]), pairs],
            "S": "Ellipsis",
            "T": draw(["builtins.int", "builtins.type", "collections.deque", "builtins.ValueError"]),
            "nt": [draw(["P", "int", "list"]), [f"x{i}" for i in range(len(items))], items],
            "a": 1 + number(2),
            "m": [number(6), items],
            "cb": number(2),
            "x": number(2),
            "V": draw(made),
            "mv": ["00ff", "B"],
        }
        tag = draw(list(right) if number(9) else TAGS.split())
        return {tag: right[tag] if tag in right and number(9) else draw([items, pairs, self.plain()])}

    def message(self) -> Any:
        draw, value, number = self.random.choice, self.value(), self.random.randrange
        changes = (
            draw([*[None] * 9, [[1, draw([None, number(20)]), self.value(2)]]])
            if number(40)
            else draw([[["b", None, self.value(2)]], self.plain()])
        )
        printed = draw(["", "", "", "x" * 99, "\ud800"])
        honest: list[Any] = draw(
            [
                *[["ret", value, changes, printed]] * 9,
                *[["ret", [[value], draw([True, False]), draw([None, self.error()])], None, ""]] * 2,
                *[["exc", self.error(), changes, printed]] * 3,
                ["cb", 0, [value], draw([{}, {"y": value}]), None, ""],
                ["bad", draw(WORDS), None, ""],
            ]
        )
        if number(25) == 0:
            honest = draw(
                [
                    ["loaded", {"add": value}, ""],
                    ["loaderror", self.error(), ""],
                    ["ended", self.error(), 0, ""],
                    self.value(),
                ]
            )
        if number(25) == 0 and type(honest) is list and honest:
            honest[number(len(honest))] = self.value()
        return honest

    def frame(self, message: Any) -> bytes:
        body = json.dumps(message).encode()
        damage = self.random.randrange(200)
        if damage == 0:
            body = body[: self.random.randrange(len(body))]
        if damage == 1:
            place = self.random.randrange(len(body))
            body = body[:place] + bytes([self.random.randrange(256)]) + body[place + 1 :]
        size = len(body) + (self.random.choice([-1, 1, 1 << 20, 1 << 31]) if damage == 2 else 0)
        return struct.pack("=I", size) + body

    def program(self) -> Job:
        loaded = self.random.choice(
            [{"r": [0, self.random.choice(["function", "class", "callable"]), "add", "__call__", 9, None]}] * 20
            + [self.value()]
        )
        answers = [["loaded", {"add": loaded}, ""] if self.random.randrange(15) else ["loaderror", self.error(), ""]]
        answers += [self.message() for _ in range(self.random.randrange(1, 25))]
        code = PROGRAM.replace("{answers}", repr([self.frame(answer) for answer in answers]))
        code = code.replace("{end}", self.random.choice(ENDS))
        return Job(code, "add", self.random.choice(USES) + LAST, LIMITS)


def is_broken(status: str, detail: str) -> bool:
    return status in ("pass", "infra") or (
        status == "refused" and "only the program" not in detail and "two places" not in detail
    )


def fuzz(sandbox: Sandbox, seeds: range) -> Iterator[tuple[int, Any]]:
    """(seed, verdict) in turn; AssertionError where a property is broken, with the seed that shows it."""
    jobs = (Fuzzer(seed).program() for seed in seeds)
    for seed, verdict in zip(seeds, sandbox.map(jobs), strict=True):
        assert not is_broken(verdict.status, verdict.detail), f"seed {seed}: {verdict}"
        yield seed, verdict
    after = sandbox.check(HONEST)
    assert after.status == "pass", f"after seeds {seeds}: {after}"
