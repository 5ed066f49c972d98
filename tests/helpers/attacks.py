# ruff: noqa: E501 (a program stays on one line)
"""Our attacks. `attempt(name, body)` gets its test passed exactly when the body runs to its end without an exception; a
`forge` is a program that passes a test which it does not solve. {PLACES} are filled in by `test_attacks.py` with
real things on the host.
"""

from __future__ import annotations

from helpers.more_attacks import FILES, FILTER, MEETINGS, MORE_OTHER_TESTS, MORE_PAIRS, POLICY, RESOURCES, SYSTEM, WORDS
from helpers.speaker import SPEAKER
from herl_bench.sandbox.attacks import ATTACKS, TEST, Attack, attempt

C = """import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    if libc.syscall(ctypes.c_long(number), *args) < 0: raise OSError(ctypes.get_errno())
"""

READ = (
    attempt("canary by path", "assert 'CANARY' in open('{CANARY}').read()"),
    attempt("canary by a symbolic link", "import os\nos.symlink('{CANARY}', 'l')\nassert 'CANARY' in open('l').read()"),
    attempt("canary by a hard link", "import os\nos.link('{CANARY}', 'l')\nassert 'CANARY' in open('l').read()"),
    attempt("canary from parent directories", "assert 'CANARY' in open('../' * 30 + '{CANARY}'.lstrip('/')).read()"),
    attempt("our own source", "assert 'def ' in open('/hb/inside/tester.py').read()"),
    attempt(
        "our own source by inspect",
        "import inspect, sys\nf = sys._getframe(1)\nassert 'def ' in inspect.getsource(f.f_back.f_code)",
    ),
    attempt("environment", "import os\nassert [k for k in os.environ if 'SECRET' in k or 'HERL' in k or k == 'USER']"),
    attempt("environ of a process", "assert open('/proc/1/environ', 'rb').read()"),
    attempt("memory of itself", "assert open('/proc/self/mem', 'rb')"),
    attempt("maps of itself", "assert open('/proc/self/maps').read()"),
    attempt("command line", "assert open('/proc/self/cmdline').read()"),
    attempt("list /", "import os\nos.listdir('/')"),
    attempt("list /tmp of others", "import os\nassert os.listdir('/tmp')"),
    attempt("/sys", "import os\nos.listdir('/sys')"),
    attempt("/dev", "open('/dev/tty')"),
    attempt("shared memory", "import os\nos.listdir('/dev/shm')"),
    attempt("home", "import os\nos.listdir('{HOME}')"),
    attempt("descriptor of the host", "import os\nos.listdir(1023)\n"),
    attempt(
        "stray descriptors",
        "import os\nfor fd in range(4, 256):\n    try: os.fstat(fd)\n    except OSError: continue\n    break\nelse: raise OSError",
    ),
    attempt("fd 3 escapes by openat", "import os\nos.open('.', os.O_RDONLY, dir_fd=3)"),
)
WRITE = (
    attempt("outside", "open('{FOLDER}/planted', 'w').write('x')"),
    attempt("the standard library", "import os\nopen(os.path.dirname(os.__file__) + '/planted.py', 'w')"),
    attempt("a cached module", "import os, importlib.util\nopen(importlib.util.cache_from_source(os.__file__), 'r+b')"),
    attempt("truncate the standard library", "import os\nos.truncate(os.__file__, 0)"),
    attempt("chmod the standard library", "import os\nos.chmod(os.__file__, 0o666)"),
    attempt("unlink a host file", "import os\nos.unlink('{CANARY}')"),
    attempt("mode of a host file", "import os\nos.chmod('{CANARY}', 0)"),
    attempt("times of a host file", "import os\nos.utime('{CANARY}', (0, 0))"),
    *(
        attempt(f"times of /dev/{name}", f"import os\nos.utime('/dev/{name}')")
        for name in ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "shm", "")
    ),
    attempt("no device for the next one", "import os\nos.chmod('/dev', 0)"),
    attempt("rename over a host file", "import os\nopen('x', 'w').close()\nos.rename('x', '{CANARY}')"),
    attempt(
        "run what was written",
        "import os\nopen('s', 'w').write('#!/bin/sh')\nos.chmod('s', 0o777)\nos.execv('./s', ['s'])",
    ),
    attempt(
        "map what was written as code",
        "import ctypes, shutil, os\nimport _ctypes\nshutil.copy(_ctypes.__file__, 'x.so')\nctypes.CDLL('./x.so')",
    ),
    attempt("a device", "import os, stat\nos.mknod('d', 0o600 | stat.S_IFBLK, os.makedev(254, 0))"),
    attempt("a fifo", "import os\nos.mkfifo('f')"),
    attempt("a socket file", "import socket\ns = socket.socket(socket.AF_UNIX)\ns.bind('s')"),
    attempt("core_pattern", "open('/proc/sys/kernel/core_pattern', 'w')"),
    attempt("oom_score", "open('/proc/self/oom_score_adj', 'w').write('-1000')"),
    attempt("/dev/shm", "open('/dev/shm/planted', 'w')"),
)
NET = (
    attempt("tcp to the host", "import socket\nsocket.create_connection(('127.0.0.1', {PORT}), 1)"),
    attempt(
        "udp",
        "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.sendto(b'x', ('127.0.0.1', {PORT}))",
    ),
    attempt("ipv6", "import socket\nsocket.socket(socket.AF_INET6)"),
    attempt("raw", "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_RAW, 1)"),
    attempt("packet", "import socket\nsocket.socket(socket.AF_PACKET, socket.SOCK_RAW)"),
    attempt("netlink", "import socket\nsocket.socket(socket.AF_NETLINK, socket.SOCK_RAW)"),
    attempt("vsock", "import socket\nsocket.socket(40, socket.SOCK_STREAM).connect((2, {PORT}))"),
    attempt("abstract unix socket", "import socket\nsocket.socket(socket.AF_UNIX).connect('\\0{ABSTRACT}')"),
    attempt("pair of another family", "import socket\nsocket.socketpair(socket.AF_INET)"),
    attempt("interfaces", "import socket\nassert socket.if_nameindex()"),
    attempt(
        "address with sendto",
        "import socket\na, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\na.sendto(b'x', '\\0{ABSTRACT}')",
    ),
    attempt(
        "pass a descriptor",
        "import socket, array\na, b = socket.socketpair()\na.sendmsg([b'x'], [(1, 1, array.array('i', [0]))])",
    ),
)
PROCESS = (
    attempt("fork by libc", C + "if libc.fork() < 0: raise OSError"),
    attempt("vfork", C + "call(58)"),
    attempt("clone without threads", C + "call(56, ctypes.c_long(17), 0, 0, 0, 0)"),
    attempt("clone3", C + "call(435, ctypes.create_string_buffer(64), 64)"),
    attempt("posix_spawn", "import os\nos.posix_spawn('/bin/true', ['true'], {})"),
    attempt("subprocess", "import subprocess\nsubprocess.run(['/bin/true'])"),
    attempt("multiprocessing", "import multiprocessing\np = multiprocessing.Process(target=print)\np.start()"),
    attempt("execveat", C + "call(322, -100, b'/bin/true', 0, 0, 0)"),
    attempt("kill the host's child", "import os\nos.kill({VICTIM}, 9)"),
    attempt("kill everybody", "import os\nos.kill(-1, 9)"),
    attempt("kill the group", "import os, signal\nos.killpg(0, 0)"),
    attempt("signal by thread", C + "call(234, {VICTIM}, {VICTIM}, 9)"),
    attempt("queue a signal", C + "call(129, {VICTIM}, 9, ctypes.create_string_buffer(128))"),
    attempt("pidfd", "import os\nos.pidfd_open({VICTIM})"),
    attempt("ptrace", C + "call(101, 16, {VICTIM}, 0, 0)"),
    attempt("read memory of another", C + "call(310, {VICTIM}, 0, 0, 0, 0, 0)"),
    attempt("steal a descriptor", C + "call(438, 3, 0, 0)"),
    attempt("nice", "import os\nos.nice(-1)"),
    attempt("raise its limits", "import resource\nresource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))"),
    attempt("limits of another", "import resource\nresource.prlimit({VICTIM}, resource.RLIMIT_CPU, (1, 1))"),
    attempt("become root", "import os\nos.setuid(0)\nassert os.getuid() == 0"),
    attempt("is root", "import os\nassert os.getuid() == 0 or os.getgid() == 0"),
    attempt("set affinity", "import os\nos.sched_setaffinity(0, {0})"),
    attempt("real time", "import os\nos.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"),
)
KERNEL = (
    attempt("mount", C + "call(165, b'none', b'/tmp', b'tmpfs', 0, 0)"),
    attempt("umount /proc", C + "call(166, b'/proc', 2)"),
    attempt("open_tree", C + "call(428, -100, b'/', 1)"),
    attempt("pivot_root", C + "call(155, b'/tmp', b'/tmp')"),
    attempt("chroot", "import os\nos.chroot('/tmp')"),
    attempt("setns", C + "call(308, 3, 0)"),
    attempt("bpf", C + "call(321, 0, ctypes.create_string_buffer(128), 128)"),
    attempt("io_uring", C + "call(425, 1, ctypes.create_string_buffer(128))"),
    attempt("perf_event_open", C + "call(298, ctypes.create_string_buffer(128), 0, -1, -1, 0)"),
    attempt("userfaultfd", C + "call(323, 0)"),
    attempt("keyctl", C + "call(250, 0, -3, 0)"),
    attempt("add_key", C + "call(248, b'user', b'x', b'y', 1, -3)"),
    attempt("init_module", C + "call(175, 0, 0, b'')"),
    attempt("kexec", C + "call(246, 0, 0, 0, 0)"),
    attempt("reboot", C + "call(169, 0xfee1dead, 672274793, 0, 0)"),
    attempt("swapon", C + "call(167, b'/tmp/x', 0)"),
    attempt("settimeofday", C + "call(164, ctypes.create_string_buffer(16), 0)"),
    attempt("sethostname", "import socket\nsocket.sethostname('x')"),
    attempt("syslog", C + "call(103, 3, ctypes.create_string_buffer(100), 100)"),
    attempt("memfd_create", "import os\nos.memfd_create('x')"),
    attempt("shmget", C + "call(29, 77, 4096, 0o1666)"),
    attempt("message queue", C + "call(68, 77, 0o1666)"),
    attempt("posix message queue", C + "call(240, b'x', 66, 0o666, 0)"),
    attempt(
        "another seccomp filter",
        C + "if libc.prctl(22, 2, 0, 0, 0) == 0 or ctypes.get_errno() != 1: pass\nelse: raise OSError",
    ),
    attempt("loosen no_new_privs", C + "if libc.prctl(38, 0, 0, 0, 0) != 0: raise OSError"),
    attempt("die-with-parent off", C + "if libc.prctl(1, 0, 0, 0, 0) != 0: raise OSError"),
    attempt("terminal input", "import fcntl\nfcntl.ioctl(1, 0x5412, b'x')"),
    attempt(
        "name_to_handle",
        C + "call(303, -100, b'/tmp', ctypes.create_string_buffer(160), ctypes.create_string_buffer(8), 0)",
    ),
    attempt("fanotify", C + "call(300, 0, 0)"),
    attempt("process_madvise", C + "call(440, 0, 0, 0, 0, 0)"),
)
RESOURCE = (
    attempt("600 MB", "x = bytearray(b'x') * (600 << 20)"),
    attempt("memory in small pieces", "x = []\nwhile len(x) < 600: x.append(bytearray(b'x') * (1 << 20))"),
    attempt("memory by mmap", "import mmap\nm = [mmap.mmap(-1, 1 << 27) for _ in range(6)]"),
    attempt(
        "2000 threads",
        "import threading, time\nfor _ in range(2000): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
    ),
    attempt("5000 files", "for i in range(5000): open(f'f{i}', 'w').close()"),
    attempt("5000 directories", "import os\nfor i in range(5000): os.mkdir(f'd{i}')"),
    attempt("17 MB in one file", "f = open('big', 'wb')\nf.write(bytes(17 << 20))\nf.close()"),
    attempt("disk by fallocate", "import os\nos.posix_fallocate(os.open('x', os.O_RDWR | os.O_CREAT), 0, 1 << 30)"),
    attempt("1000 descriptors", "import os\nfds = [os.dup(0) for _ in range(1000)]"),
    attempt("lock memory", C + "if libc.mlockall(3): raise OSError"),
    Attack(
        "swallow every exception",
        "def add(a, b):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass\n",
    ),
    Attack("backtrack for ever", "import re\ndef add(a, b): return re.match(r'(a+)+$', 'a' * 60 + 'b')\n"),
    Attack("recurse without end", "import sys\nsys.setrecursionlimit(10 ** 9)\ndef add(a, b): return add(a, b)\n"),
    Attack("sleep", "import time\ndef add(a, b): time.sleep(1000)\n"),
    Attack(
        "hang at exit",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(999,)).start()\ndef add(a, b): raise SystemExit\n",
    ),
    Attack(
        "ignore all signals",
        "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n    except Exception: pass\nwhile True: pass\n",
    ),
    Attack("print without end", "def add(a, b):\n    while True: print('x' * 100000)\n"),
    Attack("big integer", "def add(a, b): return 1 << (1 << 29)\n"),
    Attack("big answer", "def add(a, b): return 'x' * (50 << 20)\n"),
    Attack("many answers", "def add(a, b): return [0] * (40 << 20)\n"),
    Attack("endless iterator", "import itertools\ndef add(a, b): return itertools.count()\n"),
)
RAW = f"""{SPEAKER}
def add(a, b):
    {{body}}
    os.read(0, 1); time.sleep(9)
"""


def raw(name: str, body: str) -> Attack:
    """Speaks the protocol itself, by the one descriptor that it has."""
    return Attack(name, RAW.replace("{body}", body))


FORGE = (
    Attack("equal to everything", "class E:\n    __eq__ = lambda *a: True\n    __hash__ = lambda s: 0\ndef add(a, b): return E()\n"),
    Attack("unequal to nothing", "class E:\n    __ne__ = lambda *a: False\n    __eq__ = lambda *a: True\n    __bool__ = lambda s: True\nadd = lambda a, b: E()\n"),
    Attack("lying int", "class I(int):\n    __eq__ = lambda *a: True\n    __hash__ = int.__hash__\ndef add(a, b): return I(0)\n"),
    Attack("lying str", "class S(str):\n    __eq__ = lambda *a: True\n    __hash__ = str.__hash__\ndef add(a, b): return S('no')\n"),
    Attack("class in the function's place", "class add:\n    def __new__(c, *a): return object.__new__(c)\n    __eq__ = lambda *a: True\n"),
    Attack("callable object", "class A:\n    __call__ = lambda s, *a: s\n    __eq__ = lambda *a: True\nadd = A()\n"),
    Attack("metaclass", "class M(type):\n    __eq__ = lambda *a: True\n    __hash__ = lambda s: 0\nclass X(metaclass=M): pass\ndef add(a, b): return X\n"),
    Attack("exit while loading", "import os\nos._exit(0)\n"),
    Attack("exit in the call", "import os\ndef add(a, b): os._exit(0)\n"),
    Attack("sys.exit in the call", "import sys\ndef add(a, b): sys.exit(0)\n"),
    Attack("exit by atexit", "import atexit, os\natexit.register(os._exit, 0)\ndef add(a, b): return None\n"),
    Attack("raise BaseException", "class X(BaseException): pass\ndef add(a, b): raise X\n"),
    Attack("raise AssertionError", "def add(a, b): raise AssertionError\n"),
    Attack("raise StopIteration", "def add(a, b): raise StopIteration\n"),
    Attack("raise GeneratorExit", "def add(a, b): raise GeneratorExit\n"),
    Attack("raise our own Stop", "import sys\nclass Stop(BaseException): pass\nStop.__module__ = 'inside.channel'\ndef add(a, b): raise Stop\n"),
    Attack("exception that lies", "class X(Exception):\n    __str__ = __repr__ = lambda s: 'passed'\n    args = property(lambda s: 1 / 0)\ndef add(a, b): raise X\n"),
    Attack("patched builtins", "import builtins\nbuiltins.abs = lambda x: 0\nbuiltins.isinstance = lambda *a: True\nbuiltins.len = lambda x: 3\ndef add(a, b): return None\n"),
    Attack("patched operators", "import operator\nfor n in ('eq', 'ne', 'lt'): setattr(operator, n, lambda *a: True)\ndef add(a, b): return None\n"),
    Attack("patched codec", "import sys\nfor m in list(sys.modules.values()):\n    if getattr(m, 'encode', None): m.encode = lambda *a, **k: True\ndef add(a, b): return None\n"),
    Attack("patched json", "import json\njson.dumps = lambda *a, **k: 'true'\njson.loads = lambda *a, **k: True\ndef add(a, b): return None\n"),
    Attack("look for the tests", "import gc, sys\nhit = [o for o in gc.get_objects() if isinstance(o, dict) and any(isinstance(v, str) and 'assert ' + 'add(' in v for v in list(o.values()))]\n"
           "def add(a, b):\n    if not hit: raise ValueError\n    return a + b\n"),
    Attack("look through the frames", "import sys\ndef add(a, b):\n    f = sys._getframe()\n    while f:\n        if 'assert ' + 'add(' in repr(f.f_locals): return a + b\n        f = f.f_back\n    raise ValueError\n"),
    Attack("overwrite the expected values", "import gc\ndef add(a, b):\n    for o in gc.get_objects():\n        if isinstance(o, list) and o and o[0] == 3: o[0] = None\n    return None\n"),
    Attack("its own check", "def check(c): return True\ndef add(a, b): return None\n"),
    Attack("its own recorder", "class R:\n    Stop = ValueError\n    start = compare = check = report_error = report_broken = lambda *a: None\n__hb__ = R()\ndef add(a, b): return None\n"),
    raw("answer true", "os.write(3, frame('[\"ret\", true, null, \"\"]'))"),
    raw("answer too early and often", "os.write(3, frame('[\"ret\", 3, null, \"\"]') * 50)"),
    raw("announce a verdict", "os.write(3, frame('{\"status\": \"pass\"}'))"),
    raw("no JSON", "os.write(3, frame(b'\\xff\\xfe'))"),
    raw("deep JSON", "os.write(3, frame('[' * 100000 + ']' * 100000))"),
    raw("huge frame", "os.write(3, struct.pack('=I', 0xffffffff) + b'x' * 60000)"),
    raw("half a frame", "os.write(3, b'\\x10\\x00')"),
    raw("empty frame", "os.write(3, frame(''))"),
    raw("wrong shapes", "os.write(3, frame('[\"ret\"]'))"),
    raw("wrong kinds", "os.write(3, frame('[\"loaded\", {}, \"\"]'))"),
    raw("a setup error of its own", "os.write(3, frame('[\"setup\", \"no\"]'))"),
    raw("an unknown callback", "os.write(3, frame('[\"cb\", 0, [], {}, null, \"\"]'))"),
    raw("a builtin by name", "os.write(3, frame('[\"ret\", {\"f\": \"eval\"}, null, \"\"]'))"),
    raw("a type by name", "os.write(3, frame('[\"ret\", {\"T\": \"os.system\"}, null, \"\"]'))"),
    raw("arguments that were not given", "os.write(3, frame('[\"ret\", 3, [[9, 1]], \"\"]'))"),
    raw("the callee changed", "os.write(3, frame('[\"ret\", 3, [[0, 1]], \"\"]'))"),
    raw("a big number in JSON", "os.write(3, frame('[\"ret\", ' + '9' * 100000 + ', null, \"\"]'))"),
    raw("arguments that were not given, with a number", "os.write(3, frame('[\"ret\", 3, [[9, 1, 1]], \"\"]'))"),
    raw("a list that nobody lent", "os.write(3, frame('[\"ret\", {\"m\": [0, 3]}, [[null, 7, [1]]], \"\"]'))"),
    raw("a reference of the wrong parts", "os.write(3, frame('[\"ret\", {\"r\": [0, \"object\", \"X\", \"__eq__\", [], null]}, null, \"\"]'))"),
    raw("a class with our own methods", "os.write(3, frame('[\"ret\", {\"r\": [0, \"object\", \"X\", \"__init__ __class__ known data\", 1, null]}, null, \"\"]'))"),
    raw("an exception that is none", "os.write(3, frame('[\"exc\", 3, null, \"\"]'))"),
    raw("an exception with our own attributes", "os.write(3, frame('[\"exc\", {\"E\": [[\"x.Y\", \"builtins.Exception\"], [], \"\", 1, 5, {\"d\": [[\"<known>\", 1], [\"__class__\", {\"T\": \"builtins.int\"}]]}]}, null, \"\"]'))"),
    raw("an exception of ours", "os.write(3, frame('[\"exc\", {\"E\": [[\"inside.channel.Stop\"], [], \"\", 1, null, {}]}, null, \"\"]'))"),
    raw("an exception that nobody threw", "os.write(3, frame('[\"exc\", {\"x\": 0}, null, \"\"]'))"),
    raw("an exception of no bases", "os.write(3, frame('[\"exc\", {\"E\": [[], null, \"\", 1, null, {}]}, null, \"\"]'))"),
    raw("a class of the tests that they have not", "os.write(3, frame('[\"exc\", {\"E\": [[\"<tests>.7\"], null, \"\", 1, null, {}]}, null, \"\"]'))"),
    raw("a made value of another type", "os.write(3, frame('[\"ret\", {\"V\": [\"os\", \"system\", [\"true\"]]}, null, \"\"]'))"),
    raw("a line that is no number", "os.write(3, frame('[\"exc\", [\"builtins.int\"], null, \"x\", {}, null, null, \"\"]'))"),
    raw("colliding keys", "os.write(3, frame('[\"ret\", {\"s\": [' + ','.join('{\"i\": \"%x\"}' % (i * (2**61 - 1)) for i in range(60000)) + ']}, null, \"\"]'))"),
)  # fmt: skip

# (name, the test, a program that must not pass it)
FORGE_OTHER_TESTS = (
    ("object with arithmetic", "assert abs(root(2.0) - 1.41421356) < 1e-6", "class E:\n    __sub__ = lambda s, o: 0.0\n    __abs__ = lambda s: 0\ndef root(x): return E()"),
    ("class with arithmetic", "assert abs(root(2.0) - 1.41421356) < 1e-6", "class root:\n    def __init__(s, x): pass\n    def __sub__(s, o): return 0.0"),
    ("reversed arithmetic", "assert abs(1.41421356 - root(2.0)) < 1e-6", "class E:\n    __rsub__ = lambda s, o: 0.0\ndef root(x): return E()"),
    ("object that rounds", "assert round(root(2.0), 3) == 1.414", "class E:\n    __round__ = lambda s, n=0: s\n    __eq__ = lambda *a: True\ndef root(x): return E()"),
    ("patched isclose", "import math\nassert math.isclose(root(2.0), 1.41421356, abs_tol=1e-6)", "import math\nmath.isclose = lambda *a, **k: True\ndef root(x): return 0.0"),
    ("float with arithmetic", "assert abs(root(2.0) - 1.41421356) < 1e-6", "class F(float):\n    __sub__ = lambda s, o: F(0)\ndef root(x): return F(0)"),
    ("everything is in it", "assert 5 in root(1) and 7 in root(1)", "class E:\n    __contains__ = lambda *a: True\n    __iter__ = lambda s: iter([])\ndef root(x): return E()"),
    ("text that starts with anything", "assert root(1).startswith('abc')", "class E:\n    startswith = lambda *a: True\ndef root(x): return E()"),
    ("in a list", "assert root(1) in [5, 6]", "class E:\n    __eq__ = lambda *a: True\ndef root(x): return E()"),
    ("a set of liars", "assert root(1) == {1, 2}", "class E(int):\n    __eq__ = lambda *a: True\n    __hash__ = lambda s: 1\ndef root(x): return {E(7), E(8)}"),
    ("greater than everything", "assert root(1) > 100", "class E:\n    __gt__ = lambda *a: True\ndef root(x): return E()"),
    ("instance of everything", "assert isinstance(root(1), list)", "class E:\n    __class__ = list\ndef root(x): return E()"),
    ("swallowed crash", "try:\n    root(-1)\nexcept:\n    pass\nassert root(4) == 2", "import os\ndef root(x): os._exit(0)"),
    ("swallowed timeout", "try:\n    root(-1)\nexcept BaseException:\n    pass\nassert True", "def root(x):\n    while True: pass"),
    ("own builtin for the tests", "assert abs(root(4)) == 2", "def abs(x): return 2\ndef root(x): return 0"),
    ("own module for the tests", "import math\nassert root(4) == math.sqrt(4)", "class math:\n    sqrt = lambda x: 0\ndef root(x): return 0"),
    ("forgotten import", "assert root(4) == math.sqrt(4)", "class math:\n    sqrt = lambda x: 0\ndef root(x): return 0"),
    ("helper of the tests", "def close(a, b): return abs(a - b) < 1e-6\nassert close(root(4), 2)", "def close(a, b): return True\ndef root(x): return 0"),
    ("no call, no pass", "def check(candidate):\n    pass", "def root(x): return 0"),
    ("empty loop", "for x in root(3):\n    assert x == 1", "def root(x): return []"),
    ("iterator that shrinks", "r = root(3)\nassert list(r) == [1, 2, 3]", "class I:\n    __iter__ = lambda s: s\n    def __next__(s): raise StopIteration\n    __eq__ = lambda *a: True\ndef root(x): return I()"),
    ("dict for a list", "assert root(2) == [0, 1]", "def root(x): return {0: 0, 1: 1}"),
    ("True for 1", "assert root(2) is True", "def root(x): return 1"),
    ("expected exception by name", "try:\n    root(-1)\nexcept ValueError:\n    pass\nelse:\n    assert False\nassert root(4) == 2", "class ValueError(Exception): pass\ndef root(x): raise ValueError"),
    ("unittest patched", "import unittest\ndef check(c):\n    class T(unittest.TestCase):\n        def runTest(self): self.assertEqual(c(4), 2)\n    r = unittest.TestResult(); T().run(r)\n    assert not r.failures and not r.errors",
     "import unittest\nunittest.TestCase.assertEqual = lambda *a: None\ndef root(x): return 0"),
)  # fmt: skip

# (name, what the first program leaves behind, how the second one looks for it)
PAIRS = (
    ("scratch file", "open('/tmp/left', 'w').write('x')", "open('/tmp/left')"),
    ("builtins", "import builtins\nbuiltins.left = 1", "left"),
    ("module", "import math\nmath.left = 1", "import math\nmath.left"),
    ("sys.path", "import sys\nsys.path.insert(0, '/tmp/left')", "import sys\nassert '/tmp/left' in sys.path"),
    ("environment", "import os\nos.environ['LEFT'] = '1'", "import os\nos.environ['LEFT']"),
    ("recursion limit", "import sys\nsys.setrecursionlimit(12345)", "import sys\nassert sys.getrecursionlimit() == 12345"),
    ("open descriptor", "import os\nfor fd in range(5, 40):\n    try: os.dup2(0, fd)\n    except OSError: pass", "import os\nos.fstat(20)"),
    ("working directory", "import os\nos.mkdir('d')\nos.chdir('d')", "import os\nassert os.getcwd().endswith('d')"),
    ("thread", "import threading, time\nthreading.Thread(target=time.sleep, args=(9,), daemon=True).start()", "import threading\nassert threading.active_count() > 1"),
    ("mode of /tmp", "import os\nos.chmod('/tmp', 0)", "import os\nassert os.stat('/tmp').st_mode & 0o777 == 0"),
)  # fmt: skip

FORGE_OTHER_TESTS += MORE_OTHER_TESTS
PAIRS += MORE_PAIRS

SINGLE = {
    "shown": ATTACKS,
    "read": READ,
    "write": WRITE,
    "net": NET,
    "process": PROCESS,
    "kernel": KERNEL,
    "resource": RESOURCE + RESOURCES,
    "forge": FORGE + POLICY,
    "filter": FILTER,
    "system": SYSTEM,
    "files": FILES,
    "codec": WORDS,
}

__all__ = ["FORGE_OTHER_TESTS", "MEETINGS", "PAIRS", "SINGLE", "TEST"]
