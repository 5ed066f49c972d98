"""Mutations of everything that a stranger may hand us: 0 tracebacks, 0 hangs, and nothing accepted that should not be.

    python benchmarks/fuzz_files.py --seconds 60 --seed 0            for a minute
    python benchmarks/fuzz_files.py --cases 10000 --write            so many cases; writes results/fuzz_files.json

Each case mutates a whole file (bits, cuts, lines, encodings) or what stands in it (keys gone or doubled, types changed,
huge, deep, NaN, controls), and calls the real entry point in this process. Allowed is the outcome that a person could
get: an accepted file, or one `HerlBenchError` of one line. What is accepted is looked at again: a bundle that verifies
says the same as before, a rubric judges, a run's numbers are finite, and so on for each kind. A case is a hang after 20
seconds of processor time. The same seed gives the same cases, whatever the number of them.

Leaves out: programs for the sandbox, which have suites of their own.
"""

# ruff: noqa: PT018 (an assertion here is a condition on what was accepted)

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gzip
import io
import json
import math
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

from herl_bench.errors import HerlBenchError
from herl_bench.plain_text import flatten
from herl_bench.plugins import load_host
from herl_bench.types import Example

RESULTS = Path(__file__).parent / "results"
HANG_S = 20.0
WALL_S = 300

HOST = load_host()
TASK = HOST.get("task", "gsm8k")
EXAMPLE = Example(
    "a", "Question: 2 + 2?\nAnswer:", "2 + 2 = 4\n#### 4", {"answer": "4", "steps": [], "question": "2 + 2?"}
)

SCALARS: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    3.5,
    10**18,
    -(10**400),
    1e308,
    math.nan,
    math.inf,
    "",
    "x",
    "\ud800",
    "x" * 20_000,
    "\x1b]0;owned\x07\x1b[2J",
    "\u202egnp",
    "=HYPERLINK(1)",
    "2023-13-45",
    "../../etc/passwd",
    "{{ 7*7 }}",
    "\0",
    [],
    {},
    [[]],
    {"": None},
    ["a"] * 300,
]
WORDS = [
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\r",
    b"NaN",
    b"1e999",
    b"9" * 5000,
    b"[" * 3000,
    b'{"a":' * 2000,
    b"*a",
    b"&a [*a]",
    b"!!python/name:os.system",
    b"!!int abc",
    b"!!binary x",
    b"!!timestamp x",
    b"<<: *a",
    b"{{",
    b"{% for i in range(99999) %}",
    b"(a+)+$",
    b"\\",
    b"'",
    b'"',
    b"\x1b[2J",
    b"\xed\xa0\x80",
    b"- ",
    b"? ",
    b"%YAML 9.9\n",
    b"---\n",
    b"\t",
    b"2023-13-45",
    b"1" + b":59" * 500,
    b"0x" + b"f" * 4000,
    b".nan",
    b"null",
    b"#",
    b"|",
    b">",
]


# ------------------------------------------------------------------------------------------------------------ mutations
def mutate_bytes(data: bytes, rng: Random) -> bytes:
    lines = data.split(b"\n")
    at, other = rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)
    here, there = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(11):
        case 0 if data:
            at = min(at, len(data) - 1)
            return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
        case 1:
            return data[:at]
        case 2:
            return data[min(at, other) : max(at, other)]
        case 3:
            return data[:at] + rng.choice(WORDS) + data[at:]
        case 4:
            return data[:at] + rng.choice(WORDS) + data[min(len(data), at + rng.randrange(1, 20)) :]
        case 5:
            lines[here], lines[there] = lines[there], lines[here]
        case 6:
            lines.insert(there, lines[here])
        case 7:
            del lines[here]
        case 8:
            return rng.choice(
                [
                    data.decode("utf-8", "replace").encode("utf-16"),
                    b"\xef\xbb\xbf" + data,
                    data.replace(b"\n", b"\r\n"),
                    gzip.compress(data),
                ]
            )
        case 9:
            return data[:at] + rng.randbytes(rng.randrange(1, 40)) + data[at:]
        case _:
            return (
                data[: max(at, other)]
                + data[min(at, other) : max(at, other)] * rng.randrange(2, 5)
                + data[max(at, other) :]
            )
    return b"\n".join(lines)


def mutate_value(value: Any, rng: Random) -> Any:
    """The same JSON value with one thing changed somewhere in it."""
    places: list[tuple[Any, Any]] = []

    def walk(inner: Any) -> None:
        for key in list(inner) if isinstance(inner, dict) else range(len(inner)):
            places.append((inner, key))
            if isinstance(inner[key], (dict, list)):
                walk(inner[key])

    if isinstance(value, (dict, list)):
        walk(value)
    if not places:
        return rng.choice(SCALARS)
    inner, key = rng.choice(places)
    match rng.randrange(6):
        case 0:
            del inner[key]
        case 1 | 2:
            inner[key] = rng.choice(SCALARS)
        case 3:
            for _ in range(rng.choice([3, 60, 400])):
                inner[key] = rng.choice([[inner[key]], {"a": inner[key]}])
        case 4 if isinstance(inner, dict):
            inner[rng.choice(["", "x", "\x1b[2J", "id", "set"])] = inner.pop(key)
        case _:
            inner[key] = (
                rng.choice(places)[0]
                if rng.random() < 0.1 and not isinstance(inner[key], (dict, list))
                else str(inner[key])
            )
    return value


def mutate_json(data: bytes, rng: Random) -> bytes:
    """A mutation of one JSON document, or of one line of several."""
    lines = data.splitlines() if data.count(b"\n") and data.lstrip()[:1] == b"{" and b"}\n{" in data else [data]
    at = rng.randrange(len(lines))
    with contextlib.suppress(ValueError, RecursionError):
        lines[at] = json.dumps(mutate_value(json.loads(lines[at]), rng)).encode()
    return b"\n".join(lines) + b"\n"


def mutate_yaml(data: bytes, rng: Random) -> bytes:
    import yaml

    with contextlib.suppress(yaml.YAMLError, RecursionError, ValueError):
        return yaml.safe_dump(mutate_value(yaml.safe_load(data), rng), sort_keys=False).encode("utf-8", "replace")
    return data


def mutate(name: str, data: bytes, rng: Random) -> bytes:
    structured = {".json": mutate_json, ".jsonl": mutate_json, ".yaml": mutate_yaml}.get(Path(name).suffix)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        data = structured(data, rng) if structured and rng.random() < 0.6 else mutate_bytes(data, rng)
    return data


# ---------------------------------------------------------------------------------------------------------------- kinds
@dataclass(frozen=True)
class Kind:
    """name: of what is mutated. pick: a file's name and bytes. attempt: hands the mutated bytes in; raises
    `AssertionError` for what was wrongly accepted."""

    name: str
    pick: Callable[[Random], tuple[str, bytes]]
    attempt: Callable[[str, bytes], None]


def mutate_in_folder(
    name: str, folder: Path, attempt: Callable[[Path, bool], None], only: Callable[[str], bool] = lambda name: True
) -> Kind:
    """A whole folder with one file mutated in place, and put back afterwards."""
    files = sorted(
        str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and only(str(p.relative_to(folder)))
    )

    def pick(rng: Random) -> tuple[str, bytes]:
        chosen = rng.choice(files)
        return chosen, (folder / chosen).read_bytes()

    def put(chosen: str, data: bytes) -> None:
        before = (folder / chosen).read_bytes()
        (folder / chosen).write_bytes(data)
        try:
            attempt(folder, _read_meaning(chosen, data) == _read_meaning(chosen, before))
        finally:
            (folder / chosen).write_bytes(before)

    return Kind(name, pick, put)


def _read_meaning(name: str, data: bytes) -> Any:
    """What a file says, apart from how it is written; its bytes where it cannot be read."""
    try:
        if name.endswith(".json"):
            return json.dumps(json.loads(data), sort_keys=True)
    except (ValueError, RecursionError):
        pass
    return data


def try_bundle(folder: Path, same: bool) -> None:
    from herl_bench.experiment.verification import find_referee
    from herl_bench.leaderboard.verification import find_problems

    problems = find_problems(folder, find_referee(HOST, folder, jobs=1))
    assert all(problem == flatten(problem) for problem in problems), (
        "a problem of several lines, or with control characters"
    )
    assert problems or same, "verified, although a file says something else"
    raise_what_is_said(problems[0] if problems else "")


def try_run_folder(folder: Path, same: bool) -> None:
    from herl_bench.leaderboard.entries import read_entries
    from herl_bench.leaderboard.ranking import rank_entries
    from herl_bench.leaderboard.tables import to_csv, to_html, to_json, to_markdown
    from herl_bench.report.contents import read_contents

    entries, _ = read_entries([folder])
    for entry in entries:
        assert math.isfinite(entry.tokens or 0) and (entry.tokens or 0) >= 0, f"tokens {entry.tokens}"
        assert all(s.outcome is None or math.isfinite(s.outcome) for s in entry.samples), "an outcome that is no number"
    tables = rank_entries(entries)
    for make in (to_markdown, to_csv, to_json, to_html):
        text = make(tables)
        assert "\x1b" not in text and "\u202e" not in text, f"{make.__name__} passes control characters on"
    read_contents(folder)


def try_rubric(name: str, data: bytes) -> None:
    from herl_bench.rubric import judge, load_rubric

    with write_file("r.yaml", data) as path:
        loaded = load_rubric(path, HOST.items("check"))
    assert any(c.weight > 0 for c in loaded.criteria), "a rubric that pays for nothing"
    assert all(0 <= c.weight < math.inf and c.text and c.name for c in loaded.criteria), "a criterion that cannot be"
    (found,) = judge([EXAMPLE], ["2 + 2 = 4\n#### 4"], loaded)
    assert {v.criterion for v in found.verdicts} <= {c.name for c in loaded.criteria}, "a verdict on no criterion"
    assert found.reward is None or 0 <= found.reward <= 1, f"reward {found.reward}"


def try_responses(name: str, data: bytes) -> None:
    from herl_bench.evaluation.stored_responses import open_items, read_stored

    items = open_items(TASK, "synthetic")
    with write_file(name, data) as path:
        for row in read_stored(path):
            assert all(isinstance(answer.text, str) for answer in row.answers)
            assert isinstance(items.find(row), Example)


def try_data(task: str, place: str, name: str, data: bytes) -> None:
    found = HOST.get("task", task)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / place).parent.mkdir(parents=True)
        (Path(folder) / place).write_bytes(data)
        from herl_bench.data.examples import read_examples

        for e in read_examples(partial(found.read, Path(folder), "eval"), "it"):
            assert all(isinstance(word, str) for word in (e.id, e.prompt, e.target)), "an example that is no text"


def try_config(name: str, data: bytes) -> None:
    from herl_bench.experiment.configuration import build_config, build_settings
    from herl_bench.settings import parse_settings

    with write_file("c.yaml", data) as path:
        run, method, origin = parse_settings({}, [], str(path))
    settings = build_settings(run, origin)
    assert settings.budget >= 1 and settings.eval_items >= 1 and settings.seed >= 0, "settings that cannot be"
    build_config(HOST.get("method", settings.method), method, origin)


def try_results(name: str, data: bytes) -> None:
    from herl_bench.evaluation.result_files import read_summary

    with write_file("results_1.json", data) as path:
        assert isinstance(read_summary(path.parent), dict)


def try_answers(name: str, data: bytes) -> None:
    from herl_bench.comparison.answer_files import read_answers

    with write_file(name, data) as path:
        values = [
            v
            for found in read_answers(path).values()
            for item in found.items
            for row in item.values.values()
            for v in row
        ]
    assert all(v is None or math.isfinite(v) for v in values), "a number that is not finite"


def try_template(name: str, data: bytes) -> None:
    from herl_bench import templates

    source = data.decode("utf-8", "replace")
    names = {
        "example": EXAMPLE,
        "draft": "#### 5",
        "met": [],
        "unmet": [{"text": "t", "part": "", "evidence": "e", "correction": ""}],
        "level": "reference",
    }
    templates.compile_template(source, "t")
    assert len(templates.render_template(source, "t", **names)) <= templates.MOST_TEXT


def try_pattern(name: str, data: bytes) -> None:
    from herl_bench.patterns import compile_pattern, search_pattern

    source = data.decode("utf-8", "replace")
    compile_pattern(source)
    assert search_pattern("a" * 5000 + "!", source) in (True, False, None)


def raise_what_is_said(words: str) -> None:
    """What is said of one entry or one response, where an error would stop all of them."""
    if words:
        raise HerlBenchError(words)


@contextlib.contextmanager
def write_file(name: str, data: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(data)
        yield Path(folder) / name


class Replies:
    """A real server that answers with the bytes it is given: as a body, or from the status line on."""

    def __init__(self) -> None:
        self.raw, self.data = False, b""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                self.wfile.write(
                    outer.data if outer.raw else head + b"Content-Length: %d\r\n\r\n" % len(outer.data) + outer.data
                )
                self.close_connection = True

            def do_GET(self) -> None:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def attempt(self, name: str, data: bytes) -> None:
        from herl_bench.policy.answerer import ResolvedSampling
        from herl_bench.policy.server import open_server

        self.raw, self.data = name == "raw", data
        server = open_server(
            {"base_url": f"http://127.0.0.1:{self.server.server_port}/v1", "model": "m", "retries": "0", "timeout": "5"}
        )
        (answer,) = server.answer(["2 + 2?"], [1], ResolvedSampling(stop=["Q:"], max_new_tokens=8))
        assert isinstance(answer.text, str) and not (answer.text and answer.error)
        assert (
            answer.error == flatten(answer.error)
            and answer.finish == flatten(answer.finish)
            and 0 <= answer.tokens < 1 << 40
        )
        raise_what_is_said(answer.error)


def choose_from(*pairs: tuple[str, bytes]) -> Callable[[Random], tuple[str, bytes]]:
    return lambda rng: rng.choice(pairs)


def list_kinds(place: Path) -> list[Kind]:
    run, entry = place / "runs" / "gsm8k-herl-s0", place / "entry"
    rows = b"".join(json.dumps({"id": e.id, "response": e.target}).encode() + b"\n" for e in _read_items())
    samples = next((run / "eval" / "after").glob("samples_*.jsonl")).read_bytes()
    reply = {
        "choices": [{"message": {"content": "#### 4"}, "finish_reason": "stop"}],
        "usage": {"completion_tokens": 3},
    }
    body = json.dumps(reply).encode()
    whole = (
        b"HTTP/1.1 429 Slow\r\nContent-Type: application/json\r\nRetry-After: 0\r\nContent-Length: %d\r\n\r\n"
        % len(body)
        + body
    )
    from herl_bench.locate import rubrics_path

    rubrics = [(p.name, p.read_bytes()) for p in sorted(rubrics_path().rglob("*.yaml"))]
    rubrics += [
        (
            "own.yaml",
            b"name: own\ncriteria:\n  - {name: a, text: t, check: regex, with: {pattern: '(a|b)+c{2,3}'}, weight: 2}\n",
        )
    ] * 3
    guide = HOST.get("template", TASK.template).guidance.encode()
    gsm8k = b'{"question": "2 + 2?", "answer": "2 + 2 = <<2+2=4>>4\\n#### 4"}\n' * 3
    code = {
        "task_id": "HumanEval/0",
        "prompt": "def f(x):\n    '''\n    >>> f(1)\n    2\n    '''\n",
        "entry_point": "f",
        "canonical_solution": "    return x+1\n",
        "test": "def check(candidate):\n    assert candidate(1) == 2\n",
    }
    humaneval = (json.dumps(code) + "\n").encode()
    patterns = [
        (".", p.encode())
        for p in (
            r"(a+)+$",
            r"^\s*#### (-?[\d,]+)$",
            r"(?P<n>a|aa)+\b(?=c)",
            r"a{2,3}(b{4}){5}[^x-z]",
            r"(a)(?(1)b|c)\N{BULLET}",
        )
    ]
    about = {"version": 2, "status": "success", "eval": {"task": "sums", "model": "m", "dataset": {"name": "d"}}}
    logged = [
        {
            "id": f"q{i}",
            "epoch": 1,
            "input": f"{i} + 1?",
            "target": "1",
            "output": {"completion": "1"},
            "scores": {"match": {"value": "C"}},
        }
        for i in range(3)
    ]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, said in (("header", about), *((f"samples/{row['id']}_epoch_1", row) for row in logged)):
            archive.writestr(zipfile.ZipInfo(f"{part}.json"), json.dumps(said), zipfile.ZIP_DEFLATED)
    log = json.dumps({**about, "samples": logged}).encode()
    return [
        mutate_in_folder("bundle", entry, try_bundle),
        mutate_in_folder(
            "run folder",
            run,
            try_run_folder,
            lambda name: not name.startswith(("checkpoints", "final/model", "final/tokenizer", "report")),
        ),
        Kind("rubric", choose_from(*rubrics), try_rubric),
        Kind(
            "stored responses",
            choose_from(("r.jsonl", rows), ("s.jsonl", samples), ("r.jsonl.gz", gzip.compress(rows, mtime=0))),
            try_responses,
        ),
        Kind("gsm8k data", choose_from((".jsonl", gsm8k)), partial(try_data, "gsm8k", "gsm8k/test.jsonl")),
        Kind(
            "humaneval data",
            choose_from((".jsonl", humaneval)),
            partial(try_data, "humaneval", "humaneval/HumanEval.jsonl"),
        ),
        Kind(
            "humaneval gz",
            choose_from((".gz", gzip.compress(humaneval, mtime=0))),
            partial(try_data, "humaneval", "humaneval/HumanEval.jsonl.gz"),
        ),
        Kind(
            "answers",
            choose_from(("samples_gsm8k_1.jsonl", samples), ("log.json", log), ("log.eval", packed.getvalue())),
            try_answers,
        ),
        Kind("config", choose_from(("c.yaml", (run / "config.yaml").read_bytes())), try_config),
        Kind(
            "results",
            choose_from(("r.json", next((run / "eval" / "after").glob("results_*.json")).read_bytes())),
            try_results,
        ),
        Kind("server", choose_from(("b.json", body), ("raw", whole)), Replies().attempt),
        Kind("template", choose_from(("t.j2", guide)), try_template),
        Kind("pattern", choose_from(*patterns), try_pattern),
    ]


def _read_items() -> list[Example]:
    from itertools import islice

    from herl_bench.data.sources import EVAL_SEED

    return list(islice(TASK.world.examples("eval", EVAL_SEED, TASK.world.difficulty), 5))


def prepare(place: Path) -> None:
    """A finished run of a tiny model, and its bundle."""
    from herl_bench.testing import tiny_checkpoint

    model = tiny_checkpoint(place / "llama")
    small = ["rollouts_per_step=16", "max_new_tokens=8", "eval_items=4", "learning_rate=1e-3"]
    settings = [word for setting in small for word in ("--set", setting)]
    run = [
        "run",
        "--task",
        "gsm8k",
        "--method",
        "herl",
        "--model",
        str(model),
        "--data",
        "synthetic",
        "--budget",
        "300",
        *settings,
    ]
    for words in (run, ["leaderboard", "bundle", "runs/gsm8k-herl-s0", "-o", "entry"]):
        subprocess.run([sys.executable, "-m", "herl_bench", *words], cwd=place, check=True, capture_output=True)
    shutil.rmtree(place / "runs" / "gsm8k-herl-s0" / "checkpoints", ignore_errors=True)


class Hang(BaseException):
    pass


def _raise_hang(*_: object) -> None:
    raise Hang


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float)
    options.add_argument("--cases", type=int)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only", default="", help="kinds whose names hold this word")
    options.add_argument("--case", type=int, help="this one case alone, with its whole traceback")
    options.add_argument("--write", action="store_true", help="write results/fuzz_files.json")
    given = options.parse_args()
    if given.case is not None:
        given.cases, given.seconds = given.case + 1, None
    elif given.seconds is None and given.cases is None:
        given.seconds = 60.0
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        return fuzz(list_kinds(Path(folder)), given)


def fuzz(all_kinds: list[Kind], given: argparse.Namespace) -> int:
    signal.signal(signal.SIGPROF, _raise_hang)
    tried: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    failures: list[dict[str, Any]] = []
    began, used = time.monotonic(), time.process_time()
    case = -1
    while (given.cases is None or case + 1 < given.cases) and (
        given.seconds is None or time.monotonic() - began < given.seconds
    ):
        case += 1
        kind = all_kinds[case % len(all_kinds)]
        if given.only not in kind.name or given.case not in (None, case):
            continue
        rng = Random(f"{given.seed}/{case}")
        name, data = kind.pick(rng)
        changed = mutate(name, data, rng)
        tried[kind.name] += 1
        signal.setitimer(signal.ITIMER_PROF, HANG_S)
        faulthandler.dump_traceback_later(WALL_S, exit=True)
        told = ""
        try:
            kind.attempt(name, changed)
            accepted[kind.name] += 1
        except HerlBenchError as error:
            if not str(error).strip():
                told = "an error without words"
        except Hang:
            told = f"hangs: {traceback.format_exc().splitlines()[-3].strip()}"
        except AssertionError as error:
            told = f"accepted: {error}"
        except BaseException as error:
            if given.case is not None:
                raise
            told = f"traceback: {type(error).__name__}: {error} at {traceback.format_exc().splitlines()[-3].strip()}"
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            faulthandler.cancel_dump_traceback_later()
        if told:
            failures.append({"case": case, "kind": kind.name, "file": name, "told": flatten(told)[:400]})
            print(f"case {case}  {kind.name}  {name}: {failures[-1]['told']}", flush=True)
    outcome = {
        "seed": given.seed,
        "cases": sum(tried.values()),
        "by_kind": {name: {"tried": n, "accepted": accepted[name]} for name, n in tried.items()},
        "failures": len(failures),
        "processor_seconds": round(time.process_time() - used),
        "seconds": round(time.monotonic() - began),
    }
    print(json.dumps(outcome, indent=2))
    if given.write:
        (RESULTS / "fuzz_files.json").write_text(
            json.dumps({"command": "python benchmarks/fuzz_files.py " + " ".join(sys.argv[1:]), **outcome}, indent=2)
            + "\n"
        )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
