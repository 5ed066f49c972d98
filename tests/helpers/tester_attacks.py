# ruff: noqa: E501 (a program stays on one line)
"""Attacks on the tester itself: to end it, to hang it, to fill it, or to have its tests refused. (name, the tests, a
program that must not pass them); the verdict must be about the program.
"""

from __future__ import annotations

from helpers.speaker import SPEAKER

RAW = (
    SPEAKER
    + """
ROOT = {"r": [0, "function", "root", "__call__", 1, None]}
def thing(number, words="", sort="object", label="X", more=None): return {"r": [number, sort, label, words, 2, more]}
def error(names, args, text="t", number=None, more={"d": []}): return {"E": [names, args, text, 1, number, more]}
def loaded(): say("loaded", {"root": ROOT}, ""); return hear()
def always(*message):
    while True:
        say(*message)
        hear()
"""
)
THING = "class E:\n    def __{name}__(s, *a): raise {error}\ndef root(x): return E()\n"
TALK = "assert root(4) == 2"
LONG = "assert root(4) == 2\nassert root(9) == 3\nassert sorted(root(5)) == [1]\nassert str(root(1)) == repr(root(1)) + 'x'\nassert root(2)"
FOLD = "assert root(lambda x, y=2: x * y, [1, 2, 3]) == 6"
OWN = "class P:\n    def __init__(self, x): self.x = x\n    def __eq__(self, o): return self.x == o.x\n"

SPOKEN = (
    ("an exception at load with an object that cannot be shown", TALK, 'say("loaderror", error(["program.X", "builtins.KeyError"], [thing(0)]), "")\nhear()\nalways("exc", error(["builtins.ValueError"], ["boom"]), None, "")'),
    ("the same where a script's or a dead program's words are read", TALK, 'say("loaderror", error(["builtins.KeyError"], [thing(0)]), "")\nos._exit(0)'),
    ("an exception whose object ends the interpreter when shown", LONG, 'loaded()\nsay("exc", error(["builtins.KeyError"], [thing(7)]), None, "")\nhear()\nalways("exc", error(["builtins.SystemExit"], [3]), None, "")'),
    ("an interrupt in answer to everything", LONG, 'loaded()\nalways("exc", error(["builtins.KeyboardInterrupt"], []), None, "")'),
    ("a generator's exit in answer to everything", LONG, 'loaded()\nalways("exc", error(["builtins.GeneratorExit"], []), None, "")'),
    ("a BaseException of its own in answer to everything", LONG, 'loaded()\nalways("exc", error(["program.Y", "builtins.BaseException"], [thing(3)]), None, "")'),
    ("the end of an iteration in answer to everything", LONG, 'loaded()\nalways("exc", error(["builtins.StopIteration"], [thing(3)]), None, "")'),
    ("out of memory in answer to everything", LONG, 'loaded()\nalways("exc", error(["builtins.MemoryError"], []), None, "")'),
    ("out of recursion in answer to everything", LONG, 'loaded()\nalways("exc", error(["builtins.RecursionError"], []), None, "")'),
    ("an exception that is its own cause", LONG, 'loaded()\nalways("exc", error(["program.E", "builtins.Exception"], [], number=50, more={"d": [["__cause__", {"E": [["program.E"], [], "", 1, 50, {"d": []}]}]]}), None, "")'),
    ("an exception whose class has 5,000 bases", LONG, 'loaded()\nalways("exc", error([f"program.B{i}" for i in range(5000)], []), None, "")'),
    ("a class per answer", LONG, 'loaded()\nfor i in range(3000):\n    say("ret", {"t": [thing(i * 9 + j + 10, label=f"C{i}_{j}") | {} for j in range(9)]}, None, "")\n    hear()'),
    ("exception classes without end", "for i in range(9999):\n    try: root(i)\n    except Exception: pass\nassert root(1) == 2", 'loaded()\nfor i in range(9999):\n    say("exc", error([f"program.B{i}", "builtins.ValueError"], []), None, "")\n    hear()'),
    ("objects without end", "for x in root(1):\n    pass\nassert root(1) == 2", 'loaded()\nsay("ret", thing(5, "", "iterator"), None, "")\nhear()\nn = 10\nwhile True:\n    say("ret", [[thing(n + i) for i in range(4000)], False, None], None, "")\n    n += 4000\n    hear()'),
    ("three hundred thousand objects in one answer", TALK, 'loaded()\nalways("ret", [thing(i) for i in range(200000)], None, "")'),
    ("8 MB of empty lists, kept", "kept = [root(i) for i in range(40)]\nassert kept[0] == 2", 'loaded()\nbody = json.dumps(["ret", [[]] * 1500000, None, ""]).encode()\nwhile True:\n    send(struct.pack("=I", len(body)) + body)\n    hear()'),
    ("8 MB of output with each answer", "import io, contextlib\nwith contextlib.redirect_stdout(io.StringIO()) as out:\n    for i in range(200): root(i)\nassert root(1) == 2", 'loaded()\nalways("ret", 1, None, "x" * 8000000)'),
    ("named tuples of 100,000 fields", LONG, 'loaded()\nn = 0\nwhile True:\n    n += 1\n    say("ret", {"nt": ["P", [f"f{n}_{i}" for i in range(100000)], [0] * 100000]}, None, "")\n    hear()'),
    ("an integer of 32 million bits", LONG, 'loaded()\nalways("ret", {"i": "0x" + "f" * 8000000}, None, "")'),
    ("an exception with that integer", LONG, 'loaded()\nalways("exc", error(["builtins.ValueError"], [{"i": "0x" + "f" * 20000}]), None, "")'),
    ("a fraction of two such", LONG, 'loaded()\nalways("ret", {"V": ["fractions", "Fraction", [{"i": "0x" + "f" * 3000000}, {"i": "0x7" + "f" * 3000000}]]}, None, "")'),
    ("a decimal that cannot be written out", "assert int(root(4)) == 2\nassert round(root(4)) == 2\nassert root(4) // 1 == 2\nassert f'{root(4):f}' == '2'", 'loaded()\nalways("ret", {"V": ["decimal", "Decimal", ["1e999999999"]]}, None, "")'),
    ("the longest time there is, added to", "import datetime\nassert root(4) + root(4) == datetime.timedelta(1)\nassert abs(-root(4)) == root(4) * 2", 'loaded()\nalways("ret", {"V": ["datetime", "timedelta", [999999999, 86399, 999999]]}, None, "")'),
    ("the last of all dates", "import datetime\nassert root(4) + datetime.timedelta(1) == 2\nassert root(4).astimezone(datetime.timezone.utc).year == 3", 'loaded()\nalways("ret", {"V": ["datetime", "datetime", [9999, 12, 31, 23, 59, 59, 999999, None, 0]]}, None, "")'),
    ("a signalling nan in every comparison", "assert root(4) == 2\nassert root(4) < 2\nassert {root(4): 1}\nassert max(root(4), 2) == 2\nassert sum([root(4), 1]) == 3", 'loaded()\nalways("ret", {"V": ["decimal", "Decimal", ["sNaN"]]}, None, "")'),
    ("a range that is longer than len", "assert len(root(4)) == 2\nassert list(root(4)) == [1, 2]\nassert root(4)[::-1] == 2", 'loaded()\nalways("ret", {"range": [0, {"i": "0x" + "f" * 30}, 1]}, None, "")'),
    ("a slice of objects", "assert [1, 2][root(4)] == [1]\nassert 'ab'[root(4)] == 'a'", 'loaded()\nsay("ret", {"slice": [thing(3, "__index__"), thing(4, "__index__"), None]}, None, "")\nhear()\nalways("exc", error(["builtins.SystemExit"], []), None, "")'),
    ("keys that exit when they are compared", LONG, 'loaded()\nsay("ret", {"d": [[thing(3, "__eq__", more=1), 1], [thing(4, "__eq__", more=1), 2]]}, None, "")\nhear()\nalways("exc", error(["builtins.SystemExit"], []), None, "")'),
    ("keys that answer with what is no message", LONG, 'loaded()\nsay("ret", {"s": [thing(3, "__eq__", more=1), thing(4, "__eq__", more=1)]}, None, "")\nhear()\nsend(b"\\x05\\x00\\x00\\x00hello")\nhear()'),
    ("changes whose keys exit", "d = {}\nroot(d)\nassert d == {1: 2}", 'loaded()\nsay("ret", None, [[1, None, {"d": [[thing(3, "__eq__", more=1), 1], [thing(4, "__eq__", more=1), 1]]}]], "")\nhear()\nalways("exc", error(["builtins.KeyboardInterrupt"], []), None, "")'),
    ("half of a frame, then silence", LONG, 'loaded()\nsend(struct.pack("=I", 1000) + b"[")\nwhile True: read(1)'),
    ("half of a frame, then nothing", LONG, 'loaded()\nsend(struct.pack("=I", 1000) + b"[")\nos._exit(0)'),
    ("half of a header", LONG, 'loaded()\nsend(b"\\x00\\x00")\nos.close(3)'),
    ("answers that nobody waits for, until the line is full", LONG, 'loaded()\nwhile True: say("ret", 1, None, "")'),
    ("no reading at all, with long arguments", "assert root('x' * 4000000) == 1\nassert root('y' * 4000000) == 1", 'say("loaded", {"root": ROOT}, "")\nimport time\ntime.sleep(60)'),
    ("nesting of 100,000", LONG, 'loaded()\nbody = b"[" * 100000 + b"]" * 100000\nbody = b\'["ret",\' + body + b\',null,""]\'\nsend(struct.pack("=I", len(body)) + body)\nhear()'),
    ("nesting of 100", "x = root(4)\nassert root([[[x]]]) == 1", 'loaded()\nvalue = 1\nfor _ in range(99): value = [value]\nalways("ret", value, None, "")'),
    ("a callback with 9 MB, by repetition", FOLD, 'loaded()\nalways("cb", 0, ["a", 9000000], {}, None, "")'),
    ("a callback with 9 GB, by repetition", FOLD, 'loaded()\nalways("cb", 0, ["a" * 9000, 1000000], {}, None, "")'),
    ("a callback with a number that cannot be written out", FOLD, 'loaded()\nalways("cb", 0, [{"i": "0x" + "f" * 3000000}, {"i": "0x" + "f" * 3000000}], {}, None, "")'),
    ("a callback that unites types", "assert root(lambda x, y: x | y) == 6", 'loaded()\nalways("cb", 0, [{"T": "builtins.int"}, {"T": "builtins.str"}], {}, None, "")'),
    ("a callback that looks into a type", "assert root(lambda x: x.real) == 6", 'loaded()\nalways("cb", 0, [{"T": "builtins.int"}], {}, None, "")'),
    ("a callback that nests what it gets", "assert root(lambda x: [x] * 2) == 6", 'loaded()\nvalue = 1\nfor _ in range(99): value = [value]\nalways("cb", 0, [value], {}, None, "")'),
    ("a callback whose exception is no text", "def bad(x): raise KeyError(x)\nassert root(bad) == 6", 'loaded()\nsay("cb", 0, [thing(3)], {}, None, "")\nhear()\nalways("exc", error(["builtins.SystemExit"], []), None, "")'),
    ("a callback that the program has exit", "import sys\nassert root(sys.exit) == 6\nassert root(lambda x: sys.exit(x)) == 6", 'loaded()\nalways("cb", 0, [thing(3)], {}, None, "")'),
    ("a callback that is called by names that are none", FOLD, 'loaded()\nalways("cb", 0, [], {"": 1, "x y": 2, "self": 3}, None, "")'),
    ("a callback within a callback without end", "def again(x): return root(again)\nassert root(again) == 6", 'loaded()\nalways("cb", 0, [1], {}, None, "")'),
    ("a context manager that says it swallowed", "with root(4) as x:\n    assert x == 2\n    raise ValueError", 'loaded()\nsay("ret", thing(3, "__enter__ __exit__"), None, "")\nhear()\nalways("exc", error(["builtins.SystemExit"], []), None, "")'),
    ("a signal that has no name", TALK, 'loaded()\nimport signal, threading\nsignal.pthread_kill(threading.get_ident(), 40)\nos._exit(1)'),
    ("an exit status of its own", TALK, "loaded()\nos._exit(255)"),
)  # fmt: skip

PLAIN = (
    ("a decorator that raises", "@root\ndef f(x): return x\nassert f(1) == 1\nassert root(f)(2) == 2", "def root(f): raise ValueError"),
    ("a decorator that exits", "@root\ndef f(x): return x\nassert f(1) == 1", "import sys\ndef root(f): sys.exit(0)"),
    ("a decorator of check that raises", "@root\ndef check(candidate): assert candidate(1) == 1\ncheck(root)", "def root(f): raise KeyboardInterrupt"),
    ("a default that raises", "def f(x=root(4)): return x\nassert f() == 2", "def root(x): raise GeneratorExit"),
    ("an annotation that raises", "def f(x: root(4)) -> root(4): return x\nassert f(root(4)) == 2", "def root(x): raise ValueError"),
    ("a class body that raises", "class C:\n    x = root(4)\nassert C.x == 2", "def root(x): raise SystemExit"),
    ("a callback's product", FOLD, "def root(f, xs):\n    f('a', 9_000_000)\n    return 0"),
    ("a callback's product, swallowed", FOLD, "def root(f, xs):\n    try: f('a', 9_000_000)\n    except BaseException: return 0"),
    ("a callback's exception with an object", "def bad(x): raise ValueError(x)\nassert root(bad) == 1", "class E:\n    __repr__ = __str__ = lambda s: 1 / 0\ndef root(f): return f(E())"),
    *((f"an object whose {name} raises {error}", LONG, THING.replace("{name}", name).replace("{error}", error))
      for name in ("repr", "str", "hash", "eq", "iter", "bool", "len") for error in ("KeyboardInterrupt", "ValueError")),
    ("a text that is endless", "assert str(root(4)) == '2'\nassert root(4) == 2", "class E:\n    def __repr__(s):\n        while True: pass\ndef root(x): return E()"),
    ("an exception that holds what cannot be shown", LONG, "class E:\n    def __repr__(s): raise SystemExit\ndef root(x): raise KeyError(E())"),
    ("an exception that cannot be shown", LONG, "class X(Exception):\n    def __str__(s): raise KeyboardInterrupt\n    __repr__ = __str__\ndef root(x): raise X"),
    ("an exception group of itself", LONG, "g = ExceptionGroup('g', [ValueError()])\ng.__cause__ = g.__context__ = g\ndef root(x): raise g"),
    ("a value that holds itself", LONG, "a = []\na.append(a)\ndef root(x): return a"),
    ("a dictionary of a thousand colliding keys", "assert {root(4): 1}[root(4)] == 2", "class K:\n    __hash__ = lambda s: 1\n    __eq__ = lambda s, o: False\ndef root(x): return tuple(K() for _ in range(1000))"),
    ("a module in place of the function", TALK, "import math as root"),
    ("a type in place of the function", TALK, "root = type"),
    ("a generator that is never over", "assert list(root(4)) == [2]", "def root(x):\n    while True: yield 2"),
    ("what the tests call with a huge text", "n = root(4)\nassert root('a' * n) == 2", "def root(x): return 9_000_000"),
    ("what the tests wrap a hundred times", "x = root(4)\nfor _ in range(200): x = root(x)\nassert x == 2", "def root(x): return [x]"),
    ("a wrong answer beside a huge one", "assert root(4) == 2\nassert root(root(5)) == 2", "def root(x): return 'x' * 7_999_000 if x == 5 else 0"),
)  # fmt: skip

# What an object of the program's says of a value that the tests gave it is its own judgement. (name, tests, program):
# marked where it passes.
JUDGED = (
    ("difference of objects", "assert not (root(4) - root(2))", OWN + "P.__sub__ = lambda s, o: P(0)\nP.__bool__ = lambda s: bool(s.x)\ndef root(x): return P(x)"),
    ("a method that is told", "assert root(4).equals(2)", OWN + "P.equals = lambda s, o: True\ndef root(x): return P(x)"),
    ("a method that counts", "assert not root(4).compare(2)", OWN + "P.compare = lambda s, o: 0\ndef root(x): return P(x)"),
    ("a difference of sets", "assert root(4).difference({2}) == set()", OWN + "P.difference = lambda s, o: set()\ndef root(x): return P(x)"),
    ("a key that is told", "assert root(4)[2]", OWN + "P.__getitem__ = lambda s, o: True\ndef root(x): return P(x)"),
    ("a function given back", "assert root(4)(2)", "def root(x): return lambda y: True"),
    ("the function itself, given back", "assert root(4)(2)", "def root(x): return root if x == 4 else True"),
    ("an attribute by a name that is made", "assert getattr(root(4), 'is_' + str(2))", OWN + "P.__getattr__ = lambda s, n: True\ndef root(x): return P(x)"),
    ("two objects that are equal", "assert root(4) == root(2)", OWN + "P.__eq__ = lambda s, o: True\ndef root(x): return P(x)"),
    ("an instance", "assert isinstance(root(4), Q)", "class M(type):\n    __instancecheck__ = lambda *a: True\nclass Q(metaclass=M): pass\nclass P: pass\ndef root(x): return P()"),
    ("a failure that is swallowed", "import unittest\nwith root(4):\n    unittest.TestCase().assertEqual(1, 2)\nassert root(2) is not None", OWN + "P.__enter__ = lambda s: s\nP.__exit__ = lambda *a: True\ndef root(x): return P(x)"),
)  # fmt: skip

TESTER = tuple((name, tests, RAW + code) for name, tests, code in SPOKEN) + PLAIN
