# ruff: noqa: E501 (a program stays on one line)
"""Programs that do nothing wrong get the verdict that they deserve, with evidence for every assertion."""

from __future__ import annotations

import os

import pytest

from herl_bench.sandbox import Job, Limits, Sandbox


def run(sandbox: Sandbox, code: str, entry: str, tests: str, **limits: float):
    return sandbox.check(Job(code, entry, {"tests": tests}, Limits(**limits) if limits else None))


PASSING = {
    "plain": ("def f(x): return x + 1", "assert f(1) == 2"),
    "check function": ("def f(x): return x + 1", "def check(candidate):\n    assert candidate(1) == 2\n"),
    "check called by the tests": (
        "def f(x): return x + 1",
        "def check(candidate):\n    assert candidate(1) == 2\ncheck(f)\n",
    ),
    "helper of the program": ("def enc(s): return s[::-1]\ndef f(s): return s[::-1]", "assert f(enc('abc')) == 'abc'"),
    "named like a builtin": ("def sum(a, b): return a * b", "assert sum(3, 4) == 12"),
    "argument changed in place": ("def f(xs): xs.append(1)", "l = [0]\nf(l)\nassert l == [0, 1]"),
    "nested argument changed": (
        "def f(d): d['k'][0].add(7)",
        "inner = [set()]\nd = {'k': inner}\nf(d)\nassert inner == [{7}]",
    ),
    "sorted in place": (
        "def f(xs): xs.sort(); return xs",
        "l = [3, 1, 2]\nassert f(l) == [1, 2, 3]\nassert l == [1, 2, 3]",
    ),
    "callable argument": ("def f(g, x): return g(g(x))", "assert f(lambda v: v + 1, 2) == 4"),
    "callable that raises": (
        "def f(g):\n    try: return g(0)\n    except ZeroDivisionError: return 'caught'",
        "assert f(lambda v: 1 / v) == 'caught'",
    ),
    "callable that calls back": (
        "def f(g, n): return n if n > 5 else g(n + 1)",
        "assert f(lambda n: f(lambda m: m, n + 9), 0) == 10",
    ),
    "builtin argument": (
        "def f(kind, xs): return [x for x in xs if isinstance(x, kind)]",
        "assert f(int, [1, 'a']) == [1]",
    ),
    "returns a function": ("def f(n): return lambda x: x + n", "assert f(3)(4) == 7"),
    "generator": (
        "def f(n):\n    yield from range(n)",
        "assert list(f(3)) == [0, 1, 2]\nassert list(f(1000)) == list(range(1000))",
    ),
    "endless generator": (
        "import itertools\ndef f(): return itertools.count(1)",
        "it = f()\nassert [next(it) for _ in range(5)] == [1, 2, 3, 4, 5]",
    ),
    "class": (
        "class f:\n    def __init__(self, n): self.n = n\n    def inc(self): self.n += 1; return self.n",
        "s = f(1)\nassert s.inc() == 2 and s.n == 2",
    ),
    "class with dunders": (
        "class f:\n    def __init__(self): self.xs = []\n    def add(self, x): self.xs.append(x)\n"
        "    def __len__(self): return len(self.xs)\n    def __iter__(self): return iter(self.xs)\n    def __getitem__(self, i): return self.xs[i]",
        "s = f()\ns.add(4)\ns.add(5)\nassert len(s) == 2\nassert list(s) == [4, 5]\nassert s[1] == 5\nassert 4 in s and 6 not in s",
    ),
    "linked objects": (
        "class Node:\n    def __init__(self, v): self.v = v; self.left = None\ndef f(n): return 0 if n is None else n.v + f(n.left)",
        "root = Node(1)\nroot.left = Node(2)\nassert f(root) == 3\nassert root.left.v == 2",
    ),
    "exception that is expected": (
        "def f(x):\n    if x < 0: raise ValueError('negative')\n    return x",
        "assert f(1) == 1\ntry:\n    f(-1)\nexcept ValueError as e:\n    assert 'neg' in str(e)\nelse:\n    assert False",
    ),
    "exception of its own": (
        "class Odd(Exception): pass\ndef f(x): raise Odd(x)",
        "caught = None\ntry:\n    f(3)\nexcept Odd as e:\n    caught = e.args\nassert caught == (3,)",
    ),
    "own class kept in a set": (
        "class P:\n    pass\ndef f(p): return p",
        "p = P()\nassert f(p) is p\nassert len({p, f(p)}) == 1",
    ),
    "recursion": ("def r(n): return 0 if n == 0 else 1 + r(n - 1)\ndef f(): return r(900)", "assert f() == 900"),
    "threads": (
        "import threading\ndef f():\n    r = []\n    t = [threading.Thread(target=r.append, args=(i,)) for i in range(8)]\n"
        "    [x.start() for x in t]; [x.join() for x in t]\n    return sorted(r)",
        "assert f() == list(range(8))",
    ),
    "asyncio": (
        "import asyncio\nasync def g(): await asyncio.sleep(0.001); return 5\ndef f(): return asyncio.run(g())",
        "assert f() == 5",
    ),
    "temporary files": (
        "import tempfile, os\ndef f():\n    with tempfile.TemporaryDirectory() as d:\n        open(os.path.join(d, 'x'), 'w').write('1')\n"
        "        return os.listdir(d)",
        "assert f() == ['x']",
    ),
    "many modules": (
        "import abc, array, bisect, calendar, cmath, collections, copy, csv, dataclasses, datetime, decimal, enum, fractions, functools, "
        "hashlib, heapq, io, itertools, json, math, operator, queue, random, re, statistics, string, struct, textwrap, time, typing, uuid\n"
        "def f(): return hashlib.md5(b'x').hexdigest()[:4]",
        "assert f() == '9dd4'",
    ),
    "named tuple": (
        "import collections\nP = collections.namedtuple('P', 'x y')\ndef f(): return P(1, 2)",
        "assert f() == (1, 2)\nassert f().y == 2",
    ),
    "dates and decimals": (
        "import datetime, decimal, fractions\ndef f(): return datetime.date(2024, 2, 29), decimal.Decimal('0.10'), fractions.Fraction(1, 3)",
        "import datetime\nfrom decimal import Decimal\nfrom fractions import Fraction\n"
        "assert f() == (datetime.date(2024, 2, 29), Decimal('0.1'), Fraction(1, 3))",
    ),
    "floats": (
        "def f(x): return x / 3",
        "import math\nassert abs(f(1.0) - 0.3333) < 1e-3\nassert math.isclose(f(9.0), 3.0)\nassert f(1.0) == 1 / 3",
    ),
    "loop over nothing else": ("def f(x): return x", "for i in range(50):\n    assert f(i) == i"),
    "module that the tests forgot to import": ("def f(x): return x ** 0.5", "assert math.isclose(f(4), 2)"),
    "dataclass": (
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\ndef f(): return P(3)",
        "assert f().x == 3",
    ),
    "200 MB": ("def f():\n    x = bytearray(b'x') * (200 << 20)\n    return len(x)", "assert f() == 200 << 20"),
    "calls by a wrapper of the tests": (
        "seen = []\ndef f(x):\n    seen.append(x)\n    return len(seen)",
        "def check(candidate):\n    assert candidate(1) == 2\n    assert candidate(2) == 4\n    assert candidate(3) == 6\ndef twice(x):\n    f(x)\n    return f(x)\ncheck(twice)",
    ),
    "calls that a comparison leaves out": (
        "n = [0]\ndef f():\n    n[0] += 1\n    return n[0]",
        "assert f() == 1\nassert not 1 == 2 == f()\nassert f() == 2\nassert f() == 3",
    ),
    "halves of a surrogate pair": (
        "def f(x): return x[0] + '\\ude00'",
        "assert len(f('\\ud83d')) == 2\nassert f('\\ud83d') != '\\U0001f600'",
    ),
    "windows line ends": ("def f(x):\r\n    return x\r\n", "assert f(1) == 1\r\nassert f(2) == 2"),
}


@pytest.mark.parametrize("name", PASSING)
def test_passes(sandbox: Sandbox, name: str):
    code, tests = PASSING[name]
    entry = "sum" if name == "named like a builtin" else "f"
    verdict = run(sandbox, code, entry, tests)
    assert verdict.status == "pass", (verdict.detail, [r.evidence for r in verdict.results if not r.passed])
    assert verdict.tests_passed == verdict.tests_total > 0
    assert verdict.integrity == "split"


# More of what people write, a line each: (program, tests).
ALSO_PASSING = {
    "coroutine returned": (
        "import asyncio\nasync def f(x):\n    await asyncio.sleep(0)\n    return x+1",
        "import asyncio\nassert asyncio.run(f(1))==2",
    ),
    "await gather": (
        "async def f(x): return x+1",
        "import asyncio\nasync def go(): return await asyncio.gather(f(1),f(2))\nassert asyncio.run(go())==[2,3]",
    ),
    "same list returned": ("def f(x):\n    x.append(1)\n    return x", "l=[]\nassert f(l) is l"),
    "new list returned": ("def f(x): return x[:]", "l=[1]\nassert f(l) is not l\nassert f(l)==l"),
    "enum iter": (
        "import enum\nclass f(enum.Enum):\n    A=1\n    B=2",
        "assert [c.name for c in f]==['A','B']\nassert f(1).name=='A'\nassert f['B'].value==2\nassert len(f)==2",
    ),
    "frozen dataclass in set": (
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass P:\n    x:int\ndef f(): return {P(1),P(1)}",
        "assert len(f())==1",
    ),
    "typed namedtuple": (
        "from typing import NamedTuple\nclass P(NamedTuple):\n    x:int\n    def double(self): return self.x*2\ndef f(): return P(4)",
        "assert f()==(4,)\nassert f().x==4",
    ),
    "decorator solution": (
        "def f(g):\n    def w(*a,**k):\n        w.calls+=1\n        return g(*a,**k)\n    w.calls=0\n    return w",
        "@f\ndef h(x): return x*2\nassert h(3)==6\nassert h(x=4)==8\nassert h.calls==2",
    ),
    "memo decorator": (
        "def f(g):\n    c={}\n    def w(n):\n        if n not in c: c[n]=g(n)\n        return c[n]\n    return w",
        "n=[]\n@f\ndef fib(k):\n    n.append(k)\n    return k if k<2 else fib(k-1)+fib(k-2)\nassert fib(15)==610\nassert len(n)==16",
    ),
    "closure counter": (
        "def f():\n    n=0\n    def g():\n        nonlocal n\n        n+=1\n        return n\n    return g",
        "c=f()\nassert c()==1 and c()==2\nassert f()()==1",
    ),
    "partial": ("import functools\ndef f(a): return functools.partial(pow,a)", "assert f(2)(5)==32"),
    "generator send": (
        "def f():\n    x=yield 1\n    while True: x=yield x*2",
        "g=f()\nassert next(g)==1\nassert g.send(5)==10\nassert g.send(6)==12",
    ),
    "generator close": (
        "def f():\n    yield 1\n    yield 2",
        "g=f()\nassert next(g)==1\ng.close()\nassert list(g)==[]",
    ),
    "gen raises": (
        "def f():\n    yield 1\n    raise ValueError('x')",
        "g=f()\nassert next(g)==1\ntry:\n    next(g)\nexcept ValueError: ok=True\nassert ok",
    ),
    "gen returns": (
        "def f():\n    yield 1\n    return 7",
        "g=f()\nnext(g)\ntry:\n    next(g)\nexcept StopIteration as e: v=e.value\nassert v==7",
    ),
    "gen send between": (
        "def f():\n    n=0\n    while True:\n        x=yield n\n        n=n+1 if x is None else x",
        "g=f()\nassert [next(g),next(g),next(g)]==[0,1,2]\nassert g.send(9)==9\nassert next(g)==10\nassert next(g)==11\nassert g.send(0)==0",
    ),
    "gen throw": (
        "def f():\n    t=0\n    while True:\n        try: t+=yield t\n        except ValueError as e: t=e.args[0]",
        "g=f()\nnext(g)\nassert g.send(3)==3\nassert g.throw(ValueError(7))==7\nassert g.send(1)==8",
    ),
    "gen is lazy": (
        "def f(cb):\n    for i in range(9):\n        cb(i)\n        yield i",
        "seen=[]\ng=f(seen.append)\nfor n in range(4):\n    assert next(g)==n\n    assert seen==list(range(n+1))",
    ),
    "groupby": (
        "import itertools\ndef f(xs): return itertools.groupby(xs)",
        "assert [(k,list(g)) for k,g in f('aabbbc')]==[('a',['a']*2),('b',['b']*3),('c',['c'])]",
    ),
    "context manager that suppresses": (
        "import contextlib\n@contextlib.contextmanager\ndef f(kind):\n    try: yield 1\n    except kind as e: print(e)",
        "with f(ValueError) as x:\n    raise ValueError('a')\nassert x==1\nr=0\ntry:\n    with f(ValueError): raise KeyError('b')\nexcept KeyError as e: r=e.args\nassert r==('b',)",
    ),
    "context manager that sees the error": (
        "class Odd(Exception): pass\nclass f:\n    def __enter__(s): return s\n    def __exit__(s,k,e,t):\n        s.seen=(k.__name__,e.args)\n        return True",
        "with f() as m: raise Odd(1,2)\nassert m.seen==('Odd',(1,2))",
    ),
    "seeded by the tests": (
        "import random\ndef f(n): return [random.randint(0,99) for _ in range(n)]",
        "import random\nrandom.seed(42)\na=f(5)\nassert a==[81,14,3,94,35]\nrandom.seed(42)\nassert f(5)==a\nassert f(5)!=a",
    ),
    "wraps": (
        "import functools\ndef f(g):\n    @functools.wraps(g)\n    def w(*a): return g(*a)\n    return w",
        "@f\ndef hi(x):\n    'says hi'\n    return x\nassert hi(1)==1\nassert hi.__name__=='hi'\nassert hi.__doc__=='says hi'\nassert f.__name__=='f' and f.__doc__ is None",
    ),
    "threads of the tests": (
        "import threading\nclass f:\n    def __init__(s): s.n=0; s.lock=threading.Lock()\n    def inc(s):\n        with s.lock: s.n+=1\n        return s.n",
        "from concurrent.futures import ThreadPoolExecutor\nc=f()\nwith ThreadPoolExecutor(4) as p: r=list(p.map(lambda _: c.inc(),range(40)))\nassert sorted(r)==list(range(1,41))\nassert c.n==40",
    ),
    "exit": ("def f(x): exit(x)", "r=None\ntry: f(3)\nexcept SystemExit as e: r=e.code\nassert r==3"),
    "named tuples are values": (
        "from typing import NamedTuple\nclass P(NamedTuple):\n    x:int\n    y:int=2\n    def sum(s): return s.x+s.y\ndef f(p=None): return P(1) if p is None else isinstance(p,P)",
        "assert f()==P(1,2)==(1,2)\nassert [f()]==[(1,2)] and {f():3}[1,2]==3\nx,y=f()\nassert x+y==f().sum()==3\nassert repr(f())=='P(x=1, y=2)'\n"
        "assert f()._replace(x=5)==(5,2) and f()._asdict()=={'x':1,'y':2}\nassert f(P(1)) and not f((1,2))\nassert f() < P(3)",
    ),
    "members of an IntEnum": (
        "import enum\nclass C(enum.IntEnum):\n    RED=1\n    BLUE=2\nclass S(str,enum.Enum):\n    A='a'\ndef f(x): return C(x) if type(x) is int else S(x)",
        "assert f(1)==C.RED==1 and f(1) is C.RED\nassert f(2).name=='BLUE' and f(2).value==2 and f(2)>f(1)\nassert f('a')=='a' and f('a').value=='a' and f('a').name=='A'\nassert sorted([f(2),f(1)])==[1,2]",
    ),
    "attributes of an exception": (
        "class Short(Exception):\n    def __init__(s,need,have):\n        super().__init__(need,have)\n        s.lack=need-have\n    def __str__(s): return f'lack {s.lack}'\ndef f(a,b): raise Short(a,b)",
        "try: f(5,2)\nexcept Short as e: r=(e.lack,str(e),e.args,isinstance(e,Short),hasattr(e,'zz'))\nassert r==(3,'lack 3',(5,2),True,False)",
    ),
    "attributes that the tests change": (
        "class f:\n    def __init__(s,v=0): s.v=v; s.kids=[]; s.d={}\n    def total(s): return s.v+sum(k.total() for k in s.kids)+sum(s.d.values())",
        "t=f(1)\nt.kids.append(f(2))\nt.kids[0].kids.extend([f(3),f(4)])\nt.d['x']=5\nassert t.total()==15\nassert len(t.kids)==1 and t.kids[0].kids[1].v==4\n"
        "k=t.kids\nk.clear()\nassert t.total()==6 and t.kids==[]",
    ),
    "variables as they are now": (
        "n=0\nlog=[]\ndef f():\n    global n\n    n+=1\n    log.append(n)",
        "assert n==0\nf()\nf()\nassert n==2 and log==[1,2]\nlog.clear()\nf()\nassert log==[3] and [n for _ in range(2)]==[3,3]",
    ),
    "asynchronous generator": (
        "import asyncio\nasync def f(n):\n    for i in range(n):\n        await asyncio.sleep(0)\n        yield i",
        "import asyncio\nasync def go():\n    assert [x async for x in f(3)]==[0,1,2]\n    async for x in f(9):\n        if x==4: return x\nassert asyncio.run(go())==4",
    ),
    "asynchronous context manager": (
        "import asyncio, contextlib\n@contextlib.asynccontextmanager\nasync def f():\n    lock=asyncio.Lock()\n    async with lock:\n        try: yield lock\n        except ValueError: pass",
        "import asyncio\nasync def go():\n    async with f() as lock:\n        assert lock.locked()\n        raise ValueError\n    return lock.locked()\nassert asyncio.run(go()) is False",
    ),
    "generator by its type": (
        "def f(n):\n    yield from range(n)",
        "import types, inspect\nfrom collections.abc import Generator\nassert isinstance(f(2),types.GeneratorType) and inspect.isgenerator(f(2)) and isinstance(f(2),Generator)\nassert list(f(2))==[0,1]\ng=f(3)\nnext(g)\ng.close()\nassert list(g)==[]",
    ),
    "iterator class": (
        "class f:\n    def __init__(s,n): s.n=n\n    def __iter__(s): return s\n    def __next__(s):\n        if s.n==0: raise StopIteration\n        s.n-=1\n        return s.n",
        "assert list(f(3))==[2,1,0]\nassert [x for x in f(2)]==[1,0]",
    ),
    "context manager": (
        "class f:\n    def __enter__(s): return 5\n    def __exit__(s,*a): return None",
        "with f() as x:\n    assert x==5",
    ),
    "contextlib": (
        "import contextlib\n@contextlib.contextmanager\ndef f():\n    yield 7",
        "with f() as x:\n    assert x==7",
    ),
    "bytearray mut": ("def f(b): b.append(65)", "b=bytearray(b'a')\nf(b)\nassert b==b'aA'"),
    "defaultdict lambda": (
        "import collections\ndef f():\n    d=collections.defaultdict(lambda: 7)\n    d[1]\n    return d",
        "assert f()=={1:7}",
    ),
    "ordered": (
        "from collections import OrderedDict\ndef f(): return OrderedDict([(1,2),(3,4)])",
        "from collections import OrderedDict\nassert f()==OrderedDict([(1,2),(3,4)])\nassert list(f())==[1,3]",
    ),
    "deque": (
        "from collections import deque\ndef f(): return deque([1,2],maxlen=2)",
        "from collections import deque\nassert f()==deque([1,2])\nassert isinstance(f(),deque)",
    ),
    "chainmap": (
        "from collections import ChainMap\ndef f(): return ChainMap({1:2},{3:4})",
        "assert dict(f())=={1:2,3:4}",
    ),
    "mappingproxy": (
        "import types\ndef f(): return types.MappingProxyType({1:2})",
        "assert f()[1]==2\nassert f()=={1:2}",
    ),
    "match": (
        "import re\ndef f(s): return re.match(r'(\\w)(\\d)',s)",
        "m=f('a1')\nassert m.group(1)=='a'\nassert m.groups()==('a','1')\nassert m\nassert f('..') is None\nassert m[2]=='1'",
    ),
    "pattern": ("import re\ndef f(): return re.compile('a+')", "assert f().match('aaa').end()==3"),
    "dict of functions": ("def f(): return {'inc': lambda x: x+1}", "assert f()['inc'](2)==3"),
    "date tz": (
        "import datetime\ndef f(): return datetime.datetime(2024,1,1,tzinfo=datetime.timezone.utc)",
        "import datetime\nassert f()==datetime.datetime(2024,1,1,tzinfo=datetime.timezone.utc)",
    ),
    "aware arg": (
        "def f(d): return d.isoformat()",
        "import datetime\nassert f(datetime.datetime(2024,1,1,tzinfo=datetime.timezone.utc)).endswith('+00:00')",
    ),
    "decimal ctx": (
        "from decimal import Decimal, getcontext\ndef f():\n    getcontext().prec=30\n    return Decimal(1)/3",
        "assert str(f())=='0.'+'3'*30",
    ),
    "big int": ("def f(n): return 3**n", "assert f(5000)==3**5000"),
    "big list": ("def f(n): return list(range(n))", "assert f(500000)==list(range(500000))"),
    "nested 60": (
        "def f(n):\n    x=0\n    for _ in range(n): x=[x]\n    return x",
        "x=0\nfor _ in range(60): x=[x]\nassert f(60)==x",
    ),
    "deep recursion": (
        "import sys\nsys.setrecursionlimit(50000)\ndef r(n): return 0 if n==0 else 1+r(n-1)\ndef f(): return r(20000)",
        "assert f()==20000",
    ),
    "threadpool": (
        "from concurrent.futures import ThreadPoolExecutor\ndef f(xs):\n    with ThreadPoolExecutor(4) as p: return list(p.map(lambda x:x*x,xs))",
        "assert f([1,2,3])==[1,4,9]",
    ),
    "asyncio queue": (
        "import asyncio\nasync def w(q,o):\n    while not q.empty(): o.append(await q.get())\nasync def m(n):\n    q=asyncio.Queue();o=[]\n    for i in range(n): q.put_nowait(i)\n    await asyncio.gather(w(q,o),w(q,o))\n    return o\ndef f(n): return asyncio.run(m(n))",
        "assert f(5)==[0,1,2,3,4]",
    ),
    "asyncio to_thread": (
        "import asyncio,time\ndef f():\n    async def m(): return await asyncio.wait_for(asyncio.to_thread(lambda: 4),1)\n    return asyncio.run(m())",
        "assert f()==4",
    ),
    "linked list class": (
        "class Node:\n    def __init__(s,v,n=None): s.v=v;s.next=n\ndef f(xs):\n    h=None\n    for x in reversed(xs): h=Node(x,h)\n    return h",
        "h=f([1,2])\nassert h.v==1 and h.next.v==2 and h.next.next is None",
    ),
    "property+static": (
        "class f:\n    def __init__(s): s._x=1\n    @property\n    def x(s): return s._x\n    @x.setter\n    def x(s,v): s._x=v*2\n    @staticmethod\n    def st(a): return a\n    @classmethod\n    def mk(c): return c()",
        "o=f.mk()\no.x=4\nassert o.x==8\nassert f.st(3)==3",
    ),
    "class attr": ("class f:\n    n=0\n    def __init__(self): f.n+=1", "f();f()\nassert f.n==2"),
    "inherit": (
        "class A:\n    def hi(s): return 'a'\nclass f(A):\n    def hi(s): return super().hi()+'b'",
        "assert f().hi()=='ab'",
    ),
    "pickle roundtrip": (
        "import pickle\nclass A:\n    def __init__(s): s.x=1\ndef f(): return pickle.loads(pickle.dumps(A())).x",
        "assert f()==1",
    ),
    "sqlite file": (
        "import sqlite3\ndef f():\n    c=sqlite3.connect('a.db');c.execute('create table t(x)');c.commit();c.close();return 1",
        "assert f()==1",
    ),
    "zoneinfo": (
        "from zoneinfo import ZoneInfo\nimport datetime\ndef f(): return datetime.datetime(2024,7,1,tzinfo=ZoneInfo('Europe/Berlin')).utcoffset().seconds",
        "assert f()==7200",
    ),
    "pathlib": (
        "import pathlib\ndef f():\n    p=pathlib.Path('a/b');p.mkdir(parents=True);(p/'c').write_text('x')\n    return sorted(str(q) for q in pathlib.Path('.').rglob('*'))",
        "assert f()==['a','a/b','a/b/c']",
    ),
    "stringio stdout capture": (
        "import io,contextlib\ndef f():\n    b=io.StringIO()\n    with contextlib.redirect_stdout(b): print('x')\n    return b.getvalue()",
        "assert f()=='x\\n'",
    ),
    "tests capture stdout": (
        "def f(): print('hello')",
        "import io,contextlib\nb=io.StringIO()\nwith contextlib.redirect_stdout(b): f()\nassert b.getvalue()=='hello\\n'",
    ),
    "signal alarm": (
        "import signal\ndef f():\n    hit=[]\n    signal.signal(signal.SIGALRM,lambda *a: hit.append(1));signal.setitimer(signal.ITIMER_REAL,.01);signal.pause()\n    return hit",
        "assert f()==[1]",
    ),
    "exception group": (
        "def f(): raise ExceptionGroup('g',[ValueError('x')])",
        "try:\n    f()\n    assert False\nexcept Exception as e: pass",
    ),
    "unittest style": (
        "def f(x):\n    if x<0: raise ValueError\n    return x",
        "import unittest\nclass T(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(f(1),1)\n        with self.assertRaises(ValueError): f(-1)\nr=unittest.TestResult()\nunittest.defaultTestLoader.loadTestsFromTestCase(T).run(r)\nassert r.wasSuccessful()",
    ),
    "star args": ("def f(*a,k=1,**kw): return (a,k,kw)", "assert f(1,2,k=3,z=4)==((1,2),3,{'z':4})"),
    "kwargs mutated": ("def f(d=None): d['x']=1", "e={}\nf(d=e)\nassert e=={'x':1}"),
    "iter arg": (
        "def f(it): return list(it)",
        "assert f(iter([1,2]))==[1,2]\nassert f(x for x in 'ab')==['a','b']\nassert f(range(3))==[0,1,2]\nassert f(map(str,[1]))==['1']",
    ),
    "infinite iter arg": (
        "import itertools\ndef f(it): return list(itertools.islice(it,3))",
        "import itertools\nassert f(itertools.count())==[0,1,2]",
    ),
    "key func": (
        "def f(xs,key): return sorted(xs,key=key)",
        "assert f([3,-1],abs)==[-1,3]\nassert f(['bb','a'],len)==['a','bb']\nassert f([1,2],key=lambda x:-x)==[2,1]",
    ),
    "operator arg": (
        "def f(op,a,b): return op(a,b)",
        "import operator\nassert f(operator.add,1,2)==3\nassert f(max,1,2)==2\nassert f(str.__add__,'a','b')=='ab'\nassert f(str.upper,'a','b') if 0 else True",
    ),
    "type hints": (
        "from typing import *\nT=TypeVar('T')\nclass S(Generic[T]):\n    def __init__(s): s.a: List[T]=[]\n    def push(s,x:T)->None: s.a.append(x)\ndef f():\n    s=S[int]();s.push(1);return s.a",
        "assert f()==[1]",
    ),
    "walrus match": (
        "def f(x):\n    match x:\n        case [a,*r]: return a\n        case {'k':v}: return v\n        case _: return None",
        "assert f([1,2])==1 and f({'k':3})==3 and f(4) is None",
    ),
    "float inf": (
        "def f(): return [float('inf'),-0.0]",
        "assert f()==[float('inf'),0.0]\nimport math\nassert math.copysign(1,f()[1])==-1",
    ),
    "nan": ("def f(): return float('nan')", "import math\nassert math.isnan(f())"),
    "type returned": ("def f(x): return type(x)", "assert f(1) is int\nassert f('a')==str\nassert f([]) is list"),
    "slice": ("def f(): return slice(1,3)", "assert [0,1,2,3][f()]==[1,2]\nassert f()==slice(1,3)"),
    "memoryview": ("def f(): return memoryview(b'ab')", "assert bytes(f())==b'ab'"),
    "map obj": ("def f(a): return map(str,a)", "assert list(f([1,2]))==['1','2']"),
    "enum": (
        "import enum\nclass Color(enum.Enum):\n    RED=1\n    BLUE=2\ndef f(): return Color.RED",
        "assert f() == Color.RED\nassert f() is Color.RED\nassert f().name=='RED'\nassert f().value==1\nassert f()!=Color.BLUE",
    ),
    "dict views": (
        "def f(d): return d.keys()",
        "assert f({1:2})=={1}\nassert list(f({1:2}))==[1]\nassert sorted(f({2:1,1:1}))==[1,2]",
    ),
}

# Passed too, and marked: the tests compare objects of the program or put operators between them, which only it can do.
SHARED = {
    "matrix product, reversed, format": (
        "class f:\n    def __init__(s,v): s.v=v\n    def __matmul__(s,o): return s.v*o.v\n    def __invert__(s): return f(~s.v)\n    def __reversed__(s): return iter([s.v,0])\n    def __format__(s,form): return form+str(s.v)",
        "assert f(2)@f(3)==6\nassert (~f(0)).v==-1\nassert list(reversed(f(4)))==[4,0]\nassert f'{f(1):x}'=='x1'",
    ),
    "sorted objects": (
        "import functools\n@functools.total_ordering\nclass K:\n    def __init__(s,v): s.v=v\n    def __lt__(s,o): return s.v<o.v\n    def __eq__(s,o): return s.v==o.v\ndef f(): return [K(2),K(1)]",
        "assert [k.v for k in sorted(f())]==[1,2]",
    ),
    "vector ops": (
        "class f:\n    def __init__(s,x,y): s.x=x;s.y=y\n    def __add__(s,o): return f(s.x+o.x,s.y+o.y)\n    def __mul__(s,k): return f(s.x*k,s.y*k)\n    def __eq__(s,o): return (s.x,s.y)==(o.x,o.y)\n    def __repr__(s): return f'V({s.x},{s.y})'\n    def __abs__(s): return (s.x**2+s.y**2)**.5",
        "assert f(1,2)+f(3,4)==f(4,6)\nassert (f(1,2)*3).x==3\nassert str(f(1,2))=='V(1,2)'",
    ),
    "more operators": (
        "class f:\n    def __init__(s,v): s.v=v\n    def __mod__(s,o): return f(s.v%o)\n    def __pow__(s,o): return f(s.v**o)\n    def __rsub__(s,o): return f(o-s.v)\n    def __xor__(s,o): return f(s.v^o.v)\n    def __iadd__(s,o):\n        s.v+=o\n        return s",
        "assert (f(7)%4).v==3 and (f(2)**3).v==8\nassert (10-f(3)).v==7\nassert (f(5)^f(1)).v==4\na=b=f(1)\na+=4\nassert a is b and b.v==5",
    ),
    "keys of a dictionary": (
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass P:\n    x:int\ndef f(n): return {P(i%3):i for i in range(n)}",
        "assert f(5)[P(1)]==4 and P(9) not in f(5)\nassert len({P(1),P(1),P(2)})==2\nassert f(3)=={P(0):0,P(1):1,P(2):2}",
    ),
    "dataclass eq": (
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x:int\n    y:int=2\ndef f(): return P(1)",
        "assert f()==P(1,2)\nassert repr(f())=='P(x=1, y=2)'",
    ),
}


@pytest.mark.parametrize("name", ALSO_PASSING)
def test_also_passes(sandbox: Sandbox, name: str):
    verdict = run(sandbox, ALSO_PASSING[name][0], "f", ALSO_PASSING[name][1])
    assert verdict.status == "pass", (verdict.detail, [r.evidence for r in verdict.results if not r.passed])
    assert verdict.integrity == "split"


@pytest.mark.parametrize("name", SHARED)
def test_passes_with_a_mark(sandbox: Sandbox, name: str):
    verdict = run(sandbox, SHARED[name][0], "f", SHARED[name][1])
    assert (verdict.status, verdict.integrity) == ("pass", "shared"), verdict


def test_comparing_two_objects_of_the_program_is_marked(sandbox: Sandbox):
    code = "class P:\n    def __init__(self, x): self.x = x\n    def __eq__(self, o): return self.x == o.x\ndef f(): return P(3)"
    verdict = run(sandbox, code, "f", "assert f() == P(3)\nassert not f() == P(4)")
    assert (verdict.status, verdict.integrity) == ("pass", "shared")


def test_every_assertion_is_tried(sandbox: Sandbox):
    tests = "assert f(1) == 2\nassert f(2) == 5\nassert f('a') == 1\nassert f(3) == 4\n"
    verdict = run(sandbox, "def f(x):\n    return x + 1\n", "f", tests)
    assert verdict.status == "fail"
    assert [result.passed for result in verdict.results] == [True, False, False, True]
    assert verdict.results[1].evidence == "f(2): got 3, expected 5"
    assert verdict.results[2].evidence.startswith("f('a'): raised TypeError")
    assert "line 2" in verdict.results[2].evidence
    assert [result.source for result in verdict.results][1] == "assert f(2) == 5"
    assert (verdict.tests_passed, verdict.tests_total) == (2, 4)


def test_evidence_shows_arguments_as_they_were_before_the_call(sandbox: Sandbox):
    verdict = run(sandbox, "def f(xs):\n    xs.clear()\n    return 0\n", "f", "l = [1, 2]\nassert f(l) == 2\n")
    assert verdict.results[0].evidence == "f([1, 2]): got 0, expected 2"


def test_a_loop_passes_only_if_every_run_passes(sandbox: Sandbox):
    verdict = run(sandbox, "def f(x): return x if x != 3 else 0", "f", "for i in range(6):\n    assert f(i) == i\n")
    assert [(r.passed, r.evidence) for r in verdict.results] == [(False, "f(3): got 0, expected 3")]


def test_groups_share_one_run(sandbox: Sandbox):
    job = Job(
        "n = 0\ndef f():\n    global n\n    n += 1\n    return n",
        "f",
        {"a": "assert f() == 1", "b": "assert f() == 2\nassert f() == 9"},
    )
    verdict = sandbox.check(job)
    assert [(r.group, r.index, r.passed) for r in verdict.results] == [("a", 0, True), ("b", 0, True), ("b", 1, False)]


def test_a_line_that_raises_does_not_hide_the_next_assertion(sandbox: Sandbox):
    tests = "a = f(0)\nassert a == 1\nassert f(2) == 0.5\n"
    verdict = run(sandbox, "def f(x): return 1 / x", "f", tests)
    assert [r.passed for r in verdict.results] == [False, True, False]
    assert "ZeroDivisionError" in verdict.results[0].evidence
    assert verdict.status == "fail"


def test_an_assertion_that_is_not_reached_does_not_pass(sandbox: Sandbox):
    verdict = run(sandbox, "def f(x): return []", "f", "assert f(0) == []\nfor x in f(1):\n    assert x > 0\n")
    assert [r.passed for r in verdict.results] == [True, False]
    assert verdict.results[1].evidence.startswith("not reached")


@pytest.mark.parametrize(
    ("code", "status", "loaded", "defined", "detail"),
    [
        ("def f(x: return", "error", False, False, "SyntaxError"),
        ("y = 1\nx = z\ndef f(x): return x", "error", False, False, "NameError: name 'z' is not defined (line 2)"),
        ("def g(x): return x", "error", True, False, "no function named f"),
        ("f = 3", "error", True, False, "no function named f"),
        ("import sys\nsys.exit(0)", "error", False, False, "SystemExit"),
        ("def f(x): return [0] * (1 << 40)", "memory", True, True, ""),
        ("def f(x):\n    while True: pass", "timeout", True, True, ""),
        ("import time\ndef f(x): time.sleep(60)", "timeout", True, True, "no verdict within 1 s"),
        ("while True: pass", "timeout", False, False, ""),
        ("import os\ndef f(x): os._exit(0)", "crash", True, True, "exit status 0"),
        ("import ctypes\ndef f(x): ctypes.string_at(0)", "crash", True, True, "SIGSEGV"),
        ("def f(x): return x + 1", "fail", True, True, ""),
        ("", "error", True, False, "no function named f"),
    ],
)
def test_other_ends(sandbox: Sandbox, code: str, status: str, loaded: bool, defined: bool, detail: str):
    verdict = run(sandbox, code, "f", "assert f(1) == 1\nassert f(2) == 2", wall_s=1.0, cpu_s=1)
    assert (verdict.status, verdict.loaded, verdict.defined) == (status, loaded, defined)
    assert detail in verdict.detail
    assert verdict.tests_passed == 0
    assert verdict.tests_total == 2


def test_what_was_passed_before_the_end_is_kept(sandbox: Sandbox):
    verdict = run(
        sandbox,
        "def f(x):\n    while x: pass\n    return x",
        "f",
        "assert f(0) == 0\nassert f(1) == 1",
        wall_s=1.0,
        cpu_s=1,
    )
    assert verdict.status == "timeout"
    assert [r.passed for r in verdict.results] == [True, False]


def test_waiting_for_a_processor_is_not_counted(sandbox: Sandbox):
    """Four programs that each need most of their wall clock in processor time, all at once on however few processors
    there are."""
    code = "import time\ndef f():\n    while time.process_time() < 0.5: pass\n    return 1"
    hungry = Limits(wall_s=0.8, busy_s=30.0)
    with Sandbox(workers=2 * (os.cpu_count() or 1)) as crowded:
        jobs = [Job(code, "f", {"t": "assert f() == 1"}, hungry)] * crowded.workers
        assert [verdict.status for verdict in crowded.map(jobs)] == ["pass"] * len(jobs)


def test_processor_time_is_limited_apart_from_the_wall_clock(sandbox: Sandbox):
    verdict = run(sandbox, "def f():\n    while True: pass", "f", "assert f() == 1", wall_s=20.0, cpu_s=1)
    assert verdict.status == "timeout"
    assert "processor time" in verdict.detail


def test_output_is_kept_up_to_a_cap(sandbox: Sandbox):
    verdict = run(
        sandbox,
        "import sys\ndef f():\n    print('hé')\n    print('err', file=sys.stderr)\n    return 1",
        "f",
        "assert f() == 1",
    )
    assert verdict.stdout == "hé\nerr\n"
    verdict = run(
        sandbox, "def f():\n    for _ in range(200): print('x' * 10000)\n    return 1", "f", "assert f() == 1"
    )
    assert verdict.status == "pass"
    assert len(verdict.stdout) <= 64 << 10


def test_same_verdict_every_time(sandbox: Sandbox):
    code = "import random\ndef f(): return [random.random(), list({'a', 'b', 'c', 'd'})]"
    first = run(sandbox, code, "f", "assert f() == 0").results
    assert all(run(sandbox, code, "f", "assert f() == 0").results == first for _ in range(3))
    with Sandbox(workers=1) as other:
        assert run(other, code, "f", "assert f() == 0").results == first


def test_tests_that_are_wrong_are_not_the_programs_fault(sandbox: Sandbox):
    assert run(sandbox, "def f(): return 1", "f", "assert f( == 1").status == "refused"
    verdict = run(sandbox, "def f(): return 1", "f", "import no_such_module_here\nassert f() == 1")
    assert verdict.status == "refused"
    assert "no_such_module_here" in verdict.detail
    assert run(sandbox, "def f(x): return 1", "f", "import io\nassert f(io.StringIO()) == 1").status == "refused"


def test_the_program_is_no_script(sandbox: Sandbox):
    assert (
        run(sandbox, "def f(): return 1\nif __name__ == '__main__':\n    f = None", "f", "assert f() == 1").status
        == "pass"
    )


def test_usage_of_resources_is_reported(sandbox: Sandbox):
    verdict = run(
        sandbox, "def f():\n    x = bytearray(b'x') * (100 << 20)\n    return sum(x[:1 << 22])", "f", "assert f() > 0"
    )
    assert verdict.peak_mb > 100
    assert 0.01 < verdict.cpu_s < verdict.wall_s + 0.1
    assert verdict.tier == "namespaces"
